//! `latest`: the last reading of each series, all at once, every so often.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::batch::Batch;
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

/// Passes the last reading of each series, all at once, every so often: one message with the state of a room every half minute, however
/// often its sensors speak.
///
/// A reading is the last of its series by its own time, not by when it came. Each passed reading carries in `count` how many it stands for:
/// itself and those before it since the last time. A series of which nothing came since then is left out. What waits when the input ends, or
/// when the node is taken out, is passed at once.
///
/// **When its settings change** while it runs, what waits is kept, and comes at the next whole multiple of the new `every`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatestConfig {
    /// How often: `30s`. At whole multiples of it since 1970, in UTC, so that several hosts speak together.
    pub every: Duration,
}

const STATE_VERSION: u32 = 1;

impl NodeConfig for LatestConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "latest";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::stateful()
    }

    fn problems(&self) -> Vec<Problem> {
        if self.every > Duration::ZERO {
            return Vec::new();
        }
        let problem = Problem::at("every", "the time from one to the next is longer than nothing");
        vec![problem.help("write it like `30s`")]
    }

    fn build(&self, _: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(Latest {
            every: self.every,
            waiting: SeriesMap::new(),
            order: Vec::new(),
            due: None,
        })))
    }
}

struct Latest {
    every: Duration,
    waiting: SeriesMap<Reading>,
    /// The series that wait, in the order in which the first of each came.
    order: Vec<SeriesId>,
    due: Option<Timestamp>,
}

/// The written form of a reading that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    time: Timestamp,
    value: Value,
    score: f64,
    count: u32,
    /// How many series came before it.
    place: usize,
}

impl Latest {
    fn emit(&mut self, out: &mut Outputs) {
        for series in self.order.drain(..) {
            if let Some(reading) = self.waiting.remove(series) {
                out.reading(MAIN, reading);
            }
        }
        self.due = None;
    }
}

impl Transform for Latest {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            if let Some(last) = self.waiting.get_mut(reading.series) {
                let count = last.count.saturating_add(reading.count);
                if reading.time >= last.time {
                    last.clone_from(reading);
                }
                last.count = count;
                continue;
            }
            self.waiting.insert(reading.series, reading.clone());
            self.order.push(reading.series);
            if self.due.is_none() {
                self.due = Some(now.max(reading.time).floor_to(self.every) + self.every);
            }
        }
        Ok(())
    }

    fn prime(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        // It came of nothing new, so it does not wait; but who is behind may have use for it.
        out.copy_all(MAIN, &batch.items);
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.due
    }

    fn tick_lead(&self) -> Option<Duration> {
        // A reading can come an instant before all are due.
        Some(Duration::ZERO)
    }

    fn tick(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.emit(out);
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.emit(out);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        // Only with a very long `every` does something still wait.
        let mut left = SeriesMap::new();
        for id in silent {
            self.waiting.remove(*id).map(|reading| left.insert(*id, reading));
        }
        if left.is_empty() {
            return Ok(());
        }
        self.order.retain(|id| match left.remove(*id) {
            Some(reading) => {
                out.reading(MAIN, reading);
                false
            }
            None => true,
        });
        if self.order.is_empty() {
            self.due = None;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let mut stored = SeriesMap::new();
        for (place, series) in self.order.iter().enumerate() {
            if let Some(Reading { time, value, score, count, .. }) = self.waiting.get(*series) {
                let value = value.clone();
                let one = Stored { time: *time, value, score: *score, count: *count, place };
                stored.insert(*series, one);
            }
        }
        State::of_series(STATE_VERSION, &stored, &self.due)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (stored, due) = state.read_series::<Stored, Option<Timestamp>>(STATE_VERSION)?;
        let mut order: Vec<(usize, SeriesId)> = Vec::new();
        for (series, Stored { time, value, score, count, place }) in stored.iter() {
            let (value, score, count) = (value.clone(), *score, *count);
            self.waiting.insert(series, Reading { time: *time, value, score, series, count });
            order.push((*place, series));
        }
        order.sort_unstable_by_key(|(place, _)| *place);
        self.order = order.into_iter().map(|(_, series)| series).collect();
        // By the multiples of now, and not before what waits was due.
        self.due = due.map(|due| {
            let whole = due.floor_to(self.every);
            if whole == due { due } else { whole + self.every }
        });
        Ok(())
    }
}
