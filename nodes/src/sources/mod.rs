//! What makes readings.

pub mod mqtt;
pub mod replay;
pub mod simulate;
pub mod socket;
pub mod system;
