//! Which spans are open, which series are in them, and when they are emitted.

use std::collections::BTreeMap;

use smollama_engine::duration::Duration;
use smollama_engine::node::{Outputs, StateError};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Cause, Summary, Window};

use super::series::{Open, Pane};
use crate::transforms::window::SUMMARIES_MAX;
use crate::transforms::window::emitter::Emitter;
use crate::transforms::window::stored::{self, Stored};

/// The open spans.
#[derive(Debug)]
pub(super) struct Book {
    lateness: Duration,
    idle: Duration,
    group: bool,
    emitter: Emitter,
    /// By start. Empty where each series has windows of its own: then its panes say all there is.
    spans: BTreeMap<Timestamp, Span>,
    /// Summaries and panes in open spans.
    waiting: usize,
    /// How many of them there may be where series share windows.
    waiting_max: usize,
    /// Not after the time when the first span is due.
    due: Timestamp,
}

#[derive(Debug)]
struct Span {
    end: Timestamp,
    /// When its last reading came of a series that is past it.
    touched: Timestamp,
    /// How many of its series are not past it.
    pending: usize,
    /// Its series, in the order in which they came, each with its summary once it is past.
    members: Vec<(SeriesId, Option<Summary>)>,
}

impl Book {
    pub(super) fn new(lateness: Duration, idle: Duration, group: bool, emitter: Emitter) -> Book {
        Book {
            lateness,
            idle,
            group,
            emitter,
            spans: BTreeMap::new(),
            waiting: 0,
            waiting_max: SUMMARIES_MAX,
            due: Timestamp::MAX,
        }
    }

    /// How long a span waits, at the least, after a reading.
    pub(super) fn idle(&self) -> Duration {
        self.idle
    }

    /// With another limit to what waits.
    #[cfg(test)]
    pub(super) fn limit(&mut self, waiting_max: usize) {
        self.waiting_max = waiting_max;
    }

    /// How many summaries and panes wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// When a span is emitted though not all of its series are past it.
    fn due(&self, end: Timestamp, touched: Timestamp) -> Timestamp {
        end.saturating_add(self.lateness).max(touched.saturating_add(self.idle))
    }

    /// Notes that a series has its first reading in a span, and gives its place there.
    pub(super) fn open(
        &mut self,
        series: SeriesId,
        start: Timestamp,
        end: Timestamp,
        now: Timestamp,
    ) -> u32 {
        self.waiting += 1;
        self.due = self.due.min(self.due(end, now));
        if !self.group {
            return 0;
        }
        let span = self.spans.entry(start).or_insert_with(|| Span {
            end,
            touched: now,
            pending: 0,
            members: Vec::new(),
        });
        span.pending += 1;
        span.members.push((series, None));
        // There are never more members than series, which are numbered so.
        (span.members.len() - 1) as u32
    }

    /// Notes that a series is past a span, and emits it if it was the last.
    pub(super) fn close(&mut self, series: SeriesId, pane: Pane, out: &mut Outputs) {
        let summary = pane.summary(series);
        if !self.group {
            self.waiting -= 1;
            self.emitter.window((pane.start, pane.end), Cause::Time, vec![summary], out);
            return;
        }
        let Some(span) = self.spans.get_mut(&pane.start) else { return };
        if let Some(member) = span.members.get_mut(pane.member as usize) {
            member.1 = Some(summary);
        }
        span.touched = span.touched.max(pane.touched);
        span.pending -= 1;
        if span.pending == 0
            && let Some(span) = self.spans.remove(&pane.start)
        {
            self.emit(pane.start, span, Cause::Time, out);
        }
    }

    /// Emits a span all of whose members have their summaries.
    fn emit(&mut self, start: Timestamp, span: Span, cause: Cause, out: &mut Outputs) {
        self.waiting -= span.members.len();
        let summaries = span.members.into_iter().filter_map(|(_, summary)| summary).collect();
        self.emitter.window((start, span.end), cause, summaries, out);
    }

    /// Emits a span as it is: the series that are not past it give what they have.
    fn emit_open(
        &mut self,
        start: Timestamp,
        cause: Cause,
        series: &mut SeriesMap<Open>,
        out: &mut Outputs,
    ) {
        let Some(mut span) = self.spans.remove(&start) else { return };
        for (id, summary) in span.members.iter_mut().filter(|(_, summary)| summary.is_none()) {
            let pane = series.get_mut(*id).and_then(|open| open.take(start));
            *summary = pane.map(|pane| pane.summary(*id));
        }
        self.emit(start, span, cause, out);
    }

