//! What makes readings.

pub mod simulate;
