//! Keeping the history: rows come in, small files are finalized, merged into larger ones, and removed when their time has come.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::disk::Disk;
use smollama_engine::duration::Duration;
use smollama_engine::observation::Observation;
use smollama_engine::reading::Reading;
use smollama_engine::series::SeriesTable;
use smollama_engine::time::Timestamp;
use smollama_engine::window::Window;
use uuid::Uuid;

use super::buffer::Buffer;
use super::calendar::Period;
use super::compact::next_merge;
use super::error::{Error, Result};
use super::files::{Files, StoredFile};
use super::merge::merge;
use super::observations::{self, OBSERVATIONS};
use super::readings::{self, READINGS};
use super::table::Table;
use super::windows::{self, WINDOWS};

/// A file of this size is not merged any further.
const BYTES_ENOUGH: u64 = 8 << 20;

/// The least sensible limit: less might not hold the rows that are gathered in memory, once they are long texts.
pub const BYTES_MAX_LEAST: u64 = 16 << 20;

/// What a history may hold and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long rows are kept at least; `None`: for good. They go by whole files, so some stay longer.
    pub keep: Option<Duration>,
    /// How many bytes all files may have together. When there would be more, the oldest files go.
    pub bytes_max: u64,
    /// How many rows of one kind are gathered in memory before they are finalized as a file.
    pub rows_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { keep: None, bytes_max: 1 << 30, rows_max: 32_768 }
    }
}

impl Settings {
    /// The longest period that one file may span: a file goes as a whole, so what is kept for a month must not lie in
    /// a file of a year.
    fn longest_period(&self) -> Period {
        let keep = self.keep.map_or(i64::MAX, |keep| keep.as_micros() / 1_000_000);
        let fits = |period: &Period| period.seconds().saturating_mul(8) <= keep;
        let periods = [Period::Year, Period::Month];
        periods.into_iter().find(fits).unwrap_or(Period::Day)
    }

    fn bytes_enough(&self) -> u64 {
        BYTES_ENOUGH.min(self.bytes_max / 16)
    }

    /// What finalized files may have together. The rest is for a merge, whose inputs go only when its output is there: they have
    /// less than twice [`Settings::bytes_enough`].
    fn bytes_at_rest(&self) -> u64 {
        self.bytes_max.saturating_sub(2 * self.bytes_enough())
    }
}

/// Keeps readings, windows and observations under one folder, each kind in a folder of its own. There may be one writer of a folder.
#[derive(Debug)]
pub struct Writer {
    settings: Settings,
    sets: [DataSet; 3],
}

const READINGS_SET: usize = 0;
const WINDOWS_SET: usize = 1;
const OBSERVATIONS_SET: usize = 2;

fn set_of(kind: ItemKind) -> usize {
    match kind {
        ItemKind::Readings => READINGS_SET,
        ItemKind::Windows => WINDOWS_SET,
        ItemKind::Observations => OBSERVATIONS_SET,
    }
}

#[derive(Debug)]
struct DataSet {
    files: Files,
    buffer: Buffer,
    /// The numbers of files that could not be merged and are left as they are until the next start.
    left_alone: Vec<u64>,
}

impl DataSet {
    fn open(disk: &Arc<dyn Disk>, folder: &Path, table: &'static Table) -> Result<DataSet> {
        let mut files = Files::check(disk.clone(), folder.join(table.name), table)?;
        files.clear_away()?;
        let progress = files.progress()?;
        Ok(DataSet { files, buffer: Buffer::new(table, progress), left_alone: Vec::new() })
    }
}

impl Writer {
    /// Opens a history, makes it if it is not there, and clears away what a crash left half done.
    ///
    /// # Errors
    /// The disk refuses, or a later release wrote there ([`Error::NewerFormat`]).
    pub fn open(disk: &Arc<dyn Disk>, folder: PathBuf, settings: Settings) -> Result<Writer> {
        let open = |table| DataSet::open(disk, &folder, table);
        Ok(Writer { sets: [open(&READINGS)?, open(&WINDOWS)?, open(&OBSERVATIONS)?], settings })
    }

