//! Trying again: how long to wait between tries, and when to give up.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::duration::Duration;

/// What `retry` says in a pipeline file: how a node that could not do its work tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySpec {
    /// The pause before the second try. It doubles with every further one. Default `200ms`.
    pub initial: Duration,
    /// The longest pause. Default `30s`.
    pub max: Duration,
    /// After so many tries the items go to the dead letters. Default 0: never, as long as the engine runs.
    pub attempts: u32,
}

impl Default for RetrySpec {
    fn default() -> Self {
        RetrySpec { initial: Duration::from_millis(200), max: Duration::from_secs(30), attempts: 0 }
    }
}

/// The pauses of one row of tries: they double up to the longest, each shortened by up to a half at random, so that nodes that
/// failed together do not come back together.
#[derive(Debug)]
pub struct Backoff {
    spec: RetrySpec,
    tries: u32,
    random: u64,
}

impl Backoff {
    /// Before the first try. `seed` makes the row of one node differ from another's.
    #[must_use]
    pub fn new(spec: RetrySpec, seed: &str) -> Backoff {
        let random = seed.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Backoff { spec, tries: 0, random: random | 1 }
    }

    /// How many tries have failed.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// A try failed: how long to wait before the next, or `None` to give up.
    pub fn failed(&mut self) -> Option<std::time::Duration> {
        self.tries = self.tries.saturating_add(1);
        if self.spec.attempts > 0 && self.tries >= self.spec.attempts {
            return None;
        }
        let doubled = self.spec.initial.mul_f64(2f64.powi(self.tries.min(31) as i32 - 1));
        // Marsaglia's xorshift64: good enough to spread pauses.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let share = 0.5 + (self.random >> 11) as f64 / (1u64 << 54) as f64;
        Some(doubled.min(self.spec.max).mul_f64(share).to_std())
    }

    /// A try succeeded.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest_and_are_spread() {
        let spec = RetrySpec { attempts: 12, ..RetrySpec::default() };
        let mut backoff = Backoff::new(spec, "p/n");
        let pauses: Vec<_> = std::iter::from_fn(|| backoff.failed()).collect();
        assert_eq!(pauses.len(), 11);
        for (tries, pause) in pauses.iter().enumerate() {
            let full = (0.2 * 2f64.powi(tries as i32)).min(30.0);
            let seconds = pause.as_secs_f64();
            assert!((full / 2.0..=full).contains(&seconds), "{tries}: {seconds}");
        }
    }
}
