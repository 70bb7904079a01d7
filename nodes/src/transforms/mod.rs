//! What turns items into other items.

pub mod adaptive_rate;
pub mod alarm;
pub mod combine;
mod counter;
pub mod dedup;
mod expression;
pub mod filter;
pub mod gate;
mod groups;
pub mod join;
pub mod latest;
pub mod merge;
pub mod novelty;
#[cfg(test)]
mod recordings;
#[cfg(test)]
mod silent;
pub mod volatility;
pub mod window;
