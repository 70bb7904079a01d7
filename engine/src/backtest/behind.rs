//! What a recording cannot tell: what was taken out on the way to the sink that made it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;

use crate::config::Section;
use crate::plan::{Graph, PlannedNode};

/// The sources that none of the sinks that keep has directly, by the last node through which one has them.
pub fn behind(
    graph: &Graph,
    keeps: &dyn Fn(&PlannedNode) -> bool,
) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
    let is_source = |index: NodeIndex| graph.dag[index].section == Section::Sources;
    let sinks = graph.nodes().filter(|(_, node)| keeps(node)).map(|(index, _)| index);
    let inputs: BTreeSet<NodeIndex> =
        sinks.flat_map(|sink| graph.inputs(sink)).map(|(index, _)| index).collect();
    let mut found: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
    for &last in inputs.iter().filter(|&&input| !is_source(input)) {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![last]);
        while let Some(above) = waiting.pop() {
            if !seen.insert(above) {
                continue;
            }
            if is_source(above) && !inputs.contains(&above) {
                let sources = found.entry(graph.dag[last].address.clone()).or_default();
                sources.insert(graph.dag[above].address.clone());
            }
            waiting.extend(graph.inputs(above).into_iter().map(|(index, _)| index));
        }
    }
    found
}
