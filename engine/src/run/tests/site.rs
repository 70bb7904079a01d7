//! A host whose lives follow each other: what it keeps, and the world it speaks to, outlive each of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::memory::{Crash, Memory};
use super::nodes::registry;
use super::truth::States;
use super::world::World;
use crate::clock::{Clock, SimulatedClock};
use crate::config::Loader;
use crate::context::Host;
use crate::plan::diff::{diff, nobody_asked};
use crate::plan::{Graph, plan_loaded};
use crate::run::{Applied, KeptLetters, NodeStats, NotApplied, Options, Topology, Transition};
use crate::time::Timestamp;

/// How long something may take to come true, on the clock of the runtime.
const PATIENCE: Duration = Duration::from_secs(600);

/// The graph of a pipeline.
pub(super) fn graph(yaml: &str) -> Graph {
    let nothing = |_: &str| None;
    let mut loader = Loader::new(&nothing);
    loader.text(Path::new("test.yaml"), &format!("pipeline: p\n{yaml}"));
    let planned = plan_loaded(loader.finish(), &registry());
    let found = planned.diagnostics.render(&planned.files, false);
    planned.graph.unwrap_or_else(|| panic!("{found}"))
}

/// The clock of the runtime, which stands still while nothing waits, from some instant on.
#[derive(Debug)]
struct RuntimeClock {
    start: Timestamp,
    began: tokio::time::Instant,
    /// Microseconds by which it was set forward.
    leapt: Arc<AtomicI64>,
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_micros()).expect("a short test");
        let leapt = self.leapt.load(Ordering::Relaxed);
        Timestamp::from_micros(self.start.as_micros() + passed + leapt)
    }
}

/// See the module.
pub(super) struct Site {
    pub(super) memory: Memory,
    pub(super) host: Arc<Host>,
    pub(super) world: Arc<World>,
    pub(super) letters: Arc<KeptLetters>,
    pub(super) speed: Option<f64>,
    pub(super) keeps: bool,
    /// Its clock stands still.
    pub(super) stands: bool,
    now: Mutex<Timestamp>,
    leapt: Arc<AtomicI64>,
    /// What ran, or was to run, under which revision.
    revisions: Mutex<BTreeMap<u64, Revision>>,
}

/// A revision that ran or was to run.
#[derive(Debug, Clone)]
pub(super) struct Revision {
    pub(super) graph: Graph,
    /// How many dead letters there were before.
    pub(super) letters: usize,
}

/// One life of a host.
pub(super) struct Life<'a> {
    pub(super) site: &'a Site,
    pub(super) topology: Topology,
}

impl Site {
    pub(super) fn new() -> Site {
        let host = Arc::new(Host::for_tests(&std::env::temp_dir()));
        let world = World::of(&host);
        Site::of(Memory::default(), host, world, super::at(0))
    }

