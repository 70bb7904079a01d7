//! What is kept: history in Parquet, the log of journal and spools, and dead letters. Plain Rust types outside.

pub mod dead_letters;
pub mod history;
pub mod log;
