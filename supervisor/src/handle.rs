//! How others use a running engine.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use smollama_engine::clock::Clock;
use smollama_engine::control::{
    ApplyReply, ApplyRequest, CheckpointStatus, Control, ControlError, ErrorKind, Health,
    JournalFailure, Letter, LetterFilter, LetterPage, LettersDone, LevelReply, LevelRequest, Lines,
    LogRequest, NodeState, PlanReply, PlanRequest, Ready, RevisionRow, RollbackPlanRequest,
    RollbackRequest, Selection, Status, TapRequest, tap_lines,
};
use smollama_engine::run::{NodeGauge, Port};
use tokio::sync::{mpsc, oneshot, watch};

use crate::letters;
use crate::logs::Logs;
use crate::status::Overview;
use crate::supervisor::Ask;
use crate::taps::Taps;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) ask: mpsc::Sender<Ask>,
    pub(crate) overview: Arc<Overview>,
    pub(crate) taps: Arc<Taps>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ended: watch::Receiver<bool>,
}

fn gone() -> ControlError {
    ControlError::new(ErrorKind::Unreachable, "the engine is stopping")
}

impl Handle {
    /// Lets sources begin.
    pub async fn release(&self) {
        let _ = self.ask.send(Ask::Release).await;
    }

    /// Waits until every source has come to its end, and all has gone through.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        if ended.wait_for(|ended| *ended).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The nodes that run, with what shows how they are.
    #[must_use]
    pub fn gauges(&self) -> Vec<NodeGauge> {
        self.overview.gauges()
    }

    /// The paths that what runs was applied from.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.overview.paths()
    }

    async fn asks<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, ControlError>>) -> Ask,
    ) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.ask.send(ask(reply)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The place that a tap's address names.
    fn port(&self, written: &str) -> Result<(Arc<str>, Port), ControlError> {
        let (name, input) = match written.strip_suffix('>') {
            Some(name) => (name, true),
            None => (written, false),
        };
        let gauges = self.overview.gauges();
        let (address, port) = match name.rsplit_once('.') {
            Some((address, port)) => (address, port),
            None => (name, "main"),
        };
        let Some(gauge) = gauges.iter().find(|gauge| *gauge.node.address == *address) else {
            let known = gauges.iter().map(|gauge| &*gauge.node.address);
            let help = smollama_engine::diagnostic::nearest(address, known);
            let error = ControlError::not_found(format!("no node `{address}` runs"));
            return Err(match help {
                Some(near) => error.help(format!("there is `{near}`")),
                None => error,
            });
        };
        let outputs = &gauge.node.profile.outputs;
        let address = gauge.node.address.clone();
        if input || outputs.is_empty() {
            if outputs.is_empty() {
                return Ok((address, Port::Input));
            }
            return Err(ControlError::new(
                ErrorKind::BadInput,
                format!("what enters `{address}` leaves the nodes before it: tap those"),
            ));
        }
        match outputs.iter().position(|one| one.name == port) {
            Some(port) => Ok((address, Port::Output(port))),
            None => {
                let known: Vec<_> = outputs.iter().map(|one| format!("`{}`", one.name)).collect();
                Err(ControlError::not_found(format!("`{address}` has no port `{port}`"))
                    .help(format!("it has {}", known.join(", "))))
            }
        }
    }
}

#[async_trait]
impl Control for Handle {
    async fn health(&self) -> Result<Health, ControlError> {
        Ok(Health {
            status: "ok".into(),
            timestamp: self.clock.now(),
            node_name: self.overview.kept.host.name.clone(),
        })
    }

    async fn ready(&self) -> Result<Ready, ControlError> {
        let status = self.status().await?;
        let ill = status.nodes.iter().filter(|node| node.state >= NodeState::Retrying);
        let mut reasons: Vec<String> = ill
            .map(|node| {
                let why = node.error.as_deref().unwrap_or("it was given up");
                format!("`{}` is {}: {why}", node.address, node.state.as_str())
            })
            .collect();
        if let Some(failure) = status.journal.and_then(|journal| journal.failure) {
            let JournalFailure { since, error } = failure;
            reasons.push(format!("the journal cannot be written since {since}: {error}"));
        }
        if let Some(node) = &status.blocked_by {
            reasons.push(format!("`{node}` holds up the checkpoint"));
        }
        Ok(Ready { ready: reasons.is_empty(), reasons })
    }

    async fn status(&self) -> Result<Status, ControlError> {
        Ok(self.overview.status(self.clock.now()))
    }

    async fn plan(&self, request: PlanRequest) -> Result<PlanReply, ControlError> {
        self.asks(|reply| Ask::Plan(request, reply)).await
    }

    async fn apply(&self, request: ApplyRequest, actor: &str) -> Result<ApplyReply, ControlError> {
        self.asks(|reply| Ask::Apply(request, actor.to_owned(), reply)).await
    }

    async fn history(&self) -> Result<Vec<RevisionRow>, ControlError> {
        self.asks(Ask::History).await
    }

    async fn plan_rollback(&self, request: RollbackPlanRequest) -> Result<PlanReply, ControlError> {
        self.asks(|reply| Ask::PlanRollback(request, reply)).await
    }

    async fn rollback(
        &self,
        request: RollbackRequest,
        actor: &str,
    ) -> Result<ApplyReply, ControlError> {
        self.asks(|reply| Ask::Rollback(request, actor.to_owned(), reply)).await
    }

    async fn tap(&self, request: TapRequest) -> Result<Lines, ControlError> {
        let (address, port) = self.port(&request.address)?;
        let listener = self.taps.open(address, port);
        self.ask.send(Ask::Look).await.map_err(|_| gone())?;
        Ok(tap_lines(listener, self.overview.kept.host.clone(), &request))
    }

    async fn logs(&self, request: LogRequest) -> Result<Lines, ControlError> {
        Ok(self.logs.lines(request))
    }

    async fn set_level(
        &self,
        request: LevelRequest,
        actor: &str,
    ) -> Result<LevelReply, ControlError> {
        let LevelRequest { node, level, span } = request;
        if let Some(node) = &node {
            self.port(node)?;
        }
        let until = span.map(|span| self.clock.now() + span);
        self.logs.set_level(node, level, until);
        tracing::info!(actor, "the log level is {} now", level.as_str());
        Ok(LevelReply { level, until })
    }

    async fn dead_letters(
        &self,
        filter: LetterFilter,
        limit: usize,
    ) -> Result<LetterPage, ControlError> {
        letters::blocking(&self.overview.kept, move |kept| kept.page(&filter, limit)).await
    }

    async fn dead_letter(&self, id: &str) -> Result<Letter, ControlError> {
        let wanted = id.to_owned();
        let found =
            letters::blocking(&self.overview.kept, move |kept| kept.letter(&wanted)).await?;
        found.ok_or_else(|| ControlError::not_found(format!("there is no dead letter `{id}`")))
    }

    async fn replay_dead_letters(
        &self,
        selection: Selection,
        actor: &str,
    ) -> Result<LettersDone, ControlError> {
        tracing::info!(actor, "dead letters are given to their nodes once more");
        letters::replay(self, selection).await
    }

    async fn drop_dead_letters(
        &self,
        selection: Selection,
        actor: &str,
    ) -> Result<LettersDone, ControlError> {
        tracing::info!(actor, "dead letters are dropped");
        letters::drop_letters(&self.overview.kept, selection).await
    }

    async fn checkpoint(&self, _: &str) -> Result<CheckpointStatus, ControlError> {
        self.asks(Ask::Checkpoint).await
    }
}
