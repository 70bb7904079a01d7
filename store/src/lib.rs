//! What is kept.
pub mod history;
