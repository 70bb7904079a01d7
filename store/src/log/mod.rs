//! The log: what journal and spools have in common. Numbered records, appended at the end, read from the front, let go of in whole segments.
//!
//! - `wire`, `values`, `dictionary`, `encode`, `decode`: events and batches as bytes.
//! - `frame`: how the bytes of a segment are laid out, so that what is whole is found whatever happened to the rest.
//! - `tail`: the end of the log, in memory. `files`: the files that are being written. `pump`: from the one to the other.
//! - `open`: what a restart finds. `frames`: reading it, a window at a time.
//! - `journal`, `spool`: what the engine asks for, on top of that.
//!
//! Nothing that lies on the disk stops a log from opening, but for a later release's format. What is damaged is skipped, counted, and put
//! aside as `*.damaged` when its time is over; what is whole is read. `docs/adr/0008-own-log.md` says why it is not a database.

mod decode;
mod dictionary;
mod encode;
mod files;
mod frame;
mod frames;
mod journal;
mod open;
mod pump;
mod records;
mod settings;
mod spool;
mod tail;
#[cfg(test)]
mod tests;
mod values;
mod wire;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use smollama_engine::context::Host;
use smollama_engine::node::Receipt;
use smollama_engine::run::Fill;

pub(crate) use self::frame::{FORMAT, head};
pub use self::journal::LogJournal;
pub use self::open::NewerFormat;
pub use self::settings::{Durability, LogSettings, boot_id};
pub use self::spool::{LogSpool, LogSpools};

use self::encode::Encoder;
use self::files::Files;
use self::tail::Tail;

/// More may not wait in memory.
const WAITING_MAX: usize = 4 << 20;

/// A log. Two locks: the tail's is held for moments and never while a disk works, that of the files while one does. Who needs both takes
/// the files' first.
#[derive(Debug)]
struct Log {
    host: Arc<Host>,
    settings: LogSettings,
    tail: Mutex<Tail>,
    files: Mutex<Files>,
    /// Woken when there is something for whoever writes.
    work: Condvar,
    written: AtomicU64,
    syncs: AtomicU64,
    quarantined: AtomicU64,
    skipped: AtomicU64,
    /// Why the disk did not take what was written or synced last; `None` where it did.
    failure: Mutex<Option<String>>,
    power_was_cut: bool,
}

impl Log {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        // Nothing in there panics half-way, so what a panic elsewhere left is whole.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.settings.folder.join(files::name_of(segment))
    }

    fn fill(&self) -> Fill {
        Fill {
            bytes: self.tail().used,
            cap: self.settings.cap(),
            written: self.written.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            quarantined: self.quarantined.load(Ordering::Relaxed),
        }
    }

    /// Notes how a try to write or sync went. Called with the files' lock held, so that a later try is not noted before an earlier one.
    fn note<T>(&self, tried: &io::Result<T>) {
        let why = tried.as_ref().err().map(ToString::to_string);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Appends a record to a tail, unless too much waits in it or the cap is reached.
    #[inline]
    fn append(
        &self,
        tail: &mut Tail,
        receipt: Option<Receipt>,
        encode: impl Fn(&mut Encoder, &mut Vec<u8>),
    ) -> Result<u64, Option<Receipt>> {
        if tail.waiting >= WAITING_MAX {
            return Err(receipt);
        }
        tail.append(receipt, encode).map_err(|(_, receipt)| receipt)
    }

    /// Notes that something of a segment cannot be read.
    fn damaged(&self, segment: u64) {
        let mut tail = self.tail();
        let Some(found) = tail.find_mut(segment) else { return };
        if !std::mem::replace(&mut found.damaged, true) {
            self.quarantined.fetch_add(1, Ordering::Relaxed);
            let path = self.path(segment);
            tracing::error!(file = %path.display(), "a part of the log is damaged and is skipped");
        }
    }
}
