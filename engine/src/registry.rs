//! Types of node: what a node author declares, and the list in which the engine finds it.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::batch::ItemKind;
use crate::bytes::ByteSize;
pub use crate::config::Section;
use crate::config::mqtt::{DEFAULT_BROKER, MqttConfig};
use crate::config::{self, Node as Tree};
use crate::context::Context;
use crate::diagnostic::{Diagnostics, Span};
use crate::duration::Duration;
use crate::glob::Glob;
use crate::node::Node;
use crate::running::Leaves;

/// What a node author writes: the settings (whose field comments are the users' documentation and whose derived schema drives
/// their editors), and how settings become a node.
///
/// Settings that are equal make equal nodes: an apply leaves a node alone whose settings are what they were.
pub trait NodeConfig:
    DeserializeOwned + JsonSchema + fmt::Debug + Clone + PartialEq + Send + Sync + 'static
{
    /// The section of a pipeline file its nodes stand in.
    const SECTION: Section;
    /// The word in YAML: the name of the node's folder.
    const TYPE: &'static str;
    /// The smallest whole pipeline that uses it, with `tests:` (`example.yaml`).
    const EXAMPLE: &'static str;

    /// What the checker needs to know of a node with these settings.
    fn profile(&self) -> Profile;

    /// What is wrong with settings whose fields are each fine.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// What is wrong with settings beside the word `every` of their node.
    fn problems_with(&self, every: Option<Duration>) -> Vec<Problem> {
        let _ = every;
        Vec::new()
    }

    /// What they name and this machine has not: a program, a folder. Paths are relative to `folder`, that of the pipeline file. It is a
    /// warning: the node may be meant for another machine, or what it needs may come later.
    fn missing(&self, folder: &Path) -> Vec<Problem> {
        let _ = folder;
        Vec::new()
    }

    /// Makes the node. Opens what is needed, emits nothing.
    ///
    /// # Errors
    /// Something outside is missing: a file, a folder, a permission.
    fn build(&self, context: &Context) -> Result<Node, Problem>;
}

/// What is wrong, and with which setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, as a dotted path below the node's type; empty for the node as a whole.
    pub field: String,
    /// What is wrong, as a fragment: "`min` is longer than `max`".
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem with one setting.
    pub fn at(field: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { field: field.into(), message: message.into(), help: None }
    }

    /// With a way to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

/// What the checker needs to know of a node.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Where edges enter.
    pub inputs: Vec<InputPort>,
    /// Where edges leave.
    pub outputs: Vec<OutputPort>,
    /// When a source speaks; `None` for other kinds.
    pub pace: Option<Pace>,
    /// Whether a live source is polled instead where the pipeline file says `every`.
    pub takes_every: bool,
    /// What only one node on the host may hold.
    pub claims: Vec<Claim>,
    /// Whether a source comes to an end by itself. Recordings do.
    pub ends: bool,
    /// The ids a source can give to its readings (below its type part), as far as that is known beforehand.
    pub ids: Option<Vec<Glob>>,
    /// Whether a source tells its sender that a batch is kept: its batches come with a receipt.
    pub promises: bool,
    /// Whether what a source reads waits for it outside: then it waits, too, while the host can keep nothing, and drops nothing.
    pub waits: bool,
    /// Whether a transform remembers anything from one reading to the next.
    pub stateful: bool,
    /// Whether all that a transform takes on `main` must have one unit.
    pub one_unit: bool,
    /// What a sink owes to what it takes.
    pub delivery: Delivery,
    /// Whether a sink keeps its position together with what it keeps ([`crate::node::Sink::keeps_position`]): then every item is there once.
    pub keeps_position: bool,
    /// The files it reads, as its settings name them: relative to the pipeline file.
    pub reads: Vec<PathBuf>,
    /// How much disk what it keeps may take, where that has a bound.
    pub disk: Option<ByteSize>,
    /// The broker that its settings name.
    pub connection: Option<Connection>,
    /// The filters of topics that a source subscribes to at its broker.
    pub hears: Vec<String>,
    /// The topics that a sink publishes to at its broker, with `+` for each level that is known only by the item, and a last `#` for
    /// any number of those.
    pub says: Vec<String>,
    /// What a sink leaves with its other side, to be taken back when it is gone.
    pub leaves: Option<Leaves>,
}

