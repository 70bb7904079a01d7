//! What turns items into other items.

mod counter;
pub mod novelty;
#[cfg(test)]
mod recordings;
