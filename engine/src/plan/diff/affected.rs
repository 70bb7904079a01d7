//! The part of the graph that an apply has to stop.

use std::collections::BTreeSet;

use petgraph::stable_graph::NodeIndex;

use super::{Change, Changes};
use crate::plan::graph::Graph;

/// The nodes that a barrier has to pass before a change is made: every one that is added, changed or removed or that other edges
/// enter, and all that lies downstream of one, in both graphs. A node is in either both sets or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// In the running graph.
    pub old: BTreeSet<NodeIndex>,
    /// In the candidate.
    pub new: BTreeSet<NodeIndex>,
}

impl Changes {
    /// What an apply of these changes has to stop; the graphs are those that were compared.
    #[must_use]
    pub fn affected(&self, old: &Graph, new: &Graph) -> Affected {
        let mut affected = Affected::default();
        let mut waiting = Vec::new();
        for node in &self.nodes {
            if node.change != Change::Kept || node.inputs.is_some() {
                waiting.extend(node.old.map(Side::Old));
                waiting.extend(node.new.map(Side::New));
            }
        }
        while let Some(node) = waiting.pop() {
            // A node downstream in one graph need not be in the other, so each takes its partner along.
            match node {
                Side::Old(index) if affected.old.insert(index) => {
                    waiting.extend(old.dag.neighbors(index).map(Side::Old));
                    waiting.extend(self.successor(index).map(Side::New));
                }
                Side::New(index) if affected.new.insert(index) => {
                    waiting.extend(new.dag.neighbors(index).map(Side::New));
                    waiting.extend(self.predecessor(index).map(Side::Old));
                }
                _ => {}
            }
        }
        affected
    }
}

enum Side {
    Old(NodeIndex),
    New(NodeIndex),
}
