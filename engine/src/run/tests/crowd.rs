//! Nodes with many series, for tests of what becomes of their slots.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::nodes::value_of;
use super::world::World;
use crate::batch::{Batch, Items};
use crate::context::{Context, Host};
use crate::node::{
    MAIN, Node, NodeError, Outputs, Read, Receipt, Source, SourceBatch, State, StateError,
    Transform,
};
use crate::reading::Reading;
use crate::registry::{NodeConfig, Pace, Problem, Profile, Section};
use crate::series::{Series, SeriesId, SeriesMap};
use crate::time::Timestamp;

/// Of a number that is sent, the thousands are the name of a series.
const NAME: i64 = 1_000;

/// A live source of many series, which promises.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Crowd {
    /// Changes nothing, but the node.
    version: u32,
}

struct CrowdSource {
    from: String,
    known: BTreeMap<i64, SeriesId>,
    generation: u64,
    context: Context,
    world: Arc<World>,
}

impl NodeConfig for Crowd {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "crowd";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::source(Pace::Live).promises()
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let world = World::of(&context.host);
        let from = world.called("", context);
        {
            let mut outside = world.lock();
            let sender = outside.senders.entry(from.clone()).or_default();
            while let Some(batch) = sender.flying.pop_back() {
                sender.waiting.push_front(batch);
            }
        }
        let (known, generation, context) = (BTreeMap::new(), 0, context.clone());
        Ok(Node::Source(Box::new(CrowdSource { from, known, generation, context, world })))
    }
}

impl CrowdSource {
    /// The series of a number, if there is room for it.
    fn series(&mut self, value: i64) -> Option<SeriesId> {
        let name = value.div_euclid(NAME);
        if let Some(id) = self.known.get(&name) {
            return Some(*id);
        }
        let id = self.context.source_series(&name.to_string(), |series| series).ok()?;
        self.known.insert(name, id);
        Some(id)
    }
}

#[async_trait]
impl Source for CrowdSource {
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        let found = self.world.until(|outside| {
            let sender = outside.senders.entry(self.from.clone()).or_default();
            let batch = sender.waiting.pop_front();
            sender.flying.extend(batch.clone());
            batch
        });
        let values = found.await;
        let table = &self.context.host.series;
        if table.generation() != self.generation {
            self.generation = table.generation();
            self.known.retain(|_, id| table.is_live(*id));
        }
        let mut readings = Vec::new();
        let mut dropped = 0;
        for value in &values {
            match self.series(*value) {
                Some(series) => readings.push(Reading::new(now, series, *value)),
                None => dropped += 1,
            }
        }
        let (world, from) = (self.world.clone(), self.from.clone());
        let receipt = Receipt::new(move || {
            let mut outside = world.lock();
            let sender = outside.senders.entry(from).or_default();
            sender.flying.retain(|flying| *flying != values);
            sender.acked.extend(values);
        });
        Ok(Read::Batch(SourceBatch {
            items: Items::Readings(readings),
            rejects: Vec::new(),
            position: None,
            receipt: Some(receipt),
            dropped,
            retained: false,
        }))
    }
}

/// Counts the readings of each series, and emits each count. What it counted of a series that is silent it emits as a negative number.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Roll {
    /// Emits each count under a series of its own besides.
    derives: bool,
    /// Breaks at this number, once.
    panic_at: i64,
}

struct RollNode {
    config: Roll,
    counts: SeriesMap<i64>,
    context: Context,
}

fn counted(series: Series) -> Series {
    series.with_label("stat", "count")
}

impl NodeConfig for Roll {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "roll";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::stateful()
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let (config, context) = (self.clone(), context.clone());
        Ok(Node::Transform(Box::new(RollNode { config, counts: SeriesMap::new(), context })))
    }
}

impl Transform for RollNode {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            let (time, series) = (reading.time, reading.series);
            assert!(
                self.config.panic_at == 0 || value_of(reading) != self.config.panic_at,
                "this number is not for me"
            );
            let count = self.counts.get_or_insert_with(series, || 0);
            *count += 1;
            out.reading(MAIN, Reading::new(time, series, *count));
            if self.config.derives
                && let Ok(derived) = self.context.derived_series(series, counted)
            {
                out.reading(MAIN, Reading::new(time, derived, *count));
            }
        }
        Ok(())
    }
    fn forget(
        &mut self,
        now: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for at in 0..silent.len() {
            if let Some(count) = self.counts.remove(silent[at]) {
                out.reading(MAIN, Reading::new(now, silent[at], -count));
            }
            if self.config.derives {
                silent.extend(self.context.known_derived_series(silent[at], counted));
            }
        }
        Ok(())
    }
    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(1, &self.counts, &())
    }
    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        (self.counts, _) = state.read_series::<i64, ()>(1)?;
        Ok(())
    }
}

/// What a roll counted, by the names of the series: their numbers differ from life to life.
pub(super) fn rolls(state: &State, host: &Host) -> BTreeMap<String, i64> {
    let (counts, ()) = state.read_series::<i64, ()>(1).expect("the state of a roll");
    let mut named = BTreeMap::new();
    for (id, count) in counts.iter() {
        let series = host.series.get(id);
        let twice = named.insert(format!("{}{:?}", series.source, series.labels), *count);
        assert_eq!(twice, None, "two numbers for {series:?}");
        assert!(host.series.is_live(id), "{series:?} has state and no slot");
    }
    named
}
