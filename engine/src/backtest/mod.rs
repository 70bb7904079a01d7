//! Graphs over recorded readings, side by side in virtual time: what changed pipelines would have made of the past, beside what the ones
//! that run make of it.
//!
//! ```text
//! Backtest::new(setup)     builds the transforms of both graphs; no source and no sink is opened       side.rs
//! take(reading)            in the order in which readings take effect                                  routes.rs, side.rs
//! finish(end) -> Report    what came out, and where the two differ                                     compare.rs, report.rs
//! ```
//!
//! The islands are those of a live run and of tests. Where the readings come from is the caller's business; here they come one after the
//! other, and no more than a step of them is held.

mod behind;
mod compare;
mod report;
mod routes;
mod side;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::behind::behind;
pub use self::report::{
    Asked, Both, Done, Outcome, Report, Sent, SinkRow, SourceRow, TransformRow, UnusedRow,
};
pub use self::routes::UNNAMED;

use self::compare::Comparison;
use self::side::Side;
use crate::config::Section;
use crate::context::Host;
use crate::plan::{Graph, PlannedNode};
use crate::reading::Reading;
use crate::run::BuildError;
use crate::time::Timestamp;

/// Readings that are taken in one go: as many as one batch of a recording has.
const STEP: usize = 1_024;

/// What is compared, and how.
pub struct Setup<'a> {
    /// The graph that runs; `None` where none does.
    pub running: Option<&'a Graph>,
    /// The graph that might.
    pub candidate: &'a Graph,
    /// The pipelines that matter; those that share a part of a graph with them are run as well.
    pub pipelines: BTreeSet<Arc<str>>,
    /// Makes a host for each graph: each has series of its own.
    pub host: &'a dyn Fn() -> Host,
    /// Whether what a sink writes has the size of the JSON form.
    pub writes_json: &'a dyn Fn(&PlannedNode) -> bool,
    /// How many missed and how many gained items are kept for each sink.
    pub items_max: usize,
    /// Time goes on everywhere with every reading, and the input never ends, as on a host. Without it each part of the graph has the time
    /// of its own readings, which end, as in `run --once`.
    pub goes_on: bool,
}

/// See the module.
pub struct Backtest {
    running: Option<Side>,
    candidate: Side,
    /// By sink: its place on either side, and what was found so far.
    sinks: Vec<(Both<usize>, Comparison)>,
    pairs: Vec<Both<Arc<str>>>,
    /// In whose table the recorded readings are numbered.
    recorded: Arc<Host>,
    step: Vec<Reading>,
    goes_on: bool,
    readings: u64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl std::fmt::Debug for Backtest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backtest of {} readings so far", self.readings)
    }
}

impl Backtest {
    /// Makes the transforms of both graphs. `recorded`: the host whose table has the series of the readings that will be taken.
    ///
    /// # Errors
    /// Transforms of the candidate that cannot be made, or of what runs.
    pub fn new(setup: &Setup<'_>, recorded: &Arc<Host>) -> Result<Backtest, Vec<BuildError>> {
        let graphs: Vec<&Graph> = setup.running.into_iter().chain([setup.candidate]).collect();
        let pipelines = connected(&graphs, setup.pipelines.clone());
        let side = |graph| Side::new(graph, &pipelines, (setup.host)(), setup.writes_json);
        let running = setup.running.map(side).transpose()?;
        let candidate = side(setup.candidate)?;
        let pairs = pairs(setup.running, setup.candidate, &pipelines);
        let sinks = pairs.iter().filter_map(|pair| {
            let place = |side: Option<&Side>, address: &Option<Arc<str>>| {
                side.zip(address.as_ref()).and_then(|(side, address)| side.sink(address))
            };
            let running = place(running.as_ref(), &pair.running);
            let candidate = place(Some(&candidate), &pair.candidate);
            (running.is_some() || candidate.is_some())
                .then(|| (Both { running, candidate }, Comparison::new(setup.items_max)))
        });
        Ok(Backtest {
            sinks: sinks.collect(),
            running,
            candidate,
            pairs,
            recorded: recorded.clone(),
            step: Vec::with_capacity(STEP),
            goes_on: setup.goes_on,
            readings: 0,
            from: None,
            to: None,
        })
    }

    /// Takes a reading; it takes effect after all taken before.
    pub fn take(&mut self, reading: Reading) {
        let time = reading.time;
        self.from = Some(self.from.map_or(time, |from| from.min(time)));
        self.to = Some(self.to.map_or(time, |to| to.max(time)));
        self.readings += 1;
        self.step.push(reading);
        if self.step.len() >= STEP {
            self.run_step();
        }
    }

    fn sides(&mut self) -> impl Iterator<Item = &mut Side> {
        self.running.as_mut().into_iter().chain([&mut self.candidate])
    }

    fn run_step(&mut self) {
        let step = std::mem::take(&mut self.step);
        let (recorded, goes_on, to) = (self.recorded.clone(), self.goes_on, self.to);
        for side in self.sides() {
            side.enter(&step, &recorded.series);
            if let Some(to) = to.filter(|_| goes_on) {
                side.wait_until(to);
            }
            side.collect();
        }
        self.compare();
        self.step = step;
        self.step.clear();
    }

