//! Commands on a data directory on which no engine runs: what ran last is what is compared and listed.

use std::path::PathBuf;
use std::sync::Arc;

use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::control::PlanReply;
use smollama_engine::plan::Graph;
use smollama_engine::plan::diff::{diff, nobody_asked};
use smollama_supervisor::AtRest;

use super::change::Local;
use super::run::check_speed;
use crate::cli::Global;
use crate::cli::commands::Speed;
use crate::host;
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
    let Some(kept) = kept(global, "revisions")? else { return plan_anew(paths, speed) };
    let local = Local::read(paths, all);
    let speed = match speed {
        Some(Speed::Times(times)) => Some(times),
        Some(Speed::Max) | None => None,
    };
    let reply = kept.plan(&local.request()?, &smollama_nodes::registry(), speed)?;
    local.further(&reply.diagnostics);
    Ok(reply)
}

/// Where nothing ran, everything is new.
fn plan_anew(paths: &[PathBuf], speed: Option<Speed>) -> Result<PlanReply, Failure> {
    let (graph, planned) = super::checked(paths)?;
    check_speed(&graph, speed, &planned.files)?;
    let nothing = Graph::default();
    let plan = diff(&nothing, &graph, &nobody_asked).plan(&nothing, &graph, &|_| None);
    Ok(PlanReply {
        pending: !plan.is_empty(),
        revision: None,
        changes: serde_json::to_value(&plan).unwrap_or_default(),
        text: plan.text(false),
        diagnostics: planned.diagnostics.to_json(&planned.files),
    })
}
