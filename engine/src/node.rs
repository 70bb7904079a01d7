//! What a node is: one verb per kind, and nothing of the engine. A node never sees a channel, an acknowledgement, a shutdown
//! signal, a retry, a metric or the wall clock: time is an argument.

mod outputs;
mod state;

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::outputs::{MAIN, Outputs};
pub use self::state::{State, StateError};

use crate::batch::{Batch, ItemKind, Items};
use crate::condition::Predicate;
use crate::duration::Duration;
use crate::reading::Reading;
use crate::series::SeriesId;
use crate::time::Timestamp;
use crate::trouble::Trouble;

/// What makes readings.
#[async_trait]
pub trait Source: Send {
    /// Waits for what comes next and gives it. The engine polls it, paces it (`every`), journals and acknowledges for it.
    ///
    /// Cancel-safe: when the future is dropped before it is ready, nothing is lost. `now` is the time at the call; a node that
    /// is polled dates its readings so.
    ///
    /// # Errors
    /// [`NodeError::Retry`] is tried again after a pause, [`NodeError::Fatal`] ends the source until it is rebuilt.
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError>;

    /// Goes to where an earlier run stopped; called before the first read, on a source that gave positions then.
    ///
    /// # Errors
    /// What lies there is not what lay there: [`NodeError::Reject`] says why, and the source is read from its beginning.
    async fn resume(&mut self, position: &Position) -> Result<(), NodeError> {
        let _ = position;
        Ok(())
    }

    /// The last call, once it has ended or is told to stop: lets go of what it holds outside, within a few seconds. Dropped, it does so at once.
    async fn close(&mut self) {}

    /// Where it says what keeps it from its work while [`Source::read`] only waits. Asked once, before the first read.
    fn trouble(&self) -> Option<Trouble> {
        None
    }

    /// Whether [`Source::read`] may block its thread (file access); it then gets a thread of its own.
    fn blocks(&self) -> bool {
        false
    }
}

/// What a source gave.
#[derive(Debug)]
pub enum Read {
    /// Some items, and what could not be understood.
    Batch(SourceBatch),
    /// There is nothing more and never will be.
    Finished,
}

/// What a source read in one go.
#[derive(Debug)]
pub struct SourceBatch {
    /// What was understood.
    pub items: Items,
    /// What was not; it goes to the dead letters.
    pub rejects: Vec<Reject>,
    /// Where the source can go on from after this batch, where it can seek.
    pub position: Option<Position>,
    /// What to tell the sender once the batch is kept, where the source promises that ([`Profile::promises`]).
    ///
    /// [`Profile::promises`]: crate::registry::Profile::promises
    pub receipt: Option<Receipt>,
    /// How much came since the last batch and was dropped, since nobody asked for it in time. It is counted.
    pub dropped: u64,
    /// Its items are no readings, but last values that the other side of a live source had kept from before, as a broker does with
    /// retained messages: nodes take them by [`Transform::prime`], sinks not at all.
    pub retained: bool,
}

impl SourceBatch {
    /// Readings, all understood.
    #[must_use]
    pub fn readings(readings: Vec<Reading>) -> SourceBatch {
        SourceBatch {
            items: Items::Readings(readings),
            rejects: Vec::new(),
            position: None,
            receipt: None,
            dropped: 0,
            retained: false,
        }
    }
}

/// What a source wants to be told when the host has a batch. Dropped untold, the sender was promised nothing.
pub struct Receipt(Box<dyn FnOnce() + Send>);

impl Receipt {
    /// `tell` is called once, on a thread of the engine's: it must not wait.
    pub fn new(tell: impl FnOnce() + Send + 'static) -> Receipt {
        Receipt(Box::new(tell))
    }

    /// The batch, and all that could not be understood of it, is kept.
    pub fn kept(self) {
        (self.0)();
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// A place in a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which part, as the source knows it again: a file, usually.
    pub part: String,
    /// The first byte not yet read; 0 where only rows count, as in Parquet.
    pub offset: u64,
    /// The number of the last line or row read.
    pub line: u64,
}

impl Position {
    /// The place of a made-up source: when it speaks next.
    pub(crate) fn at_time(due: Timestamp) -> Position {
        Position { part: String::new(), offset: due.as_micros().unsigned_abs(), line: 0 }
    }

