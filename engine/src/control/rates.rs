//! Counts into rates.

use std::collections::VecDeque;

use crate::duration::Duration;
use crate::time::Timestamp;

/// Over how long a rate is measured.
const SPAN: Duration = Duration::from_secs(10);
/// The fewest microseconds between two samples.
const STEP: Duration = Duration::from_secs(2);

/// Samples of one counter, for its rate over the last ten seconds or so.
///
/// Whoever runs the counter calls [`Rates::sample`] every two seconds or more often; the work is a comparison when it is not due.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    samples: VecDeque<(Timestamp, u64)>,
}

impl Rates {
    /// Notes what the counter says, if the last note is two seconds old.
    pub fn sample(&mut self, now: Timestamp, count: u64) {
        if self.samples.back().is_some_and(|(last, _)| now.since(*last) < STEP) {
            return;
        }
        self.samples.push_back((now, count));
        // The oldest note that stays is the newest that is as old as the span.
        while self.samples.get(1).is_some_and(|(time, _)| now.since(*time) >= SPAN) {
            self.samples.pop_front();
        }
    }

    #[cfg(test)]
    pub(super) fn samples_kept(&self) -> usize {
        self.samples.len()
    }

    /// By how much the counter grew per second since the oldest note; 0 when there is none. A counter that began anew has no rate
    /// until its next note.
    #[must_use]
    pub fn per_second(&self, now: Timestamp, count: u64) -> f64 {
        let Some((since, before)) = self.samples.front() else { return 0.0 };
        let seconds = now.since(*since).as_secs_f64();
        if seconds > 0.0 { count.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }
}
