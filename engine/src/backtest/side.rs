//! One graph of a backtest: its parts as islands, and counters where its sinks would be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use petgraph::stable_graph::NodeIndex;

use super::report::{Done, Sent, UnusedRow};
use super::routes::{Routes, Way};
use crate::batch::{Batch, ItemKind, Items};
use crate::config::Section;
use crate::context::Host;
use crate::json::write_item;
use crate::plan::{Graph, PlannedNode};
use crate::reading::Reading;
use crate::run::{Assembly, BuildError, Island, NodeStats, Part, Port, Stream, Watch};
use crate::series::SeriesTable;
use crate::time::Timestamp;
use crate::window::Cause;

/// What can be said of a node: section, address, type.
pub(super) type Facts = (Section, Arc<str>, Arc<str>);

/// See the module.
pub(super) struct Side {
    host: Arc<Host>,
    parts: Vec<Running>,
    routes: Routes,
    facts: BTreeMap<Arc<str>, Facts>,
    stats: BTreeMap<Arc<str>, Arc<NodeStats>>,
    causes: Arc<Causes>,
    /// Readings given to each source node, by part and entry.
    given: BTreeMap<Arc<str>, (usize, usize)>,
    /// Sinks and agents.
    sinks: Vec<Counter>,
    /// Why a node refused something first.
    reasons: BTreeMap<Arc<str>, String>,
    json: Vec<u8>,
}

/// A part of the graph.
struct Running {
    island: Island,
    clock: Option<Timestamp>,
    seq: u64,
    /// What comes next, by the entry it comes by.
    waiting: Option<(usize, Vec<Reading>)>,
    given: Vec<u64>,
    /// The place of its sinks among all of the side.
    sinks: Vec<usize>,
}

/// What stands in the place of a sink.
struct Counter {
    address: Arc<str>,
    writes_json: bool,
    sent: Sent,
    /// How often something arrived, all of one instant together.
    calls: u64,
    latest: Option<Timestamp>,
    /// What arrived in this step.
    arrived: Vec<Items>,
}

