//! Running nodes and pipelines in virtual time: the bench for one node ([`Rig`]), and the tests that users write into their
//! pipelines ([`TestSpec`], [`tests`], [`run`]).

mod check;
mod disturbed;
mod faults;
mod given;
mod judge;
mod lives;
mod rig;
mod runner;
mod seen;
mod spec;
mod wanted;

#[cfg(test)]
mod tests;

pub(crate) use check::check;
pub use rig::{Rig, START};
pub use runner::{TestCase, TestFailure, Variation, run, tests, trace};
pub use spec::{
    DiskFault, ExpectSpec, FaultSpec, GivenSpec, Jump, ObservationSpec, ReadingSpec, Restart,
    TestSpec, WindowSpec,
};
pub use wanted::{Bounds, Wanted};
