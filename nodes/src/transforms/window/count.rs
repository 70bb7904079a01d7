//! Windows of a number of readings, one series each.

use std::collections::VecDeque;

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

/// The node.
pub(super) struct CountWindows {
    count: u32,
    step: u32,
    series: SeriesMap<Open>,
    emitter: Emitter,
    shape: String,
}

/// The open windows of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    seen: Timestamp,
    /// How many readings came since the newest window began; a window begins with the next when it is the step.
    since: u32,
    /// Oldest first, each with the number of its readings.
    windows: VecDeque<(u32, Accumulator)>,
}

impl CountWindows {
    pub(super) fn new(count: u32, step: u32, emitter: Emitter) -> CountWindows {
        let (count, step) = (count.max(1), step.max(1));
        let shape = format!("count {count}, step {step}");
        CountWindows { count, step, series: SeriesMap::new(), emitter, shape }
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
    let end = sum.last_time().saturating_add(Duration::from_micros(1));
    emitter.window((sum.first_time(), end), cause, vec![sum.summary(series)], out);
}

impl Transform for CountWindows {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
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
        let mut open: Vec<(SeriesId, Accumulator)> = Vec::new();
        for (id, series) in self.series.iter_mut() {
            open.extend(series.windows.drain(..).map(|(_, sum)| (id, sum)));
            series.since = self.step;
        }
        open.sort_by_cached_key(|(id, sum)| (sum.first_time(), self.emitter.series(*id)));
        for (id, sum) in open {
            emit(&mut self.emitter, id, &sum, Cause::End, out);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.series, &self.shape)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (series, shape) = state.read_series::<Open, String>(STATE_VERSION)?;
        same_shape(&shape, &self.shape)?;
        self.series = series;
        Ok(())
    }
}
