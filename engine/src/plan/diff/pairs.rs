//! Which node of the candidate is the successor of which node that runs.

use std::collections::HashMap;

use petgraph::stable_graph::NodeIndex;

use super::recognise::recognise;
use crate::plan::graph::Graph;

/// Nodes of two graphs, one to one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    to_new: HashMap<NodeIndex, NodeIndex>,
    to_old: HashMap<NodeIndex, NodeIndex>,
}

impl Pairs {
    /// Makes two nodes a pair, unless one of them has a partner.
    pub(crate) fn add(&mut self, old: NodeIndex, new: NodeIndex) {
        if !self.to_new.contains_key(&old) && !self.to_old.contains_key(&new) {
            self.to_new.insert(old, new);
            self.to_old.insert(new, old);
        }
    }

    pub(crate) fn new_of(&self, old: NodeIndex) -> Option<NodeIndex> {
        self.to_new.get(&old).copied()
    }

    pub(crate) fn old_of(&self, new: NodeIndex) -> Option<NodeIndex> {
        self.to_old.get(&new).copied()
    }
}

/// First what the user says with `renamed_from`, then what has the name it had, then what is recognised.
pub(crate) fn pairs(old: &Graph, new: &Graph) -> Pairs {
    let mut pairs = Pairs::default();
    let by_address = |graph: &Graph| -> HashMap<_, NodeIndex> {
        graph.nodes().map(|(index, node)| (node.address.clone(), index)).collect()
    };
    let (olds, news) = (by_address(old), by_address(new));
    for (index, node) in new.nodes() {
        // A word that stays in the file after its apply names a node that is long gone: then it says nothing.
        let before = node.renamed_from.as_ref().filter(|from| !news.contains_key(*from));
        if let Some(&before) = before.and_then(|from| olds.get(from))
            && old.dag[before].section == node.section
        {
            pairs.add(before, index);
        }
    }
    for (index, node) in new.nodes() {
        if let Some(&before) = olds.get(&node.address)
            && old.dag[before].section == node.section
        {
            pairs.add(before, index);
        }
    }
    recognise(old, new, &mut pairs);
    pairs
}
