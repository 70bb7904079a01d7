//! Looking at what moves through a graph.

use std::sync::Arc;

use crate::batch::Items;

/// Where items were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Leaving by an output port.
    Output(usize),
    /// Entering a sink.
    Input,
}

/// Someone who looks at everything that moves: the live view, tests, taps. Called for every batch, so it must be quick.
pub trait Watch: std::fmt::Debug + Send + Sync {
    /// Items were seen at a node.
    fn saw(&self, address: &Arc<str>, port: Port, items: &Items);

    /// Last values that are no readings were seen at a node.
    fn saw_retained(&self, address: &Arc<str>, port: Port, items: &Items) {
        let _ = (address, port, items);
    }

    /// Whether it looks at that port: only those are filled that are read or looked at.
    fn wants(&self, address: &str, port: Port) -> bool {
        let _ = (address, port);
        true
    }
}
