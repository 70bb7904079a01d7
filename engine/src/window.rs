//! Windows: spans of time with a summary per series.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::reading::{Reading, Value};
use crate::series::SeriesId;
use crate::time::Timestamp;

/// A span of time with a summary of each series that had readings in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The first instant of the span.
    pub start: Timestamp,
    /// The first instant after the span.
    pub end: Timestamp,
    /// Why it closed.
    pub cause: Cause,
    /// One summary per series.
    pub summaries: Vec<Summary>,
}

/// Why a window closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing was news, but it was time to look.
    Heartbeat,
    /// Something was news.
    Urgent,
    /// Its span of time was over.
    Time,
    /// It held as many readings as it may.
    Count,
    /// Its readings paused.
    Session,
    /// The input ended.
    End,
}

impl Cause {
    /// All causes, in the order of the documentation.
    pub const ALL: [Cause; 6] =
        [Cause::Heartbeat, Cause::Urgent, Cause::Time, Cause::Count, Cause::Session, Cause::End];

    /// The word used in files and expectations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Heartbeat => "heartbeat",
            Cause::Urgent => "urgent",
            Cause::Time => "time",
            Cause::Count => "count",
            Cause::Session => "session",
            Cause::End => "end",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the readings of one series were like within a window. Texts and JSON count, and are first and last, but have no
/// minimum, maximum, mean or deviation (NaN).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The series.
    #[serde(skip, default = "no_series")]
    pub series: SeriesId,
    /// How many readings, those included that were suppressed before and are counted by a reading's `count`.
    pub count: u64,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The mean of the readings received.
    pub mean: f64,
    /// The sample standard deviation (n − 1); 0 for a single reading.
    pub stddev: f64,
    /// The earliest value.
    pub first: Value,
    /// The latest value.
    pub last: Value,
    /// The highest score; NaN where nothing was scored.
    pub score: f64,
}

const fn no_series() -> SeriesId {
    SeriesId::from_index(u32::MAX)
}

/// Gathers the readings of one series into a [`Summary`], one at a time. Mean and deviation after B. P. Welford, "Note on
/// a Method for Calculating Corrected Sums of Squares and Products" (1962): stable however long it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accumulator {
    count: u64,
    numbers: u64,
    min: f64,
    max: f64,
    mean: f64,
    m2: f64,
    first: Value,
    first_time: Timestamp,
    last: Value,
    last_time: Timestamp,
    score: f64,
}

impl Accumulator {
    /// With a first reading in it.
    #[must_use]
    pub fn new(reading: &Reading) -> Accumulator {
        let mut new = Accumulator {
            count: 0,
            numbers: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            m2: 0.0,
            first: reading.value.clone(),
            first_time: reading.time,
            last: reading.value.clone(),
            last_time: reading.time,
            score: f64::NAN,
        };
        new.add(reading);
        new
    }

    /// Adds one reading.
    #[inline]
    pub fn add(&mut self, reading: &Reading) {
        self.count += u64::from(reading.count);
        if let Some(value) = reading.value.as_f64() {
            self.numbers += 1;
            let delta = value - self.mean;
            self.mean += delta / self.numbers as f64;
            self.m2 += delta * (value - self.mean);
            if value < self.min {
                self.min = value;
            }
            if value > self.max {
                self.max = value;
            }
        }
        if reading.time >= self.last_time {
            self.last_time = reading.time;
            self.last = reading.value.clone();
        } else if reading.time < self.first_time {
            self.first_time = reading.time;
            self.first = reading.value.clone();
        }
        // `max` gives the other side where one is NaN.
        self.score = self.score.max(reading.score);
    }

    /// How many readings it holds, suppressed ones included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
    /// When its latest reading was measured.
    #[must_use]
    pub fn last_time(&self) -> Timestamp {
        self.last_time
    }
    /// When its earliest reading was measured.
    #[must_use]
    pub fn first_time(&self) -> Timestamp {
        self.first_time
    }
    /// The mean so far; NaN without numbers.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.numbers == 0 { f64::NAN } else { self.mean }
    }
    /// The sample standard deviation so far; 0 for a single number, NaN without one.
    #[must_use]
    pub fn stddev(&self) -> f64 {
        match self.numbers {
            0 => f64::NAN,
            1 => 0.0,
            n => (self.m2 / (n - 1) as f64).sqrt(),
        }
    }

    /// What was gathered.
    #[must_use]
    pub fn summary(&self, series: SeriesId) -> Summary {
        let known = |value: f64| if self.numbers == 0 { f64::NAN } else { value };
        Summary {
            series,
            count: self.count,
            min: known(self.min),
            max: known(self.max),
            mean: self.mean(),
            stddev: self.stddev(),
            first: self.first.clone(),
            last: self.last.clone(),
            score: self.score,
        }
    }
}
