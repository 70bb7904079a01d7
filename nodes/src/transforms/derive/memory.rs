//! What is remembered of one series, and what follows from its next reading.

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::reading::Value;
use smollama_engine::time::Timestamp;

use super::recent::Recent;
use super::settings::{Kind, Method};

/// What follows from each reading.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Difference,
    /// Per so many seconds.
    Rate(f64),
    MovingAverage(Duration),
    ExponentialAverage(Smoothing),
    Integral(Summing),
}

/// An exponential average. Sources speak at a beat, so the weight of the last pause is mostly that of the next.
#[derive(Debug, Clone)]
pub(super) struct Smoothing {
    constant: f64,
    pause: Duration,
    weight: f64,
}

impl Smoothing {
    pub(super) fn new(constant: Duration) -> Smoothing {
        Smoothing { constant: constant.as_secs_f64(), pause: Duration::ZERO, weight: 0.0 }
    }

    /// What a reading weighs that comes after a pause.
    #[inline]
    fn weight(&mut self, pause: Duration) -> f64 {
        if pause != self.pause {
            self.pause = pause;
            self.weight = -(-pause.as_secs_f64() / self.constant).exp_m1();
        }
        self.weight
    }
}

/// A sum over time.
#[derive(Debug, Clone)]
pub(super) struct Summing {
    pub(super) method: Method,
    /// In which seconds are counted.
    pub(super) unit: f64,
    pub(super) max_gap: Option<Duration>,
}

/// What is remembered of one series: small, so that the caches hold it for thousands of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Memory {
    /// The last number and its time: of a difference or a rate.
    Last { value: Value, time: Timestamp },
    /// The last readings.
    Recent(Box<Recent>),
    /// The average so far and when it was made.
    Average { mean: f64, time: Timestamp },
    /// The last number, and the sum so far with what it lost by rounding.
    Sum { value: f64, time: Timestamp, sum: f64, lost: f64 },
    /// How much of the period so far the value was as is asked, and whether it is.
    Held { is: bool, told: Timestamp, counted: Timestamp, held: Duration },
    /// How many came in the period so far.
    Count(u64),
}

impl Memory {
    /// Before the first reading, which comes at this time.
    pub(super) fn new(kind: Kind, time: Timestamp, value: &Value) -> Memory {
        let number = value.as_f64().unwrap_or(0.0);
        match kind {
            Kind::Difference | Kind::Rate => Memory::Last { value: value.clone(), time },
            Kind::MovingAverage => Memory::Recent(Box::default()),
            Kind::ExponentialAverage => Memory::Average { mean: number, time },
            Kind::Integral => Memory::Sum { value: number, time, sum: 0.0, lost: 0.0 },
            Kind::TimeIn => {
                Memory::Held { is: false, told: time, counted: time, held: Duration::ZERO }
            }
            Kind::Count => Memory::Count(0),
        }
    }

