//! One running engine: opens what it keeps, resumes what ran, applies what is asked for, and shows how it is.
//!
//! ```text
//! Kept::open(host, settings)      the lock, the journal, spools, checkpoints, revisions, dead letters      kept.rs
//! Supervisor::start(..)           resumes the revision that ran; a task that owns the topology             supervisor.rs
//! Handle                          implements `Control`: what the API, the command line and signals use      handle.rs
//! candidate(..)                   the graph that an apply would make, out of files and of what runs        candidate.rs
//! Comparison::new(..)                   what runs and a candidate, to be run over recorded readings      comparison.rs
//! AtRest::open(host)              the same data directory where no engine runs: plans, history, dead letters  at_rest.rs
//! stage(..), load(..)             what a revision keeps of it                                              revision.rs
//! ```
//!
//! A crate of its own because it is the one place that knows the engine and the store together; the API sees only
//! [`Control`](smollama_engine::control::Control).

mod at_rest;
mod candidate;
mod comparison;
mod handle;
mod kept;
mod letters;
mod logs;
mod revision;
mod status;
mod supervisor;
mod taps;
#[cfg(test)]
mod tests;

pub use at_rest::AtRest;
pub use comparison::Comparison;
pub use handle::Handle;
pub use kept::{Kept, KeptError, Settings};
pub use logs::{LogTap, Logs};
pub use supervisor::{Start, Supervisor};
