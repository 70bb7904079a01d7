//! A graph at work: one loop per source and sink, one island of transforms between them per connected part.

mod assembly;
mod barrier;
mod blocking;
mod census;
mod change;
mod command;
mod dead_letter;
mod exits;
mod fan;
mod give_back;
mod heritage;
mod inbox;
mod island;
mod keep;
mod making;
pub(crate) mod memory;
mod outlets;
mod part;
mod queue;
mod raise;
mod retry;
mod sink;
mod slices;
mod slot;
mod source;
mod stats;
mod stop;
#[cfg(test)]
mod tests;
mod topology;
mod virtual_time;
mod watch;

pub(crate) use assembly::{Assembly, Part};
pub use barrier::{CheckpointState, NoCheckpoint};
pub use change::{Applied, NotApplied, Origin, Transition};
pub use dead_letter::{DeadContent, DeadLetter, DeadLetters, KeptLetters};
pub(crate) use heritage::Stream;
pub(crate) use island::Island;
pub use keep::{
    Checkpoint, Checkpoints, Event, Fill, Full, Journal, JournalReader, PartCut, Record, SinkCut,
    SourceCut, Spool, SpoolError, Spools,
};
pub use queue::{Gauge, Giver, Parcel, QUEUE_MIN, QueueSpec, SPOOL_MIN, Taker, WhenFull, queue};
pub use retry::{Backoff, RetrySpec};
pub(crate) use slices::{Cut, next_cut};
pub use stats::NodeStats;
pub use topology::{BuildError, Keep, NodeGauge, NotStarted, Options, Topology};
pub use watch::{Port, Watch};
