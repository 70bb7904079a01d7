//! Runs a test in virtual time: the same islands as in a live run, but no source is asked and no sink is written to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;

use super::check::{port_of, read};
use super::faults::Fault;
use super::given::{Arrival, Noise, readings};
use super::judge::Judge;
use super::seen::Seen;
use super::spec::TestSpec;
use crate::batch::{Batch, Items};
use crate::config::Address;
use crate::context::Host;
use crate::diagnostic::{Diagnostics, Span};
use crate::duration::Duration;
use crate::json::write_item;
use crate::plan::Graph;
use crate::run::{Assembly, Island, NodeStats, Part, Port, Stream, Watch};
use crate::time::Timestamp;

/// Readings that move together at most.
const BATCH_MAX: usize = 1024;

/// A test of a pipeline, ready to be run.
#[derive(Debug, Clone)]
pub struct TestCase {
    /// The pipeline it stands in.
    pub pipeline: Arc<str>,
    /// The file that stands in.
    pub file: PathBuf,
    /// Where the test stands.
    pub span: Span,
    pub(super) spec: TestSpec,
}

impl TestCase {
    /// What it shows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }
}

/// All tests of a checked graph, in the order they were read.
#[must_use]
pub fn tests(graph: &Graph) -> Vec<TestCase> {
    // What is wrong with tests was reported when the graph was checked.
    let mut reported = Diagnostics::new();
    let mut cases = Vec::new();
    for pipeline in &graph.pipelines {
        for (span, spec) in read(pipeline.tests.as_ref(), &mut reported) {
            let (pipeline, file) = (pipeline.name.clone(), pipeline.file.clone());
            cases.push(TestCase { pipeline, file, span, spec });
        }
    }
    cases
}

/// Why a test failed: one expectation, or something that went wrong on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    /// Where the expectation stands, or the node that failed.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What was there instead, one item a line, with times since the start of the test.
    pub seen: Vec<String>,
}

/// Runs a test. It passed when nothing is to be said about it.
#[must_use]
pub fn run(graph: &Graph, case: &TestCase) -> Vec<TestFailure> {
    let mut run = Run::new(graph, case, Variation::default());
    if !case.spec.faults.is_empty() {
        return run.with_faults();
    }
    let places: Vec<_> = run.expected.iter().flatten().cloned().collect();
    let seen = Arc::new(Seen::at(places));
    run.all_parts(&seen);
    run.judge(&seen)
}

/// How a run differs from the plain one, in ways that nothing that comes out may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variation {
    /// How many readings move together at most.
    pub batch_max: usize,
    /// After how many batches every node is replaced by a new one with its state.
    pub restart_every: Option<usize>,
}

impl Default for Variation {
    fn default() -> Self {
        Variation { batch_max: BATCH_MAX, restart_every: None }
    }
}

/// Runs a test without its faults and writes down everything that passes any port, as JSON lines by address: the same bytes whatever the
/// variation.
#[must_use]
pub fn trace(graph: &Graph, case: &TestCase, variation: Variation) -> Vec<u8> {
    let mut run = Run::new(graph, case, variation);
    let seen = Arc::new(Seen::everything());
    run.all_parts(&seen);
    let mut out = Vec::new();
    for ((address, port), chunks) in seen.take() {
        let node = graph.find(&address).map(|node| &graph.dag[node]);
        let shown = match (node, port) {
            (Some(node), Some(port)) => node.port_address(port),
            _ => address.to_string(),
        };
        for items in &chunks {
            for index in 0..items.len() {
                out.extend_from_slice(shown.as_bytes());
                out.push(b' ');
                write_item(items, index, &run.host.series, &mut out);
                out.push(b'\n');
            }
        }
    }
    for failure in run.failures {
        out.extend_from_slice(failure.message.as_bytes());
        out.push(b'\n');
    }
    out
}

pub(super) struct Run<'a> {
    pub(super) graph: &'a Graph,
    pub(super) case: &'a TestCase,
    variation: Variation,
    pub(super) host: Arc<Host>,
    /// Where each expectation looks.
    pub(super) expected: Vec<Option<(Arc<str>, Port)>>,
    pub(super) failures: Vec<TestFailure>,
}

