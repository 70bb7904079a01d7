//! What `dedup` remembers of a series.

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::SeriesId;
use smollama_engine::time::Timestamp;

use super::settings::Deadband;

/// What holds for one series, chosen when it is first seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rule {
    pub(super) deadband: Deadband,
    pub(super) heartbeat: Option<Duration>,
}

/// The last passed reading of a series, and what came since.
#[derive(Debug)]
pub(super) struct Last {
    value: Value,
    /// When the next reading passes in any case.
    pub(super) due: Timestamp,
    /// The time of the latest reading, passed or not.
    pub(super) seen: Timestamp,
    /// How far a number may be from `value` and still say nothing new; in the series' unit.
    band: f64,
    rule: Rule,
    passed: Timestamp,
    /// How many readings were suppressed since, the held one not among them.
    pub(super) suppressed: u32,
    /// Whether there is a held one.
    pub(super) holding: bool,
    /// With `keep: last`: the last suppressed reading. Its place stays when it is gone.
    held: Option<Box<Reading>>,
}

impl Last {
    pub(super) fn new(reading: &Reading, rule: Rule) -> Last {
        let mut new = Last {
            value: reading.value.clone(),
            due: reading.time,
            seen: reading.time,
            band: 0.0,
            rule,
            passed: reading.time,
            suppressed: 0,
            holding: false,
            held: None,
        };
        new.derive();
        new
    }

    /// No reading has come yet: the value is from elsewhere.
    pub(super) fn unsee(&mut self) {
        self.seen = Timestamp::MIN;
    }

    /// What follows from the last passed reading and the rule.
    #[inline]
    fn derive(&mut self) {
        self.band = match self.rule.deadband {
            Deadband::Absolute(band) => band,
            Deadband::Relative(share) => share * self.value.as_f64().map_or(0.0, f64::abs),
        };
        self.due = match self.rule.heartbeat {
            Some(span) => self.passed.saturating_add(span),
            None => Timestamp::MAX,
        };
    }

    /// Whether a value says no more than the last passed one.
    #[inline]
    pub(super) fn repeated_by(&self, value: &Value) -> bool {
        match (&self.value, value) {
            (Value::Float(last), Value::Float(value)) => (value - last).abs() <= self.band,
            // By difference, since beyond 2^53 two whole numbers can be one double.
            (Value::Int(last), Value::Int(value)) => value.abs_diff(*last) as f64 <= self.band,
            (Value::Float(last), Value::Int(value)) => (*value as f64 - last).abs() <= self.band,
            (Value::Int(last), Value::Float(value)) => (value - *last as f64).abs() <= self.band,
            (last, value) => last == value,
        }
    }

    /// Takes a reading as the last passed one, and gives the count of those it stands for.
    #[inline]
    pub(super) fn pass(&mut self, reading: &Reading) -> u32 {
        let count = reading.count.saturating_add(std::mem::take(&mut self.suppressed));
        match (&mut self.value, &reading.value) {
            (Value::Float(last), Value::Float(value)) => *last = *value,
            (last, value) => last.clone_from(value),
        }
        self.passed = reading.time;
        self.derive();
        count
    }

    /// Holds a suppressed reading, and gives back the one that was held.
    pub(super) fn hold(&mut self, reading: &Reading) -> Option<Reading> {
        let before = self.absorb();
        match &mut self.held {
            Some(held) => **held = reading.clone(),
            none => *none = Some(Box::new(reading.clone())),
        }
        self.holding = true;
        before
    }

    /// The held reading, now one of the suppressed.
    pub(super) fn absorb(&mut self) -> Option<Reading> {
        let held = self.held.as_ref().filter(|_| self.holding)?;
        self.holding = false;
        self.suppressed = self.suppressed.saturating_add(held.count);
        Some(Reading::clone(held))
    }

    /// The held reading, with the count of those it stands for; the next passed one no longer stands for them.
    pub(super) fn flush(&mut self) -> Option<Reading> {
        let held = self.held.as_ref().filter(|_| self.holding)?;
        self.holding = false;
        let mut held = Reading::clone(held);
        held.count = held.count.saturating_add(std::mem::take(&mut self.suppressed));
        Some(held)
    }

    pub(super) fn stored(&self) -> Stored {
        Stored {
            value: self.value.clone(),
            passed: self.passed,
            seen: self.seen,
            suppressed: self.suppressed,
            held: self.held.as_ref().filter(|_| self.holding).map(|held| Held {
                time: held.time,
                value: held.value.clone(),
                score: held.score,
                count: held.count,
            }),
        }
    }

    pub(super) fn restored(series: SeriesId, stored: Stored, rule: Rule) -> Last {
        let mut last = Last {
            value: stored.value,
            due: stored.passed,
            seen: stored.seen,
            band: 0.0,
            rule,
            passed: stored.passed,
            suppressed: stored.suppressed,
            holding: stored.held.is_some(),
            held: stored.held.map(|held| {
                let Held { time, value, score, count } = held;
                Box::new(Reading { time, value, score, series, count })
            }),
        };
        last.derive();
        last
    }
}

/// The written form of [`Last`]: what does not follow from the settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    value: Value,
    passed: Timestamp,
    seen: Timestamp,
    suppressed: u32,
    held: Option<Held>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    time: Timestamp,
    value: Value,
    score: f64,
    count: u32,
}
