//! What the engine asks of whoever keeps things: a journal, spools, checkpoints (`docs/adr/0006-delivery.md`). The store has them
//! on disk.

use std::fmt;
use std::io;
use std::sync::Arc;

use uuid::Uuid;

use crate::batch::{Batch, Items};
use crate::bytes::ByteSize;
use crate::node::{Position, Receipt, State};
use crate::series::SeriesId;
use crate::time::Timestamp;

/// Something that happened to the host and that a replay must repeat.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Items entered by a source.
    Items {
        /// The key of the source ([`SourceCut::key`]), or the address of a node that was given dead letters once more.
        source: Arc<str>,
        /// When they were received.
        received: Timestamp,
        /// What entered.
        items: Items,
        /// Where the source goes on from, where it can seek.
        position: Option<Position>,
        /// They are last values, and no readings ([`SourceBatch::retained`]).
        ///
        /// [`SourceBatch::retained`]: crate::node::SourceBatch::retained
        retained: bool,
    },
    /// Nodes ticked while nothing entered.
    Tick {
        /// The address of one of them.
        node: Arc<str>,
    },
    /// Series of a source were silent for long, and gave their slots back: what the graph kept of them is dropped.
    Forgotten {
        /// The key of the source ([`SourceCut::key`]).
        source: Arc<str>,
        /// The series, as they were given: not those that were made from them.
        series: Vec<SeriesId>,
    },
    /// A sink has confirmed all up to an offset of its stream.
    Confirmed {
        /// The stream ([`SinkCut::stream`]), and not the sink: another one may bear its address later.
        stream: Uuid,
        /// The offset after the last item confirmed. A later record may say less: a power cut took what had been confirmed.
        end: u64,
    },
    /// The host began anew, and a sink had this much of its stream. That may be more than the events before can make again, as the last of
    /// them may be lost while what they led to is not. What comes behind is counted from here on.
    Resumed {
        /// The stream ([`SinkCut::stream`]).
        stream: Uuid,
        /// The offset after the last item it had.
        end: u64,
    },
    /// A cut was taken of a part. A transform that breaks is made anew from the last cut, in the replay as it was in the live run,
    /// also where that cut never became a checkpoint.
    Cut {
        /// The address of one of its transforms.
        node: Arc<str>,
        /// The number of the last event that had taken effect there.
        seq: u64,
    },
}

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its number: larger than that of any record before it, in this life of the process or an earlier one.
    pub seq: u64,
    /// The time it takes effect.
    pub now: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The journal has no room, or its disk takes nothing: the event was not kept.
#[derive(Debug)]
pub struct Full {
    /// Given back for the next try.
    pub receipt: Option<Receipt>,
}

/// How much something holds of what it may hold, and what it cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Bytes on disk and on their way there.
    pub bytes: u64,
    /// Bytes it may hold.
    pub cap: u64,
    /// Bytes written since it was opened.
    pub written: u64,
    /// Syncs since it was opened.
    pub syncs: u64,
    /// Segments found damaged, and put aside.
    pub quarantined: u64,
}

/// One per host: everything that enters, in the order in which it does, until a checkpoint makes it superfluous.
pub trait Journal: fmt::Debug + Send + Sync {
    /// Appends an event and numbers it. Returns at once: the receipt tells when the event is kept, at the durability of the journal.
    ///
    /// # Errors
    /// No room; nothing was appended and no number was taken.
    fn append(&self, now: Timestamp, event: &Event, receipt: Option<Receipt>) -> Result<u64, Full>;

    /// The number given last; 0 before the first.
    fn last_seq(&self) -> u64;

    /// Takes a number without an event: for what enters and need not be kept.
    fn skip_seq(&self) -> u64;

    /// Reads what was appended behind a number, in order, also what has not reached the disk yet. May block.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn read_after(&self, seq: u64) -> io::Result<Box<dyn JournalReader>>;

    /// Lets go of all up to a number: a durable checkpoint is past it.
    fn free(&self, upto: u64);

    /// Waits until everything appended so far is as durable as it ever gets. Blocks.
    ///
    /// # Errors
    /// The disk does not take it.
    fn sync(&self) -> io::Result<()>;

    /// How full it is, and what it cost.
    fn fill(&self) -> Fill;

    /// Whether the machine went down since the journal was last written: what was in the page cache then is gone.
    fn power_was_cut(&self) -> bool;
}

/// Reads a journal from front to back.
pub trait JournalReader: Send {
    /// The next record; `None` at the end as it is now: asked again later there may be more. May block.
    ///
    /// # Errors
    /// Whatever the disk says. Damaged parts are skipped and counted, not an error.
    fn next(&mut self) -> io::Result<Option<Record>>;
}

