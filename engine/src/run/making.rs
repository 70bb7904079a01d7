//! Making nodes, and giving them the states that others left.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;

use super::heritage::Heritage;
use super::slot::{panic_text, restore};
use super::topology::BuildError;
use crate::context::Host;
use crate::node::Node;
use crate::plan::{Graph, PlannedNode};
use crate::registry::Problem;

/// Makes nodes.
pub(super) fn make(
    nodes: impl Iterator<Item = NodeIndex>,
    graph: &Graph,
    host: &Arc<Host>,
) -> Result<BTreeMap<NodeIndex, Node>, Vec<BuildError>> {
    let mut made = BTreeMap::new();
    let mut errors = Vec::new();
    for index in nodes {
        match make_one(&graph.dag[index], host) {
            Ok(one) => drop(made.insert(index, one)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(made) } else { Err(errors) }
}

/// Makes a node. One that panics cannot be made.
pub(super) fn make_one(node: &PlannedNode, host: &Arc<Host>) -> Result<Node, BuildError> {
    let made = catch_unwind(AssertUnwindSafe(|| node.build(host)));
    let made = made.unwrap_or_else(|panic| {
        Err(Problem::at("", format!("it panicked: {}", panic_text(&*panic))))
    });
    made.map_err(|problem| BuildError {
        address: node.address.clone(),
        span: node.type_span,
        problem,
    })
}

/// Gives new transforms the states that were left to them. One that does not take its state begins anew.
pub(super) fn give_states(
    graph: &Graph,
    host: &Arc<Host>,
    made: &mut BTreeMap<NodeIndex, Node>,
    heritage: &mut Heritage,
) {
    for (index, node) in graph.nodes() {
        let Some(Node::Transform(transform)) = made.get_mut(&index) else { continue };
        let Some(state) = heritage.states.get(&node.address) else { continue };
        let Err(why) = restore(&mut **transform, state) else { continue };
        tracing::error!(node = %node.address, "it begins anew: {why}");
        heritage.states.remove(&node.address);
        // Half restored is neither old nor new.
        match make_one(node, host) {
            Ok(anew) => drop(made.insert(index, anew)),
            Err(BuildError { problem, .. }) => {
                tracing::error!(node = %node.address, "it cannot be made anew: {}", problem.message);
            }
        }
    }
}
