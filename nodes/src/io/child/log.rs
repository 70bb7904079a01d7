//! What a program says besides its work: to the log, a line at a time, not more than a reader can follow. Its last words are kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{Line, Lines, Program};

/// So many lines go to the log in a span of time; how many more there were is said at its end.
const LINES_MAX: u32 = 20;
const SPAN: Duration = Duration::from_secs(10);
/// How much of a line is shown, in bytes.
const LINE_MAX: usize = 1 << 10;
/// How many of the last lines are kept, and how much of each, in characters.
const KEPT: usize = 3;
const KEPT_CHARS: usize = 200;

/// Reads what a program says until its end.
#[derive(Debug)]
pub(super) struct Log {
    kept: Arc<Mutex<VecDeque<String>>>,
    ended: watch::Receiver<bool>,
    reading: Option<AbortHandle>,
}

impl Log {
    /// Of a program that says nothing.
    pub(super) fn none() -> Log {
        Log { kept: Arc::default(), ended: watch::channel(true).1, reading: None }
    }

    /// Reads what comes through a pipe from now on.
    pub(super) fn new(pipe: Option<pipe::Receiver>, program: &Program) -> Log {
        let kept = Arc::<Mutex<VecDeque<String>>>::default();
        let (say, ended) = watch::channel(pipe.is_none());
        let reading = pipe.map(|pipe| {
            let (node, name) = (program.address.clone(), program.name.clone());
            let mut reader =
                Reader { node, name, kept: kept.clone(), span: None, said: 0, more: 0 };
            let read = async move {
                reader.read(&pipe).await;
                say.send_replace(true);
            };
            tokio::spawn(read).abort_handle()
        });
        Log { kept, ended, reading }
    }

    /// Waits until it was closed, by the program and all it started. Cancel-safe.
    pub(super) async fn end(&mut self) {
        // Without a reader it has ended, too.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    /// The last lines, in one.
    pub(super) fn last(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(String::as_str).collect::<Vec<_>>().join(" / ")
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}

struct Reader {
    node: Arc<str>,
    name: Arc<str>,
    kept: Arc<Mutex<VecDeque<String>>>,
    /// When the span began, how many lines were said in it, and how many were not.
    span: Option<Instant>,
    said: u32,
    more: u64,
}

impl Reader {
    async fn read(&mut self, pipe: &pipe::Receiver) {
        let mut lines = Lines::new(LINE_MAX);
        while matches!(lines.fill(pipe).await, Ok(1..)) {
            while let Some(line) = lines.next_line() {
                let (Line::Whole(line) | Line::TooLong(line)) = line;
                self.take(line);
            }
        }
        if let Some(rest) = lines.rest() {
            self.take(rest);
        }
        self.say_more();
    }

    fn take(&mut self, line: &[u8]) {
        let line = line.get(..LINE_MAX).unwrap_or(line);
        let line = shown(&String::from_utf8_lossy(line));
        if line.is_empty() {
            return;
        }
        if self.span.is_none_or(|span| span.elapsed() >= SPAN) {
            self.say_more();
            (self.span, self.said) = (Some(Instant::now()), 0);
        }
        if self.said < LINES_MAX {
            self.said += 1;
            tracing::info!(node = %self.node, "{}: {line}", self.name);
        } else {
            self.more += 1;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(line.chars().take(KEPT_CHARS).collect());
    }

    fn say_more(&mut self) {
        let more = std::mem::take(&mut self.more);
        if more > 0 {
            tracing::info!(node = %self.node, lines = more, "{} said more than is shown", self.name);
        }
    }
}

/// A line without what could steer a terminal.
fn shown(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for char in line.trim().chars() {
        match char {
            '\t' => shown.push(' '),
            char if char.is_control() => shown.extend(char.escape_default()),
            char => shown.push(char),
        }
    }
    shown
}
