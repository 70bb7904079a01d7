//! What is kept: history in Parquet, the log of journal and spools, checkpoints, revisions, and dead letters; and what
//! a Python Smollama kept. Plain Rust types outside.

pub mod checkpoints;
pub mod dead_letters;
mod envelope;
pub mod formats;
pub mod history;
pub mod lock;
pub mod log;
pub mod original;
pub mod revisions;