impl Profile {
    /// A source: one output port `main` of readings.
    #[must_use]
    pub fn source(pace: Pace) -> Profile {
        Profile {
            outputs: vec![OutputPort::main(ItemKind::Readings)],
            pace: Some(pace),
            ..Self::default()
        }
    }

    /// A transform from readings to readings, both on `main`.
    #[must_use]
    pub fn transform() -> Profile {
        Profile {
            inputs: vec![InputPort::main(&[ItemKind::Readings])],
            outputs: vec![OutputPort::main(ItemKind::Readings)],
            ..Self::default()
        }
    }

    /// A transform as [`Profile::transform`] that remembers.
    #[must_use]
    pub fn stateful() -> Profile {
        Profile { stateful: true, ..Self::transform() }
    }

    /// A transform that takes readings of one unit on `main`, if it `is`.
    #[must_use]
    pub fn one_unit(mut self, is: bool) -> Profile {
        self.one_unit = is;
        self
    }

    /// A sink that takes these kinds on `main`.
    #[must_use]
    pub fn sink(accepts: &[ItemKind]) -> Profile {
        Profile { inputs: vec![InputPort::main(accepts)], ..Self::default() }
    }

    /// A sink that owes this to what it takes.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Profile {
        self.delivery = delivery;
        self
    }

    /// A sink that keeps its position together with what it keeps.
    #[must_use]
    pub fn keeps_position(mut self) -> Profile {
        self.keeps_position = true;
        self
    }

    /// A source that tells its sender when a batch is kept.
    #[must_use]
    pub fn promises(mut self) -> Profile {
        self.promises = true;
        self
    }

    /// A source whose readings wait for it outside: in a file, in a pipe.
    #[must_use]
    pub fn waits(mut self) -> Profile {
        self.waits = true;
        self
    }

    /// A live source that is polled instead where the pipeline file says `every`: then it has no end.
    #[must_use]
    pub fn takes_every(mut self) -> Profile {
        self.takes_every = true;
        self
    }

    /// With one more output port.
    #[must_use]
    pub fn output(mut self, name: impl Into<Cow<'static, str>>, carries: Carries) -> Profile {
        self.outputs.push(OutputPort { name: name.into(), carries });
        self
    }

    /// With something that only one node may hold.
    #[must_use]
    pub fn claim(mut self, what: &'static str, key: impl Into<String>) -> Profile {
        self.claims.push(Claim { what, key: key.into() });
        self
    }

    /// With a bound for what it keeps on disk.
    #[must_use]
    pub fn disk(mut self, cap: Option<ByteSize>) -> Profile {
        self.disk = cap;
        self
    }

    /// With a file that it reads.
    #[must_use]
    pub fn reads(mut self, path: impl Into<PathBuf>) -> Profile {
        self.reads.push(path.into());
        self
    }

    /// With the broker (`mqtt` in `config.yaml`) that a setting names.
    #[must_use]
    pub fn connection(mut self, field: &'static str, name: impl Into<String>) -> Profile {
        self.connection = Some(Connection { field, name: name.into() });
        self
    }

    /// With a filter of topics that it subscribes to.
    #[must_use]
    pub fn hears(mut self, filter: impl Into<String>) -> Profile {
        self.hears.push(filter.into());
        self
    }

    /// With a topic that it publishes to, or a pattern of such topics. What it says must not come back by a source of this host:
    /// a sink that is allowed to do that declares nothing.
    #[must_use]
    pub fn says(mut self, topic: impl Into<String>) -> Profile {
        self.says.push(topic.into());
        self
    }

    /// A sink that leaves something with its other side. Whoever takes that back is told where it lies ([`crate::running`]).
    #[must_use]
    pub fn leaves(mut self, what: &'static str, place: impl Into<String>) -> Profile {
        self.leaves = Some(Leaves { what, place: place.into() });
        self
    }

    /// The name of its broker.
    #[must_use]
    pub fn broker(&self) -> &str {
        self.connection.as_ref().map_or(DEFAULT_BROKER, |connection| &connection.name)
    }

    /// With the ids it can give.
    #[must_use]
    pub fn ids(mut self, patterns: impl IntoIterator<Item = Glob>) -> Profile {
        self.ids = Some(patterns.into_iter().collect());
        self
    }
}

