//! A test with faults: a whole host in virtual time, with journal, spools and checkpoints in memory, whose lives follow each other.
//!
//! The loops of sources and sinks, queues, retries, barriers and the replay after a crash are those of a real engine; only what lies outside
//! of the host is the test's: who sends, who takes, the disk and the clock.

mod clock;
mod stand_in;
mod witness;
mod world;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;

use self::clock::HostClock;
use self::witness::Witness;
use self::world::World;
use super::given::Arrival;
use super::spec::Restart;
use crate::batch::Items;
use crate::config::Section;
use crate::context::Host;
use crate::duration::Duration;
use crate::json::write_item;
use crate::plan::Graph;
use crate::run::memory::{Crash, Memory};
use crate::run::{DeadLetter, Keep, KeptLetters, Options, Port, Topology};
use crate::time::Timestamp;

/// How long the engine waits for a checkpoint where something changed.
const CHECKPOINT_EVERY: Duration = Duration::from_mins(5);
/// The same where nothing goes wrong, so that nobody ever begins with one: they only keep the journal small.
const CHECKPOINT_SELDOM: Duration = Duration::from_days(1);
/// A checkpoint is given up after that long, so none is begun so shortly before something happens.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(11);
/// What nobody waits for is synced this often.
const FLUSH: Duration = Duration::from_secs(5);
/// How long after the end what waits may go out.
const PATIENCE: Duration = Duration::from_hours(1);
/// The longest pause between two tries by default: only after that it is known that nothing more goes out.
const RETRIES: std::time::Duration = std::time::Duration::from_secs(31);

/// What is played.
#[derive(Debug, Default)]
pub(super) struct Play {
    pub(super) start: Timestamp,
    /// When the input ends.
    pub(super) end: Duration,
    pub(super) arrivals: BTreeMap<NodeIndex, Vec<Arrival>>,
    /// The parts of the graph that run: their nodes.
    pub(super) nodes: BTreeSet<NodeIndex>,
    /// Where is looked.
    pub(super) places: Vec<(Arc<str>, Port)>,
    /// Jumps of the clock, in microseconds.
    pub(super) jumps: Vec<(Duration, i64)>,
    /// Sinks that are down: from when on, how long.
    pub(super) outages: Vec<(Arc<str>, Duration, Duration)>,
    /// When the disk is full, and how long.
    pub(super) full: Vec<(Duration, Duration)>,
    /// Nodes that break: when, in how many calls, and whether they panic.
    pub(super) breaks: Vec<(Arc<str>, Duration, u32, bool)>,
    pub(super) restarts: Vec<(Duration, Restart)>,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Played {
    host: Arc<Host>,
    world: Arc<World>,
    witness: Arc<Witness>,
    /// What nodes refused.
    pub(super) letters: Vec<DeadLetter>,
    /// Transforms that broke though nobody made them.
    pub(super) broke: BTreeSet<Arc<str>>,
    /// What went wrong besides.
    pub(super) trouble: Vec<String>,
    counted: RefCell<BTreeMap<Arc<str>, Rc<Counted>>>,
}

/// Items in the JSON form, with how often each is there.
pub(super) type Counted = HashMap<String, usize>;

/// What happens to the host at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    DiskFull(bool),
    Restart(Restart),
}

impl Play {
    /// The same without anything that goes wrong, to compare what reached the sinks.
    pub(super) fn undisturbed(&self) -> Play {
        Play {
            start: self.start,
            end: self.end,
            arrivals: self.arrivals.clone(),
            nodes: self.nodes.clone(),
            ..Play::default()
        }
    }

    /// How often a checkpoint is taken.
    fn checkpoint_every(&self) -> Duration {
        let Play { jumps, outages, full, breaks, restarts, .. } = self;
        let is_undisturbed = jumps.is_empty()
            && outages.is_empty()
            && full.is_empty()
            && breaks.is_empty()
            && restarts.is_empty();
        if is_undisturbed { CHECKPOINT_SELDOM } else { CHECKPOINT_EVERY }
    }

    /// Plays it.
    ///
    /// # Errors
    /// Why the host cannot begin.
    pub(super) fn play(&self, graph: &Graph, host: &Arc<Host>) -> Result<Played, String> {
        let clock = Arc::new(HostClock::new(self.start, self.jumps.clone()));
        let world = Arc::new(World::new(clock, self.start));
        for (node, arrivals) in &self.arrivals {
            let mut arrivals = arrivals.clone();
            arrivals.sort_by_key(|one| one.at);
            world.sends(&graph.dag[*node].address, arrivals);
        }
        for (sink, at, lasts) in &self.outages {
            world.is_down(sink, *at, *lasts);
        }
        for (at, lasts) in &self.full {
            world.is_full(*at, *lasts);
        }
        for (node, at, calls, panics) in &self.breaks {
            world.breaks(node, *at, *calls, *panics);
        }
        let mut graph = graph.clone();
        graph.order.retain(|node| self.nodes.contains(node));
        graph.dag.retain_nodes(|_, node| self.nodes.contains(&node));
        stand_in::put_in(&mut graph, &world, self.end);
        let ports = self.places.iter().filter_map(|(address, port)| match port {
            Port::Output(port) => Some((address.clone(), *port)),
            Port::Input => None,
        });
        let witness = Arc::new(Witness::of(host, ports));
        let memory = Memory::default();
        memory.lock().flush = Some(FLUSH);
        let site = Site {
            play: self,
            graph,
            memory,
            host,
            letters: Arc::default(),
            played: Played {
                host: host.clone(),
                world,
                witness,
                letters: Vec::new(),
                broke: BTreeSet::new(),
                trouble: Vec::new(),
                counted: RefCell::default(),
            },
        };
        site.live()
    }

