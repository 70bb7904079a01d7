//! An engine that only remembers what it was told.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use smollama_engine::control::{
    ApplyReply, ApplyRequest, CheckpointStatus, Chunk, Control, ControlError, DeadLetterStatus,
    DiskCost, Feed, Health, HostStatus, JournalFailure, JournalStatus, Letter, LetterFilter,
    LetterPage, LetterRow, LettersDone, LevelReply, LevelRequest, Lines, LogRequest, NodeName,
    NodeState, NodeStatus, Piece, PipelineStatus, PlanReply, PlanRequest, QueueStatus,
    ReadingsStatus, Ready, RevisionRow, RollbackPlanRequest, RollbackRequest, Selection,
    SpoolStatus, Status, TapRequest, Warning, feed,
};
use smollama_engine::run::Fill;
use smollama_engine::time::Timestamp;
use tokio::sync::Semaphore;

/// See the module.
#[derive(Debug)]
pub(super) struct StandIn {
    calls: Mutex<Vec<String>>,
    taps: Mutex<Vec<Feed<Vec<u8>>>>,
    /// An apply needs one of these.
    pub(super) applies: Semaphore,
}

impl Default for StandIn {
    fn default() -> Self {
        StandIn {
            calls: Mutex::default(),
            taps: Mutex::default(),
            applies: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl StandIn {
    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.into());
    }

    /// What it was asked and told since the last time.
    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// Shows a line to all taps; says to how many.
    pub(super) fn show(&self, line: &str) -> usize {
        let mut taps = self.taps.lock().unwrap();
        taps.retain(|tap| tap.offer(line.len(), 1, || format!("{line}\n").into_bytes()));
        taps.len()
    }

    /// Ends all taps.
    pub(super) fn end_taps(&self) {
        self.taps.lock().unwrap().clear();
    }
}

pub(super) fn node(address: &str, state: NodeState) -> NodeStatus {
    NodeStatus {
        address: address.into(),
        section: "sink".into(),
        type_name: "file".into(),
        state,
        error: Some("the disk is full".into()),
        warnings: vec![],
        received: 12,
        emitted: BTreeMap::from([("main".into(), 7), ("late".into(), 1)]),
        rejected: 1,
        dropped: 2,
        errors: 3,
        corrected: 4,
        received_per_s: 0.5,
        emitted_per_s: 0.25,
        queue: Some(QueueStatus { bytes: 100, size: 1000 }),
        spool: Some(SpoolStatus { bytes: 200, cap: 2000, items: 5, hours_left: Some(7.5) }),
        state_age_s: Some(3.5),
        disk: DiskCost { written_bytes: 4096, syncs: 9 },
    }
}

pub(super) fn status() -> Status {
    let fill = Fill { bytes: 1024, cap: 4096, written: 8192, syncs: 16, quarantined: 0 };
    let error = "No space left on device (os error 28)".into();
    let failure = Some(JournalFailure { since: Timestamp::EPOCH, error });
    Status {
        timestamp: Timestamp::EPOCH,
        host: HostStatus {
            name: "pi".into(),
            id: "0".into(),
            role: None,
            version: "0.1.0".into(),
            data_dir: "/data".into(),
            pid: 7,
            started: Timestamp::EPOCH,
            uptime_s: 60.0,
            rss_bytes: Some(16_000_000),
        },
        node: NodeName { name: "pi".into() },
        revision: Some(3),
        pipelines: vec![PipelineStatus {
            name: "garden".into(),
            file: "/etc/garden.yaml".into(),
            nodes: 2,
            state: NodeState::Retrying,
        }],
        nodes: vec![
            node("garden/history", NodeState::Running),
            NodeStatus {
                warnings: vec![Warning { since: Timestamp::EPOCH, text: "it forgot".into() }],
                ..node("garden/alerts", NodeState::Retrying)
            },
        ],
        readings: ReadingsStatus {
            available: true,
            source_types: vec!["air".into()],
            source_count: 1,
            sources: vec!["air:temperature".into()],
            series: 1,
            series_cap: 100_000,
            series_given_back: 30,
            series_refused: 2_000,
            at_series_cap: vec!["garden/air".into()],
        },
        journal: Some(JournalStatus::new("process", fill, 60.0).with_failure(failure)),
        checkpoint: Some(CheckpointStatus { number: 4, age_s: 2.0, bytes: 512 }),
        blocked_by: Some("garden/alerts".into()),
        dead_letters: DeadLetterStatus { letters: 2, bytes: 300 },
    }
}

fn plan() -> PlanReply {
    PlanReply {
        pending: true,
        revision: Some(3),
        changes: serde_json::json!([{ "address": "garden/history", "change": "add" }]),
        text: "+ garden/history\n".into(),
        diagnostics: vec![],
    }
}

fn applied(revision: u64) -> ApplyReply {
    let plan = plan();
    ApplyReply {
        revision,
        changes: plan.changes,
        text: plan.text,
        diagnostics: vec![],
        took_ms: 12.5,
        sync_ms: 3.25,
    }
}

fn letter() -> LetterRow {
    LetterRow {
        id: "a/1".into(),
        time: Timestamp::EPOCH,
        address: "garden/history".into(),
        reason: "no \"number\"".into(),
        kind: "readings".into(),
        items: 3,
    }
}

#[async_trait]
impl Control for StandIn {
    async fn health(&self) -> Result<Health, ControlError> {
        Ok(Health { status: "ok".into(), timestamp: Timestamp::EPOCH, node_name: "pi".into() })
    }

