//! Folds over the last readings of a series, without ever subtracting: what left the window leaves no rounding error behind.

use serde::{Deserialize, Serialize};

/// Something that is known of a run of values, and of two runs together once it is known of each.
pub(super) trait Fold: Copy {
    /// Of one value.
    fn of(x: f64) -> Self;
    /// Of this run with `later` after it.
    fn then(self, later: Self) -> Self;
    /// The first value of this run, of which all but that is `later`.
    fn first(self, later: Option<Self>) -> f64;
}

/// A fold over a queue of values, at a constant number of [`Fold::then`] per value on average.
///
/// The queue of two stacks: K. Tangwongsan, M. Hirzel, S. Schneider, "Sliding-Window Aggregation Algorithms" (2019), 3.2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sliding<F> {
    /// For each older value, the oldest last: the fold from it on to the end of the older ones.
    older: Vec<F>,
    /// The newer values.
    newer: Vec<f64>,
    /// The fold over the newer values.
    fold: Option<F>,
}

impl<F> Default for Sliding<F> {
    fn default() -> Self {
        Sliding { older: Vec::new(), newer: Vec::new(), fold: None }
    }
}

impl<F: Fold> Sliding<F> {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.older.len() + self.newer.len()
    }

    /// Adds the newest value; the oldest make room, so that there are at most so many.
    #[inline]
    pub(super) fn slide(&mut self, x: f64, room: usize) {
        while self.len() >= room {
            self.pop();
        }
        self.push(x);
    }

    /// Adds the newest value.
    #[inline]
    pub(super) fn push(&mut self, x: f64) {
        let one = F::of(x);
        self.fold = Some(self.fold.map_or(one, |fold| fold.then(one)));
        self.newer.push(x);
    }

    /// Removes the oldest value.
    #[inline]
    pub(super) fn pop(&mut self) {
        if self.older.is_empty() {
            self.turn();
        }
        self.older.pop();
    }

    #[inline(never)]
    fn turn(&mut self) {
        let mut fold: Option<F> = None;
        while let Some(x) = self.newer.pop() {
            let one = F::of(x);
            let next = fold.map_or(one, |later| one.then(later));
            self.older.push(next);
            fold = Some(next);
        }
        self.fold = None;
    }

    /// All values, the oldest first: as exactly as the folds tell.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        let later = |at: usize| at.checked_sub(1).and_then(|at| self.older.get(at)).copied();
        let older = self.older.iter().enumerate().rev();
        older.map(move |(at, fold)| fold.first(later(at))).chain(self.newer.iter().copied())
    }

    /// The fold over all values.
    #[inline]
    pub(super) fn fold(&self) -> Option<F> {
        match (self.older.last(), self.fold) {
            (Some(older), Some(newer)) => Some(older.then(newer)),
            (Some(fold), None) => Some(*fold),
            (None, newer) => newer,
        }
    }
}

/// Number, mean and sum of squared deviations. Two are joined after T. Chan, G. Golub, R. LeVeque, "Updating Formulae and a Pairwise
/// Algorithm for Computing Sample Variances" (1979).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    n: f64,
    mean: f64,
    m2: f64,
}

impl Fold for Moments {
    #[inline]
    fn of(x: f64) -> Self {
        Moments { n: 1.0, mean: x, m2: 0.0 }
    }

    #[inline]
    fn then(self, later: Self) -> Self {
        let n = self.n + later.n;
        let apart = later.mean - self.mean;
        let share = later.n / n;
        Moments {
            n,
            mean: self.mean + apart * share,
            m2: self.m2 + later.m2 + apart * apart * (self.n * share),
        }
    }

    fn first(self, later: Option<Self>) -> f64 {
        later.map_or(self.mean, |later| self.mean + (self.mean - later.mean) * later.n)
    }
}

