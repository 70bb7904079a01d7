//! What a pipeline is and how it runs.
pub mod config;
pub mod diagnostic;
pub mod disk;