    /// What [`Position::at_time`] was made from.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.offset).unwrap_or(i64::MAX))
    }
}

/// Something a node could not take.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    /// Why, as a fragment: "`abc` is not a number".
    pub reason: String,
    /// Where it stood: `data/a.csv:17`.
    pub origin: String,
    /// The original bytes, cut to a few KiB.
    pub bytes: Vec<u8>,
}

/// What turns items into other items. Synchronous and deterministic: the same input at the same times gives the same output,
/// however the input is cut into batches.
pub trait Transform: Send {
    /// Takes a batch from an input port (an index into the declared ports) and emits what follows from it.
    ///
    /// `now` is the time before the batch: it is not before any time given earlier. A reading takes effect at the later of `now`
    /// and its own time. The engine cuts batches so that within one, that time never goes back, and so that no tick falls due
    /// between two of its readings.
    ///
    /// # Errors
    /// [`NodeError::Reject`] sends the batch to the dead letters; the state must then be as before.
    fn apply(
        &mut self,
        now: Timestamp,
        port: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError>;

    /// Takes last values that are no readings ([`SourceBatch::retained`]), at an input port. What is emitted here is no reading either: it
    /// goes to the nodes behind by their `prime`, and to no sink.
    ///
    /// A node that keeps a last value takes one of a series of which it has none; the one it has is of a reading, and tells more. It is no news
    /// and no sign of life, and no reading that comes later is too old beside it. A node that passes readings on passes these on too.
    /// Default: takes nothing, and passes nothing on.
    ///
    /// # Errors
    /// As [`Transform::apply`], but that nothing goes to the dead letters beside the reason.
    fn prime(
        &mut self,
        now: Timestamp,
        port: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let _ = (now, port, batch, out);
        Ok(())
    }

    /// For a node that picks readings out and remembers nothing of the others: by what. Where many such nodes stand behind one port, the
    /// engine looks up who picks a series, and does not call those that do not.
    fn picks(&self) -> Option<Picks<'_>> {
        None
    }

    /// When [`Transform::tick`] wants to be called, if at all. Asked after every call.
    fn next_tick(&self) -> Option<Timestamp> {
        None
    }

    /// For a node that ticks: the least time that can lie between a reading taking effect and a tick that it makes due. `None`
    /// for a node that never ticks. Zero is always right and makes the engine hand over readings one by one in virtual
    /// time; ten seconds let it hand over ten seconds' worth at once.
    fn tick_lead(&self) -> Option<Duration> {
        None
    }

    /// Does what is due at `now`, which is at or after what [`Transform::next_tick`] said; afterwards that must have moved past
    /// `now`. A tick comes before the readings of the same instant.
    ///
    /// # Errors
    /// As [`Transform::apply`].
    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        let _ = (now, out);
        Ok(())
    }

    /// The input ended: emits what is still held.
    ///
    /// # Errors
    /// As [`Transform::apply`].
    fn finish(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        let _ = (now, out);
        Ok(())
    }

    /// Series give their slots back: they were silent for long, and what comes under their names later has other numbers. Emits what is
    /// held of them, as if their input had ended, and drops all that is kept of them. Puts the series that this node made from them
    /// behind them, as far as they exist ([`Context::known_derived_series`]).
    ///
    /// # Errors
    /// As [`Transform::apply`].
    ///
    /// [`Context::known_derived_series`]: crate::context::Context::known_derived_series
    fn forget(
        &mut self,
        now: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let _ = (now, silent, out);
        Ok(())
    }

    /// All that a successor needs to go on as if it were this node.
    ///
    /// # Errors
    /// The state cannot be written down.
    fn snapshot(&self) -> Result<State, StateError> {
        Ok(State::default())
    }

    /// Takes the state of a predecessor, which may have had other settings: keeps of it what still means the same under its own.
    /// Called before anything else. What was due before now is due at the first tick.
    ///
    /// # Errors
    /// Nothing of it can be kept, and the text says why to the user; the node is then as if it had not been called.
    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let _ = state;
        Ok(())
    }
}

