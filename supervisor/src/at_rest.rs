//! What can be known of a host on which no engine runs: what would be resumed, and what an apply would change about it.

use std::sync::Arc;

use smollama_engine::context::Host;
use smollama_engine::control::{ControlError, PlanReply, PlanRequest, RevisionRow};
use smollama_engine::plan::Graph;
use smollama_engine::plan::diff::{diff, nobody_asked};
use smollama_engine::registry::Registry;
use smollama_engine::run::Checkpoints;
use smollama_engine::time::Timestamp;
use smollama_store::checkpoints::FileCheckpoints;
use smollama_store::dead_letters::DeadLetterFile;
use smollama_store::lock::DataDirLock;
use smollama_store::revisions::Revisions;

use crate::candidate::{self, Sources};
use crate::kept::Settings;
use crate::revision;

/// A data directory on which no engine runs. As long as this lives none can be started on it.
#[derive(Debug)]
pub struct AtRest {
    host: Arc<Host>,
    _lock: DataDirLock,
}

impl AtRest {
    /// Locks the data directory of a host.
    ///
    /// # Errors
    /// An engine runs there; the disk says no.
    pub fn open(host: &Arc<Host>, now: Timestamp) -> Result<AtRest, ControlError> {
        let lock = DataDirLock::take(&host.data_dir, now)
            .map_err(|error| ControlError::refused(error.to_string()).help(error.help()))?;
        Ok(AtRest { host: host.clone(), _lock: lock })
    }

    /// The revisions, and the number of the one that would be resumed: 0 before the first.
    fn revisions(&self) -> Result<(Revisions, u64), ControlError> {
        let revisions =
            Revisions::open(&self.host).map_err(|error| ControlError::failed(error.to_string()))?;
        let newest = FileCheckpoints::open(&self.host).and_then(|checkpoints| checkpoints.latest());
        let newest = newest.map_err(|error| {
            ControlError::failed(format!("the checkpoints cannot be read: {error}"))
        })?;
        Ok((revisions, newest.map_or(0, |checkpoint| checkpoint.revision)))
    }

    /// What was refused.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn letters(&self) -> Result<DeadLetterFile, ControlError> {
        DeadLetterFile::open(&self.host).map_err(|error| {
            ControlError::failed(format!("the dead letters cannot be read: {error}"))
        })
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
        let (revisions, current) = self.revisions()?;
        let (before, sources) = match current {
            0 => (Graph::default(), Sources::default()),
            current => {
                let stored = revision::load(&revisions, current)?;
                (candidate::stored(&stored, registry, speed)?.graph, stored)
            }
        };
        let found = candidate::candidate(request, &sources, registry, speed)?;
        let changes = diff(&before, &found.graph, &nobody_asked);
        let plan = changes.plan(&before, &found.graph, &|_| None);
        let plan = plan.with_cost(settings.cost(&found.graph));
        Ok(PlanReply {
            pending: !changes.is_empty(),
            revision: (current > 0).then_some(current),
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
        let (revisions, current) = self.revisions()?;
        revision::history(&revisions, current)
    }
}
