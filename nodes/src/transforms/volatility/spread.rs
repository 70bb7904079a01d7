//! The median of the last readings of a series, and how far they lie from it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What makes the median absolute deviation of a normal distribution its standard deviation: 1 / Φ⁻¹(3/4). F. R. Hampel, "The
/// Influence Curve and Its Role in Robust Estimation" (1974).
const TO_STDDEV: f64 = 1.4826;

/// The values of a window, in their order and sorted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    values: VecDeque<f64>,
    sorted: Vec<f64>,
}

impl Spread {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Adds the newest value; the oldest make room, so that there are at most so many.
    pub(super) fn slide(&mut self, x: f64, room: usize) {
        while self.len() >= room {
            self.pop();
        }
        self.push(x);
    }

    /// Adds the newest value.
    pub(super) fn push(&mut self, x: f64) {
        self.values.push_back(x);
        let at = self.sorted.partition_point(|&value| value < x);
        self.sorted.insert(at, x);
    }

    /// All values, the oldest first.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        self.values.iter().copied()
    }

    /// Removes the oldest value.
    pub(super) fn pop(&mut self) {
        let Some(x) = self.values.pop_front() else { return };
        let at = self.sorted.partition_point(|&value| value < x);
        if at < self.sorted.len() {
            self.sorted.remove(at);
        }
    }

    /// 1.4826 times the median absolute deviation from the median, over the magnitude of the median, which counts as at least `floor`:
    /// the coefficient of variation, made robust. C. N. P. G. Arachchige, L. A. Prendergast, R. G. Staudte, "Robust analogs to the coefficient of
    /// variation" (2022), RCV_M.
    pub(super) fn variation(&self, floor: f64) -> f64 {
        let middle = middle_of(self.sorted.len(), |at| self.sorted.get(at).copied().unwrap_or(0.0));
        let deviation = middle_of(self.sorted.len(), |rank| self.deviation(middle, rank));
        TO_STDDEV * deviation / middle.abs().max(floor)
    }

    /// The deviation from the median of a rank, 0 being the least: deviations grow to both sides of the median, so this
    /// is a selection from two sorted runs, by bisection.
    fn deviation(&self, middle: f64, rank: usize) -> f64 {
        let split = self.sorted.partition_point(|&value| value < middle);
        let (below, above) = self.sorted.split_at(split);
        let below = |at: usize| below.iter().rev().nth(at).map_or(f64::INFINITY, |x| middle - x);
        let above = |at: usize| above.get(at).map_or(f64::INFINITY, |x| x - middle);
        // How many of the `rank` least deviations lie below the median.
        let (mut low, mut high) = (0, rank);
        while low < high {
            let taken = usize::midpoint(low, high);
            if above(rank - taken - 1) <= below(taken) {
                high = taken;
            } else {
                low = taken + 1;
            }
        }
        below(low).min(above(rank - low))
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(super) fn is_whole(&self) -> bool {
        let mut values: Vec<f64> = self.values.iter().copied().collect();
        values.sort_by(f64::total_cmp);
        values.iter().zip(&self.sorted).all(|(a, b)| a == b && a.is_finite())
            && values.len() == self.sorted.len()
    }
}

/// The median of `n` sorted values: of an even number, the mean of the two in the middle.
fn middle_of(n: usize, nth: impl Fn(usize) -> f64) -> f64 {
    match n {
        0 => 0.0,
        n if n % 2 == 1 => nth(n / 2),
        n => f64::midpoint(nth(n / 2 - 1), nth(n / 2)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        if n % 2 == 1 { values[n / 2] } else { f64::midpoint(values[n / 2 - 1], values[n / 2]) }
    }

    proptest! {
        #[test]
        fn is_as_defined(
            values in prop::collection::vec(
                prop_oneof![(-5i32..5).prop_map(f64::from), -1e3..1e3f64], 1..120),
            room in 1usize..25,
        ) {
            let mut spread = Spread::default();
            for at in 0..values.len() {
                if spread.len() == room {
                    spread.pop();
                }
                spread.push(values[at]);
                let window = values[(at + 1).saturating_sub(room)..=at].to_vec();
                let middle = median(window.clone());
                let deviation = median(window.iter().map(|x| (x - middle).abs()).collect());
                prop_assert_eq!(spread.variation(0.5), 1.4826 * deviation / middle.abs().max(0.5));
                prop_assert!(spread.is_whole());
            }
        }
    }

    #[test]
    fn one_outlier_does_not_move_it() {
        let mut spread = Spread::default();
        [20.0, 20.1, 19.9, 20.0, 85.0].into_iter().for_each(|x| spread.push(x));
        assert!(spread.variation(1e-9) < 0.01);
    }
}
