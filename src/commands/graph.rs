//! `graph`: pipelines as a picture.

use std::process::ExitCode;

use serde_json::{Value, json};
use smollama_engine::plan::{Graph, draw};

use crate::cli::Global;
use crate::cli::commands::{Graph as Args, GraphFormat};
use crate::terminal::{self, Failure};

pub(crate) fn graph(global: &Global, args: &Args) -> Result<ExitCode, Failure> {
    let (graph, _) = super::checked(global, &args.paths.paths)?;
    if global.json {
        return super::print_json(&data(&graph));
    }
    terminal::print(&match args.format {
        GraphFormat::Mermaid => draw::mermaid(&graph),
        GraphFormat::Dot => draw::dot(&graph),
        GraphFormat::Svg => draw::svg(&graph),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Nodes and edges, for a program.
fn data(graph: &Graph) -> Value {
    let nodes = graph.nodes().map(|(_, node)| {
        json!({ "address": &*node.address, "kind": node.section.singular(), "type": &*node.type_name })
    });
    let edges = graph.nodes().flat_map(|(index, node)| {
        graph.outgoing(index).into_iter().map(move |(output, to, input)| {
            let to = &graph.dag[to];
            json!({
                "from": &*node.address,
                "port": node.output_name(output),
                "to": &*to.address,
                "input": to.profile.inputs.get(input).map_or("main", |port| port.name),
                "carries": node.carries.get(output).map(ToString::to_string),
            })
        })
    });
    json!({ "nodes": nodes.collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>() })
}
