//! What is known of one series: whether it rings, and what of that was told.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::time::Timestamp;

use super::level::{Bands, Level, Steady, Verdict};
use super::rules::Rules;
use super::settings::Flapping;
use crate::transforms::cadence::{Cadence, MissingAfter};
use crate::transforms::made::Made;

/// A deadline that is noticed so much later was not waited for: the host was away, or its clock was set.
const AWAY: Duration = Duration::from_mins(1);
/// How often one alarm is told again: hourly, that is six weeks.
const REMINDERS_MAX: u32 = 1000;

/// Since when something holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Since {
    /// By the reading that began it.
    own: Timestamp,
    /// By the clock when it came.
    clock: Timestamp,
}

/// What port `news` has said last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) rings: bool,
    pub(super) silent: bool,
    pub(super) flapping: bool,
}

impl Told {
    pub(super) fn alarms(self) -> bool {
        self.rings || self.silent
    }
}

/// One series: what most readings touch, apart from the rest, so that the caches hold it for thousands of series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    /// The last reading: its time, when it took effect, its value.
    last: Timestamp,
    heard: Timestamp,
    value: Value,
    /// What it does as long as nothing happens; noted after each reading and look.
    #[serde(skip)]
    steady: Steady,
    pub(super) rest: Box<Rest>,
}

/// What changes where something happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rest {
    cadence: Cadence,
    /// The condition holds, but not yet long enough to ring.
    pending: Option<Since>,
    /// It rings, and has been past the clear level for not yet long enough.
    clearing: Option<Since>,
    rings: bool,
    silent: bool,
    /// Whether it rang when it was looked at last, without what is held down; since when, and until when.
    raw: bool,
    since: Timestamp,
    until: Timestamp,
    /// When it went on and off, by the clock; as many as make it flap.
    changes: VecDeque<Timestamp>,
    flapping: bool,
    /// What port `main` said last.
    shown: Option<bool>,
    pub(super) told: Told,
    /// When quiet ends, where something is still to be told.
    pub(super) held: Option<Timestamp>,
    /// When it is told again, and how often it was.
    remind: Option<Timestamp>,
    reminders: u32,
    /// The time of what was emitted last: nothing goes back behind it.
    latest: Timestamp,
    /// How many texts there were.
    pub(super) texts: u64,
    /// The settings changed since it was looked at.
    #[serde(skip)]
    pub(super) anew: bool,
    /// When it is looked at next without a reading.
    #[serde(skip)]
    pub(super) queued: Option<Timestamp>,
    /// Its series on port `main`.
    #[serde(skip)]
    pub(super) main: Made,
}

impl Watch {
    pub(super) fn new(reading: &Reading, clock: Timestamp) -> Watch {
        Watch {
            last: reading.time,
            heard: clock,
            value: reading.value.clone(),
            steady: Steady::No,
            rest: Box::new(Rest {
                cadence: Cadence::default(),
                pending: None,
                clearing: None,
                rings: false,
                silent: false,
                raw: false,
                since: reading.time,
                until: reading.time,
                changes: VecDeque::new(),
                flapping: false,
                shown: None,
                told: Told::default(),
                held: None,
                remind: None,
                reminders: 0,
                latest: reading.time,
                texts: 0,
                anew: false,
                queued: None,
                main: Made::New,
            }),
        }
    }

    /// Of which only a last value is known, and no reading has come yet: it neither rings nor is silent.
    pub(super) fn primed(value: &Reading, clock: Timestamp) -> Watch {
        // Readings from before may still come.
        let value = Reading { time: Timestamp::MIN, ..value.clone() };
        Watch::new(&value, clock)
    }

    /// Whether no reading has come yet: with the first, port `main` has its first word.
    pub(super) fn is_unheard(&self) -> bool {
        self.rest.shown.is_none()
    }

    pub(super) fn last(&self) -> Timestamp {
        self.last
    }
    pub(super) fn value(&self) -> &Value {
        &self.value
    }
    pub(super) fn since(&self) -> Timestamp {
        self.rest.since
    }
    /// How long it has rung, or did when it last rang.
    pub(super) fn lasted(&self, at: Timestamp) -> Duration {
        if self.rest.raw { at } else { self.rest.until }.since(self.rest.since).rounded()
    }
    pub(super) fn heard(&self) -> Timestamp {
        self.heard
    }

    /// What port `news` should have said.
    pub(super) fn wanted(&self) -> Told {
        Told {
            rings: self.rest.rings || self.rest.flapping,
            silent: self.rest.silent,
            flapping: self.rest.flapping,
        }
    }

    /// Takes a number that changes nothing, if it is one: of a series that has long been where it is, and stays there.
    #[inline]
    pub(super) fn goes_on(&mut self, bands: &Bands, reading: &Reading, clock: Timestamp) -> bool {
        let (Value::Float(x), Value::Float(last)) = (&reading.value, &mut self.value) else {
            return false;
        };
        if !bands.of(self.steady).holds(*x) || reading.time < self.last {
            return false;
        }
        *last = *x;
        (self.last, self.heard) = (reading.time, self.heard.max(clock));
        true
    }

