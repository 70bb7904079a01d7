//! How far a backtest is, for whoever waits for it at a terminal.

use std::time::{Duration, Instant};

use smollama_engine::time::Timestamp;

use crate::terminal;
use crate::text::count;

/// How often it is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(200);
/// The clock is asked once for so many readings.
const ASKED_EVERY: u64 = 1_024;

/// See the module.
pub(super) struct Progress {
    /// When it was drawn last; `None` where nobody looks.
    drawn: Option<Instant>,
    readings: u64,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { drawn: terminal::stderr_is_terminal().then(Instant::now), readings: 0 }
    }

    pub(super) fn step(&mut self, time: Timestamp) {
        let Some(drawn) = &mut self.drawn else { return };
        self.readings += 1;
        if self.readings.is_multiple_of(ASKED_EVERY) && drawn.elapsed() >= DRAWN_EVERY {
            *drawn = Instant::now();
            let line = format!("{}, up to {time}", count(self.readings, "reading"));
            terminal::screen().draw(vec![line]);
        }
    }

    pub(super) fn end(&self) {
        if self.drawn.is_some() {
            terminal::screen().draw(Vec::new());
        }
    }
}
