//! What makes readings.

pub mod exec;
pub mod file_watch;
pub mod http;
pub mod mqtt;
pub mod replay;
pub mod simulate;
pub mod socket;
pub mod system;
pub mod webhook;
