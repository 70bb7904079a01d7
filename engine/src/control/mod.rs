//! What can be asked of a running engine, and told to it: the types and the trait, and nothing of how they travel.
//!
//! The engine implements [`Control`]. The crate `dashboard` serves it over a Unix socket and TCP, and its client implements it
//! again on the other side, so that the command line talks to an engine in another process as to one in its own. Who may do what is
//! decided by the server, before an engine hears of it.

mod change;
mod error;
mod feed;
mod letters;
mod logs;
mod rates;
mod status;
mod tap;
#[cfg(test)]
mod tests;

use std::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use change::{
    ApplyReply, ApplyRequest, PlanReply, PlanRequest, RevisionRow, RollbackPlanRequest,
    RollbackRequest, Variables,
};
pub use error::{ControlError, ErrorKind};
pub use feed::{Feed, Listener, Piece, feed};
pub use letters::{Letter, LetterFilter, LetterPage, LetterRow, LettersDone, Selection};
pub use logs::{Level, LevelReply, LevelRequest, LogLine, LogRequest};
pub use rates::Rates;
pub use status::{
    CheckpointStatus, DeadLetterStatus, DiskCost, Health, HostStatus, JournalFailure,
    JournalStatus, NodeName, NodeState, NodeStatus, PipelineStatus, QueueStatus, ReadingsStatus,
    Ready, SOURCES_SHOWN, SpoolStatus, Status, Warning, hours_left,
};
pub use tap::{TAP_BYTES_MAX, TapRequest, tap_lines};

/// A part of a stream of lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Whole lines of JSON, each with its line break.
    pub lines: Vec<u8>,
    /// How many lines after these were left out because the reader was slow, or asked for fewer.
    pub missed: u64,
}

/// Lines as they come. It ends when there is nothing more to say; whoever drops it is told nothing more.
pub type Lines = BoxStream<'static, Chunk>;

/// A running engine, as it is seen from outside.
///
/// `actor` is who asks for a change, such as `uid 1000`: it goes into what is kept about the change. Every method may be called at
/// any time and from any thread.
#[async_trait]
pub trait Control: fmt::Debug + Send + Sync {
    /// That it is there. Answers at once, whatever the engine is busy with.
    async fn health(&self) -> Result<Health, ControlError>;

    /// Whether everything that was applied runs, and what does not.
    async fn ready(&self) -> Result<Ready, ControlError>;

    /// All there is to know, as it is now.
    async fn status(&self) -> Result<Status, ControlError>;

    /// What an apply would change. Changes nothing.
    ///
    /// # Errors
    /// The pipelines are wrong.
    async fn plan(&self, request: PlanRequest) -> Result<PlanReply, ControlError>;

    /// Makes it so. When it fails, what ran before runs on.
    ///
    /// # Errors
    /// The pipelines are wrong; another revision runs than was expected; another change is under way; it failed.
    async fn apply(&self, request: ApplyRequest, actor: &str) -> Result<ApplyReply, ControlError>;

    /// The revisions that are kept, the newest first.
    ///
    /// # Errors
    /// They cannot be read.
    async fn history(&self) -> Result<Vec<RevisionRow>, ControlError>;

    /// What going back would change. Changes nothing.
    ///
    /// # Errors
    /// There is no such revision.
    async fn plan_rollback(&self, request: RollbackPlanRequest) -> Result<PlanReply, ControlError>;

    /// Applies an earlier revision as it was then: a new revision with its files.
    ///
    /// # Errors
    /// As for [`Control::apply`], and: there is no such revision.
    async fn rollback(
        &self,
        request: RollbackRequest,
        actor: &str,
    ) -> Result<ApplyReply, ControlError>;

    /// What leaves a port from now on, in the one JSON form of items. A reader that is too slow misses items, which are counted; the
    /// graph never waits for it.
    ///
    /// # Errors
    /// There is no such port.
    async fn tap(&self, request: TapRequest) -> Result<Lines, ControlError>;

    /// Log lines, each a [`LogLine`] in JSON.
    ///
    /// # Errors
    /// There is no such node.
    async fn logs(&self, request: LogRequest) -> Result<Lines, ControlError>;

    /// Says more or less in the log from now on, for a while or until a restart.
    ///
    /// # Errors
    /// There is no such node.
    async fn set_level(
        &self,
        request: LevelRequest,
        actor: &str,
    ) -> Result<LevelReply, ControlError>;

    /// Dead letters, the newest first, at most `limit`.
    ///
    /// # Errors
    /// They cannot be read.
    async fn dead_letters(
        &self,
        filter: LetterFilter,
        limit: usize,
    ) -> Result<LetterPage, ControlError>;

    /// One dead letter with all that is kept of it.
    ///
    /// # Errors
    /// There is none with that id.
    async fn dead_letter(&self, id: &str) -> Result<Letter, ControlError>;

    /// Gives dead letters to their nodes once more. One that is taken is a dead letter no longer.
    ///
    /// # Errors
    /// There is none with one of the ids: then nothing was done.
    async fn replay_dead_letters(
        &self,
        selection: Selection,
        actor: &str,
    ) -> Result<LettersDone, ControlError>;

    /// Removes dead letters.
    ///
    /// # Errors
    /// There is none with one of the ids: then nothing was done.
    async fn drop_dead_letters(
        &self,
        selection: Selection,
        actor: &str,
    ) -> Result<LettersDone, ControlError>;

    /// Takes a checkpoint now and waits until it is durable.
    ///
    /// # Errors
    /// A node blocks it (the message names it), or the disk does not take it: the last one stays valid.
    async fn checkpoint(&self, actor: &str) -> Result<CheckpointStatus, ControlError>;
}
