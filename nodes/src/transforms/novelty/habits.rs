//! What values a series usually has, and how far a new one is from all of them: the core of the score. Pure: no time, no series.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// The most that [`Habits::surprise`] gives: ten times the span ever seen.
const SURPRISE_MAX: f64 = 10.0;

/// The smallest span there is, for a series that has always been zero.
const SPAN_MIN: f64 = 1e-9;

/// How finely and for how long values are remembered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Acuity {
    /// A value that is nearer than this share of the span to a remembered one is the same habit.
    pub(super) vigilance: f64,
    /// After how many readings without a visit a habit is forgotten; below 2³¹.
    pub(super) memory: u32,
    /// How many habits are remembered at most.
    pub(super) cells: usize,
    /// The span is taken to be at least this share of the greatest magnitude seen.
    pub(super) span_floor: f64,
    /// The span is taken to be at least this, in the series' unit.
    pub(super) span_min: f64,
}

/// The remembered values of one series, each with the reading that last visited it.
///
/// Two arrays, sorted by value, that grow to [`Acuity::cells`] entries of 12 bytes and no further.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Habits {
    low: f64,
    high: f64,
    /// How many readings there were; also the number of the latest.
    readings: u32,
    values: Vec<f64>,
    visits: Vec<u32>,
    /// The farthest that a value was from the remembered one it was taken for.
    grain: f64,
}

impl Habits {
    /// How many readings there were, as far as that is below 2³¹.
    pub(super) fn readings(&self) -> u32 {
        self.readings
    }

    /// Takes a finite value and says how far it is from the nearest remembered one, as a share of the span of all values before
    /// it: 0 for a habit, at most 10.
    #[inline]
    pub(super) fn surprise(&mut self, x: f64, acuity: &Acuity) -> f64 {
        if self.readings == u32::MAX {
            self.renumber();
        }
        self.readings += 1;
        if self.values.is_empty() {
            (self.low, self.high) = (x, x);
            self.values.push(x);
            self.visits.push(self.readings);
            return 0.0;
        }
        let at = self.search(x, acuity.memory);
        let (distance, nearest) = self.nearest(x, at);
        let surprise = (distance / self.span(acuity)).min(SURPRISE_MAX);
        if x < self.low {
            self.low = x;
        }
        if x > self.high {
            self.high = x;
        }
        if distance > acuity.vigilance * self.span(acuity) {
            self.insert(x, at, acuity.cells);
        } else if let Some(visit) = self.visits.get_mut(nearest) {
            *visit = self.readings;
            if distance > self.grain {
                self.grain = distance;
            }
        }
        surprise
    }

    /// Where `x` belongs. Both its neighbours are then remembered ones: forgotten ones were removed on the way.
    fn search(&mut self, x: f64, memory: u32) -> usize {
        let mut at = self.values.partition_point(|&value| value < x);
        let forgotten = |visits: &[u32], place: usize| {
            visits.get(place).is_some_and(|&visit| self.readings - visit > memory)
        };
        loop {
            if forgotten(&self.visits, at) {
                self.values.remove(at);
                self.visits.remove(at);
            } else if at > 0 && forgotten(&self.visits, at - 1) {
                at -= 1;
                self.values.remove(at);
                self.visits.remove(at);
            } else {
                return at;
            }
        }
    }

    /// The distance to the nearer neighbour of a place, and where that is; of two as near, the upper.
    fn nearest(&self, x: f64, at: usize) -> (f64, usize) {
        let above = self.values.get(at).map_or(f64::INFINITY, |&value| value - x);
        let below = at.checked_sub(1).and_then(|place| self.values.get(place));
        let below = below.map_or(f64::INFINITY, |&value| x - value);
        if above <= below { (above, at) } else { (below, at.saturating_sub(1)) }
    }

    /// The span of all values so far, with its floors; never infinite, so that no division by it gives NaN.
    fn span(&self, acuity: &Acuity) -> f64 {
        (self.high - self.low)
            .max(acuity.span_floor * self.low.abs().max(self.high.abs()))
            .max(acuity.span_min)
            .clamp(SPAN_MIN, f64::MAX)
    }

    /// Remembers a value at its place; the one visited longest ago makes room.
    fn insert(&mut self, x: f64, mut at: usize, cells: usize) {
        while self.values.len() >= cells.max(1) {
            let oldest = self.visits.iter().enumerate().min_by_key(|(_, visit)| **visit);
            let Some((oldest, _)) = oldest else { break };
            self.values.remove(oldest);
            self.visits.remove(oldest);
            at -= usize::from(oldest < at);
        }
        self.values.insert(at, x);
        self.visits.insert(at, self.readings);
    }

    /// Counts on from 2³¹, as the count is full. Ages below 2³¹ stay exact.
    #[cold]
    fn renumber(&mut self) {
        const STEP: u32 = 1 << 31;
        self.readings -= STEP;
        self.visits.iter_mut().for_each(|visit| *visit = visit.saturating_sub(STEP));
    }

    /// Whether what was learnt does for this acuity: no value that was taken for a remembered one is news, which begins at a
    /// share of the span.
    pub(super) fn is_fine_enough(&self, news: f64, acuity: &Acuity) -> bool {
        self.values.is_empty() || self.grain < news * self.span(acuity)
    }

