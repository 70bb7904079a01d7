//! Decides when somebody should look: at once when there is news, seldom while all is calm.

mod budget;
mod pace;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;

pub use budget::Budget;
pub use settings::{AdaptiveRateConfig, Aggregate, PlanName, Weight};

use serde::{Deserialize, Serialize};
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::registry::{
    Carries, InputPort, NodeConfig, OutputPort, Problem, Profile, Section,
};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Accumulator, Cause, Window};

use pace::{Level, Unrest};
use schedule::Schedule;
use settings::Plan;

/// The port for readings that come too late.
const LATE: usize = 1;

/// The score from which on a reading is news, as [`Reading::is_news`] has it.
const NEWS: f64 = 1.0;

/// The version of the form in which state is kept.
const STATE_VERSION: u32 = 1;

impl NodeConfig for AdaptiveRateConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "adaptive_rate";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile {
            inputs: vec![InputPort::main(&[ItemKind::Readings])],
            stateful: true,
            outputs: vec![OutputPort::main(ItemKind::Windows)],
            ..Profile::default()
        }
        .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(AdaptiveRate {
            plan: self.resolve(),
            weights: self.weights.iter().map(|one| (one.pattern.clone(), one.weight)).collect(),
            context: context.clone(),
            schedule: None,
            series: SeriesMap::new(),
            gathered: Vec::new(),
        })))
    }
}

struct AdaptiveRate {
    plan: Plan,
    weights: Vec<(Glob, f64)>,
    context: Context,
    /// From the first reading on.
    schedule: Option<Schedule>,
    series: SeriesMap<Gathered>,
    /// The series that have readings in the window.
    gathered: Vec<SeriesId>,
}

/// One series: what is fixed for it, and what was gathered.
struct Gathered {
    weight: f64,
    monotonic: bool,
    kept: Kept,
}

/// What was gathered of one series.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    last: Option<Timestamp>,
    window: Option<Accumulator>,
    /// Where this node measures volatility itself.
    unrest: Option<Box<Unrest>>,
}

/// With what is fixed for a series: looked up once.
fn described(context: &Context, weights: &[(Glob, f64)], id: SeriesId, kept: Kept) -> Gathered {
    let series = context.series(id);
    let name = series.source.name();
    let weight = weights.iter().find(|(glob, _)| glob.matches(name)).map_or(1.0, |one| one.1);
    Gathered { weight, monotonic: series.monotonic, kept }
}

/// By what a period is judged calm or volatile.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Judgement {
    measures: bool,
    calm: f64,
    volatile: f64,
    aggregate: Aggregate,
    weights: Vec<(String, f64)>,
}

impl AdaptiveRate {
    fn judgement(&self) -> Judgement {
        let Plan { measures, calm, volatile, aggregate, .. } = self.plan;
        let weights = self.weights.iter().map(|(glob, weight)| (glob.as_str().to_owned(), *weight));
        Judgement { measures, calm, volatile, aggregate, weights: weights.collect() }
    }

    /// Closes the window if that is due up to `time`, that instant included. What follows is a period without readings, which closes
    /// nothing until there is one.
    #[inline]
    fn close_due(&mut self, time: Timestamp, out: &mut Outputs) {
        let Some(schedule) = self.schedule.as_ref().filter(|_| !self.gathered.is_empty()) else {
            return;
        };
        let (at, cause) = schedule.next_close(&self.plan);
        if at <= time {
            self.close(at, cause, out);
        }
    }

    fn close(&mut self, at: Timestamp, cause: Cause, out: &mut Outputs) {
        let Some(schedule) = &mut self.schedule else { return };
        // By name, so that the order is the same in every process.
        self.gathered.sort_by_cached_key(|&id| self.context.series(id).source.clone());
        let mut summaries = Vec::with_capacity(self.gathered.len());
        let mut level = Level::new(self.plan.aggregate);
        for id in self.gathered.drain(..) {
            let Some(one) = self.series.get_mut(id) else { continue };
            let Some(window) = one.kept.window.take() else { continue };
            let summary = window.summary(id);
            let score = match &one.kept.unrest {
                Some(unrest) if self.plan.measures => unrest.score(),
                // It has only readings from before this node measured.
                None if self.plan.measures => f64::NAN,
                _ => summary.score,
            };
            level.add(score, one.weight);
            summaries.push(summary);
        }
        out.window(MAIN, Window { start: schedule.start(), end: at, cause, summaries });
        schedule.close(at, level.verdict(&self.plan), &self.plan);
    }

