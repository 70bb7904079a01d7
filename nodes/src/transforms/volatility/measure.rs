//! How volatile one series is: its last readings and what they come to.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::reading::Value;
use smollama_engine::time::Timestamp;

use super::sliding::{Moments, Sliding, Steps};
use super::spread::Spread;
use crate::fnv::fnv1a;

/// What is measured of the last readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The coefficient of variation: the standard deviation over the mean. Unit-free.
    #[default]
    Cv,
    /// The largest difference between one reading and the next, in the series' unit.
    Delta,
    /// As `cv`, but with medians, so that single outliers do not count: 1.4826 times the median absolute deviation over the
    /// median. Unit-free.
    Mad,
}

/// Fewer readings than this say nothing about volatility.
const SAMPLES_MIN: usize = 3;

/// Which readings count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::transforms) struct Reach {
    /// At most so many.
    pub(in crate::transforms) samples: usize,
    /// And none that is older than this.
    pub(in crate::transforms) span: Option<Duration>,
}

/// A value as this module sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::transforms) enum Sample {
    /// A number.
    Number(f64),
    /// One of several states: on or off, a text.
    State(f64),
}

impl Sample {
    /// `None` for JSON, which has no volatility.
    #[inline]
    pub(in crate::transforms) fn of(value: &Value) -> Option<Sample> {
        match value {
            Value::Float(x) => Some(Sample::Number(*x)),
            Value::Int(x) => Some(Sample::Number(*x as f64)),
            Value::Bool(on) => Some(Sample::State(f64::from(u8::from(*on)))),
            // 52 bits of the hash are exact in a double.
            Value::Text(text) => Some(Sample::State((fnv1a(text.as_bytes()) >> 12) as f64)),
            Value::Json(_) => None,
        }
    }
}

/// The last readings of one series, in the form its measure needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::transforms) struct Track {
    kept: Kept,
    /// Of readings that also leave by age.
    times: VecDeque<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Kept {
    #[default]
    Nothing,
    Cv(Sliding<Moments>),
    Delta(Sliding<Steps>),
    Mad(Spread),
    States(Sliding<Steps>),
}

impl Kept {
    /// Begins anew, for such values.
    #[cold]
    fn begin(&mut self, sample: Sample, measure: Measure) {
        *self = match (sample, measure) {
            (Sample::State(_), _) => Kept::States(Sliding::default()),
            (_, Measure::Cv) => Kept::Cv(Sliding::default()),
            (_, Measure::Delta) => Kept::Delta(Sliding::default()),
            (_, Measure::Mad) => Kept::Mad(Spread::default()),
        };
    }

    /// Whether it is for such values.
    #[inline]
    fn suits(&self, sample: Sample, measure: Measure) -> bool {
        match sample {
            Sample::State(_) => matches!(self, Kept::States(_)),
            Sample::Number(_) => match measure {
                Measure::Cv => matches!(self, Kept::Cv(_)),
                Measure::Delta => matches!(self, Kept::Delta(_)),
                Measure::Mad => matches!(self, Kept::Mad(_)),
            },
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Kept::Nothing => 0,
            Kept::Cv(window) => window.len(),
            Kept::Delta(window) | Kept::States(window) => window.len(),
            Kept::Mad(window) => window.len(),
        }
    }

    /// Adds the newest value; the oldest make room, so that there are at most so many.
    #[inline]
    fn slide(&mut self, x: f64, samples: usize) {
        // The usual one by itself: it is then part of the node's loop.
        match self {
            Kept::Cv(window) => window.slide(x, samples),
            other => other.slide_other(x, samples),
        }
    }

    #[inline(never)]
    fn slide_other(&mut self, x: f64, samples: usize) {
        match self {
            Kept::Nothing | Kept::Cv(_) => {}
            Kept::Delta(window) | Kept::States(window) => window.slide(x, samples),
            Kept::Mad(window) => window.slide(x, samples),
        }
    }

