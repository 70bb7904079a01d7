//! Reading the history back.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smollama_engine::disk::Disk;
use smollama_engine::observation::Observation;
use smollama_engine::reading::Reading;
use smollama_engine::series::SeriesTable;
use smollama_engine::time::Timestamp;
use smollama_engine::window::Window;

use super::columns::Columns;
use super::decode::{Sources, TableFile, TableRows, Wanted};
use super::error::{Error, Result};
use super::files::Files;
use super::observations::{self, OBSERVATIONS};
use super::readings::{self, READINGS};
use super::table::Table;
use super::windows::{self, WINDOWS};

/// Reads a history that may be written to at the same time. It sees the files that are finalized when it is asked.
#[derive(Debug, Clone)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl Reader {
    /// A reader of the history in a folder; it need not be there yet.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, folder: &Path) -> Reader {
        Reader { disk, folder: folder.to_owned() }
    }

    /// The readings in a span of time (its end excluded), some thousand at a time: file by file in the order of their first rows,
    /// and within a file by source, then time. A file that is merged while it is waited for ends the iterator with an
    /// error; ask again then.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn readings<'a>(
        &self,
        times: Range<Timestamp>,
        sources: Sources,
        table: &'a SeriesTable,
    ) -> Result<Rows<'a, Reading>> {
        self.rows(&READINGS, times, sources, move |rows, path| {
            readings::readings(rows, table).map_err(Error::damaged(path))
        })
    }

    /// The windows that ended in a span of time, one for each series.
    ///
    /// # Errors
    /// As [`Reader::readings`].
    pub fn windows<'a>(
        &self,
        times: Range<Timestamp>,
        sources: Sources,
        table: &'a SeriesTable,
    ) -> Result<Rows<'a, Window>> {
        self.rows(&WINDOWS, times, sources, move |rows, path| {
            windows::windows(rows, table).map_err(Error::damaged(path))
        })
    }

    /// The observations of a span of time, by time within each file.
    ///
    /// # Errors
    /// As [`Reader::readings`].
    pub fn observations(&self, times: Range<Timestamp>) -> Result<Rows<'static, Observation>> {
        self.rows(&OBSERVATIONS, times, Sources::all(), |rows, _| {
            Ok(observations::observations(rows))
        })
    }

    /// The bytes that a row takes in the files as they are now: of the newest of them, all included. `None` where there is none yet.
    ///
    /// # Errors
    /// A folder cannot be listed.
    pub fn row_bytes(&self) -> Result<RowBytes> {
        let of = |table: &'static Table| -> Result<Option<f64>> {
            let files = Files::look(self.disk.clone(), self.folder.join(table.name), table)?;
            let (mut bytes, mut rows) = (0, 0);
            for file in files.list().iter().rev().take(MEASURED_MAX) {
                // One that cannot be read says nothing about the others.
                let Ok(opened) = TableFile::open(&*self.disk, &files.path(file), table) else {
                    continue;
                };
                bytes += file.len;
                rows += opened.row_count() as u64;
            }
            Ok((rows > 0).then(|| bytes as f64 / rows as f64))
        };
        Ok(RowBytes {
            readings: of(&READINGS)?,
            windows: of(&WINDOWS)?,
            observations: of(&OBSERVATIONS)?,
        })
    }

    fn rows<'a, T>(
        &self,
        table: &'static Table,
        times: Range<Timestamp>,
        sources: Sources,
        convert: impl Fn(&Columns, &Path) -> Result<Vec<T>> + 'a,
    ) -> Result<Rows<'a, T>> {
        let files = Files::look(self.disk.clone(), self.folder.join(table.name), table)?;
        let times = times.start.as_micros()..times.end.as_micros();
        let second = |micros: i64| micros.div_euclid(1_000_000);
        let meets = files.list().iter().filter(|file| {
            file.first <= second(times.end.saturating_sub(1)) && file.last >= second(times.start)
        });
        Ok(Rows {
            disk: self.disk.clone(),
            table,
            wanted: Wanted { times: times.clone(), sources },
            files: meets.map(|file| files.path(file)).collect(),
            current: None,
            convert: Box::new(convert),
        })
    }
}

/// What a row costs on disk, by data set.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RowBytes {
    /// A reading.
    pub readings: Option<f64>,
    /// A window of one series.
    pub windows: Option<f64>,
    /// An observation.
    pub observations: Option<f64>,
}

/// So many files of a data set tell what a row costs.
const MEASURED_MAX: usize = 32;

type Convert<'a, T> = Box<dyn Fn(&Columns, &Path) -> Result<Vec<T>> + 'a>;

/// What [`Reader`] found, in batches.
pub struct Rows<'a, T> {
    disk: Arc<dyn Disk>,
    table: &'static Table,
    wanted: Wanted,
    files: VecDeque<PathBuf>,
    current: Option<(PathBuf, TableRows)>,
    convert: Convert<'a, T>,
}

impl<T> Iterator for Rows<'_, T> {
    type Item = Result<Vec<T>>;

    fn next(&mut self) -> Option<Result<Vec<T>>> {
        loop {
            if let Some((path, rows)) = &mut self.current {
                match rows.next() {
                    Some(rows) => {
                        let rows = rows.and_then(|rows| (self.convert)(&rows, path));
                        return Some(rows.inspect_err(|_| self.files.clear()));
                    }
                    None => self.current = None,
                }
            }
            let path = self.files.pop_front()?;
            let rows = TableFile::open(&*self.disk, &path, self.table)
                .and_then(|file| file.read(self.wanted.clone()));
            match rows {
                Ok(rows) => self.current = Some((path, rows)),
                Err(error) => {
                    self.files.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}
