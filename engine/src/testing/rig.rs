//! A bench for one transform: feed it, look at what comes out, restart it in the middle.

use std::sync::Arc;

use crate::batch::{Batch, ItemKind, Items};
use crate::context::{Context, Host};
use crate::duration::Duration;
use crate::node::{Node, NodeError, Outputs, StateError, Transform};
use crate::observation::Observation;
use crate::reading::{Reading, Value};
use crate::registry::{Carries, NodeConfig};
use crate::run::{Cut, next_cut};
use crate::series::{Series, SeriesId, SourceKey};
use crate::time::Timestamp;
use crate::window::Window;

/// The time at which tests begin: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// A transform on the bench.
pub struct Rig<C: NodeConfig> {
    config: C,
    context: Context,
    node: Box<dyn Transform>,
    outputs: Outputs,
    now: Timestamp,
    seq: u64,
}

impl<C: NodeConfig> Rig<C> {
    /// From settings.
    ///
    /// # Panics
    /// The settings make no transform.
    #[must_use]
    pub fn new(config: C) -> Rig<C> {
        let host = Arc::new(Host::for_tests(&std::env::temp_dir()));
        let context = Context::new(host, "test/node", "test.node");
        let node = build(&config, &context);
        let outputs =
            Outputs::new(config.profile().outputs.iter().map(|port| match port.carries {
                Carries::Kind(kind) => (kind, true),
                Carries::AsInput => (ItemKind::Readings, true),
            }));
        Rig { config, context, node, outputs, now: Timestamp::MIN, seq: 0 }
    }

    /// From settings written as YAML's JSON subset: `serde_json::json!({...})`.
    ///
    /// # Panics
    /// The settings cannot be read.
    #[must_use]
    pub fn json(settings: serde_json::Value) -> Rig<C> {
        match serde_json::from_value(settings) {
            Ok(config) => Rig::new(config),
            Err(error) => panic!("bad settings: {error}"),
        }
    }

    /// The number of a source written `type:id`.
    ///
    /// # Panics
    /// The table is full.
    #[must_use]
    pub fn series(&self, source: &str) -> SeriesId {
        self.series_like(Series::new(SourceKey::parse(source)))
    }

    /// The number of a series.
    ///
    /// # Panics
    /// The table is full.
    #[must_use]
    pub fn series_like(&self, series: Series) -> SeriesId {
        match self.context.host.series.intern(&series) {
            Ok(id) => id,
            Err(error) => panic!("{error}"),
        }
    }

    /// What a number stands for.
    #[must_use]
    pub fn name(&self, id: SeriesId) -> String {
        self.context.series(id).source.name().to_owned()
    }

    /// The node's context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// A reading at so many seconds after [`START`].
    #[must_use]
    pub fn reading(&self, seconds: f64, source: &str, value: impl Into<Value>) -> Reading {
        let time = START + Duration::from_micros((seconds * 1e6).round() as i64);
        Reading::new(time, self.series(source), value)
    }

    /// Feeds readings as the engine does in virtual time: cut where ticks fall due, with those ticks between them.
    ///
    /// # Panics
    /// The node fails.
    pub fn feed(&mut self, readings: Vec<Reading>) {
        self.feed_items(0, Items::Readings(readings));
    }

    /// As [`Rig::feed`], into an input port of that name.
    ///
    /// # Panics
    /// There is no such port, or the node fails.
    pub fn feed_port(&mut self, port: &str, readings: Vec<Reading>) {
        self.feed_items(self.input(port), Items::Readings(readings));
    }

    fn input(&self, port: &str) -> usize {
        let profile = self.config.profile();
        let index = profile.inputs.iter().position(|input| input.name == port);
        let Some(index) = index else { panic!("there is no input port `{port}`") };
        index
    }

    fn feed_items(&mut self, port: usize, items: Items) {
        self.seq += 1;
        let mut at = 0;
        while at < items.len() {
            let (due, lead) = (self.node.next_tick(), self.node.tick_lead());
            match next_cut(&items, at, self.now, due, lead, None) {
                Cut::Tick(due) => self.tick_until(due),
                Cut::Upto { end, clock } => {
                    let part = Batch {
                        items: items.slice(at..end),
                        received: self.now,
                        seq: self.seq,
                        end: 0,
                    };
                    self.must(|node, now, out| node.apply(now, port, &part, out));
                    (at, self.now) = (end, clock);
                }
            }
        }
    }

    /// Feeds readings one by one, with the ticks between them.
    pub fn feed_each(&mut self, readings: impl IntoIterator<Item = Reading>) {
        for reading in readings {
            self.feed(vec![reading]);
        }
    }

    /// Feeds one reading.
    pub fn send(&mut self, seconds: f64, source: &str, value: impl Into<Value>) {
        let reading = self.reading(seconds, source, value);
        self.feed(vec![reading]);
    }

    /// Gives the node a last value that is no reading ([`Transform::prime`]) when so many seconds have passed since [`START`].
    ///
    /// # Panics
    /// The node fails.
    pub fn prime(&mut self, seconds: f64, source: &str, value: impl Into<Value>) {
        self.prime_at(0, seconds, source, value);
    }