impl Moments {
    /// Sample standard deviation (n − 1) over the magnitude of the mean, which counts as at least `floor`.
    #[inline]
    pub(super) fn variation(self, floor: f64) -> f64 {
        if self.n < 2.0 {
            return 0.0;
        }
        // Not `f64::max`, which takes longer as it looks for NaN.
        let mean = self.mean.abs();
        let magnitude = if mean > floor { mean } else { floor };
        (self.m2 / (self.n - 1.0)).sqrt() / magnitude
    }
}

/// How neighbours differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Steps {
    first: f64,
    last: f64,
    largest: f64,
    pairs: u32,
    different: u32,
}

impl Fold for Steps {
    #[inline]
    fn of(x: f64) -> Self {
        Steps { first: x, last: x, largest: 0.0, pairs: 0, different: 0 }
    }

    #[inline]
    fn then(self, later: Self) -> Self {
        let step = (later.first - self.last).abs();
        Steps {
            first: self.first,
            last: later.last,
            largest: self.largest.max(later.largest).max(step),
            pairs: self.pairs + later.pairs + 1,
            different: self.different + later.different + u32::from(step > 0.0),
        }
    }

    fn first(self, _: Option<Self>) -> f64 {
        self.first
    }
}

impl Steps {
    /// The largest difference between neighbours.
    pub(super) fn largest(self) -> f64 {
        self.largest
    }

    /// The share of neighbours that differ.
    pub(super) fn transition_rate(self) -> f64 {
        f64::from(self.different) / f64::from(self.pairs.max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_fold_over_what_is_in_the_window(
            values in prop::collection::vec(prop_oneof![-10.0..10.0f64, -1e9..1e9f64, Just(3.5)], 1..150),
            room in 1usize..30,
        ) {
            let (mut moments, mut steps) = (Sliding::<Moments>::default(), Sliding::<Steps>::default());
            for at in 0..values.len() {
                if moments.len() == room {
                    moments.pop();
                    steps.pop();
                }
                moments.push(values[at]);
                steps.push(values[at]);
                let window = &values[(at + 1).saturating_sub(room)..=at];
                prop_assert_eq!((moments.len(), steps.len()), (window.len(), window.len()));

                prop_assert_eq!(&steps.values().collect::<Vec<_>>()[..], window);
                let largest = window.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
                for (told, x) in moments.values().zip(window) {
                    prop_assert!((told - x).abs() <= 1e-13 * largest, "{} for {}", told, x);
                }

                let n = window.len() as f64;
                let mean = window.iter().sum::<f64>() / n;
                let m2 = window.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
                let fold = moments.fold().unwrap();
                let scale = window.iter().fold(0.0f64, |scale, x| scale.max(x.abs()));
                prop_assert_eq!(fold.n, n);
                prop_assert!((fold.mean - mean).abs() <= 1e-14 * scale);
                prop_assert!((fold.m2 - m2).abs() <= 1e-12 * m2.max(scale * scale * 1e-3));

                let pairs: Vec<f64> = window.windows(2).map(|two| (two[1] - two[0]).abs()).collect();
                let fold = steps.fold().unwrap();
                prop_assert_eq!(fold.largest(), pairs.iter().copied().fold(0.0, f64::max));
                let different = pairs.iter().filter(|step| **step > 0.0).count() as f64;
                prop_assert_eq!(fold.transition_rate(), different / pairs.len().max(1) as f64);
            }
        }
    }

    #[test]
    fn a_huge_value_that_left_leaves_no_trace() {
        let mut window = Sliding::<Moments>::default();
        for x in [1e15, 1.0, 2.0, 1.0, 2.0, 1.0] {
            if window.len() == 4 {
                window.pop();
            }
            window.push(x);
        }
        // Of 2, 1, 2, 1: the deviation is the root of a third.
        let variation = window.fold().unwrap().variation(1e-9);
        assert!((variation - (1.0f64 / 3.0).sqrt() / 1.5).abs() < 1e-15, "{variation}");
    }
}