    /// Whether the first reading says something, and not only the second.
    pub(super) fn says_at_once(kind: Kind) -> bool {
        !matches!(kind, Kind::Difference | Kind::Rate)
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Memory::Last { value, .. } => value.as_f64().is_some_and(f64::is_finite),
            Memory::Recent(recent) => recent.is_whole(),
            Memory::Average { mean, .. } => mean.is_finite(),
            Memory::Sum { value, sum, lost, .. } => {
                value.is_finite() && sum.is_finite() && lost.is_finite()
            }
            Memory::Held { .. } | Memory::Count(_) => true,
        }
    }

    /// What follows from a value that is not older than the last one, and its number; `None` where that is nothing.
    #[inline]
    pub(super) fn step(
        &mut self,
        step: &mut Step,
        at: Timestamp,
        (next, number): (&Value, f64),
        counter: bool,
    ) -> Option<Value> {
        match (self, step) {
            (Memory::Last { value, time }, Step::Difference) => {
                let grown = grown(value, next, counter);
                (*value, *time) = (grown.last(next, value), at);
                grown.by()
            }
            (Memory::Last { value, time }, Step::Rate(per)) => {
                let seconds = at.since(*time).as_secs_f64();
                if seconds <= 0.0 {
                    return None;
                }
                // Most numbers are these, and need not be told apart from whole ones and from counters.
                if let (Value::Float(before), Value::Float(after), false) =
                    (&mut *value, next, counter)
                {
                    let by = *after - std::mem::replace(before, *after);
                    *time = at;
                    return Value::float(by / seconds * *per);
                }
                let grown = grown(value, next, counter);
                if grown == Grown::Stumbled {
                    return None;
                }
                (*value, *time) = (next.clone(), at);
                Value::float(grown.by()?.as_f64()? / seconds * *per)
            }
            (Memory::Recent(recent), Step::MovingAverage(span)) => {
                Value::float(recent.take(at, number, *span))
            }
            (Memory::Average { mean, time }, Step::ExponentialAverage(smoothing)) => {
                let weight = smoothing.weight(at.since(*time));
                // So written that two huge numbers of both signs have no infinite difference.
                *mean = *mean * (1.0 - weight) + number * weight;
                *time = at;
                Value::float(*mean)
            }
            (Memory::Sum { value, time, sum, lost }, Step::Integral(summing)) => {
                let pause = at.since(*time);
                if summing.max_gap.is_none_or(|gap| pause <= gap) {
                    let height = match summing.method {
                        Method::Trapezoid => *value / 2.0 + number / 2.0,
                        Method::Left => *value,
                    };
                    let area = height * (pause.as_secs_f64() / summing.unit);
                    if !(*sum + area).is_finite() {
                        return None;
                    }
                    add(sum, lost, area);
                }
                (*value, *time) = (number, at);
                Value::float(*sum + *lost)
            }
            _ => None,
        }
    }

    /// Counts how long the value was as is asked, up to an instant. It holds no longer than a gap.
    pub(super) fn hold_until(&mut self, until: Timestamp, max_gap: Option<Duration>) {
        if let Memory::Held { is, told, counted, held } = self {
            let end = max_gap.map_or(until, |gap| until.min(told.saturating_add(gap)));
            if *is {
                *held = held.saturating_add(end.since(*counted));
            }
            *counted = until.max(*counted);
        }
    }

    /// What there is to say of the period so far, which begins anew.
    pub(super) fn take_period(&mut self) -> Option<Value> {
        match self {
            Memory::Held { held, .. } => Value::float(std::mem::take(held).as_secs_f64()),
            Memory::Count(count) => {
                Some(Value::Int(i64::try_from(std::mem::take(count)).unwrap_or(i64::MAX)))
            }
            _ => None,
        }
    }
}

/// By how much a value is more than the last one.
#[derive(Debug, Clone, PartialEq)]
enum Grown {
    By(Value),
    /// A counter that is a little less than it was.
    Stumbled,
    /// By more than a number can hold.
    TooMuch,
}

/// A counter that loses less than this share of itself was not begun anew.
const STUMBLE: f64 = 0.1;

#[inline]
fn grown(last: &Value, next: &Value, counter: bool) -> Grown {
    let by = match (last, next) {
        (Value::Float(last), Value::Float(next)) => Value::float(next - last),
        (Value::Int(last), Value::Int(next)) => next.checked_sub(*last).map(Value::Int),
        _ => next.as_f64().zip(last.as_f64()).and_then(|(next, last)| Value::float(next - last)),
    };
    let Some(by) = by else { return Grown::TooMuch };
    if !counter || by.as_f64().is_some_and(|by| by >= 0.0) {
        return Grown::By(by);
    }
    let (was, is) = (last.as_f64().unwrap_or(0.0), next.as_f64().unwrap_or(0.0));
    if is > was * (1.0 - STUMBLE) { Grown::Stumbled } else { Grown::By(next.clone()) }
}

impl Grown {
    fn by(self) -> Option<Value> {
        match self {
            Grown::By(by) => Some(by),
            Grown::Stumbled | Grown::TooMuch => None,
        }
    }

    /// The value that the next one is compared with.
    #[inline]
    fn last(&self, next: &Value, last: &Value) -> Value {
        if matches!(self, Grown::Stumbled) { last.clone() } else { next.clone() }
    }
}

/// Adds to a sum without losing what is small beside it: A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen"
/// (1974).
fn add(sum: &mut f64, lost: &mut f64, more: f64) {
    let total = *sum + more;
    *lost += if sum.abs() >= more.abs() { (*sum - total) + more } else { (more - total) + *sum };
    *sum = total;
}