impl Side {
    pub(super) fn new(
        graph: &Graph,
        pipelines: &BTreeSet<Arc<str>>,
        host: Host,
        writes_json: &dyn Fn(&PlannedNode) -> bool,
    ) -> Result<Side, Vec<BuildError>> {
        let host = Arc::new(host);
        let stats =
            |node: &PlannedNode| (node.address.clone(), NodeStats::new(node.profile.outputs.len()));
        let stats: BTreeMap<_, _> = graph.nodes().map(|(_, node)| stats(node)).collect();
        let causes = Arc::new(Causes::of(graph));
        let watch: Arc<dyn Watch> = causes.clone();
        let assembly = Assembly { graph, host: &host, watch: Some(&watch), stats: &stats };
        let (mut parts, mut sinks, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut places, mut given) = (BTreeMap::new(), BTreeMap::new());
        for nodes in graph.parts() {
            if !nodes.iter().any(|&node| pipelines.contains(&graph.dag[node].pipeline)) {
                continue;
            }
            let part = part_with_agents(graph, &nodes);
            let mut made = BTreeMap::new();
            for &index in &part.transforms {
                let node = &graph.dag[index];
                match node.build(&host) {
                    Ok(one) => drop(made.insert(index, one)),
                    Err(problem) => errors.push(BuildError {
                        address: node.address.clone(),
                        span: node.type_span,
                        problem,
                    }),
                }
            }
            if !errors.is_empty() {
                continue;
            }
            let streams = part.sinks.iter().map(|_| Stream::begin()).collect();
            let mut island = assembly.island(&part, &mut made, &mut BTreeMap::new(), streams);
            island.look();
            for (entry, &source) in part.sources.iter().enumerate() {
                places.insert(source, (parts.len(), entry));
                given.insert(graph.dag[source].address.clone(), (parts.len(), entry));
            }
            let first = sinks.len();
            sinks.extend(part.sinks.iter().map(|&sink| {
                let node = &graph.dag[sink];
                let is_json = node.section == Section::Sinks && writes_json(node);
                Counter {
                    address: node.address.clone(),
                    writes_json: is_json,
                    sent: Sent { bytes: is_json.then_some(0), ..Sent::default() },
                    calls: 0,
                    latest: None,
                    arrived: Vec::new(),
                }
            }));
            parts.push(Running {
                island,
                clock: None,
                seq: 0,
                waiting: None,
                given: vec![0; part.sources.len()],
                sinks: (first..sinks.len()).collect(),
            });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let facts = |node: &PlannedNode| {
            let facts = (node.section, node.address.clone(), node.type_name.clone());
            (node.address.clone(), facts)
        };
        Ok(Side {
            routes: Routes::new(graph, &host, &places),
            facts: graph.nodes().map(|(_, node)| facts(node)).collect(),
            host,
            parts,
            stats,
            causes,
            given,
            sinks,
            reasons: BTreeMap::new(),
            json: Vec::new(),
        })
    }

    /// Lets readings take effect, one after the other.
    pub(super) fn enter(&mut self, readings: &[Reading], recorded: &SeriesTable) {
        for reading in readings {
            let ways = self.routes.ways(reading.series, || recorded.get(reading.series));
            for &Way { part, entry, series } in ways {
                let Some(series) = series else { continue };
                let part = &mut self.parts[part];
                if part.waiting.as_ref().is_some_and(|(other, _)| *other != entry) {
                    part.push();
                }
                let (_, waiting) = part.waiting.get_or_insert_with(|| (entry, Vec::new()));
                waiting.push(Reading { series, ..reading.clone() });
                part.given[entry] += 1;
            }
        }
        self.parts.iter_mut().for_each(Running::push);
    }

    /// Lets time pass, with the ticks that fall due.
    pub(super) fn wait_until(&mut self, to: Timestamp) {
        for part in &mut self.parts {
            // Before its first reading a part has no time.
            let Some(clock) = &mut part.clock else { continue };
            while let Some(due) = part.island.next_due().filter(|due| *due <= to) {
                *clock = due.max(*clock);
                part.island.tick(*clock);
            }
            *clock = to.max(*clock);
        }
    }

    /// Lets the input end.
    pub(super) fn finish(&mut self) {
        for part in &mut self.parts {
            if let Some(clock) = part.clock {
                part.island.finish(clock);
            }
        }
    }

    /// Counts what came out.
    pub(super) fn collect(&mut self) {
        let Side { parts, sinks, host, json, reasons, .. } = self;
        for part in parts {
            while let Some((sink, batch)) = part.island.outbox.next() {
                sinks[part.sinks[sink]].take(batch.items, &host.series, json);
            }
            for letter in part.island.outbox.dead.drain(..) {
                reasons.entry(letter.address).or_insert(letter.reason);
            }
        }
    }

    pub(super) fn series(&self) -> &SeriesTable {
        &self.host.series
    }

    /// The place of a sink.
    pub(super) fn sink(&self, address: &str) -> Option<usize> {
        self.sinks.iter().position(|sink| *sink.address == *address)
    }

    /// What arrived at a sink since the last call.
    pub(super) fn arrived(&mut self, sink: usize) -> Vec<Items> {
        std::mem::take(&mut self.sinks[sink].arrived)
    }

    pub(super) fn sent(&self, sink: usize) -> Sent {
        self.sinks[sink].sent
    }

    pub(super) fn sink_facts(&self, sink: usize) -> Facts {
        self.facts[&self.sinks[sink].address].clone()
    }

    pub(super) fn facts(&self, address: &str) -> Option<Facts> {
        self.facts.get(address).cloned()
    }

    /// Whether a transform makes windows.
    pub(super) fn makes_windows(&self, address: &str) -> bool {
        self.causes.ports.iter().any(|(of, _)| **of == *address)
    }

    /// How many readings a source node was given.
    pub(super) fn given(&self, address: &str) -> u64 {
        self.given.get(address).map_or(0, |&(part, entry)| self.parts[part].given[entry])
    }

    /// How often an agent would have been asked: once about all that reaches it at one instant.
    pub(super) fn calls(&self, address: &str) -> u64 {
        self.sink(address).map_or(0, |sink| self.sinks[sink].calls)
    }

    /// What a transform did.
    pub(super) fn done(&self, address: &str) -> Done {
        let Some(stats) = self.stats.get(address) else { return Done::default() };
        Done {
            received: stats.received(),
            kept: stats.emitted(0),
            windows: self.causes.counts(address),
            refused: stats.rejected(),
            reason: self.reasons.get(address).cloned(),
        }
    }

    /// Recorded sources that nobody takes.
    pub(super) fn unused(&self, recorded: &SeriesTable) -> Vec<UnusedRow> {
        let all = recorded.all();
        let sources: BTreeSet<_> = all.iter().map(|series| &series.source).collect();
        let nobody = sources.into_iter().filter(|source| self.routes.takers(source).is_empty());
        nobody
            .map(|source| UnusedRow {
                source: source.name().to_owned(),
                derived: self.routes.is_derived(source),
            })
            .collect()
    }
}

/// Agents stand among the sinks: what they would write is not known.
fn part_with_agents(graph: &Graph, nodes: &[NodeIndex]) -> Part {
    let mut part = Part::new(graph, nodes);
    let agents = nodes.iter().filter(|&&node| graph.dag[node].section == Section::Agents);
    part.sinks.extend(agents);
    part
}

impl Running {
    /// Lets what waits enter.
    fn push(&mut self) {
        let Some((entry, readings)) = self.waiting.take() else { return };
        let Some(first) = readings.first().map(|first| first.time) else { return };
        self.seq += 1;
        let items = Items::Readings(readings);
        let batch = Batch { items, received: first, seq: self.seq, end: 0 };
        let clock = self.clock.get_or_insert(first);
        let _ = self.island.push_virtual(entry, clock, batch, 0, None);
    }
}

impl Counter {
    fn take(&mut self, items: Items, table: &SeriesTable, json: &mut Vec<u8>) {
        let count = items.len() as u64;
        match &items {
            Items::Readings(_) => self.sent.readings += count,
            Items::Windows(windows) => {
                self.sent.windows += count;
                let summaries: usize = windows.iter().map(|window| window.summaries.len()).sum();
                self.sent.summaries += summaries as u64;
            }
            Items::Observations(_) => self.sent.observations += count,
        }
        if let Some(bytes) = self.sent.bytes.as_mut().filter(|_| self.writes_json) {
            json.clear();
            for index in 0..items.len() {
                write_item(&items, index, table, json);
                json.push(b'\n');
            }
            *bytes += json.len() as u64;
        }
        for time in (0..items.len()).filter_map(|index| items.time(index)) {
            if self.latest.replace(time) != Some(time) {
                self.calls += 1;
            }
        }
        self.arrived.push(items);
    }
}

/// Counts why windows close, on every port that carries windows.
#[derive(Debug)]
struct Causes {
    ports: BTreeSet<(Arc<str>, usize)>,
    counts: Mutex<BTreeMap<Arc<str>, [u64; Cause::ALL.len()]>>,
}

impl Causes {
    fn of(graph: &Graph) -> Causes {
        let ports = graph.nodes().flat_map(|(_, node)| {
            let carries = node.carries.iter().enumerate();
            let windows = carries.filter(|(_, kind)| **kind == ItemKind::Windows && makes(node));
            windows.map(|(port, _)| (node.address.clone(), port)).collect::<Vec<_>>()
        });
        Causes { ports: ports.collect(), counts: Mutex::default() }
    }

    fn counts(&self, address: &str) -> BTreeMap<&'static str, u64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_node = counts.get(address).copied().unwrap_or_default();
        let by_cause = Cause::ALL.into_iter().zip(of_node).filter(|(_, count)| *count > 0);
        by_cause.map(|(cause, count)| (cause.as_str(), count)).collect()
    }
}

/// Whether windows are made by a node, and do not only pass it.
fn makes(node: &PlannedNode) -> bool {
    use crate::registry::Carries;
    node.profile.outputs.iter().any(|port| port.carries == Carries::Kind(ItemKind::Windows))
}

impl Watch for Causes {
    fn saw(&self, address: &Arc<str>, port: Port, items: &Items) {
        let (Port::Output(port), Items::Windows(windows)) = (port, items) else { return };
        if !self.ports.contains(&(address.clone(), port)) {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_node = counts.entry(address.clone()).or_default();
        for window in windows {
            if let Some(count) = of_node.get_mut(window.cause as usize) {
                *count += 1;
            }
        }
    }

    fn wants(&self, address: &str, port: Port) -> bool {
        matches!(port, Port::Output(port) if self.ports.contains(&(address.into(), port)))
    }
}
