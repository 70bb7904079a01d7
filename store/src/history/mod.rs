//! The history.

mod chunk;
mod columns;
mod decode;
mod encode;
mod error;
mod readings;
mod table;

pub use decode::Sources;
pub use error::{Error, Result};

#[cfg(test)]
mod figures;
