//! The only code that touches the outside, shared by nodes.

pub mod rows;
pub mod tls;
