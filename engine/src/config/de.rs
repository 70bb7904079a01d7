//! Typed settings out of a tree, with every error at its place.
use serde::de::DeserializeOwned;

use super::tree::Node;
use crate::diagnostic::{Diagnostics, Span};

/// Reads `node` as `T`.
pub fn read<T: DeserializeOwned>(
    _node: &Node,
    _key: Span,
    _what: &str,
    _diagnostics: &mut Diagnostics,
) -> Option<T> {
    None
}
