//! What carries items out of the graph.

pub mod console;
pub mod discard;
pub mod exec;
pub mod file;
pub mod http;
pub mod mqtt;
pub mod parquet;
pub mod sqlite;
