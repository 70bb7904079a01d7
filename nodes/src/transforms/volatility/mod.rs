//! Scores each reading by how restless its series has been lately.

pub(in crate::transforms) mod measure;
mod settings;
mod sliding;
mod spread;
#[cfg(test)]
mod tests;

pub use measure::Measure;
pub use settings::{Override, VolatilityConfig};

use serde::{Deserialize, Serialize};
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::glob::Glob;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{Series, SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use super::counter::Counter;
use super::made::Made;
use measure::{Sample, Track};
use settings::{Judgement, Rule};

/// The port for the volatility itself.
const VALUES: usize = 1;
/// The port for becoming volatile or calm.
const CHANGES: usize = 2;
/// The port for readings that are older than the last one of their series.
const LATE: usize = 3;

/// The version of the form in which state is kept.
const STATE_VERSION: u32 = 1;

impl NodeConfig for VolatilityConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "volatility";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        ["values", "changes", "late"].into_iter().fold(Profile::stateful(), |profile, port| {
            profile.output(port, Carries::Kind(ItemKind::Readings))
        })
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(Volatility {
            rules: Rules {
                all: self.rules(),
                globs: self.overrides.iter().map(|over| over.pattern.clone()).collect(),
                context: context.clone(),
            },
            series: SeriesMap::new(),
        })))
    }
}

struct Volatility {
    rules: Rules,
    series: SeriesMap<Measured>,
}

/// The rules, and which of them is for a series.
struct Rules {
    /// The one for all, then those of the overrides.
    all: Vec<Rule>,
    globs: Vec<Glob>,
    context: Context,
}

impl Rules {
    /// With what is fixed for a series: looked up once.
    fn measured(&self, id: SeriesId, unrest: Unrest) -> Measured {
        let series = self.context.series(id);
        let name = series.source.name();
        let rule = self.globs.iter().position(|glob| glob.matches(name)).map_or(0, |at| at + 1);
        let monotonic = series.monotonic;
        Measured { rule, monotonic, values: Made::New, changes: Made::New, unrest }
    }
}

/// One series: what is fixed for it, and what was seen.
struct Measured {
    rule: usize,
    monotonic: bool,
    values: Made,
    changes: Made,
    unrest: Unrest,
}

/// What was seen of one series.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Unrest {
    last: Option<Timestamp>,
    counter: Option<Counter>,
    track: Track,
    volatile: bool,
    /// How many readings in a row spoke for the other state.
    streak: u32,
}

impl Unrest {
    /// The volatility of the series with this reading; `None` where nothing can be said.
    #[inline]
    fn take(
        &mut self,
        time: Timestamp,
        sample: Sample,
        monotonic: bool,
        rule: &Rule,
    ) -> Option<f64> {
        let sample = match sample {
            Sample::Number(x) if monotonic => {
                Sample::Number(Counter::rate(&mut self.counter, time, x)?)
            }
            other => other,
        };
        self.track.push(time, sample, rule.measure, rule.reach);
        self.track.volatility(rule.reach, rule.floor)
    }

    /// Whether the series has just become volatile, or calm.
    #[inline]
    fn change(&mut self, volatility: f64, rule: &Rule) -> bool {
        let other = if self.volatile { volatility <= rule.low } else { volatility >= rule.high };
        self.streak = if other { self.streak.saturating_add(1) } else { 0 };
        let change = self.streak >= rule.hysteresis;
        if change {
            self.volatile = !self.volatile;
            self.streak = 0;
        }
        change
    }

    /// Goes on under a rule that may be another than the one it was judged by.
    fn fit(&mut self, rule: &Rule, judged: Option<&Judgement>) {
        self.track.turn_to(rule.measure);
        if judged != Some(&rule.judgement()) {
            // Whether the readings of the streak agree by this rule is not known.
            self.streak = 0;
        }
    }

    /// Whether what was read from a snapshot can be gone on with.
    fn is_whole(&self) -> bool {
        self.track.is_whole() && self.counter.is_none_or(|counter| counter.is_whole())
    }
}

