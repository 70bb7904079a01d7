//! What a candidate graph would change about the one that runs: pure data, made for the plan a person reads, for `apply`, and for
//! scripts.
//!
//! ```text
//! pairs(old, new)                   which node is the successor of which           pairs.rs, recognise.rs
//! settings::differences(old, new)   what differs between a node and its successor  settings.rs
//! changes.affected(old, new)        the part of both graphs that an apply stops    affected.rs
//! changes.plan(old, new, backlog)   rows for programs, and text for people         show.rs, text.rs
//! ```
//!
//! Formatting, comments, the order of keys, a default that is written out: none of it is a change. Settings are compared as
//! their types compare ([`Settings::equals`](crate::registry::Settings::equals)); the trees that were written only say which of
//! them differ.

mod affected;
mod pairs;
mod pipelines;
mod recognise;
mod settings;
mod show;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;
use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use affected::Affected;
use pairs::Pairs;
pub(crate) use pairs::pairs;
pub use pipelines::{PipelineChange, PipelineFate};
pub use show::{Backlog, PipelineRow, Plan, Row, RowChange, RowState, Summary, Undone, Waiting};

use super::graph::{Graph, PlannedNode, Wire};
use crate::config::Section;
use crate::registry::Pace;
use crate::run::{Origin, Transition};

/// From the graph that runs to a candidate.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The nodes of the candidate in its order, then those that go, in the order they had. Each node of either graph is in
    /// exactly one of them.
    pub nodes: Vec<NodeChange>,
    /// Edges that only the candidate has, with its indices.
    pub edges_added: Vec<Edge>,
    /// Edges that only the running graph has, with its indices.
    pub edges_removed: Vec<Edge>,
    /// The pipelines of the candidate, then those that go.
    pub pipelines: Vec<PipelineChange>,
    pairs: Pairs,
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub struct NodeChange {
    /// Its index in the running graph; `None` if it is added.
    pub old: Option<NodeIndex>,
    /// Its index in the candidate; `None` if it is removed.
    pub new: Option<NodeIndex>,
    /// `pipeline/node`, as it will be called; of one that goes, as it was.
    pub address: Arc<str>,
    /// The section it stands in.
    pub section: Section,
    /// Its type, as it will be; of one that goes, as it was.
    pub type_name: Arc<str>,
    /// The address it had, if that was another.
    pub renamed_from: Option<Arc<str>>,
    /// Its inputs, if other edges enter it than before. That alone leaves the node itself alone.
    pub inputs: Option<Difference>,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is what it was, under the name it had: the running object lives on.
    Kept,
    /// It is new.
    Added,
    /// It goes.
    Removed,
    /// It is made anew in place of its predecessor, whose queue, spool and leases it inherits.
    Changed {
        /// What differs; nothing if only its name does.
        what: Vec<Difference>,
        /// What becomes of the state.
        state: StateFate,
    },
}

/// What becomes of the state of a node that is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateFate {
    /// The successor goes on with it.
    Keeps,
    /// The successor begins with nothing.
    Resets {
        /// Why, as a fragment.
        why: String,
    },
    /// It has none.
    Stateless,
    /// Nobody could be asked whether it fits; it is kept if it does.
    Unknown,
}

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The setting as a dotted path below the node: `dedup.deadband`, `queue.size`.
    pub path: String,
    /// As it was; `None` if it was not written.
    pub from: Option<String>,
    /// As it will be; `None` if it is not written. Where both are `None` the values are not shown.
    pub to: Option<String>,
}

/// An edge, by the indices of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Where it begins.
    pub from: NodeIndex,
    /// Where it ends.
    pub to: NodeIndex,
    /// The ports.
    pub wire: Wire,
}

/// Says whether a node can go on with the state of its predecessor, which is of the same type and has other settings. Only the
/// node itself knows: whoever runs the graph makes the new one and lets it restore a snapshot of the old one.
pub type Judge<'a> = dyn Fn(&PlannedNode, &PlannedNode) -> StateFate + 'a;

/// The judge of those who run nothing and so cannot ask.
#[must_use]
pub fn nobody_asked(_: &PlannedNode, _: &PlannedNode) -> StateFate {
    StateFate::Unknown
}