    /// As [`Rig::prime`], into an input port of that name.
    ///
    /// # Panics
    /// There is no such port, or the node fails.
    pub fn prime_port(&mut self, port: &str, seconds: f64, source: &str, value: impl Into<Value>) {
        self.prime_at(self.input(port), seconds, source, value);
    }

    fn prime_at(&mut self, port: usize, seconds: f64, source: &str, value: impl Into<Value>) {
        let reading = self.reading(seconds, source, value);
        self.wait_until(seconds);
        let batch = Batch::new(Items::Readings(vec![reading]), self.now);
        self.must(|node, now, out| node.prime(now, port, &batch, out));
    }

    /// Lets time pass up to so many seconds after [`START`].
    pub fn wait_until(&mut self, seconds: f64) {
        self.tick_until(START + Duration::from_micros((seconds * 1e6).round() as i64));
    }

    fn tick_until(&mut self, to: Timestamp) {
        while let Some(due) = self.node.next_tick().filter(|&due| due <= to) {
            assert!(self.node.tick_lead().is_some(), "a node that ticks says how soon");
            self.now = self.now.max(due);
            self.must(|node, now, out| node.tick(now, out));
        }
        self.now = self.now.max(to);
    }

    /// Ends the input.
    pub fn finish(&mut self) {
        self.must(|node, now, out| node.finish(now, out));
    }

    /// Lets series give their slots back, as the engine does. Gives those that the node had made from them.
    ///
    /// # Panics
    /// The node fails.
    pub fn forget(&mut self, sources: &[&str]) -> Vec<SeriesId> {
        let silent: Vec<SeriesId> = sources.iter().map(|source| self.series(source)).collect();
        self.forget_series(&silent)
    }

    /// As [`Rig::forget`], for series by their numbers.
    ///
    /// # Panics
    /// The node fails.
    pub fn forget_series(&mut self, series: &[SeriesId]) -> Vec<SeriesId> {
        let mut silent = series.to_vec();
        self.must(|node, now, out| node.forget(now, &mut silent, out));
        self.context.host.series.retire(&silent);
        silent.split_off(series.len())
    }

    /// The series that the node's state speaks of, by name.
    ///
    /// # Panics
    /// The state cannot be written.
    #[must_use]
    pub fn remembered(&self) -> Vec<String> {
        match self.node.snapshot() {
            Ok(state) => state.series.iter().map(|id| self.name(*id)).collect(),
            Err(error) => panic!("the state cannot be written: {error}"),
        }
    }

    /// Replaces the node by a new one that is given the old one's state.
    ///
    /// # Panics
    /// The state cannot be written or taken.
    pub fn restart(&mut self) {
        let state = self.node.snapshot();
        let mut node = build(&self.config, &self.context);
        let restored = state.and_then(|state| node.restore(&state));
        assert!(restored.is_ok(), "restore failed: {restored:?}");
        self.node = node;
    }

    /// Replaces the node by one with other settings that is given the old one's state, as an apply does; when that cannot take
    /// it, it begins anew.
    ///
    /// # Errors
    /// Why the state was reset.
    ///
    /// # Panics
    /// The settings make no transform, or the state cannot be written.
    pub fn restart_as(&mut self, config: C) -> Result<(), StateError> {
        let state = match self.node.snapshot() {
            Ok(state) => state,
            Err(error) => panic!("the state cannot be written: {error}"),
        };
        self.node = build(&config, &self.context);
        self.config = config;
        self.node.restore(&state)
    }

    fn must(
        &mut self,
        call: impl FnOnce(&mut dyn Transform, Timestamp, &mut Outputs) -> Result<(), NodeError>,
    ) {
        let done = call(&mut *self.node, self.now, &mut self.outputs);
        assert!(done.is_ok(), "the node failed: {done:?}");
    }

    fn take(&mut self, port: &str) -> Option<Items> {
        let profile = self.config.profile();
        let index = profile.outputs.iter().position(|out| out.name == port);
        let Some(index) = index else { panic!("there is no port `{port}`") };
        self.outputs.swap(index, Items::none(ItemKind::Readings))
    }

    /// Takes the readings that lie on a port.
    pub fn readings(&mut self, port: &str) -> Vec<Reading> {
        match self.take(port) {
            Some(Items::Readings(items)) => items,
            _ => Vec::new(),
        }
    }

    /// Takes the readings that lie on a port, as (seconds after [`START`], source, value).
    pub fn values(&mut self, port: &str) -> Vec<(f64, String, Value)> {
        self.readings(port)
            .into_iter()
            .map(|one| {
                let seconds = (one.time.as_micros() - START.as_micros()) as f64 / 1e6;
                (seconds, self.name(one.series), one.value)
            })
            .collect()
    }

    /// Takes the windows that lie on a port.
    pub fn windows(&mut self, port: &str) -> Vec<Window> {
        match self.take(port) {
            Some(Items::Windows(items)) => items,
            _ => Vec::new(),
        }
    }

    /// Takes the observations that lie on a port.
    pub fn observations(&mut self, port: &str) -> Vec<Observation> {
        match self.take(port) {
            Some(Items::Observations(items)) => items,
            _ => Vec::new(),
        }
    }
}

fn build<C: NodeConfig>(config: &C, context: &Context) -> Box<dyn Transform> {
    match config.build(context) {
        Ok(Node::Transform(node)) => node,
        other => panic!("the settings make no transform: {other:?}"),
    }
}
