//! Rows of one data set that are not in a file yet.

use std::collections::{BTreeMap, VecDeque};

use smollama_engine::disk::write_atomically;
use uuid::Uuid;

use super::calendar::Period;
use super::columns::Columns;
use super::encode::{Effort, Says, TableWriter};
use super::error::{Error, Result};
use super::files::{Files, StoredFile};
use super::progress::Progress;
use super::readings::SeriesWriter;
use super::table::Table;

/// Into how many files rows of many days may be cut; if they would be more, they are cut by months, then by years.
const FILES_MAX: usize = 4;

/// Rows in memory, and rows that were on their way to a file when the disk refused.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) rows: Columns,
    pub(crate) series: SeriesWriter,
    /// Rows that have a file's number already. They keep it until they are written: should the file have come to be although
    /// the disk said no, the next try replaces it.
    pending: VecDeque<Pending>,
    /// How far a stream has come into files.
    progress: Option<Progress>,
    /// Whether what comes is of that stream.
    streams: bool,
    /// The offset after the last item that came.
    end: u64,
}

#[derive(Debug)]
struct Pending {
    file: StoredFile,
    rows: Columns,
    /// How far the stream has come with this file.
    progress: Option<Progress>,
}

impl Buffer {
    pub(crate) fn new(table: &'static Table, progress: Option<Progress>) -> Buffer {
        Buffer {
            rows: Columns::new(table),
            series: SeriesWriter::default(),
            pending: VecDeque::new(),
            progress,
            streams: false,
            end: 0,
        }
    }

    /// From now on, what comes is of a stream. Gives the offset up to which all of it is in files.
    pub(crate) fn follow(&mut self, stream: Uuid) -> u64 {
        if self.progress.as_ref().is_none_or(|progress| progress.stream != stream) {
            self.progress = Some(Progress::none_of(stream));
        }
        self.streams = true;
        self.end = self.progress.as_ref().map_or(0, |progress| progress.end);
        self.end
    }

    /// The largest offset of the stream that files speak of.
    pub(crate) fn reach(&self) -> u64 {
        self.progress.as_ref().filter(|_| self.streams).map_or(0, Progress::reach)
    }

    /// Whether an item of the stream, with a time in seconds, is in a file already.
    pub(crate) fn has(&self, offset: u64, second: i64) -> bool {
        let progress = self.progress.as_ref().filter(|_| self.streams);
        progress.is_some_and(|progress| progress.has(offset, second))
    }

    /// All items up to an offset came.
    pub(crate) fn came(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// How far the stream has come into files, for one more file that adds nothing.
    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// How many rows are not in a file.
    pub(crate) fn row_count(&self) -> usize {
        self.rows.rows() + self.pending.iter().map(|pending| pending.rows.rows()).sum::<usize>()
    }

    /// Whether it holds rows that the disk refused.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Cuts the rows into files to be.
    fn cut(&mut self, files: &mut Files, longest: Period) {
        if self.rows.rows() == 0 {
            return;
        }
        let rows = std::mem::replace(&mut self.rows, Columns::new(files.table));
        self.series.clear();
        let before = self.pending.back().map_or(&self.progress, |pending| &pending.progress);
        let (mut progress, end) = (before.clone(), self.end);
        let (period, parts) = parts(&rows, longest);
        let mut left = parts.len();
        for (start, part) in parts {
            left -= 1;
            if self.streams {
                progress = progress.map(|progress| match left {
                    0 => progress.with_all(end),
                    _ => progress.with_period(end, period, start),
                });
            }
            let times = part.iter().map(|&row| rows.time(row).div_euclid(1_000_000));
            let (first, last) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
            let file = StoredFile { first, last, sequence: files.take_sequence(), len: 0 };
            let (rows, progress) = (rows.sorted(part), progress.clone());
            self.pending.push_back(Pending { file, rows, progress });
        }
    }

    /// Finalizes all rows. `make_room` is asked before each file of so many bytes, and says how many the history may have at
    /// most. After an error the rest waits for the next call.
    pub(crate) fn finalize(
        &mut self,
        files: &mut Files,
        longest: Period,
        mut make_room: impl FnMut(&mut Files, u64) -> Result<Option<u64>>,
    ) -> Result<()> {
        self.cut(files, longest);
        while let Some(pending) = self.pending.front() {
            let path = files.path(&pending.file);
            let bytes = encode(pending).map_err(Error::encode(&path))?;
            let len = bytes.len() as u64;
            if let Some(limit) = make_room(files, len)? {
                return Err(Error::Full { path, needed: len, limit });
            }
            write_atomically(&*files.disk, &path, &bytes).map_err(Error::disk("write", &path))?;
            files.add(StoredFile { len, ..pending.file.clone() });
            if let Some(written) = self.pending.pop_front() {
                self.progress = written.progress;
            }
        }
        Ok(())
    }
}

fn encode(pending: &Pending) -> std::result::Result<Vec<u8>, parquet::errors::ParquetError> {
    let rows = &pending.rows;
    let says = Says { replaces: None, progress: pending.progress.as_ref() };
    let (present, count) = (rows.present(), rows.rows());
    let mut writer = TableWriter::new(Vec::new(), rows.table, present, count, says, Effort::Quick)?;
    writer.write_all(rows)?;
    writer.end()?;
    Ok(std::mem::take(writer.out()))
}

/// The rows by day, or by a longer period if the days are many: which, and the rows of each with its first second.
fn parts(rows: &Columns, longest: Period) -> (Period, BTreeMap<i64, Vec<usize>>) {
    let mut cut = (Period::Day, by_period(rows, Period::Day));
    for period in [Period::Month, Period::Year] {
        if period > longest || cut.1.len() <= FILES_MAX {
            break;
        }
        cut = (period, by_period(rows, period));
    }
    cut
}

fn by_period(rows: &Columns, period: Period) -> BTreeMap<i64, Vec<usize>> {
    let mut parts: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut span = 0..0;
    for row in 0..rows.rows() {
        let second = rows.time(row).div_euclid(1_000_000);
        // All that lies outside of the calendar is one part, and what follows it is not.
        if !span.contains(&second) || span.start == i64::MIN {
            span = period.holding(second);
        }
        parts.entry(span.start).or_default().push(row);
    }
    parts
}
