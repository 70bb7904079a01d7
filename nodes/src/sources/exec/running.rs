//! A program that runs, and what it wrote and nobody took yet.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::io::child::{Child, Lines};

/// How long the output of a program that has ended may be open still, since something that it started writes its last, and how long a program
/// may run on that has closed its output.
const GRACE: Duration = Duration::from_secs(1);
/// How many pieces are read at the end of that: more than a pipe holds.
const LAST_PIECES: usize = 64;

/// See the module.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) lines: Lines,
    /// Whether it may go on working once its output is closed.
    goes_on: bool,
    /// Either it has ended or its output has: until when the other may follow.
    until: Option<Instant>,
}

impl Running {
    /// One of which each line is taken as it comes. `longest`: how many bytes a line may have.
    pub(super) fn of_lines(child: Child, longest: usize) -> Running {
        Running { child, lines: Lines::new(longest), goes_on: false, until: None }
    }

    /// One of which all is taken at its end.
    pub(super) fn of_one_text(child: Child) -> Running {
        Running { child, lines: Lines::new(usize::MAX), goes_on: true, until: None }
    }

    /// Waits for more. False when there is none: it has ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> bool {
        let exit = self.child.exit();
        tokio::pin!(exit);
        loop {
            let has_ended = self.child.exited().is_some();
            let Some(output) = &self.child.output else {
                let until = *self.until.get_or_insert_with(|| Instant::now() + GRACE);
                tokio::select! {
                    biased;
                    _ = &mut exit, if !has_ended => {}
                    () = sleep_until(until), if !has_ended && !self.goes_on => self.child.kill(),
                    else => {}
                }
                return false;
            };
            if has_ended && self.until.is_none() {
                self.until = Some(Instant::now() + GRACE);
            }
            let until = self.until.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                read = self.lines.fill(output) => {
                    if matches!(read, Ok(1..)) {
                        return true;
                    }
                    (self.child.output, self.until) = (None, None);
                }
                _ = &mut exit, if !has_ended => {}
                () = sleep_until(until), if has_ended => {
                    // What it left running does not hold it up any longer.
                    self.child.kill();
                    for _ in 0..LAST_PIECES {
                        if !matches!(self.lines.try_fill(output), Ok(1..)) {
                            break;
                        }
                    }
                    (self.child.output, self.until) = (None, None);
                    return true;
                }
            }
        }
    }
}
