//! What turns items into other items.

mod counter;
pub mod novelty;
#[cfg(test)]
mod recordings;
mod text_hash;
pub mod volatility;
