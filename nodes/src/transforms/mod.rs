//! What turns items into other items.

pub mod adaptive_rate;
pub mod alarm;
mod amount;
pub mod cadence;
pub mod combine;
mod counter;
pub mod dedup;
pub mod derive;
mod expression;
pub mod fill;
pub mod filter;
pub mod gate;
mod groups;
pub mod join;
pub mod latest;
mod made;
pub mod map;
pub mod merge;
pub mod novelty;
pub mod rate_limit;
#[cfg(test)]
mod recordings;
pub mod route;
pub mod sample;
#[cfg(test)]
mod silent;
mod text_id;
pub mod volatility;
pub mod watchdog;
pub mod window;
