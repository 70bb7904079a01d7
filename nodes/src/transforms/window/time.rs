//! Windows of a length of time, one after another or overlapping.

mod book;
mod series;

use smollama_engine::batch::Batch;
use smollama_engine::duration::Duration;
use smollama_engine::node::{NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;
use smollama_engine::window::Cause;

use self::book::Book;
use self::series::{Open, Pane};
use super::LATE;
use super::emitter::Emitter;
use super::spans::{Holding, Spans};
use super::stored::{self, Held, Stored};

/// The node.
pub(super) struct TimeWindows {
    spans: Spans,
    lateness: Duration,
    series: SeriesMap<Open>,
    book: Book,
    group: bool,
    /// Kept so that looking for spans allocates nothing.
    holding: Holding,
}

impl TimeWindows {
    pub(super) fn new(
        spans: Spans,
        lateness: Duration,
        idle: Duration,
        group: bool,
        emitter: Emitter,
    ) -> TimeWindows {
        TimeWindows {
            spans,
            lateness,
            series: SeriesMap::new(),
            book: Book::new(lateness, idle, group, emitter),
            group,
            holding: Holding::default(),
        }
    }

    /// A reading that opens a window, closes one, or is late.
    #[inline(never)]
    fn turn(&mut self, now: Timestamp, reading: &Reading, out: &mut Outputs) {
        if !self.spans.find(reading.time, &mut self.holding) {
            out.reading(LATE, reading.clone());
            return;
        }
        let open = self.series.get_or_insert_with(reading.series, || Open::new(reading.time));
        open.seen = open.seen.max(reading.time);
        while let Some(past) = open.take_past(self.lateness) {
            self.book.close(reading.series, past, out);
        }
        let mut late = true;
        for &(start, end) in &self.holding.spans {
            if end.saturating_add(self.lateness) <= open.seen {
                continue;
            }
            late = false;
            match open.pane_mut(start) {
                Some(pane) => pane.add(reading, now),
                None => {
                    let member = self.book.open(reading.series, start, end, now);
                    open.insert(Pane::new(start, end, member, reading, now));
                }
            }
        }
        if late {
            out.reading(LATE, reading.clone());
        }
        open.settle(reading.time, &self.holding, self.lateness);
        self.book.keep_small(&mut self.series, out);
    }
}

impl Transform for TimeWindows {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.book.emit_left(out);
        for reading in batch.readings() {
            let now = now.max(reading.time);
            let settled = self
                .series
                .get_mut(reading.series)
                .is_some_and(|open| open.add_settled(reading, now));
            if !settled {
                self.turn(now, reading, out);
            }
        }
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.book.next_tick()
    }

    fn tick_lead(&self) -> Option<Duration> {
        Some(self.book.idle())
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.book.emit_left(out);
        self.book.emit_due(now, &mut self.series, out);
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.book.emit_left(out);
        self.book.emit_all(Cause::End, &mut self.series, out);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.book.emit_left(out);
        self.book.forget(silent, &mut self.series, out);
        for id in &*silent {
            self.series.remove(*id);
        }
        self.book.forget_derived(silent);
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let series = self.series.iter().map(|(id, open)| {
            let parts = open.panes().map(Pane::part).collect();
            (id, Held { seen: open.seen, past: Timestamp::MIN, since: 0, parts })
        });
        stored::write(self.spans.shape(self.group), series, self.book.stored(), self.book.left())
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let stored = Stored::read(state)?;
        let was_group = stored.shape == self.spans.shape(true);
        if was_group || stored.shape == self.spans.shape(false) {
            self.go_on(stored, was_group)
        } else {
            self.cut_anew(stored);
            Ok(())
        }
    }
}

impl TimeWindows {
    /// Goes on with the same spans.
    fn go_on(&mut self, stored: Stored, was_group: bool) -> Result<(), StateError> {
        let mut series = SeriesMap::new();
        for (id, held) in &stored.series {
            let mut open = Open::new(held.seen);
            let panes = held.parts.iter().map(|it| Pane::of(it.start, it.end, it.number, it));
            panes.for_each(|pane| open.insert(pane));
            series.insert(*id, open);
        }
        self.book.restore(stored, was_group, &mut series)?;
        self.series = series;
        Ok(())
    }

    /// Puts what was gathered into the spans of now, where they have all of it.
    fn cut_anew(&mut self, mut stored: Stored) {
        stored.carry(self.book.emitter(), false, |part| {
            self.spans.has_both(part.sum.first_time(), part.sum.last_time())
        });
        let latest = stored.latest();
        self.book.leave(stored.left, latest);
        for (id, held) in stored.series {
            let mut open = Open::new(held.seen);
            for part in &held.parts {
                self.spans.find(part.sum.first_time(), &mut self.holding);
                for &(start, end) in &self.holding.spans {
                    if let Some(pane) = open.pane_mut(start) {
                        pane.merge(part);
                    } else {
                        let member = self.book.open(id, start, end, part.touched);
                        open.insert(Pane::of(start, end, member, part));
                    }
                }
            }
            self.series.insert(id, open);
        }
    }
}

#[cfg(test)]
mod tests {
    use smollama_engine::batch::{ItemKind, Items};
    use smollama_engine::node::MAIN;
    use smollama_engine::one_or_many::OneOrMany;
    use smollama_engine::testing::{Rig, START};

    use super::*;
    use crate::transforms::window::WindowConfig;

    /// Series that stop one after another each hold a span back, and with it what all others said in it.
    #[test]
    fn what_waits_for_silent_series_is_bounded_and_nothing_is_lost() {
        let rig: Rig<WindowConfig> = Rig::json(serde_json::json!({ "length": "1m" }));
        let minute = Duration::from_mins(1);
        let spans = Spans::new(minute, minute, None, &jiff::tz::TimeZone::UTC);
        let emitter = Emitter::new(rig.context().clone(), &OneOrMany::default());
        let mut node = TimeWindows::new(spans, Duration::ZERO, minute, true, emitter);
        node.book.limit(100);
        let mut out = Outputs::new(
            [ItemKind::Windows, ItemKind::Readings, ItemKind::Readings].map(|kind| (kind, true)),
        );
        let mut sent = 0;
        for span in 0..40 {
            let alive = (span..40)
                .map(|series| rig.reading(f64::from(span) * 60.0, &format!("t:{series}"), 1.0));
            let items = Items::Readings(alive.collect());
            sent += items.len() as u64;
            node.apply(START, 0, &Batch::new(items, START), &mut out).unwrap();
            assert!(node.book.waiting() <= 100);
        }
        node.finish(START, &mut out).unwrap();
        assert_eq!(node.book.waiting(), 0);
        let Some(Items::Windows(windows)) = out.items(MAIN) else { panic!("no windows") };
        let held: u64 = windows.iter().flat_map(|one| &one.summaries).map(|one| one.count).sum();
        assert_eq!(held, sent);
        assert!(windows.iter().any(|one| one.cause == Cause::Time), "some came early");
    }
}