/// What a node picks out, on whichever port it comes in.
#[derive(Debug, Clone, Copy)]
pub struct Picks<'a> {
    /// The condition. It does not change while the node lives.
    pub by: &'a Predicate,
    /// The port by which everything else leaves, unchanged. While somebody reads that, the node is given everything.
    pub rest: usize,
}

/// What carries items out of the graph.
#[async_trait]
pub trait Sink: Send {
    /// Takes a batch. The engine retries, backs off and dead-letters by the error.
    ///
    /// # Errors
    /// After [`NodeError::Retry`] the same batch comes again, so nothing of it may have taken effect, or the effect must be
    /// idempotent.
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError>;

    /// Makes what was taken durable or sent. Called when the input pauses, regularly while it does not, and at the end.
    ///
    /// # Errors
    /// As [`Sink::write`]; it is called again.
    async fn flush(&mut self, now: Timestamp) -> Result<(), NodeError> {
        let _ = now;
        Ok(())
    }

    /// What it took and will never get through, where the rest did: asked for after each call. It goes to the dead letters, and counts as done.
    fn take_refused(&mut self) -> Vec<Refused> {
        Vec::new()
    }

    /// A barrier: when this returns, a power cut takes nothing that was taken before. Every ten seconds at most, and before a stop.
    ///
    /// # Errors
    /// As [`Sink::write`]; the barrier is then given up, and a later one tries again.
    async fn checkpoint(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.flush(now).await
    }

    /// For a sink that keeps the position together with the data: the offset ([`Batch::end`]) up to which it durably holds the items
    /// of a kind of this stream. Asked before the first write; from then on all that is written is of this stream.
    fn position(&mut self, stream: Uuid, kind: ItemKind) -> Option<u64> {
        let _ = (stream, kind);
        None
    }

    /// The largest offset of the stream that was asked for with [`Sink::position`] of which it durably holds anything, where it can hold some of
    /// the items behind its position. After a crash the journal may not be able to repeat all up to there; what is new is counted from behind
    /// it, so that it is not taken for what is there.
    fn reach(&mut self) -> u64 {
        0
    }

    /// Whether [`Sink::position`] is the whole truth about what it has: then a [`Sink::flush`] confirms nothing.
    fn keeps_position(&self) -> bool {
        false
    }

    /// How long the input must pause for a [`Sink::flush`].
    fn linger(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// Whether a [`Sink::flush`] does something though all that came before it got through: tidies up, looks after a connection. It is then
    /// called every five seconds while nothing comes; otherwise the sink sleeps as long as its input.
    fn tends(&self) -> bool {
        true
    }

    /// The longest pause that makes sense before a call that failed is tried again, where asking costs nothing. Default: as `retry` says.
    fn longest_pause(&self) -> Option<Duration> {
        None
    }

    /// The last call: [`Sink::flush`], and what only the end needs, such as finalizing a file.
    ///
    /// # Errors
    /// As [`Sink::write`]; it is called again a few times.
    async fn close(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.flush(now).await
    }

    /// Where it says what keeps it from its work while no call fails. Asked once, before the first write.
    fn trouble(&self) -> Option<Trouble> {
        None
    }

    /// Whether its calls may block their thread (file access); it then gets a thread of its own.
    fn blocks(&self) -> bool {
        false
    }
}

/// Items that a sink's other side will never take.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The items.
    pub items: Items,
    /// Why, as a fragment.
    pub reason: String,
}

/// A node, ready to run.
pub enum Node {
    /// Makes readings.
    Source(Box<dyn Source>),
    /// Turns items into other items.
    Transform(Box<dyn Transform>),
    /// Carries items out.
    Sink(Box<dyn Sink>),
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Node::Source(_) => "Source",
            Node::Transform(_) => "Transform",
            Node::Sink(_) => "Sink",
        })
    }
}

/// What went wrong in a node, said as what the engine must do about it. Texts are fragments that fit after "failed: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// It may work later: try the same again.
    #[error("{0}")]
    Retry(String),
    /// It will never work with this input: put it to the dead letters and go on.
    #[error("{0}")]
    Reject(String),
    /// It will not work with any input: rebuild the node.
    #[error("{0}")]
    Fatal(String),
}
