//! The changes as rows: what `plan --json` gives, what an API sends, and what the text is made from.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pipelines::{PipelineChange, PipelineFate};
use super::{Change, Changes, Difference, NodeChange, StateFate, has_state};
use crate::config::Section;
use crate::plan::cost::Cost;
use crate::plan::graph::{Graph, PlannedNode};
use crate::registry::{Delivery, Pace};
use crate::run::WhenFull;

/// What would change, for a person or a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// All nodes: those of the candidate in its order, then those that go.
    pub changes: Vec<Row>,
    /// The pipelines they stand in.
    pub pipelines: Vec<PipelineRow>,
    /// How many of each.
    pub summary: Summary,
    /// What the candidate costs, where the settings of the host are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// What happens to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// `pipeline/node`, as it will be called; of one that goes, as it was.
    pub address: String,
    /// `source`, `transform`, `agent` or `sink`.
    pub section: String,
    /// The word in YAML.
    #[serde(rename = "type")]
    pub type_name: String,
    /// What happens to it.
    pub change: RowChange,
    /// What becomes of what it remembers.
    pub state: RowState,
    /// Why the state is reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The settings that differ.
    #[serde(default)]
    pub settings: Vec<Difference>,
    /// The address it had, if that was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// Where it reads from, or how often it speaks.
    pub detail: String,
    /// What becomes of the items that wait for a sink which is changed or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// What it left with another side, and what is taken back there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<Undone>,
    /// What else is good to know before this is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What happens to a node or pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowChange {
    /// It is new.
    Add,
    /// It goes.
    Remove,
    /// It is what it was called before, with other settings or other inputs.
    Change,
    /// It has another name, and perhaps other settings.
    Rename,
    /// Nothing.
    Keep,
}

/// What becomes of what a node remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// It goes on with it.
    Kept,
    /// It is lost.
    Reset,
    /// It remembers nothing, or is new.
    None,
    /// It is kept if it fits; only a running engine can tell.
    Unknown,
}

/// What becomes of items that wait for a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// How many there are now, in its queue and its spool, where that is known.
    pub items: Option<u64>,
    /// Whether they go on to its successor. If not they are sent where that is possible, and go to the dead letters where it is not.
    pub inherited: bool,
}

/// What is taken back of what a node left with another side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Undone {
    /// What it is: `entities in Home Assistant`.
    pub what: String,
    /// How much there is now, where that is known.
    pub items: Option<usize>,
}

/// What happens to a pipeline as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineRow {
    /// Its name, as it will be; of one that goes, as it was.
    pub name: String,
    /// The file it stands in.
    pub file: PathBuf,
    /// What happens to it.
    pub change: RowChange,
    /// What differs and belongs to none of its nodes.
    #[serde(default)]
    pub settings: Vec<Difference>,
    /// The name it had, if that was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
}

/// How many nodes there are of each kind of change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// New ones.
    pub add: usize,
    /// With other settings or inputs.
    pub change: usize,
    /// That go.
    pub remove: usize,
    /// With another name, and perhaps other settings.
    pub rename: usize,
    /// That stay as they are.
    pub keep: usize,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [
            (self.add, "added"),
            (self.change, "changed"),
            (self.rename, "renamed"),
            (self.remove, "removed"),
        ];
        let mut said = false;
        for (count, word) in counts.into_iter().filter(|(count, _)| *count > 0) {
            let comma = if std::mem::replace(&mut said, true) { ", " } else { "" };
            write!(f, "{comma}{count} {word}")?;
        }
        if said { Ok(()) } else { f.write_str("nothing changed") }
    }
}

/// How many items wait for a sink of the running graph, by its address; `None` where nobody knows.
pub type Backlog<'a> = dyn Fn(&str) -> Option<u64> + 'a;

impl Changes {
    /// The changes as rows. The graphs are those that were compared.
    #[must_use]
    pub fn plan(&self, old: &Graph, new: &Graph, backlog: &Backlog<'_>) -> Plan {
        let promised = below_promises(new);
        let mut summary = Summary::default();
        let rows = self.nodes.iter().map(|change| {
            let row = row(change, (old, new), backlog, &promised);
            *match row.change {
                RowChange::Add => &mut summary.add,
                RowChange::Remove => &mut summary.remove,
                RowChange::Change => &mut summary.change,
                RowChange::Rename => &mut summary.rename,
                RowChange::Keep => &mut summary.keep,
            } += 1;
            row
        });
        let changes = rows.collect();
        let pipelines = self.pipelines.iter().map(pipeline_row).collect();
        Plan { changes, pipelines, summary, cost: None }
    }
}

impl Plan {
    /// With what the candidate costs.
    #[must_use]
    pub fn with_cost(self, cost: Cost) -> Plan {
        Plan { cost: Some(cost), ..self }
    }

    /// With how much there is of what is taken back, by the address of the node that left it.
    #[must_use]
    pub fn with_left(mut self, left_by: &dyn Fn(&str) -> Option<usize>) -> Plan {
        for row in &mut self.changes {
            let before = row.renamed_from.as_deref().unwrap_or(&row.address);
            if let Some(undone) = &mut row.undone {
                undone.items = left_by(before);
            }
        }
        self
    }

    /// Whether there is nothing to apply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|row| row.change == RowChange::Keep)
            && self.pipelines.iter().all(|row| row.change == RowChange::Keep)
    }
}

impl Row {
    /// The pipeline and the node of its address.
    pub(super) fn names(&self) -> (&str, &str) {
        self.address.split_once('/').unwrap_or(("", &self.address))
    }
}

