//! Brokers: connections that all nodes of a host share.
mod link;
mod message;
pub use message::{Publication, Qos};
