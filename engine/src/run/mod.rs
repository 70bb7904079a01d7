//! A graph at work: one loop per source and sink, one island of transforms between them per connected part.

mod assembly;
mod dead_letter;
mod island;
mod part;
mod queue;
mod retry;
mod sink;
mod slices;
mod slot;
mod source;
mod stats;
#[cfg(test)]
mod tests;
mod topology;
mod virtual_time;

pub use dead_letter::{DeadContent, DeadLetter, DeadLetters, KeptLetters};
pub use island::{Port, Watch};
pub use queue::{Giver, Parcel, QUEUE_MIN, QueueSpec, Taker, WhenFull, queue};
pub use retry::{Backoff, RetrySpec};
pub(crate) use slices::{Cut, next_cut};
pub use stats::NodeStats;
pub use topology::{BuildError, Options, Topology};