impl<'a> Run<'a> {
    fn new(graph: &'a Graph, case: &'a TestCase, variation: Variation) -> Run<'a> {
        let mut host = Host::for_tests(Path::new(""));
        if let Some(zone) = &case.spec.timezone {
            host.timezone = zone.0.clone();
        }
        let mut run = Run {
            graph,
            case,
            variation,
            host: Arc::new(host),
            expected: Vec::new(),
            failures: Vec::new(),
        };
        run.expected = case
            .spec
            .expect
            .iter()
            .map(|expect| {
                let (node, address) = run.find(&expect.node)?;
                let node = &graph.dag[node];
                let port = port_of(node.section, &node.profile, &address).ok()?;
                Some((node.address.clone(), port))
            })
            .collect();
        run
    }

    pub(super) fn find(&self, written: &str) -> Option<(NodeIndex, Address)> {
        let address = Address::parse(written).ok()?;
        let pipeline = address.pipeline.as_ref().unwrap_or(&self.case.pipeline);
        let node = self.graph.find(&format!("{pipeline}/{}", address.node))?;
        Some((node, address))
    }

    pub(super) fn fail(&mut self, span: Span, message: String) {
        self.failures.push(TestFailure { span, message, seen: Vec::new() });
    }

    /// What the sources say, and when the input ends. Nothing comes back where that cannot be played.
    pub(super) fn input(&mut self) -> Option<(BTreeMap<NodeIndex, Vec<Arrival>>, Timestamp)> {
        let spec = &self.case.spec;
        let mut arrivals: BTreeMap<NodeIndex, Vec<Arrival>> = BTreeMap::new();
        for (entry, given) in spec.given.iter().enumerate() {
            let Some((index, _)) = self.find(&given.node) else { continue };
            let node = &self.graph.dag[index];
            let mut noise = Noise::new(spec.seed, entry);
            let context = node.context(&self.host);
            match readings(given, spec.start, &mut noise, &context, &node.profile) {
                Ok(list) => arrivals.entry(index).or_default().extend(list),
                Err(why) => self.fail(given.span, why),
            }
        }
        if let Some(early) = arrivals.values().flatten().map(|one| one.at).min()
            && early < spec.start
        {
            let message = format!("the first reading is of {early}, before the start of the test");
            self.fail(self.case.span, format!("{message}: set `start`, or `from`"));
            return None;
        }
        let end = self.end(&arrivals);
        Some((arrivals, end))
    }

    /// The parts of the graph that the test names.
    pub(super) fn named_parts(
        &self,
        arrivals: &BTreeMap<NodeIndex, Vec<Arrival>>,
    ) -> Vec<Vec<NodeIndex>> {
        let expected = self.expected.iter().flatten();
        let mut named: BTreeSet<NodeIndex> =
            expected.filter_map(|(address, _)| self.graph.find(address)).collect();
        named.extend(arrivals.keys());
        let mut parts = self.graph.parts();
        parts.retain(|part| part.iter().any(|node| named.contains(node)));
        parts
    }

    /// Runs every part of the graph that the test names.
    fn all_parts(&mut self, seen: &Arc<Seen>) {
        let Some((mut arrivals, end)) = self.input() else { return };
        for part in self.named_parts(&arrivals) {
            self.part(&Part::new(self.graph, &part), &mut arrivals, end, seen);
        }
    }

    /// When the input ends.
    fn end(&self, arrivals: &BTreeMap<NodeIndex, Vec<Arrival>>) -> Timestamp {
        let spec = &self.case.spec;
        let expected = spec.expect.iter().flat_map(|expect| {
            let window = expect.window.as_ref();
            let between = expect.between.map(|[_, to]| to);
            [expect.at, expect.by, between, window.and_then(|window| window.end)]
        });
        let faults = spec.faults.iter().map(|fault| {
            let lasts = Fault::new(fault).map_or(Duration::ZERO, |fault| fault.lasts());
            Some(fault.at.saturating_add(lasts))
        });
        let named =
            expected.chain(faults).chain([spec.until]).flatten().max().unwrap_or(Duration::ZERO);
        let given = arrivals.values().flatten().map(|arrival| arrival.at).max();
        given.unwrap_or(spec.start).max(spec.start + named)
    }

    fn part(
        &mut self,
        part: &Part,
        arrivals: &mut BTreeMap<NodeIndex, Vec<Arrival>>,
        end: Timestamp,
        seen: &Arc<Seen>,
    ) {
        let mut made = BTreeMap::new();
        let failures_before = self.failures.len();
        for &index in &part.transforms {
            let node = &self.graph.dag[index];
            match node.build(&self.host) {
                Ok(one) => drop(made.insert(index, one)),
                Err(problem) => {
                    let message = format!("`{}` cannot be made: {}", node.address, problem.message);
                    self.fail(node.type_span, message);
                }
            }
        }
        if self.failures.len() > failures_before {
            return;
        }
        let stats: BTreeMap<Arc<str>, Arc<NodeStats>> = part
            .transforms
            .iter()
            .map(|&node| &self.graph.dag[node])
            .map(|node| (node.address.clone(), NodeStats::new(node.profile.outputs.len())))
            .collect();
        let watch: Arc<dyn Watch> = seen.clone();
        let (graph, host) = (self.graph, self.host.clone());
        let assembly = Assembly { graph, host: &host, watch: Some(&watch), stats: &stats };
        let island = {
            let streams = part.sinks.iter().map(|_| Stream::begin()).collect();
            assembly.island(part, &mut made, &mut BTreeMap::new(), streams)
        };
        let mut queue: Vec<(usize, Arrival)> = Vec::new();
        for (entry, source) in part.sources.iter().enumerate() {
            let list = arrivals.remove(source).unwrap_or_default();
            queue.extend(list.into_iter().map(|arrival| (entry, arrival)));
        }
        queue.sort_by_key(|(entry, arrival)| (arrival.at, *entry));
        let start = self.case.spec.start;
        let mut player = Player { island, clock: start, refused: BTreeMap::new() };
        if let Err(why) = player.play(&queue, end, self.variation) {
            self.fail(self.case.span, why);
        }
        self.refused(player.refused, &stats);
    }

    /// What nodes refused or broke on fails the test.
    fn refused(
        &mut self,
        refused: BTreeMap<Arc<str>, Refused>,
        stats: &BTreeMap<Arc<str>, Arc<NodeStats>>,
    ) {
        for (_, node) in self.graph.nodes() {
            let Some(stats) = stats.get(&node.address) else { continue };
            let message = match refused.get(&node.address) {
                Some(Refused { times: 1, why }) => format!("`{}` failed: {why}", node.name),
                Some(Refused { times, why }) => {
                    format!("`{}` failed {times} times, first: {why}", node.name)
                }
                None if stats.errors() > 0 => {
                    format!("`{}` failed and had to be made anew; the log says why", node.name)
                }
                None => continue,
            };
            self.fail(node.span, message);
        }
    }

    fn judge(self, seen: &Seen) -> Vec<TestFailure> {
        let Run { case, host, expected, mut failures, .. } = self;
        let judge = Judge { start: case.spec.start, table: &host.series };
        for (expect, place) in case.spec.expect.iter().zip(&expected) {
            let Some((address, port)) = place else { continue };
            if let Some(verdict) = judge.judge(expect, *port, &seen.items(address, *port)) {
                let (message, seen) = (verdict.message, verdict.seen);
                failures.push(TestFailure { span: expect.span, message, seen });
            }
        }
        failures
    }
}

