//! One connection: its bytes, its lines, and what was handed over of them.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use memchr::{memchr, memrchr};
use smollama_engine::node::Reject;
use smollama_engine::reading::Reading;

use super::ledger::{Ledger, Lines, Promise};
use super::lines::LineReader;
use super::stream::Stream;
use crate::io::rows::REJECTED_BYTES;

/// About how many bytes are read in one go.
const CHUNK: usize = 64 << 10;
/// The most readings and refused lines of one batch.
const READINGS_MAX: usize = 1_024;
const REJECTS_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Arc<Stream>,
    peer: Arc<str>,
    /// `None` where the sender is told nothing.
    ledger: Option<Arc<Ledger>>,
    /// What was read: up to `done` it was understood, up to `whole` there are whole lines.
    buffer: Vec<u8>,
    done: usize,
    whole: usize,
    /// How many lines there were.
    lines: u64,
    /// Within a line that was too long.
    skipping: bool,
    ended: bool,
}

/// What is gathered for one batch.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) readings: Vec<Reading>,
    pub(super) rejects: Vec<Reject>,
    pub(super) promises: Vec<Promise>,
    /// Lines that connections ended in the middle of.
    pub(super) torn: u64,
}

impl Gathered {
    pub(super) fn is_full(&self) -> bool {
        self.readings.len() >= READINGS_MAX || self.rejects.len() >= REJECTS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.readings.is_empty() && self.rejects.is_empty()
    }
}

impl Connection {
    pub(super) fn new(stream: Arc<Stream>, peer: Arc<str>, acknowledged: bool) -> Connection {
        let ledger = acknowledged.then(|| {
            let ledger = Arc::<Ledger>::default();
            tokio::spawn(ledger.clone().tell(stream.clone()));
            ledger
        });
        Connection {
            stream,
            peer,
            ledger,
            buffer: Vec::new(),
            done: 0,
            whole: 0,
            lines: 0,
            skipping: false,
            ended: false,
        }
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.ledger.is_some()
    }

    /// Whether nothing more can come of it.
    pub(super) fn is_over(&self) -> bool {
        let lost = || self.ledger.as_ref().is_some_and(|ledger| ledger.is_lost());
        (self.ended && self.done == self.buffer.len()) || lost()
    }

    /// Whether there are lines to be gathered.
    fn has_lines(&self) -> bool {
        self.done < self.whole
    }

    /// Reads once, unless there are lines already, and gathers lines until the batch is full. Not ready when there is nothing to read.
    pub(super) fn poll_gather(
        &mut self,
        task: &mut Context<'_>,
        reader: &mut LineReader,
        into: &mut Gathered,
    ) -> Poll<()> {
        if self.is_over() {
            return Poll::Pending;
        }
        if !self.has_lines() {
            let read = self.poll_fill(task, reader.longest(), into);
            if read.is_pending() && self.buffer.is_empty() {
                // A connection that is silent holds no memory.
                self.buffer = Vec::new();
            }
            if let Err(error) = ready!(read) {
                tracing::debug!(peer = %self.peer, "the connection broke: {error}");
                into.torn += u64::from(!self.buffer.is_empty());
                self.buffer.clear();
                (self.done, self.whole, self.ended) = (0, 0, true);
            }
        }
        self.gather(reader, into);
        Poll::Ready(())
    }

    fn poll_fill(
        &mut self,
        task: &mut Context<'_>,
        longest: usize,
        into: &mut Gathered,
    ) -> Poll<io::Result<()>> {
        self.buffer.drain(..self.done);
        (self.done, self.whole) = (0, 0);
        if self.buffer.capacity() - self.buffer.len() < CHUNK / 2 {
            self.buffer.reserve(CHUNK);
        }
        let before = self.buffer.len();
        self.ended = ready!(self.stream.poll_read(task, &mut self.buffer))? == 0;
        if self.skipping {
            let end = memchr(b'\n', &self.buffer);
            self.skipping = end.is_none();
            self.buffer.drain(..end.map_or(self.buffer.len(), |end| end + 1));
        }
        let fresh = self.buffer.get(before..).unwrap_or(&self.buffer);
        let last = memrchr(b'\n', fresh).map(|end| self.buffer.len() - fresh.len() + end + 1);
        self.whole = last.unwrap_or(0);
        if self.whole == 0 && self.buffer.len() > longest {
            self.refuse_long(longest, into);
        }
        Poll::Ready(Ok(()))
    }

    /// Refuses a line before all of it is there.
    fn refuse_long(&mut self, longest: usize, into: &mut Gathered) {
        self.lines += 1;
        let reason = format!("longer than `max_line` ({longest} bytes)");
        let mut lines = Lines { last: self.lines, ..Lines::default() };
        lines.refuse(self.lines, &reason);
        into.rejects.push(self.reject(reason, &self.buffer));
        self.hand_over(lines, into);
        self.buffer.clear();
        self.skipping = true;
    }

    fn gather(&mut self, reader: &mut LineReader, into: &mut Gathered) {
        let mut lines = Lines { last: self.lines, ..Lines::default() };
        reader.refresh();
        while self.done < self.whole && !into.is_full() {
            let bytes = self.buffer.get(..self.whole).unwrap_or_default();
            let line = reader.read(bytes, self.done, &mut into.readings);
            self.lines += 1;
            if let Some(reason) = line.refused {
                lines.refuse(self.lines, &reason);
                let bytes = bytes.get(self.done..line.next).unwrap_or_default();
                into.rejects.push(self.reject(reason, bytes.trim_ascii_end()));
            }
            self.done = line.next;
        }
        if self.ended && !self.has_lines() && !into.is_full() {
            self.gather_last(reader, into);
        }
        if self.lines > lines.last {
            lines.last = self.lines;
            self.hand_over(lines, into);
        }
    }

    /// A last line without a line break counts if it is whole: what a torn connection leaves is no whole object.
    fn gather_last(&mut self, reader: &mut LineReader, into: &mut Gathered) {
        if self.done < self.buffer.len() {
            let before = into.readings.len();
            let line = reader.read(&self.buffer, self.done, &mut into.readings);
            self.lines += u64::from(into.readings.len() > before);
            into.torn += u64::from(line.refused.is_some());
        }
        self.done = self.buffer.len();
    }

    fn reject(&self, reason: String, bytes: &[u8]) -> Reject {
        let bytes = bytes.get(..REJECTED_BYTES).unwrap_or(bytes).to_vec();
        Reject { reason, origin: format!("{} line {}", self.peer, self.lines), bytes }
    }

    fn hand_over(&self, lines: Lines, into: &mut Gathered) {
        into.promises.extend(self.ledger.as_ref().map(|ledger| ledger.hand_over(lines)));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(ledger) = &self.ledger {
            ledger.end();
        }
    }
}