    async fn ready(&self) -> Result<Ready, ControlError> {
        let reasons = vec!["garden/alerts: the broker does not answer".to_owned()];
        Ok(Ready { ready: false, reasons })
    }

    async fn status(&self) -> Result<Status, ControlError> {
        self.note("status");
        Ok(status())
    }

    async fn plan(&self, request: PlanRequest) -> Result<PlanReply, ControlError> {
        self.note(format!("plan {:?} {}", request.paths, request.variables.0.len()));
        Ok(plan())
    }

    async fn apply(&self, request: ApplyRequest, actor: &str) -> Result<ApplyReply, ControlError> {
        self.note(format!("apply begins: {actor}"));
        let _permit = self.applies.acquire().await.unwrap();
        if request.expect.is_some_and(|expected| expected != 3) {
            let error = ControlError::refused("revision 3 runs, not the one that was expected");
            return Err(error.help("look at the plan again"));
        }
        self.note("apply ends");
        Ok(applied(4))
    }

    async fn history(&self) -> Result<Vec<RevisionRow>, ControlError> {
        self.note("history");
        let row = RevisionRow {
            number: 3,
            time: Timestamp::EPOCH,
            actor: "uid 0".into(),
            message: "1 node added".into(),
            current: true,
        };
        Ok(vec![row])
    }

    async fn plan_rollback(&self, request: RollbackPlanRequest) -> Result<PlanReply, ControlError> {
        self.note(format!("plan rollback {:?}", request.revision));
        Ok(plan())
    }

    async fn rollback(
        &self,
        request: RollbackRequest,
        actor: &str,
    ) -> Result<ApplyReply, ControlError> {
        self.note(format!("rollback {:?}: {actor}", request.revision));
        match request.revision {
            Some(9) => Err(ControlError::not_found("there is no revision 9")),
            _ => Ok(applied(5)),
        }
    }

    async fn tap(&self, request: TapRequest) -> Result<Lines, ControlError> {
        self.note(format!("tap {request:?}"));
        let (feed, listener) = feed(64 * 1024);
        self.taps.lock().unwrap().push(feed);
        let chunks = listener.map(|piece| match piece {
            Piece::Kept(lines) => Chunk { lines, missed: 0 },
            Piece::Missed(missed) => Chunk { lines: vec![], missed },
        });
        Ok(chunks.boxed())
    }

    async fn logs(&self, request: LogRequest) -> Result<Lines, ControlError> {
        self.note(format!("logs {request:?}"));
        let lines = b"{\"level\":\"info\"}\n{\"level\":\"warn\"}\n".to_vec();
        Ok(stream::iter([Chunk { lines, missed: 0 }]).boxed())
    }

    async fn set_level(
        &self,
        request: LevelRequest,
        actor: &str,
    ) -> Result<LevelReply, ControlError> {
        self.note(format!("level {request:?}: {actor}"));
        Ok(LevelReply {
            level: request.level,
            until: request.span.map(|span| Timestamp::EPOCH + span),
        })
    }

    async fn dead_letters(
        &self,
        filter: LetterFilter,
        limit: usize,
    ) -> Result<LetterPage, ControlError> {
        self.note(format!("letters {filter:?} {limit}"));
        Ok(LetterPage { letters: vec![letter()], total: 2 })
    }

    async fn dead_letter(&self, id: &str) -> Result<Letter, ControlError> {
        self.note(format!("letter {id}"));
        if id != letter().id {
            return Err(ControlError::not_found(format!("there is no dead letter `{id}`")));
        }
        let items = vec![serde_json::json!({ "source": "air:temperature", "value": 1.5 })];
        Ok(Letter { letter: letter(), origin: None, bytes: None, items })
    }

    async fn replay_dead_letters(
        &self,
        selection: Selection,
        actor: &str,
    ) -> Result<LettersDone, ControlError> {
        self.note(format!("replay {selection:?}: {actor}"));
        Ok(LettersDone { letters: 1, items: 3, refused: 0 })
    }

    async fn drop_dead_letters(
        &self,
        selection: Selection,
        actor: &str,
    ) -> Result<LettersDone, ControlError> {
        self.note(format!("drop {selection:?}: {actor}"));
        Ok(LettersDone { letters: 1, items: 3, refused: 0 })
    }

    async fn checkpoint(&self, actor: &str) -> Result<CheckpointStatus, ControlError> {
        self.note(format!("checkpoint: {actor}"));
        Err(ControlError::failed("garden/alerts does not let the barrier pass"))
    }
}
