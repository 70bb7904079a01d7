//! What a period's readings say about the pace.

use serde::{Deserialize, Serialize};
use smollama_engine::reading::Reading;

use super::schedule::{Direction, Verdict};
use super::settings::{Aggregate, Plan};
use crate::transforms::counter::Counter;
use crate::transforms::volatility::measure::{Measure, Reach, Sample, Track};

/// The scores of a period's series, taken together.
#[derive(Debug)]
pub(super) struct Level {
    aggregate: Aggregate,
    highest: f64,
    sum: f64,
    weight: f64,
}

impl Level {
    pub(super) fn new(aggregate: Aggregate) -> Level {
        Level { aggregate, highest: 0.0, sum: 0.0, weight: 0.0 }
    }

    /// Adds a series; one without a score, or of weight 0, has no say.
    pub(super) fn add(&mut self, score: f64, weight: f64) {
        if score.is_nan() || weight <= 0.0 {
            return;
        }
        self.highest = self.highest.max(score * weight);
        self.weight += weight;
        self.sum += match self.aggregate {
            Aggregate::Share => f64::from(u8::from(score >= 1.0)) * weight,
            Aggregate::Max | Aggregate::Mean => score * weight,
        };
    }

    /// What all together say; `None` where no series had a say.
    pub(super) fn verdict(&self, plan: &Plan) -> Option<Verdict> {
        if self.weight <= 0.0 {
            return None;
        }
        let level = match self.aggregate {
            Aggregate::Max => self.highest,
            Aggregate::Mean | Aggregate::Share => self.sum / self.weight,
        };
        Some(Verdict(if level >= plan.volatile {
            Some(Direction::Shrink)
        } else if level < plan.calm {
            Some(Direction::Stretch)
        } else {
            None
        }))
    }
}

/// The original plan: the coefficient of variation over the last 10 readings.
const REACH: Reach = Reach { samples: 10, span: None };
/// The coefficient of variation from which on it shrinks the interval.
const HIGH: f64 = 0.5;
/// What the mean counts as at least: the plan divides by it, which a mean of zero does not survive.
const FLOOR: f64 = 1e-9;

/// The volatility of a series, as the original plan measures it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Unrest {
    counter: Option<Counter>,
    track: Track,
}

impl Unrest {
    pub(super) fn add(&mut self, reading: &Reading, monotonic: bool) {
        let sample = match Sample::of(&reading.value) {
            Some(Sample::Number(x)) if monotonic => {
                Counter::rate(&mut self.counter, reading.time, x).map(Sample::Number)
            }
            other => other,
        };
        if let Some(sample) = sample {
            self.track.push(reading.time, sample, Measure::Cv, REACH);
        }
    }

    /// The volatility over the last readings, 1 being volatile; NaN while there are too few.
    pub(super) fn score(&self) -> f64 {
        self.track.volatility(REACH, FLOOR).map_or(f64::NAN, |volatility| volatility / HIGH)
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(super) fn is_whole(&self) -> bool {
        self.track.is_whole() && self.counter.is_none_or(|counter| counter.is_whole())
    }
}
