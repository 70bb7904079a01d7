//! How far it is, for whoever waits for it at a terminal.

use std::time::{Duration, Instant};

use crate::terminal;
use crate::text::{count, percent};

/// How often it is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug)]
pub(super) struct Progress {
    /// When it was drawn last; `None` where nobody looks.
    drawn: Option<Instant>,
    rows: u64,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { drawn: terminal::stderr_is_terminal().then(Instant::now), rows: 0 }
    }

    /// So many more rows were read, up to an id; `last` is the largest there is.
    pub(super) fn rows(&mut self, rows: usize, upto: i64, last: Option<i64>) {
        let Some(drawn) = &mut self.drawn else { return };
        self.rows += rows as u64;
        if drawn.elapsed() < DRAWN_EVERY {
            return;
        }
        *drawn = Instant::now();
        let number = |id: i64| u64::try_from(id).unwrap_or(0);
        let share = last.map_or(String::new(), |last| {
            format!(", {}", percent(number(upto.min(last)), number(last)))
        });
        terminal::screen().draw(vec![format!("{}{share}", count(self.rows, "old reading"))]);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            terminal::screen().draw(Vec::new());
        }
    }
}
