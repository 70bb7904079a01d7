//! Spools on logs: one folder for each.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use smollama_engine::batch::Batch;
use smollama_engine::bytes::ByteSize;
use smollama_engine::context::Host;
use smollama_engine::run::{Fill, Spool, SpoolError, Spools};
use uuid::Uuid;

use super::Log;
use super::decode::{Decoder, Spooled};
use super::records::Records;
use super::settings::{LogSettings, boot_id};
use super::wire::{self, Wire};

/// When so much waits in memory, it is written.
const BULK: usize = 64 << 10;
/// No file system takes a longer name.
const NAME_MAX: usize = 255;

/// The spools of a host, in the folder `spool` of its data directory.
#[derive(Debug)]
pub struct LogSpools {
    host: Arc<Host>,
    folder: PathBuf,
    boot: Option<Uuid>,
}

impl LogSpools {
    /// Where the spools of a host are made. The folder is made with the first.
    #[must_use]
    pub fn new(host: &Arc<Host>) -> LogSpools {
        LogSpools { host: host.clone(), folder: host.data_dir.join("spool"), boot: boot_id() }
    }

    /// The same for a machine that was started at another time ([`LogSettings::boot`]).
    #[must_use]
    pub fn in_boot(self, boot: Option<Uuid>) -> LogSpools {
        LogSpools { boot, ..self }
    }

    /// The folder of a spool: its name, with all that a file name may not have as `%` and two digits.
    fn folder_of(&self, name: &str) -> io::Result<PathBuf> {
        let mut safe = String::with_capacity(name.len());
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => safe.push(char::from(byte)),
                // Capitals too: there are file systems that take them for the same as small letters.
                _ => safe.push_str(&format!("%{byte:02x}")),
            }
        }
        if safe.is_empty() || safe.len() > NAME_MAX {
            let text = format!("`{name}` cannot be the name of a folder: it is empty or too long");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(self.folder.join(safe))
    }
}

impl Spools for LogSpools {
    fn open(&self, name: &str, cap: ByteSize) -> io::Result<Box<dyn Spool>> {
        let settings =
            LogSettings { boot: self.boot, ..LogSettings::new(self.folder_of(name)?, cap) };
        Ok(Box::new(LogSpool::open(&self.host, settings)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (disk, folder) = (&self.host.disk, self.folder_of(name)?);
        if !disk.exists(&folder)? {
            return Ok(());
        }
        for entry in disk.list(&folder)? {
            disk.remove_file(&folder.join(entry.name))?;
        }
        disk.remove_dir(&folder)?;
        disk.sync_dir(&self.folder)
    }
}

/// What a spool knows about what is no longer in it. It stands in the header of each segment, and after a confirmation in a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    /// One more than the largest offset it ever held; 0 before the first.
    ends: u64,
    /// Items ever appended, and those of them that are done with.
    appended: u64,
    done: u64,
    /// All up to this offset is done with; and all records up to this number.
    confirmed_end: u64,
    confirmed_number: u64,
}

impl Counts {
    fn numbers(self) -> [u64; 5] {
        [self.ends, self.appended, self.done, self.confirmed_end, self.confirmed_number]
    }

    fn of(numbers: &[u64]) -> Option<Counts> {
        let &[ends, appended, done, confirmed_end, confirmed_number] = numbers else { return None };
        Some(Counts { ends, appended, done, confirmed_end, confirmed_number })
    }

    fn read(note: &[u8]) -> Option<Counts> {
        let mut wire = Wire(note);
        let numbers: Option<Vec<u64>> = (0..5).map(|_| wire.get()).collect();
        Counts::of(&numbers?)
    }

    fn add(&mut self, batch: &Batch) {
        self.ends = self.ends.max(batch.end.saturating_add(1));
        self.appended = self.appended.saturating_add(batch.items.len() as u64);
    }
}

/// A batch that was taken and is not confirmed.
#[derive(Debug, Clone, Copy)]
struct Taken {
    number: u64,
    end: u64,
    items: u64,
}

/// A spool. What is appended is written when 64 KiB have gathered; what is confirmed is written down with the next
/// [`Spool::persist`], so that after a `kill -9` at most that comes again which was confirmed since. `persist` always syncs, whatever the
/// durability: the journal lets go of what a spool holds.
#[derive(Debug)]
pub struct LogSpool {
    log: Arc<Log>,
    records: Records,
    taken: VecDeque<Taken>,
    counts: Counts,
    /// What is written down of what is confirmed.
    marked: u64,
}

impl LogSpool {
    fn open(host: &Arc<Host>, settings: LogSettings) -> io::Result<LogSpool> {
        let log = Log::open(host, settings, 0)?;
        // What the newest header that can be read does not know stands behind it.
        let (after, mut counts) = {
            let tail = log.tail();
            let known = tail.segments.iter().rev().find_map(|segment| {
                let counts = Counts::read(&segment.header.note)?;
                Some((segment.header.first.saturating_sub(1), counts))
            });
            known.unwrap_or_default()
        };
        let mut records = Records::new(&log, after);
        while let Some((_, record)) = records.next(Decoder::spooled)? {
            match record {
                Spooled::Batch(batch) => counts.add(&batch),
                Spooled::Taken(numbers) => {
                    let now = Counts::of(&numbers).unwrap_or(counts);
                    counts.done = now.done;
                    counts.confirmed_end = now.confirmed_end;
                    counts.confirmed_number = now.confirmed_number;
                }
            }
        }
        // What lay before the oldest segment is gone because it was done with.
        if let Some(oldest) = log.tail().segments.front() {
            let gone = Counts::read(&oldest.header.note).map_or(0, |counts| counts.appended);
            counts.done = counts.done.max(gone);
            counts.confirmed_number =
                counts.confirmed_number.max(oldest.header.first.saturating_sub(1));
        }
        counts.done = counts.done.min(counts.appended);
        let records = Records::new(&log, counts.confirmed_number);
        let marked = counts.confirmed_number;
        let spool = LogSpool { log, records, taken: VecDeque::new(), counts, marked };
        spool.note();
        spool.let_go();
        Ok(spool)
    }

