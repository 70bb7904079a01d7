//! `watchdog`: tells when a source cannot be believed.

mod guard;
mod news;
mod settings;
#[cfg(test)]
mod tests;

pub use self::settings::{Override, WatchdogConfig};

use std::collections::BTreeSet;

use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use self::guard::{Fault, Faults, Guard};
use self::settings::Rule;
use super::cadence::{self, MissingAfter};

const NEWS: usize = 1;
const DROPPED: usize = 2;
const LATE: usize = 3;
const STATE_VERSION: u32 = 1;

impl NodeConfig for WatchdogConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "watchdog";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::stateful()
            .output("news", Carries::Kind(ItemKind::Observations))
            .output("dropped", Carries::Kind(ItemKind::Readings))
            .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(Watchdog {
            rules: Rules { all: self.rules(), context: context.clone() },
            series: SeriesMap::new(),
            agenda: BTreeSet::new(),
        })))
    }
}

struct Watchdog {
    rules: Rules,
    series: SeriesMap<Guard>,
    /// When which series is looked at without a reading: an entry for each that has one [queued](Guard::queued). A deadline moves back
    /// with every reading; its entry stays, and moves when it is its turn.
    agenda: BTreeSet<(Timestamp, SeriesId)>,
}

/// What is asked of whom.
struct Rules {
    all: Vec<(Option<Glob>, Rule)>,
    context: Context,
}

impl Rules {
    /// The place of the rule for a series.
    fn place(&self, id: SeriesId) -> usize {
        let series = self.context.series(id);
        let fits = |glob: &Glob| glob.matches(series.source.name());
        let mut all = self.all.iter();
        all.position(|(glob, _)| glob.as_ref().is_none_or(fits)).unwrap_or_default()
    }

    #[inline]
    fn at(&self, place: usize) -> Rule {
        self.all.get(place).map(|(_, rule)| *rule).unwrap_or_default()
    }
}

impl Watchdog {
    #[inline]
    fn take(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        let Watchdog { rules, series, .. } = self;
        let id = reading.series;
        let place = series.get(id).map_or_else(|| rules.place(id), |one| one.rule);
        let rule = rules.at(place);
        if rule.counts() && reading.value.as_f64().is_none() {
            out.pass(DROPPED, reading);
            return;
        }
        let one = series.get_or_insert_with(id, || Guard::new(reading, clock, place));
        if reading.time < one.last {
            out.pass(LATE, reading);
            return;
        }
        let before = one.faults;
        one.hear(&rule, reading, clock);
        out.pass(if one.is_believable() { MAIN } else { DROPPED }, reading);
        if one.faults != before {
            self.tell(id, before, reading.time, out);
        }
        self.plan(id);
    }

    /// Tells what has begun, and what is over.
    #[cold]
    fn tell(&mut self, id: SeriesId, before: Faults, at: Timestamp, out: &mut Outputs) {
        let Watchdog { rules, series, .. } = self;
        let Some(one) = series.get_mut(id) else { return };
        let rule = rules.at(one.rule);
        for fault in Fault::ALL {
            if before.has(fault) != one.faults.has(fault) {
                out.observation(NEWS, news::tell(&rules.context, &rule, fault, (id, one), at));
            }
        }
    }

    /// Notes when a series is to be looked at.
    #[inline]
    fn plan(&mut self, id: SeriesId) {
        let Watchdog { rules, series, agenda } = self;
        let Some(one) = series.get_mut(id) else { return };
        let Some(due) = one.silence_due(&rules.at(one.rule)) else { return };
        if one.queued.is_none_or(|queued| due < queued) {
            if let Some(queued) = one.queued.replace(due) {
                agenda.remove(&(queued, id));
            }
            agenda.insert((due, id));
        }
    }

    /// The series whose look is due first, at or before `now`: all of one instant, in an order that is the same in every process.
    fn due_first(&mut self, now: Timestamp) -> Option<Vec<SeriesId>> {
        let Watchdog { rules, series, agenda } = self;
        let first = agenda.first().map(|(due, _)| *due).filter(|due| *due <= now)?;
        let mut ids = Vec::new();
        while let Some((_, id)) = agenda.first().copied().filter(|(due, _)| *due == first) {
            agenda.pop_first();
            if let Some(one) = series.get_mut(id) {
                one.queued = None;
                ids.push(id);
            }
        }
        ids.sort_by_cached_key(|id| rules.context.series(*id));
        Some(ids)
    }
}

impl Transform for Watchdog {
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

    fn prime(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        // What a broker had kept is judged by nobody: when it was measured is not known.
        out.copy_all(MAIN, &batch.items);
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.agenda.first().map(|(due, _)| *due)
    }

    fn tick_lead(&self) -> Option<Duration> {
        let spans = self.rules.all.iter().filter_map(|(_, rule)| match rule.silent_after? {
            MissingAfter::After(span) => Some(span),
            MissingAfter::Learned => Some(cadence::SHORTEST),
        });
        spans.min()
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        while let Some(ids) = self.due_first(now) {
            for id in ids {
                let Watchdog { rules, series, .. } = self;
                let Some(one) = series.get_mut(id) else { continue };
                let before = one.faults;
                if let Some(at) = one.elapse(&rules.at(one.rule), now) {
                    self.tell(id, before, at, out);
                }
                self.plan(id);
            }
        }
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        for id in silent {
            let Some(one) = self.series.remove(*id) else { continue };
            if let Some(queued) = one.queued {
                self.agenda.remove(&(queued, *id));
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.series, &())
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (mut series, ()) = state.read_series::<Guard, ()>(STATE_VERSION)?;
        for (id, one) in series.iter_mut() {
            one.rule = self.rules.place(id);
            one.fit(&self.rules.at(one.rule));
        }
        let ids: Vec<SeriesId> = series.iter().map(|(id, _)| id).collect();
        self.series = series;
        self.agenda.clear();
        ids.into_iter().for_each(|id| self.plan(id));
        Ok(())
    }
}
