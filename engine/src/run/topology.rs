//! The running thing: a graph, built and started, part by part.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::barrier::Barriers;
use super::command::{Again, Command, Wires, Yielded};
use super::dead_letter::DeadLetters;
use super::heritage::Heritage;
use super::inbox::{Entrance, Inbox, Ledger};
use super::keep::{Checkpoint, Checkpoints, Journal, Spools};
use super::making::{give_states, make};
use super::outlets::WaitsFor;
use super::queue::Gauge;
use super::raise::{Raised, SinkStart, SourceStart, Yard};
use super::sink::{Passes, Retire, SinkCommand};
use super::source::SourceRun;
use super::stats::NodeStats;
use super::stop::{STOP_WITHIN, spawn};
use super::watch::Watch;
use crate::batch::Items;
use crate::clock::Clock;
use crate::context::Host;
use crate::diagnostic::Span;
use crate::plan::{Graph, PlannedNode};
use crate::registry::Problem;

/// How to run a graph.
#[derive(Debug)]
pub struct Options {
    /// The host's clock.
    pub clock: Arc<dyn Clock>,
    /// Where dead letters go.
    pub dead: Arc<dyn DeadLetters>,
    /// How many seconds of a recording pass in one second; `None` for as fast as possible.
    pub speed: Option<f64>,
    /// End when every source has ended; a source that would be polled for ever is polled once.
    pub once: bool,
    /// Who looks at everything that moves.
    pub watch: Option<Arc<dyn Watch>>,
    /// Where what must outlive the process is kept; without it nothing does.
    pub keep: Option<Keep>,
}

/// Where what must outlive the process is kept.
#[derive(Debug, Clone)]
pub struct Keep {
    /// What enters.
    pub journal: Arc<dyn Journal>,
    /// What waits for the other side of a sink.
    pub spools: Arc<dyn Spools>,
    /// States.
    pub checkpoints: Arc<dyn Checkpoints>,
}

/// A node that could not be made.
#[derive(Debug, Clone)]
pub struct BuildError {
    /// The node.
    pub address: Arc<str>,
    /// Where its type stands.
    pub span: Span,
    /// Why.
    pub problem: Problem,
}

/// Why a graph does not run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotStarted {
    /// Nodes that could not be made.
    #[error("{}", could_not_be_made(.0))]
    Build(Vec<BuildError>),
    /// What the journal holds has to be replayed first.
    #[error("the journal cannot be read: {0}")]
    Journal(String),
}

/// Names the nodes that could not be made.
pub(super) fn could_not_be_made(errors: &[BuildError]) -> String {
    let names: Vec<String> = errors.iter().map(|error| format!("`{}`", error.address)).collect();
    format!("{} could not be made", names.join(", "))
}

/// The running thing. Dropped without [`Topology::stop`] it ends at once, as a crash would end it.
pub struct Topology {
    pub(super) graph: Graph,
    pub(super) host: Arc<Host>,
    pub(super) options: Options,
    pub(super) ledger: Arc<Ledger>,
    pub(super) stats: BTreeMap<Arc<str>, Arc<NodeStats>>,
    pub(super) sources: BTreeMap<Arc<str>, SourceHandle>,
    pub(super) sinks: BTreeMap<Arc<str>, SinkHandle>,
    pub(super) parts: Vec<PartHandle>,
    pub(super) barriers: Barriers,
    pub(super) passes: Arc<Passes>,
    pub(super) stopping: CancellationToken,
    pub(super) hurry: CancellationToken,
    /// Set when nothing is waited for any more.
    pub(super) gone: CancellationToken,
    /// Sources may begin.
    pub(super) released: bool,
    /// What went wrong in loops that have ended.
    pub(super) errors: Vec<String>,
}

/// Shows how a node is.
#[derive(Debug, Clone)]
pub struct NodeGauge {
    /// The node.
    pub node: Arc<PlannedNode>,
    /// What it counted.
    pub stats: Arc<NodeStats>,
    /// The queue before it, where there is one.
    pub queue: Option<Gauge>,
    ended: Option<CancellationToken>,
    inbox: Option<Arc<Inbox>>,
}

impl NodeGauge {
    /// Whether all sources of its part have come to their end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// Whether its part does not keep up, and takes what it has missed from the journal.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| inbox.is_lagging())
    }
}

/// A source's loop.
pub(super) struct SourceHandle {
    pub(super) entrance: Option<Arc<Entrance>>,
    pub(super) stop: CancellationToken,
    pub(super) state: SourceState,
}