    /// Takes a value that says this and changes nothing, if it is one.
    pub(super) fn stays(&mut self, verdict: Verdict, reading: &Reading, clock: Timestamp) -> bool {
        let stays = self.steady.goes_on(verdict);
        if stays {
            self.note(reading, clock);
        }
        stays
    }

    #[inline]
    fn note(&mut self, reading: &Reading, clock: Timestamp) {
        (self.last, self.heard) = (reading.time, self.heard.max(clock));
        self.value.clone_from(&reading.value);
    }

    /// Notes whether the next readings may change nothing. Silence that is learnt is learnt from each of them.
    pub(super) fn settle(&mut self, rules: &Rules) {
        let moves = self.rest.pending.is_some()
            || self.rest.clearing.is_some()
            || self.rest.silent
            || self.rest.flapping
            || self.is_unsaid()
            || rules.missing == Some(MissingAfter::Learned);
        self.steady = match self.rest.rings {
            _ if moves => Steady::No,
            true => Steady::Rings,
            false => Steady::Quiet,
        };
    }

    /// Whether there is something that a port has not said.
    #[inline]
    pub(super) fn is_unsaid(&self) -> bool {
        let raw = self.rest.rings || self.rest.silent;
        self.rest.raw != raw
            || self.rest.shown != Some(raw || self.rest.flapping)
            || self.rest.told != self.wanted()
    }

    /// What comes out no earlier than this is in order.
    pub(super) fn not_before(&mut self, at: Timestamp) -> Timestamp {
        self.rest.latest = self.rest.latest.max(at);
        self.rest.latest
    }

    /// What the last value led to before a reading of this time came, by the readings' own times: when it began to ring or cleared.
    pub(super) fn outlasted(&mut self, rules: &Rules, time: Timestamp) -> Option<Timestamp> {
        let due = |since: Since, hold| after(since.own, hold).filter(|due| *due <= time);
        if let Some(at) = self.rest.pending.and_then(|since| due(since, rules.hold)) {
            self.ring();
            return Some(at);
        }
        let at = self.rest.clearing.and_then(|since| due(since, rules.clear_hold))?;
        self.clear();
        Some(at)
    }

    /// Takes a reading that is not older than the last one.
    #[inline]
    pub(super) fn hear(
        &mut self,
        rules: &Rules,
        reading: &Reading,
        verdict: Verdict,
        clock: Timestamp,
    ) {
        if rules.missing == Some(MissingAfter::Learned) && !self.is_unheard() {
            self.rest.cadence.note(clock.since(self.heard));
        }
        self.rest.silent = false;
        self.note(reading, clock);
        self.judge(rules, verdict, clock);
    }

    fn judge(&mut self, rules: &Rules, verdict: Verdict, clock: Timestamp) {
        let since = Since { own: self.last, clock };
        match verdict {
            // A change is over at once, and what follows is calm.
            Verdict::Rings if rules.level == Level::Changed => {
                self.ring();
                self.rest.clearing = Some(since);
            }
            Verdict::Rings if self.rest.rings => self.rest.clearing = None,
            Verdict::Rings if rules.hold.is_zero() => self.ring(),
            Verdict::Rings => self.rest.pending = self.rest.pending.or(Some(since)),
            Verdict::Clears if self.rest.rings && rules.clear_hold.is_zero() => self.clear(),
            Verdict::Clears if self.rest.rings => {
                self.rest.clearing = self.rest.clearing.or(Some(since))
            }
            Verdict::Between if self.rest.rings => self.rest.clearing = None,
            Verdict::Clears | Verdict::Between => self.rest.pending = None,
        }
    }

    fn ring(&mut self) {
        (self.rest.rings, self.rest.pending, self.rest.clearing) = (true, None, None);
    }

    fn clear(&mut self) {
        (self.rest.rings, self.rest.pending, self.rest.clearing) = (false, None, None);
    }

    /// When something happens without a reading.
    pub(super) fn due(&self, rules: &Rules) -> Option<Timestamp> {
        if self.rest.anew {
            return Some(self.heard);
        }
        let holds = [(self.rest.pending, rules.hold), (self.rest.clearing, rules.clear_hold)];
        let holds = holds.into_iter().filter_map(|(since, hold)| after(since?.clock, hold));
        let rest =
            [self.silence_due(rules), self.calm_due(rules), self.rest.held, self.rest.remind];
        holds.chain(rest.into_iter().flatten()).min()
    }

    #[inline]
    fn silence_due(&self, rules: &Rules) -> Option<Timestamp> {
        if self.rest.silent || self.is_unheard() {
            return None;
        }
        match rules.missing? {
            MissingAfter::After(span) => after(self.heard, span),
            MissingAfter::Learned => after(self.heard, self.rest.cadence.missing_after()?),
        }
    }

