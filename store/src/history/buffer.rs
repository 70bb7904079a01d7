//! Rows of one data set that are not in a file yet.

use std::collections::{BTreeMap, VecDeque};

use smollama_engine::disk::write_atomically;

use super::calendar::Period;
use super::columns::Columns;
use super::encode::{Effort, TableWriter};
use super::error::{Error, Result};
use super::files::{Files, StoredFile};
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
}

#[derive(Debug)]
struct Pending {
    file: StoredFile,
    rows: Columns,
}

impl Buffer {
    pub(crate) fn new(table: &'static Table) -> Buffer {
        Buffer {
            rows: Columns::new(table),
            series: SeriesWriter::default(),
            pending: VecDeque::new(),
        }
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
        for part in parts(&rows, longest) {
            let times = part.iter().map(|&row| rows.time(row).div_euclid(1_000_000));
            let (first, last) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
            let file = StoredFile { first, last, sequence: files.take_sequence(), len: 0 };
            self.pending.push_back(Pending { file, rows: rows.sorted(part) });
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
            let bytes = encode(&pending.rows).map_err(Error::encode(&path))?;
            let len = bytes.len() as u64;
            if let Some(limit) = make_room(files, len)? {
                return Err(Error::Full { path, needed: len, limit });
            }
            write_atomically(&*files.disk, &path, &bytes).map_err(Error::disk("write", &path))?;
            files.add(StoredFile { len, ..pending.file.clone() });
            self.pending.pop_front();
        }
        Ok(())
    }
}

fn encode(rows: &Columns) -> std::result::Result<Vec<u8>, parquet::errors::ParquetError> {
    let (present, none) = (rows.present(), String::new());
    let mut writer =
        TableWriter::new(Vec::new(), rows.table, present, rows.rows(), none, Effort::Quick)?;
    writer.write_all(rows)?;
    writer.end()?;
    Ok(std::mem::take(writer.out()))
}

/// The rows by day, or by a longer period if the days are many.
fn parts(rows: &Columns, longest: Period) -> Vec<Vec<usize>> {
    let mut parts = BTreeMap::new();
    for period in [Period::Day, Period::Month, Period::Year] {
        if period > longest {
            break;
        }
        parts = by_period(rows, period);
        if parts.len() <= FILES_MAX {
            break;
        }
    }
    parts.into_values().collect()
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
