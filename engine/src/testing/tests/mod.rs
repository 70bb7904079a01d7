//! Tests of tests: pipelines of small nodes with `tests:` of their own.

mod checking;
mod faults;
mod nodes;
mod running;

use std::path::Path;

use self::nodes::registry;
use super::TestCase;
use crate::config::Loader;
use crate::plan::{Graph, Planned, plan_loaded};

/// Plans a text as if it stood in `home.yaml`.
fn planned(yaml: &str) -> Planned {
    let nothing = |_: &str| None;
    let mut loader = Loader::new(&nothing);
    loader.text(Path::new("home.yaml"), yaml);
    plan_loaded(loader.finish(), &registry())
}

/// A graph that has nothing wrong with it, and its tests.
fn good(yaml: &str) -> (Graph, Vec<TestCase>, Planned) {
    let mut planned = planned(yaml);
    let found = planned.diagnostics.render(&planned.files, false);
    let graph = planned.graph.take().unwrap_or_else(|| panic!("{found}"));
    let cases = super::tests(&graph);
    (graph, cases, planned)
}

/// Everything that is said about the tests of a text when they run.
fn outcome(yaml: &str) -> String {
    let (graph, cases, planned) = good(yaml);
    let mut text = String::new();
    for case in &cases {
        let failures = super::run(&graph, case);
        let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
        text += &format!("{verdict} {}\n", case.name());
        for failure in failures {
            let line = planned.files.position(failure.span.file, failure.span.start).line;
            text += &format!("{line}: {}\n", failure.message);
            for seen in failure.seen {
                text += &format!("    {seen}\n");
            }
        }
    }
    text
}

/// A pipeline of all small nodes, with tests.
fn pipeline(tests: &str) -> String {
    format!(
        "\
pipeline: home
sources:
  air: {{ as: air, unit: °C, mouth: {{}} }}
  door: {{ as: door, mouth: {{}} }}
transforms:
  news: {{ inputs: [air, door], steps: {{ band: 1, silence: 10m }} }}
  hours: {{ inputs: [news], gather: {{ every: 1h }} }}
  words: {{ inputs: [hours], tell: {{}} }}
sinks:
  all: {{ inputs: [news, air], when: {{ value: {{ above: 0 }} }}, ear: {{}} }}
  told: {{ inputs: [words], ear: {{}} }}
tests:
{tests}"
    )
}