    /// Emits the oldest span where too much waits.
    #[inline]
    pub(super) fn keep_small(&mut self, series: &mut SeriesMap<Open>, out: &mut Outputs) {
        while self.waiting > self.waiting_max
            && let Some((&start, _)) = self.spans.first_key_value()
        {
            self.emit_open(start, Cause::Time, series, out);
        }
    }

    pub(super) fn next_tick(&self) -> Option<Timestamp> {
        let due = Some(self.due).filter(|&due| self.waiting > 0 && due < Timestamp::MAX);
        due.into_iter().chain(self.emitter.left_due()).min()
    }

    /// Emits the spans that are due, oldest first, and finds out when the next one is.
    pub(super) fn emit_due(
        &mut self,
        now: Timestamp,
        series: &mut SeriesMap<Open>,
        out: &mut Outputs,
    ) {
        self.due = Timestamp::MAX;
        if !self.group {
            self.emit_panes(Cause::Time, None, series, out, |book, pane| {
                let due = book.due(pane.end, pane.touched);
                if due > now {
                    book.due = book.due.min(due);
                }
                due <= now
            });
            return;
        }
        let mut emit = Vec::new();
        for (&start, span) in &self.spans {
            let mut due = self.due(span.end, span.touched);
            if due <= now {
                let pending = span.members.iter().filter(|(_, summary)| summary.is_none());
                let panes = pending.filter_map(|(id, _)| series.get(*id)?.pane(start));
                let touched = panes.map(|pane| pane.touched).max();
                due = due.max(self.due(span.end, touched.unwrap_or(span.touched)));
            }
            if due <= now {
                emit.push(start);
            } else {
                self.due = self.due.min(due);
            }
        }
        for start in emit {
            self.emit_open(start, Cause::Time, series, out);
        }
    }

    /// Emits everything, oldest first.
    pub(super) fn emit_all(
        &mut self,
        cause: Cause,
        series: &mut SeriesMap<Open>,
        out: &mut Outputs,
    ) {
        self.due = Timestamp::MAX;
        if !self.group {
            self.emit_panes(cause, None, series, out, |_, _| true);
            return;
        }
        while let Some((&start, _)) = self.spans.first_key_value() {
            self.emit_open(start, cause, series, out);
        }
    }

    /// Emits what open spans have of some series, as windows of their own; the spans go on without them.
    pub(super) fn forget(
        &mut self,
        silent: &[SeriesId],
        series: &mut SeriesMap<Open>,
        out: &mut Outputs,
    ) {
        if !self.group {
            return self.emit_panes(Cause::End, Some(silent), series, out, |_, _| true);
        }
        let mut leaving: SeriesMap<()> = SeriesMap::new();
        for id in silent {
            leaving.insert(*id, ());
        }
        for (start, mut span) in std::mem::take(&mut self.spans) {
            let members = std::mem::take(&mut span.members);
            let mut left = Vec::new();
            for (id, summary) in members {
                if leaving.get(id).is_some() {
                    self.waiting -= 1;
                    span.pending -= usize::from(summary.is_none());
                    let pane = series.get_mut(id).and_then(|open| open.take(start));
                    left.extend(summary.or_else(|| Some(pane?.summary(id))));
                    continue;
                }
                if summary.is_none()
                    && let Some(pane) = series.get_mut(id).and_then(|open| open.pane_mut(start))
                {
                    // Never more than series, which are numbered so.
                    pane.member = span.members.len() as u32;
                }
                span.members.push((id, summary));
            }
            if !left.is_empty() {
                self.emitter.window((start, span.end), Cause::End, left, out);
            }
            if span.pending > 0 {
                self.spans.insert(start, span);
            } else if !span.members.is_empty() {
                self.emit(start, span, Cause::Time, out);
            }
        }
    }

    /// As [`Emitter::forget`].
    pub(super) fn forget_derived(&mut self, silent: &mut Vec<SeriesId>) {
        self.emitter.forget(silent);
    }