fn row(
    change: &NodeChange,
    (old, new): (&Graph, &Graph),
    backlog: &Backlog<'_>,
    promised: &BTreeSet<NodeIndex>,
) -> Row {
    let before = change.old.map(|index| &*old.dag[index]);
    let (graph, index) = match (change.new, change.old) {
        (Some(index), _) => (new, Some(index)),
        (None, index) => (old, index),
    };
    let mut settings: Vec<Difference> = change.inputs.iter().cloned().collect();
    if let Change::Changed { what, .. } = &change.change {
        settings.extend(what.iter().cloned());
    }
    let (state, why) = state(change, before);
    let drops = change.new.filter(|index| {
        new.dag[*index].queue.when_full != WhenFull::Block && promised.contains(index)
    });
    let kind = row_change(change);
    Row {
        address: change.address.to_string(),
        section: change.section.singular().to_owned(),
        type_name: change.type_name.to_string(),
        change: kind,
        state,
        why,
        settings,
        renamed_from: change.renamed_from.as_deref().map(ToOwned::to_owned),
        detail: index.map(|index| detail(graph, index)).unwrap_or_default(),
        waiting: before.and_then(|before| waiting(change, before, backlog)),
        undone: before.and_then(|before| undone(before, change.new.map(|index| &*new.dag[index]))),
        note: drops
            .filter(|_| kind != RowChange::Keep)
            .map(|_| "acknowledged readings may be dropped when its queue is full".to_owned()),
    }
}

fn row_change(change: &NodeChange) -> RowChange {
    match &change.change {
        Change::Added => RowChange::Add,
        Change::Removed => RowChange::Remove,
        Change::Changed { .. } if change.renamed_from.is_some() => RowChange::Rename,
        Change::Changed { .. } => RowChange::Change,
        Change::Kept if change.inputs.is_some() => RowChange::Change,
        Change::Kept => RowChange::Keep,
    }
}

fn state(change: &NodeChange, before: Option<&PlannedNode>) -> (RowState, Option<String>) {
    let remembers = before.is_some_and(has_state);
    match &change.change {
        Change::Kept if remembers => (RowState::Kept, None),
        Change::Removed if remembers => (RowState::Reset, Some("the node goes".to_owned())),
        Change::Kept | Change::Added | Change::Removed => (RowState::None, None),
        Change::Changed { state, .. } => match state {
            StateFate::Keeps => (RowState::Kept, None),
            StateFate::Resets { why } => (RowState::Reset, Some(why.clone())),
            StateFate::Stateless => (RowState::None, None),
            StateFate::Unknown => (RowState::Unknown, None),
        },
    }
}

/// What becomes of what waits for a sink that does not stay as it is. Not said of one that only shows things.
fn waiting(change: &NodeChange, before: &PlannedNode, backlog: &Backlog<'_>) -> Option<Waiting> {
    let queues = before.section == Section::Agents || before.profile.delivery != Delivery::Shown;
    let inherited = match &change.change {
        Change::Changed { .. } => true,
        Change::Removed => false,
        Change::Kept | Change::Added => return None,
    };
    queues.then(|| Waiting { items: backlog(&before.address), inherited })
}

/// What is taken back where a node goes, or leaves things elsewhere from now on.
fn undone(before: &PlannedNode, after: Option<&PlannedNode>) -> Option<Undone> {
    let leaves = before.profile.leaves.as_ref()?;
    let stays = after.and_then(|after| after.profile.leaves.as_ref());
    let goes = stays.is_none_or(|stays| stays.place != leaves.place);
    goes.then(|| Undone { what: leaves.what.to_owned(), items: None })
}

/// Where a node reads from; of a source, when it speaks.
fn detail(graph: &Graph, index: NodeIndex) -> String {
    let node = &graph.dag[index];
    if node.section == Section::Sources {
        return match node.profile.pace {
            Some(Pace::Polled(default) | Pace::Simulated(default)) => {
                format!("every {}", node.every.unwrap_or(default))
            }
            Some(Pace::Recorded) => "a recording".to_owned(),
            _ => "live".to_owned(),
        };
    }
    let own = format!("{}/", node.pipeline);
    let from = graph.inputs(index).into_iter().map(|(giver, port)| {
        let address = graph.dag[giver].port_address(port);
        address.strip_prefix(&own).unwrap_or(&address).to_owned()
    });
    format!("from {}", from.collect::<Vec<_>>().join(", "))
}

/// The nodes that a source which promises can reach.
fn below_promises(graph: &Graph) -> BTreeSet<NodeIndex> {
    let mut found = BTreeSet::new();
    for (index, node) in graph.nodes() {
        if node.profile.promises || found.contains(&index) {
            found.extend(graph.dag.neighbors(index));
        }
    }
    found
}

fn pipeline_row(change: &PipelineChange) -> PipelineRow {
    let text = |name: &Arc<str>| name.to_string();
    PipelineRow {
        name: text(&change.name),
        file: change.file.clone(),
        change: match change.fate {
            PipelineFate::Added => RowChange::Add,
            PipelineFate::Removed => RowChange::Remove,
            PipelineFate::Changed if change.renamed_from.is_some() => RowChange::Rename,
            PipelineFate::Changed => RowChange::Change,
            PipelineFate::Kept => RowChange::Keep,
        },
        settings: change.what.clone(),
        renamed_from: change.renamed_from.as_ref().map(text),
    }
}
