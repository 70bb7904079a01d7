//! Looking: nothing here changes anything.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::control::{ControlError, Health, LogRequest, RevisionRow, Status, TapRequest};

use super::App;
use super::answer::{Asked, Json, Named, Problem};
use crate::access::{Caller, Need};

pub(super) async fn health(State(app): State<Arc<App>>) -> Result<Json<Health>, Problem> {
    Ok(Json(app.control.health().await?))
}

pub(super) async fn ready(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let mut ready = app.control.ready().await?;
    let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !caller.meets(Need::Nearby) {
        ready.reasons.clear();
    }
    Ok((status, Json(ready)).into_response())
}

pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<Status>, Problem> {
    Ok(Json(app.control.status().await?))
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let status = app.control.status().await?;
    let text = super::metrics::text(status, &app.traffic)
        .map_err(|error| ControlError::failed(format!("cannot write the metrics: {error}")))?;
    Ok(([(header::CONTENT_TYPE, super::metrics::CONTENT_TYPE)], text).into_response())
}

pub(super) async fn history(
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<RevisionRow>>, Problem> {
    Ok(Json(app.control.history().await?))
}

/// How closely to look.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TapQuery {
    /// To end after so many items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u64>,
    /// To show at most so many items in a second, and count the others as missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_second: Option<u64>,
}

pub(super) async fn tap(
    State(app): State<Arc<App>>,
    Named(address): Named,
    Asked(query): Asked<TapQuery>,
) -> Result<Response, Problem> {
    let seat = app.stream_seat()?;
    let request = TapRequest { address, limit: query.limit, per_second: query.per_second };
    let lines = app.control.tap(request).await?;
    Ok(app.streamed(lines, seat))
}

pub(super) async fn logs(
    State(app): State<Arc<App>>,
    Asked(request): Asked<LogRequest>,
) -> Result<Response, Problem> {
    let seat = app.stream_seat()?;
    let lines = app.control.logs(request).await?;
    Ok(app.streamed(lines, seat))
}
