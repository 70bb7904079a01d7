//! What is kept: history in Parquet, and dead letters. Plain Rust types outside.

pub mod dead_letters;
pub mod history;
