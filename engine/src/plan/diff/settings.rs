//! What differs between a node and its successor, setting by setting.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use petgraph::Direction;
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef;

use super::Difference;
use super::pairs::Pairs;
use crate::config::{Node as Tree, Scalar, Value};
use crate::labels::LabelTable;
use crate::plan::graph::{Graph, PlannedNode};

/// All that differs and makes another node of it. Not the name, and not the inputs: those belong to the graph.
pub(super) fn differences(old: &PlannedNode, new: &PlannedNode) -> Vec<Difference> {
    let mut found = Found::default();
    if old.type_name != new.type_name {
        found.given("type", Some(&old.type_name), Some(&new.type_name));
    } else {
        found.settings(old, new);
        let kinds = |node: &PlannedNode| {
            let kinds: Vec<&str> = node.carries.iter().map(|kind| kind.as_str()).collect();
            Some(kinds.join(", "))
        };
        found.given("carries", kinds(old), kinds(new));
    }
    if !(old.has_default_type_part() && new.has_default_type_part()) {
        found.given("as", Some(&old.type_part), Some(&new.type_part));
    }
    found.given("unit", old.unit.as_ref(), new.unit.as_ref());
    found.labels(old, new);
    found.table(old, new);
    found.given("every", old.every, new.every);
    if old.when != new.when {
        found.trees("when", old.written.when.as_ref(), new.written.when.as_ref());
    }
    found.given("queue.size", Some(old.queue.size), Some(new.queue.size));
    found.worded("queue.when_full", &old.queue.when_full, &new.queue.when_full);
    found.given("queue.spool", Some(old.queue.spool), Some(new.queue.spool));
    found.given("retry.initial", Some(old.retry.initial), Some(new.retry.initial));
    found.given("retry.max", Some(old.retry.max), Some(new.retry.max));
    found.given("retry.attempts", Some(old.retry.attempts), Some(new.retry.attempts));
    found.0
}

/// Whether what differs reaches what a node of the type remembers. Words that the engine keeps to itself do not, and neither does a
/// name.
pub(super) fn reach_the_state(old: &PlannedNode, new: &PlannedNode) -> bool {
    !old.settings.equals(&*new.settings)
        || old.type_part != new.type_part
        || old.carries != new.carries
}

/// A path that means the same wherever the program was started.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    fn push(&mut self, path: &str, from: Option<String>, to: Option<String>) {
        self.0.push(Difference { path: path.to_owned(), from, to });
    }

    /// A value whose text says all of it.
    fn given<T: Display + PartialEq>(&mut self, path: &str, from: Option<T>, to: Option<T>) {
        if from != to {
            self.push(path, from.map(|it| it.to_string()), to.map(|it| it.to_string()));
        }
    }

    /// A word of a list of words, which in YAML is written in snake case.
    fn worded<T: Debug + PartialEq>(&mut self, path: &str, from: &T, to: &T) {
        let word = |it: &T| {
            let mut word = String::new();
            for c in format!("{it:?}").chars() {
                if c.is_uppercase() && !word.is_empty() {
                    word.push('_');
                }
                word.extend(c.to_lowercase());
            }
            Some(word)
        };
        if from != to {
            self.push(path, word(from), word(to));
        }
    }

    fn labels(&mut self, old: &PlannedNode, new: &PlannedNode) {
        let names: BTreeSet<_> = old.labels.keys().chain(new.labels.keys()).collect();
        for name in names {
            let (from, to) = (old.labels.get(name), new.labels.get(name));
            self.given(&format!("labels.{name}"), from, to);
        }
    }

    /// The table of labels by its content; its path is only how it is found.
    fn table(&mut self, old: &PlannedNode, new: &PlannedNode) {
        let (from, to) = (&old.labels_from, &new.labels_from);
        let same_path = from.as_ref().map(|(path, _)| path) == to.as_ref().map(|(path, _)| path);
        let content = |table: &Option<(PathBuf, Arc<LabelTable>)>| {
            table.as_ref().map(|(_, table)| table.clone())
        };
        if content(from) == content(to) {
            return;
        }
        let shown = |table: &Option<(PathBuf, Arc<LabelTable>)>| {
            table.as_ref().map(|(path, _)| path.display().to_string())
        };
        let other = |path: String| if same_path { format!("{path}, other rows") } else { path };
        self.push("labels_from", shown(from), shown(to).map(other));
    }

    fn settings(&mut self, old: &PlannedNode, new: &PlannedNode) {
        let before = self.0.len();
        // Equal trees first: a setting that is not equal to itself (`.nan`) has not changed either.
        let (from, to) = (&old.written.settings, &new.written.settings);
        if !from.says_the_same(to) && !old.settings.equals(&*new.settings) {
            self.trees(&old.type_name, Some(from), Some(to));
            if self.0.len() == before {
                self.push(&old.type_name, None, None);
            }
        }
        let elsewhere = absolute(&old.folder) != absolute(&new.folder);
        if elsewhere && new.profile.reads.iter().any(|path| path.is_relative()) {
            let folder = |node: &PlannedNode| Some(absolute(&node.folder).display().to_string());
            self.given("folder", folder(old), folder(new));
        }
    }

    /// The leaves in which two trees differ.
    fn trees(&mut self, path: &str, from: Option<&Tree>, to: Option<&Tree>) {
        if let (Some(from), Some(to)) = (from, to)
            && from.says_the_same(to)
        {
            return;
        }
        let mapping = |tree: Option<&Tree>| match tree.map(|tree| &tree.value) {
            Some(Value::Mapping(mapping)) => Some(mapping.clone()),
            // `dedup:` is `dedup: {}`.
            Some(Value::Scalar(scalar)) if scalar.is_null() => Some(Default::default()),
            None => Some(Default::default()),
            _ => None,
        };
        if let (Some(a), Some(b)) = (mapping(from), mapping(to))
            && !(a.is_empty() && b.is_empty())
        {
            let mut keys: BTreeMap<&str, [Option<&Tree>; 2]> = BTreeMap::new();
            for (side, entries) in [a.entries(), b.entries()].into_iter().enumerate() {
                for entry in entries {
                    keys.entry(&entry.key.text).or_default()[side] = Some(&entry.value);
                }
            }
            for (key, [from, to]) in keys {
                self.trees(&format!("{path}.{key}"), from, to);
            }
            return;
        }
        let list = |tree: Option<&Tree>| tree.and_then(Tree::as_sequence).map(<[Tree]>::to_vec);
        if let (Some(a), Some(b)) = (list(from), list(to))
            && a.len() == b.len()
            && a.iter().chain(&b).all(|element| element.as_scalar().is_none())
        {
            for (index, (a, b)) in a.iter().zip(&b).enumerate() {
                self.trees(&format!("{path}.{index}"), Some(a), Some(b));
            }
            return;
        }
        self.push(path, from.map(ToString::to_string), to.map(|to| shown(from, to)));
    }
}

