//! Windows: spans of time with a summary per series.

use std::fmt;

use schemars::JsonSchema;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
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
    /// The input ended, or the windows are made otherwise from now on.
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

/// One figure of what the readings of a series were like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The mean of the readings.
    Mean,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The sample standard deviation.
    Stddev,
    /// How many readings there were.
    Count,
    /// The earliest value.
    First,
    /// The latest value.
    Last,
}

impl Statistic {
    /// The word used in files, and as the label `stat`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Statistic::Mean => "mean",
            Statistic::Min => "min",
            Statistic::Max => "max",
            Statistic::Stddev => "stddev",
            Statistic::Count => "count",
            Statistic::First => "first",
            Statistic::Last => "last",
        }
    }
}

impl Summary {
    /// One figure as a value; `None` where texts and JSON have none.
    #[must_use]
    pub fn statistic(&self, which: Statistic) -> Option<Value> {
        match which {
            Statistic::Mean => Value::float(self.mean),
            Statistic::Min => Value::float(self.min),
            Statistic::Max => Value::float(self.max),
            Statistic::Stddev => Value::float(self.stddev),
            Statistic::Count => Some(Value::Int(i64::try_from(self.count).unwrap_or(i64::MAX))),
            Statistic::First => Some(self.first.clone()),
            Statistic::Last => Some(self.last.clone()),
        }
    }
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
        let latest = reading.time >= self.last_time;
        if let (Value::Float(value), Value::Float(last), true) =
            (&reading.value, &mut self.last, latest)
        {
            // Nearly every reading: nothing to clone, nothing to drop.
            *last = *value;
            self.last_time = reading.time;
            self.number(*value);
        } else {
            self.add_other(reading, latest);
        }
        if !reading.score.is_nan() {
            // `max` gives the other side where one is NaN.
            self.score = self.score.max(reading.score);
        }
    }

    #[inline]
    fn number(&mut self, value: f64) {
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

    #[inline(never)]
    fn add_other(&mut self, reading: &Reading, latest: bool) {
        if let Some(value) = reading.value.as_f64() {
            self.number(value);
        }
        if latest {
            self.last_time = reading.time;
            self.last.clone_from(&reading.value);
        } else if reading.time < self.first_time {
            self.first_time = reading.time;
            self.first.clone_from(&reading.value);
        }
    }

    /// Adds all that another gathered of the same series. Mean and deviation after T. F. Chan, G. H. Golub, R. J. LeVeque,
    /// "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979).
    pub fn merge(&mut self, other: &Accumulator) {
        self.count += other.count;
        if other.numbers > 0 {
            let (own, theirs) = (self.numbers as f64, other.numbers as f64);
            let delta = other.mean - self.mean;
            self.numbers += other.numbers;
            let all = own + theirs;
            self.mean += delta * theirs / all;
            self.m2 += other.m2 + delta * delta * own * theirs / all;
            self.min = self.min.min(other.min);
            self.max = self.max.max(other.max);
        }
        if other.last_time >= self.last_time {
            self.last_time = other.last_time;
            self.last.clone_from(&other.last);
        }
        if other.first_time < self.first_time {
            self.first_time = other.first_time;
            self.first.clone_from(&other.first);
        }
        self.score = self.score.max(other.score);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(time: i64, value: impl Into<Value>) -> Reading {
        Reading::new(Timestamp::from_micros(time), SeriesId::from_index(0), value)
    }

    fn gather(readings: &[Reading]) -> Option<Accumulator> {
        let (first, rest) = readings.split_first()?;
        let mut all = Accumulator::new(first);
        rest.iter().for_each(|one| all.add(one));
        Some(all)
    }

    #[test]
    fn the_latest_wins_and_texts_have_no_mean() {
        let all =
            [reading(5, 1.0), reading(9, Value::text("x")), reading(3, 2i64), reading(9, true)];
        let summary = gather(&all).unwrap().summary(SeriesId::from_index(0));
        assert_eq!((summary.first, summary.last), (Value::Int(2), Value::Bool(true)));
        assert_eq!((summary.count, summary.min, summary.max), (4, 1.0, 2.0));
        let texts = gather(&[reading(1, Value::text("a"))]).unwrap();
        let summary = texts.summary(SeriesId::from_index(0));
        assert!(summary.min.is_nan() && summary.mean.is_nan() && summary.stddev.is_nan());
        assert_eq!(summary.statistic(Statistic::Mean), None);
        assert_eq!(summary.statistic(Statistic::Count), Some(Value::Int(1)));
    }

    proptest! {
        /// The loop written by hand, operation by operation.
        #[test]
        fn equals_welfords_loop_to_the_last_bit(values in prop::collection::vec(-1e6f64..1e6, 1..50)) {
            let readings: Vec<_> = (0..).zip(&values).map(|(at, &value)| reading(at, value)).collect();
            let summary = gather(&readings).unwrap().summary(SeriesId::from_index(0));
            let (mut n, mut mean, mut m2) = (0u64, 0f64, 0f64);
            for value in &values {
                n += 1;
                let d = value - mean;
                mean += d / n as f64;
                m2 += d * (value - mean);
            }
            let stddev = if n > 1 { (m2 / (n - 1) as f64).sqrt() } else { 0.0 };
            prop_assert_eq!(summary.mean.to_bits(), mean.to_bits());
            prop_assert_eq!(summary.stddev.to_bits(), stddev.to_bits());
        }

        #[test]
        fn two_parts_merged_are_the_whole(values in prop::collection::vec((0i64..100, -1e3f64..1e3), 2..40), cut in 1usize..39) {
            let readings: Vec<_> = values.iter().map(|&(at, value)| reading(at, value)).collect();
            let cut = cut.min(readings.len() - 1);
            let whole = gather(&readings).unwrap();
            let mut parts = gather(&readings[..cut]).unwrap();
            parts.merge(&gather(&readings[cut..]).unwrap());
            prop_assert!((whole.mean() - parts.mean()).abs() < 1e-9);
            prop_assert!((whole.stddev() - parts.stddev()).abs() < 1e-6);
            prop_assert_eq!(
                (whole.count(), whole.first_time(), whole.last_time(), whole.min, whole.max),
                (parts.count(), parts.first_time(), parts.last_time(), parts.min, parts.max)
            );
            prop_assert_eq!((&whole.first, &whole.last), (&parts.first, &parts.last));
        }
    }
}
