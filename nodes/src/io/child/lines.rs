//! Bytes of a pipe, cut into lines.

use std::io;

use memchr::memchr;
use tokio::net::unix::pipe;

/// About how many bytes are read in one go.
const CHUNK: usize = 64 << 10;

/// Collects what comes through a pipe and gives it back a line at a time. It holds a line and a piece at most.
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Up to here it was given back.
    done: usize,
    /// Up to here there is no further end of a line.
    seen: usize,
    longest: usize,
    /// Within a line that was too long.
    skips: bool,
    count: u64,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// The beginning of one that is too long; the rest of it is skipped.
    TooLong(&'a [u8]),
}

impl Lines {
    /// None yet. `longest`: how many bytes a line may have.
    #[must_use]
    pub fn new(longest: usize) -> Lines {
        Lines { buffer: Vec::new(), done: 0, seen: 0, longest, skips: false, count: 0 }
    }

    /// How many lines were given back.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes were not given back yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.done
    }

    /// Whether all were given back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there is something to read, and reads it. How much that was: nothing at the end. Cancel-safe.
    ///
    /// # Errors
    /// What the pipe says.
    pub async fn fill(&mut self, pipe: &pipe::Receiver) -> io::Result<usize> {
        loop {
            pipe.readable().await?;
            match self.try_fill(pipe) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// The same, but that it does not wait.
    ///
    /// # Errors
    /// What the pipe says; `WouldBlock` where there is nothing.
    pub fn try_fill(&mut self, pipe: &pipe::Receiver) -> io::Result<usize> {
        self.buffer.drain(..self.done);
        self.seen -= self.done;
        self.done = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > CHUNK {
            // A long line came once.
            self.buffer = Vec::new();
        }
        self.buffer.reserve(CHUNK);
        pipe.try_read_buf(&mut self.buffer)
    }

    /// The next line that is whole.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        loop {
            let start = self.done;
            let fresh = self.buffer.get(self.seen..).unwrap_or_default();
            let Some(end) = memchr(b'\n', fresh).map(|end| self.seen + end) else {
                self.seen = self.buffer.len();
                return self.too_long_so_far(start);
            };
            (self.done, self.seen) = (end + 1, end + 1);
            if std::mem::take(&mut self.skips) {
                continue;
            }
            self.count += 1;
            let line = self.buffer.get(start..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            return Some(match line.len() > self.longest {
                true => Line::TooLong(line),
                false => Line::Whole(line),
            });
        }
    }

    /// A line whose end did not come within what it may have.
    fn too_long_so_far(&mut self, start: usize) -> Option<Line<'_>> {
        let length = self.buffer.len() - start;
        if self.skips {
            self.done = self.buffer.len();
            return None;
        }
        // A carriage return at its end would not count.
        if length <= self.longest.saturating_add(1) {
            return None;
        }
        (self.skips, self.done) = (true, self.buffer.len());
        self.count += 1;
        Some(Line::TooLong(self.buffer.get(start..).unwrap_or_default()))
    }

    /// What came behind the last line that was whole: there is nothing more.
    pub fn rest(&mut self) -> Option<&[u8]> {
        let start = std::mem::replace(&mut self.done, self.buffer.len());
        self.seen = self.done;
        let rest = self.buffer.get(start..).unwrap_or_default();
        if std::mem::take(&mut self.skips) || rest.is_empty() {
            return None;
        }
        self.count += 1;
        Some(rest)
    }
}
