//! The journal without its thread, on the clock of the runtime.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smollama_engine::context::Host;
use smollama_engine::duration::Duration;
use smollama_engine::node::Receipt;
use smollama_engine::run::{Event, Fill, Full, Journal, JournalReader};
use smollama_engine::time::Timestamp;
use smollama_store::log::{Durability, LogJournal, LogSettings};

/// A journal that is synced `flush` after the first event that is not, as its thread does at either durability with events nobody
/// waits for. Unlike the thread it does not gather for ten milliseconds: each event is a write of its own.
#[derive(Debug)]
pub(super) struct Timed {
    journal: Arc<LogJournal>,
    flush: Duration,
    /// Whether a sync is to come.
    due: Arc<AtomicBool>,
}

impl Timed {
    pub(super) fn new(journal: Arc<LogJournal>, flush: Duration) -> Timed {
        Timed { journal, flush, due: Arc::default() }
    }

    /// Opens the journal so that it leaves syncs to [`Timed`].
    pub(super) fn open(
        host: &Arc<Host>,
        settings: LogSettings,
        least_seq: u64,
    ) -> io::Result<LogJournal> {
        let settings = LogSettings { durability: Durability::Process, ..settings };
        LogJournal::inline(host, settings, least_seq)
    }
}

impl Journal for Timed {
    fn append(&self, now: Timestamp, event: &Event, receipt: Option<Receipt>) -> Result<u64, Full> {
        assert!(
            receipt.is_none(),
            "under `power` whoever waits for a receipt needs a sync at once"
        );
        let seq = self.journal.append(now, event, None)?;
        if !self.due.swap(true, Ordering::Relaxed) {
            let (journal, flush, due) = (self.journal.clone(), self.flush, self.due.clone());
            tokio::spawn(async move {
                tokio::time::sleep(flush.to_std()).await;
                due.store(false, Ordering::Relaxed);
                journal.sync().expect("a disk without faults");
            });
        }
        Ok(seq)
    }
    fn last_seq(&self) -> u64 {
        self.journal.last_seq()
    }
    fn skip_seq(&self) -> u64 {
        self.journal.skip_seq()
    }
    fn read_after(&self, seq: u64) -> io::Result<Box<dyn JournalReader>> {
        self.journal.read_after(seq)
    }
    fn free(&self, upto: u64) {
        self.journal.free(upto);
    }
    fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }
    fn fill(&self) -> Fill {
        self.journal.fill()
    }
    fn power_was_cut(&self) -> bool {
        self.journal.power_was_cut()
    }
}
