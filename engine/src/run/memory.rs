//! What a host keeps, in memory: it outlives the topology that used it, and loses on a crash what a crash takes. For the engine's own tests,
//! and for those that users write (`faults`).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use crate::batch::Batch;
use crate::bytes::ByteSize;
use crate::duration::Duration;
use crate::node::Receipt;
use crate::run::{
    Checkpoint, Checkpoints, Event, Fill, Full, Journal, JournalReader, Keep, Record, Spool,
    SpoolError, Spools,
};
use crate::time::Timestamp;

/// How a life of the host ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// `kill -9`: the page cache survives.
    Kill,
    /// What was not synced is gone.
    PowerCut,
}

/// When a receipt is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When the event was written.
    #[default]
    Process,
    /// When it was synced: see [`Memory::sync`].
    Power,
}

/// See the module.
#[derive(Debug, Default, Clone)]
pub(crate) struct Memory(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    records: VecDeque<Record>,
    /// What was freed up to this number.
    freed: u64,
    /// All that was appended and not lost again, also what was freed since.
    #[cfg(test)]
    pub(crate) history: Vec<Record>,
    last: u64,
    synced: u64,
    bytes: u64,
    written: u64,
    /// How many bytes of events it holds; 0 for any number.
    pub(crate) cap: u64,
    /// The disk takes nothing.
    pub(crate) fails: bool,
    /// Nor do spools and checkpoints get anything written, though all can be read.
    pub(crate) full: bool,
    /// How long what nobody waits for is not synced; what somebody waits for is synced at once. `None` where only [`Memory::sync_now`] does.
    pub(crate) flush: Option<Duration>,
    synced_at: Timestamp,
    /// How many events had no room.
    pub(crate) refused: u64,
    /// The disk gives nothing.
    pub(crate) unreadable: bool,
    /// It frees nothing, as a journal does whose segments are large.
    pub(crate) lazy: bool,
    pub(crate) durability: Durability,
    receipts: Vec<Receipt>,
    power_was_cut: bool,
    spools: BTreeMap<String, Shelf>,
    pub(crate) spools_fail: bool,
    /// Whose thread spools must not write on, as if they blocked.
    pub(crate) spools_spare: Option<ThreadId>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) checkpoints_fail: bool,
}

/// What lies in a spool.
#[derive(Debug, Default, Clone)]
struct Shelf {
    batches: VecDeque<(u64, Batch)>,
    /// Confirmed, and not yet written down as such.
    limbo: VecDeque<(u64, Batch)>,
    next: u64,
    /// What comes at or behind this number is not durable.
    persisted: u64,
    last_end: Option<u64>,
    persisted_end: Option<u64>,
}

fn size(event: &Event) -> u64 {
    match event {
        Event::Items { items, .. } => 32 + items.bytes() as u64,
        _ => 32,
    }
}

impl Inner {
    /// How many bytes of events it holds.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All that was appended and is still known after a crash.
    #[cfg(test)]
    pub(crate) fn what_survives(&self, crash: Crash) -> Vec<Record> {
        let lasts = |record: &&Record| crash == Crash::Kill || record.seq <= self.synced;
        self.history.iter().filter(lasts).cloned().collect()
    }
}

