//! Pairs of files, and what is different about them.

mod pairs;
mod property;
mod settings;
mod show;

use super::*;
use crate::plan::test_nodes::{Smooth, graph};

/// A graph that most tests change a little.
const HOME: &str = "\
pipeline: home
sources:
  air: { feed: { topic: air } }
  soil: { feed: { topic: soil }, as: soil }
transforms:
  news: { inputs: [air, soil], smooth: {} }
  pass: { inputs: [news], pass: {} }
sinks:
  alerts: { inputs: [pass], post: { to: broker } }
  late: { inputs: [news.late], post: { to: disk, delivery: kept } }
";

/// What a running host would say of the test's transform: a state of another memory does not fit.
fn judge(old: &PlannedNode, new: &PlannedNode) -> StateFate {
    assert!(old.profile.stateful && old.type_name == new.type_name, "nobody else is asked");
    let memory = |node: &PlannedNode| {
        let settings: &dyn std::any::Any = &*node.settings;
        settings.downcast_ref::<Smooth>().expect("it is the transform").memory
    };
    match memory(old) == memory(new) {
        true => StateFate::Keeps,
        false => StateFate::Resets { why: "another memory".into() },
    }
}

fn compare(old: &str, new: &str) -> Changes {
    diff(&graph(old), &graph(new), &judge)
}

/// What changes, a line each: `~ home/news smooth.band: 0.2 -> 0.5 | Keeps`.
fn lines(changes: &Changes) -> Vec<String> {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    let setting =
        |one: &Difference| format!("{}: {} -> {}", one.path, value(&one.from), value(&one.to));
    let line = |node: &NodeChange| {
        let mut parts = vec![node.address.to_string()];
        parts.extend(node.renamed_from.as_ref().map(|name| format!("was {name}")));
        parts.extend(node.inputs.as_ref().map(setting));
        let sign = match &node.change {
            Change::Kept => "=",
            Change::Added => "+",
            Change::Removed => "-",
            Change::Changed { what, state } => {
                parts.extend(what.iter().map(setting));
                parts.push(format!("| {state:?}"));
                "~"
            }
        };
        format!("{sign} {}", parts.join(" "))
    };
    changes.nodes.iter().filter(|node| !node.is_nothing()).map(line).collect()
}

/// `HOME` with a text in it replaced.
fn home(from: &str, to: &str) -> String {
    assert!(HOME.contains(from), "{from}");
    HOME.replace(from, to)
}

fn changed(from: &str, to: &str) -> Vec<String> {
    lines(&compare(HOME, &home(from, to)))
}

#[test]
fn a_graph_and_itself_differ_in_nothing() {
    let changes = compare(HOME, HOME);
    assert!(changes.is_empty());
    assert_eq!(lines(&changes), [""; 0]);
    assert_eq!((changes.edges_added, changes.edges_removed), (vec![], vec![]));
    let (old, new) = (graph(HOME), graph(HOME));
    assert_eq!(diff(&old, &new, &judge).affected(&old, &new), Affected::default());
}

#[test]
fn against_nothing_everything_is_added_and_the_other_way_round() {
    let (empty, home) = (Graph::default(), graph(HOME));
    let changes = diff(&empty, &home, &judge);
    assert!(changes.nodes.iter().all(|node| node.change == Change::Added));
    assert_eq!(changes.nodes.len(), 6);
    assert_eq!(changes.edges_added.len(), 5);
    assert_eq!(changes.pipelines[0].fate, PipelineFate::Added);
    assert_eq!(changes.affected(&empty, &home).new.len(), 6);
    let changes = diff(&home, &empty, &judge);
    assert!(changes.nodes.iter().all(|node| node.change == Change::Removed));
    assert_eq!(changes.edges_removed.len(), 5);
    assert_eq!(changes.pipelines[0].fate, PipelineFate::Removed);
    assert_eq!(changes.affected(&home, &empty).old.len(), 6);
}

