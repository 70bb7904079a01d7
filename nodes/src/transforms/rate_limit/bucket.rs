//! A bucket of tokens, kept as one instant.

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;

/// When the bucket is full again, in nanoseconds since 1970. It is the generic cell rate algorithm, ITU-T I.371 (2004), annex A; what
/// is kept is its theoretical arrival time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bucket(i128);

impl Default for Bucket {
    /// A full one.
    fn default() -> Self {
        Bucket(i128::MIN)
    }
}

const NANOS: i128 = 1000;

impl Bucket {
    /// Whether nothing is lacking.
    pub(super) fn is_full(self, now: Timestamp) -> bool {
        self.0 <= i128::from(now.as_micros()) * NANOS
    }
}

/// How tokens come back, and how many a bucket holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Nanoseconds from one token to the next.
    pause: i128,
    burst: i128,
}

impl Rate {
    pub(super) fn new(limit: u32, per: Duration, burst: u32) -> Rate {
        // Rounded up, so that never more pass than are allowed.
        let (per, limit) = (i128::from(per.as_micros()) * NANOS, i128::from(limit.max(1)));
        Rate { pause: ((per + limit - 1) / limit).max(1), burst: i128::from(burst.max(1)) }
    }

    /// Takes a token; false where there is none.
    #[inline]
    pub(super) fn takes(&self, bucket: &mut Bucket, now: Timestamp) -> bool {
        let now = i128::from(now.as_micros()) * NANOS;
        // Under other settings it may have lacked more than it now holds.
        let full = bucket.0.clamp(now, now + self.burst * self.pause);
        let passes = full - now <= (self.burst - 1) * self.pause;
        *bucket = Bucket(if passes { full + self.pause } else { full });
        passes
    }
}