impl Memory {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that failed says so itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self) -> Keep {
        let shared = Arc::new(self.clone());
        Keep { journal: shared.clone(), spools: shared.clone(), checkpoints: shared }
    }

    /// What a crash leaves.
    pub(crate) fn crash(&self, crash: Crash) {
        let mut inner = self.lock();
        inner.receipts.clear();
        inner.power_was_cut = crash == Crash::PowerCut;
        if crash == Crash::PowerCut {
            let synced = inner.synced;
            inner.records.retain(|record| record.seq <= synced);
            #[cfg(test)]
            inner.history.retain(|record| record.seq <= synced);
        }
        for shelf in inner.spools.values_mut() {
            // What was confirmed since it was written down last comes again.
            while let Some(one) = shelf.limbo.pop_back() {
                shelf.batches.push_front(one);
            }
            if crash == Crash::PowerCut {
                let persisted = shelf.persisted;
                shelf.batches.retain(|(number, _)| *number < persisted);
                shelf.last_end = shelf.persisted_end;
            }
        }
        // Numbers without an event are not written anywhere.
        let kept = inner.records.back().map_or(inner.freed, |record| record.seq);
        inner.last = kept.max(inner.checkpoints.last().map_or(0, |one| one.seq));
        inner.synced = inner.last;
        inner.bytes = inner.records.iter().map(|record| size(&record.event)).sum();
    }

    /// A journal that begins with these events, and nothing else.
    #[cfg(test)]
    pub(crate) fn holding(history: Vec<Record>) -> Memory {
        let last = history.last().map_or(0, |record| record.seq);
        let records = history.iter().cloned().collect();
        let bytes = history.iter().map(|record| size(&record.event)).sum();
        let inner = Inner { records, history, last, synced: last, bytes, ..Inner::default() };
        Memory(Arc::new(Mutex::new(inner)))
    }

    /// Syncs the journal, and tells whoever waits for it.
    pub(crate) fn sync_now(&self) {
        let mut inner = self.lock();
        inner.synced = inner.last;
        let receipts = std::mem::take(&mut inner.receipts);
        drop(inner);
        receipts.into_iter().for_each(Receipt::kept);
    }

    pub(crate) fn latest(&self) -> Option<Checkpoint> {
        self.lock().checkpoints.last().cloned()
    }

    /// How many spools there are.
    #[cfg(test)]
    pub(crate) fn spools(&self) -> usize {
        self.lock().spools.len()
    }

    /// How many items wait in all spools.
    pub(crate) fn spooled(&self) -> usize {
        let inner = self.lock();
        inner.spools.values().flat_map(|one| &one.batches).map(|(_, one)| one.items.len()).sum()
    }
}

impl Journal for Memory {
    fn append(&self, now: Timestamp, event: &Event, receipt: Option<Receipt>) -> Result<u64, Full> {
        let mut inner = self.lock();
        let bytes = size(event);
        if inner.fails || inner.full || (inner.cap > 0 && inner.bytes + bytes > inner.cap) {
            inner.refused += 1;
            return Err(Full { receipt });
        }
        inner.last += 1;
        let seq = inner.last;
        let record = Record { seq, now, event: event.clone() };
        #[cfg(test)]
        inner.history.push(record.clone());
        inner.records.push_back(record);
        inner.bytes += bytes;
        inner.written += bytes;
        if let Some(flush) = inner.flush {
            let waits = receipt.is_some();
            if waits || now.since(inner.synced_at) >= flush {
                inner.synced = if waits { seq } else { seq - 1 };
                inner.synced_at = now;
            }
        }
        if inner.durability == Durability::Power {
            inner.receipts.extend(receipt);
            return Ok(seq);
        }
        drop(inner);
        receipt.into_iter().for_each(Receipt::kept);
        Ok(seq)
    }

    fn last_seq(&self) -> u64 {
        self.lock().last
    }

    fn skip_seq(&self) -> u64 {
        let mut inner = self.lock();
        inner.last += 1;
        inner.last
    }

    fn read_after(&self, seq: u64) -> io::Result<Box<dyn JournalReader>> {
        match self.lock().unreadable {
            true => Err(io::Error::other("the disk gives nothing")),
            false => Ok(Box::new(Reader { memory: self.clone(), after: seq })),
        }
    }

    fn free(&self, upto: u64) {
        let mut inner = self.lock();
        while !inner.lazy && inner.records.front().is_some_and(|record| record.seq <= upto) {
            let Some(record) = inner.records.pop_front() else { break };
            inner.bytes -= size(&record.event);
            inner.freed = record.seq;
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_now();
        Ok(())
    }

    fn fill(&self) -> Fill {
        let inner = self.lock();
        Fill { bytes: inner.bytes, cap: inner.cap, written: inner.written, ..Fill::default() }
    }

    fn power_was_cut(&self) -> bool {
        self.lock().power_was_cut
    }
}

struct Reader {
    memory: Memory,
    after: u64,
}

impl JournalReader for Reader {
    fn next(&mut self) -> io::Result<Option<Record>> {
        let inner = self.memory.lock();
        if inner.unreadable {
            return Err(io::Error::other("the disk gives nothing"));
        }
        let next = inner.records.partition_point(|record| record.seq <= self.after);
        let record = inner.records.get(next).cloned();
        self.after = record.as_ref().map_or(self.after, |record| record.seq);
        Ok(record)
    }
}

impl Checkpoints for Memory {
    fn write(&self, checkpoint: &Checkpoint) -> io::Result<u64> {
        let mut inner = self.lock();
        if inner.checkpoints_fail || inner.full {
            return Err(io::Error::other("no space left"));
        }
        let newest = inner.checkpoints.last().map_or(0, |one| one.number);
        debug_assert!(checkpoint.number > newest, "numbers of checkpoints grow");
        // Only tests look at those before it.
        #[cfg(not(test))]
        inner.checkpoints.clear();
        inner.checkpoints.push(checkpoint.clone());
        let states = checkpoint.cuts.iter().flat_map(|cut| &cut.states);
        Ok(100 + states.map(|(_, state)| state.body.len() as u64).sum::<u64>())
    }

