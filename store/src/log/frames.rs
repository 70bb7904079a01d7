//! Reads the records of a log from front to back, a window at a time, from files and from what is not written yet. Damage is skipped.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use smollama_engine::disk::DiskFile;

use super::Log;
use super::frame::{self, Found, HEADER_MAX, Header, MARK};
use super::wire::Wire;

/// How much is read at once.
const WINDOW: usize = 64 << 10;
/// What cannot be read is given up in pieces of this size.
const PIECE: usize = 4 << 10;

/// What comes next in a log.
#[derive(Debug)]
pub(super) enum Piece {
    /// A segment of so many bytes begins.
    Segment(u64),
    /// A record; [`Frames::body`] has its bytes. Behind damage there is no number until a record stands alone: what the ones before it lean on
    /// is lost.
    Record { number: Option<u64>, stands_alone: bool, body: Range<usize> },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Frames {
    log: Arc<Log>,
    /// The segment that is read; before the first call, `None`, and the number behind which to begin.
    segment: Option<u64>,
    begin_after: u64,
    file: Option<(u32, Box<dyn DiskFile>)>,
    header_seen: bool,
    /// Bytes of the segment from `offset` on; those before `at` are done with.
    buffer: Vec<u8>,
    offset: u64,
    at: usize,
    /// The number of the last record, or a larger one.
    last: u64,
    /// The numbers are not known until a record stands alone.
    adrift: bool,
}

/// Where bytes are.
enum Stock {
    /// In the file, so many of them; and how often that was replaced.
    File { len: usize, replaced: u32 },
    /// They were in memory.
    Memory,
    /// There are none.
    None,
}

impl Frames {
    /// Reads a log from the segment on in which the record behind a number lies.
    pub(super) fn new(log: &Arc<Log>, after: u64) -> Frames {
        Frames {
            log: log.clone(),
            segment: None,
            begin_after: after,
            file: None,
            header_seen: false,
            buffer: Vec::new(),
            offset: 0,
            at: 0,
            last: 0,
            adrift: false,
        }
    }

    /// The bytes of a record that was just given.
    pub(super) fn body(&self, body: Range<usize>) -> &[u8] {
        self.buffer.get(body).unwrap_or_default()
    }

    /// Where in the segment the next record begins.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.at as u64
    }