    /// There are no more readings. Time goes on until `end`, or stands still at the last reading of each part. Where it goes on for good,
    /// what is open stays open; otherwise the input ends, and nodes let go what they hold.
    #[must_use]
    pub fn finish(mut self, end: Option<Timestamp>) -> Report {
        self.run_step();
        let goes_on = self.goes_on;
        for side in self.sides() {
            if let Some(end) = end {
                side.wait_until(end);
                side.collect();
            }
            if !goes_on {
                side.finish();
                side.collect();
            }
        }
        self.compare();
        for (_, comparison) in &mut self.sinks {
            let running = self.running.as_ref().map(Side::series);
            comparison.end(running, self.candidate.series());
        }
        self.report()
    }

    fn compare(&mut self) {
        let Backtest { running, candidate, sinks, .. } = self;
        for (place, comparison) in sinks {
            let was = running.as_mut().zip(place.running).map(|(side, sink)| side.arrived(sink));
            let is = place.candidate.map(|sink| candidate.arrived(sink));
            let (was, is) = (was.unwrap_or_default(), is.unwrap_or_default());
            let tables = (running.as_ref().map(Side::series), candidate.series());
            comparison.step(was, is, tables.0, tables.1);
        }
    }

    fn report(self) -> Report {
        let Backtest { running, candidate, sinks, pairs, recorded, readings, from, to, .. } = self;
        let mut report = Report {
            from,
            to,
            readings,
            series: recorded.series.len() as u64,
            compared: running.is_some(),
            sources: Vec::new(),
            transforms: Vec::new(),
            agents: Vec::new(),
            sinks: Vec::new(),
            unused: candidate.unused(&recorded.series),
        };
        for pair in &pairs {
            let sides = Both {
                running: running.as_ref().zip(pair.running.as_ref()),
                candidate: pair.candidate.as_ref().map(|address| (&candidate, address)),
            };
            let Some((side, address)) = sides.candidate.or(sides.running) else { continue };
            let Some((section, address, type_name)) = side.facts(address) else { continue };
            match section {
                Section::Sources => report.sources.push(SourceRow {
                    address,
                    readings: sides.map(|(side, address)| side.given(address)),
                }),
                Section::Transforms => report.transforms.push(TransformRow {
                    makes_windows: side.makes_windows(&address),
                    address,
                    type_name,
                    done: sides.map(|(side, address)| side.done(address)),
                }),
                Section::Agents => report.agents.push(Asked {
                    address,
                    calls: sides.map(|(side, address)| side.calls(address)),
                }),
                Section::Sinks => {}
            }
        }
        for (place, comparison) in sinks {
            let was = running.as_ref().zip(place.running).map(|(side, sink)| side.sent(sink));
            let is = place.candidate.map(|sink| candidate.sent(sink));
            let named = place.candidate.map(|sink| candidate.sink_facts(sink)).or_else(|| {
                running.as_ref().zip(place.running).map(|(side, sink)| side.sink_facts(sink))
            });
            let Some((section, address, type_name)) = named else { continue };
            if section == Section::Sinks {
                let sent = Both { running: was, candidate: is };
                report.sinks.push(comparison.row(address, type_name, sent));
            }
        }
        report
    }
}

/// The pipelines that share a part of one of the graphs with those given, those given included.
fn connected(graphs: &[&Graph], mut pipelines: BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    loop {
        let before = pipelines.len();
        for graph in graphs {
            for part in graph.parts() {
                let names = part.iter().map(|&node| graph.dag[node].pipeline.clone());
                let names: BTreeSet<Arc<str>> = names.collect();
                if !names.is_disjoint(&pipelines) {
                    pipelines.extend(names);
                }
            }
        }
        if pipelines.len() == before {
            return pipelines;
        }
    }
}

/// The nodes of the pipelines, in the order of the candidate, those that are gone at the end; renamed ones are one.
fn pairs(
    running: Option<&Graph>,
    candidate: &Graph,
    pipelines: &BTreeSet<Arc<str>>,
) -> Vec<Both<Arc<str>>> {
    let mut old_of: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    if let Some(running) = running {
        let pairs = crate::plan::diff::pairs(running, candidate);
        for (index, node) in candidate.nodes() {
            if let Some(old) = pairs.old_of(index) {
                old_of.insert(node.address.clone(), running.dag[old].address.clone());
            }
        }
    }
    let matters = |node: &&PlannedNode| pipelines.contains(&node.pipeline);
    let here = candidate.nodes().map(|(_, node)| node).filter(matters);
    let mut all: Vec<Both<Arc<str>>> = here
        .map(|node| Both {
            running: old_of.get(&node.address).cloned(),
            candidate: Some(node.address.clone()),
        })
        .collect();
    let gone = running.into_iter().flat_map(Graph::nodes).map(|(_, node)| node).filter(matters);
    let paired: BTreeSet<&Arc<str>> = old_of.values().collect();
    all.extend(
        gone.filter(|node| !paired.contains(&node.address))
            .map(|node| Both { running: Some(node.address.clone()), candidate: None }),
    );
    all
}
