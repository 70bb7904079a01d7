//! Where `now` comes from. Only the engine asks; nodes are told.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::time::Timestamp;

/// A clock that never goes back.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, held back where it would run backwards.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicI64,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = jiff::Timestamp::now().as_microsecond();
        let before = self.latest.fetch_max(now, Ordering::Relaxed);
        Timestamp::from_micros(now.max(before))
    }
}

/// A clock that stands still until it is set: virtual time.
#[derive(Debug)]
pub struct SimulatedClock(AtomicI64);

impl SimulatedClock {
    /// Stands at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> SimulatedClock {
        SimulatedClock(AtomicI64::new(start.as_micros()))
    }

    /// Moves on; a time before the present one changes nothing.
    pub fn advance_to(&self, to: Timestamp) {
        self.0.fetch_max(to.as_micros(), Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}