    fn calm_due(&self, rules: &Rules) -> Option<Timestamp> {
        let within = rules.flapping.filter(|_| self.rest.flapping)?.within;
        after(*self.rest.changes.back()?, within)
    }

    /// Does what is due at `now` without a reading, one thing at a time, and says when it happened; `None` when there is no more.
    pub(super) fn elapse(&mut self, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
        if std::mem::take(&mut self.rest.anew) {
            self.judge_anew(rules, now);
            return Some(now);
        }
        // What was not waited for happens when it is noticed.
        let reached = |due: Timestamp| {
            let at = if now.since(due) > AWAY { now } else { due };
            (due <= now).then_some(at)
        };
        let held = |since: Option<Since>, hold| reached(after(since?.clock, hold)?);
        if let Some(at) = held(self.rest.pending, rules.hold) {
            self.ring();
            return Some(at);
        }
        if let Some(at) = held(self.rest.clearing, rules.clear_hold) {
            self.clear();
            return Some(at);
        }
        if let Some(at) = self.calm_due(rules).and_then(reached) {
            self.rest.flapping = false;
            self.rest.changes.clear();
            return Some(at);
        }
        let due = self.silence_due(rules).filter(|due| *due <= now)?;
        if now.since(due) > AWAY {
            // Nobody listened, so nobody knows whether it was silent.
            self.heard = now;
            return None;
        }
        self.rest.silent = true;
        Some(due)
    }

    /// Judges the last value by other settings.
    fn judge_anew(&mut self, rules: &Rules, now: Timestamp) {
        self.rest.silent &= rules.missing.is_some();
        if rules.flapping.is_none() {
            self.rest.flapping = false;
            self.rest.changes.clear();
        }
        if rules.remind.is_none() {
            self.rest.remind = None;
        } else if self.rest.told.alarms() && self.rest.remind.is_none() {
            self.rest.remind = rules.remind.and_then(|span| after(now, span));
        }
        if rules.level == Level::Changed {
            // The last value has stayed the same for as long as it is the last.
            self.rest.pending = None;
            if self.rest.rings && self.rest.clearing.is_none() {
                self.rest.clearing = Some(Since { own: self.last, clock: self.heard });
            }
        } else if let Some(verdict) = rules.level.judge(&self.value, &self.value) {
            self.judge(rules, verdict, now);
        } else {
            self.clear();
        }
    }

    /// What port `main` has to say now, if that is something else than before. Counts how often it went on and off.
    #[inline]
    pub(super) fn show(&mut self, rules: &Rules, at: Timestamp, clock: Timestamp) -> Option<bool> {
        let raw = self.rest.rings || self.rest.silent;
        if raw != self.rest.raw {
            self.rest.raw = raw;
            *(if raw { &mut self.rest.since } else { &mut self.rest.until }) = at;
            if let Some(flapping) = rules.flapping {
                self.note_change(flapping, clock);
            }
        }
        let shows = raw || self.rest.flapping;
        (self.rest.shown != Some(shows)).then(|| {
            self.rest.shown = Some(shows);
            shows
        })
    }

    fn note_change(&mut self, Flapping { changes, within }: Flapping, clock: Timestamp) {
        self.rest.changes.push_back(clock);
        let many = changes as usize;
        while self.rest.changes.len() > many
            || self.rest.changes.front().is_some_and(|first| clock.since(*first) > within)
        {
            self.rest.changes.pop_front();
        }
        self.rest.flapping |= self.rest.changes.len() >= many;
    }

    /// Notes that something was told at `clock`: what alarms is told again later.
    pub(super) fn note_told(&mut self, rules: &Rules, told: Told, clock: Timestamp) {
        self.rest.told = told;
        self.rest.held = None;
        self.rest.reminders = 0;
        self.rest.remind =
            rules.remind.filter(|_| told.alarms()).and_then(|span| after(clock, span));
    }

    /// Whether it is to be told again at `clock`. In quiet hours, which end at `quiet`, that waits.
    pub(super) fn reminds(
        &mut self,
        rules: &Rules,
        clock: Timestamp,
        quiet: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let due = self.rest.remind.filter(|due| *due <= clock)?;
        if quiet.is_some() {
            self.rest.remind = quiet;
            return None;
        }
        let at = if clock.since(due) > AWAY { clock } else { due };
        self.rest.reminders += 1;
        let more = self.rest.reminders < REMINDERS_MAX;
        self.rest.remind = rules.remind.filter(|_| more).and_then(|span| after(at, span));
        Some(at)
    }
}

/// An instant so much later; `None` where there is none.
fn after(time: Timestamp, span: Duration) -> Option<Timestamp> {
    Some(time.saturating_add(span)).filter(|after| *after < Timestamp::MAX)
}
