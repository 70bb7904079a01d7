//! Commands on a data directory on which no engine runs: what ran last is what is compared and listed.

use std::path::PathBuf;
use std::sync::Arc;

use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::control::PlanReply;
use smollama_engine::plan::Graph;
use smollama_engine::plan::diff::{diff, nobody_asked};
use smollama_supervisor::{AtRest, Settings};

use super::change::Local;
use super::run::check_speed;
use crate::cli::Global;
use crate::cli::commands::Speed;
use crate::host;
use crate::service::keeping;
use crate::terminal::{Failure, Stdout};

/// The data directory, if it has such a folder: where it has none, nothing of the kind was ever kept, and nothing is made.
pub(super) fn kept(global: &Global, folder: &str) -> Result<Option<AtRest>, Failure> {
    if !host::locate(global)?.data_dir.join(folder).is_dir() {
        return Ok(None);
    }
    let host = Arc::new(host::open(global, Arc::new(Stdout::default()))?);
    Ok(Some(AtRest::open(&host, SystemClock::default().now())?))
}

/// What an apply would change about what ran last. What is wrong is shown.
pub(super) fn plan(
    global: &Global,
    paths: &[PathBuf],
    all: bool,
    speed: Option<Speed>,
) -> Result<PlanReply, Failure> {
    let Some(kept) = kept(global, "revisions")? else { return plan_anew(global, paths, speed) };
    let registry = host::registry(global);
    let local = Local::read(&registry, paths, all);
    let speed = match speed {
        Some(Speed::Times(times)) => Some(times),
        Some(Speed::Max) | None => None,
    };
    let reply = kept.plan(&local.request()?, &registry, speed, &settings(global))?;
    local.further(&reply.diagnostics);
    Ok(reply)
}

/// Where nothing ran, everything is new.
fn plan_anew(
    global: &Global,
    paths: &[PathBuf],
    speed: Option<Speed>,
) -> Result<PlanReply, Failure> {
    let (graph, planned) = super::checked(global, paths)?;
    check_speed(&graph, speed, &planned.files)?;
    let nothing = Graph::default();
    let plan = diff(&nothing, &graph, &nobody_asked).plan(&nothing, &graph, &|_| None);
    let plan = plan.with_cost(settings(global).cost(&graph));
    Ok(PlanReply {
        pending: !plan.is_empty(),
        revision: None,
        changes: serde_json::to_value(&plan).unwrap_or_default(),
        text: plan.text(false),
        diagnostics: planned.diagnostics.to_json(&planned.files),
    })
}

/// How an engine would keep things here. What is wrong with the configuration was said when the data directory was looked for.
fn settings(global: &Global) -> Settings {
    keeping(&host::read(global).config.unwrap_or_default())
}
