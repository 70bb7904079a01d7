//! Dead letters.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::control::{
    ControlError, Letter, LetterFilter, LetterPage, LettersDone, Selection,
};
use smollama_engine::glob::Glob;
use smollama_engine::time::Timestamp;

use super::App;
use super::answer::{Asked, Given, Json, Named, Problem};
use super::change::changed;
use crate::access::Caller;

/// How many letters a list has where nothing is said.
const LIMIT: usize = 100;
/// How many letters a list has at most.
const LIMIT_MAX: usize = 10_000;

/// Which dead letters to list.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LetterQuery {
    /// Addresses of nodes, such as `greenhouse/**`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Glob>,
    /// Refused at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// Refused before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Timestamp>,
    /// At most so many; 100 where nothing is said, 10000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Asked(query): Asked<LetterQuery>,
) -> Result<Json<LetterPage>, Problem> {
    let LetterQuery { address, since, before, limit } = query;
    let limit = limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let filter = LetterFilter { address, since, before };
    Ok(Json(app.control.dead_letters(filter, limit).await?))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named,
) -> Result<Json<Letter>, Problem> {
    Ok(Json(app.control.dead_letter(&id).await?))
}

pub(super) async fn replay(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Given(selection): Given<Selection>,
) -> Result<Json<LettersDone>, Problem> {
    let target = target(&selection)?;
    let (control, actor) = (app.control.clone(), caller.actor.clone());
    let work = async move { control.replay_dead_letters(selection, &actor).await };
    changed(&app, &caller, "replay dead letters", target, work).await
}

pub(super) async fn discard(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Given(selection): Given<Selection>,
) -> Result<Json<LettersDone>, Problem> {
    let target = target(&selection)?;
    let (control, actor) = (app.control.clone(), caller.actor.clone());
    let work = async move { control.drop_dead_letters(selection, &actor).await };
    changed(&app, &caller, "drop dead letters", target, work).await
}

/// A selection as the audit says it.
fn target(selection: &Selection) -> Result<String, ControlError> {
    match selection {
        Selection::Ids(ids) => Ok(ids.join(" ")),
        Selection::Filter(filter) => serde_json::to_string(filter)
            .map_err(|error| ControlError::bad_input(format!("the filter: {error}"))),
    }
}
