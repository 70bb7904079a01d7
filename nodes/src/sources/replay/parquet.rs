//! Parquet files as rows of cells.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use smollama_engine::context::Context;
use smollama_engine::registry::Problem;
use smollama_store::history::foreign::{self, ParquetFile, ParquetRows};

use super::config::{Format, ReplayConfig};
use super::files::Recording;
use super::layout::{FileFacts, Layout};
use crate::fnv::{fnv1a, fnv1a_more};
use crate::io::rows::{Cell, Row, push_text};

/// The wanted columns of a Parquet file.
pub(super) struct ParquetTable {
    /// What the file is known again by.
    pub(super) fingerprint: u64,
    rows: ParquetRows,
    /// Some thousand rows: a list of cells for each wanted column.
    columns: Vec<foreign::Cells>,
    next: usize,
    cells: Vec<Cell>,
    texts: Vec<u8>,
}

impl ParquetTable {
    pub(super) fn open(
        recording: &Recording,
        config: &ReplayConfig,
        context: &Context,
        first_row: u64,
    ) -> Result<(Self, Layout), Problem> {
        let bad = |error: smollama_store::history::Error| Problem::at("path", error.to_string());
        let open = || ParquetFile::open(&*context.host.disk, &recording.path).map_err(bad);
        let file = open()?;
        let columns = file.columns();
        let stem = recording.stem();
        let facts = FileFacts { format: Format::Parquet, columns: Some(&columns), stem: &stem };
        let mut numeric = Vec::new();
        if config.looks_for_values(&facts) {
            for column in &columns {
                // A column of lists is no column of numbers, and no reason to refuse the file.
                let Ok(mut rows) = open()?.read(std::slice::from_ref(column), 0) else { continue };
                let first = rows.next().transpose().map_err(bad)?.unwrap_or_default();
                if first.first().is_some_and(|cells| is_numeric(cells)) {
                    numeric.push(column.clone());
                }
            }
        }
        let layout = config.layout(&facts, &numeric)?;
        let rows = file.read(layout.fields.names(), first_row).map_err(bad)?;
        let fingerprint = fingerprint(&recording.path)
            .map_err(|error| super::reader::unreadable(recording, &error))?;
        let (columns, cells, texts) = (Vec::new(), Vec::new(), Vec::new());
        Ok((ParquetTable { fingerprint, rows, columns, next: 0, cells, texts }, layout))
    }

    /// The next row.
    ///
    /// # Errors
    /// The file is damaged; there is nothing more then.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, String> {
        while self.columns.first().is_none_or(|column| self.next >= column.len()) {
            match self.rows.next() {
                Some(rows) => self.columns = rows.map_err(|error| error.to_string())?,
                None => return Ok(None),
            }
            self.next = 0;
        }
        self.cells.clear();
        self.texts.clear();
        for column in &self.columns {
            self.cells.push(match column.get(self.next) {
                None | Some(foreign::Cell::Absent) => Cell::Null,
                Some(foreign::Cell::Float(number)) => Cell::Float(*number),
                Some(foreign::Cell::Int(number)) => Cell::Int(*number),
                Some(foreign::Cell::Bool(value)) => Cell::Bool(*value),
                Some(foreign::Cell::Time(micros)) => Cell::Time(*micros),
                Some(foreign::Cell::Text(text)) => push_text(text, &mut self.texts),
            });
        }
        self.next += 1;
        Ok(Some(Row::of_cells(&self.cells, &self.texts)))
    }
}

/// What a file is known again by: how long it is, and what it begins and ends with. No Parquet file grows.
fn fingerprint(path: &Path) -> io::Result<u64> {
    const ENDS: u64 = 4 << 10;
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut hash = fnv1a(&len.to_le_bytes());
    for from in [0, len.saturating_sub(ENDS)] {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        (&mut file).take(ENDS).read_to_end(&mut bytes)?;
        hash = fnv1a_more(hash, &bytes);
    }
    Ok(hash)
}

fn is_numeric(cells: &[foreign::Cell]) -> bool {
    let is_number =
        |cell: &foreign::Cell| matches!(cell, foreign::Cell::Float(_) | foreign::Cell::Int(_));
    cells.iter().any(is_number)
        && cells.iter().all(|cell| is_number(cell) || *cell == foreign::Cell::Absent)
}
