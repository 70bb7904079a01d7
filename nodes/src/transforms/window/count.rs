//! Windows of a number of readings, one series each.

use std::borrow::Cow;
use std::collections::VecDeque;

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
pub(super) struct CountWindows {
    count: u32,
    step: u32,
    series: SeriesMap<Open>,
    emitter: Emitter,
}

/// The open windows of one series.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    seen: Timestamp,
    /// How many readings came since the newest window began; a window begins with the next when it is the step.
    since: u32,
    /// Oldest first, each with the number of its readings.
    windows: VecDeque<(u32, Accumulator)>,
}

impl CountWindows {
    pub(super) fn new(count: u32, step: u32, emitter: Emitter) -> CountWindows {
        CountWindows { count: count.max(1), step: step.max(1), series: SeriesMap::new(), emitter }
    }
}

impl CountWindows {
    /// Emits windows that get no more readings.
    fn emit_ended(&mut self, mut open: Vec<(SeriesId, Accumulator)>, out: &mut Outputs) {
        open.sort_by_cached_key(|(id, sum)| (sum.first_time(), self.emitter.series(*id)));
        for (id, sum) in open {
            emit(&mut self.emitter, id, &sum, Cause::End, out);
        }
    }
}

impl Open {
    fn add(&mut self, reading: &Reading, step: u32) {
        for (held, sum) in &mut self.windows {
            *held += 1;
            sum.add(reading);
        }
        if self.since == step {
            self.windows.push_back((1, Accumulator::new(reading)));
            self.since = 0;
        }
        self.since += 1;
    }
}

fn emit(
    emitter: &mut Emitter,
    series: SeriesId,
    sum: &Accumulator,
    cause: Cause,
    out: &mut Outputs,
) {
    emitter.window((sum.first_time(), end(sum)), cause, vec![sum.summary(series)], out);
}

fn end(sum: &Accumulator) -> Timestamp {
    sum.last_time().saturating_add(Duration::from_micros(1))
}

impl Transform for CountWindows {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.emitter.emit_left(out);
        for reading in batch.readings() {
            if !in_calendar(reading.time) {
                out.reading(LATE, reading.clone());
                continue;
            }
            let open = self.series.get_or_insert_with(reading.series, || Open {
                seen: reading.time,
                since: self.step,
                windows: VecDeque::new(),
            });
            if reading.time < open.seen {
                out.reading(LATE, reading.clone());
                continue;
            }
            open.seen = reading.time;
            open.add(reading, self.step);
            if open.windows.front().is_some_and(|(held, _)| *held >= self.count)
                && let Some((_, full)) = open.windows.pop_front()
            {
                emit(&mut self.emitter, reading.series, &full, Cause::Count, out);
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.emitter.emit_left(out);
        let mut open: Vec<(SeriesId, Accumulator)> = Vec::new();
        for (id, series) in self.series.iter_mut() {
            open.extend(series.windows.drain(..).map(|(_, sum)| (id, sum)));
            series.since = self.step;
        }
        self.emit_ended(open, out);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.emitter.emit_left(out);
        let mut open: Vec<(SeriesId, Accumulator)> = Vec::new();
        for id in &*silent {
            let windows = self.series.remove(*id).map(|series| series.windows);
            open.extend(windows.into_iter().flatten().map(|(_, sum)| (*id, sum)));
        }
        self.emit_ended(open, out);
        self.emitter.forget(silent);
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let part = |(held, sum): &'_ (u32, Accumulator)| Part {
            start: sum.first_time(),
            end: end(sum),
            touched: sum.last_time(),
            number: *held,
            sum: Cow::Owned(sum.clone()),
        };
        let series = self.series.iter().map(|(id, open)| {
            let parts = open.windows.iter().map(part).collect();
            (id, Held { seen: open.seen, past: Timestamp::MIN, since: open.since, parts })
        });
        let shape = Shape::Count { count: self.count, step: self.step };
        stored::write(shape, series, Vec::new(), self.emitter.left())
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let mut stored = Stored::read(state)?;
        let was = match stored.shape {
            Shape::Count { step, .. } => Some(step),
            _ => None,
        };
        let (count, step) = (self.count, self.step);
        let rhythm = was == Some(step);
        // How many readings the windows of other shapes hold is not known: their counts have those too that were suppressed.
        stored.carry(&self.emitter, rhythm, |part| was.is_some() && part.number < count);
        self.emitter.leave(stored.left, Timestamp::MAX);
        for (id, held) in stored.series {
            let begun = held.parts.last().map_or(step, |part| part.number);
            let since = if rhythm { held.since } else { begun };
            let windows = held.parts.into_iter().map(|it| (it.number, it.sum.into_owned()));
            let open = Open { seen: held.seen, since: since.min(step), windows: windows.collect() };
            self.series.insert(id, open);
        }
        Ok(())
    }
}
