//! The running thing: a graph, built and started, part by part.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use petgraph::stable_graph::NodeIndex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::assembly::{Assembly, Part, rebuild};
use super::dead_letter::DeadLetters;
use super::island::Watch;
use super::part::{Intake, LivePart, Outlets};
use super::queue::{Giver, queue};
use super::sink::SinkRun;
use super::source::{Asked, Received, SourceRun};
use super::stats::NodeStats;
use super::virtual_time::{VirtualPart, VirtualSource};
use crate::clock::Clock;
use crate::context::Host;
use crate::diagnostic::Span;
use crate::node::{Node, Sink, Source};
use crate::plan::{Graph, PlannedNode};
use crate::registry::{Pace, Problem};
use crate::time::Timestamp;

/// Batches that may wait between a source and its island.
const SOURCE_BATCHES: usize = 4;
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
    tasks: JoinSet<Result<(), String>>,
    stop: CancellationToken,
    hurry: CancellationToken,
    stats: Vec<(PlannedNode, Arc<NodeStats>)>,
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
        options: &Options,
    ) -> Result<Topology, Vec<BuildError>> {
        let mut made = BTreeMap::new();
        let mut errors = Vec::new();
        for (index, node) in graph.nodes() {
            match node.build(host) {
                Ok(one) => drop(made.insert(index, one)),
                Err(problem) => errors.push(BuildError {
                    address: node.address.clone(),
                    span: node.type_span,
                    problem,
                }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let stats: BTreeMap<NodeIndex, Arc<NodeStats>> = graph
            .nodes()
            .map(|(index, node)| (index, NodeStats::new(node.profile.outputs.len())))
            .collect();
        let mut topology = Topology {
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            hurry: CancellationToken::new(),
            stats: graph
                .nodes()
                .map(|(index, node)| (node.clone(), stats[&index].clone()))
                .collect(),
        };
        let sequence = Arc::new(AtomicU64::new(0));
        for part in graph.parts() {
            let builder = PartBuilder { graph, host, options, stats: &stats, sequence: &sequence };
            builder.start(&part, &mut made, &mut topology);
        }
        Ok(topology)
    }

    /// All nodes with their counters, in the order of the graph.
    #[must_use]
    pub fn stats(&self) -> &[(PlannedNode, Arc<NodeStats>)] {
        &self.stats
    }

    /// Waits until everything has ended by itself. The errors are what nodes could not do.
    pub async fn ended(&mut self) -> Vec<String> {
        let mut errors = Vec::new();
        while let Some(done) = self.tasks.join_next().await {
            match done {
                Ok(Ok(())) => {}
                Ok(Err(why)) => errors.push(why),
                Err(error) => errors.push(format!("a task failed: {error}")),
            }
        }
        errors
    }

    /// Tells the sources to stop, lets what is under way go through, and waits until all is written and closed; what takes longer than
    /// ten seconds gets no further try.
    pub async fn stop(&mut self) -> Vec<String> {
        self.stop.cancel();
        let hurry = self.hurry.clone();
        let impatience = tokio::spawn(async move {
            tokio::time::sleep(STOP_WITHIN).await;
            hurry.cancel();
        });
        let errors = self.ended().await;
        impatience.abort();
        errors
    }
}

struct PartBuilder<'a> {
    graph: &'a Graph,
    host: &'a Arc<Host>,
    options: &'a Options,
    stats: &'a BTreeMap<NodeIndex, Arc<NodeStats>>,
    sequence: &'a Arc<AtomicU64>,
}

impl PartBuilder<'_> {
    fn start(
        &self,
        part: &[NodeIndex],
        made: &mut BTreeMap<NodeIndex, Node>,
        topology: &mut Topology,
    ) {
        let part = Part::new(self.graph, part);
        let paces: Vec<Pace> =
            part.sources.iter().filter_map(|&n| self.graph.dag[n].profile.pace).collect();
        let live = |pace: &Pace| matches!(pace, Pace::Live | Pace::Polled(_));
        let recorded = paces.contains(&Pace::Recorded);
        let simulated_fast = self.options.once && !paces.iter().any(live);
        let in_virtual_time = !paces.iter().any(live) && (recorded || simulated_fast);

        let queues = part.sinks.iter().filter_map(|&n| match made.remove(&n) {
            Some(Node::Sink(sink)) => Some(self.start_sink(n, sink, in_virtual_time, topology)),
            _ => None,
        });
        let outlets = Outlets { queues: queues.collect(), dead: self.options.dead.clone() };
        let assembly = Assembly {
            graph: self.graph,
            host: self.host,
            watch: self.options.watch.as_ref(),
            stats: self.stats,
        };
        let island = assembly.island(&part, made);
        let intake = Intake {
            sequence: self.sequence.clone(),
            addresses: part.sources.iter().map(|&n| self.graph.dag[n].address.clone()).collect(),
        };
        let asked: Vec<(NodeIndex, Asked)> = part
            .sources
            .iter()
            .filter_map(|&n| match made.remove(&n) {
                Some(Node::Source(source)) => Some((n, self.asked(n, source))),
                _ => None,
            })
            .collect();
        if in_virtual_time {
            let sources =
                asked.into_iter().map(|(n, asked)| self.virtual_source(n, asked, topology));
            let part = VirtualPart {
                island,
                intake,
                outlets,
                sources: sources.collect(),
                speed: self.options.speed,
                stop: topology.stop.clone(),
                start: self.options.clock.now(),
            };
            topology.tasks.spawn(part.run());
        } else {
            let sources = asked.into_iter().map(|(n, asked)| {
                ReceiverStream::new(self.start_source(n, asked, false, topology))
            });
            let clock = self.options.clock.clone();
            let part = LivePart { island, intake, outlets, sources: sources.collect(), clock };
            topology.tasks.spawn(part.run());
        }
    }

    fn start_sink(
        &self,
        n: NodeIndex,
        sink: Box<dyn Sink>,
        in_virtual_time: bool,
        topology: &mut Topology,
    ) -> Giver {
        let node = &self.graph.dag[n];
        let (giver, taker) = queue(node.queue, self.stats[&n].clone());
        let blocks = sink.blocks();
        let run = SinkRun {
            address: node.address.clone(),
            sink,
            rebuild: Box::new(rebuild(node, self.host, |made| match made {
                Node::Sink(sink) => Some(sink),
                _ => None,
            })),
            taker,
            stats: self.stats[&n].clone(),
            retry: node.retry,
            clock: (!in_virtual_time).then(|| self.options.clock.clone()),
            dead: self.options.dead.clone(),
            hurry: topology.hurry.clone(),
            failures: VecDeque::new(),
            failed: None,
            headlong: in_virtual_time && self.options.speed.is_none(),
            unflushed: 0,
            said: None,
            buried: 0,
            latest: Timestamp::MIN,
            flushed: Timestamp::MIN,
        };
        spawn(topology, blocks, run.run());
        giver
    }

    fn asked(&self, n: NodeIndex, source: Box<dyn Source>) -> Asked {
        let node = &self.graph.dag[n];
        Asked {
            address: node.address.clone(),
            source,
            rebuild: Box::new(rebuild(node, self.host, |made| match made {
                Node::Source(source) => Some(source),
                _ => None,
            })),
            stats: self.stats[&n].clone(),
            failures: VecDeque::new(),
            ends: node.profile.ends || node.profile.pace == Some(Pace::Recorded),
            gave: false,
        }
    }

    fn start_source(
        &self,
        n: NodeIndex,
        asked: Asked,
        in_virtual_time: bool,
        topology: &mut Topology,
    ) -> mpsc::Receiver<Received> {
        let node = &self.graph.dag[n];
        let recorded = node.profile.pace == Some(Pace::Recorded);
        let (give, receive) = mpsc::channel(SOURCE_BATCHES);
        let blocks = asked.source.blocks();
        let run = SourceRun {
            asked,
            pace: node.profile.pace.unwrap_or(Pace::Live),
            every: node.every,
            clock: self.options.clock.clone(),
            stop: topology.stop.clone(),
            give,
            // In virtual time the part itself keeps the pace.
            play: (recorded && !in_virtual_time).then(|| self.options.speed.unwrap_or(1.0)),
            once: self.options.once && !node.profile.ends,
        };
        spawn(topology, blocks, run.run());
        receive
    }

    fn virtual_source(&self, n: NodeIndex, asked: Asked, topology: &mut Topology) -> VirtualSource {
        let node = &self.graph.dag[n];
        match node.profile.pace {
            Some(Pace::Simulated(default) | Pace::Polled(default)) => VirtualSource::Simulated {
                asked,
                every: node.every.unwrap_or(default),
                due: None,
                once: self.options.once && !node.profile.ends,
            },
            _ => VirtualSource::Recorded {
                receive: self.start_source(n, asked, true, topology),
                head: None,
                ended: false,
            },
        }
    }
}

/// Starts a loop: on a thread of its own where it may block, as a task where it may not.
fn spawn(
    topology: &mut Topology,
    blocks: bool,
    run: impl Future<Output = Result<(), String>> + Send + 'static,
) {
    if !blocks {
        topology.tasks.spawn(run);
        return;
    }
    // Not a thread of tokio's pool: that holds 512, and a loop that waits for one of them would stop all that feeds it.
    let runtime = tokio::runtime::Handle::current();
    let (say, said) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().spawn(move || {
        let _ = say.send(runtime.block_on(run));
    });
    topology.tasks.spawn(async move {
        started.map_err(|error| format!("a thread for a node cannot be started: {error}"))?;
        said.await.unwrap_or_else(|_| Err("a node's thread panicked".into()))
    });
}
