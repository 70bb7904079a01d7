//! Windows of a length of time, one after another or overlapping.

mod book;
mod series;

use serde::{Deserialize, Serialize};
use smollama_engine::batch::Batch;
use smollama_engine::duration::Duration;
use smollama_engine::node::{NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::series::SeriesMap;
use smollama_engine::time::Timestamp;
use smollama_engine::window::Cause;

use self::book::{Book, StoredSpan};
use self::series::{Open, Pane};
use super::emitter::Emitter;
use super::spans::{Holding, Spans};
use super::{LATE, STATE_VERSION, same_shape};

/// The node.
pub(super) struct TimeWindows {
    spans: Spans,
    lateness: Duration,
    series: SeriesMap<Open>,
    book: Book,
    /// Written with the state, so that no other shape of window takes it.
    shape: String,
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
        let shape = if group { format!("{spans}, grouped") } else { spans.to_string() };
        TimeWindows {
            spans,
            lateness,
            series: SeriesMap::new(),
            book: Book::new(lateness, idle, group, emitter),
            shape,
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
        self.book.emit_due(now, &mut self.series, out);
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.book.emit_all(Cause::End, &mut self.series, out);
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let mut stored = SeriesMap::new();
        for (id, open) in self.series.iter() {
            stored.insert(id, StoredSeries { seen: open.seen, panes: open.panes().collect() });
        }
        State::of_series(STATE_VERSION, &stored, &(&self.shape, self.book.stored(&self.series)))
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (stored, (shape, spans)) =
            state.read_series::<RestoredSeries, (String, Vec<StoredSpan>)>(STATE_VERSION)?;
        same_shape(&shape, &self.shape)?;
        for (id, stored) in stored.iter() {
            let mut open = Open::new(stored.seen);
            for pane in &stored.panes {
                self.book.reopen(pane);
                open.insert(pane.clone());
            }
            self.series.insert(id, open);
        }
        self.book.restore(spans, &state.series)
    }
}

#[derive(Debug, Serialize)]
struct StoredSeries<'a> {
    seen: Timestamp,
    panes: Vec<&'a Pane>,
}

#[derive(Debug, Deserialize)]
struct RestoredSeries {
    seen: Timestamp,
    panes: Vec<Pane>,
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
