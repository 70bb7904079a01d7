//! Parquet to rows: only the row groups and pages that can hold what was asked for are read.

mod groups;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::data_type::ByteArray;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use smollama_engine::disk::Disk;
use smollama_engine::glob::Glob;

pub(crate) use self::groups::GroupFacts;
use super::chunk::Chunks;
use super::columns::{Cells, Column, Columns};
use super::error::{Error, Result};
use super::progress::Progress;
use super::table::{FORMAT, FORMAT_KEY, Kind, PROGRESS_KEY, REPLACES_KEY, Table};

/// How many rows are decoded at once.
const BATCH_ROWS: usize = 4_096;

/// Which sources are wanted.
#[derive(Clone)]
pub struct Sources {
    prefix: String,
    matches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Sources {
    /// All of them.
    #[must_use]
    pub fn all() -> Sources {
        Sources::matching("", |_| true)
    }

    /// The sources that `matches` says yes to. Every one of them must begin with `prefix` (`""` where nothing is known): what lies
    /// outside of it is not read.
    #[must_use]
    pub fn matching(
        prefix: &str,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Sources {
        Sources { prefix: prefix.to_owned(), matches: Arc::new(matches) }
    }

    /// The sources that a pattern matches.
    #[must_use]
    pub fn glob(glob: Glob) -> Sources {
        let literal = glob.as_str().split(['*', '?']).next().unwrap_or_default().to_owned();
        Sources::matching(&literal, move |source| glob.matches(source))
    }

    fn has(&self, source: &str) -> bool {
        (self.matches)(source)
    }

    /// Whether a source from `min` to `max` can be among them.
    fn may_lie_in(&self, min: &[u8], max: &[u8]) -> bool {
        if min == max {
            return std::str::from_utf8(min).is_ok_and(|source| self.has(source));
        }
        let prefix = self.prefix.as_bytes();
        max >= prefix && (min <= prefix || min.starts_with(prefix))
    }
}

/// What is wanted of a file.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Microseconds since 1970, the end excluded.
    pub(crate) times: Range<i64>,
    pub(crate) sources: Sources,
}

impl Wanted {
    fn times_meet(&self, min: i64, max: i64) -> bool {
        min < self.times.end && max >= self.times.start
    }
}

/// A file of one of our tables.
#[derive(Debug)]
pub(crate) struct TableFile {
    path: PathBuf,
    table: &'static Table,
    chunks: Chunks,
    metadata: ArrowReaderMetadata,
}

impl TableFile {
    /// Opens a file and reads its footer.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, table: &'static Table) -> Result<TableFile> {
        let chunks = Chunks::open(disk, path)?;
        let options = ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&chunks, options).map_err(Error::damaged(path))?;
        let file = TableFile { path: path.to_owned(), table, chunks, metadata };
        file.check_format()?;
        Ok(file)
    }

    fn parquet(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    fn key(&self, key: &str) -> Option<&str> {
        let pairs = self.parquet().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    fn check_format(&self) -> Result<()> {
        let Some(format) = self.key(FORMAT_KEY) else {
            let reason =
                format!("its metadata has no `{FORMAT_KEY}`: it is not of smollama's making");
            return Err(Error::damaged(&self.path)(reason));
        };
        if format.parse::<u16>().is_ok_and(|format| format <= FORMAT) {
            return Ok(());
        }
        let writer = self.parquet().file_metadata().created_by();
        Err(Error::NewerFormat {
            path: self.path.clone(),
            found: format.to_owned(),
            writer: writer.unwrap_or("an unnamed program").to_owned(),
        })
    }

    pub(crate) fn table(&self) -> &'static Table {
        self.table
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn row_count(&self) -> usize {
        usize::try_from(self.parquet().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The list of files it stands for, as it was written.
    pub(crate) fn replaces(&self) -> Option<&str> {
        self.key(REPLACES_KEY)
    }

    /// How far a stream has come with it, where it is of one.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.key(PROGRESS_KEY)?.parse().ok()
    }

    /// The columns that are there, by their place in the table.
    pub(crate) fn present(&self) -> Vec<usize> {
        let has = |name| self.metadata.schema().column_with_name(name).is_some();
        let columns = self.table.columns.iter().enumerate();
        columns.filter(|(_, form)| has(form.name)).map(|(index, _)| index).collect()
    }

    /// A column that a later release added, and that a copy made by this one would lose.
    pub(crate) fn unknown_column(&self) -> Option<&str> {
        let known = |name: &str| self.table.columns.iter().any(|form| form.name == name);
        let fields = self.metadata.schema().fields();
        fields.iter().map(|field| field.name().as_str()).find(|name| !known(name))
    }

    /// The rows that are wanted, in the file's order.
    pub(crate) fn read(self, wanted: Wanted) -> Result<TableRows> {
        let mut groups = Vec::new();
        let mut selectors = Vec::new();
        for (index, group) in self.parquet().row_groups().iter().enumerate() {
            if self.group_may_hold(group, &wanted) {
                groups.push(index);
                self.select_pages(index, group, &wanted, &mut selectors);
            }
        }
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.chunks.clone(),
            self.metadata.clone(),
        );
        let reader = builder
            .with_batch_size(BATCH_ROWS)
            .with_row_groups(groups)
            .with_row_selection(RowSelection::from(selectors))
            .build()
            .map_err(Error::damaged(&self.path))?;
        let wanted = Some(wanted);
        Ok(TableRows { path: self.path, table: self.table, reader, wanted, ended: false })
    }

    /// The place of a column among the file's leaves.
    fn leaf(&self, column: Option<usize>) -> Option<usize> {
        let name = self.table.columns.get(column?)?.name;
        let leaves = self.parquet().file_metadata().schema_descr().columns();
        leaves.iter().position(|leaf| leaf.name() == name)
    }

    fn group_may_hold(&self, group: &RowGroupMetaData, wanted: &Wanted) -> bool {
        let statistics = |column| group.columns().get(self.leaf(column)?)?.statistics();
        let by_time = match statistics(Some(self.table.time)) {
            Some(Statistics::Int64(times)) => match (times.min_opt(), times.max_opt()) {
                (Some(&min), Some(&max)) => wanted.times_meet(min, max),
                _ => true,
            },
            _ => true,
        };
        by_time
            && match statistics(self.table.source) {
                Some(sources) => match (sources.min_bytes_opt(), sources.max_bytes_opt()) {
                    (Some(min), Some(max)) => wanted.sources.may_lie_in(min, max),
                    _ => true,
                },
                None => true,
            }
    }

    /// Adds which rows of a row group are to be read.
    fn select_pages(
        &self,
        index: usize,
        group: &RowGroupMetaData,
        wanted: &Wanted,
        selectors: &mut Vec<RowSelector>,
    ) {
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let skip = |column| self.pages_without(index, column, rows, wanted);
        let mut skipped = skip(Some(self.table.time));
        skipped.extend(skip(self.table.source));
        skipped.sort_by_key(|range| range.start);
        let mut at = 0;
        for range in skipped {
            if range.end <= at {
                continue;
            }
            let start = range.start.max(at);
            selectors.push(RowSelector::select(start - at));
            selectors.push(RowSelector::skip(range.end - start));
            at = range.end;
        }
        selectors.push(RowSelector::select(rows.saturating_sub(at)));
    }

    /// The rows of pages that by one column's page index hold nothing that is wanted.
    fn pages_without(
        &self,
        group: usize,
        column: Option<usize>,
        rows: usize,
        wanted: &Wanted,
    ) -> Vec<Range<usize>> {
        let found = (|| {
            let leaf = self.leaf(column)?;
            let pages = self.parquet().column_index()?.get(group)?.get(leaf)?;
            let places = self.parquet().offset_index()?.get(group)?.get(leaf)?;
            Some((pages, places.page_locations()))
        })();
        let Some((pages, places)) = found else { return Vec::new() };
        let start = |page: usize| {
            let first = places.get(page).map(|place| place.first_row_index);
            first.and_then(|first| usize::try_from(first).ok()).unwrap_or(rows)
        };
        let may_hold = |page: usize| match pages {
            ColumnIndexMetaData::INT64(times) => {
                match (times.min_value(page), times.max_value(page)) {
                    (Some(&min), Some(&max)) => wanted.times_meet(min, max),
                    _ => true,
                }
            }
            ColumnIndexMetaData::BYTE_ARRAY(sources) => {
                match (sources.min_value(page), sources.max_value(page)) {
                    (Some(min), Some(max)) => wanted.sources.may_lie_in(min, max),
                    _ => true,
                }
            }
            _ => true,
        };
        let without = (0..places.len()).filter(|&page| !may_hold(page));
        without.map(|page| start(page)..start(page + 1).min(rows)).collect()
    }
}

/// The wanted rows of one file, some thousand at a time.
pub(crate) struct TableRows {
    path: PathBuf,
    table: &'static Table,
    reader: ParquetRecordBatchReader,
    /// `None` for all.
    wanted: Option<Wanted>,
    ended: bool,
}

impl Iterator for TableRows {
    type Item = Result<Columns>;

    fn next(&mut self) -> Option<Result<Columns>> {
        while !self.ended {
            let rows = match self.reader.next()? {
                Ok(batch) => columns_of(self.table, &batch).map_err(Error::damaged(&self.path)),
                Err(error) => Err(Error::damaged(&self.path)(error)),
            };
            match rows.map(|rows| self.only_wanted(rows)) {
                Ok(rows) if rows.rows() == 0 => {}
                Ok(rows) => return Some(Ok(rows)),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl TableRows {
    fn only_wanted(&self, rows: Columns) -> Columns {
        let Some(wanted) = &self.wanted else { return rows };
        let mut last: Option<(ByteArray, bool)> = None;
        let mut source_wanted = |row: usize| {
            let Some(source) = self.table.source.and_then(|column| rows.text(column, row)) else {
                return true;
            };
            if let Some((_, wanted)) = last.as_ref().filter(|(last, _)| *last == source) {
                return *wanted;
            }
            let is = source.as_utf8().is_ok_and(|source| wanted.sources.has(source));
            last = Some((source, is));
            is
        };
        let row_wanted =
            |row: &usize| wanted.times.contains(&rows.time(*row)) && source_wanted(*row);
        let kept: Vec<usize> = (0..rows.rows()).filter(row_wanted).collect();
        if kept.len() == rows.rows() {
            return rows;
        }
        let mut out = Columns::new(self.table);
        for row in kept {
            out.push_row_of(&rows, row);
        }
        out
    }
}

fn columns_of(table: &'static Table, batch: &RecordBatch) -> std::result::Result<Columns, String> {
    let mut columns = Vec::with_capacity(table.columns.len());
    for form in table.columns {
        let Some(array) = batch.column_by_name(form.name) else {
            columns.push(None);
            continue;
        };
        let wrong = || format!("column `{}` holds {}", form.name, array.data_type());
        let cells = match form.kind {
            Kind::Time => {
                let cells = array.as_primitive_opt::<TimestampMicrosecondType>();
                Cells::Int(cells.ok_or_else(wrong)?.values().to_vec())
            }
            Kind::Int => {
                let cells = array.as_primitive_opt::<Int64Type>();
                Cells::Int(cells.ok_or_else(wrong)?.values().to_vec())
            }
            Kind::Float => {
                let cells = array.as_primitive_opt::<Float64Type>();
                Cells::Float(cells.ok_or_else(wrong)?.values().to_vec())
            }
            Kind::Bool => {
                let cells = array.as_boolean_opt().ok_or_else(wrong)?;
                Cells::Bool((0..cells.len()).map(|row| cells.value(row)).collect())
            }
            Kind::Text | Kind::Json => {
                let cells = array.as_string_opt::<i32>().ok_or_else(wrong)?;
                Cells::Text(texts(cells))
            }
        };
        let present = (0..array.len()).map(|row| array.is_valid(row)).collect();
        columns.push(Some(Column { cells, present }));
    }
    Ok(Columns::from_columns(table, columns, batch.num_rows()))
}

/// Texts that share their bytes with the one before where they are the same, as in an ordered column they mostly are.
fn texts(cells: &arrow_array::StringArray) -> Vec<ByteArray> {
    let mut texts: Vec<ByteArray> = Vec::with_capacity(cells.len());
    for row in 0..cells.len() {
        let text = if cells.is_valid(row) { cells.value(row).as_bytes() } else { &[] };
        let text = match texts.last() {
            Some(last) if last.data() == text => last.clone(),
            _ => ByteArray::from(text.to_vec()),
        };
        texts.push(text);
    }
    texts
}