    fn happens(&self) -> Vec<(Duration, Happens)> {
        let full = self.full.iter().flat_map(|(at, lasts)| {
            [(*at, Happens::DiskFull(true)), (at.saturating_add(*lasts), Happens::DiskFull(false))]
        });
        let restarts = self.restarts.iter().map(|(at, how)| (*at, Happens::Restart(*how)));
        let mut all: Vec<_> = full.chain(restarts).collect();
        all.sort();
        all
    }
}

/// A host whose lives follow each other.
struct Site<'a> {
    play: &'a Play,
    graph: Graph,
    memory: Memory,
    host: &'a Arc<Host>,
    letters: Arc<KeptLetters>,
    played: Played,
}

impl Site<'_> {
    fn live(mut self) -> Result<Played, String> {
        let mut happens = self.play.happens().into_iter();
        loop {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .map_err(|error| format!("no host can be made: {error}"))?;
            let ended = runtime.block_on(self.one_life(&mut happens));
            drop(runtime);
            let Some(how) = ended? else { break };
            let crash = match how {
                Restart::Stop => continue,
                Restart::Kill => Crash::Kill,
                Restart::PowerCut => Crash::PowerCut,
            };
            self.memory.crash(crash);
            self.played.world.crash(crash);
        }
        self.played.letters = self.letters.all();
        Ok(self.played)
    }

    /// One life of the host, until the end or a restart.
    async fn one_life(
        &mut self,
        happens: &mut impl Iterator<Item = (Duration, Happens)>,
    ) -> Result<Option<Restart>, String> {
        let clock = self.played.world.clock.clone();
        clock.begin();
        self.played.world.begin();
        self.played.witness.begin();
        let keep: Keep = self.memory.keep();
        let options = Options {
            clock: clock.clone(),
            dead: self.letters.clone(),
            speed: Some(1.0),
            once: false,
            watch: self.played.witness.looks().then(|| self.played.witness.clone() as _),
            keep: Some(keep),
        };
        let latest = self.memory.latest();
        let mut topology = Topology::resume(&self.graph, self.host, options, latest.as_ref())
            .map_err(|error| format!("the host does not begin: {error}"))?;
        if latest.is_none() {
            // As an apply does, so that a crash finds the same streams.
            drop(topology.checkpoint().await);
        }
        topology.release();
        let ended = loop {
            let next = happens.next();
            let until = next.map_or(self.play.end, |(at, _)| at);
            self.pass(&mut topology, until).await;
            match next {
                Some((_, Happens::DiskFull(full))) => self.memory.lock().full = full,
                Some((_, Happens::Restart(how))) => break Some(how),
                None => break None,
            }
        };
        match ended {
            None => self.run_out(&mut topology).await,
            Some(Restart::Stop) => self.played.trouble.extend(topology.stop().await),
            Some(Restart::Kill | Restart::PowerCut) => {}
        }
        self.note_errors(&topology);
        clock.end();
        Ok(ended)
    }

    /// Lets time pass, with the checkpoints that fall due.
    async fn pass(&self, topology: &mut Topology, until: Duration) {
        let clock = self.played.world.clock.clone();
        loop {
            let next = clock.passed().saturating_add(self.play.checkpoint_every());
            if next.saturating_add(CHECKPOINT_WITHIN) >= until {
                return clock.sleep_until(until).await;
            }
            clock.sleep_until(next).await;
            // One that a sink holds up is tried again.
            drop(topology.checkpoint().await);
        }
    }

    /// The input has ended: lets what waits go out, and stops.
    async fn run_out(&mut self, topology: &mut Topology) {
        let patience = PATIENCE.to_std();
        if tokio::time::timeout(patience, topology.ended()).await.is_err() {
            self.played.trouble.push("what entered was not through an hour after the end".into());
        }
        let began = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(RETRIES).await;
            let waits = topology
                .gauges()
                .iter()
                .any(|gauge| gauge.queue.as_ref().is_some_and(|queue| queue.bytes() > 0));
            if (!waits && self.memory.spooled() == 0) || began.elapsed() > patience {
                break;
            }
        }
        drop(topology.checkpoint().await);
        self.played.trouble.extend(topology.stop().await);
    }

    /// Notes what broke though nobody made it.
    fn note_errors(&mut self, topology: &Topology) {
        for (node, stats) in topology.stats() {
            let made = self.played.world.is_made_to_break(&node.address);
            if node.section == Section::Transforms && stats.errors() > 0 && !made {
                self.played.broke.insert(node.address.clone());
            }
        }
    }
}

impl Played {
    /// What passed a port, or lies on the other side of a sink.
    pub(super) fn items(&self, address: &Arc<str>, port: Port) -> Vec<Items> {
        match port {
            Port::Output(port) => self.witness.items(address, port),
            Port::Input => self.world.items(address),
        }
    }

    /// How many items a node refused.
    pub(super) fn dead(&self, address: &str) -> usize {
        let mine = self.letters.iter().filter(|letter| *letter.address == *address);
        mine.map(|letter| letter.content.len()).sum()
    }

    /// The items of a sink in the JSON form, with how often each is there.
    pub(super) fn counted(&self, sink: &Arc<str>) -> Rc<Counted> {
        // What is lost and what is doubled are two expectations on one sink.
        if let Some(counted) = self.counted.borrow().get(sink) {
            return counted.clone();
        }
        let mut counted = Counted::new();
        for items in self.world.items(sink) {
            for index in 0..items.len() {
                let mut json = Vec::new();
                write_item(&items, index, &self.host.series, &mut json);
                *counted.entry(String::from_utf8_lossy(&json).into_owned()).or_default() += 1;
            }
        }
        let counted = Rc::new(counted);
        self.counted.borrow_mut().insert(sink.clone(), counted.clone());
        counted
    }
}
