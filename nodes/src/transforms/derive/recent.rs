//! The mean of what came lately.

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;

/// So many are kept one by one.
const KEPT_MAX: usize = 1024;
/// Into so many steps the span is cut where they are more.
const STEPS: f64 = 512.0;

/// The readings of a span of time, and their sum, without ever subtracting: what left leaves no rounding error behind.
///
/// The queue of two stacks: K. Tangwongsan, M. Hirzel, S. Schneider, "Sliding-Window Aggregation Algorithms" (2019), 3.2.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recent {
    /// The older samples, the oldest last, each with all that are not older than it among them.
    older: Vec<(Sample, Sum)>,
    newer: Vec<Sample>,
    /// Of the newer samples.
    sum: Sum,
    /// Whether neighbours are taken together.
    coarse: bool,
}

/// A reading, or some neighbours, with the time of the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sample {
    time: Timestamp,
    sum: Sum,
}

/// Some numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    sum: f64,
    count: u64,
}

impl Sum {
    fn and(self, other: Sum) -> Sum {
        Sum { sum: self.sum + other.sum, count: self.count + other.count }
    }
}

impl Recent {
    /// Takes a reading that is not older than the last one, and gives the mean of the last so long.
    #[inline]
    pub(super) fn take(&mut self, time: Timestamp, value: f64, span: Duration) -> f64 {
        while self.oldest().is_some_and(|oldest| time.since(oldest) >= span) {
            self.pop();
        }
        if self.older.len() + self.newer.len() >= KEPT_MAX {
            self.thin(span);
        }
        self.push(Sample { time, sum: Sum { sum: value, count: 1 } }, span);
        let all = self.older.last().map_or(self.sum, |(_, older)| older.and(self.sum));
        all.sum / all.count as f64
    }

    fn oldest(&self) -> Option<Timestamp> {
        let older = self.older.last().map(|(sample, _)| sample.time);
        older.or_else(|| self.newer.first().map(|sample| sample.time))
    }

    fn push(&mut self, sample: Sample, span: Duration) {
        self.sum = self.sum.and(sample.sum);
        if self.coarse
            && let Some(last) = self.newer.last_mut()
        {
            let step = span.mul_f64(1.0 / STEPS).max(Duration::from_micros(1));
            if last.time.floor_to(step) == sample.time.floor_to(step) {
                *last = Sample { time: sample.time, sum: last.sum.and(sample.sum) };
                return;
            }
        }
        self.newer.push(sample);
    }

    fn pop(&mut self) {
        if self.older.is_empty() {
            let mut sum = Sum::default();
            while let Some(sample) = self.newer.pop() {
                sum = sample.sum.and(sum);
                self.older.push((sample, sum));
            }
            self.sum = Sum::default();
        }
        self.older.pop();
        self.coarse &= !(self.older.is_empty() && self.newer.is_empty());
    }

    /// Takes neighbours together, and from now on all that come.
    #[cold]
    fn thin(&mut self, span: Duration) {
        self.coarse = true;
        let older = std::mem::take(&mut self.older).into_iter().rev().map(|(sample, _)| sample);
        let newer = std::mem::take(&mut self.newer);
        self.sum = Sum::default();
        for sample in older.chain(newer) {
            self.push(sample, span);
        }
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(super) fn is_whole(&self) -> bool {
        self.sum.count == self.newer.iter().map(|sample| sample.sum.count).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_readings_take_little_room_and_have_nearly_their_mean() {
        let mut recent = Recent::default();
        let span = Duration::from_secs(100);
        let mut mean = 0.0;
        for milli in 0..300_000_i64 {
            let time = Timestamp::EPOCH + Duration::from_millis(milli);
            mean = recent.take(time, milli as f64, span);
            assert!(recent.older.len() + recent.newer.len() <= KEPT_MAX);
        }
        let exact = 299_999.0 - (100_000.0 - 1.0) / 2.0;
        assert!((mean - exact).abs() < 200.0, "{mean}, and not {exact}");
        assert!(recent.is_whole());
    }

    #[test]
    fn what_left_leaves_nothing_behind() {
        let mut recent = Recent::default();
        let at = |second| Timestamp::EPOCH + Duration::from_secs(second);
        recent.take(at(0), 1e300, Duration::from_secs(10));
        recent.take(at(5), 0.1, Duration::from_secs(10));
        assert_eq!(recent.take(at(10), 0.3, Duration::from_secs(10)), 0.2);
    }
}
