//! What is kept.

pub mod dead_letters;
