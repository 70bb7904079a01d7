//! An engine for tests of commands: it answers what it was told to, and remembers what it was asked for.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use jiff::tz::TimeZone;
use smollama_engine::control::{
    ApplyReply, ApplyRequest, CheckpointStatus, Chunk, Control, ControlError, Health, Letter,
    LetterFilter, LetterPage, LettersDone, LevelReply, LevelRequest, Lines, LogRequest, PlanReply,
    PlanRequest, Ready, RevisionRow, RollbackPlanRequest, RollbackRequest, Selection, Status,
    TapRequest,
};

use crate::client::Call;
use crate::text::Paint;

/// See the module. What it was not told is an error.
#[derive(Debug, Default)]
pub(super) struct StandIn {
    pub(super) status: Option<Status>,
    pub(super) plan: Option<PlanReply>,
    pub(super) applied: Option<ApplyReply>,
    pub(super) lines: Vec<Chunk>,
    /// Whether nothing follows these lines, and they do not end either.
    pub(super) goes_on: bool,
    pub(super) letters: LetterPage,
    pub(super) done: LettersDone,
    /// What it was asked for, in order.
    pub(super) asked: Mutex<Vec<String>>,
}

impl StandIn {
    /// A call to it that shows things without colour, in UTC.
    pub(super) fn call(&self) -> Call<'_> {
        let registry = smollama_nodes::registry();
        let (paint, zone) = (Paint(false), TimeZone::UTC);
        Call { engine: self, json: false, paint, width: None, zone, registry }
    }

    /// What it was asked for, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, what: impl Into<String>) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(what.into());
    }
}

fn untold<T>() -> Result<T, ControlError> {
    Err(ControlError::failed("not told"))
}

fn told<T: Clone>(answer: &Option<T>) -> Result<T, ControlError> {
    answer.clone().map_or_else(untold, Ok)
}

#[async_trait]
impl Control for StandIn {
    async fn health(&self) -> Result<Health, ControlError> {
        untold()
    }
    async fn ready(&self) -> Result<Ready, ControlError> {
        untold()
    }
    async fn status(&self) -> Result<Status, ControlError> {
        told(&self.status)
    }
    async fn plan(&self, request: PlanRequest) -> Result<PlanReply, ControlError> {
        self.note(format!("plan all={} {:?}", request.all, request.variables));
        told(&self.plan)
    }
    async fn apply(&self, request: ApplyRequest, _: &str) -> Result<ApplyReply, ControlError> {
        self.note(format!("apply expect={:?} {:?}", request.expect, request.message));
        told(&self.applied)
    }
    async fn history(&self) -> Result<Vec<RevisionRow>, ControlError> {
        untold()
    }
    async fn plan_rollback(&self, request: RollbackPlanRequest) -> Result<PlanReply, ControlError> {
        self.note(format!("plan_rollback {:?}", request.revision));
        told(&self.plan)
    }
    async fn rollback(
        &self,
        request: RollbackRequest,
        _: &str,
    ) -> Result<ApplyReply, ControlError> {
        self.note(format!("rollback {:?} expect={:?}", request.revision, request.expect));
        told(&self.applied)
    }
    async fn tap(&self, request: TapRequest) -> Result<Lines, ControlError> {
        if !request.address.contains('/') {
            return Err(ControlError::not_found(format!("there is no port `{}`", request.address)));
        }
        let lines = stream::iter(self.lines.clone());
        Ok(if self.goes_on { lines.chain(stream::pending()).boxed() } else { lines.boxed() })
    }
    async fn logs(&self, _: LogRequest) -> Result<Lines, ControlError> {
        Ok(stream::iter(self.lines.clone()).boxed())
    }
    async fn set_level(&self, _: LevelRequest, _: &str) -> Result<LevelReply, ControlError> {
        untold()
    }
    async fn dead_letters(&self, _: LetterFilter, _: usize) -> Result<LetterPage, ControlError> {
        Ok(self.letters.clone())
    }
    async fn dead_letter(&self, _: &str) -> Result<Letter, ControlError> {
        untold()
    }
    async fn replay_dead_letters(
        &self,
        selection: Selection,
        _: &str,
    ) -> Result<LettersDone, ControlError> {
        self.note(format!("replay {selection:?}"));
        Ok(self.done)
    }
    async fn drop_dead_letters(
        &self,
        selection: Selection,
        _: &str,
    ) -> Result<LettersDone, ControlError> {
        self.note(format!("drop {selection:?}"));
        Ok(self.done)
    }
    async fn checkpoint(&self, _: &str) -> Result<CheckpointStatus, ControlError> {
        untold()
    }
}
