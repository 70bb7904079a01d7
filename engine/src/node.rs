//! What a node is: one verb per kind, and nothing of the engine. A node never sees a channel, an acknowledgement, a shutdown
//! signal, a retry, a metric or the wall clock: time is an argument.

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::batch::{Batch, ItemKind, Items};
use crate::duration::Duration;
use crate::observation::Observation;
use crate::reading::Reading;
use crate::series::{SeriesId, SeriesMap};
use crate::time::Timestamp;
use crate::trouble::Trouble;
use crate::window::Window;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
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

    /// What it took and will never get through, where the rest did: asked for after each call. It goes to the dead letters, and
    /// counts as done.
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

/// Where a transform puts what it emits. Ports are indices into the declared output ports; 0 is `main`.
#[derive(Debug, Default)]
pub struct Outputs {
    ports: Vec<OutPort>,
    rejects: Vec<Reject>,
}

#[derive(Debug)]
struct OutPort {
    wanted: bool,
    items: Items,
}

/// The index of the port `main`.
pub const MAIN: usize = 0;

impl Outputs {
    /// One port per entry: the kind it carries, and whether anything reads it.
    #[must_use]
    pub fn new(ports: impl IntoIterator<Item = (ItemKind, bool)>) -> Outputs {
        let ports =
            ports.into_iter().map(|(kind, wanted)| OutPort { wanted, items: Items::none(kind) });
        Outputs { ports: ports.collect(), rejects: Vec::new() }
    }

    /// Whether anything reads a port. What is put on a port that nobody reads is dropped, so asking is only needed where making
    /// the item costs something.
    #[inline]
    #[must_use]
    pub fn wants(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| port.wanted)
    }

    /// Says whether anything reads a port.
    pub(crate) fn want(&mut self, port: usize, wanted: bool) {
        if let Some(port) = self.ports.get_mut(port) {
            port.wanted = wanted;
        }
    }

    /// Emits a reading.
    #[inline]
    pub fn reading(&mut self, port: usize, reading: Reading) {
        if let Some(items) = self.readings_mut(port) {
            items.push(reading);
        }
    }

    /// Emits a copy of a reading and gives it, to be changed; `None` where nobody reads the port. The copy is made where it
    /// stays, which is quicker than to move a clone there.
    #[inline]
    pub fn pass(&mut self, port: usize, reading: &Reading) -> Option<&mut Reading> {
        let items = self.readings_mut(port)?;
        items.extend_from_slice(std::slice::from_ref(reading));
        items.last_mut()
    }

    /// Emits a window.
    pub fn window(&mut self, port: usize, window: Window) {
        if let Some(OutPort { wanted: true, items: Items::Windows(items) }) =
            self.ports.get_mut(port)
        {
            items.push(window);
        }
    }

    /// Emits an observation.
    pub fn observation(&mut self, port: usize, observation: Observation) {
        if let Some(OutPort { wanted: true, items: Items::Observations(items) }) =
            self.ports.get_mut(port)
        {
            items.push(observation);
        }
    }

    /// Emits one item of a batch as it is, whatever its kind.
    #[inline]
    pub fn copy(&mut self, port: usize, items: &Items, index: usize) {
        let Some(OutPort { wanted: true, items: into }) = self.ports.get_mut(port) else { return };
        match (into, items) {
            (Items::Readings(into), Items::Readings(from)) => into.extend(from.get(index).cloned()),
            (Items::Windows(into), Items::Windows(from)) => into.extend(from.get(index).cloned()),
            (Items::Observations(into), Items::Observations(from)) => {
                into.extend(from.get(index).cloned());
            }
            _ => debug_assert!(false, "the checker lets one kind through"),
        }
    }

    /// Emits all items of a batch as they are.
    pub fn copy_all(&mut self, port: usize, items: &Items) {
        (0..items.len()).for_each(|index| self.copy(port, items, index));
    }

    /// The readings of a port, for a loop that emits many; `None` where nobody reads it.
    #[inline]
    pub fn readings_mut(&mut self, port: usize) -> Option<&mut Vec<Reading>> {
        match self.ports.get_mut(port) {
            Some(OutPort { wanted: true, items: Items::Readings(items) }) => Some(items),
            _ => None,
        }
    }

    /// Sends something to the dead letters, and goes on with the rest of the batch.
    pub fn reject(&mut self, reject: Reject) {
        self.rejects.push(reject);
    }

    /// What was rejected since the last call.
    pub fn take_rejects(&mut self) -> Vec<Reject> {
        std::mem::take(&mut self.rejects)
    }

    /// What lies on a port; for the engine and for tests.
    #[must_use]
    pub fn items(&self, port: usize) -> Option<&Items> {
        self.ports.get(port).map(|port| &port.items)
    }

    /// Takes what lies on a port and leaves `spare`, emptied, in its place, so that memory is used again.
    pub fn swap(&mut self, port: usize, mut spare: Items) -> Option<Items> {
        let port = self.ports.get_mut(port)?;
        if port.items.is_empty() {
            return None;
        }
        if spare.kind() == port.items.kind() {
            spare.clear();
        } else {
            spare = Items::none(port.items.kind());
        }
        Some(std::mem::replace(&mut port.items, spare))
    }

    /// How many ports there are.
    #[must_use]
    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Forgets everything emitted: what a call that failed left behind.
    pub fn clear(&mut self) {
        self.ports.iter_mut().for_each(|port| port.items.clear());
        self.rejects.clear();
    }
}

/// A node's state, written down. Series are numbers of this process; the engine writes their names beside them and gives
/// the numbers of the process that reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The version of the node's own form; 0 for a node without state.
    pub version: u32,
    /// The series the body speaks of, by position.
    pub series: Vec<SeriesId>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a state cannot be written or taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another version than this node knows.
    #[error("the state is of version {found}; this node knows version {known}")]
    Version {
        /// The version found.
        found: u32,
        /// The version known.
        known: u32,
    },
    /// The body is not what the version says.
    #[error("the state is damaged: {0}")]
    Damaged(String),
    /// The state is whole, but means nothing under the node's settings of now. The text says why, as a fragment that fits after
    /// "state reset: ".
    #[error("{0}")]
    DoesNotFit(String),
}

impl State {
    /// Writes down a state per series and whatever else there is.
    ///
    /// # Errors
    /// The state does not serialise.
    pub fn of_series<T: Serialize, R: Serialize>(
        version: u32,
        map: &SeriesMap<T>,
        rest: &R,
    ) -> Result<State, StateError> {
        let (series, states): (Vec<SeriesId>, Vec<&T>) = map.iter().unzip();
        let body = postcard::to_stdvec(&(states, rest))
            .map_err(|error| StateError::Damaged(error.to_string()))?;
        Ok(State { version, series, body })
    }

    /// Reads what [`State::of_series`] wrote.
    ///
    /// # Errors
    /// Another version, or a damaged body.
    pub fn read_series<T: DeserializeOwned, R: DeserializeOwned>(
        &self,
        known: u32,
    ) -> Result<(SeriesMap<T>, R), StateError> {
        if self.version != known {
            return Err(StateError::Version { found: self.version, known });
        }
        let (states, rest): (Vec<T>, R) = postcard::from_bytes(&self.body)
            .map_err(|error| StateError::Damaged(error.to_string()))?;
        if states.len() != self.series.len() {
            return Err(StateError::Damaged("series and states differ in number".into()));
        }
        let mut map = SeriesMap::new();
        for (id, state) in self.series.iter().zip(states) {
            map.insert(*id, state);
        }
        Ok((map, rest))
    }
}
