//! The running thing: a graph, built and started, part by part.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use petgraph::stable_graph::NodeIndex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::barrier::Barriers;
use super::dead_letter::DeadLetters;
use super::heritage::Heritage;
use super::inbox::{Entrance, Inbox, Ledger};
use super::island::Watch;
use super::keep::{Checkpoint, Checkpoints, Journal, Spools};
use super::part::{Command, Wires, Yielded};
use super::queue::Gauge;
use super::raise::{Raised, SinkStart, SourceStart, Yard};
use super::sink::{Passed, SinkCommand};
use super::source::SourceRun;
use super::stats::NodeStats;
use crate::batch::Items;
use crate::clock::Clock;
use crate::context::Host;
use crate::diagnostic::Span;
use crate::node::Node;
use crate::plan::{Graph, PlannedNode};
use crate::registry::Problem;

/// How long nodes may take to end after they were told to.
const STOP_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

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

/// The running thing.
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
    pub(super) passed: mpsc::UnboundedSender<Passed>,
    pub(super) stopping: CancellationToken,
    pub(super) hurry: CancellationToken,
    /// Sources may begin.
    pub(super) released: bool,
    /// What went wrong in loops that have ended.
    pub(super) errors: Vec<String>,
}

/// Shows how a node is.
#[derive(Debug, Clone)]
pub struct NodeGauge {
    /// The node.
    pub node: PlannedNode,
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
    pub(super) retire: watch::Sender<bool>,
    pub(super) gauge: Gauge,
    pub(super) task: JoinHandle<Result<(), String>>,
}

