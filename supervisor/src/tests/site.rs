//! A host whose lives follow each other on one simulated disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as StdDuration;

use smollama_engine::bytes::ByteSize;
use smollama_engine::clock::Clock;
use smollama_engine::context::Host;
use smollama_engine::control::{ApplyRequest, Control, LetterFilter, PlanRequest, Selection};
use smollama_engine::disk::{Crash, SimulatedDisk, create_dir_durably};
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::registry::Registry;
use smollama_engine::run::Journal;
use smollama_engine::time::Timestamp;
use smollama_nodes::sinks::file::FileConfig;
use smollama_nodes::sinks::parquet::ParquetConfig;
use smollama_nodes::transforms::dedup::DedupConfig;
use smollama_nodes::transforms::window::WindowConfig;
use smollama_store::log::{Durability, LogJournal};
use tempfile::TempDir;
use uuid::Uuid;

use super::inline::{self, Inline};
use super::world::{Feed, Link, Sent, Tape, World};
use super::{START, story};
use crate::kept::{Kept, Manner, Settings};
use crate::logs::Logs;
use crate::supervisor::{Start, Supervisor};

/// How long something may take to come true, on the clock of the runtime.
const PATIENCE: StdDuration = StdDuration::from_secs(300);
/// How long under `process` what was written may wait for a sync.
pub(super) const FLUSH: Duration = Duration::from_secs(5);
/// The bytes the journal may take.
pub(super) const JOURNAL: ByteSize = ByteSize::kib(256);

fn registry() -> Registry {
    Registry::new()
        .with::<Feed>()
        .with::<Tape>()
        .with::<DedupConfig>()
        .with::<WindowConfig>()
        .with::<Sent>()
        .with::<Inline<FileConfig>>()
        .with::<Inline<ParquetConfig>>()
}

/// The clock of the runtime, which stands still while somebody has something to do.
#[derive(Debug)]
struct RuntimeClock {
    start: Timestamp,
    began: tokio::time::Instant,
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_micros()).expect("a short test");
        Timestamp::from_micros(self.start.as_micros() + passed)
    }
}

/// Why a life did not go as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the disk has crashed")]
    Crashed,
    #[error("something said no: {0}")]
    Failed(String),
    #[error("it could not begin: {0}")]
    NotBegun(String),
}

/// What is wrong with a disk for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    /// When in a life it begins, and how long it lasts.
    pub(super) begin: Duration,
    pub(super) span: Duration,
    pub(super) kind: TroubleKind,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum TroubleKind {
    /// Whatever changes something fails.
    Fails,
    /// There is room for so many bytes more.
    Full(u64),
}

impl Trouble {
    async fn come(self, disk: SimulatedDisk) {
        tokio::time::sleep(self.begin.to_std()).await;
        match self.kind {
            TroubleKind::Fails => disk.fail_all(std::io::ErrorKind::Other),
            TroubleKind::Full(room) => disk.capacity(Some(disk.used() + room)),
        }
        tokio::time::sleep(self.span.to_std()).await;
        disk.heal();
        disk.capacity(None);
    }
}

/// See the module.
pub(super) struct Site {
    pub(super) folder: TempDir,
    pub(super) disk: SimulatedDisk,
    pub(super) world: Arc<World>,
    pub(super) durability: Durability,
    /// When the last life ended.
    pub(super) now: Timestamp,
    boots: u128,
    /// How many checkpoints were damaged on purpose.
    pub(super) damaged: usize,
    /// What is wrong with the disk in the lives that come.
    pub(super) trouble: Option<Trouble>,
    /// What was logged, as lines.
    log: Log,
}

/// One life.
pub(super) struct Life {
    pub(super) disk: SimulatedDisk,
    pub(super) world: Arc<World>,
    pub(super) supervisor: Supervisor,
    pub(super) pipelines: PathBuf,
    /// The revision it began with; 0 for none.
    pub(super) revision: u64,
}

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Site {
    pub(super) fn new(seed: u64, durability: Durability) -> Site {
        Site {
            folder: tempfile::tempdir().unwrap(),
            disk: SimulatedDisk::new(seed),
            world: Arc::default(),
            durability,
            now: START,
            boots: 1,
            damaged: 0,
            trouble: None,
            log: Log::default(),
        }
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn pipelines(&self) -> PathBuf {
        self.folder.path().join("pipelines")
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// What died is gone; the next process finds what is left.
    pub(super) fn restart(&mut self) {
        self.disk = self.disk.restart();
        self.now = self.now.saturating_add(Duration::from_secs(1));
    }

    /// Crashes where that has not happened yet, and restarts.
    pub(super) fn crash(&mut self, how: Crash) {
        self.disk.crash(how);
        self.boots += u128::from(how == Crash::Power);
        self.restart();
    }

    /// A life: it ends as its story does, without being stopped unless that does it.
    pub(super) fn live<R>(
        &mut self,
        story: impl AsyncFnOnce(Life) -> Result<R, Ended>,
    ) -> Result<R, Ended> {
        let log = self.log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || log.clone())
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .without_time()
            .finish();
        let _logged = tracing::subscriber::set_default(subscriber);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let lived = runtime.block_on(async {
            let began = tokio::time::Instant::now();
            let clock: Arc<dyn Clock> = Arc::new(RuntimeClock { start: self.now, began });
            let lived = self.begin(&clock, story).await;
            self.now = clock.now();
            lived
        });
        drop(runtime);
        lived
    }

    async fn begin<R>(
        &self,
        clock: &Arc<dyn Clock>,
        story: impl AsyncFnOnce(Life) -> Result<R, Ended>,
    ) -> Result<R, Ended> {
        let (disk, data_dir) = (self.disk.clone(), self.data_dir());
        let failed = |error: &dyn std::fmt::Display| match disk.has_crashed() {
            true => Ended::Crashed,
            false => Ended::NotBegun(error.to_string()),
        };
        let host = Host { disk: disk.shared(), ..Host::for_tests(&data_dir) };
        let host = Arc::new(host);
        let link = host.leases.lease("world", || Ok::<_, ()>(Link(self.world.clone())));
        self.world.begins(&disk, clock);
        create_dir_durably(&disk, &data_dir).map_err(|error| failed(&error))?;
        let kept = self.open(&host, clock.now()).map_err(|error| failed(&error))?;
        let revision = kept.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.revision);
        if self.durability == Durability::Process {
            // What the journal's thread does.
            let (journal, flush) = (kept.journal.clone(), FLUSH.to_std() / 2);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(flush).await;
                    let _ = journal.sync();
                }
            });
        }
        if let Some(trouble) = self.trouble {
            tokio::spawn(trouble.come(disk.clone()));
        }
        let start = Start {
            kept,
            registry: registry(),
            clock: clock.clone(),
            speed: None,
            view: None,
            logs: Logs::new(),
        };
        let supervisor = Supervisor::start(start).map_err(|error| failed(&error))?;
        let life = Life {
            disk: disk.clone(),
            world: self.world.clone(),
            supervisor,
            pipelines: self.pipelines(),
            revision,
        };
        let told = story(life).await;
        drop(link);
        told
    }

    /// Opens what is kept, with no threads.
    pub(super) fn open(&self, host: &Arc<Host>, now: Timestamp) -> Result<Kept, crate::KeptError> {
        let settings = Settings { durability: self.durability, flush: FLUSH, journal: JOURNAL };
        let manner = Manner {
            journal: LogJournal::inline,
            spools: inline::spools,
            boot: Some(Uuid::from_u128(self.boots)),
        };
        Kept::open_in(host, settings, now, &manner)
    }
}

