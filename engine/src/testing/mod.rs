//! Running nodes and pipelines in virtual time.

mod rig;

pub use rig::{Rig, START};
