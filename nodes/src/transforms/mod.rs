//! What turns items into other items.

pub mod dedup;
pub mod filter;
pub mod window;