/// What a sink owes to what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Nothing: it is shown, or thrown away. Nothing is journaled for its sake, and a replay does not show it again.
    #[default]
    Shown,
    /// It is kept on this machine: replayed after a crash until the sink has confirmed it.
    Kept,
    /// It goes to another side that can be away: waits in a spool until that side has taken it.
    Sent,
}

/// The broker that a node uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The setting that names it, as a dotted path below the node's type.
    pub field: &'static str,
    /// Its name in `config.yaml`.
    pub name: String,
}

/// Where edges enter a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputPort {
    /// Its name.
    pub name: &'static str,
    /// The kinds it takes.
    pub accepts: Vec<ItemKind>,
}

impl InputPort {
    /// The port `main`.
    #[must_use]
    pub fn main(accepts: &[ItemKind]) -> InputPort {
        InputPort { name: "main", accepts: accepts.to_vec() }
    }
}

/// Where edges leave a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPort {
    /// Its name; some nodes have ports that users name.
    pub name: Cow<'static, str>,
    /// What it carries.
    pub carries: Carries,
}

impl OutputPort {
    /// The port `main`.
    #[must_use]
    pub fn main(kind: ItemKind) -> OutputPort {
        OutputPort { name: "main".into(), carries: Carries::Kind(kind) }
    }
}

/// What an output port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Always this kind.
    Kind(ItemKind),
    /// The kind that comes in on `main`: for nodes that let things through, such as `filter`.
    AsInput,
}

/// When a source speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// When it is asked, every so often; `every` in the pipeline file overrides the default given here.
    Polled(Duration),
    /// As [`Pace::Polled`], but it makes its readings up and knows no other time than the one it is told: it may join a recording.
    Simulated(Duration),
    /// When something happens outside.
    Live,
    /// As fast as it is read, dated in the past: a recording.
    Recorded,
}

/// Something that only one node of the host may hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// What it is: "the file", "the listening port".
    pub what: &'static str,
    /// Which one.
    pub key: String,
}

impl Claim {
    /// A port of the network.
    pub const PORT: &'static str = "the listening port";
    /// A socket of the file system.
    pub const SOCKET: &'static str = "the listening socket";

    /// Whether others reach the node there. A node leases such a thing of the host ([`crate::lease`]): one of the same type
    /// that takes its place is made while it still has it.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        matches!(self.what, Claim::PORT | Claim::SOCKET)
    }
}

/// A type of node, as the engine sees it: the same for all, with the author's own type behind it.
#[derive(Clone)]
pub struct NodeType {
    /// The section of a pipeline file its nodes stand in.
    pub section: Section,
    /// The word in YAML.
    pub name: &'static str,
    /// The smallest whole pipeline that uses it.
    pub example: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    read: ReadSettings,
}

/// Reads a tree as settings: the tree, where the type stands, what to call the settings, and where to report.
type ReadSettings = fn(&Tree, Span, &str, &mut Diagnostics) -> Option<(Arc<dyn Settings>, Tree)>;

impl fmt::Debug for NodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.section.singular(), self.name)
    }
}

impl NodeType {
    fn of<C: NodeConfig>() -> NodeType {
        NodeType {
            section: C::SECTION,
            name: C::TYPE,
            example: C::EXAMPLE,
            schema: |generator| generator.subschema_for::<C>(),
            read: |tree, key, what, diagnostics| {
                let (settings, shown) = config::read_showable::<C>(tree, key, what, diagnostics)?;
                Some((Arc::new(settings), shown))
            },
        }
    }

