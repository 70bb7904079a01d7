//! The checked graph: what `graph` draws, `diff` compares and the runner builds.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::unionfind::UnionFind;
use petgraph::visit::{EdgeRef, IntoEdgeReferences};

use crate::batch::ItemKind;
use crate::condition::Condition;
use crate::config::{Node as Tree, Section};
use crate::context::{Context, Host};
use crate::diagnostic::Span;
use crate::duration::Duration;
use crate::labels::LabelTable;
use crate::registry::{Problem, Profile, Settings};
use crate::run::{QueueSpec, RetrySpec};

/// A node with its settings read and its surroundings known.
#[derive(Clone)]
pub struct PlannedNode {
    /// `pipeline/node`.
    pub address: Arc<str>,
    /// The pipeline it stands in.
    pub pipeline: Arc<str>,
    /// Its name there.
    pub name: Arc<str>,
    /// The section it stands in.
    pub section: Section,
    /// The type, as written.
    pub type_name: Arc<str>,
    /// What its type made of its settings.
    pub settings: Arc<dyn Settings>,
    /// What was written, for showing what changed.
    pub written: Written,
    /// What the checker knows of it.
    pub profile: Profile,
    /// The kind that each output port carries.
    pub carries: Vec<ItemKind>,
    /// The type part of the series it makes.
    pub type_part: Arc<str>,
    /// `unit`.
    pub unit: Option<Arc<str>>,
    /// `labels`.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// `labels_from`: the path, absolute, and the table.
    pub labels_from: Option<(PathBuf, Arc<LabelTable>)>,
    /// `every`.
    pub every: Option<Duration>,
    /// `when`.
    pub when: Option<Box<Condition>>,
    /// `queue`.
    pub queue: QueueSpec,
    /// `retry`.
    pub retry: RetrySpec,
    /// The folder of its file.
    pub folder: PathBuf,
    /// `renamed_from`, as `pipeline/node`.
    pub renamed_from: Option<Arc<str>>,
    /// Where its name stands.
    pub span: Span,
    /// Where its type stands.
    pub type_span: Span,
}

/// Trees of a node in a form that may be shown: variables are put in, secrets are references.
#[derive(Clone, Debug)]
pub struct Written {
    /// What stands under the type.
    pub settings: Tree,
    /// What stands under `when`.
    pub when: Option<Tree>,
}

impl fmt::Debug for PlannedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.address, self.section.singular(), self.type_name)
    }
}

impl PlannedNode {
    /// What the node is given when it is made.
    #[must_use]
    pub fn context(&self, host: &Arc<Host>) -> Context {
        let mut context = Context::new(host.clone(), &self.address, &self.type_part);
        context.unit.clone_from(&self.unit);
        context.labels.clone_from(&self.labels);
        context.every = self.every;
        context.folder.clone_from(&self.folder);
        context.label_table = self.labels_from.as_ref().map(|(_, table)| table.clone());
        context
    }

    /// Whether it makes series under a type part that nobody wrote: its type's, or its own address.
    #[must_use]
    pub fn has_default_type_part(&self) -> bool {
        self.type_part == default_type_part(self.section, &self.type_name, &self.address)
    }

    /// Makes the node.
    ///
    /// # Errors
    /// Something outside is missing.
    pub fn build(&self, host: &Arc<Host>) -> Result<crate::node::Node, Problem> {
        self.settings.build(&self.context(host))
    }

    /// The name of an output port.
    #[must_use]
    pub fn output_name(&self, port: usize) -> &str {
        self.profile.outputs.get(port).map_or("", |port| &port.name)
    }

    /// The written address of an output port: without the port for `main`.
    #[must_use]
    pub fn port_address(&self, port: usize) -> String {
        match self.output_name(port) {
            "main" => self.address.to_string(),
            name => format!("{}.{name}", self.address),
        }
    }
}

/// The type part of the series a node makes if `as` does not say: a source's type, and `pipeline.node` of all others.
pub(super) fn default_type_part(section: Section, type_name: &Arc<str>, address: &str) -> Arc<str> {
    match section {
        Section::Sources => type_name.clone(),
        _ => address.replacen('/', ".", 1).into(),
    }
}

/// An edge: from an output port to an input port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The index of the output port.
    pub from: usize,
    /// The index of the input port.
    pub to: usize,
}

/// A pipeline as a whole.
#[derive(Clone, Debug)]
pub struct PlannedPipeline {
    /// Its name.
    pub name: Arc<str>,
    /// `description`.
    pub description: Option<Arc<str>>,
    /// The file it stands in.
    pub file: PathBuf,
    /// `tests`, checked, and read again when they run ([`crate::testing::tests`]).
    pub tests: Option<Tree>,
}

/// All pipelines of a host as one directed graph without cycles.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The nodes and edges.
    pub dag: StableDiGraph<Arc<PlannedNode>, Wire>,
    /// The nodes in the order of the graph: a node after all it reads from, and otherwise as written.
    pub order: Vec<NodeIndex>,
    /// The pipelines, as read.
    pub pipelines: Vec<PlannedPipeline>,
}

impl Graph {
    /// The nodes, in the order of the graph.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeIndex, &PlannedNode)> {
        self.order.iter().map(|&index| (index, &*self.dag[index]))
    }

    /// The node at `pipeline/node`.
    #[must_use]
    pub fn find(&self, address: &str) -> Option<NodeIndex> {
        self.order.iter().copied().find(|&index| *self.dag[index].address == *address)
    }

    /// The edges that leave a node, as (output port, target, input port), in the order they were written.
    pub fn outgoing(&self, node: NodeIndex) -> Vec<(usize, NodeIndex, usize)> {
        let mut edges: Vec<_> = self
            .dag
            .edges(node)
            .map(|edge| (edge.id(), edge.weight().from, edge.target(), edge.weight().to))
            .collect();
        edges.sort_by_key(|(id, ..)| *id);
        edges.into_iter().map(|(_, from, target, to)| (from, target, to)).collect()
    }

    /// The edges that enter a node, as (source, output port), in the order they were written.
    #[must_use]
    pub fn inputs(&self, node: NodeIndex) -> Vec<(NodeIndex, usize)> {
        let mut edges: Vec<_> = self
            .dag
            .edges_directed(node, petgraph::Direction::Incoming)
            .map(|edge| (edge.id(), edge.source(), edge.weight().from))
            .collect();
        edges.sort_by_key(|(id, ..)| *id);
        edges.into_iter().map(|(_, source, from)| (source, from)).collect()
    }

    /// The connected parts of the graph, each in the order of the graph: what runs as one.
    #[must_use]
    pub fn parts(&self) -> Vec<Vec<NodeIndex>> {
        let mut sets = UnionFind::<usize>::new(
            self.dag.node_indices().map(|n| n.index() + 1).max().unwrap_or(0),
        );
        for edge in self.dag.edge_references() {
            sets.union(edge.source().index(), edge.target().index());
        }
        let mut parts: Vec<Vec<NodeIndex>> = Vec::new();
        let mut of_set: BTreeMap<usize, usize> = BTreeMap::new();
        for &node in &self.order {
            let part = *of_set.entry(sets.find(node.index())).or_insert_with(|| {
                parts.push(Vec::new());
                parts.len() - 1
            });
            parts[part].push(node);
        }
        parts
    }
}
