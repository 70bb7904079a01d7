//! `dedup`: suppresses readings that say nothing new.

mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::{Context, Host};
use smollama_engine::glob::Glob;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

pub use self::settings::{Deadband, Heartbeat, Keep, News};
use self::state::{Last, Rule, Stored};

/// Suppresses readings that say nothing new: of each series, a number passes when it differs from the last passed one by more
/// than the deadband, anything else when it is different at all.
///
/// A reading is compared with the last one that *passed*, not with the one before it, so a slow drift is seen as soon as it
/// adds up to the deadband. A change of kind (a number, then a text) always passes. The first reading of a series passes.
///
/// What stays as it is does not vanish for good: after `heartbeat` (by the readings' own times) the next reading passes though
/// it is no different, so a fault that goes on keeps being reported, and a series that is silent can be told from one that does
/// not change. Each passed reading carries in `count` how many it stands for: itself and those suppressed before it.
///
/// **When its settings change** while it runs, all is kept: each series is still compared with its last passed reading, by the
/// deadband it now has; its heartbeat is due so long after that reading as it now says. What `keep: last` held back goes to port
/// `dropped` under `keep: first`.
///
/// A last value that is no reading (a retained message of MQTT) counts as passed where none has passed yet: a first reading that is no different is
/// suppressed.
///
/// Ports: `main` what passes; `dropped` what was suppressed; `late` readings older than the last one of their series, which
/// change nothing here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DedupConfig {
    /// How far a number must be from the last passed one to pass: `0.2` in the series' own unit, or `5%` of the last passed
    /// value. Exactly that far is not enough. Default: `0`, any difference passes.
    pub deadband: Deadband,
    /// A reading passes when this long has gone since the last passed one of its series, or `never`. Default: `1h`.
    pub heartbeat: Heartbeat,
    /// Which readings of a run of equal ones pass. `first`: the first, at once. `last`: the first, at once, and when a change
    /// comes or the input ends also the last, before it, so that the end of the run is known. Default: `first`.
    pub keep: Keep,
    /// What to do with a reading that a scoring node calls news. `pass`: it passes at once (score 1 or more); `ignore`: the
    /// score changes nothing; a number: it passes from that score on. Default: `pass`.
    pub news: News,
    /// Other settings for some series. The first entry whose pattern fits the source counts; what it leaves out is as above.
    pub overrides: Vec<Override>,
}

/// Other settings for the series whose source fits a pattern.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// A pattern over sources: `air:**/humidity`.
    #[serde(rename = "match")]
    pub pattern: Glob,
    /// Instead of `deadband`.
    #[serde(default)]
    pub deadband: Option<Deadband>,
    /// Instead of `heartbeat`.
    #[serde(default)]
    pub heartbeat: Option<Heartbeat>,
}

const DROPPED: usize = 1;
const LATE: usize = 2;
const STATE_VERSION: u32 = 1;

impl NodeConfig for DedupConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "dedup";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::stateful()
            .output("dropped", Carries::Kind(ItemKind::Readings))
            .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(self.heartbeat.problem("heartbeat"));
        for (index, one) in self.overrides.iter().enumerate() {
            let field = format!("overrides.{index}");
            if let Some(heartbeat) = &one.heartbeat {
                problems.extend(heartbeat.problem(&format!("{field}.heartbeat")));
            }
            if one.deadband.is_none() && one.heartbeat.is_none() {
                problems.push(
                    Problem::at(field, "an override that changes nothing")
                        .help("give `deadband`, `heartbeat` or both"),
                );
            }
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(Dedup {
            rules: self.rules(),
            keep_last: self.keep == Keep::Last,
            news: self.news.threshold(),
            series: SeriesMap::new(),
            host: context.host.clone(),
        })))
    }
}

impl DedupConfig {
    /// Each override as a whole rule, and last the one for all others.
    fn rules(&self) -> Vec<(Option<Glob>, Rule)> {
        let rule = |deadband, heartbeat: Heartbeat| Rule { deadband, heartbeat: heartbeat.span() };
        let mut rules: Vec<_> = self
            .overrides
            .iter()
            .map(|one| {
                let deadband = one.deadband.unwrap_or(self.deadband);
                let heartbeat = one.heartbeat.unwrap_or(self.heartbeat);
                (Some(one.pattern.clone()), rule(deadband, heartbeat))
            })
            .collect();
        rules.push((None, rule(self.deadband, self.heartbeat)));
        rules
    }
}

