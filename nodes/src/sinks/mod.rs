//! What carries items out of the graph.

pub mod parquet;