    /// What the next header is to say.
    fn note(&self) {
        let mut tail = self.log.tail();
        tail.note.clear();
        for number in self.counts.numbers() {
            wire::put(&mut tail.note, number);
        }
    }

    /// Removes the segments that hold nothing that is not done with.
    fn let_go(&self) {
        let number = self.counts.confirmed_number;
        let free = self.log.tail().free(number);
        if free && let Err(error) = self.log.pump(&mut self.log.files()) {
            tracing::warn!("a spool cannot remove what it is done with: {error}");
        }
    }

    /// So many items up to a record are done with.
    fn done(&mut self, number: u64, items: u64) {
        self.counts.confirmed_number = number;
        self.counts.done = self.counts.done.saturating_add(items).min(self.counts.appended);
    }

    fn try_append(&self, batch: &Batch) -> bool {
        let mut tail = self.log.tail();
        self.log.append(&mut tail, None, |encoder, out| encoder.batch(out, batch)).is_ok()
    }

    /// Writes down what is confirmed.
    fn mark(&mut self) {
        if self.marked == self.counts.confirmed_number {
            return;
        }
        let numbers = self.counts.numbers();
        let mut tail = self.log.tail();
        // Without room it is written down later; until then what was confirmed may come again.
        if self.log.append(&mut tail, None, |encoder, out| encoder.taken(out, &numbers)).is_ok() {
            self.marked = self.counts.confirmed_number;
        }
    }
}

impl Spool for LogSpool {
    fn append(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        if batch.items.is_empty() {
            return Ok(());
        }
        if self.log.tail().waiting >= BULK {
            self.log.pump(&mut self.log.files())?;
        }
        if !self.try_append(batch) {
            // There may be room once what is done with is removed.
            self.log.pump(&mut self.log.files())?;
            if !self.try_append(batch) {
                return Err(SpoolError::Full);
            }
        }
        self.counts.add(batch);
        self.note();
        Ok(())
    }

    fn persist(&mut self) -> io::Result<()> {
        self.mark();
        self.log.settle(&mut self.log.files())?;
        self.log.tail().rest();
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Batch>> {
        while let Some((number, record)) = self.records.next(Decoder::spooled)? {
            let Spooled::Batch(batch) = record else { continue };
            let items = batch.items.len() as u64;
            if batch.end > self.counts.confirmed_end {
                self.taken.push_back(Taken { number, end: batch.end, items });
                return Ok(Some(batch));
            }
            // It was confirmed before it was taken.
            if self.taken.is_empty() {
                self.done(number, items);
                self.note();
            }
        }
        // What was damaged is not coming.
        let taken: u64 = self.taken.iter().map(|taken| taken.items).sum();
        self.counts.done = self.counts.appended.saturating_sub(taken);
        Ok(None)
    }

    fn rewind(&mut self) {
        self.taken.clear();
        self.records = Records::new(&self.log, self.counts.confirmed_number);
    }

    fn confirm(&mut self, end: u64) {
        self.counts.confirmed_end = self.counts.confirmed_end.max(end);
        while let Some(taken) = self.taken.pop_front_if(|taken| taken.end <= end) {
            self.done(taken.number, taken.items);
        }
        if self.items() == 0 {
            // Also the records that say what was confirmed.
            self.counts.confirmed_number = self.log.tail().last;
        }
        self.note();
        self.let_go();
    }

    fn last_end(&self) -> Option<u64> {
        self.counts.ends.checked_sub(1)
    }

    fn items(&self) -> u64 {
        self.counts.appended.saturating_sub(self.counts.done)
    }

    fn is_at_rest(&self) -> bool {
        self.items() == 0 && self.log.tail().is_at_rest()
    }

    fn fill(&self) -> Fill {
        self.log.fill()
    }
}

impl Drop for LogSpool {
    fn drop(&mut self) {
        if let Err(error) = self.persist() {
            tracing::error!("the end of a spool cannot be written: {error}");
        }
    }
}