#[test]
fn a_node_more_and_a_node_less() {
    let more = home("sinks:\n", "sinks:\n  copy: { inputs: [news], post: {} }\n");
    let changes = compare(HOME, &more);
    assert_eq!(lines(&changes), ["+ home/copy"]);
    assert_eq!((changes.edges_added.len(), changes.edges_removed.len()), (1, 0));
    assert_eq!(changes.pipelines[0].fate, PipelineFate::Changed);
    let changes = compare(&more, HOME);
    assert_eq!(lines(&changes), ["- home/copy"]);
    assert_eq!((changes.edges_added.len(), changes.edges_removed.len()), (0, 1));
    assert_eq!(changes.pipelines[0].fate, PipelineFate::Changed);
}

#[test]
fn a_node_between_two_leaves_both_alone_and_moves_an_edge() {
    let without = home("inputs: [pass]", "inputs: [news]")
        .replace("  pass: { inputs: [news], pass: {} }\n", "");
    let changes = compare(&without, HOME);
    assert_eq!(lines(&changes), ["+ home/pass", "= home/alerts inputs: news -> pass"]);
    assert_eq!((changes.edges_added.len(), changes.edges_removed.len()), (2, 1));
}

#[test]
fn what_is_affected_lies_at_or_below_a_change_in_both_graphs() {
    let names = |graph: &Graph, set: &BTreeSet<NodeIndex>| -> Vec<String> {
        let nodes = graph.nodes().filter(|(index, _)| set.contains(index));
        nodes.map(|(_, node)| node.name.to_string()).collect()
    };
    let affected = |old: &str, new: &str| {
        let (old, new) = (graph(old), graph(new));
        let affected = diff(&old, &new, &judge).affected(&old, &new);
        (names(&old, &affected.old), names(&new, &affected.new))
    };
    // A sink alone.
    let (old, new) = affected(HOME, &home("to: disk", "to: tape"));
    assert_eq!((old, new), (vec!["late".into()], vec!["late".into()]));
    // Below the source; the other source goes on.
    let (old, new) = affected(HOME, &home("topic: air", "topic: wind"));
    assert_eq!(old, ["air", "news", "pass", "alerts", "late"]);
    assert_eq!(new, ["air", "news", "pass", "alerts", "late"]);
    // A sink that read from what goes reads from what stays: nothing else of that is touched.
    let moved = home("inputs: [pass]", "inputs: [soil]")
        .replace("  pass: { inputs: [news], pass: {} }\n", "");
    let (old, new) = affected(HOME, &moved);
    assert_eq!(old, ["pass", "alerts"]);
    assert_eq!(new, ["alerts"]);
}

#[test]
fn a_pipeline_changes_with_its_words_too() {
    let changes =
        compare(HOME, &home("pipeline: home\n", "pipeline: home\ndescription: All of it\n"));
    assert!(!changes.is_empty() && lines(&changes).is_empty());
    let what = &changes.pipelines[0].what;
    assert_eq!((&*what[0].path, what[0].to.as_deref()), ("description", Some("All of it")));
    let old = graph(HOME);
    let new = crate::plan::test_nodes::try_graph("/srv/home.yaml", HOME, &|_| None).unwrap();
    let changes = diff(&old, &new, &judge);
    assert_eq!(changes.pipelines[0].what[0].path, "file");
    assert!(lines(&changes).is_empty(), "no node reads anything beside the file");
}

#[test]
fn whoever_carries_it_out_learns_where_each_node_comes_from() {
    let renamed =
        HOME.replace("  alerts: {", "  mail: {").replace("smooth: {}", "smooth: { memory: 9 }");
    let (old, new) = (graph(HOME), graph(&renamed));
    let transition = diff(&old, &new, &judge).transition(&old);
    let origin = |address: &str| {
        let origin = transition.origins.get(address);
        origin.map(|origin| (origin.address.to_string(), origin.kept))
    };
    assert_eq!(origin("home/air"), Some(("home/air".into(), true)));
    assert_eq!(origin("home/mail"), Some(("home/alerts".into(), false)));
    assert_eq!(origin("home/news"), None, "its state is reset");
    assert_eq!(transition.origins.len(), 5);
}
