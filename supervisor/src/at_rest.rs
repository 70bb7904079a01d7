//! What can be known of a host on which no engine runs: what would be resumed, and what an apply would change about it.

use std::sync::Arc;

use smollama_engine::context::Host;
use smollama_engine::control::{ControlError, PlanReply, PlanRequest, RevisionRow};
use smollama_engine::plan::Graph;
use smollama_engine::plan::diff::{diff, nobody_asked};
use smollama_engine::registry::Registry;
use smollama_engine::run::Checkpoints;
use smollama_store::checkpoints::FileCheckpoints;
use smollama_store::revisions::Revisions;

use crate::candidate::{self, Sources};
use crate::kept::Settings;
use crate::revision;

/// The revisions of a data directory, and which of them an engine would resume. It reads, and changes nothing.
#[derive(Debug)]
pub struct AtRest {
    revisions: Revisions,
    /// 0 before the first.
    current: u64,
}

impl AtRest {
    /// Opens what a host keeps.
    ///
    /// # Errors
    /// The disk says no; a later release wrote there.
    pub fn open(host: &Arc<Host>) -> Result<AtRest, ControlError> {
        let revisions =
            Revisions::open(host).map_err(|error| ControlError::failed(error.to_string()))?;
        let newest = FileCheckpoints::open(host).and_then(|checkpoints| checkpoints.latest());
        let newest = newest.map_err(|error| {
            ControlError::failed(format!("the checkpoints cannot be read: {error}"))
        })?;
        let current = newest.map_or(0, |checkpoint| checkpoint.revision);
        Ok(AtRest { revisions, current })
    }

    /// What an apply would change about what would be resumed. Whether a node can go on with its state only an engine can tell.
    ///
    /// # Errors
    /// The pipelines are wrong, or the revision cannot be read any more.
    pub fn plan(
        &self,
        request: &PlanRequest,
        registry: &Registry,
        speed: Option<f64>,
        settings: &Settings,
    ) -> Result<PlanReply, ControlError> {
        let (before, sources) = match self.current {
            0 => (Graph::default(), Sources::default()),
            current => {
                let stored = revision::load(&self.revisions, current)?;
                (candidate::stored(&stored, registry, speed)?.graph, stored)
            }
        };
        let found = candidate::candidate(request, &sources, registry, speed)?;
        let changes = diff(&before, &found.graph, &nobody_asked);
        let plan = changes.plan(&before, &found.graph, &|_| None);
        let plan = plan.with_cost(settings.cost(&found.graph));
        Ok(PlanReply {
            pending: !changes.is_empty(),
            revision: (self.current > 0).then_some(self.current),
            changes: serde_json::to_value(&plan).unwrap_or_default(),
            text: plan.text(false),
            diagnostics: found.warnings,
        })
    }

    /// The applied revisions, the newest first.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn history(&self) -> Result<Vec<RevisionRow>, ControlError> {
        revision::history(&self.revisions, self.current)
    }
}