    /// The schema of its settings.
    #[must_use]
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }

    /// Reads its settings; `key` is where its word stands. Beside them comes the tree in a form that may be shown. Nothing comes
    /// back when an error was reported.
    pub fn read(
        &self,
        settings: &Tree,
        key: Span,
        what: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Arc<dyn Settings>, Tree)> {
        (self.read)(settings, key, what, diagnostics)
    }
}

/// Settings that were read and can become a node.
pub trait Settings: Any + fmt::Debug + Send + Sync {
    /// See [`NodeConfig::profile`].
    fn profile(&self) -> Profile;
    /// See [`NodeConfig::problems`].
    fn problems(&self) -> Vec<Problem>;
    /// See [`NodeConfig::problems_with`].
    fn problems_with(&self, every: Option<Duration>) -> Vec<Problem> {
        let _ = every;
        Vec::new()
    }
    /// See [`NodeConfig::missing`].
    fn missing(&self, folder: &Path) -> Vec<Problem> {
        let _ = folder;
        Vec::new()
    }
    /// See [`NodeConfig::build`].
    ///
    /// # Errors
    /// As there.
    fn build(&self, context: &Context) -> Result<Node, Problem>;
    /// Whether they are of the same type and equal.
    fn equals(&self, other: &dyn Settings) -> bool;
}

impl<C: NodeConfig> Settings for C {
    fn profile(&self) -> Profile {
        NodeConfig::profile(self)
    }
    fn problems(&self) -> Vec<Problem> {
        NodeConfig::problems(self)
    }
    fn problems_with(&self, every: Option<Duration>) -> Vec<Problem> {
        NodeConfig::problems_with(self, every)
    }
    fn missing(&self, folder: &Path) -> Vec<Problem> {
        NodeConfig::missing(self, folder)
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        NodeConfig::build(self, context)
    }
    fn equals(&self, other: &dyn Settings) -> bool {
        (other as &dyn Any).downcast_ref::<C>().is_some_and(|other| other == self)
    }
}

/// All types of node there are, and what a plan has to know of the host: the brokers that nodes can name, and whether it is an edge.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    types: Vec<Arc<NodeType>>,
    brokers: Vec<String>,
    edge: Option<Duration>,
}

impl Registry {
    /// None.
    #[must_use]
    pub fn new() -> Registry {
        Registry::default()
    }

    /// With one more type.
    #[must_use]
    pub fn with<C: NodeConfig>(mut self) -> Registry {
        debug_assert!(self.get(C::SECTION, C::TYPE).is_none(), "{} is listed twice", C::TYPE);
        self.types.push(Arc::new(NodeType::of::<C>()));
        self
    }

    /// For a host with these brokers; without this there is only the default one.
    #[must_use]
    pub fn with_brokers(mut self, mqtt: &MqttConfig) -> Registry {
        self.brokers = mqtt.connections.keys().cloned().collect();
        self
    }

    /// For an edge host that publishes so often, or for one that is none.
    #[must_use]
    pub fn with_edge(mut self, every: Option<Duration>) -> Registry {
        self.edge = every;
        self
    }

    /// How often an edge host publishes the state of its sources; `None` where the host is none.
    #[must_use]
    pub fn edge(&self) -> Option<Duration> {
        self.edge
    }

    /// The names of the brokers.
    pub fn brokers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(DEFAULT_BROKER).chain(self.brokers.iter().map(String::as_str))
    }

    /// The type of that kind and name.
    #[must_use]
    pub fn get(&self, section: Section, name: &str) -> Option<&Arc<NodeType>> {
        self.types.iter().find(|one| one.section == section && one.name == name)
    }

    /// The names of the types that a section of a pipeline file can hold, in the order they were listed.
    #[must_use]
    pub fn names(&self, section: Section) -> Vec<&'static str> {
        self.types.iter().filter(|one| one.section == section).map(|one| one.name).collect()
    }

    /// All types, in the order they were listed.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<NodeType>> {
        self.types.iter()
    }
}
