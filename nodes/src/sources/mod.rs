//! What makes readings.

pub mod simulate;
pub mod system;
