//! The host's journal on a log.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use smollama_engine::context::Host;
use smollama_engine::node::Receipt;
use smollama_engine::run::{Event, Fill, Full, Journal, JournalReader, Record};
use smollama_engine::time::Timestamp;

use super::decode::Decoder;
use super::records::Records;
use super::settings::{Durability, LogSettings};
use super::tail::Writer;
use super::{Files, Log};

/// How long what nobody waits for gathers before it is written.
const GATHER: Duration = Duration::from_millis(10);
/// The first pause after a disk said no; each is twice as long as the one before, up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);

/// The journal of a host. A thread of its own writes: it sleeps while nothing arrives.
///
/// An event with a receipt is written at once, and the receipt told after the write ([`Durability::Process`]) or after a sync
/// that many share ([`Durability::Power`]). Events without one are written within 10 ms, and synced within `flush`.
#[derive(Debug)]
pub struct LogJournal {
    pub(super) log: Arc<Log>,
    /// `None` where whoever appends writes.
    writer: Option<Mutex<Option<JoinHandle<()>>>>,
}

impl LogJournal {
    /// Opens the journal in a folder, or makes it. Numbers go on behind all that were given, and behind `least_seq`: that of the newest
    /// checkpoint, which knows of numbers even when the journal is lost.
    ///
    /// # Errors
    /// The folder cannot be made or read, the thread cannot be started, or a later release wrote it ([`NewerFormat`]).
    ///
    /// [`NewerFormat`]: super::NewerFormat
    pub fn open(host: &Arc<Host>, settings: LogSettings, least_seq: u64) -> io::Result<LogJournal> {
        let log = Log::open(host, settings, least_seq)?;
        let ours = log.clone();
        let thread = thread::Builder::new().name("journal".into()).spawn(move || write(&ours))?;
        Ok(LogJournal { log, writer: Some(Mutex::new(Some(thread))) })
    }

    /// As [`LogJournal::open`], without a thread: [`Journal::append`] writes before it returns, and under [`Durability::Power`] syncs. Nothing
    /// happens between calls, so a simulated disk sees the same calls every time. Under [`Durability::Process`] only [`Journal::sync`] syncs.
    ///
    /// # Errors
    /// As [`LogJournal::open`].
    pub fn inline(
        host: &Arc<Host>,
        settings: LogSettings,
        least_seq: u64,
    ) -> io::Result<LogJournal> {
        Ok(LogJournal { log: Log::open(host, settings, least_seq)?, writer: None })
    }

    /// Makes durable what was appended and ends. From then on nothing is taken.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn close(&self) -> io::Result<()> {
        let mut tail = self.log.tail();
        let closed = std::mem::replace(&mut tail.closed, true);
        tail.wake();
        drop(tail);
        self.log.work.notify_all();
        if let Some(writer) = &self.writer {
            let thread = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("the journal's thread panicked");
            }
        }
        if closed { Ok(()) } else { self.log.settle(&mut self.log.files()) }
    }

    /// How many items could not be given back since it was opened: what their series is was lost, or the host may hold no more series.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.log.skipped.load(Ordering::Relaxed)
    }

    /// Why the disk did not take what was to be written or synced last, from then until it takes it.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.log.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes what was appended, where no thread does.
    fn write_inline(&self) {
        let mut files = self.log.files();
        let written = match self.log.settings.durability {
            Durability::Process => self.log.pump(&mut files),
            Durability::Power => self.log.settle(&mut files),
        };
        self.log.note(&written);
        if let Err(error) = written {
            tracing::error!("the journal cannot be written: {error}");
        }
    }

    fn call_writer(&self) {
        let mut tail = self.log.tail();
        tail.called = true;
        let wake = tail.wake();
        drop(tail);
        if wake {
            self.log.work.notify_one();
        }
    }

    fn try_append(
        &self,
        now: Timestamp,
        event: &Event,
        receipt: Option<Receipt>,
    ) -> Result<u64, Option<Receipt>> {
        let mut tail = self.log.tail();
        if tail.closed {
            return Err(receipt);
        }
        let appended =
            self.log.append(&mut tail, receipt, |encoder, out| encoder.event(out, now, event));
        // Where there was no room, the writer makes some if it can.
        tail.called |= appended.is_err() && !tail.aside.is_empty();
        let wake = tail.wake();
        drop(tail);
        if self.writer.is_none() {
            self.write_inline();
        } else if wake {
            self.log.work.notify_one();
        }
        appended
    }
}