    /// The measure over all values kept; `None` of fewer than `few`.
    #[inline(never)]
    fn measure(&self, few: usize, floor: f64) -> Option<f64> {
        if self.len() < few {
            return None;
        }
        Some(match self {
            Kept::Nothing => return None,
            Kept::Cv(window) => window.fold()?.variation(floor),
            Kept::Delta(window) => window.fold()?.largest(),
            Kept::States(window) => window.fold()?.transition_rate(),
            Kept::Mad(window) => window.variation(floor),
        })
    }

    fn pop(&mut self) {
        match self {
            Kept::Nothing => {}
            Kept::Cv(window) => window.pop(),
            Kept::Delta(window) | Kept::States(window) => window.pop(),
            Kept::Mad(window) => window.pop(),
        }
    }
}

impl Track {
    /// Adds the newest reading; those beyond reach leave.
    // Always: too long for the compiler to do by itself, and every reading comes here.
    #[inline(always)]
    pub(in crate::transforms) fn push(
        &mut self,
        time: Timestamp,
        sample: Sample,
        measure: Measure,
        reach: Reach,
    ) {
        if !self.kept.suits(sample, measure) {
            self.kept.begin(sample, measure);
        }
        let (Sample::Number(x) | Sample::State(x)) = sample;
        self.kept.slide(x, reach.samples.max(1));
        if let Some(span) = reach.span {
            self.age(time, span);
        } else if !self.times.is_empty() {
            self.times.clear();
        }
    }

    #[inline(never)]
    fn age(&mut self, time: Timestamp, span: Duration) {
        self.times.push_back(time);
        // They differ in number after the kind of value changed, and when `span` is new.
        while self.times.len() > self.kept.len() {
            self.times.pop_front();
        }
        while self.kept.len() > self.times.len() {
            self.kept.pop();
        }
        while self.times.front().is_some_and(|&first| time.since(first) >= span)
            && self.times.len() > 1
        {
            self.times.pop_front();
            self.kept.pop();
        }
    }

    /// Goes on with the same readings in the form of another measure.
    pub(in crate::transforms) fn turn_to(&mut self, measure: Measure) {
        let values: Vec<f64> = match (&self.kept, measure) {
            (Kept::Nothing | Kept::States(_), _)
            | (Kept::Cv(_), Measure::Cv)
            | (Kept::Delta(_), Measure::Delta)
            | (Kept::Mad(_), Measure::Mad) => return,
            (Kept::Cv(window), _) => window.values().collect(),
            (Kept::Delta(window), _) => window.values().collect(),
            (Kept::Mad(window), _) => window.values().collect(),
        };
        // What overflowed cannot be told, nor what was before it.
        let lost = values.iter().rposition(|x| !x.is_finite()).map_or(0, |at| at + 1);
        self.times.drain(..lost.min(self.times.len()));
        self.kept = Kept::Nothing;
        for &x in values.iter().skip(lost) {
            let sample = Sample::Number(x);
            if !self.kept.suits(sample, measure) {
                self.kept.begin(sample, measure);
            }
            self.kept.slide(x, usize::MAX);
        }
    }

    /// The measure over all readings kept; `None` while they are too few to say.
    #[inline]
    pub(in crate::transforms) fn volatility(&self, reach: Reach, floor: f64) -> Option<f64> {
        let few = SAMPLES_MIN.min(reach.samples);
        let volatility = match &self.kept {
            Kept::Cv(window) if window.len() >= few => window.fold()?.variation(floor),
            other => other.measure(few, floor)?,
        };
        // What overflows, be it to NaN, is as volatile as can be.
        Some(if volatility < f64::MAX { volatility } else { f64::MAX })
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(in crate::transforms) fn is_whole(&self) -> bool {
        (self.times.is_empty() || self.times.len() == self.kept.len())
            && !matches!(&self.kept, Kept::Mad(window) if !window.is_whole())
    }
}
