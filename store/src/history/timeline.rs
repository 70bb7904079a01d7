//! The readings of a history in the order of time.
//!
//! In a file rows lie by source, then time, so a file is read at as many places at once as it has sources. What is held is bounded all
//! the same: each place has some rows decoded, fewer where there are many places, and its part of the file is opened anew for
//! the next ones.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smollama_engine::disk::Disk;
use smollama_engine::reading::Reading;
use smollama_engine::series::SeriesTable;
use smollama_engine::time::Timestamp;

use super::decode::{GroupFacts, TableFile};
use super::error::{Error, Result};
use super::files::Files;
use super::readings::{self, READINGS};

/// How many decoded readings are held at all places together, about: 10 MiB of them.
const HELD: usize = 262_144;
/// How many are decoded at one place in one go, at least and at most.
const CHUNK: Range<usize> = 256..32_768;
/// Groups of a file that begin so soon after the first are read beside each other, in microseconds.
const SOON: i64 = 3_600_000_000;
/// How often the folder is listed anew, because files were merged meanwhile, before a single further reading was found.
const LISTED_MAX: u32 = 8;

/// Iterates over the readings of a span of time: by time, those of one instant by source. What more than one sink kept, or
/// one sink on two ways, comes once: of readings of one source and instant with the same value the one that stands for the
/// fewest. Files that are merged meanwhile are found again.
#[derive(Debug)]
pub struct Timeline<'a> {
    disk: Arc<dyn Disk>,
    folders: Vec<PathBuf>,
    table: &'a SeriesTable,
    /// Microseconds since 1970, the end excluded.
    times: Range<i64>,
    /// Files not yet opened, with the second of their first row, by that.
    files: VecDeque<(i64, u64, PathBuf)>,
    places: BinaryHeap<Place>,
    /// So many places are read beside each other.
    beside: usize,
    /// The next reading and its source, held back for what may be the same.
    held: Option<(Arc<str>, Reading)>,
    /// Up to here all was given, when the folder had to be listed anew.
    given: Option<(i64, Arc<str>)>,
    listed: u32,
    ended: bool,
}

/// Where the next reading may come from. The one with the earliest is the greatest.
#[derive(Debug)]
struct Place {
    time: i64,
    source: Arc<str>,
    /// The number of its file: of readings that tie, the ones that were kept first come first.
    sequence: u64,
    file: Arc<TableFile>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A row group not looked at yet; its source is empty, so that it comes before all readings of its first instant.
    Group(GroupFacts),
    /// Rows of one source in a row group: those decoded, and those that follow.
    Rows { group: usize, decoded: std::vec::IntoIter<Reading>, next: Reading, rest: Range<usize> },
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_time = other.time.cmp(&self.time);
        let by_source = || other.source.cmp(&self.source);
        by_time.then_with(by_source).then_with(|| other.sequence.cmp(&self.sequence))
    }
}