    /// Forgets the values outside of a range, and the span that they made. Says whether there were any. What lies so little
    /// outside that it can stand for a value inside stays.
    pub(super) fn forget_outside(&mut self, range: RangeInclusive<f64>) -> bool {
        let range = range.start() - self.grain..=range.end() + self.grain;
        if self.values.is_empty() || range.contains(&self.low) && range.contains(&self.high) {
            return false;
        }
        let (values, visits) = (&self.values, &self.visits);
        let inside = values.iter().copied().zip(visits.iter().copied());
        let (values, visits) = inside.filter(|(value, _)| range.contains(value)).unzip();
        (self.values, self.visits) = (values, visits);
        match (self.values.first(), self.values.last()) {
            (Some(low), Some(high)) => (self.low, self.high) = (*low, *high),
            _ => *self = Habits::default(),
        }
        true
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(super) fn is_whole(&self) -> bool {
        self.values.len() == self.visits.len()
            && self.values.is_sorted_by(|one, next| one < next)
            && self.values.iter().all(|value| value.is_finite())
            && self.visits.iter().all(|visit| *visit <= self.readings)
            && self.low.is_finite()
            && self.high.is_finite()
            && self.grain >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn acuity() -> Acuity {
        Acuity { vigilance: 0.02, memory: 4000, cells: 64, span_floor: 0.01, span_min: 0.0 }
    }

    /// The definition, step by step, with an unsorted list and a linear search.
    #[derive(Default)]
    struct Naive {
        seen: Vec<f64>,
        cells: Vec<(f64, usize)>,
    }

    impl Naive {
        fn span(&self, acuity: &Acuity) -> f64 {
            let low = self.seen.iter().copied().fold(f64::INFINITY, f64::min);
            let high = self.seen.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (high - low)
                .max(acuity.span_floor * low.abs().max(high.abs()))
                .max(acuity.span_min)
                .max(1e-9)
        }

        fn around(&self, x: f64) -> [Option<usize>; 2] {
            let places = 0..self.cells.len();
            let value = |&place: &usize| self.cells[place].0;
            let by = |a: &usize, b: &usize| value(a).total_cmp(&value(b));
            [
                places.clone().filter(|place| value(place) >= x).min_by(by),
                places.filter(|place| value(place) < x).max_by(by),
            ]
        }

        fn surprise(&mut self, x: f64, acuity: &Acuity) -> f64 {
            let now = self.seen.len() + 1;
            let stale = |cell: &(f64, usize)| now - cell.1 > acuity.memory as usize;
            while let Some(old) =
                self.around(x).into_iter().flatten().find(|&place| stale(&self.cells[place]))
            {
                self.cells.remove(old);
            }
            let nearest = self.around(x).into_iter().flatten().min_by(|&a, &b| {
                (self.cells[a].0 - x).abs().total_cmp(&(self.cells[b].0 - x).abs())
            });
            let distance = nearest.map(|place| (self.cells[place].0 - x).abs());
            let surprise =
                distance.map_or(0.0, |distance| (distance / self.span(acuity)).min(10.0));
            self.seen.push(x);
            match (distance, nearest) {
                (Some(distance), Some(nearest))
                    if distance <= acuity.vigilance * self.span(acuity) =>
                {
                    self.cells[nearest].1 = now;
                }
                _ => {
                    if self.cells.len() == acuity.cells {
                        let oldest = (0..self.cells.len()).min_by_key(|&at| self.cells[at].1);
                        self.cells.remove(oldest.unwrap());
                    }
                    self.cells.push((x, now));
                }
            }
            surprise
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn is_as_defined(
            // Few distinct values of a coarse grid meet each other, forget each other and tie; fine ones fill the cells.
            values in prop::collection::vec(
                prop_oneof![(-4i32..5).prop_map(f64::from), -100.0..100.0f64, Just(1e6)], 1..200),
            vigilance in 0.0..0.1f64,
            memory in 1u32..40,
            cells in 1usize..12,
            span_min in prop_oneof![Just(0.0), 0.0..50.0f64],
        ) {
            let acuity = Acuity { vigilance, memory, cells, span_floor: 0.01, span_min };
            let (mut habits, mut naive) = (Habits::default(), Naive::default());
            for x in values {
                prop_assert_eq!(habits.surprise(x, &acuity), naive.surprise(x, &acuity));
                prop_assert!(habits.values.len() <= cells && habits.is_whole());
            }
        }
    }

    #[test]
    fn extremes_neither_overflow_nor_become_nan() {
        let mut habits = Habits::default();
        for x in [0.0, f64::MAX, f64::MIN, -0.0, f64::MIN_POSITIVE, f64::MAX] {
            let surprise = habits.surprise(x, &acuity());
            assert!((0.0..=10.0).contains(&surprise), "{x}: {surprise}");
        }
    }

    #[test]
    fn a_full_count_changes_nothing() {
        let values = [1.0, 5.0, 1.0, 9.0, 5.0, 2.0, 9.0];
        let mut near = Habits { readings: 10, ..Habits::default() };
        let mut full = Habits { readings: u32::MAX - 3, ..Habits::default() };
        let acuity = Acuity { memory: 3, ..acuity() };
        for x in values {
            assert_eq!(near.surprise(x, &acuity), full.surprise(x, &acuity));
        }
        assert!(full.readings < u32::MAX / 2 + 10, "counted anew");
    }

    #[test]
    fn sixty_four_cells_take_768_bytes() {
        let mut habits = Habits::default();
        for x in 0..1000 {
            habits.surprise(f64::from(x * x % 977), &Acuity { vigilance: 0.0, ..acuity() });
        }
        assert_eq!(habits.values.capacity() * 8 + habits.visits.capacity() * 4, 768);
    }
}