    /// Emits the panes that `choose` chooses, of some series or of all, each as a window, in the order of their starts.
    fn emit_panes(
        &mut self,
        cause: Cause,
        of: Option<&[SeriesId]>,
        series: &mut SeriesMap<Open>,
        out: &mut Outputs,
        mut choose: impl FnMut(&mut Book, &Pane) -> bool,
    ) {
        let mut chosen = Vec::new();
        let mut look = |id: SeriesId, open: &Open| {
            let panes = open.panes().filter(|pane| choose(self, pane));
            chosen.extend(panes.map(|pane| (pane.start, id)));
        };
        match of {
            Some(some) => {
                some.iter().for_each(|id| series.get(*id).into_iter().for_each(|it| look(*id, it)));
            }
            None => series.iter().for_each(|(id, open)| look(id, open)),
        }
        chosen.sort_by_cached_key(|(start, id)| (*start, self.emitter.series(*id)));
        for (start, id) in chosen {
            if let Some(pane) = series.get_mut(id).and_then(|open| open.take(start)) {
                self.waiting -= 1;
                let summaries = vec![pane.summary(id)];
                self.emitter.window((pane.start, pane.end), cause, summaries, out);
            }
        }
    }

    /// The spans that several series share, for the written form.
    pub(super) fn stored(&self) -> Vec<stored::Span> {
        let span = |(&start, span): (&Timestamp, &Span)| stored::Span {
            start,
            end: span.end,
            touched: span.touched,
            members: span.members.clone(),
        };
        self.spans.iter().map(span).collect()
    }

    pub(super) fn emitter(&self) -> &Emitter {
        &self.emitter
    }

    /// Takes windows that are to come before all others.
    pub(super) fn leave(&mut self, left: Vec<Window>, due: Timestamp) {
        self.emitter.leave(left, due);
    }

    pub(super) fn left(&self) -> &[Window] {
        self.emitter.left()
    }

    #[inline]
    pub(super) fn emit_left(&mut self, out: &mut Outputs) {
        self.emitter.emit_left(out);
    }

    /// Goes on with spans like its own, whose panes are those of the series. `was_group`: whether series shared them.
    pub(super) fn restore(
        &mut self,
        stored: Stored,
        was_group: bool,
        series: &mut SeriesMap<Open>,
    ) -> Result<(), StateError> {
        let latest = stored.latest();
        let mut left = stored.left;
        let (mut spans, mut panes, mut due) = (BTreeMap::new(), 0, Timestamp::MAX);
        for pane in series.iter().flat_map(|(_, open)| open.panes()) {
            panes += 1;
            due = due.min(self.due(pane.end, pane.touched));
        }
        let mut waiting = panes;
        if !self.group {
            // What its series are past waited for others, which it no longer does.
            left.extend(stored.spans.into_iter().flat_map(|span| {
                let stored::Span { start, end, members, .. } = span;
                let summaries = members.into_iter().filter_map(|(_, summary)| summary);
                summaries.map(move |summary| Window {
                    start,
                    end,
                    cause: Cause::Time,
                    summaries: vec![summary],
                })
            }));
        } else if was_group {
            let mut pending_panes = 0;
            for stored::Span { start, end, touched, members } in stored.spans {
                let is_whole = |(place, (id, summary)): (usize, &(SeriesId, Option<Summary>))| {
                    let pane = series.get(*id).and_then(|open| open.pane(start));
                    summary.is_some() || pane.is_some_and(|pane| pane.member as usize == place)
                };
                if !members.iter().enumerate().all(is_whole) {
                    return Err(StateError::Damaged("a window lacks one of its series".into()));
                }
                let pending = members.iter().filter(|(_, summary)| summary.is_none()).count();
                pending_panes += pending;
                waiting += members.len() - pending;
                spans.insert(start, Span { end, touched, pending, members });
            }
            if pending_panes != panes {
                return Err(StateError::Damaged("a series lacks one of its windows".into()));
            }
        } else {
            spans = self.group(series);
        }
        self.emitter.leave(left, latest);
        (self.spans, self.waiting, self.due) = (spans, waiting, due);
        Ok(())
    }

    /// Brings the panes of series that had windows of their own into windows that they share.
    fn group(&self, series: &mut SeriesMap<Open>) -> BTreeMap<Timestamp, Span> {
        let mut panes = Vec::new();
        for (id, open) in series.iter() {
            panes.extend(open.panes().map(|pane| (pane.start, pane.first_time(), id)));
        }
        panes.sort_by_cached_key(|(start, first, id)| (*start, *first, self.emitter.series(*id)));
        let mut spans: BTreeMap<Timestamp, Span> = BTreeMap::new();
        for (start, _, id) in panes {
            let Some(pane) = series.get_mut(id).and_then(|open| open.pane_mut(start)) else {
                continue;
            };
            let span = spans.entry(start).or_insert_with(|| Span {
                end: pane.end,
                touched: pane.touched,
                pending: 0,
                members: Vec::new(),
            });
            pane.member = span.members.len() as u32;
            span.pending += 1;
            span.members.push((id, None));
        }
        spans
    }
}
