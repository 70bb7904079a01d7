//! What is remembered of the right side, and what waits of the left.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use crate::transforms::made::Made;

/// How many readings of the right side are remembered.
pub(super) const RIGHT_MAX: usize = 64;
/// How many left readings wait.
pub(super) const LEFT_MAX: usize = 64;

/// A series on the left.
#[derive(Debug)]
pub(super) struct Left {
    /// The time of its last reading.
    pub(super) last: Timestamp,
    /// Where it belongs; `None` where it lacks a label.
    pub(super) place: Option<u32>,
    pub(super) made: Made,
}

/// A series on the right.
#[derive(Debug)]
pub(super) struct Right {
    pub(super) last: Timestamp,
    pub(super) place: Option<u32>,
}

/// A reading of the right side.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) time: Timestamp,
    /// How many were kept before it.
    pub(super) number: u64,
    pub(super) series: SeriesId,
    pub(super) value: Value,
}

/// A left reading that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) due: Timestamp,
    pub(super) number: u64,
    pub(super) reading: Reading,
}

/// Both sides for one value of the labels.
#[derive(Debug, Default)]
pub(super) struct Sides {
    /// By time, and of one time as they came.
    right: VecDeque<Said>,
    /// As they came.
    pub(super) waiting: VecDeque<Waiting>,
}

/// The written form of a series on both sides.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stored {
    /// The times of its last readings.
    pub(super) left: Option<Timestamp>,
    pub(super) right: Option<Timestamp>,
    said: Vec<(Timestamp, u64, Value)>,
    pub(super) waiting: Vec<StoredWaiting>,
}

/// The written form of a left reading that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredWaiting {
    pub(super) due: Timestamp,
    pub(super) number: u64,
    time: Timestamp,
    value: Value,
    score: f64,
    count: u32,
}

impl Sides {
    /// Up to when the right side is known.
    pub(super) fn known(&self) -> Option<Timestamp> {
        self.right.back().map(|said| said.time)
    }

    /// Takes a reading of the right side, and says up to when that is known now.
    pub(super) fn hear(&mut self, said: Said) -> Timestamp {
        let time = said.time;
        let at = self.right.partition_point(|other| other.time <= time);
        self.right.insert(at, said);
        self.known().unwrap_or(time)
    }

    /// Forgets what is too old, or too much.
    pub(super) fn prune(&mut self, known: Timestamp, tolerance: Duration) {
        let old = |said: &Said| said.time.saturating_add(tolerance) < known;
        while self.right.len() > RIGHT_MAX || self.right.front().is_some_and(old) {
            self.right.pop_front();
        }
    }

    /// What the right side said last at a time.
    pub(super) fn at(&self, time: Timestamp, tolerance: Duration) -> Option<&Value> {
        let behind = self.right.partition_point(|said| said.time <= time);
        let said = self.right.get(behind.checked_sub(1)?)?;
        (time <= said.time.saturating_add(tolerance)).then_some(&said.value)
    }

    /// The first left reading that waits for no more than what is known.
    pub(super) fn ready(&mut self, known: Timestamp) -> Option<Waiting> {
        self.take_where(|waiting| waiting.reading.time <= known)
    }

    /// The left reading of a number.
    pub(super) fn take(&mut self, number: u64) -> Option<Waiting> {
        self.take_where(|waiting| waiting.number == number)
    }

    /// The first left reading of a series.
    pub(super) fn take_of(&mut self, series: SeriesId) -> Option<Waiting> {
        self.take_where(|waiting| waiting.reading.series == series)
    }

    fn take_where(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let at = self.waiting.iter().position(wanted)?;
        self.waiting.remove(at)
    }

    /// Forgets what a series said on the right side.
    pub(super) fn forget(&mut self, series: SeriesId) {
        self.right.retain(|said| said.series != series);
    }

    /// Writes down what is kept, under the series that it is of.
    pub(super) fn store(&self, stored: &mut SeriesMap<Stored>) {
        for Said { time, number, series, value } in &self.right {
            let one = stored.get_or_insert_with(*series, Stored::default);
            one.said.push((*time, *number, value.clone()));
        }
        for Waiting { due, number, reading } in &self.waiting {
            let Reading { time, value, score, series, count } = reading.clone();
            let one = stored.get_or_insert_with(series, Stored::default);
            let waiting = StoredWaiting { due: *due, number: *number, time, value, score, count };
            one.waiting.push(waiting);
        }
    }

    pub(super) fn restore_left(&mut self, series: SeriesId, stored: &Stored) {
        for one in &stored.waiting {
            let StoredWaiting { due, number, time, value, score, count } = one.clone();
            let reading = Reading { time, value, score, series, count };
            self.waiting.push_back(Waiting { due, number, reading });
        }
    }

    pub(super) fn restore_right(&mut self, series: SeriesId, stored: &Stored) {
        let said = stored.said.iter().cloned();
        self.right.extend(said.map(|(time, number, value)| Said { time, number, series, value }));
    }

    /// Brings what was restored, series by series, into its order.
    pub(super) fn sort(&mut self) {
        self.right.make_contiguous().sort_by_key(|said| (said.time, said.number));
        self.waiting.make_contiguous().sort_by_key(|waiting| waiting.number);
    }
}
