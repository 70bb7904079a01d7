use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::layout::layout;
use super::*;
use crate::config::Loader;
use crate::context::Context;
use crate::node::Node;
use crate::plan::plan_loaded;
use crate::registry::{Carries, NodeConfig, Pace, Problem, Profile, Registry, Section};

macro_rules! node {
    ($name:ident, $word:literal, $kind:ident, $profile:expr) => {
        #[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $name {}

        impl NodeConfig for $name {
            const SECTION: Section = Section::$kind;
            const TYPE: &'static str = $word;
            const EXAMPLE: &'static str = "";
            fn profile(&self) -> Profile {
                $profile
            }
            fn build(&self, _: &Context) -> Result<Node, Problem> {
                Err(Problem::at("", "only drawn"))
            }
        }
    };
}

node!(Clock, "clock", Sources, Profile::source(Pace::Live));
node!(
    Sieve,
    "sieve",
    Transforms,
    Profile::transform().output("windows", Carries::Kind(ItemKind::Windows))
);
node!(Bin, "bin", Sinks, Profile::sink(&ItemKind::ALL));

fn graph(yaml: &str) -> Graph {
    let none = |_: &str| None;
    let mut loader = Loader::new(&none);
    loader.text(Path::new("a.yaml"), yaml);
    let registry = Registry::new().with::<Clock>().with::<Sieve>().with::<Bin>();
    let planned = plan_loaded(loader.finish(), &registry);
    let said = planned.diagnostics.render(&planned.files, false);
    planned.graph.unwrap_or_else(|| panic!("{said}"))
}

const TWO: &str = "\
pipeline: house
sources:
  clock: { clock: {} }
transforms:
  sieve: { inputs: [clock], sieve: {} }
sinks:
  all: { inputs: [clock, sieve, sieve.windows], bin: {} }
---
pipeline: garden
sinks:
  bin: { inputs: [house/sieve.windows], bin: {} }
";

#[test]
fn mermaid_shows_pipelines_kinds_and_ports() {
    insta::assert_snapshot!(mermaid(&graph(TWO)));
}

#[test]
fn dot_shows_pipelines_kinds_and_ports() {
    insta::assert_snapshot!(dot(&graph(TWO)));
}

#[test]
fn svg_is_well_formed_and_shows_every_name() {
    let picture = svg(&graph(TWO));
    for name in ["house", "garden", "clock", "sieve", "windows", "bin"] {
        assert!(picture.contains(&format!(">{name}<")), "{name}");
    }
    assert_eq!(picture.matches("class=\"edge").count(), 5);
    let opened = picture.matches('<').count();
    let closed = picture.matches("</").count() + picture.matches("/>").count();
    let pairs = picture.matches("</").count();
    assert_eq!(opened, closed + pairs, "every tag is closed");
    assert!(picture.contains("prefers-color-scheme: dark"));
}

/// A chain, and edges past it: no two boxes share a place, edges lead to the right, and none passes over a node.
#[test]
fn nothing_lies_over_anything_else() {
    let mut yaml = String::from("pipeline: many\nsources:\n");
    yaml += &(0..4).map(|n| format!("  c{n}: {{ as: c{n}, clock: {{}} }}\n")).collect::<String>();
    yaml += "transforms:\n";
    for n in 0..8 {
        let before = if n == 0 { "c0".to_owned() } else { format!("t{}", n - 1) };
        yaml += &format!("  t{n}: {{ inputs: [{before}, c{}], sieve: {{}} }}\n", 1 + n % 3);
    }
    yaml += "sinks:\n  end: { inputs: [c0, c1, c2, c3, t0, t3, t7], bin: {} }\n";
    yaml +=
        "---\npipeline: other\nsinks:\n  end: { inputs: [many/t7.windows, many/c1], bin: {} }\n";
    let picture = layout(&graph(&yaml));
    for (at, (one, a)) in picture.nodes.iter().enumerate() {
        for (other, b) in &picture.nodes[at + 1..] {
            let apart = a.x + a.width <= b.x
                || b.x + b.width <= a.x
                || a.y + a.height <= b.y
                || b.y + b.height <= a.y;
            assert!(apart, "{one:?} and {other:?}");
        }
        assert!(a.x >= 0.0 && a.y >= 0.0);
        assert!(a.x + a.width <= picture.width && a.y + a.height <= picture.height);
    }
    for (_, points) in &picture.edges {
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0), "edges lead to the right");
        // Bows lie between two columns, so they meet no node.
        for pair in points.windows(2).step_by(2) {
            let [(from, _), (to, _)] = pair else { continue };
            let past = |at: &layout::Place| at.x >= *from && at.x + at.width <= *to;
            assert!(!picture.nodes.iter().any(|(_, at)| past(at)), "a bow passes a column");
        }
        // Straight parts, which cross a column, meet no node of it.
        for pair in points.windows(2).skip(1).step_by(2) {
            let [(from, y), (to, _)] = pair else { continue };
            let over = picture.nodes.iter().any(|(_, at)| {
                at.x < *to && *from < at.x + at.width && at.y < *y && *y < at.y + at.height
            });
            assert!(!over, "an edge passes over a node");
        }
    }
}

#[test]
fn an_empty_graph_can_be_drawn() {
    let empty = Graph::default();
    assert_eq!(mermaid(&empty), "flowchart LR\n");
    assert!(svg(&empty).ends_with("</svg>\n"));
    assert!(dot(&empty).ends_with("}\n"));
}

/// Names cannot hold such letters, file names and later versions may.
#[test]
fn text_is_escaped() {
    let mut graph = graph(TWO);
    let index = graph.order[0];
    Arc::make_mut(&mut graph.dag[index]).name = "<b>\"x\" & #\n".into();
    assert!(svg(&graph).contains("&lt;b&gt;&quot;x&quot; &amp; # <"));
    assert!(mermaid(&graph).contains("#lt;b#gt;#quot;x#quot; #amp; #35; <br>"));
    assert!(dot(&graph).contains("\"<b>\\\"x\\\" & #\\n\\nclock\""));
}
