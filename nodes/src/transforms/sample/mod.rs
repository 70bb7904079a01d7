//! `sample`: some readings of each series, and not the others.

mod settings;
#[cfg(test)]
mod tests;

pub use self::settings::{Keep, SampleConfig};

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::{Context, Host};
use smollama_engine::duration::Duration;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use self::settings::Mode;
use crate::fnv::{fnv1a, fnv1a_more};

const DROPPED: usize = 1;
const LATE: usize = 2;
const STATE_VERSION: u32 = 1;

impl NodeConfig for SampleConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "sample";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::stateful()
            .output("dropped", Carries::Kind(ItemKind::Readings))
            .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(Sample {
            mode: self.mode(),
            series: SeriesMap::new(),
            agenda: BTreeSet::new(),
            host: context.host.clone(),
        })))
    }
}

struct Sample {
    mode: Mode,
    series: SeriesMap<Sampled>,
    /// When which held reading passes.
    agenda: BTreeSet<(Timestamp, SeriesId)>,
    host: Arc<Host>,
}

/// What is known of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sampled {
    last: Timestamp,
    /// How many came since the last one that passed by its place, that one included.
    place: u32,
    /// The step of which one has passed.
    done: Option<Timestamp>,
    /// How many readings were suppressed since the last one that passed.
    suppressed: u32,
    held: Option<Held>,
    /// Of the source's name.
    #[serde(skip)]
    hash: u64,
}

/// The last reading of a step that goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    time: Timestamp,
    value: Value,
    score: f64,
    count: u32,
    /// When it passes.
    due: Timestamp,
}

impl Sampled {
    fn new(time: Timestamp, hash: u64) -> Sampled {
        Sampled { last: time, place: 0, done: None, suppressed: 0, held: None, hash }
    }

    /// Whether a reading is the one of so many.
    fn is_one_in(&mut self, many: u32) -> bool {
        let first = self.place == 0 || self.place >= many;
        self.place = if first { 1 } else { self.place + 1 };
        first
    }

    /// Whether a reading is the first of its step.
    fn is_first_of(&mut self, step: Timestamp) -> bool {
        let first = self.done.is_none_or(|done| step > done);
        if first {
            self.done = Some(step);
        }
        first
    }

    /// Whether a reading is of the share that passes. The same readings are, whenever it is asked.
    fn is_within(&self, threshold: u64, time: Timestamp) -> bool {
        mixed(fnv1a_more(self.hash, &time.as_micros().to_be_bytes())) < threshold
    }

    /// The held reading, with the count of those it stands for.
    fn release(&mut self, series: SeriesId) -> Option<Reading> {
        let Held { time, value, score, count, .. } = self.held.take()?;
        let count = count.saturating_add(std::mem::take(&mut self.suppressed));
        Some(Reading { time, value, score, series, count })
    }
}

/// Spreads what distinguishes two hashes over all bits: the last steps of `SplitMix64`, G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable
/// Pseudorandom Number Generators" (2014).
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn hash(host: &Host, id: SeriesId) -> u64 {
    fnv1a(host.series.get(id).source.name().as_bytes())
}

impl Sample {
    #[inline]
    fn take(&mut self, reading: &Reading, out: &mut Outputs) {
        let Sample { mode, series, host, .. } = self;
        let id = reading.series;
        let one = series.get_or_insert_with(id, || Sampled::new(reading.time, hash(host, id)));
        if reading.time < one.last {
            out.reading(LATE, reading.clone());
            return;
        }
        one.last = reading.time;
        let passes = match *mode {
            Mode::OneIn(many) => one.is_one_in(many),
            Mode::Share(threshold) => one.is_within(threshold, reading.time),
            Mode::First(step) => one.is_first_of(reading.time.floor_to(step)),
            Mode::Last(step) => return self.hold(reading, step, out),
        };
        if passes {
            let count = reading.count.saturating_add(std::mem::take(&mut one.suppressed));
            if let Some(passed) = out.pass(MAIN, reading) {
                passed.count = count;
            }
        } else {
            one.suppressed = one.suppressed.saturating_add(reading.count);
            out.pass(DROPPED, reading);
        }
    }