impl Journal for LogJournal {
    fn append(&self, now: Timestamp, event: &Event, receipt: Option<Receipt>) -> Result<u64, Full> {
        self.try_append(now, event, receipt).map_err(|receipt| Full { receipt })
    }

    fn last_seq(&self) -> u64 {
        self.log.tail().last
    }

    fn skip_seq(&self) -> u64 {
        let mut tail = self.log.tail();
        tail.last += 1;
        tail.last
    }

    fn read_after(&self, seq: u64) -> io::Result<Box<dyn JournalReader>> {
        Ok(Box::new(Reader(Records::new(&self.log, seq))))
    }

    fn free(&self, upto: u64) {
        let mut tail = self.log.tail();
        tail.called |= tail.free(upto);
        let wake = tail.wake();
        drop(tail);
        if self.writer.is_none() {
            self.write_inline();
        } else if wake {
            self.log.work.notify_one();
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut files = self.log.files();
        let synced = self.log.settle(&mut files);
        self.log.note(&synced);
        drop(files);
        if synced.is_err() {
            // Whoever asked may not ask again: the thread tries until the disk takes it.
            self.call_writer();
        }
        synced
    }

    fn fill(&self) -> Fill {
        self.log.fill()
    }

    fn power_was_cut(&self) -> bool {
        self.log.power_was_cut
    }
}

impl Drop for LogJournal {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!("the journal's end cannot be written: {error}");
        }
    }
}

struct Reader(Records);

impl JournalReader for Reader {
    fn next(&mut self) -> io::Result<Option<Record>> {
        let next = self.0.next(Decoder::event)?;
        Ok(next.map(|(seq, (now, event))| Record { seq, now, event }))
    }
}

/// The writer's thread.
fn write(log: &Log) {
    let flush = Duration::from_micros(log.settings.flush.as_micros().unsigned_abs());
    let mut flush_at = None;
    let mut pause = None;
    // What a disk did not take is tried again, whether or not more comes.
    while pause.is_some() || wait_for_work(log, flush_at) {
        let mut files = log.files();
        let done = write_once(log, &mut files, flush_at);
        log.note(&done);
        let unsynced = files.unsynced();
        drop(files);
        flush_at = if unsynced { flush_at.or_else(|| Some(Instant::now() + flush)) } else { None };
        match done {
            Ok(()) if pause.take().is_some() => tracing::info!("the journal can be written again"),
            Ok(()) => {}
            Err(error) => {
                if pause.is_none() {
                    tracing::error!("the journal cannot be written; trying again: {error}");
                }
                let next = pause.map_or(PAUSE_FIRST, |last: Duration| (2 * last).min(PAUSE_LAST));
                pause = Some(next);
                if !wait_for_retry(log, next) {
                    break;
                }
            }
        }
    }
}

fn write_once(log: &Log, files: &mut Files, flush_at: Option<Instant>) -> io::Result<()> {
    log.pump(files)?;
    if files.unsynced() && flush_at.is_some_and(|at| at <= Instant::now()) {
        log.sync_files(files)?;
    }
    Ok(())
}

/// Waits until there is something to write or to sync; `false`: there will be nothing more.
fn wait_for_work(log: &Log, flush_at: Option<Instant>) -> bool {
    let mut tail = log.tail();
    let mut gathered = None;
    while !tail.urgent() {
        if tail.has_chunk() && gathered.is_none() {
            gathered = Some(Instant::now() + GATHER);
        }
        let until = [gathered, flush_at].into_iter().flatten().min();
        tail.writer = if gathered.is_some() { Writer::Gathering } else { Writer::Asleep };
        tail = match until {
            None => {
                tail.rest();
                log.work.wait(tail).unwrap_or_else(PoisonError::into_inner)
            }
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = log.work.wait_timeout(tail, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
    tail.writer = Writer::Awake;
    tail.called = false;
    !tail.closed
}

/// Waits for a time; `false`: there will be nothing more.
fn wait_for_retry(log: &Log, time: Duration) -> bool {
    let waited = log.work.wait_timeout_while(log.tail(), time, |tail| !tail.closed);
    !waited.unwrap_or_else(PoisonError::into_inner).0.closed
}