/// How often a node refused something, and why the first time.
struct Refused {
    times: usize,
    why: String,
}

/// An island with its clock.
struct Player {
    island: Island,
    clock: Timestamp,
    refused: BTreeMap<Arc<str>, Refused>,
}

impl Player {
    fn play(
        &mut self,
        queue: &[(usize, Arrival)],
        end: Timestamp,
        variation: Variation,
    ) -> Result<(), String> {
        let (mut index, mut seq) = (0, 0);
        while let Some((entry, first)) = queue.get(index) {
            let late = |arrival: &Arrival| arrival.reading.time < arrival.at;
            let mut next = index + 1;
            if late(first) {
                self.wait_until(first.at);
            } else {
                let together = queue[next..]
                    .iter()
                    .take(variation.batch_max.saturating_sub(1))
                    .take_while(|(other, arrival)| other == entry && !late(arrival));
                next += together.count();
            }
            let readings =
                queue[index..next].iter().map(|(_, arrival)| arrival.reading.clone()).collect();
            seq += 1;
            let batch = Batch { items: Items::Readings(readings), received: first.at, seq, end: 0 };
            let _ = self.island.push_virtual(*entry, &mut self.clock, batch, 0, None);
            self.collect();
            if variation.restart_every.is_some_and(|every| seq % every.max(1) as u64 == 0) {
                self.island.restart()?;
            }
            index = next;
        }
        self.wait_until(end);
        self.island.finish(self.clock);
        self.collect();
        Ok(())
    }

    /// Lets time pass, with the ticks that fall due.
    fn wait_until(&mut self, to: Timestamp) {
        while let Some(due) = self.island.next_due().filter(|due| *due <= to) {
            self.clock = self.clock.max(due);
            self.island.tick(self.clock);
            self.collect();
        }
        self.clock = self.clock.max(to);
    }

    /// Empties the ways out: nothing leaves a test.
    fn collect(&mut self) {
        self.island.outbox.sinks.clear();
        for letter in self.island.outbox.dead.drain(..) {
            let entry = self.refused.entry(letter.address);
            entry.or_insert(Refused { times: 0, why: letter.reason }).times += 1;
        }
    }
}