    /// The number of the last record that was read.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// What comes next; `None` at the end as it is now.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            let Some(segment) = self.segment else {
                let first = self.log.tail().holding(self.begin_after).map(|s| s.header.first);
                let Some(first) = first else { return Ok(None) };
                self.enter(first);
                continue;
            };
            if !self.header_seen {
                return self.header(segment).map(Some);
            }
            match frame::look(&self.buffer[self.at..], segment) {
                Found::Record { body, stands_alone } => {
                    return Ok(Some(self.record(segment, body, stands_alone)));
                }
                Found::Needs(bytes) => {
                    // Asked once: what comes between two questions would be passed over.
                    let (len, grows) = self.log.tail().extent(segment);
                    let left = len.saturating_sub(self.position());
                    if left >= bytes as u64 && self.fill(segment, bytes)? {
                        continue;
                    }
                    // A record is there whole or not at all: what is left over is a length that was damaged.
                    if left > 0 && self.search(segment)? {
                        continue;
                    }
                    if grows || !self.leave(segment) {
                        self.rest();
                        return Ok(None);
                    }
                }
                Found::Damage => {
                    self.search(segment)?;
                }
            }
        }
    }

    fn enter(&mut self, segment: u64) {
        self.segment = Some(segment);
        self.file = None;
        self.header_seen = false;
        self.buffer.clear();
        (self.offset, self.at) = (0, 0);
    }

    /// Goes on to the next segment, if there is one. What is missing at the end of this one shows there.
    fn leave(&mut self, segment: u64) -> bool {
        let tail = self.log.tail();
        let Some(next) = tail.after(segment) else { return false };
        let (next, missing) = (next.header.first, !next.damaged && next.header.before > self.last);
        drop(tail);
        if missing {
            self.log.damaged(segment);
        }
        self.enter(next);
        true
    }

    fn header(&mut self, segment: u64) -> io::Result<Piece> {
        let found = self.log.tail().find(segment).map(|found| (found.len, found.damaged));
        let (len, damaged) = found.unwrap_or_default();
        self.fill(segment, usize::try_from(len).unwrap_or(HEADER_MAX).min(HEADER_MAX))?;
        self.header_seen = true;
        self.adrift = false;
        match Header::read(&self.buffer) {
            Ok((header, len)) => {
                self.at = len;
                if !damaged {
                    self.last = self.last.max(header.before);
                }
            }
            // Its records may be whole all the same.
            Err(_) => self.log.damaged(segment),
        }
        Ok(Piece::Segment(len))
    }

    /// Takes a record whose body lies at a place behind `at`.
    fn record(&mut self, segment: u64, body: Range<usize>, stands_alone: bool) -> Piece {
        let mut body = self.at + body.start..self.at + body.end;
        self.at = body.end;
        let mut wire = Wire(&self.buffer[body.clone()]);
        let from = if stands_alone { segment } else { self.last };
        let number = wire.get().and_then(|ahead| from.checked_add(ahead));
        body.start = body.end - wire.len();
        self.adrift &= !stands_alone;
        let mut number = number.filter(|_| !self.adrift);
        if let Some(given) = number {
            if given > self.last {
                self.last = given;
            } else {
                self.lose();
                number = None;
            }
        }
        Piece::Record { number, stands_alone, body }
    }

    /// The record given last makes no sense: what leans on it makes none either.
    pub(super) fn lose(&mut self) {
        self.adrift = true;
        if let Some(segment) = self.segment {
            self.log.damaged(segment);
        }
    }

    /// Looks for the next record that stands alone, from behind `at` on; `false`: there is none, and all was looked at.
    fn search(&mut self, segment: u64) -> io::Result<bool> {
        if self.fill(segment, 1)? {
            self.at += 1;
        }
        loop {
            let rest = &self.buffer[self.at..];
            let mark = rest.windows(MARK.len()).position(|window| window == MARK);
            let Some(ahead) = mark else {
                // The mark may lie across the end of what was read.
                self.at = self.at.max((self.buffer.len() + 1).saturating_sub(MARK.len()));
                let have = self.buffer.len() - self.at;
                if self.fill(segment, have + 1)? {
                    continue;
                }
                self.at = self.buffer.len();
                return Ok(false);
            };
            self.at += ahead;
            match frame::look(&self.buffer[self.at..], segment) {
                Found::Record { .. } => {
                    self.log.damaged(segment);
                    return Ok(true);
                }
                Found::Needs(bytes) if self.fill(segment, bytes)? => {}
                Found::Needs(_) | Found::Damage => self.at += 1,
            }
        }
    }

    /// Nothing more to read for now: keeps no memory for it.
    fn rest(&mut self) {
        if self.at == self.buffer.len() {
            self.offset += self.at as u64;
            (self.buffer, self.at) = (Vec::new(), 0);
        }
    }

    /// Whether the segment has so many bytes behind `at`.
    fn has(&self, segment: u64, bytes: usize) -> bool {
        let (len, _) = self.log.tail().extent(segment);
        len >= self.position() + bytes as u64
    }

    /// Sees to it that so many bytes lie behind `at`; `false`: the segment has no more now. A length that was read may be anything: no more is
    /// read for it than there is.
    fn fill(&mut self, segment: u64, bytes: usize) -> io::Result<bool> {
        if self.buffer.len() - self.at >= bytes {
            return Ok(true);
        }
        if !self.has(segment, bytes) {
            return Ok(false);
        }
        self.buffer.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
        while self.buffer.len() < bytes {
            let wanted = (bytes - self.buffer.len()).max(WINDOW);
            match self.stock(segment, wanted) {
                Stock::File { len, replaced } => self.read(segment, len, replaced)?,
                Stock::Memory => {}
                Stock::None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Where the next bytes are. Those that are only in memory are taken from there.
    fn stock(&mut self, segment: u64, wanted: usize) -> Stock {
        let from = self.offset + self.buffer.len() as u64;
        let log = self.log.clone();
        let tail = log.tail();
        let Some(found) = tail.find(segment) else { return Stock::None };
        if from < found.written {
            let len = usize::try_from(found.written - from).unwrap_or(wanted).min(wanted);
            return Stock::File { len, replaced: found.replaced };
        }
        let Some(bytes) = tail.peek(segment, from, wanted) else { return Stock::None };
        self.buffer.extend_from_slice(bytes);
        Stock::Memory
    }

    fn read(&mut self, segment: u64, len: usize, replaced: u32) -> io::Result<()> {
        let at = self.buffer.len();
        let from = self.offset + at as u64;
        self.buffer.resize(at + len, 0);
        let Err(error) = self.read_file(segment, from, at, replaced) else { return Ok(()) };
        let Some((_, file)) = self.file.as_ref().filter(|(_, file)| is_alive(&**file)) else {
            self.buffer.truncate(at);
            return Err(error);
        };
        // A bad place on an otherwise good disk: what can be read is, the rest is zeros, which are no record.
        for piece in (at..at + len).step_by(PIECE) {
            let into = &mut self.buffer[piece..(piece + PIECE).min(at + len)];
            if file.read_exact_at(into, from + (piece - at) as u64).is_err() {
                into.fill(0);
            }
        }
        self.log.damaged(segment);
        Ok(())
    }

    fn read_file(&mut self, segment: u64, from: u64, at: usize, replaced: u32) -> io::Result<()> {
        if self.file.as_ref().is_none_or(|(known, _)| *known != replaced) {
            self.file = Some((replaced, self.log.host.disk.open(&self.log.path(segment))?));
        }
        match &self.file {
            Some((_, file)) => file.read_exact_at(&mut self.buffer[at..], from),
            None => Ok(()),
        }
    }
}

/// Whether a file can be read at all: then what cannot be read of it never will be.
pub(super) fn is_alive(file: &dyn DiskFile) -> bool {
    file.read_exact_at(&mut [0], 0).is_ok()
}
