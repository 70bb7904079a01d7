//! When a program that has ended is started again.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::run::{Backoff, RetrySpec};
use tokio::time::Instant;

/// A program that ran this long was no failed start.
const LONG: Duration = Duration::from_secs(10);

/// Whether a program that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// However it ended.
    #[default]
    Always,
    /// Unless it ended with exit code 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// The pauses between the starts of a program: they double while it does not run for long.
#[derive(Debug)]
pub struct Restarts {
    backoff: Backoff,
    began: Option<Instant>,
    due: Option<Instant>,
}

impl Restarts {
    /// Before the first start. `seed` makes the pauses of one node differ from another's.
    #[must_use]
    pub fn new(seed: &str) -> Restarts {
        Restarts { backoff: Backoff::new(RetrySpec::default(), seed), began: None, due: None }
    }

    /// When it may be started, where that is not now.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due.filter(|due| *due > Instant::now())
    }

    /// It is started now.
    pub fn begins(&mut self) {
        self.began = Some(Instant::now());
    }

    /// It ended, or could not be started. How long to wait before the next start.
    pub fn ended(&mut self) -> Duration {
        if self.began.take().is_some_and(|began| began.elapsed() >= LONG) {
            self.backoff.reset();
        }
        let pause = self.backoff.failed().unwrap_or_default();
        self.due = Some(Instant::now() + pause);
        pause
    }
}
