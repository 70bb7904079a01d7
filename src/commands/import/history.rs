//! Old readings and observations into the history of this host, where pipelines, backtests and any Parquet reader find them.
//!
//! They go in chunks, and each chunk asks the history first: what is there already, with the same source, time and value, is left out.
//! So nothing is in it twice, whether the command runs again, was killed in the middle, finds a value in the database and in the cache, or
//! this host heard it itself; and no mark has to be kept.

mod cache;
mod chunk;
mod convert;
mod progress;
mod tally;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::disk::{Disk, RealDisk};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;
use smollama_store::history::{self, Reader, Settings, Writer};
use smollama_store::lock::DataDirLock;
use smollama_store::original::{Counts, Database, Error};

use self::cache::Cache;
use self::chunk::Chunk;
use self::convert::{Converter, Refused};
use self::progress::Progress;
pub(super) use self::tally::{Tally, ZoneDoubt};
use super::old::Old;
use crate::terminal::Failure;

/// Where the history of a host lies in its data directory, unless its pipelines say otherwise.
const FOLDER: &str = "history";
/// Where a database is copied to that cannot be read otherwise.
const SCRATCH: &str = "import";
/// A clock may be ahead by so much.
const AHEAD: Duration = Duration::from_hours(24);

/// Old data that can be read.
#[derive(Debug)]
pub(super) struct Data {
    database: Option<Database>,
    cache: Option<Cache>,
}

impl Data {
    /// Opens the database and reads the cache. `scratch` is for a copy of the database, where one is needed.
    ///
    /// # Errors
    /// The database is none, or cannot be read.
    pub(super) fn open(old: &Old, scratch: &Path) -> Result<Data, Failure> {
        let open = |path: &PathBuf| Database::open(path, scratch).map_err(|error| failed(&error));
        let database = old.memory.as_ref().map(open).transpose()?;
        Ok(Data { database, cache: old.cache.as_deref().map(Cache::read) })
    }

    /// How many rows the database has.
    pub(super) fn counts(&self) -> Option<Counts> {
        self.database.as_ref().map(Database::counts)
    }

    /// Whether the first readings tell that their times are of another zone. Once they are in the history, it is too late.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(super) fn zone_doubt(&self, zone: &TimeZone) -> Result<Option<ZoneDoubt>, Failure> {
        let Some(database) = &self.database else { return Ok(None) };
        let mut converter = Converter::new(zone.clone(), Timestamp::FAR_FUTURE);
        let first = database.readings(0).map_err(|error| failed(&error))?;
        // What they say besides does not matter yet.
        first.rows.iter().for_each(|row| drop(converter.reading(row)));
        Ok(converter.zone_doubt())
    }

    /// How many values the cache has.
    pub(super) fn cached(&self) -> usize {
        self.cache.as_ref().map_or(0, Cache::len)
    }
}

/// A data directory that is this process's alone.
#[derive(Debug)]
pub(super) struct Target {
    data_dir: PathBuf,
    _lock: DataDirLock,
}

impl Target {
    /// Takes the data directory.
    ///
    /// # Errors
    /// An engine has it, or the disk refuses.
    pub(super) fn take(data_dir: &Path) -> Result<Target, Failure> {
        let lock = DataDirLock::take(data_dir, SystemClock::default().now());
        let lock = lock.map_err(|error| {
            let help = match error {
                smollama_store::lock::Error::Held { .. } => {
                    "stop it first: it writes the history that the old readings belong into"
                }
                ref other => other.help(),
            };
            Failure::Failed(format!("{error}\n  help: {help}"))
        })?;
        Ok(Target { data_dir: data_dir.to_owned(), _lock: lock })
    }

    /// For a copy of the database.
    pub(super) fn scratch(&self) -> PathBuf {
        self.data_dir.join(SCRATCH)
    }

    /// Where the history lies.
    pub(super) fn folder(&self) -> PathBuf {
        self.data_dir.join(FOLDER)
    }

    /// Puts all in that is not there.
    ///
    /// # Errors
    /// The history or the database cannot be read, or the disk refuses; what was put in by then stays.
    pub(super) fn fill(&self, data: &Data, zone: &TimeZone) -> Result<Tally, Failure> {
        let mut filling = Filling::new(&self.folder())?;
        let now = SystemClock::default().now();
        let mut converter = Converter::new(zone.clone(), now.saturating_add(AHEAD));
        if let Some(database) = &data.database {
            filling.readings(database, &mut converter)?;
        }
        if let Some(cache) = &data.cache {
            filling.cache(cache, &mut converter)?;
        }
        if let Some(database) = &data.database {
            filling.observations(database, &mut converter)?;
        }
        let Filling { mut tally, .. } = filling;
        tally.metadata_left = converter.metadata_left();
        tally.zone = converter.zone_doubt();
        Ok(tally)
    }
}