    /// A site of a host that is there.
    pub(super) fn of(memory: Memory, host: Arc<Host>, world: Arc<World>, now: Timestamp) -> Site {
        Site {
            memory,
            host,
            world,
            letters: Arc::default(),
            speed: Some(1.0),
            keeps: true,
            stands: false,
            now: Mutex::new(now),
            leapt: Arc::default(),
            revisions: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn options(&self) -> Options {
        let began = tokio::time::Instant::now();
        let (start, leapt) = (self.now(), self.leapt.clone());
        leapt.store(0, Ordering::Relaxed);
        Options {
            clock: match self.stands {
                true => Arc::new(SimulatedClock::new(self.now())),
                false => Arc::new(RuntimeClock { start, began, leapt }),
            },
            dead: self.letters.clone(),
            speed: self.speed,
            once: false,
            watch: None,
            keep: self.keeps.then(|| self.memory.keep()),
        }
    }

    /// A life that goes on where the last checkpoint and the journal behind it say. It ends as a crash ends it, unless it is stopped.
    pub(super) fn live<R>(&self, graph: &Graph, script: impl AsyncFnOnce(&mut Life<'_>) -> R) -> R {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let done = runtime.block_on(async {
            let options = self.options();
            let clock = options.clock.clone();
            let checkpoint = self.memory.latest();
            let topology = Topology::resume(graph, &self.host, options, checkpoint.as_ref());
            let mut life = Life { site: self, topology: topology.unwrap() };
            let done = script(&mut life).await;
            *self.now.lock().unwrap() = clock.now();
            done
        });
        drop(runtime);
        done
    }

    /// From now on spools block, and are to spare the thread that the loops of nodes share: the one that calls this.
    pub(super) fn spools_block(&self) {
        self.memory.lock().spools_spare = Some(std::thread::current().id());
    }

    /// Whether a life can begin; it ends at once.
    pub(super) fn try_live(&self, graph: &Graph) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let checkpoint = self.memory.latest();
            let options = self.options();
            let started = Topology::resume(graph, &self.host, options, checkpoint.as_ref());
            started.map(drop).map_err(|error| error.to_string())
        })
    }

    /// The first life of all: it writes a checkpoint, so that what comes after a crash is of the same streams.
    pub(super) fn begin(&self, graph: &Graph) {
        self.revisions.lock().unwrap().insert(0, Revision { graph: graph.clone(), letters: 0 });
        self.live(graph, async |life| life.topology.checkpoint().await.unwrap());
    }

    pub(super) fn revision(&self, revision: u64) -> Revision {
        self.revisions.lock().unwrap()[&revision].clone()
    }

    /// The graph that the last checkpoint names.
    pub(super) fn graph(&self) -> Graph {
        self.revision(self.memory.latest().map_or(0, |checkpoint| checkpoint.revision)).graph
    }

    pub(super) fn crash(&self, crash: Crash) {
        self.memory.crash(crash);
        if crash == Crash::PowerCut {
            self.world.cut_power();
        }
    }

    /// A life that goes well: everything that waits goes out. Gives the states at its end.
    pub(super) fn finish(&self, graph: &Graph) -> States {
        self.live(graph, async |life| {
            life.topology.release();
            life.end().await
        })
    }
}

impl Life<'_> {
    /// Lets time pass. It does so only while nobody has anything to do.
    pub(super) async fn pass(&self, seconds: f64) {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }

    /// Sets the clock forward once everybody has done what there is to do: as if the machine had slept.
    pub(super) async fn leap(&self, seconds: f64) {
        self.rest().await;
        self.site.leapt.fetch_add((seconds * 1e6) as i64, Ordering::Relaxed);
        self.pass(0.0).await;
    }

    /// Lets everybody do what there is to do, and sinks flush.
    pub(super) async fn rest(&self) {
        self.pass(0.5).await;
    }

    /// Lets the others run a little, so that a crash finds them anywhere.
    pub(super) async fn steps(&self, steps: usize) {
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
    }

    /// Lets everything that waits go out, and stops. Gives the states at the end.
    pub(super) async fn end(&mut self) -> States {
        self.rest().await;
        self.topology.checkpoint().await.unwrap();
        let states = self.topology.states().await;
        assert_eq!(self.topology.stop().await, Vec::<String>::new());
        states.into_iter().collect()
    }

    /// Waits until something is so.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Life<'_>) -> bool) {
        let began = tokio::time::Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Makes the graph another one, as a plan would.
    pub(super) async fn apply(&mut self, new: &Graph) -> Result<Applied, NotApplied> {
        let transition = transition(self.topology.graph(), new);
        let revision = self.topology.checkpoint_state().number + 100;
        let (graph, letters) = (new.clone(), self.site.letters.all().len());
        self.site.revisions.lock().unwrap().insert(revision, Revision { graph, letters });
        self.topology.apply(new.clone(), &transition, revision).await
    }

    /// The same, while something else happens.
    pub(super) async fn apply_meanwhile(
        &mut self,
        new: &Graph,
        meanwhile: impl Future<Output = ()>,
    ) -> Result<Applied, NotApplied> {
        tokio::join!(self.apply(new), meanwhile).0
    }

    pub(super) fn stats(&self, name: &str) -> Arc<NodeStats> {
        let all = self.topology.stats();
        let found = all.into_iter().find(|(node, _)| *node.name == *name);
        found.unwrap_or_else(|| panic!("no node {name}")).1
    }
}

/// Where the nodes of a new graph come from, as its plan says.
pub(super) fn transition(old: &Graph, new: &Graph) -> Transition {
    diff(old, new, &nobody_asked).transition(old)
}
