//! `alarm`: rings when a value is where it should not be for too long, or when a source falls silent.

mod level;
mod news;
mod quiet;
mod rules;
mod settings;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeSet;

pub use self::settings::{AlarmConfig, Flapping};

use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, Reject, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{Series, SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use self::level::{Bands, Verdict};
use self::news::{Event, Voice};
use self::quiet::Quiet;
use self::rules::Rules;
use self::watch::Watch;
use crate::fnv::fnv1a;

const NEWS: usize = 1;
const DROPPED: usize = 2;
const LATE: usize = 3;
const STATE_VERSION: u32 = 1;

impl NodeConfig for AlarmConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "alarm";
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
        Ok(Node::Transform(Box::new(Alarm {
            rules: Rules::new(self),
            quiet: Quiet::new(&self.quiet, &context.host.timezone),
            voice: Voice::new(self.text.as_deref(), context)?,
            settings: fnv1a(format!("{self:?}").as_bytes()),
            series: SeriesMap::new(),
            agenda: BTreeSet::new(),
        })))
    }
}

struct Alarm {
    rules: Rules,
    quiet: Quiet,
    voice: Voice,
    /// A hash of the settings, by which those of a predecessor are known to be others.
    settings: u64,
    series: SeriesMap<Watch>,
    /// When which series is looked at without a reading: an entry for each that has one [queued](Watch::queued). Where a deadline moves
    /// back, as that of silence does with every reading, its entry stays, and moves when it is its turn.
    agenda: BTreeSet<(Timestamp, SeriesId)>,
}

impl Alarm {
    /// Takes a reading, which takes effect at `clock`.
    #[inline]
    fn take(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        let Alarm { rules, series, .. } = self;
        let id = reading.series;
        let Some(watch) = series.get_mut(id) else {
            self.first(reading, clock, out);
            return;
        };
        if reading.time < watch.last() {
            out.reading(LATE, reading.clone());
            return;
        }
        let Some(verdict) = rules.level.judge(&reading.value, watch.value()) else {
            out.reading(DROPPED, reading.clone());
            return;
        };
        if watch.stays(verdict, reading, clock) {
            return;
        }
        if let Some(at) = watch.outlasted(rules, reading.time) {
            self.speak(id, at, clock, out);
        }
        self.hear(reading, verdict, clock, out);
    }

    #[cold]
    fn first(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        match self.rules.level.judge(&reading.value, &reading.value) {
            Some(verdict) => {
                self.series.insert(reading.series, Watch::new(reading, clock));
                self.hear(reading, verdict, clock, out);
            }
            None => out.reading(DROPPED, reading.clone()),
        }
    }

    fn hear(&mut self, reading: &Reading, verdict: Verdict, clock: Timestamp, out: &mut Outputs) {
        let Alarm { rules, series, .. } = self;
        let id = reading.series;
        let Some(watch) = series.get_mut(id) else { return };
        watch.hear(rules, reading, verdict, clock);
        if watch.is_unsaid() {
            self.speak(id, reading.time, clock, out);
        }
        self.plan(id);
    }

    /// Looks at a series without a reading.
    fn look(&mut self, id: SeriesId, now: Timestamp, out: &mut Outputs) {
        loop {
            let Alarm { rules, series, .. } = self;
            let Some(watch) = series.get_mut(id) else { return };
            let Some(at) = watch.elapse(rules, now) else { break };
            self.speak(id, at, now, out);
        }
        let Alarm { rules, quiet, voice, series, .. } = self;
        let Some(watch) = series.get_mut(id) else { return };
        if let Some(end) = watch.rest.held
            && end <= now
        {
            watch.rest.held = None;
            self.speak(id, end, now, out);
        } else if let Some(at) = watch.reminds(rules, now, quiet.end(now)) {
            let at = watch.not_before(at);
            out.observation(NEWS, voice.tell(rules, Event::Remind, (id, watch), at));
        }
        self.plan(id);
    }

    /// Emits what changed of a series, but for what is held back while it is quiet. `at` is when it did, and `clock` the time.
    fn speak(&mut self, id: SeriesId, at: Timestamp, clock: Timestamp, out: &mut Outputs) {
        let Alarm { rules, quiet, voice, series, .. } = self;
        let Some(watch) = series.get_mut(id) else { return };
        if let Some(shows) = watch.show(rules, at, clock)
            && let Some(main) = main_series(watch, voice.context(), id, out)
        {
            let at = watch.not_before(at);
            out.reading(MAIN, Reading::new(at, main, shows));
        }
        if watch.rest.told == watch.wanted() {
            return;
        }
        if watch.rest.held.is_none_or(|end| end <= clock) {
            watch.rest.held = quiet.end(clock);
        }
        if watch.rest.held.is_none() {
            self.tell(id, at, clock, out);
        }
    }