pub(super) enum SourceState {
    /// It waits to be released.
    Waiting {
        blocks: bool,
        /// In a mutex only because a source need not be `Sync`.
        run: Mutex<Box<SourceRun>>,
    },
    Running(JoinHandle<Result<(), String>>),
    Ended,
}

/// A sink's loop.
pub(super) struct SinkHandle {
    pub(super) commands: mpsc::UnboundedSender<SinkCommand>,
    pub(super) retire: watch::Sender<Retire>,
    pub(super) gauge: Gauge,
    pub(super) task: JoinHandle<Result<(), String>>,
}

/// A part's loop.
pub(super) struct PartHandle {
    pub(super) nodes: Vec<Arc<str>>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) ended: CancellationToken,
    pub(super) waits_for: WaitsFor,
    pub(super) inbox: Option<Arc<Inbox>>,
    pub(super) virtual_time: bool,
    pub(super) task: JoinHandle<()>,
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topology of {} nodes", self.stats.len())
    }
}

impl Topology {
    /// Makes all nodes of a graph and starts them. Nothing is started when one of them cannot be made.
    ///
    /// # Errors
    /// Why it could not be started.
    pub fn start(
        graph: &Graph,
        host: &Arc<Host>,
        options: Options,
    ) -> Result<Topology, NotStarted> {
        let mut topology = Topology::resume(graph, host, options, None)?;
        topology.release();
        Ok(topology)
    }

