//! What a pipeline is and how it runs.
//!
//! The engine knows no protocol, no HTTP, no SQL, no Parquet and no model: those live in the crates above it. It knows what
//! flows ([`reading`], [`window`], [`observation`], in [`batch`]es), what a node is ([`node`]), and where types of node are found
//! ([`registry`]).

pub mod backtest;
pub mod batch;
pub mod bytes;
pub mod clock;
pub mod condition;
pub mod config;
pub mod context;
pub mod control;
pub mod diagnostic;
pub mod disk;
pub mod duration;
pub mod glob;
pub mod json;
pub mod labels;
pub mod lease;
pub mod log_limit;
pub mod node;
pub mod observation;
pub mod one_or_many;
pub mod plan;
pub mod reading;
pub mod reference;
pub mod registry;
pub mod run;
pub mod running;
pub mod schema;
pub mod series;
pub mod testing;
pub mod time;
pub mod topic;
pub mod trouble;
pub mod unit;
pub mod window;
