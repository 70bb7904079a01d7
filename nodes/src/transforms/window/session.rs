//! Windows of readings that follow one another, ended by a pause.

use serde::{Deserialize, Serialize};
use smollama_engine::batch::Batch;
use smollama_engine::duration::Duration;
use smollama_engine::node::{NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Accumulator, Cause};

use super::emitter::Emitter;
use super::spans::in_calendar;
use super::{LATE, STATE_VERSION, same_shape};

const SHAPE: &str = "gap";

/// The node.
pub(super) struct SessionWindows {
    pauses: Pauses,
    idle: Duration,
    series: SeriesMap<Open>,
    emitter: Emitter,
    /// Not after the time when the first session is due.
    due: Timestamp,
}

/// What ends a session.
#[derive(Debug, Clone, Copy)]
struct Pauses {
    gap: Duration,
    longest: Option<Duration>,
    lateness: Duration,
}

/// The open sessions of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    /// The time of the latest reading.
    seen: Timestamp,
    /// The end of the last session that this series is past: what is older is late.
    past: Timestamp,
    /// Oldest first; one, unless readings come out of order.
    sessions: Vec<Session>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    sum: Accumulator,
    /// When its last reading came, by the host's clock.
    touched: Timestamp,
}

impl Pauses {
    /// The first instant after a session, and why it ends there.
    fn end(&self, sum: &Accumulator) -> (Timestamp, Cause) {
        let paused = sum.last_time().saturating_add(self.gap);
        match self.longest.map(|longest| sum.first_time().saturating_add(longest)) {
            Some(full) if full < paused => (full, Cause::Time),
            _ => (paused, Cause::Session),
        }
    }

    fn is_past(&self, end: Timestamp, seen: Timestamp) -> bool {
        end.saturating_add(self.lateness) <= seen
    }

    /// Whether readings from `first` to `last` can be one session as long as it may be.
    fn fits(&self, first: Timestamp, last: Timestamp) -> bool {
        self.longest.is_none_or(|longest| last.since(first) < longest)
    }

    /// Whether a reading at `time` belongs to a session.
    fn takes(&self, sum: &Accumulator, time: Timestamp) -> bool {
        time < sum.last_time().saturating_add(self.gap)
            && sum.first_time() < time.saturating_add(self.gap)
            && self.fits(sum.first_time().min(time), sum.last_time().max(time))
    }
}

impl SessionWindows {
    pub(super) fn new(
        gap: Duration,
        longest: Option<Duration>,
        lateness: Duration,
        idle: Duration,
        emitter: Emitter,
    ) -> SessionWindows {
        SessionWindows {
            pauses: Pauses { gap, longest, lateness },
            idle,
            series: SeriesMap::new(),
            emitter,
            due: Timestamp::MAX,
        }
    }

    fn due(&self, session: &Session) -> Timestamp {
        let (end, _) = self.pauses.end(&session.sum);
        end.saturating_add(self.pauses.lateness).max(session.touched.saturating_add(self.idle))
    }

    fn take(&mut self, now: Timestamp, reading: &Reading, out: &mut Outputs) {
        let time = reading.time;
        let open = self.series.get_or_insert_with(reading.series, || Open {
            seen: time,
            past: Timestamp::MIN,
            sessions: Vec::new(),
        });
        open.seen = open.seen.max(time);
        while let Some(first) = open.sessions.first() {
            let (end, cause) = self.pauses.end(&first.sum);
            if !self.pauses.is_past(end, open.seen) {
                break;
            }
            open.past = open.past.max(end);
            let closed = open.sessions.remove(0);
            let summaries = vec![closed.sum.summary(reading.series)];
            self.emitter.window((closed.sum.first_time(), end), cause, summaries, out);
        }
        let alone = time.saturating_add(self.pauses.gap);
        let place = open.sessions.iter().position(|one| self.pauses.takes(&one.sum, time));
        if time < open.past || place.is_none() && self.pauses.is_past(alone, open.seen) {
            out.reading(LATE, reading.clone());
            return;
        }
        let Some(place) = place else {
            let session = Session { sum: Accumulator::new(reading), touched: now };
            self.due = self
                .due
                .min(alone.saturating_add(self.pauses.lateness).max(now.saturating_add(self.idle)));
            let place = open.sessions.partition_point(|one| one.sum.first_time() < time);
            open.sessions.insert(place, session);
            return;
        };
        open.add(place, reading, now, &self.pauses);
    }

    /// Emits the sessions that `choose` chooses, in the order of their starts.
    fn emit(
        &mut self,
        ended: Option<Cause>,
        out: &mut Outputs,
        choose: impl Fn(Timestamp) -> bool,
    ) {
        let mut chosen: Vec<(Timestamp, SeriesId, Session)> = Vec::new();
        let mut due = Timestamp::MAX;
        let (pauses, idle) = (self.pauses, self.idle);
        for (id, open) in self.series.iter_mut() {
            open.sessions.retain(|session| {
                let (end, _) = pauses.end(&session.sum);
                let at =
                    end.saturating_add(pauses.lateness).max(session.touched.saturating_add(idle));
                if choose(at) {
                    chosen.push((session.sum.first_time(), id, session.clone()));
                    return false;
                }
                due = due.min(at);
                true
            });
        }
        self.due = due;
        chosen.sort_by_cached_key(|(start, id, _)| (*start, self.emitter.series(*id)));
        for (start, id, session) in chosen {
            let (end, cause) = self.pauses.end(&session.sum);
            let summaries = vec![session.sum.summary(id)];
            self.emitter.window((start, end), ended.unwrap_or(cause), summaries, out);
        }
    }
}

impl Open {
    /// Adds a reading to a session, which may close the pause to the next.
    fn add(&mut self, place: usize, reading: &Reading, now: Timestamp, pauses: &Pauses) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        session.sum.add(reading);
        session.touched = now;
        let (last, first) = (session.sum.last_time(), session.sum.first_time());
        let joins = self.sessions.get(place + 1).is_some_and(|next| {
            next.sum.first_time() < last.saturating_add(pauses.gap)
                && pauses.fits(first, next.sum.last_time())
        });
        if joins {
            let next = self.sessions.remove(place + 1);
            if let Some(session) = self.sessions.get_mut(place) {
                session.sum.merge(&next.sum);
            }
        }
    }
}

impl Transform for SessionWindows {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            if in_calendar(reading.time) {
                self.take(now.max(reading.time), reading, out);
            } else {
                out.reading(LATE, reading.clone());
            }
        }
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        (self.due < Timestamp::MAX).then_some(self.due)
    }

    fn tick_lead(&self) -> Option<Duration> {
        Some(self.idle)
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.emit(None, out, |due| due <= now);
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.emit(Some(Cause::End), out, |_| true);
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.series, &SHAPE)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (series, shape) = state.read_series::<Open, String>(STATE_VERSION)?;
        same_shape(&shape, SHAPE)?;
        self.series = series;
        let sessions = self.series.iter().flat_map(|(_, open)| &open.sessions);
        self.due = sessions.map(|one| self.due(one)).min().unwrap_or(Timestamp::MAX);
        Ok(())
    }
}
