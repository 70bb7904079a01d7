//! Scores each reading by how far its value is from anything its series said lately. The method was chosen on a public
//! benchmark of labelled recordings, where a rolling coefficient of variation does no better than chance.

mod fit;
mod habits;
mod hold;
mod profile;
mod settings;
#[cfg(test)]
mod tests;
mod texts;

pub use hold::HoldFor;
pub use settings::{NoveltyConfig, Override, Range};

use serde::{Deserialize, Serialize};
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::glob::Glob;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile as NodeProfile, Section};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use super::counter::Counter;
use habits::Habits;
use hold::Hold;
use profile::{LocalHours, Profile};
use settings::Rule;
use texts::Texts;

/// The port for readings that are older than the last one of their series.
const LATE: usize = 1;

/// The version of the form in which state is kept.
const STATE_VERSION: u32 = 1;

impl NodeConfig for NoveltyConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "novelty";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> NodeProfile {
        NodeProfile::stateful().output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(Novelty {
            rules: Rules {
                all: self.rules(),
                globs: self.overrides.iter().map(|over| over.pattern.clone()).collect(),
                context: context.clone(),
            },
            hours: LocalHours::new(context.host.timezone.clone()),
            series: SeriesMap::new(),
        })))
    }
}

struct Novelty {
    rules: Rules,
    hours: LocalHours,
    series: SeriesMap<Scored>,
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
    fn scored(&self, id: SeriesId, habit: Habit) -> Scored {
        let series = self.context.series(id);
        let name = series.source.name();
        let rule = self.globs.iter().position(|glob| glob.matches(name)).map_or(0, |at| at + 1);
        Scored { rule, monotonic: series.monotonic, habit }
    }
}

/// One series: what is fixed for it, and what was learnt.
struct Scored {
    rule: usize,
    monotonic: bool,
    habit: Habit,
}

/// What was learnt of one series.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Habit {
    last: Option<Timestamp>,
    counter: Option<Counter>,
    numbers: Habits,
    texts: Option<Box<Texts>>,
    profile: Option<Box<Profile>>,
    hold: Hold,
}

impl Habit {
    /// The score of a value; `None` for a value that has none.
    #[inline]
    fn score(
        &mut self,
        reading: &Reading,
        monotonic: bool,
        rule: &Rule,
        hours: &mut LocalHours,
    ) -> Option<f64> {
        let (surprise, learnt) = match (&reading.value, reading.value.as_f64()) {
            (_, Some(x)) => {
                if !(rule.range.min <= x && x <= rule.range.max) {
                    return Some(0.0);
                }
                let rate = if monotonic {
                    Counter::rate(&mut self.counter, reading.time, x)
                } else {
                    Some(x)
                };
                // A counter without a rate says nothing.
                let Some(x) = rate else { return Some(0.0) };
                let mut surprise = self.numbers.surprise(x, &rule.acuity);
                if rule.daily_profile {
                    let profile = self.profile.get_or_insert_default();
                    let at = hours.at(reading.time);
                    surprise = surprise.max(profile.surprise(x, at, &rule.acuity));
                }
                (surprise, u64::from(self.numbers.readings()))
            }
            (Value::Text(text), _) => {
                let texts = self.texts.get_or_insert_default();
                let (memory, cells) = (rule.acuity.memory, rule.acuity.cells);
                (texts.surprise(text, memory, cells), texts.readings())
            }
            _ => return None,
        };
        let emitted = self.hold.pass(surprise, reading.time, rule.hold);
        Some(if learnt <= u64::from(rule.warm_up) { 0.0 } else { emitted / rule.news })
    }

    /// Whether what was read from a snapshot can be gone on with.
    fn is_whole(&self) -> bool {
        self.numbers.is_whole()
            && self.hold.is_whole()
            && self.counter.is_none_or(|counter| counter.is_whole())
            && self.texts.as_ref().is_none_or(|texts| texts.is_whole())
            && self.profile.as_ref().is_none_or(|profile| profile.is_whole())
    }
}

impl Transform for Novelty {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let Novelty { rules, hours, series } = self;
        for reading in batch.readings() {
            let id = reading.series;
            let Scored { rule, monotonic, habit } =
                series.get_or_insert_with(id, || rules.scored(id, Habit::default()));
            if habit.last.is_some_and(|last| reading.time < last) {
                out.reading(LATE, reading.clone());
                continue;
            }
            habit.last = Some(reading.time);
            let score = match rules.all.get(*rule) {
                Some(rule) => habit.score(reading, *monotonic, rule, hours),
                None => None,
            };
            if let (Some(scored), Some(score)) = (out.pass(MAIN, reading), score) {
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
        // It says nothing of what is usual, but who is behind may have use for it.
        out.copy_all(MAIN, &batch.items);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        for id in silent {
            self.series.remove(*id);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        self.stored()
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        self.restored(state)
    }
}