    /// Holds a reading until its step is over, or until a later one of the step comes.
    fn hold(&mut self, reading: &Reading, length: Duration, out: &mut Outputs) {
        let Sample { series, agenda, .. } = self;
        let id = reading.series;
        let Some(one) = series.get_mut(id) else { return };
        let step = reading.time.floor_to(length);
        if one.held.as_ref().is_some_and(|held| held.time.floor_to(length) < step) {
            // Its step is over, and nobody has looked since.
            if let Some(held) = &one.held {
                agenda.remove(&(held.due, id));
                one.done = Some(held.time.floor_to(length));
            }
            one.release(id).into_iter().for_each(|held| out.reading(MAIN, held));
        }
        if one.done.is_some_and(|done| step <= done) {
            one.suppressed = one.suppressed.saturating_add(reading.count);
            out.pass(DROPPED, reading);
            return;
        }
        let Reading { time, ref value, score, count, .. } = *reading;
        if let Some(held) = &mut one.held {
            if out.wants(DROPPED) {
                let (time, value, score, count) =
                    (held.time, held.value.clone(), held.score, held.count);
                out.reading(DROPPED, Reading { time, value, score, series: id, count });
            }
            one.suppressed = one.suppressed.saturating_add(held.count);
            (held.time, held.score, held.count) = (time, score, count);
            held.value.clone_from(value);
            return;
        }
        let due = step.saturating_add(length);
        agenda.insert((due, id));
        one.held = Some(Held { time, value: value.clone(), score, count, due });
    }

    /// Lets what is held of some series pass.
    fn release(&mut self, ids: impl Iterator<Item = SeriesId>, out: &mut Outputs) {
        let Sample { mode, series, agenda, host } = self;
        let mut held: Vec<Reading> = ids
            .filter_map(|id| {
                let one = series.get_mut(id)?;
                let held = one.held.as_ref()?;
                agenda.remove(&(held.due, id));
                if let Mode::Last(step) = *mode {
                    one.done = Some(held.time.floor_to(step));
                }
                one.release(id)
            })
            .collect();
        // At one instant by what the series are: their numbers differ from run to run.
        held.sort_by_cached_key(|reading| (reading.time, host.series.get(reading.series)));
        held.into_iter().for_each(|reading| out.reading(MAIN, reading));
    }
}

impl Transform for Sample {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            self.take(reading, out);
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
        // It is none of those that are counted.
        out.copy_all(MAIN, &batch.items);
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.agenda.first().map(|(due, _)| *due)
    }

    fn tick_lead(&self) -> Option<Duration> {
        // A reading can come an instant before its step is over. In the other modes only what was held under other settings passes
        // with a tick.
        let holds = matches!(self.mode, Mode::Last(_));
        Some(if holds { Duration::ZERO } else { Duration::from_days(1) })
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        let due: Vec<SeriesId> =
            self.agenda.iter().take_while(|(due, _)| *due <= now).map(|(_, id)| *id).collect();
        self.release(due.into_iter(), out);
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        let all: Vec<SeriesId> = self.agenda.iter().map(|(_, id)| *id).collect();
        self.release(all.into_iter(), out);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.release(silent.iter().copied(), out);
        for id in silent {
            self.series.remove(*id);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.series, &())
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (mut series, ()) = state.read_series::<Sampled, ()>(STATE_VERSION)?;
        self.agenda.clear();
        for (id, one) in series.iter_mut() {
            one.hash = hash(&self.host, id);
            if let Some(held) = &one.held {
                self.agenda.insert((held.due, id));
            }
        }
        self.series = series;
        Ok(())
    }
}
