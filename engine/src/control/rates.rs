//! Counts into rates.

use std::collections::VecDeque;

use crate::duration::Duration;
use crate::time::Timestamp;

/// Over how long a rate is measured, where nothing else is said.
const SPAN: Duration = Duration::from_secs(10);
/// How many samples there are in that time.
const SAMPLES: i64 = 5;

/// Samples of one counter, for its rate over the last ten seconds or so, or over another time.
///
/// Whoever runs the counter calls [`Rates::sample`] every two seconds or more often; the work is a comparison when it is not due.
#[derive(Debug, Clone)]
pub struct Rates {
    span: Duration,
    samples: VecDeque<(Timestamp, u64)>,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates::over(SPAN)
    }
}

impl Rates {
    /// A rate over so long.
    #[must_use]
    pub fn over(span: Duration) -> Rates {
        Rates { span, samples: VecDeque::new() }
    }

    /// Notes what the counter says, if the last note is old enough: a fifth of the span.
    pub fn sample(&mut self, now: Timestamp, count: u64) {
        let step = Duration::from_micros(self.span.as_micros() / SAMPLES);
        if self.samples.back().is_some_and(|(last, _)| now.since(*last) < step) {
            return;
        }
        self.samples.push_back((now, count));
        // The oldest note that stays is the newest that is as old as the span.
        while self.samples.get(1).is_some_and(|(time, _)| now.since(*time) >= self.span) {
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
