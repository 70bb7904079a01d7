//! Mermaid: what GitHub and most wikis draw.

use std::fmt::Write as _;

use super::{clusters, lines};
use crate::batch::ItemKind;
use crate::config::Section;
use crate::plan::Graph;

/// The graph as a Mermaid flowchart.
#[must_use]
pub fn mermaid(graph: &Graph) -> String {
    let mut out = String::from("flowchart LR\n");
    // Writing to a `String` cannot fail.
    for (number, (pipeline, nodes)) in clusters(graph).into_iter().enumerate() {
        let _ = writeln!(out, "  subgraph p{number}[\"{}\"]", escaped(pipeline));
        for index in nodes {
            let node = &graph.dag[index];
            let (open, close) = match node.section {
                Section::Sources => ("([", "])"),
                Section::Transforms => ("[", "]"),
                Section::Agents => ("{{", "}}"),
                Section::Sinks => ("[(", ")]"),
            };
            let (name, kind) = (escaped(&node.name), escaped(&node.type_name));
            let _ = writeln!(out, "    n{}{open}\"{name}<br>{kind}\"{close}", index.index());
        }
        out.push_str("  end\n");
    }
    for line in lines(graph) {
        let arrow = match line.kind {
            ItemKind::Readings => "-->",
            ItemKind::Windows => "==>",
            ItemKind::Observations => "-.->",
        };
        let label = match line.label.as_str() {
            "" => String::new(),
            label => format!("|\"{}\"|", escaped(label)),
        };
        let _ = writeln!(out, "  n{} {arrow}{label} n{}", line.from.index(), line.to.index());
    }
    out
}

/// Text inside quotes: Mermaid has entities, written with `#`.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '#' => out.push_str("#35;"),
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
