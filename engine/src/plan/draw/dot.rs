//! Graphviz.

use std::fmt::Write as _;

use super::{clusters, lines};
use crate::batch::ItemKind;
use crate::config::Section;
use crate::plan::Graph;

/// The graph in the language of Graphviz.
#[must_use]
pub fn dot(graph: &Graph) -> String {
    let mut out = String::from(
        "digraph smollama {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
    );
    // Writing to a `String` cannot fail.
    for (number, (pipeline, nodes)) in clusters(graph).into_iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{number} {{\n    label={};", quoted(pipeline));
        for index in nodes {
            let node = &graph.dag[index];
            let shape = match node.section {
                Section::Sources => "oval",
                Section::Transforms => "box",
                Section::Agents => "hexagon",
                Section::Sinks => "cylinder",
            };
            let label = quoted(&format!("{}\n{}", node.name, node.type_name));
            let _ = writeln!(out, "    {} [label={label}, shape={shape}];", quoted(&node.address));
        }
        out.push_str("  }\n");
    }
    for line in lines(graph) {
        let mut looks = Vec::new();
        if !line.label.is_empty() {
            looks.push(format!("label={}", quoted(&line.label)));
        }
        match line.kind {
            ItemKind::Readings => {}
            ItemKind::Windows => looks.push("penwidth=2.5".into()),
            ItemKind::Observations => looks.push("style=dashed".into()),
        }
        let looks =
            if looks.is_empty() { String::new() } else { format!(" [{}]", looks.join(", ")) };
        let (from, to) = (&graph.dag[line.from].address, &graph.dag[line.to].address);
        let _ = writeln!(out, "  {} -> {}{looks};", quoted(from), quoted(to));
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}
