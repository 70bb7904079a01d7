//! What a data directory holds, opened by the one engine that runs on it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use smollama_engine::bytes::ByteSize;
use smollama_engine::config::host::{DurabilityWord, JournalConfig};
use smollama_engine::context::Host;
use smollama_engine::duration::Duration;
use smollama_engine::plan::{Cost, Graph, cost};
use smollama_engine::run::{Checkpoint, Checkpoints, Keep, Spools};
use smollama_engine::time::Timestamp;
use smollama_store::checkpoints::FileCheckpoints;
use smollama_store::dead_letters::{BYTES_MAX, DeadLetterFile};
use smollama_store::lock::{self, DataDirLock};
use smollama_store::log::{Durability, LogJournal, LogSettings, LogSpools, boot_id};
use smollama_store::revisions::Revisions;
use uuid::Uuid;

/// How things are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What an acknowledged reading survives.
    pub durability: Durability,
    /// How long under [`Durability::Process`] what was written may wait for a sync.
    pub flush: Duration,
    /// How many bytes the journal may take.
    pub journal: ByteSize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            durability: Durability::default(),
            flush: LogSettings::FLUSH,
            journal: ByteSize::mib(64),
        }
    }
}

impl Settings {
    /// What a graph costs where things are kept so.
    #[must_use]
    pub fn cost(&self, graph: &Graph) -> Cost {
        let journal = JournalConfig {
            durability: match self.durability {
                Durability::Power => DurabilityWord::Power,
                Durability::Process => DurabilityWord::Process,
            },
            flush: self.flush,
            size: self.journal,
        };
        cost(graph, &journal, BYTES_MAX)
    }
}

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// Another engine runs on it, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// The disk says no.
    #[error("cannot open {what} in {}: {error}", dir.display())]
    Disk {
        /// What.
        what: &'static str,
        /// The data directory.
        dir: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// How logs are opened: by threads of their own, or so that a test sees the same calls each time.
#[derive(Debug)]
pub(crate) struct Manner {
    pub(crate) journal: fn(&Arc<Host>, LogSettings, u64) -> io::Result<LogJournal>,
    pub(crate) spools: fn(LogSpools) -> Arc<dyn Spools>,
    /// What the machine calls the time since it was started.
    pub(crate) boot: Option<Uuid>,
}

/// See the module. The data directory is locked as long as it lives.
#[derive(Debug)]
pub struct Kept {
    /// The host.
    pub host: Arc<Host>,
    /// What the engine keeps.
    pub keep: Keep,
    /// The journal again, with what only it can do.
    pub journal: Arc<LogJournal>,
    /// Applied revisions.
    pub revisions: Arc<Revisions>,
    /// What was refused.
    pub letters: Arc<DeadLetterFile>,
    /// The newest checkpoint, if there is one.
    pub checkpoint: Option<Checkpoint>,
    /// How things are kept.
    pub settings: Settings,
    _lock: DataDirLock,
}

impl Kept {
    /// Locks the data directory of a host and opens what lies there. What is damaged is put aside, and never keeps it from opening.
    ///
    /// # Errors
    /// Another engine runs there; the disk says no; a newer release wrote there.
    pub fn open(host: &Arc<Host>, settings: Settings, now: Timestamp) -> Result<Kept, KeptError> {
        let manner = Manner {
            journal: LogJournal::open,
            spools: |spools| Arc::new(spools),
            boot: boot_id(),
        };
        Kept::open_in(host, settings, now, &manner)
    }

    /// As [`Kept::open`], with logs of another manner.
    pub(crate) fn open_in(
        host: &Arc<Host>,
        settings: Settings,
        now: Timestamp,
        manner: &Manner,
    ) -> Result<Kept, KeptError> {
        let dir = host.data_dir.clone();
        let failed = |what: &'static str| {
            let dir = dir.clone();
            move |error| KeptError::Disk { what, dir, error }
        };
        let lock = DataDirLock::take(&dir, now)?;
        let checkpoints = Arc::new(FileCheckpoints::open(host).map_err(failed("the checkpoints"))?);
        let checkpoint = checkpoints.latest().map_err(failed("the checkpoints"))?;
        let log = |folder: &str, cap| LogSettings {
            durability: settings.durability,
            flush: settings.flush,
            boot: manner.boot,
            ..LogSettings::new(dir.join(folder), cap)
        };
        let least = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.seq);
        let journal = (manner.journal)(host, log("journal", settings.journal), least)
            .map_err(failed("the journal"))?;
        let journal = Arc::new(journal);
        let spools = (manner.spools)(LogSpools::new(host).in_boot(manner.boot));
        let letters = DeadLetterFile::open(host)
            .map_err(failed("the dead letters"))?
            .surviving(settings.durability);
        let revisions = Revisions::open(host)
            .map_err(|error| failed("the revisions")(io::Error::other(error)))?;
        if checkpoints.damaged() > 0 {
            say_what_may_be_missing(&revisions, checkpoint.as_ref());
        }
        Ok(Kept {
            host: host.clone(),
            keep: Keep { journal: journal.clone(), spools, checkpoints },
            journal,
            revisions: Arc::new(revisions),
            letters: Arc::new(letters),
            checkpoint,
            settings,
            _lock: lock,
        })
    }
}

/// An apply is in two checkpoints, so one that is damaged takes nothing with it. Where it did all the same, the user is told what to do.
fn say_what_may_be_missing(revisions: &Revisions, checkpoint: Option<&Checkpoint>) {
    let runs = checkpoint.map_or(0, |checkpoint| checkpoint.revision);
    let listed = revisions.list(runs).unwrap_or_default();
    if let Some(newest) = listed.first().filter(|newest| newest.number > runs) {
        let number = newest.number;
        tracing::error!(
            "revision {runs} runs (0: none), by the newest checkpoint that can be read; revision {number} may have been applied after it: `smollama history` shows it, `smollama rollback {number}` applies it again"
        );
    }
}