    /// Tells what was not told yet.
    #[cold]
    fn tell(&mut self, id: SeriesId, at: Timestamp, clock: Timestamp, out: &mut Outputs) {
        let Alarm { rules, voice, series, .. } = self;
        let Some(watch) = series.get_mut(id) else { return };
        let (told, wanted) = (watch.rest.told, watch.wanted());
        let at = watch.not_before(at);
        let rises = |was: bool, is: bool| is && !was;
        let events = [
            (rises(told.flapping, wanted.flapping), Event::Flapping),
            (rises(told.rings, wanted.rings) && !wanted.flapping, Event::Ring),
            (rises(told.silent, wanted.silent), Event::Missing),
            (rises(wanted.rings, told.rings), Event::Clear),
            // Where it clears with its first word, that says all.
            (rises(wanted.silent, told.silent) && told.rings == wanted.rings, Event::Back),
        ];
        for (_, event) in events.into_iter().filter(|(happened, _)| *happened) {
            out.observation(NEWS, voice.tell(rules, event, (id, watch), at));
        }
        watch.note_told(rules, wanted, clock);
    }

    /// Notes when a series is to be looked at.
    fn plan(&mut self, id: SeriesId) {
        let Alarm { rules, series, agenda, .. } = self;
        let Some(watch) = series.get_mut(id) else { return };
        watch.settle(rules);
        let Some(due) = watch.due(rules) else { return };
        if watch.rest.queued.is_none_or(|queued| due < queued) {
            if let Some(queued) = watch.rest.queued.replace(due) {
                agenda.remove(&(queued, id));
            }
            agenda.insert((due, id));
        }
    }

    /// The series whose look is due first, at or before `now`: all of one instant, in an order that is the same in every process.
    fn due_first(&mut self, now: Timestamp) -> Option<Vec<SeriesId>> {
        let Alarm { voice, series, agenda, .. } = self;
        let first = agenda.first().map(|(due, _)| *due).filter(|due| *due <= now)?;
        let mut ids = Vec::new();
        while let Some((_, id)) = agenda.first().copied().filter(|(due, _)| *due == first) {
            agenda.pop_first();
            if let Some(watch) = series.get_mut(id) {
                watch.rest.queued = None;
                ids.push(id);
            }
        }
        ids.sort_by_cached_key(|id| voice.context().series(*id));
        Some(ids)
    }
}

/// Takes the readings from the front that change nothing, and says how many these are. Apart from the rest, so that what is the same for all
/// of them is looked up once.
#[inline(never)]
fn go_on(
    bands: &Bands,
    series: &mut SeriesMap<Watch>,
    readings: &[Reading],
    clock: &mut Timestamp,
) -> usize {
    let mut gone_on = 0;
    let mut at = *clock;
    for reading in readings {
        let Some(watch) = series.get_mut(reading.series) else { break };
        let now = at.max(reading.time);
        if !watch.goes_on(bands, reading, now) {
            break;
        }
        at = now;
        gone_on += 1;
    }
    *clock = at;
    gone_on
}

/// What port `main` says has no unit.
fn on_or_off(mut series: Series) -> Series {
    series.unit = None;
    series
}

/// The series on port `main` that belongs to an input.
fn main_series(
    watch: &mut Watch,
    context: &Context,
    id: SeriesId,
    out: &mut Outputs,
) -> Option<SeriesId> {
    watch.rest.main.or_make(out, || {
        context.derived_series(id, on_or_off).map_err(|error| {
            let origin = context.series(id).source.name().to_owned();
            let reason = format!("its alarm is only told on port `news`: {error}");
            Reject { reason, origin, bytes: Vec::new() }
        })
    })
}

impl Transform for Alarm {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let (mut clock, mut readings) = (now, batch.readings());
        loop {
            let gone_on = go_on(&self.rules.bands, &mut self.series, readings, &mut clock);
            let Some((reading, more)) = readings[gone_on..].split_first() else { return Ok(()) };
            clock = clock.max(reading.time);
            self.take(reading, clock, out);
            readings = more;
        }
    }

    fn prime(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        let Alarm { rules, series, .. } = self;
        for reading in batch.readings() {
            if rules.level.judge(&reading.value, &reading.value).is_some() {
                series.get_or_insert_with(reading.series, || Watch::primed(reading, now));
            }
        }
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.agenda.first().map(|(due, _)| *due)
    }

    fn tick_lead(&self) -> Option<Duration> {
        if !self.quiet.is_empty() {
            // What rings in the last instant of quiet hours is told in the next.
            return Some(Duration::ZERO);
        }
        // Without a deadline it ticks once, after its settings have changed.
        Some(self.rules.shortest().unwrap_or(Duration::from_days(1)))
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        while let Some(ids) = self.due_first(now) {
            ids.into_iter().for_each(|id| self.look(id, now, out));
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
            let id = silent[at];
            // There is no morning on which it could be told.
            if self.series.get(id).is_some_and(|watch| watch.rest.told != watch.wanted()) {
                self.tell(id, now, now, out);
            }
            let Some(watch) = self.series.remove(id) else { continue };
            if let Some(queued) = watch.rest.queued {
                self.agenda.remove(&(queued, id));
            }
            silent.extend(self.voice.context().known_derived_series(id, on_or_off));
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.series, &self.settings)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (series, settings) = state.read_series::<Watch, u64>(STATE_VERSION)?;
        self.series = series;
        self.agenda.clear();
        let ids: Vec<SeriesId> = self.series.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(watch) = self.series.get_mut(id) {
                watch.rest.anew = settings != self.settings && !watch.is_unheard();
            }
            self.plan(id);
        }
        Ok(())
    }
}