/// The history while it is filled.
struct Filling {
    writer: Writer,
    reader: Reader,
    chunk: Chunk,
    tally: Tally,
    progress: Progress,
}

impl Filling {
    fn new(folder: &Path) -> Result<Filling, Failure> {
        let disk: Arc<dyn Disk> = RealDisk::shared();
        // Whatever is to go sooner or later goes when the pipelines' own sink says so.
        let settings = Settings { keep: None, bytes_max: u64::MAX, ..Settings::default() };
        let writer =
            Writer::open(&disk, folder.to_owned(), settings).map_err(|error| refused(&error))?;
        Ok(Filling {
            writer,
            reader: Reader::new(disk, folder),
            chunk: Chunk::default(),
            tally: Tally::default(),
            progress: Progress::new(),
        })
    }

    fn readings(&mut self, database: &Database, converter: &mut Converter) -> Result<(), Failure> {
        let last = database.last_reading();
        let mut upto = 0;
        loop {
            let page = database.readings(upto).map_err(|error| failed(&error))?;
            if page.upto == upto {
                break;
            }
            upto = page.upto;
            self.tally.damage(&page.damage, "readings_log");
            for row in &page.rows {
                match converter.reading(row) {
                    Ok(readings) => readings.into_iter().for_each(|one| self.chunk.push(one)),
                    Err(Refused::NoValue) => self.tally.without_value += 1,
                    Err(Refused::Damaged(why)) => self.tally.damaged("readings_log", row.id, why),
                }
                if self.chunk.is_full() {
                    self.put()?;
                }
            }
            self.progress.rows(page.rows.len(), upto, last);
        }
        self.put()
    }

    fn cache(&mut self, cache: &Cache, converter: &mut Converter) -> Result<(), Failure> {
        for why in cache.damage() {
            self.tally.in_cache(why.clone());
        }
        for (key, entry) in cache.entries() {
            match converter.cached(entry) {
                Ok(reading) => self.chunk.push(reading),
                Err(Refused::NoValue) => self.tally.without_value += 1,
                Err(Refused::Damaged(why)) => self.tally.in_cache(format!("`{key}`: {why}")),
            }
            if self.chunk.is_full() {
                self.put()?;
            }
        }
        self.put()
    }

    fn observations(
        &mut self,
        database: &Database,
        converter: &mut Converter,
    ) -> Result<(), Failure> {
        let mut upto = 0;
        loop {
            let page = database.observations(upto).map_err(|error| failed(&error))?;
            if page.upto == upto {
                return Ok(());
            }
            upto = page.upto;
            self.tally.damage(&page.damage, "observations");
            let mut new = Vec::new();
            for row in &page.rows {
                match converter.observation(row) {
                    Ok(observation) => new.push(observation),
                    Err(why) => self.tally.damaged("observations", row.id, why),
                }
            }
            let known =
                chunk::known_observations(&self.reader, &new).map_err(|error| refused(&error))?;
            let before = new.len();
            new.retain(|one| !known.contains(&one.id));
            self.tally.observations += new.len() as u64;
            self.tally.observations_known += (before - new.len()) as u64;
            self.writer.append_observations(&new).map_err(|error| refused(&error))?;
            self.writer.finalize().map_err(|error| refused(&error))?;
        }
    }

    /// Puts what was gathered into the history, as far as it is not there.
    fn put(&mut self) -> Result<(), Failure> {
        self.chunk.leave_out_known(&self.reader).map_err(|error| refused(&error))?;
        let (readings, table) = self.chunk.readings();
        self.tally.took(&self.chunk);
        self.writer.append_readings(&readings, &table).map_err(|error| refused(&error))?;
        self.writer.finalize().map_err(|error| refused(&error))?;
        self.chunk.clear();
        Ok(())
    }
}

fn failed(error: &Error) -> Failure {
    Failure::Failed(format!("{error}\n  help: {}", error.help()))
}

fn refused(error: &history::Error) -> Failure {
    Failure::Failed(format!(
        "the history cannot be filled: {error}\n  help: once that is mended, the same command goes on where it was"
    ))
}

/// When the first and the last were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(super) struct Span {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}