/// A part's loop.
pub(super) struct PartHandle {
    pub(super) nodes: Vec<Arc<str>>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) ended: CancellationToken,
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
    /// The nodes that could not be made.
    pub fn start(
        graph: &Graph,
        host: &Arc<Host>,
        options: Options,
    ) -> Result<Topology, Vec<BuildError>> {
        let mut topology = Topology::resume(graph, host, options, None)?;
        topology.release();
        Ok(topology)
    }

    /// As [`Topology::start`], from where a checkpoint and the journal behind it say the graph was. Sources wait for
    /// [`Topology::release`]; what the journal holds is replayed meanwhile.
    ///
    /// # Errors
    /// The nodes that could not be made.
    pub fn resume(
        graph: &Graph,
        host: &Arc<Host>,
        options: Options,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Topology, Vec<BuildError>> {
        let mut made = make(graph.order.iter().copied(), graph, host)?;
        let mut heritage = inherit(&options, checkpoint);
        give_states(graph, &mut made, &mut heritage);
        let (passed, passes) = mpsc::unbounded_channel();
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
            barriers: Barriers::new(passes, checkpoint, &*options.clock),
            passed,
            stopping: CancellationToken::new(),
            hurry: CancellationToken::new(),
            released: false,
            errors: Vec::new(),
            options,
        };
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
        Ok(topology)
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
            passed: &self.passed,
            entrances,
        }
    }

    /// Starts the loops of a part that was built.
    pub(super) fn set_going(&mut self, raised: Raised) {
        let Raised { nodes, mut body, sources, moves, sinks } = raised;
        if self.options.keep.is_some() {
            self.barriers.begins(&nodes, || body.cut());
        }
        for start in sinks {
            let SinkStart { address, commands, retire, blocks, gauge, run } = start;
            let task = spawn(blocks, run.run());
            self.sinks.insert(address, SinkHandle { commands, retire, gauge, task });
        }
        super::inbox::relink(moves);
        let (commands, hears) = mpsc::unbounded_channel();
        let ended = CancellationToken::new();
        let stopping = self.stopping.clone();
        let wires = Wires { commands: hears, ended: ended.clone(), stopping };
        let virtual_time = matches!(body, Yielded::Virtual(_));
        let inbox = match &body {
            Yielded::Live(part) => Some(part.inbox.clone()),
            Yielded::Virtual(_) => None,
        };
        let task = match body {
            Yielded::Live(part) => tokio::spawn(part.run(wires)),
            Yielded::Virtual(part) => tokio::spawn(part.run(wires)),
        };
        self.parts.push(PartHandle { nodes, commands, ended, inbox, virtual_time, task });
        for start in sources {
            let SourceStart { address, entrance, stop, blocks, run } = start;
            let state = SourceState::Waiting { blocks, run: Mutex::new(Box::new(run)) };
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
                    SourceState::Running(spawn(blocks, run.run()))
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
    pub fn stats(&self) -> Vec<(PlannedNode, Arc<NodeStats>)> {
        let nodes = self.graph.nodes();
        nodes.map(|(_, node)| (node.clone(), self.stats[&node.address].clone())).collect()
    }

    /// All nodes with what shows how they are, in the order of the graph. It stays true until the next apply.
    #[must_use]
    pub fn gauges(&self) -> Vec<NodeGauge> {
        let nodes = self.graph.nodes();
        nodes
            .map(|(_, node)| {
                let part = self.parts.iter().find(|part| part.nodes.contains(&node.address));
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
            let _ = part.commands.send(Command::Look);
        }
    }

    /// Gives items to a transform or a sink once more, as dead letters are.
    ///
    /// # Errors
    /// Why not.
    pub async fn give_again(&self, address: &Arc<str>, items: Items) -> Result<(), String> {
        let takes = |node: &PlannedNode| node.address == *address && node.profile.pace.is_none();
        if !self.graph.nodes().any(|(_, node)| takes(node)) {
            return Err(format!("no node `{address}` runs that takes items"));
        }
        let part = self.parts.iter().find(|part| part.nodes.contains(address));
        let (reply, answer) = tokio::sync::oneshot::channel();
        let sent = part.map(|part| {
            part.commands.send(Command::Again { address: address.clone(), items, reply })
        });
        match (sent, tokio::time::timeout(STOP_WITHIN, answer).await) {
            (Some(Ok(())), Ok(Ok(given))) => given,
            _ => Err(format!("`{address}` is busy; try again later")),
        }
    }

    /// Waits until everything has ended by itself. Cancel-safe.
    pub async fn ended(&self) {
        for part in &self.parts {
            part.ended.cancelled().await;
        }
    }

    /// Tells the sources to stop, lets what is under way go through, and waits until all is written and closed; what takes longer than
    /// ten seconds gets no further try. Where states are kept a checkpoint is taken, and windows stay open for the next start; elsewhere
    /// nodes emit what they still hold. The errors are what nodes could not do.
    pub async fn stop(&mut self) -> Vec<String> {
        self.stopping.cancel();
        let hurry = self.hurry.clone();
        let impatience = tokio::spawn(async move {
            tokio::time::sleep(STOP_WITHIN).await;
            hurry.cancel();
        });
        for (_, handle) in std::mem::take(&mut self.sources) {
            handle.stop.cancel();
            self.join_source(handle.state).await;
        }
        let keeps = self.options.keep.is_some();
        if keeps && let Err(blocked) = self.checkpoint().await {
            tracing::warn!("stopped without a checkpoint: {blocked}");
        }
        for part in &self.parts {
            let finish = !keeps || part.ended.is_cancelled();
            let _ = part.commands.send(Command::Close { finish });
        }
        for part in std::mem::take(&mut self.parts) {
            if let Err(error) = part.task.await {
                self.errors.push(format!("a task failed: {error}"));
            }
        }
        for (_, sink) in std::mem::take(&mut self.sinks) {
            self.join(sink.task).await;
        }
        impatience.abort();
        std::mem::take(&mut self.errors)
    }

    pub(super) async fn join_source(&mut self, state: SourceState) {
        if let SourceState::Running(task) = state {
            self.join(task).await;
        }
    }

    pub(super) async fn join(&mut self, task: JoinHandle<Result<(), String>>) {
        match task.await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => self.errors.push(why),
            Err(error) => self.errors.push(format!("a task failed: {error}")),
        }
    }
}

/// Makes nodes.
pub(super) fn make(
    nodes: impl Iterator<Item = NodeIndex>,
    graph: &Graph,
    host: &Arc<Host>,
) -> Result<BTreeMap<NodeIndex, Node>, Vec<BuildError>> {
    let mut made = BTreeMap::new();
    let mut errors = Vec::new();
    for index in nodes {
        let node = &graph.dag[index];
        match node.build(host) {
            Ok(one) => drop(made.insert(index, one)),
            Err(problem) => errors.push(BuildError {
                address: node.address.clone(),
                span: node.type_span,
                problem,
            }),
        }
    }
    if errors.is_empty() { Ok(made) } else { Err(errors) }
}

fn inherit(options: &Options, checkpoint: Option<&Checkpoint>) -> Heritage {
    let (Some(keep), Some(checkpoint)) = (&options.keep, checkpoint) else {
        return Heritage::default();
    };
    Heritage::of(checkpoint, &*keep.journal).unwrap_or_else(|error| {
        tracing::error!("the journal cannot be read, so what it held is not replayed: {error}");
        Heritage::default()
    })
}

/// Gives new transforms the states that were left to them.
fn give_states(graph: &Graph, made: &mut BTreeMap<NodeIndex, Node>, heritage: &mut Heritage) {
    for (index, node) in graph.nodes() {
        let Some(Node::Transform(transform)) = made.get_mut(&index) else { continue };
        let Some(state) = heritage.states.remove(&node.address) else { continue };
        if let Err(why) = transform.restore(&state) {
            tracing::error!(node = %node.address, "it begins anew: {why}");
        }
    }
}

/// Starts a loop: on a thread of its own where it may block, as a task where it may not.
fn spawn(
    blocks: bool,
    run: impl Future<Output = Result<(), String>> + Send + 'static,
) -> JoinHandle<Result<(), String>> {
    if !blocks {
        return tokio::spawn(run);
    }
    // Not a thread of tokio's pool: that holds 512, and a loop that waits for one of them would stop all that feeds it.
    let runtime = tokio::runtime::Handle::current();
    let (say, said) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().spawn(move || {
        let _ = say.send(runtime.block_on(run));
    });
    tokio::spawn(async move {
        started.map_err(|error| format!("a thread for a node cannot be started: {error}"))?;
        said.await.unwrap_or_else(|_| Err("a node's thread panicked".into()))
    })
}