impl<'a> Timeline<'a> {
    /// The readings of a span of time (its end excluded) in the histories of some folders, which need not be there.
    ///
    /// # Errors
    /// A folder cannot be listed.
    pub fn new(
        disk: Arc<dyn Disk>,
        folders: &[&Path],
        times: Range<Timestamp>,
        table: &'a SeriesTable,
    ) -> Result<Timeline<'a>> {
        let mut timeline = Timeline {
            disk,
            folders: folders.iter().map(|folder| folder.join(READINGS.name)).collect(),
            table,
            times: times.start.as_micros()..times.end.as_micros(),
            files: VecDeque::new(),
            places: BinaryHeap::new(),
            beside: 0,
            held: None,
            given: None,
            listed: 0,
            ended: false,
        };
        timeline.list()?;
        Ok(timeline)
    }

    /// Looks which files there are.
    fn list(&mut self) -> Result<()> {
        let start = self.given.as_ref().map_or(self.times.start, |(time, _)| *time);
        let second = |micros: i64| micros.div_euclid(1_000_000);
        let mut files = Vec::new();
        for folder in &self.folders {
            let found = Files::look(self.disk.clone(), folder.clone(), &READINGS)?;
            let meets = found.list().iter().filter(|file| {
                file.first <= second(self.times.end.saturating_sub(1)) && file.last >= second(start)
            });
            files.extend(meets.map(|file| (file.first, file.sequence, found.path(file))));
        }
        files.sort();
        self.files = files.into();
        self.places.clear();
        Ok(())
    }

    /// Opens all files that can hold the earliest reading.
    fn open_files(&mut self) -> Result<()> {
        while let Some((first, ..)) = self.files.front() {
            let begins = first.saturating_mul(1_000_000);
            if self.places.peek().is_some_and(|place| place.time < begins) {
                break;
            }
            let Some((_, sequence, path)) = self.files.pop_front() else { break };
            match TableFile::open(&*self.disk, &path, &READINGS) {
                Ok(file) => self.open_groups(Arc::new(file), sequence),
                Err(error) if error.is_gone() && self.listed < LISTED_MAX => {
                    self.listed += 1;
                    // All up to here was given, or is held and will be.
                    let given = self.held.as_ref();
                    self.given =
                        given.map(|(source, held)| (held.time.as_micros(), source.clone()));
                    self.list()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn open_groups(&mut self, file: Arc<TableFile>, sequence: u64) {
        let mut groups: Vec<GroupFacts> = file.groups().collect();
        groups.retain(|group| group.first < self.times.end && group.last >= self.times.start);
        let begin = groups.iter().map(|group| group.first).min().unwrap_or(0);
        let soon = groups.iter().filter(|group| group.first.saturating_sub(begin) < SOON).count();
        self.beside = soon.max(1);
        self.places.extend(groups.into_iter().map(|group| Place {
            time: group.first.max(self.times.start),
            source: "".into(),
            sequence,
            file: file.clone(),
            what: What::Group(group),
        }));
    }

    /// Adds a place for rows of one source, unless none of them is wanted.
    fn add_rows(
        &mut self,
        file: Arc<TableFile>,
        sequence: u64,
        source: Arc<str>,
        group: usize,
        rest: Range<usize>,
    ) -> Result<()> {
        let what = self.decode(&file, group, rest, &source)?;
        if let Some((time, what)) = what {
            self.places.push(Place { time, source, sequence, file, what });
        }
        Ok(())
    }

    /// Decodes the next rows that are wanted.
    fn decode(
        &self,
        file: &TableFile,
        group: usize,
        mut rest: Range<usize>,
        source: &Arc<str>,
    ) -> Result<Option<(i64, What)>> {
        let share = (HELD / self.beside.max(1)).clamp(CHUNK.start, CHUNK.end);
        let is_given = |reading: &Reading| {
            let (time, given) = (reading.time.as_micros(), self.given.as_ref());
            given.is_some_and(|(last, of)| (time, source) <= (*last, of))
        };
        while !rest.is_empty() {
            let rows = rest.start..rest.end.min(rest.start + share);
            rest.start = rows.end;
            let mut decoded = Vec::with_capacity(rows.len());
            for columns in file.rows_of(group, rows)? {
                let more = readings::readings(&columns?, self.table)
                    .map_err(Error::damaged(file.path()))?;
                decoded.extend(more);
            }
            if decoded.first().is_some_and(|first| first.time.as_micros() >= self.times.end) {
                return Ok(None);
            }
            decoded.retain(|reading| {
                self.times.contains(&reading.time.as_micros()) && !is_given(reading)
            });
            let mut decoded = decoded.into_iter();
            if let Some(next) = decoded.next() {
                let time = next.time.as_micros();
                return Ok(Some((time, What::Rows { group, decoded, next, rest })));
            }
        }
        Ok(None)
    }

    /// The next reading of all places.
    fn take(&mut self) -> Result<Option<(Arc<str>, Reading)>> {
        loop {
            self.open_files()?;
            let Some(mut place) = self.places.peek_mut() else { return Ok(None) };
            if let What::Rows { decoded, next, .. } = &mut place.what
                && let Some(after) = decoded.next()
            {
                let taken = std::mem::replace(next, after);
                let time = next.time.as_micros();
                let source = place.source.clone();
                place.time = time;
                return Ok(Some((source, taken)));
            }
            let place = std::collections::binary_heap::PeekMut::pop(place);
            let Place { source, sequence, file, what, .. } = place;
            match what {
                What::Rows { group, next, rest, .. } => {
                    self.add_rows(file, sequence, source.clone(), group, rest)?;
                    return Ok(Some((source, next)));
                }
                What::Group(facts) => {
                    let runs = file.sources_of(&facts)?;
                    self.beside += runs.len().saturating_sub(1);
                    for (source, rows) in runs {
                        self.add_rows(file.clone(), sequence, source, facts.index, rows)?;
                    }
                }
            }
        }
    }

    /// The next reading, without those that are the same as one before.
    fn take_once(&mut self) -> Result<Option<Reading>> {
        loop {
            let Some((source, next)) = self.take()? else {
                return Ok(self.held.take().map(|(_, reading)| reading));
            };
            let Some((before, held)) = &mut self.held else {
                self.held = Some((source, next));
                continue;
            };
            if held.time == next.time && *before == source && held.value == next.value {
                if next.count < held.count {
                    *held = next;
                }
                continue;
            }
            self.listed = 0;
            let held = std::mem::replace(held, next);
            *before = source;
            return Ok(Some(held));
        }
    }
}

impl Iterator for Timeline<'_> {
    type Item = Result<Reading>;

    fn next(&mut self) -> Option<Result<Reading>> {
        if self.ended {
            return None;
        }
        let next = self.take_once();
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}
