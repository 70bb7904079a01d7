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
        // An edge that only one of the graphs has ends at a node whose inputs differ, and that is a beginning in both. So what lies
        // downstream of the beginnings in one graph does so in the other, as far as it is there.
        let touched = || {
            self.nodes.iter().filter(|node| node.change != Change::Kept || node.inputs.is_some())
        };
        Affected {
            old: downstream(old, touched().filter_map(|node| node.old).collect()),
            new: downstream(new, touched().filter_map(|node| node.new).collect()),
        }
    }
}

/// The nodes to begin with, and all that can be reached from them.
fn downstream(graph: &Graph, mut waiting: Vec<NodeIndex>) -> BTreeSet<NodeIndex> {
    let mut found = BTreeSet::new();
    while let Some(index) = waiting.pop() {
        if found.insert(index) {
            waiting.extend(graph.dag.neighbors(index));
        }
    }
    found
}