    /// As [`Topology::start`], from where a checkpoint and the journal behind it say the graph was; without a checkpoint, all that the
    /// journal holds is behind it. The graph has to be the one that ran: what the sinks have of a replay is known by counting, and
    /// another graph counts otherwise. Sources wait for [`Topology::release`]; what the journal holds is replayed meanwhile.
    ///
    /// # Errors
    /// Why it could not be started.
    pub fn resume(
        graph: &Graph,
        host: &Arc<Host>,
        options: Options,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Topology, NotStarted> {
        let mut made = make(graph.order.iter().copied(), graph, host).map_err(NotStarted::Build)?;
        let mut heritage = match &options.keep {
            Some(keep) => Heritage::of(checkpoint, &*keep.journal)
                .map_err(|error| NotStarted::Journal(error.to_string()))?,
            None => Heritage::default(),
        };
        heritage.take_series(&host.series);
        give_states(graph, host, &mut made, &mut heritage);
        let journal = options.keep.as_ref().map(|keep| keep.journal.clone());
        let ports = |node: &PlannedNode| NodeStats::new(node.profile.outputs.len());
        let mut topology = Topology {
            graph: graph.clone(),
            host: host.clone(),
            ledger: Ledger::new(journal),
            stats: graph.nodes().map(|(_, node)| (node.address.clone(), ports(node))).collect(),
            sources: BTreeMap::new(),
            sinks: BTreeMap::new(),
            parts: Vec::new(),
            barriers: Barriers::new(checkpoint, &*options.clock),
            passes: Arc::default(),
            stopping: CancellationToken::new(),
            hurry: CancellationToken::new(),
            gone: CancellationToken::new(),
            released: false,
            errors: Vec::new(),
            options,
        };
        topology.say_what_runs(&BTreeMap::new());
        for part in graph.parts() {
            let entrances = BTreeMap::new();
            let raised = topology.yard(graph, &entrances).raise(
                &part,
                &mut made,
                &mut BTreeMap::new(),
                &mut heritage,
            );
            topology.set_going(raised);
        }
        topology.empty_spools(heritage);
        Ok(topology)
    }

    /// Tells those who take back what nodes left. What is gone after this process is not what they are for.
    pub(super) fn say_what_runs(&self, renamed: &BTreeMap<Arc<str>, Arc<str>>) {
        if self.options.keep.is_some() {
            self.host.running.runs(&self.graph, renamed);
        }
    }

    pub(super) fn yard<'a>(
        &'a self,
        graph: &'a Graph,
        entrances: &'a BTreeMap<Arc<str>, Arc<Entrance>>,
    ) -> Yard<'a> {
        Yard {
            graph,
            host: &self.host,
            options: &self.options,
            stats: &self.stats,
            ledger: &self.ledger,
            hurry: &self.hurry,
            passes: &self.passes,
            entrances,
        }
    }

    /// Starts the loops of a part that was built.
    pub(super) fn set_going(&mut self, raised: Raised) {
        let Raised { nodes, body, sources, moves, sinks } = raised;
        if self.options.keep.is_some() {
            self.barriers.begins(&nodes, || body.cut());
        }
        for start in sinks {
            let SinkStart { address, commands, retire, blocks, gauge, run } = start;
            let task = spawn(blocks, &self.gone, run.run());
            self.sinks.insert(address, SinkHandle { commands, retire, gauge, task });
        }
        super::inbox::relink(&moves);
        let ended = CancellationToken::new();
        let (commands, wires) = Wires::new(&ended, &self.stopping, &self.hurry);
        let virtual_time = matches!(body, Yielded::Virtual(_));
        let (inbox, waits_for, task) = match body {
            Yielded::Live(part) => {
                let shown = (Some(part.inbox.clone()), part.outlets.waits_for.clone());
                (shown.0, shown.1, tokio::spawn(part.run(wires)))
            }
            Yielded::Virtual(part) => {
                (None, part.outlets.waits_for.clone(), tokio::spawn(part.run(wires)))
            }
        };
        let part = PartHandle { nodes, commands, ended, waits_for, inbox, virtual_time, task };
        self.parts.push(part);
        for start in sources {
            let SourceStart { address, entrance, stop, blocks, run } = start;
            let state = SourceState::Waiting { blocks, run: Mutex::new(run) };
            self.sources.insert(address, SourceHandle { entrance, stop, state });
        }
        if self.released {
            self.release();
        }
    }

    /// Lets sources begin that wait for it.
    pub fn release(&mut self) {
        self.released = true;
        for (address, handle) in std::mem::take(&mut self.sources) {
            let SourceHandle { entrance, stop, state } = handle;
            let state = match state {
                SourceState::Waiting { blocks, run } => {
                    let run = run.into_inner().unwrap_or_else(PoisonError::into_inner);
                    SourceState::Running(spawn(blocks, &self.gone, run.run()))
                }
                running => running,
            };
            self.sources.insert(address, SourceHandle { entrance, stop, state });
        }
    }

    /// The graph that runs.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// All nodes with their counters, in the order of the graph.
    #[must_use]
    pub fn stats(&self) -> Vec<(Arc<PlannedNode>, Arc<NodeStats>)> {
        let nodes = self.graph.order.iter().map(|&index| &self.graph.dag[index]);
        nodes.map(|node| (node.clone(), self.stats[&node.address].clone())).collect()
    }

    /// All nodes with what shows how they are, in the order of the graph. It stays true until the next apply.
    #[must_use]
    pub fn gauges(&self) -> Vec<NodeGauge> {
        let members = self.parts.iter().flat_map(|part| {
            let members = part.nodes.iter().map(|node| (&**node, part));
            members.collect::<Vec<_>>()
        });
        let parts: HashMap<&str, &PartHandle> = members.collect();
        let nodes = self.graph.order.iter().map(|&index| &self.graph.dag[index]);
        nodes
            .map(|node| {
                let part = parts.get(&*node.address);
                NodeGauge {
                    node: node.clone(),
                    stats: self.stats[&node.address].clone(),
                    queue: self.sinks.get(&node.address).map(|sink| sink.gauge.clone()),
                    ended: part.map(|part| part.ended.clone()),
                    inbox: part.and_then(|part| part.inbox.clone()),
                }
            })
            .collect()
    }

    /// Lets the graph fill the ports that somebody looks at now.
    pub fn look(&self) {
        for part in &self.parts {
            let _ = part.commands.unbounded_send(Command::Look);
        }
    }

    /// Gives items to a transform or a sink once more, as dead letters are.
    ///
    /// # Errors
    /// Why not.
    pub async fn give_again(&mut self, address: &Arc<str>, items: Items) -> Result<(), String> {
        let takes = |node: &PlannedNode| node.address == *address && node.profile.pace.is_none();
        if !self.graph.nodes().any(|(_, node)| takes(node)) {
            return Err(format!("no node `{address}` runs that takes items"));
        }
        let part = self.parts.iter().find(|part| part.nodes.contains(address));
        let (reply, answer) = tokio::sync::oneshot::channel();
        let sent = part.map(|part| {
            let again = Again { address: address.clone(), items, reply };
            part.commands.unbounded_send(Command::Again(Box::new(again)))
        });
        match (sent, tokio::time::timeout(STOP_WITHIN, answer).await) {
            (Some(Ok(())), Ok(Ok(given))) => given,
            _ => Err(format!("`{address}` is busy; try again later")),
        }
    }

    /// Waits until everything has ended by itself. Cancel-safe.
    pub async fn ended(&mut self) {
        for part in &self.parts {
            part.ended.cancelled().await;
        }
    }
}