struct Dedup {
    rules: Vec<(Option<Glob>, Rule)>,
    keep_last: bool,
    /// The score from which on a reading passes at once; NaN for never.
    news: f64,
    series: SeriesMap<Last>,
    host: Arc<Host>,
}

impl Dedup {
    fn rule(&self, id: SeriesId) -> Rule {
        let series = self.host.series.get(id);
        let fits = |glob: &Glob| glob.matches(series.source.name());
        let mut rules = self.rules.iter();
        let rule = rules.find(|(glob, _)| glob.as_ref().is_none_or(fits));
        rule.map(|(_, rule)| *rule).unwrap_or_default()
    }

    /// Emits what is held of some series, or of all.
    fn emit_held(&mut self, of: Option<&[SeriesId]>, out: &mut Outputs) {
        let keep_last = self.keep_last;
        let end = |last: &mut Last| if keep_last { last.flush() } else { last.absorb() };
        let mut held: Vec<Reading> = match of {
            Some(some) => {
                some.iter().filter_map(|id| self.series.get_mut(*id).and_then(end)).collect()
            }
            None => self.series.iter_mut().filter_map(|(_, last)| end(last)).collect(),
        };
        // At one instant by what the series are: their numbers differ from run to run.
        held.sort_by_cached_key(|reading| (reading.time, self.host.series.get(reading.series)));
        let port = if keep_last { MAIN } else { DROPPED };
        held.into_iter().for_each(|reading| out.reading(port, reading));
    }

    #[cold]
    fn first(&mut self, reading: &Reading, out: &mut Outputs) {
        let rule = self.rule(reading.series);
        self.series.insert(reading.series, Last::new(reading, rule));
        out.reading(MAIN, reading.clone());
    }
}

impl Transform for Dedup {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let dropped = out.wants(DROPPED);
        for reading in batch.readings() {
            let Some(last) = self.series.get_mut(reading.series) else {
                self.first(reading, out);
                continue;
            };
            if reading.time < last.seen {
                out.reading(LATE, reading.clone());
                continue;
            }
            last.seen = reading.time;
            let changed = !last.repeated_by(&reading.value);
            // A threshold of NaN is reached by no score, and a score of NaN reaches none.
            if changed || reading.time >= last.due || reading.score >= self.news {
                if changed && self.keep_last {
                    if let Some(end) = last.flush() {
                        out.reading(MAIN, end);
                    }
                } else if let Some(within) = last.absorb() {
                    // The run goes on, so what was held is not its end. Or its end is no longer wanted.
                    out.reading(DROPPED, within);
                }
                let count = last.pass(reading);
                if let Some(passed) = out.pass(MAIN, reading) {
                    passed.count = count;
                }
            } else if self.keep_last {
                let before = last.hold(reading);
                if let Some(before) = before.filter(|_| dropped) {
                    out.reading(DROPPED, before);
                }
            } else {
                if last.holding {
                    last.absorb().into_iter().for_each(|held| out.reading(DROPPED, held));
                }
                last.suppressed = last.suppressed.saturating_add(reading.count);
                if dropped {
                    out.reading(DROPPED, reading.clone());
                }
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
        for reading in batch.readings() {
            if self.series.get(reading.series).is_none() {
                self.first(reading, out);
                // Readings from before may still come.
                self.series.get_mut(reading.series).into_iter().for_each(Last::unsee);
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.emit_held(None, out);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.emit_held(Some(silent), out);
        for id in silent {
            self.series.remove(*id);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let mut stored = SeriesMap::new();
        for (id, last) in self.series.iter() {
            stored.insert(id, last.stored());
        }
        State::of_series(STATE_VERSION, &stored, &())
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (stored, ()) = state.read_series::<Stored, ()>(STATE_VERSION)?;
        for (id, stored) in stored.iter() {
            // By the rules of now: the state says only what came and what passed.
            let last = Last::restored(id, stored.clone(), self.rule(id));
            self.series.insert(id, last);
        }
        Ok(())
    }
}
