//! Windows of readings that follow one another, ended by a pause.

use std::borrow::Cow;

use smollama_engine::batch::Batch;
use smollama_engine::duration::Duration;
use smollama_engine::node::{NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Accumulator, Cause};

use super::LATE;
use super::emitter::Emitter;
use super::spans::in_calendar;
use super::stored::{self, Held, Part, Shape, Stored};

/// The node.
pub(super) struct SessionWindows {
    pauses: Pauses,
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
    idle: Duration,
}

/// The open sessions of one series.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    /// The time of the latest reading.
    seen: Timestamp,
    /// The end of the last session that this series is past: what is older is late.
    past: Timestamp,
    /// Oldest first; one, unless readings come out of order.
    sessions: Vec<Session>,
}

#[derive(Debug, Clone, PartialEq)]
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

    /// When a session is emitted though its series is not past it.
    fn due(&self, session: &Session) -> Timestamp {
        let (end, _) = self.end(&session.sum);
        end.saturating_add(self.lateness).max(session.touched.saturating_add(self.idle))
    }

    fn is_past(&self, end: Timestamp, seen: Timestamp) -> bool {
        end.saturating_add(self.lateness) <= seen
    }

    /// Whether readings from `first` to `last` can be one session as long as it may be.
    fn fits(&self, first: Timestamp, last: Timestamp) -> bool {
        self.longest.is_none_or(|longest| last.since(first) < longest)
    }

    /// Whether a session goes on in the next one.
    fn joins(&self, sum: &Accumulator, next: &Accumulator) -> bool {
        next.first_time() < sum.last_time().saturating_add(self.gap)
            && self.fits(sum.first_time(), next.last_time())
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
            pauses: Pauses { gap, longest, lateness, idle },
            series: SeriesMap::new(),
            emitter,
            due: Timestamp::MAX,
        }
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
            self.due = self.due.min(self.pauses.due(&session));
            let place = open.sessions.partition_point(|one| one.sum.first_time() < time);
            open.sessions.insert(place, session);
            return;
        };
        open.add(place, reading, now, &self.pauses);
        // One that begins earlier is full earlier.
        let began = open.sessions.get(place).filter(|session| session.sum.first_time() == time);
        self.due = began.map_or(self.due, |session| self.due.min(self.pauses.due(session)));
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
        let pauses = self.pauses;
        for (id, open) in self.series.iter_mut() {
            open.sessions.retain(|session| {
                let at = pauses.due(session);
                if choose(at) {
                    chosen.push((session.sum.first_time(), id, session.clone()));
                    return false;
                }
                due = due.min(at);
                true
            });
        }
        self.due = due;
        self.emit_chosen(chosen, ended, out);
    }

    fn emit_chosen(
        &mut self,
        mut chosen: Vec<(Timestamp, SeriesId, Session)>,
        ended: Option<Cause>,
        out: &mut Outputs,
    ) {
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
        let joins = match self.sessions.get(place..) {
            Some([session, next, ..]) => pauses.joins(&session.sum, &next.sum),
            _ => false,
        };
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
        self.emitter.emit_left(out);
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
        let due = Some(self.due).filter(|&due| due < Timestamp::MAX);
        due.into_iter().chain(self.emitter.left_due()).min()
    }

    fn tick_lead(&self) -> Option<Duration> {
        Some(self.pauses.idle)
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.emitter.emit_left(out);
        self.emit(None, out, |due| due <= now);
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.emitter.emit_left(out);
        self.emit(Some(Cause::End), out, |_| true);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.emitter.emit_left(out);
        let mut chosen = Vec::new();
        for id in &*silent {
            let sessions = self.series.remove(*id).map(|open| open.sessions);
            let sessions = sessions.into_iter().flatten();
            chosen.extend(sessions.map(|session| (session.sum.first_time(), *id, session)));
        }
        self.emit_chosen(chosen, Some(Cause::End), out);
        self.emitter.forget(silent);
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let series = self.series.iter().map(|(id, open)| {
            let part = |session: &'_ Session| Part {
                start: session.sum.first_time(),
                end: self.pauses.end(&session.sum).0,
                touched: session.touched,
                number: 0,
                sum: Cow::Owned(session.sum.clone()),
            };
            let parts = open.sessions.iter().map(part).collect();
            (id, Held { seen: open.seen, past: open.past, since: 0, parts })
        });
        let shape = Shape::Gap { gap: self.pauses.gap, longest: self.pauses.longest };
        stored::write(shape, series, Vec::new(), self.emitter.left())
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let mut stored = Stored::read(state)?;
        let Pauses { gap, longest, .. } = self.pauses;
        let same = stored.shape == Shape::Gap { gap, longest };
        let were_sessions = matches!(stored.shape, Shape::Gap { .. });
        // A session stays one. Of other windows it is only known that no pause in them is longer than they are.
        stored.carry(&self.emitter, false, |part| {
            let (first, last) = (part.sum.first_time(), part.sum.last_time());
            (were_sessions || last < first.saturating_add(gap)) && self.pauses.fits(first, last)
        });
        let latest = stored.latest();
        self.emitter.leave(stored.left, latest);
        for (id, held) in stored.series {
            let mut open = Open { seen: held.seen, past: held.past, sessions: Vec::new() };
            for part in held.parts {
                let session = Session { sum: part.sum.into_owned(), touched: part.touched };
                match open.sessions.last_mut() {
                    Some(last) if !same && self.pauses.joins(&last.sum, &session.sum) => {
                        last.sum.merge(&session.sum);
                        last.touched = last.touched.max(session.touched);
                    }
                    _ => open.sessions.push(session),
                }
            }
            self.due =
                open.sessions.iter().map(|one| self.pauses.due(one)).fold(self.due, Timestamp::min);
            self.series.insert(id, open);
        }
        Ok(())
    }
}
