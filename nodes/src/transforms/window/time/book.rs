//! Which spans are open, which series are in them, and when they are emitted.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::node::{Outputs, StateError};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Cause, Summary};

use super::series::{Open, Pane};
use crate::transforms::window::SUMMARIES_MAX;
use crate::transforms::window::emitter::Emitter;

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
        (self.waiting > 0 && self.due < Timestamp::MAX).then_some(self.due)
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
            self.emit_panes(Cause::Time, series, out, |book, pane| {
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
            self.emit_panes(cause, series, out, |_, _| true);
            return;
        }
        while let Some((&start, _)) = self.spans.first_key_value() {
            self.emit_open(start, cause, series, out);
        }
    }

    /// Emits the panes that `choose` chooses, each as a window, in the order of their starts.
    fn emit_panes(
        &mut self,
        cause: Cause,
        series: &mut SeriesMap<Open>,
        out: &mut Outputs,
        mut choose: impl FnMut(&mut Book, &Pane) -> bool,
    ) {
        let mut chosen = Vec::new();
        for (id, open) in series.iter() {
            chosen.extend(
                open.panes().filter(|pane| choose(self, pane)).map(|pane| (pane.start, id)),
            );
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

    /// The written form: series by their place in the table that is written beside it.
    pub(super) fn stored(&self, series: &SeriesMap<Open>) -> Vec<StoredSpan> {
        let places: HashMap<SeriesId, u32> = series.iter().map(|(id, _)| id).zip(0..).collect();
        let member =
            |(id, summary): &(SeriesId, Option<Summary>)| Some((*places.get(id)?, summary.clone()));
        self.spans
            .iter()
            .map(|(&start, span)| StoredSpan {
                start,
                end: span.end,
                touched: span.touched,
                members: span.members.iter().filter_map(member).collect(),
            })
            .collect()
    }

    /// Counts a pane of the state.
    pub(super) fn reopen(&mut self, pane: &Pane) {
        self.waiting += 1;
        self.due = self.due.min(self.due(pane.end, pane.touched));
    }

    /// Takes the spans of a state whose panes were reopened.
    pub(super) fn restore(
        &mut self,
        stored: Vec<StoredSpan>,
        series: &[SeriesId],
    ) -> Result<(), StateError> {
        for mut span in stored {
            let mut members = Vec::with_capacity(span.members.len());
            for (place, summary) in std::mem::take(&mut span.members) {
                let Some(&id) = series.get(place as usize) else {
                    return Err(StateError::Damaged(
                        "a span names a series that is not there".into(),
                    ));
                };
                members.push((id, summary.map(|summary| Summary { series: id, ..summary })));
            }
            let pending = members.iter().filter(|(_, summary)| summary.is_none()).count();
            self.waiting += members.len() - pending;
            let StoredSpan { start, end, touched, .. } = span;
            self.spans.insert(start, Span { end, touched, pending, members });
        }
        Ok(())
    }
}

/// The written form of a span.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredSpan {
    start: Timestamp,
    end: Timestamp,
    touched: Timestamp,
    members: Vec<(u32, Option<Summary>)>,
}
