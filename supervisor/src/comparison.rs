//! What a backtest compares: the graph that runs on a data directory, and the one that an apply would make. Only reads, so that it does not
//! matter whether an engine is at work there.

use std::sync::Arc;

use smollama_engine::context::Host;
use smollama_engine::control::{ControlError, PlanRequest};
use smollama_engine::diagnostic::{Files, JsonDiagnostic};
use smollama_engine::plan::Graph;
use smollama_engine::registry::Registry;
use smollama_store::checkpoints::FileCheckpoints;
use smollama_store::revisions::Revisions;

use crate::candidate::{self, Sources};
use crate::revision;

/// Two graphs to compare.
#[derive(Debug)]
pub struct Comparison {
    /// The revision that runs, or would be resumed, with its graph.
    pub running: Option<(u64, Graph)>,
    /// Why there is no graph of a revision although there is a revision.
    pub unknown: Option<String>,
    /// What an apply would make.
    pub candidate: Graph,
    /// For showing what only building finds out.
    pub files: Files,
    /// What is doubtful about the candidate.
    pub warnings: Vec<JsonDiagnostic>,
}

impl Comparison {
    /// Builds both graphs. What cannot be known of the one that runs is no error: its secrets, say, may be another user's.
    ///
    /// # Errors
    /// The pipelines of the candidate are wrong.
    pub fn new(
        host: &Arc<Host>,
        request: &PlanRequest,
        registry: &Registry,
    ) -> Result<Comparison, ControlError> {
        // Nothing is live here: a recording may join anything.
        let speed = Some(1.0);
        let (stored, unknown) = match stored(host) {
            Ok(stored) => (stored, None),
            Err(error) => (None, Some(error.message)),
        };
        let built = stored.map(|(number, sources)| {
            let built = candidate::stored(&sources, registry, speed)?;
            Ok((number, built.graph, sources))
        });
        let (running, sources, unknown) = match built.transpose() {
            Ok(Some((number, graph, sources))) => (Some((number, graph)), sources, unknown),
            Ok(None) => (None, Sources::default(), unknown),
            Err(ControlError { message, diagnostics, .. }) => {
                let first = diagnostics.first().map(|first| first.message.clone());
                (None, Sources::default(), Some(first.unwrap_or(message)))
            }
        };
        let found = candidate::candidate(request, &sources, registry, speed)?;
        let (candidate, files, warnings) = (found.graph, found.files, found.warnings);
        Ok(Comparison { running, unknown, candidate, files, warnings })
    }
}

/// What ran last, as it was stored.
fn stored(host: &Arc<Host>) -> Result<Option<(u64, Sources)>, ControlError> {
    let number = FileCheckpoints::revision(host).map_err(|error| {
        ControlError::failed(format!("the checkpoints cannot be read: {error}"))
    })?;
    match number {
        None | Some(0) => Ok(None),
        Some(number) => Ok(Some((number, revision::load(&Revisions::look(host), number)?))),
    }
}
