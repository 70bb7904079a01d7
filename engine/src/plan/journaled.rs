//! Which sources enter what they read into the journal.

use std::collections::BTreeSet;

use petgraph::stable_graph::NodeIndex;

use super::graph::{Graph, PlannedNode};
use crate::config::Section;
use crate::registry::{Delivery, Pace};

/// The sources whose items the journal has to keep: those that promise, and those from which something is reached that remembers,
/// keeps or sends. Not recordings: they can be read again.
#[must_use]
pub fn journaled(graph: &Graph) -> BTreeSet<NodeIndex> {
    // Against the order of the graph, so that a node comes after all that reads from it.
    let mut matters: BTreeSet<NodeIndex> = BTreeSet::new();
    for &index in graph.order.iter().rev() {
        let below = graph.dag.neighbors(index).any(|next| matters.contains(&next));
        if below || is_missed(&graph.dag[index]) {
            matters.insert(index);
        }
    }
    let is_journaled = |index: NodeIndex, node: &PlannedNode| match node.profile.pace {
        None | Some(Pace::Recorded) => false,
        Some(Pace::Live | Pace::Polled(_) | Pace::Simulated(_)) => {
            node.profile.promises || matters.contains(&index)
        }
    };
    graph
        .nodes()
        .filter(|&(index, node)| is_journaled(index, node))
        .map(|(index, _)| index)
        .collect()
}

/// Whether somebody would miss what a crash takes on its way to this node.
fn is_missed(node: &PlannedNode) -> bool {
    match node.section {
        Section::Sources => false,
        Section::Transforms => node.profile.stateful,
        Section::Agents => true,
        Section::Sinks => matches!(node.profile.delivery, Delivery::Kept | Delivery::Sent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_nodes::graph;

    fn names(yaml: &str) -> Vec<String> {
        let graph = graph(yaml);
        journaled(&graph).iter().map(|&index| graph.dag[index].name.to_string()).collect()
    }

    #[test]
    fn what_matters_to_nobody_is_not_journaled() {
        let yaml = |source: &str, transform: &str, sink: &str| {
            format!(
                "pipeline: home\nsources:\n  air: {{ feed: {source} }}\ntransforms:\n  a: {{ inputs: [air], pass: {{}} }}\n  b: {{ inputs: [a], {transform} }}\nsinks:\n  end: {{ inputs: [b], post: {sink} }}\n"
            )
        };
        let (pass, smooth) = ("pass: {}", "smooth: {}");
        let (shown, kept) = ("{ delivery: shown }", "{ delivery: kept }");
        let (live, promises) = ("{}", "{ promises: true }");
        let recorded = "{ path: a.csv }";
        for (source, transform, sink, journaled) in [
            (live, pass, shown, false),
            (live, smooth, shown, true),
            (live, pass, kept, true),
            (live, pass, "{ delivery: sent }", true),
            (promises, pass, shown, true),
            (recorded, smooth, kept, false),
            ("{ polled: 1s }", smooth, shown, true),
            ("{ polled: 1s, simulated: true }", smooth, shown, true),
            ("{ polled: 1s }", pass, shown, false),
        ] {
            let found = names(&yaml(source, transform, sink));
            assert_eq!(found.len(), usize::from(journaled), "{source} {transform} {sink}");
        }
    }

    #[test]
    fn each_source_is_asked_for_itself() {
        let yaml = "\
pipeline: home
sources:
  air: { feed: {} }
  soil: { feed: {}, as: soil }
  rain: { feed: {}, as: rain }
transforms:
  news: { inputs: [soil], smooth: {} }
sinks:
  show: { inputs: [air, news], post: { delivery: shown } }
  file: { inputs: [rain], post: { delivery: kept } }
";
        assert_eq!(names(yaml), ["soil", "rain"]);
    }
}