/// Where spools are made.
pub trait Spools: fmt::Debug + Send + Sync {
    /// Opens the spool of that name, or makes it. `cap`: the bytes it may hold on disk.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn open(&self, name: &str, cap: ByteSize) -> io::Result<Box<dyn Spool>>;

    /// Removes a spool that nobody needs any more; fine if there is none.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Whether the calls of a spool may block their thread. The loop that uses it then makes them where that is fine.
    fn blocks(&self) -> bool {
        true
    }
}

/// What waits on disk for the other side of a sink. Used by one loop.
pub trait Spool: fmt::Debug + Send {
    /// Puts a batch behind all others.
    ///
    /// # Errors
    /// No room, or the disk takes nothing: the batch was not taken.
    fn append(&mut self, batch: &Batch) -> Result<(), SpoolError>;

    /// Makes all that was appended as durable as the host's settings say.
    ///
    /// # Errors
    /// The disk does not take it.
    fn persist(&mut self) -> io::Result<()>;

    /// The oldest batch not yet taken; `None` when all were. It stays until it is confirmed.
    ///
    /// # Errors
    /// Whatever the disk says. Damaged parts are skipped and counted, not an error.
    fn next(&mut self) -> io::Result<Option<Batch>>;

    /// Takes again from the oldest batch that is not confirmed.
    fn rewind(&mut self);

    /// All up to this offset is done with; frees what holds nothing else.
    fn confirm(&mut self, end: u64);

    /// The offset after the last item it holds or held; `None` when it never held one.
    fn last_end(&self) -> Option<u64>;

    /// How many items wait.
    fn items(&self) -> u64;

    /// Whether nothing waits, here or on its way to the disk: [`Spool::next`] has nothing then, and it and [`Spool::confirm`] do not block.
    fn is_at_rest(&self) -> bool;

    /// How full it is, and what it cost.
    fn fill(&self) -> Fill;
}

/// Why a spool did not take a batch.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// No room below the cap.
    #[error("the spool is full")]
    Full,
    /// The disk said no.
    #[error("the spool cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// One consistent cut per part of the graph, and the revision they belong to. Its writing is what commits an apply.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// Larger than any before it.
    pub number: u64,
    /// The revision that runs; 0 for none.
    pub revision: u64,
    /// The number of the journal's last record when it was taken: numbers go on from there even when the journal is lost.
    pub seq: u64,
    /// The parts.
    pub cuts: Vec<PartCut>,
}

/// A connected part of the graph as it was between two events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartCut {
    /// The number of the last event that had taken effect.
    pub seq: u64,
    /// The time it had.
    pub now: Timestamp,
    /// Its sources.
    pub sources: Vec<SourceCut>,
    /// The states of its transforms, by address; and by that of each source when its series last spoke.
    pub states: Vec<(Arc<str>, State)>,
    /// Its sinks.
    pub sinks: Vec<SinkCut>,
}

/// A source in a cut.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceCut {
    /// Its address.
    pub address: Arc<str>,
    /// What it is called in the journal: the address it had first. It keeps that when it is renamed, so that what it gave before is
    /// still known to be its own.
    pub key: Arc<str>,
    /// Where it goes on from, where it can seek.
    pub position: Option<Position>,
    /// How many items behind the position were taken already.
    pub taken: u64,
    /// All of its events up to this number had taken effect; the journal is not needed for them.
    pub done: u64,
    /// Whether it has come to its end.
    pub ended: bool,
}

/// A sink in a cut.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkCut {
    /// Its address.
    pub address: Arc<str>,
    /// What its offsets count in; a new one when they begin at 0 again.
    pub stream: Uuid,
    /// How many items had been sent towards it. All of them are with the sink or in its spool.
    pub sent: u64,
    /// The name of its spool.
    pub spool: Option<String>,
}

/// Where checkpoints are kept.
pub trait Checkpoints: fmt::Debug + Send + Sync {
    /// Writes one; once this returns a power cut leaves it, and before that the one before. Blocks. Says how many bytes it took.
    ///
    /// # Errors
    /// The disk does not take it: the one before is still the latest.
    fn write(&self, checkpoint: &Checkpoint) -> io::Result<u64>;

    /// The newest that is whole.
    ///
    /// # Errors
    /// Whatever the disk says; a newer release wrote it.
    fn latest(&self) -> io::Result<Option<Checkpoint>>;

    /// Whether its calls, and the freeing of the journal beside them, may block their thread. They are then made where that is fine.
    fn blocks(&self) -> bool {
        true
    }
}