    /// Emits what the window has of some series in a window of their own. The period goes on, and hears of them no more.
    fn close_for(&mut self, silent: &[SeriesId], out: &mut Outputs) {
        let Some(schedule) = &mut self.schedule else { return };
        let mut leaving = Vec::new();
        for id in silent {
            let window = self.series.get_mut(*id).and_then(|one| one.kept.window.take());
            leaving.extend(window.map(|window| window.summary(*id)));
        }
        if leaving.is_empty() {
            return;
        }
        leaving.sort_by_cached_key(|one| self.context.series(one.series).source.clone());
        let (start, end) = (schedule.start(), schedule.clock());
        out.window(MAIN, Window { start, end, cause: Cause::End, summaries: leaving });
        let has_some =
            |id: &SeriesId| self.series.get(*id).is_some_and(|one| one.kept.window.is_some());
        self.gathered.retain(has_some);
        if self.gathered.is_empty() {
            schedule.no_news();
        }
    }

    fn take(&mut self, reading: &Reading, out: &mut Outputs) {
        let AdaptiveRate { plan, weights, context, schedule, series, gathered } = self;
        let (id, time) = (reading.series, reading.time);
        let schedule = schedule.get_or_insert_with(|| Schedule::new(time, plan));
        let one =
            series.get_or_insert_with(id, || described(context, weights, id, Kept::default()));
        if one.kept.last.is_some_and(|last| time < last) || time < schedule.start() - plan.lateness
        {
            out.reading(LATE, reading.clone());
            return;
        }
        one.kept.last = Some(time);
        if gathered.is_empty() {
            schedule.skip_empty(time);
        }
        schedule.note(time);
        match &mut one.kept.window {
            Some(window) => window.add(reading),
            none => {
                *none = Some(Accumulator::new(reading));
                gathered.push(id);
            }
        }
        if plan.measures {
            one.kept.unrest.get_or_insert_default().add(reading, one.monotonic);
        }
        if reading.is_news() && plan.urgent && one.weight > 0.0 && schedule.news(plan) {
            let at = schedule.clock();
            self.close(at, Cause::Urgent, out);
        }
    }
}

impl Transform for AdaptiveRate {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            self.close_due(reading.time, out);
            self.take(reading, out);
        }
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        // Periods without readings pass unheard.
        let schedule = self.schedule.as_ref().filter(|_| !self.gathered.is_empty())?;
        Some(schedule.next_close(&self.plan).0)
    }

    fn tick_lead(&self) -> Option<Duration> {
        // The first reading after a pause can come an instant before the heartbeat.
        Some(Duration::ZERO)
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.close_due(now, out);
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        if let Some(schedule) = self.schedule.as_ref().filter(|_| !self.gathered.is_empty()) {
            let at = schedule.clock();
            self.close(at, Cause::End, out);
        }
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.close_for(silent, out);
        for id in silent {
            self.series.remove(*id);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let mut stored = SeriesMap::new();
        for (id, one) in self.series.iter() {
            stored.insert(id, &one.kept);
        }
        State::of_series(STATE_VERSION, &stored, &(&self.schedule, self.judgement()))
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (mut all, (mut schedule, judged)) =
            state.read_series::<Kept, (Option<Schedule>, Judgement)>(STATE_VERSION)?;
        let mut series = SeriesMap::new();
        let (mut gathered, mut news) = (Vec::new(), false);
        for (id, kept) in all.iter_mut() {
            if kept.unrest.as_ref().is_some_and(|unrest| !unrest.is_whole()) {
                return Err(StateError::Damaged("a series' last readings do not fit".into()));
            }
            let mut one = described(&self.context, &self.weights, id, std::mem::take(kept));
            if !self.plan.measures {
                one.kept.unrest = None;
            }
            if let Some(window) = &one.kept.window {
                gathered.push(id);
                news |= one.weight > 0.0 && window.summary(id).score >= NEWS;
            }
            series.insert(id, one);
        }
        if let Some(schedule) = &mut schedule {
            schedule.fit(&self.plan, news, judged == self.judgement());
        }
        (self.schedule, self.series, self.gathered) = (schedule, series, gathered);
        Ok(())
    }
}
