//! The clock of a host under test: virtual time, which stands still while anybody has something to do, and jumps where the test says so.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::clock::Clock;
use crate::duration::Duration;
use crate::time::Timestamp;

/// See the module.
#[derive(Debug)]
pub(super) struct HostClock {
    start: Timestamp,
    /// When it jumps, by the time that really passed, and by how many microseconds.
    jumps: Vec<(Duration, i64)>,
    /// What had passed when this life of the host began, and that instant on the clock of its runtime.
    life: Mutex<(Duration, Option<Instant>)>,
    latest: AtomicI64,
}

impl HostClock {
    pub(super) fn new(start: Timestamp, jumps: Vec<(Duration, i64)>) -> HostClock {
        let life = Mutex::new((Duration::ZERO, None));
        HostClock { start, jumps, life, latest: AtomicI64::new(i64::MIN) }
    }

    fn life(&self) -> std::sync::MutexGuard<'_, (Duration, Option<Instant>)> {
        // Nothing in here panics half-way.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life of the host begins: within the runtime that it has.
    pub(super) fn begin(&self) {
        self.life().1 = Some(Instant::now());
        self.latest.store(i64::MIN, Ordering::Relaxed);
    }

    /// It ends.
    pub(super) fn end(&self) {
        let passed = self.passed();
        *self.life() = (passed, None);
    }

    /// When this life began.
    pub(super) fn began(&self) -> Duration {
        self.life().0
    }

    /// How much time really passed since the start of the test.
    pub(super) fn passed(&self) -> Duration {
        let (before, began) = *self.life();
        let micros = began.map_or(0, |began| began.elapsed().as_micros());
        let micros = i64::try_from(micros).unwrap_or(i64::MAX);
        Duration::from_micros(before.as_micros().saturating_add(micros))
    }

    /// Waits until so much has passed.
    pub(super) async fn sleep_until(&self, at: Duration) {
        let left = at.as_micros().saturating_sub(self.passed().as_micros());
        if let Ok(left @ 1..) = u64::try_from(left) {
            tokio::time::sleep(std::time::Duration::from_micros(left)).await;
        }
    }
}

impl HostClock {
    /// What the clock says by itself when so much has passed.
    fn moved(&self, passed: Duration) -> i64 {
        let jumps = self.jumps.iter().filter(|(at, _)| *at <= passed).map(|(_, by)| *by);
        let moved = jumps.fold(passed.as_micros(), i64::saturating_add);
        self.start.as_micros().saturating_add(moved)
    }

    /// What a source that asks the clock at that time dates its reading: to the microsecond, where the runtime's clock goes by
    /// milliseconds.
    pub(super) fn date(&self, passed: Duration) -> Timestamp {
        let moved = self.moved(passed);
        let held = self.latest.load(Ordering::Relaxed);
        let went_back = self.jumps.iter().any(|(at, by)| *at <= passed && *by < 0);
        Timestamp::from_micros(if went_back { moved.max(held) } else { moved })
    }
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        let now = self.moved(self.passed());
        // As the machine's clock, which is held back where it would run backwards.
        let before = self.latest.fetch_max(now, Ordering::Relaxed);
        Timestamp::from_micros(now.max(before))
    }
}