    /// Makes sure that [`Writer::open`] could open a history, and touches nothing in it: another writer may be at work.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn check(disk: &Arc<dyn Disk>, folder: &Path) -> Result<()> {
        [&READINGS, &WINDOWS, &OBSERVATIONS].into_iter().try_for_each(|table: &'static Table| {
            Files::check(disk.clone(), folder.join(table.name), table).map(drop)
        })
    }

    /// The offset ([`Batch::end`]) up to which the files hold all items of a kind of a stream. From this call on, what
    /// [`Writer::append`] takes of that kind is of that stream: each finalized file says how far it has come, so that this answer is as
    /// durable as the rows. Behind the offset there may be items in files as well; [`Writer::append`] passes them over when they
    /// come again.
    pub fn position(&mut self, stream: Uuid, kind: ItemKind) -> u64 {
        self.sets[set_of(kind)].buffer.follow(stream)
    }

    /// The largest offset of the streams that were asked for with [`Writer::position`] of which files have anything. What was not written
    /// before must not be counted up to there: it would be taken for what is there.
    #[must_use]
    pub fn reach(&self) -> u64 {
        self.sets.iter().map(|set| set.buffer.reach()).max().unwrap_or(0)
    }

    /// Takes a batch of a stream: all of it, or after an error nothing.
    ///
    /// # Errors
    /// The buffer is full and could not be finalized.
    pub fn append(&mut self, batch: &Batch, series: &SeriesTable) -> Result<()> {
        let buffer = self.buffer_with_room(set_of(batch.items.kind()))?;
        // The offset before the first item; an item that is not counted is always new.
        let before = batch.end.saturating_sub(batch.items.len() as u64);
        let new = |buffer: &Buffer, offset: u64, time: Timestamp| {
            batch.end == 0 || !buffer.has(before + offset, time.as_micros().div_euclid(1_000_000))
        };
        match &batch.items {
            Items::Readings(items) => {
                for (offset, item) in (1..).zip(items) {
                    if new(buffer, offset, item.time) {
                        readings::push(&mut buffer.rows, item, &mut buffer.series, series);
                    }
                }
            }
            Items::Windows(items) => {
                for (offset, item) in (1..).zip(items) {
                    if new(buffer, offset, item.end) {
                        windows::push(&mut buffer.rows, item, &mut buffer.series, series);
                    }
                }
            }
            Items::Observations(items) => {
                for (offset, item) in (1..).zip(items) {
                    if new(buffer, offset, item.time) {
                        observations::push(&mut buffer.rows, item);
                    }
                }
            }
        }
        buffer.came(batch.end);
        Ok(())
    }

    /// Takes readings that are of no stream: all of them, or after an error none.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_readings(&mut self, readings: &[Reading], series: &SeriesTable) -> Result<()> {
        let buffer = self.buffer_with_room(READINGS_SET)?;
        for reading in readings {
            readings::push(&mut buffer.rows, reading, &mut buffer.series, series);
        }
        Ok(())
    }

    /// Takes windows that are of no stream: all of them, or after an error none.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_windows(&mut self, windows: &[Window], series: &SeriesTable) -> Result<()> {
        let buffer = self.buffer_with_room(WINDOWS_SET)?;
        for window in windows {
            windows::push(&mut buffer.rows, window, &mut buffer.series, series);
        }
        Ok(())
    }

    /// Takes observations that are of no stream: all of them, or after an error none.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_observations(&mut self, observations: &[Observation]) -> Result<()> {
        let buffer = self.buffer_with_room(OBSERVATIONS_SET)?;
        for observation in observations {
            observations::push(&mut buffer.rows, observation);
        }
        Ok(())
    }

    fn buffer_with_room(&mut self, set: usize) -> Result<&mut Buffer> {
        let buffer = &self.sets[set].buffer;
        if buffer.is_pending() || buffer.rows.is_full(self.settings.rows_max) {
            self.finalize_set(set)?;
        }
        Ok(&mut self.sets[set].buffer)
    }

    /// How many rows are in memory only.
    #[must_use]
    pub fn rows_in_memory(&self) -> usize {
        self.sets.iter().map(|set| set.buffer.row_count()).sum()
    }

    /// How many bytes all files have together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sets.iter().map(|set| set.files.bytes()).sum()
    }

    /// Finalizes all rows in memory: once it returns, they survive a power cut.
    ///
    /// # Errors
    /// The disk refuses, or the limit leaves no room. What could not be finalized stays in memory for the next call.
    pub fn finalize(&mut self) -> Result<()> {
        (0..self.sets.len()).try_for_each(|set| self.finalize_set(set))
    }

    fn finalize_set(&mut self, index: usize) -> Result<()> {
        let longest = self.settings.longest_period();
        let limit = self.settings.bytes_at_rest();
        let mut others = Vec::new();
        let mut own = None;
        for (at, set) in self.sets.iter_mut().enumerate() {
            if at == index { own = Some(set) } else { others.push(&mut set.files) }
        }
        let Some(DataSet { files, buffer, .. }) = own else { return Ok(()) };
        buffer.finalize(files, longest, |own, needed| {
            let mut all: Vec<&mut Files> = others.iter_mut().map(|files| &mut **files).collect();
            all.push(own);
            make_room(&mut all, limit, needed).map(|fits| (!fits).then_some(limit))
        })
    }

    /// Does one piece of what is due: removes files whose time has come, or merges some. Says whether there may be more to
    /// do. A merge reads and writes up to some 16 MiB.
    ///
    /// # Errors
    /// The disk refuses, or a file cannot be read; such a file is left as it is until the next start.
    pub fn maintain(&mut self, now: Timestamp) -> Result<bool> {
        for set in &mut self.sets {
            set.files.remove_replaced()?;
        }
        self.remove_expired(now)?;
        // The limit may have been set lower than it was at the last start.
        let mut all: Vec<&mut Files> = self.sets.iter_mut().map(|set| &mut set.files).collect();
        make_room(&mut all, self.settings.bytes_at_rest(), 0)?;
        let limit = self.settings.bytes_max;
        let (enough, longest) = (self.settings.bytes_enough(), self.settings.longest_period());
        let bytes = self.bytes();
        for set in &mut self.sets {
            if set.buffer.is_pending() {
                // Rows that have a number already must not come after a file with a higher one: the newest says how far a stream
                // has come.
                continue;
            }
            let left_alone = &set.left_alone;
            let files = set.files.list().iter();
            let files = files.filter(|file| !left_alone.contains(&file.sequence));
            let now = now.as_micros().div_euclid(1_000_000);
            let Some(next) = next_merge(files, now, enough, longest) else { continue };
            let progress = set.buffer.progress();
            let merged = merge(&mut set.files, &next, progress, limit.saturating_sub(bytes));
            if let Err(error) = &merged {
                set.leave_alone(error, &next.inputs);
            }
            return merged.map(|()| true);
        }
        Ok(false)
    }

    fn remove_expired(&mut self, now: Timestamp) -> Result<()> {
        let Some(keep) = self.settings.keep else { return Ok(()) };
        let oldest = now.saturating_sub(keep).as_micros().div_euclid(1_000_000);
        for set in &mut self.sets {
            let expired = set.files.list().iter().filter(|file| file.last < oldest);
            let expired: Vec<StoredFile> = expired.cloned().collect();
            for file in &expired {
                set.files.remove(file)?;
            }
            if !expired.is_empty() {
                set.files.sync()?;
            }
        }
        Ok(())
    }
}

