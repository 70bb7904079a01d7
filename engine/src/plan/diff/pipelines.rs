//! What happens to pipelines as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::settings::absolute;
use super::{Difference, NodeChange};
use crate::plan::graph::{Graph, PlannedPipeline};

/// What happens to a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineChange {
    /// Its name, as it will be; of one that goes, as it was.
    pub name: Arc<str>,
    /// The name it had, if that was another.
    pub renamed_from: Option<Arc<str>>,
    /// The file it stands in, as it was given.
    pub file: PathBuf,
    /// What becomes of it.
    pub fate: PipelineFate,
    /// What differs and belongs to none of its nodes: file, description, tests.
    pub what: Vec<Difference>,
}

/// What becomes of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineFate {
    /// Nothing in it changes.
    Kept,
    /// It is new.
    Added,
    /// It goes, with all its nodes.
    Removed,
    /// Something in it changes.
    Changed,
}

pub(super) fn changes<'a>(
    old: &Graph,
    new: &Graph,
    nodes: &'a [NodeChange],
) -> Vec<PipelineChange> {
    let (before, after) = (by_name(old), by_name(new));
    let renamed = renamed(nodes, (old, &before), (new, &after));
    let goes_on: HashSet<&Arc<str>> = renamed.values().collect();
    let pipelines = |nodes: &mut dyn Iterator<Item = &'a NodeChange>| -> HashSet<&'a str> {
        nodes.map(NodeChange::pipeline).collect()
    };
    let changed = pipelines(&mut nodes.iter().filter(|node| !node.is_nothing()));
    let left = pipelines(&mut nodes.iter().filter(|node| node.new.is_none()));
    let mut found = Vec::new();
    for pipeline in &new.pipelines {
        let renamed_from = renamed.get(&pipeline.name);
        let before = before.get(&**renamed_from.unwrap_or(&pipeline.name)).copied();
        let what = before.map(|before| differences(before, pipeline)).unwrap_or_default();
        let touched = changed.contains(&*pipeline.name)
            || before.is_some_and(|before| left.contains(&*before.name));
        found.push(PipelineChange {
            name: pipeline.name.clone(),
            renamed_from: renamed_from.cloned(),
            file: pipeline.file.clone(),
            fate: match before {
                None => PipelineFate::Added,
                Some(_) if touched || !what.is_empty() => PipelineFate::Changed,
                Some(_) => PipelineFate::Kept,
            },
            what,
        });
    }
    for pipeline in &old.pipelines {
        if !after.contains_key(&*pipeline.name) && !goes_on.contains(&pipeline.name) {
            found.push(PipelineChange {
                name: pipeline.name.clone(),
                renamed_from: None,
                file: pipeline.file.clone(),
                fate: PipelineFate::Removed,
                what: Vec::new(),
            });
        }
    }
    found
}

/// The pipelines of a graph by their names.
type ByName<'a> = HashMap<&'a str, &'a PlannedPipeline>;

fn by_name(graph: &Graph) -> ByName<'_> {
    graph.pipelines.iter().map(|pipeline| (&*pipeline.name, pipeline)).collect()
}

/// New pipelines by the name they had: all nodes of the old one that stay are in the new one, and all nodes of the new one that
/// were there before come from the old one.
fn renamed(
    nodes: &[NodeChange],
    (old, before): (&Graph, &ByName<'_>),
    (new, after): (&Graph, &ByName<'_>),
) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut to: BTreeMap<Arc<str>, Option<Arc<str>>> = BTreeMap::new();
    let mut from: BTreeMap<Arc<str>, Option<Arc<str>>> = BTreeMap::new();
    for node in nodes {
        let (Some(from_node), Some(to_node)) = (node.old, node.new) else { continue };
        let (before, after) = (&old.dag[from_node].pipeline, &new.dag[to_node].pipeline);
        let one =
            |map: &mut BTreeMap<Arc<str>, Option<Arc<str>>>, key: &Arc<str>, value: &Arc<str>| {
                let known = map.entry(key.clone()).or_insert_with(|| Some(value.clone()));
                if known.as_ref() != Some(value) {
                    *known = None;
                }
            };
        one(&mut to, before, after);
        one(&mut from, after, before);
    }
    let gone = |name: &Arc<str>| !after.contains_key(&**name);
    let fresh = |name: &Arc<str>| !before.contains_key(&**name);
    from.into_iter()
        .filter_map(|(after, before)| Some((after, before?)))
        .filter(|(after, before)| gone(before) && fresh(after))
        .filter(|(after, before)| to.get(before).and_then(Option::as_ref) == Some(after))
        .collect()
}

fn differences(old: &PlannedPipeline, new: &PlannedPipeline) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differ = |path: &str, from: Option<String>, to: Option<String>| {
        found.push(Difference { path: path.to_owned(), from, to });
    };
    let (from, to) = (absolute(&old.file), absolute(&new.file));
    if from != to {
        differ("file", Some(from.display().to_string()), Some(to.display().to_string()));
    }
    if old.description != new.description {
        let text = |one: &PlannedPipeline| one.description.as_ref().map(ToString::to_string);
        differ("description", text(old), text(new));
    }
    let same_tests = match (&old.tests, &new.tests) {
        (Some(a), Some(b)) => a.says_the_same(b),
        (a, b) => a.is_none() && b.is_none(),
    };
    if !same_tests {
        differ("tests", None, None);
    }
    found
}

impl NodeChange {
    /// The pipeline of its address.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        self.address.split_once('/').map_or("", |(pipeline, _)| pipeline)
    }

    /// The node of its address.
    #[must_use]
    pub fn name(&self) -> &str {
        self.address.split_once('/').map_or("", |(_, name)| name)
    }
}
