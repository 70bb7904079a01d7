//! Pictures of a checked graph: text for Mermaid and Graphviz, and an SVG of our own that needs no tool.
//!
//! In all of them a pipeline is a box around its nodes, the shape of a node says its kind, a port is written on the edge where it
//! is not `main`, and the line says what flows: readings thin, windows thick, observations dashed.

mod dot;
mod layout;
mod mermaid;
mod svg;
#[cfg(test)]
mod tests;

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::svg;

use petgraph::stable_graph::NodeIndex;

use super::{Graph, by_pipeline};
use crate::batch::ItemKind;

/// The name of the port that is not written.
const MAIN: &str = "main";

/// An edge, ready to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    from: NodeIndex,
    to: NodeIndex,
    kind: ItemKind,
    /// The ports that are not `main`: `dropped`, `→ control`.
    label: String,
}

/// All edges, in the order of the graph.
fn lines(graph: &Graph) -> Vec<Line> {
    let mut lines = Vec::new();
    for (from, node) in graph.nodes() {
        for (output, to, input) in graph.outgoing(from) {
            let out_name = node.output_name(output);
            let target = &graph.dag[to];
            let in_name = target.profile.inputs.get(input).map_or(MAIN, |port| port.name);
            let mut label = if out_name == MAIN { String::new() } else { out_name.to_owned() };
            if in_name != MAIN {
                label = format!("{label} → {in_name}").trim().to_owned();
            }
            let kind = node.carries.get(output).copied().unwrap_or(ItemKind::Readings);
            lines.push(Line { from, to, kind, label });
        }
    }
    lines
}

/// The pipelines, each with its nodes in the order of the graph.
fn clusters(graph: &Graph) -> Vec<(&str, Vec<NodeIndex>)> {
    let mut nodes = by_pipeline(graph.nodes(), |(_, node)| &*node.pipeline);
    let mut of = |name: &str| -> Vec<NodeIndex> {
        nodes.remove(name).into_iter().flatten().map(|(index, _)| index).collect()
    };
    graph.pipelines.iter().map(|pipeline| (&*pipeline.name, of(&pipeline.name))).collect()
}