impl DataSet {
    /// Takes note of the files that a merge failed at, so that the next merge goes without them.
    fn leave_alone(&mut self, error: &Error, inputs: &[StoredFile]) {
        let at_fault = |input: &&StoredFile| match error {
            Error::Damaged { path, .. } | Error::NewerFormat { path, .. } => {
                self.files.path(input) == *path
            }
            // Together they came out larger than they were.
            Error::Full { .. } => true,
            _ => false,
        };
        let at_fault = inputs.iter().filter(at_fault).map(|file| file.sequence);
        self.left_alone.extend(at_fault);
    }
}

/// Removes the oldest files until `needed` more bytes fit under the limit. Says whether they do.
fn make_room(sets: &mut [&mut Files], limit: u64, needed: u64) -> Result<bool> {
    if needed > limit {
        return Ok(false);
    }
    loop {
        let bytes: u64 = sets.iter().map(|files| files.bytes()).sum();
        if bytes + needed <= limit {
            return Ok(true);
        }
        for files in sets.iter_mut() {
            files.remove_replaced()?;
        }
        let oldest = sets.iter_mut().filter_map(|files| {
            let oldest = files.list().iter().min_by_key(|file| file.last)?.clone();
            Some((oldest, files))
        });
        let Some((file, files)) = oldest.min_by_key(|(file, _)| file.last) else {
            return Ok(true);
        };
        files.remove(&file)?;
    }
}
