//! Loops that score each reading: `novelty`, `volatility`.

use smollama_engine::context::Context;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::SeriesMap;

use crate::plain::Plain;

/// Scores a number by its distance to the nearest remembered one, with the default settings.
pub(crate) struct Novelty {
    habits: SeriesMap<Habits>,
}

/// The remembered values, sorted, each with the reading that last visited it; and the news that is held.
#[derive(Default)]
struct Habits {
    low: f64,
    high: f64,
    readings: u32,
    values: Vec<f64>,
    visits: Vec<u32>,
    held: f64,
    held_for: u32,
}

impl Plain for Novelty {
    type Emits = Reading;

    fn new(_: &Context) -> Novelty {
        Novelty { habits: SeriesMap::new() }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Reading>) {
        for reading in readings {
            let Value::Float(x) = reading.value else { continue };
            let habits = self.habits.get_or_insert_with(reading.series, Habits::default);
            let surprise = habits.surprise(x);
            habits.held_for += 1;
            if habits.held_for > 75 {
                habits.held = 0.0;
            }
            let mut score = 0.0;
            if surprise > habits.held {
                (habits.held, habits.held_for) = (surprise, 0);
                if habits.readings > 100 {
                    score = surprise / 0.025;
                }
            }
            out.push(Reading { value: Value::Float(x), score, ..*reading });
        }
    }
}

impl Habits {
    #[inline]
    fn surprise(&mut self, x: f64) -> f64 {
        self.readings += 1;
        if self.values.is_empty() {
            (self.low, self.high) = (x, x);
            self.values.push(x);
            self.visits.push(self.readings);
            return 0.0;
        }
        let mut at = self.values.partition_point(|&value| value < x);
        while at < self.values.len() && self.readings - self.visits[at] > 4000 {
            self.forget(at);
        }
        while at > 0 && self.readings - self.visits[at - 1] > 4000 {
            at -= 1;
            self.forget(at);
        }
        let above = if at < self.values.len() { self.values[at] - x } else { f64::INFINITY };
        let below = if at > 0 { x - self.values[at - 1] } else { f64::INFINITY };
        let (distance, nearest) = if above <= below { (above, at) } else { (below, at - 1) };
        let surprise = (distance / self.span()).min(10.0);
        self.low = self.low.min(x);
        self.high = self.high.max(x);
        if distance > 0.02 * self.span() {
            if self.values.len() == 64 {
                let ages = self.visits.iter().enumerate();
                let oldest = ages.min_by_key(|(_, visit)| **visit).map_or(0, |(oldest, _)| oldest);
                self.forget(oldest);
                at -= usize::from(oldest < at);
            }
            self.values.insert(at, x);
            self.visits.insert(at, self.readings);
        } else {
            self.visits[nearest] = self.readings;
        }
        surprise
    }

    fn forget(&mut self, at: usize) {
        self.values.remove(at);
        self.visits.remove(at);
    }

    fn span(&self) -> f64 {
        (self.high - self.low).max(0.01 * self.low.abs().max(self.high.abs())).max(1e-9)
    }
}

/// Scores a number by the coefficient of variation of the last ten, over 0.3.
pub(crate) struct Volatility {
    lasts: SeriesMap<Lasts>,
}

/// The last ten numbers: two stacks, and what their moments are from each of the older ones on.
#[derive(Default)]
struct Lasts {
    older: Vec<Moments>,
    newer: Vec<f64>,
    moments: Option<Moments>,
    volatile: bool,
    /// How many in a row spoke for the other state.
    streak: u32,
}

#[derive(Clone, Copy)]
struct Moments {
    n: f64,
    mean: f64,
    m2: f64,
}

impl Plain for Volatility {
    type Emits = Reading;

    fn new(_: &Context) -> Volatility {
        Volatility { lasts: SeriesMap::new() }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Reading>) {
        for reading in readings {
            let Value::Float(x) = reading.value else { continue };
            let lasts = self.lasts.get_or_insert_with(reading.series, Lasts::default);
            let moments = lasts.push(x);
            let mut score = 0.0;
            if moments.n >= 3.0 {
                let stddev = (moments.m2 / (moments.n - 1.0)).sqrt();
                let volatility = stddev / moments.mean.abs().max(1e-9);
                lasts.judge(volatility);
                score = volatility / 0.3;
            }
            out.push(Reading { value: Value::Float(x), score, ..*reading });
        }
    }
}

impl Lasts {
    /// The series becomes volatile, or calm, after three in a row; nobody reads that here, but it is state.
    #[inline]
    fn judge(&mut self, volatility: f64) {
        let other = if self.volatile { volatility <= 0.06 } else { volatility >= 0.3 };
        self.streak = if other { self.streak + 1 } else { 0 };
        if self.streak >= 3 {
            self.volatile = !self.volatile;
            self.streak = 0;
        }
    }

    #[inline]
    fn push(&mut self, x: f64) -> Moments {
        if self.older.len() + self.newer.len() == 10 {
            if self.older.is_empty() {
                let mut later: Option<Moments> = None;
                while let Some(x) = self.newer.pop() {
                    let next = later.map_or(Moments::of(x), |later| Moments::of(x).then(later));
                    self.older.push(next);
                    later = Some(next);
                }
                self.moments = None;
            }
            self.older.pop();
        }
        self.newer.push(x);
        let newer = self.moments.map_or(Moments::of(x), |moments| moments.then(Moments::of(x)));
        self.moments = Some(newer);
        self.older.last().map_or(newer, |older| older.then(newer))
    }
}

impl Moments {
    fn of(x: f64) -> Moments {
        Moments { n: 1.0, mean: x, m2: 0.0 }
    }

    fn then(self, later: Moments) -> Moments {
        let n = self.n + later.n;
        let apart = later.mean - self.mean;
        let share = later.n / n;
        Moments {
            n,
            mean: self.mean + apart * share,
            m2: self.m2 + later.m2 + apart * apart * (self.n * share),
        }
    }
}