    fn latest(&self) -> io::Result<Option<Checkpoint>> {
        Ok(Memory::latest(self))
    }

    fn blocks(&self) -> bool {
        self.lock().spools_spare.is_some()
    }
}

impl Spools for Memory {
    fn open(&self, name: &str, cap: ByteSize) -> io::Result<Box<dyn Spool>> {
        let mut inner = self.lock();
        if inner.spools_fail {
            return Err(io::Error::other("the disk gives nothing"));
        }
        inner.spools.entry(name.to_owned()).or_default();
        drop(inner);
        let name = name.to_owned();
        Ok(Box::new(MemorySpool { memory: self.clone(), name, cap: cap.0, after: 0, confirmed: 0 }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().spools.remove(name);
        Ok(())
    }

    fn blocks(&self) -> bool {
        self.lock().spools_spare.is_some()
    }
}

/// What a loop has of a spool.
#[derive(Debug)]
struct MemorySpool {
    memory: Memory,
    name: String,
    cap: u64,
    /// The number behind the batch taken last.
    after: u64,
    confirmed: u64,
}

impl MemorySpool {
    fn with<T>(&self, work: impl FnOnce(&mut Shelf) -> T) -> T {
        // One that was removed is as good as a new one.
        work(self.memory.lock().spools.entry(self.name.clone()).or_default())
    }

    fn is_broken(&self) -> bool {
        self.memory.lock().spools_fail
    }

    fn takes_nothing(&self) -> bool {
        let inner = self.memory.lock();
        let here = std::thread::current().id();
        debug_assert_ne!(inner.spools_spare, Some(here), "a task's thread is blocked");
        inner.spools_fail || inner.full
    }
}

impl Shelf {
    fn bytes(&self) -> u64 {
        self.batches.iter().map(|(_, batch)| batch.items.bytes() as u64).sum()
    }
}

impl Spool for MemorySpool {
    fn append(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        if self.takes_nothing() {
            return Err(io::Error::other("the disk takes nothing").into());
        }
        let cap = self.cap;
        self.with(|shelf| {
            if shelf.bytes() + batch.items.bytes() as u64 > cap {
                return Err(SpoolError::Full);
            }
            let before = shelf.batches.back().map(|(_, last)| last.end);
            debug_assert!(
                before.is_none_or(|before| before < batch.end),
                "in the order of offsets"
            );
            shelf.batches.push_back((shelf.next, batch.clone()));
            shelf.next += 1;
            shelf.last_end = Some(batch.end);
            Ok(())
        })
    }

    fn persist(&mut self) -> io::Result<()> {
        if self.takes_nothing() {
            return Err(io::Error::other("the disk takes nothing"));
        }
        self.with(|shelf| {
            shelf.persisted = shelf.next;
            shelf.persisted_end = shelf.last_end;
            shelf.limbo.clear();
        });
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Batch>> {
        if self.is_broken() {
            return Err(io::Error::other("the disk gives nothing"));
        }
        let after = self.after;
        let confirmed = self.confirmed;
        let found = self.with(|shelf| {
            let waits = |(number, batch): &&(u64, Batch)| *number >= after && batch.end > confirmed;
            shelf.batches.iter().find(waits).cloned()
        });
        Ok(found.map(|(number, batch)| {
            self.after = number + 1;
            batch
        }))
    }

    fn rewind(&mut self) {
        self.after = 0;
    }

    fn confirm(&mut self, end: u64) {
        self.confirmed = self.confirmed.max(end);
        self.with(|shelf| {
            while shelf.batches.front().is_some_and(|(_, batch)| batch.end <= end) {
                let done = shelf.batches.pop_front();
                shelf.limbo.extend(done);
            }
        });
    }

    fn last_end(&self) -> Option<u64> {
        self.with(|shelf| shelf.last_end)
    }

    fn items(&self) -> u64 {
        self.with(|shelf| shelf.batches.iter().map(|(_, batch)| batch.items.len() as u64).sum())
    }

    fn is_at_rest(&self) -> bool {
        self.items() == 0
    }

    fn fill(&self) -> Fill {
        Fill { bytes: self.with(|shelf| shelf.bytes()), cap: self.cap, ..Fill::default() }
    }
}
