//! The only code that touches the outside, shared by nodes.

pub mod child;
pub mod http;
pub mod message;
pub mod mqtt;
pub mod outbound;
pub mod rows;
pub mod template;
pub mod tls;