/// A new value; of a secret that is found where it was, that it is another one.
fn shown(from: Option<&Tree>, to: &Tree) -> String {
    let secret = |tree: &Tree| tree.as_scalar().and_then(Scalar::secret).map(ToString::to_string);
    match from.and_then(secret).zip(secret(to)) {
        Some((from, to)) if from == to => format!("{to}, another value"),
        _ => to.to_string(),
    }
}

/// The inputs of a node, if other edges enter it than entered its predecessor. An edge from a node that was only renamed is the same.
pub(super) fn inputs(
    (old_graph, old): (&Graph, NodeIndex),
    (new_graph, new): (&Graph, NodeIndex),
    pairs: &Pairs,
) -> Option<Difference> {
    let (before, from) = edges(old_graph, old, |index| pairs.new_of(index));
    let (after, to) = edges(new_graph, new, Some);
    let path = "inputs".to_owned();
    (before != after).then_some(Difference { path, from: Some(from), to: Some(to) })
}

/// An edge that enters a node: from which one, if that is known, out of which port of it and into which one.
type Entering<'a> = (Option<NodeIndex>, &'a str, &'a str);

/// The edges that enter a node, by what its neighbours are called, and as they are written.
fn edges(
    graph: &Graph,
    node: NodeIndex,
    name: impl Fn(NodeIndex) -> Option<NodeIndex>,
) -> (BTreeSet<Entering<'_>>, String) {
    let edges = graph.dag.edges_directed(node, Direction::Incoming);
    let mut edges: Vec<_> = edges.collect();
    edges.sort_by_key(EdgeRef::id);
    let edges = edges.into_iter().map(|edge| {
        let port = graph.dag[node].profile.inputs.get(edge.weight().to);
        let port = port.map_or("", |port| port.name);
        let giver = &graph.dag[edge.source()];
        let written = giver.port_address(edge.weight().from);
        let here = format!("{}/", graph.dag[node].pipeline);
        let written = written.strip_prefix(&here).unwrap_or(&written).to_owned();
        let written = if port == "main" { written } else { format!("{port}: {written}") };
        ((name(edge.source()), giver.output_name(edge.weight().from), port), written)
    });
    let (keys, words): (BTreeSet<_>, Vec<String>) = edges.unzip();
    (keys, words.join(", "))
}
