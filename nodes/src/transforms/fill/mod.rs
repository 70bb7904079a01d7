//! `fill`: something for each step of time, also where nothing came.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{Series, SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use super::made::Made;

/// Fills steps of time in which nothing came of a series with its last value, or marks them.
///
/// Everything that comes passes as it is. Steps begin at whole multiples of `step` since 1970 in UTC. When one is over, by the host's clock, and nothing came of a
/// series in it, that step is empty: with `with: last` a reading with the last value is made up, dated at the beginning of the step; it stands for no
/// reading (its `count` is 0). Port `gaps` says of each empty step that it is one, dated likewise, as a reading `true` of type `as` (default
/// `pipeline.node`) with the input's `type/id` as its id. What lies between two readings is not guessed, as the second is not known when the step is over.
///
/// A series that says nothing for longer than `max_gap` is filled no more until it speaks again, and what the host itself slept through is not filled. A reading
/// that is older than the last one of its series, made up or not, goes to port `late`: where readings are dated long before they come, steps
/// are filled before.
///
/// **When its settings change** while it runs, the last values are kept.
///
/// Ports: `main` what came and what was made up; `gaps` a mark for each empty step; `late` readings that are older than the last one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FillConfig {
    /// How long a step is: `1m`. At least `100ms`.
    pub step: Duration,
    /// What an empty step is filled with. `last`: the last value. `nothing`: it is only marked, on port `gaps`. Default: `last`.
    #[serde(default)]
    pub with: With,
    /// For how long after a reading steps are filled. Default: ten steps.
    #[serde(default)]
    pub max_gap: Option<Duration>,
}

/// What an empty step is filled with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum With {
    /// The last value.
    #[default]
    Last,
    /// Nothing.
    Nothing,
}

const GAPS: usize = 1;
const LATE: usize = 2;
const STATE_VERSION: u32 = 1;
const SHORTEST: Duration = Duration::from_millis(100);

impl NodeConfig for FillConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "fill";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::stateful()
            .output("gaps", Carries::Kind(ItemKind::Readings))
            .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.step < SHORTEST {
            let message = format!("{} is shorter than {SHORTEST}", self.step);
            problems.push(Problem::at("step", message).help("write it like `1m`"));
        }
        if let Some(gap) = self.max_gap.filter(|gap| *gap < self.step) {
            let message = format!("{gap} is shorter than a step, so nothing is ever filled");
            problems.push(Problem::at("max_gap", message).help("give a few steps"));
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let ten = Duration::from_micros(self.step.as_micros().saturating_mul(10));
        Ok(Node::Transform(Box::new(Fill {
            step: self.step,
            with: self.with,
            max_gap: self.max_gap.unwrap_or(ten),
            series: SeriesMap::new(),
            due: None,
            awake: Timestamp::MIN,
            context: context.clone(),
        })))
    }
}

struct Fill {
    step: Duration,
    with: With,
    max_gap: Duration,
    series: SeriesMap<Filled>,
    /// When the step that goes on is over.
    due: Option<Timestamp>,
    /// Up to when some series may be filled.
    awake: Timestamp,
    context: Context,
}

/// What is known of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Filled {
    /// The time of what was emitted last.
    last: Timestamp,
    /// When the last reading came, by the clock.
    heard: Timestamp,
    value: Value,
    #[serde(skip)]
    gaps: Made,
}

/// The state that belongs to no series.
#[derive(Debug, Serialize, Deserialize)]
struct Rest {
    due: Option<Timestamp>,
}

/// A mark has no unit.
fn mark(mut series: Series) -> Series {
    series.unit = None;
    series
}

impl Fill {
    /// Up to when a series may be filled that was heard then.
    fn awake_after(&self, heard: Timestamp) -> Timestamp {
        heard.saturating_add(self.max_gap).saturating_add(self.step)
    }

    /// Fills what lies behind at an instant. Of steps before the last one the host saw nothing.
    fn turn(&mut self, now: Timestamp, out: &mut Outputs) {
        let Some(due) = self.due.filter(|due| *due <= now) else { return };
        let next = now.floor_to(self.step).saturating_add(self.step);
        if next.since(due) <= self.step {
            self.fill(due.saturating_sub(self.step), out);
        }
        self.due = (next > now && next <= self.awake).then_some(next);
    }

    /// Fills the step that begins at an instant, of each series of which nothing came.
    fn fill(&mut self, start: Timestamp, out: &mut Outputs) {
        let Fill { with, max_gap, series, context, .. } = self;
        let empty = |one: &Filled| one.heard < start && start.since(one.heard) <= *max_gap;
        let mut ids: Vec<SeriesId> =
            series.iter().filter(|(_, one)| empty(one)).map(|(id, _)| id).collect();
        // By what the series are: their numbers differ from run to run.
        ids.sort_by_cached_key(|id| context.series(*id));
        for id in ids {
            let Some(one) = series.get_mut(id) else { continue };
            if *with == With::Last && one.last <= start {
                one.last = start;
                let value = one.value.clone();
                let made_up = Reading { time: start, value, score: f64::NAN, series: id, count: 0 };
                out.reading(MAIN, made_up);
            }
            if out.wants(GAPS)
                && let Some(gaps) = one.gaps.id(context, id, out, mark)
            {
                out.reading(GAPS, Reading::new(start, gaps, true));
            }
        }
    }

    #[inline]
    fn take(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        if self.due.is_some_and(|due| due <= clock) {
            self.turn(clock, out);
        }
        match self.series.get_mut(reading.series) {
            Some(one) if reading.time < one.last => {
                out.reading(LATE, reading.clone());
                return;
            }
            Some(one) => {
                (one.last, one.heard) = (reading.time, clock);
                one.value.clone_from(&reading.value);
            }
            None => {
                let (last, value) = (reading.time, reading.value.clone());
                let one = Filled { last, heard: clock, value, gaps: Made::New };
                self.series.insert(reading.series, one);
            }
        }
        out.pass(MAIN, reading);
        self.awake = self.awake.max(self.awake_after(clock));
        if self.due.is_none() {
            let next = clock.floor_to(self.step).saturating_add(self.step);
            self.due = Some(next).filter(|next| *next > clock);
        }
    }
}

impl Transform for Fill {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let mut clock = now;
        for reading in batch.readings() {
            clock = clock.max(reading.time);
            self.take(reading, clock, out);
        }
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.due
    }

    fn tick_lead(&self) -> Option<Duration> {
        // A reading behind the end of a step turns to the next as a tick does.
        Some(self.step.mul_f64(0.5))
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.turn(now, out);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        for at in 0..silent.len() {
            if self.series.remove(silent[at]).is_some() {
                silent.extend(self.context.known_derived_series(silent[at], mark));
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.series, &Rest { due: self.due })
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (series, rest) = state.read_series::<Filled, Rest>(STATE_VERSION)?;
        let heard = series.iter().map(|(_, one)| one.heard).max();
        self.awake = heard.map_or(Timestamp::MIN, |heard| self.awake_after(heard));
        self.series = series;
        // By the steps of now, and not before the step was over that went on.
        self.due = rest.due.map(|due| {
            let whole = due.floor_to(self.step);
            if whole == due { due } else { whole.saturating_add(self.step) }
        });
        Ok(())
    }
}