/// Compares the graph that runs with a candidate.
#[must_use]
pub fn diff(old: &Graph, new: &Graph, judge: &Judge<'_>) -> Changes {
    let pairs = pairs::pairs(old, new);
    let mut nodes = Vec::with_capacity(new.order.len());
    for (index, node) in new.nodes() {
        let before = pairs.old_of(index);
        let (change, inputs) = match before {
            None => (Change::Added, None),
            Some(before) => (
                change(&old.dag[before], node, judge),
                settings::inputs((old, before), (new, index), &pairs),
            ),
        };
        let renamed_from = before.map(|before| &old.dag[before].address);
        nodes.push(NodeChange {
            old: before,
            new: Some(index),
            address: node.address.clone(),
            section: node.section,
            type_name: node.type_name.clone(),
            renamed_from: renamed_from.filter(|&name| *name != node.address).cloned(),
            inputs,
            change,
        });
    }
    for (index, node) in old.nodes().filter(|&(index, _)| pairs.new_of(index).is_none()) {
        nodes.push(NodeChange {
            old: Some(index),
            new: None,
            address: node.address.clone(),
            section: node.section,
            type_name: node.type_name.clone(),
            renamed_from: None,
            inputs: None,
            change: Change::Removed,
        });
    }
    let (edges_added, edges_removed) = edges(old, new, &pairs);
    let pipelines = pipelines::changes(old, new, &nodes);
    Changes { nodes, edges_added, edges_removed, pipelines, pairs }
}

fn change(old: &PlannedNode, new: &PlannedNode, judge: &Judge<'_>) -> Change {
    let what = settings::differences(old, new);
    if what.is_empty() && old.address == new.address {
        return Change::Kept;
    }
    let state = if !has_state(old) {
        StateFate::Stateless
    } else if old.type_name != new.type_name {
        StateFate::Resets { why: format!("it was of type {}", old.type_name) }
    } else if settings::reach_the_state(old, new) {
        judge(old, new)
    } else {
        StateFate::Keeps
    };
    Change::Changed { what, state }
}

/// Whether a node remembers anything. What a sink holds is in its queue and spool, and those are the engine's.
fn has_state(node: &PlannedNode) -> bool {
    node.profile.stateful
        || node.section == Section::Agents
        || node.profile.pace == Some(Pace::Recorded)
}

/// The edges that only one of the two graphs has. Ports are compared by name: which index a name has can depend on the settings.
fn edges(old: &Graph, new: &Graph, pairs: &Pairs) -> (Vec<Edge>, Vec<Edge>) {
    let edge = |from, to, wire: &Wire| Edge { from, to, wire: *wire };
    let all = |graph: &Graph| -> Vec<Edge> {
        let edges = graph.dag.edge_references();
        edges.map(|one| edge(one.source(), one.target(), one.weight())).collect()
    };
    let (olds, news) = (all(old), all(new));
    let in_new: BTreeSet<_> = news.iter().map(|one| (one.from, one.to, named(new, one))).collect();
    // An old edge, as the candidate would call it.
    let carried =
        |one: &Edge| Some((pairs.new_of(one.from)?, pairs.new_of(one.to)?, named(old, one)));
    let carried_over: BTreeSet<_> = olds.iter().filter_map(carried).collect();
    let added = news
        .iter()
        .filter(|one| !carried_over.contains(&(one.from, one.to, named(new, one))))
        .copied();
    let removed =
        olds.iter().filter(|one| carried(one).is_none_or(|key| !in_new.contains(&key))).copied();
    (added.collect(), removed.collect())
}

/// The ports at the two ends of an edge.
fn named<'a>(graph: &'a Graph, edge: &Edge) -> (&'a str, &'a str) {
    let port = graph.dag[edge.to].profile.inputs.get(edge.wire.to);
    (graph.dag[edge.from].output_name(edge.wire.from), port.map_or("", |port| port.name))
}

impl NodeChange {
    /// Whether nothing about the node or its inputs changes.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.change == Change::Kept && self.inputs.is_none()
    }
}

impl Changes {
    /// Whether there is nothing to apply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.iter().all(NodeChange::is_nothing)
            && self.pipelines.iter().all(|one| one.fate == PipelineFate::Kept)
    }

    /// The node of the candidate that follows a node of the running graph.
    #[must_use]
    pub fn successor(&self, old: NodeIndex) -> Option<NodeIndex> {
        self.pairs.new_of(old)
    }

    /// The same for whoever carries it out: where each node comes from. One whose state is reset comes from nowhere.
    #[must_use]
    pub fn transition(&self, old: &Graph) -> Transition {
        let origin = |node: &NodeChange| {
            let kept = match &node.change {
                Change::Kept => true,
                Change::Changed { state: StateFate::Resets { .. }, .. } => return None,
                Change::Changed { .. } => false,
                Change::Added | Change::Removed => return None,
            };
            let address = old.dag[node.old?].address.clone();
            Some((node.address.clone(), Origin { address, kept }))
        };
        Transition { origins: self.nodes.iter().filter_map(origin).collect() }
    }

    /// The node of the running graph that a node of the candidate follows.
    #[must_use]
    pub fn predecessor(&self, new: NodeIndex) -> Option<NodeIndex> {
        self.pairs.old_of(new)
    }
}
