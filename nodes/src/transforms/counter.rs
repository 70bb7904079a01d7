//! Counters are judged by how fast they grow: what `novelty` and `volatility` share.

use serde::{Deserialize, Serialize};
use smollama_engine::time::Timestamp;

/// The last value of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Counter {
    value: f64,
    time: Timestamp,
}

impl Counter {
    /// Takes a counter's next value, and gives its growth per second since the last one. `None` where that is not known: for the
    /// first value, for a value that is less than the last (the counter started anew, so what it missed is not known), and for
    /// a second value of one instant, whose growth is part of the next rate.
    pub(super) fn rate(last: &mut Option<Counter>, time: Timestamp, value: f64) -> Option<f64> {
        let Some(before) = last else {
            *last = Some(Counter { value, time });
            return None;
        };
        if value < before.value {
            *before = Counter { value, time };
            return None;
        }
        let seconds = time.since(before.time).as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let rate = (value - before.value) / seconds;
        *before = Counter { value, time };
        rate.is_finite().then_some(rate)
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(super) fn is_whole(&self) -> bool {
        self.value.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_has_a_rate_but_across_a_restart() {
        let mut last = None;
        let mut at = |second: i64, value| {
            Counter::rate(&mut last, Timestamp::from_micros(second * 1_000_000), value)
        };
        assert_eq!(at(0, 100.0), None, "the first");
        assert_eq!(at(10, 150.0), Some(5.0));
        assert_eq!(at(10, 170.0), None, "the same instant");
        assert_eq!(at(20, 200.0), Some(5.0), "and what it missed comes with the next");
        assert_eq!(at(30, 7.0), None, "started anew");
        assert_eq!(at(40, 17.0), Some(1.0));
    }
}