impl Life {
    fn failed(&self, error: &dyn std::fmt::Display) -> Ended {
        if self.disk.has_crashed() { Ended::Crashed } else { Ended::Failed(error.to_string()) }
    }

    /// Waits for something, or for the crash.
    async fn unless_crashed<T>(&self, work: impl Future<Output = T>) -> Result<T, Ended> {
        unless_crashed(&self.disk, work).await
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, time: Duration) -> Result<(), Ended> {
        self.unless_crashed(tokio::time::sleep(time.to_std())).await
    }

    /// Waits until something is so.
    pub(super) async fn until(
        &self,
        what: &str,
        is_so: impl Fn(&World) -> bool,
    ) -> Result<(), Ended> {
        let began = tokio::time::Instant::now();
        while !is_so(&self.world) {
            if began.elapsed() > PATIENCE {
                return Err(self.failed(&format!("never: {what}")));
            }
            self.pass(Duration::from_millis(10)).await?;
        }
        Ok(())
    }

    /// Lets everybody send so many messages more, and waits until they are acknowledged.
    pub(super) async fn send(&self, messages: u32) -> Result<(), Ended> {
        self.world.send(messages);
        self.until("all is acknowledged", World::all_acked).await
    }

    pub(super) async fn release(&self) {
        self.supervisor.handle().release().await;
    }

    /// Applies a version of the pipelines; gives the revision.
    pub(super) async fn apply(&self, version: story::Version) -> Result<u64, Ended> {
        story::write(&self.pipelines, version);
        let plan = PlanRequest { paths: vec![self.pipelines.clone()], ..PlanRequest::default() };
        let request = ApplyRequest { plan, expect: None, message: None };
        let applied = self.supervisor.handle().apply(request, "test");
        match self.unless_crashed(applied).await? {
            Ok(reply) => Ok(reply.revision),
            Err(error) => Err(self.failed(&format!("{error}: {:?}", error.text))),
        }
    }

    /// Gives the dead letters of a node to it once more.
    pub(super) async fn give_again(&self, address: &str) -> Result<(), Ended> {
        let address = Some(Glob::new(address).expect("a pattern"));
        let letters = Selection::Filter(LetterFilter { address, ..LetterFilter::default() });
        let given = self.supervisor.handle().replay_dead_letters(letters, "test");
        match self.unless_crashed(given).await? {
            Ok(done) if done.letters > 0 => Ok(()),
            Ok(_) => Err(self.failed(&"there was no letter")),
            Err(error) => Err(self.failed(&error)),
        }
    }

    pub(super) async fn checkpoint(&self) -> Result<(), Ended> {
        match self.unless_crashed(self.supervisor.handle().checkpoint("test")).await? {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Ends the life in peace. The errors are what nodes could not do.
    pub(super) async fn stop(self) -> Result<Vec<String>, Ended> {
        let Life { disk, supervisor, .. } = self;
        unless_crashed(&disk, supervisor.stop()).await
    }
}

async fn unless_crashed<T>(
    disk: &SimulatedDisk,
    work: impl Future<Output = T>,
) -> Result<T, Ended> {
    let crashed = async {
        while !disk.has_crashed() {
            tokio::time::sleep(StdDuration::from_millis(20)).await;
        }
    };
    tokio::select! {
        biased;
        done = work => if disk.has_crashed() { Err(Ended::Crashed) } else { Ok(done) },
        () = crashed => Err(Ended::Crashed),
    }
}

/// All files under a folder of the simulated disk, with their lengths.
pub(super) fn files(disk: &SimulatedDisk, folder: &Path) -> Vec<(PathBuf, u64)> {
    use smollama_engine::disk::Disk;
    let mut found = Vec::new();
    for entry in disk.list(folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        if entry.is_dir { found.extend(files(disk, &path)) } else { found.push((path, entry.len)) }
    }
    found
}
