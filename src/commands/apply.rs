//! `apply`: check, show the plan, and run it here.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use smollama_engine::config::Section;
use smollama_engine::plan::{Graph, PlannedNode};
use smollama_engine::registry::Pace;

use super::run::{check_speed, finish};
use super::validate::count;
use crate::cli::{Global, commands};
use crate::engine::Engine;
use crate::live::View;
use crate::terminal::{self, Failure};

pub(crate) fn apply(global: &Global, args: &commands::Apply) -> Result<ExitCode, Failure> {
    let (graph, planned) = super::checked(&args.paths.paths)?;
    check_speed(&graph, args.speed, &planned.files)?;
    if global.json {
        terminal::print(&plan_json(&graph)?)?;
    } else {
        terminal::print(&plan_text(&graph, terminal::stdout_colour()))?;
    }
    if args.dry_run {
        terminal::say("Nothing was changed.");
        return Ok(ExitCode::SUCCESS);
    }
    let view = Arc::new(View::of(&graph));
    let engine = Engine {
        graph: &graph,
        files: &planned.files,
        speed: args.speed,
        once: false,
        view,
        announces: true,
    };
    let outcome = engine.run(global)?;
    finish(&outcome)
}

/// The plan as a person reads it: one line per node, in the order of the graph.
fn plan_text(graph: &Graph, colour: bool) -> String {
    let (green, bold, off) = if colour { ("\x1b[32m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
    let (pipelines, nodes) =
        (count(graph.pipelines.len(), "pipeline"), count(graph.order.len(), "node"));
    let mut text = format!("{bold}Plan: {pipelines} and {nodes} to add{off}\n");
    let width = |of: fn(&PlannedNode) -> &str| {
        graph.nodes().map(|(_, node)| of(node).chars().count()).max()
    };
    let (name_width, type_width) =
        (width(|n| &n.name).unwrap_or(0), width(|n| &n.type_name).unwrap_or(0));
    for pipeline in &graph.pipelines {
        let _ = writeln!(text, "\n  {bold}{}{off}  {}", pipeline.name, pipeline.file.display());
        for (index, node) in graph.nodes().filter(|(_, node)| node.pipeline == pipeline.name) {
            let _ = write!(
                text,
                "    {green}+{off} {:name_width$}  {:9}  {:type_width$}",
                node.name,
                node.section.singular(),
                node.type_name
            );
            let detail = detail(graph, index, node);
            let _ = writeln!(text, "  {detail}");
        }
    }
    text.push('\n');
    text
}

fn detail(graph: &Graph, index: petgraph::stable_graph::NodeIndex, node: &PlannedNode) -> String {
    if node.section == Section::Sources {
        return match node.profile.pace {
            Some(Pace::Polled(default) | Pace::Simulated(default)) => {
                format!("every {}", node.every.unwrap_or(default))
            }
            Some(Pace::Recorded) => "a recording".into(),
            _ => "live".into(),
        };
    }
    let from = graph.inputs(index).into_iter().map(|(giver, port)| {
        let giver = &graph.dag[giver];
        let address = giver.port_address(port);
        let own = address.strip_prefix(&format!("{}/", node.pipeline));
        own.unwrap_or(&address).to_owned()
    });
    format!("from {}", from.collect::<Vec<_>>().join(", "))
}

fn plan_json(graph: &Graph) -> Result<String, Failure> {
    let nodes: Vec<_> = graph
        .nodes()
        .map(|(_, node)| {
            serde_json::json!({
                "address": &*node.address,
                "section": node.section.singular(),
                "type": &*node.type_name,
                "change": "add",
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&serde_json::json!({ "nodes": nodes }))
        .map_err(|error| Failure::Failed(format!("cannot write the plan: {error}")))?;
    Ok(format!("{text}\n"))
}
