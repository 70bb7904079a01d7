//! The other side of the control socket: the engine of another process, as the same trait.

mod lines;
mod wire;

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::Serialize;
use smollama_engine::control::{
    ApplyReply, ApplyRequest, CheckpointStatus, Control, ControlError, Health, Letter,
    LetterFilter, LetterPage, LettersDone, LevelReply, LevelRequest, Lines, LogRequest, PlanReply,
    PlanRequest, Ready, RevisionRow, RollbackPlanRequest, RollbackRequest, Selection, Status,
    TapRequest,
};

use crate::api::{LetterQuery, TapQuery};

/// The engine that runs on a data directory. Who calls is told by the kernel: the `actor` of a change is not sent.
#[derive(Clone)]
pub struct Client {
    data_dir: PathBuf,
}

impl Client {
    /// The engine of a data directory, whether one runs or not.
    #[must_use]
    pub fn new(data_dir: &Path) -> Client {
        Client { data_dir: data_dir.to_owned() }
    }

    /// Whether an engine answers: `None` if none runs.
    ///
    /// # Errors
    /// One runs and does not answer, or not to this user.
    pub async fn running(&self) -> Result<Option<Health>, ControlError> {
        match self.health().await {
            Ok(health) => Ok(Some(health)),
            Err(error) if error.kind == smollama_engine::control::ErrorKind::Unreachable => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.data_dir).finish()
    }
}

#[async_trait]
impl Control for Client {
    async fn health(&self) -> Result<Health, ControlError> {
        self.get("/api/health").await
    }

    async fn ready(&self) -> Result<Ready, ControlError> {
        self.get("/api/ready").await
    }

    async fn status(&self) -> Result<Status, ControlError> {
        self.get("/api/status").await
    }

    async fn plan(&self, request: PlanRequest) -> Result<PlanReply, ControlError> {
        self.post("/api/plan", &request).await
    }

    async fn apply(&self, request: ApplyRequest, _: &str) -> Result<ApplyReply, ControlError> {
        self.post("/api/apply", &request).await
    }

    async fn history(&self) -> Result<Vec<RevisionRow>, ControlError> {
        self.get("/api/history").await
    }

    async fn plan_rollback(&self, request: RollbackPlanRequest) -> Result<PlanReply, ControlError> {
        self.post("/api/rollback/plan", &request).await
    }

    async fn rollback(
        &self,
        request: RollbackRequest,
        _: &str,
    ) -> Result<ApplyReply, ControlError> {
        self.post("/api/rollback", &request).await
    }

    async fn tap(&self, request: TapRequest) -> Result<Lines, ControlError> {
        let TapRequest { address, limit, per_second } = request;
        let query = query(&TapQuery { limit, per_second })?;
        self.lines(&format!("/api/tap/{}{query}", escaped(&address))).await
    }

    async fn logs(&self, request: LogRequest) -> Result<Lines, ControlError> {
        self.lines(&format!("/api/logs{}", query(&request)?)).await
    }

    async fn set_level(&self, request: LevelRequest, _: &str) -> Result<LevelReply, ControlError> {
        self.post("/api/log-level", &request).await
    }

    async fn dead_letters(
        &self,
        filter: LetterFilter,
        limit: usize,
    ) -> Result<LetterPage, ControlError> {
        let LetterFilter { address, since, before } = filter;
        let query = query(&LetterQuery { address, since, before, limit: Some(limit) })?;
        self.get(&format!("/api/dlq{query}")).await
    }

    async fn dead_letter(&self, id: &str) -> Result<Letter, ControlError> {
        self.get(&format!("/api/dlq/{}", escaped(id))).await
    }

    async fn replay_dead_letters(
        &self,
        selection: Selection,
        _: &str,
    ) -> Result<LettersDone, ControlError> {
        self.post("/api/dlq/replay", &selection).await
    }

    async fn drop_dead_letters(
        &self,
        selection: Selection,
        _: &str,
    ) -> Result<LettersDone, ControlError> {
        self.post("/api/dlq/drop", &selection).await
    }

    async fn checkpoint(&self, _: &str) -> Result<CheckpointStatus, ControlError> {
        self.post("/api/checkpoint", &serde_json::json!({})).await
    }
}

/// What stands behind the `?`, with it; nothing where there is nothing to say.
fn query(keys: &impl Serialize) -> Result<String, ControlError> {
    let query = serde_urlencoded::to_string(keys)
        .map_err(|error| ControlError::failed(format!("cannot write the request: {error}")))?;
    Ok(if query.is_empty() { query } else { format!("?{query}") })
}

/// A text as it may stand in a path. `/` stays.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