impl Measured {
    /// Emits what follows from a reading besides itself: its volatility, and that with it the series changed.
    #[inline(never)]
    fn emit(
        &mut self,
        reading: &Reading,
        (volatility, changed): (f64, bool),
        rules: &Rules,
        out: &mut Outputs,
    ) {
        let Some(rule) = rules.all.get(self.rule) else { return };
        let (context, from, time) = (&rules.context, reading.series, reading.time);
        if out.wants(VALUES) {
            let describe = |series| rule.value_series(series, self.monotonic);
            let id = self.values.id(context, from, out, describe);
            if let Some(id) = id {
                out.reading(VALUES, Reading::new(time, id, volatility));
            }
        }
        if changed && out.wants(CHANGES) {
            let id = self.changes.id(context, from, out, change_series);
            if let Some(id) = id {
                out.reading(CHANGES, Reading::new(time, id, self.unrest.volatile));
            }
        }
    }
}

impl Rule {
    /// The series of the volatility of another one.
    fn value_series(&self, mut series: Series, monotonic: bool) -> Series {
        series.unit = match series.unit.take().filter(|_| self.measure == Measure::Delta) {
            Some(unit) if monotonic => Some(format!("{unit}/s").into()),
            unit => unit,
        };
        series.with_label("stat", "volatility")
    }
}

/// The series that says when another one becomes volatile or calm.
fn change_series(mut series: Series) -> Series {
    series.unit = None;
    series.with_label("stat", "volatile")
}

impl Transform for Volatility {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let Volatility { rules, series } = self;
        let values = out.wants(VALUES);
        for reading in batch.readings() {
            let id = reading.series;
            let one = series.get_or_insert_with(id, || rules.measured(id, Unrest::default()));
            if one.unrest.last.is_some_and(|last| reading.time < last) {
                out.reading(LATE, reading.clone());
                continue;
            }
            one.unrest.last = Some(reading.time);
            let mut score = reading.score;
            if let (Some(sample), Some(rule)) =
                (Sample::of(&reading.value), rules.all.get(one.rule))
            {
                let volatility = one.unrest.take(reading.time, sample, one.monotonic, rule);
                score = volatility.map_or(0.0, |it| (it / rule.high).min(f64::MAX));
                if let Some(volatility) = volatility {
                    let changed = one.unrest.change(volatility, rule);
                    if changed || values {
                        one.emit(reading, (volatility, changed), rules, out);
                    }
                }
            }
            if let Some(scored) = out.pass(MAIN, reading) {
                scored.score = score;
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
        // It says nothing of how restless its series is, but who is behind may have use for it.
        out.copy_all(MAIN, &batch.items);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        let Volatility { rules: Rules { all, context, .. }, series } = self;
        for at in 0..silent.len() {
            let id = silent[at];
            let Some(one) = series.remove(id) else { continue };
            // Also those made before a restart, which this node has not needed since.
            let describe = |rule: &Rule, series| rule.value_series(series, one.monotonic);
            let values = all
                .get(one.rule)
                .and_then(|rule| context.known_derived_series(id, |series| describe(rule, series)));
            silent.extend(values);
            silent.extend(context.known_derived_series(id, change_series));
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let mut stored = SeriesMap::new();
        for (id, one) in self.series.iter() {
            stored.insert(id, (one.rule, &one.unrest));
        }
        let judged: Vec<Judgement> = self.rules.all.iter().map(Rule::judgement).collect();
        State::of_series(STATE_VERSION, &stored, &judged)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (mut all, judged) =
            state.read_series::<(usize, Unrest), Vec<Judgement>>(STATE_VERSION)?;
        let mut series = SeriesMap::new();
        for (id, (was, unrest)) in all.iter_mut() {
            if !unrest.is_whole() {
                return Err(StateError::Damaged("a series' last readings do not fit".into()));
            }
            let mut one = self.rules.measured(id, std::mem::take(unrest));
            if let Some(rule) = self.rules.all.get(one.rule) {
                one.unrest.fit(rule, judged.get(*was));
            }
            series.insert(id, one);
        }
        self.series = series;
        Ok(())
    }
}
