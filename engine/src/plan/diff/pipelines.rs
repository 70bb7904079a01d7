//! What happens to pipelines as a whole.

use std::collections::BTreeMap;
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

pub(super) fn changes(old: &Graph, new: &Graph, nodes: &[NodeChange]) -> Vec<PipelineChange> {
    let named =
        |graph: &'_ Graph, name: &str| graph.pipelines.iter().position(|one| &*one.name == name);
    let renamed = renamed(old, new, nodes);
    let mut found = Vec::new();
    for pipeline in &new.pipelines {
        let renamed_from = renamed.get(&pipeline.name);
        let before =
            named(old, renamed_from.unwrap_or(&pipeline.name)).map(|at| &old.pipelines[at]);
        let what = before.map(|before| differences(before, pipeline)).unwrap_or_default();
        let goes_from_here = |node: &NodeChange| {
            node.new.is_none() && Some(node.pipeline()) == before.map(|before| &*before.name)
        };
        let touched = nodes.iter().any(|node| {
            (node.pipeline() == &*pipeline.name && !node.is_nothing()) || goes_from_here(node)
        });
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
        let goes_on = renamed.values().any(|from| *from == pipeline.name);
        if named(new, &pipeline.name).is_none() && !goes_on {
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

/// New pipelines by the name they had: all nodes of the old one that stay are in the new one, and all nodes of the new one that
/// were there before come from the old one.
fn renamed(old: &Graph, new: &Graph, nodes: &[NodeChange]) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut to: BTreeMap<Arc<str>, Option<Arc<str>>> = BTreeMap::new();
    let mut from: BTreeMap<Arc<str>, Option<Arc<str>>> = BTreeMap::new();
    for node in nodes {
        let (Some(before), Some(after)) = (node.old, node.new) else { continue };
        let (before, after) = (&old.dag[before].pipeline, &new.dag[after].pipeline);
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
    let gone = |name: &Arc<str>| !new.pipelines.iter().any(|one| one.name == *name);
    let fresh = |name: &Arc<str>| !old.pipelines.iter().any(|one| one.name == *name);
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
