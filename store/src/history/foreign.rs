//! Parquet files from elsewhere: columns by name, whatever their types, as plain cells.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, PrimitiveArray, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use smollama_engine::disk::Disk;

use super::chunk::Chunks;
use super::error::{Error, Result};

/// How many rows come at once.
const BATCH_ROWS: usize = 4_096;

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// None.
    Absent,
    /// A number with decimals, also where the file has a decimal or an integer beyond 64 bits: then the nearest double. It may be NaN or
    /// infinite.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// On or off.
    Bool(bool),
    /// A text. Bytes that are no UTF-8 have the replacement character where they are not.
    Text(String),
    /// An instant: microseconds since 1970 in UTC, finer ones cut off. A timestamp without a zone and a date are read as UTC.
    Time(i64),
}

/// The cells of one column, by row.
pub type Cells = Vec<Cell>;

/// Chosen columns of a Parquet file, some thousand rows at a time.
pub struct ParquetRows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    /// For each column asked for, its place in the batches.
    places: Vec<usize>,
    ended: bool,
}

/// A Parquet file from elsewhere.
#[derive(Debug)]
pub struct ParquetFile {
    path: PathBuf,
    chunks: Chunks,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    /// Opens a file and reads its footer.
    ///
    /// # Errors
    /// It cannot be opened, or is no Parquet file.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<ParquetFile> {
        ParquetFile::new(Chunks::open(disk, path)?, path)
    }

    /// A whole file in memory, such as one that came through standard input; `name` is for messages.
    ///
    /// # Errors
    /// It is no Parquet file.
    pub fn from_bytes(bytes: Vec<u8>, name: &Path) -> Result<ParquetFile> {
        ParquetFile::new(Chunks::Memory(Bytes::from(bytes)), name)
    }

    fn new(chunks: Chunks, path: &Path) -> Result<ParquetFile> {
        let options = ArrowReaderOptions::new();
        let metadata = ArrowReaderMetadata::load(&chunks, options).map_err(Error::damaged(path))?;
        Ok(ParquetFile { path: path.to_owned(), chunks, metadata })
    }

    /// The names of its columns.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// How many rows there are, as the footer says.
    #[must_use]
    pub fn rows_total(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    fn schema(&self) -> &Arc<Schema> {
        self.metadata.schema()
    }

    /// Reads the columns of these names from row `first_row` on, in the order of the names. Other columns are not read.
    ///
    /// # Errors
    /// There is no such column, or it holds lists, maps or structures.
    pub fn read<S: AsRef<str>>(self, columns: &[S], first_row: u64) -> Result<ParquetRows> {
        let mut roots = Vec::with_capacity(columns.len());
        for column in columns {
            roots.push(self.plain_column(column.as_ref())?);
        }
        let mut read: Vec<usize> = roots.clone();
        read.sort_unstable();
        read.dedup();
        let place = |root: &usize| read.iter().position(|other| other == root).unwrap_or(0);
        let places = roots.iter().map(place).collect();
        let mask = ProjectionMask::roots(
            self.metadata.metadata().file_metadata().schema_descr(),
            read.iter().copied(),
        );
        let (groups, skip) = self.groups_from(first_row);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks, self.metadata)
            .with_batch_size(BATCH_ROWS)
            .with_projection(mask)
            .with_row_groups(groups)
            .with_offset(skip)
            .build()
            .map_err(Error::damaged(&self.path))?;
        Ok(ParquetRows { path: self.path, reader, places, ended: false })
    }

    /// The row groups from a row on, and how many rows of the first one come before it.
    fn groups_from(&self, first_row: u64) -> (Vec<usize>, usize) {
        let mut before = first_row;
        let mut groups = Vec::new();
        for (index, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            if groups.is_empty() && before >= rows {
                before -= rows;
            } else {
                groups.push(index);
            }
        }
        let skip = if groups.is_empty() { 0 } else { usize::try_from(before).unwrap_or(0) };
        (groups, skip)
    }

    fn plain_column(&self, name: &str) -> Result<usize> {
        let Some((index, field)) = self.schema().column_with_name(name) else {
            let known: Vec<String> =
                self.columns().iter().take(20).map(|name| format!("`{name}`")).collect();
            return Err(Error::NoColumn {
                path: self.path.clone(),
                column: name.to_owned(),
                known: known.join(", "),
            });
        };
        if field.data_type().is_nested() {
            return Err(Error::NestedColumn {
                path: self.path.clone(),
                column: name.to_owned(),
                kind: field.data_type().to_string(),
            });
        }
        Ok(index)
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Vec<Cells>>;

    /// The next rows: for each column asked for, its cells.
    fn next(&mut self) -> Option<Result<Vec<Cells>>> {
        if self.ended {
            return None;
        }
        let batch = self.reader.next()?;
        let batch = batch.map_err(|error| error.to_string());
        let cells = batch.and_then(|batch| cells_of(&batch, &self.places));
        self.ended = cells.is_err();
        Some(cells.map_err(Error::damaged(&self.path)))
    }
}

fn cells_of(batch: &RecordBatch, places: &[usize]) -> std::result::Result<Vec<Cells>, String> {
    let column = |&place: &usize| match batch.columns().get(place) {
        Some(column) => cells(column),
        None => Err("a column is missing".to_owned()),
    };
    places.iter().map(column).collect()
}

/// A column of any plain type as cells.
fn cells(column: &ArrayRef) -> std::result::Result<Cells, String> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    Ok(match column.data_type() {
        DataType::Null => vec![Cell::Absent; column.len()],
        DataType::Boolean => {
            let cells = column.as_boolean();
            by_row(column, |row| Cell::Bool(cells.value(row)))
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            primitives::<Float64Type>(column, &DataType::Float64, Cell::Float)?
        }
        DataType::UInt64 => primitives::<UInt64Type>(column, &DataType::UInt64, |value| {
            i64::try_from(value).map_or(Cell::Float(value as f64), Cell::Int)
        })?,
        kind if kind.is_integer() => primitives::<Int64Type>(column, &DataType::Int64, Cell::Int)?,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let nanos = primitive_cast::<Int64Type>(column, &DataType::Int64)?;
            by_row(column, |row| Cell::Time(nanos.value(row).div_euclid(1_000)))
        }
        DataType::Timestamp(_, _) | DataType::Date64 => {
            primitives::<TimestampMicrosecondType>(column, &time, Cell::Time)?
        }
        DataType::Date32 => primitives::<Date32Type>(column, &DataType::Date32, |days| {
            Cell::Time(i64::from(days) * 86_400_000_000)
        })?,
        DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => decimals(column)?,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            let bytes = cast_to(column, &DataType::Binary)?;
            let cells: &BinaryArray = bytes.as_binary_opt().ok_or("bytes are no bytes")?;
            let text = |row| String::from_utf8_lossy(cells.value(row)).into_owned();
            by_row(column, |row| Cell::Text(text(row)))
        }
        DataType::Dictionary(_, values) => cells(&cast_to(column, values)?)?,
        // Texts of every sort, times of day, durations: as Arrow writes them.
        _ => {
            let texts = cast_to(column, &DataType::Utf8)?;
            let texts = texts.as_string_opt::<i32>().ok_or("texts are no texts")?;
            by_row(column, |row| {
                if texts.is_null(row) { Cell::Absent } else { Cell::Text(texts.value(row).into()) }
            })
        }
    })
}

/// Decimals by their written form, whose nearest double is exact where a quotient of two doubles need not be. Whole ones stay
/// whole.
fn decimals(column: &ArrayRef) -> std::result::Result<Cells, String> {
    let texts = cast_to(column, &DataType::Utf8)?;
    let texts = texts.as_string_opt::<i32>().ok_or("decimals are no texts")?;
    Ok(by_row(column, |row| match texts.value(row) {
        text if text.contains('.') => text.parse().map_or(Cell::Absent, Cell::Float),
        text => text
            .parse()
            .map(Cell::Int)
            .or_else(|_| text.parse().map(Cell::Float))
            .unwrap_or(Cell::Absent),
    }))
}

fn by_row(column: &ArrayRef, cell: impl Fn(usize) -> Cell) -> Cells {
    let cell = |row| if column.is_null(row) { Cell::Absent } else { cell(row) };
    (0..column.len()).map(cell).collect()
}

fn primitives<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    to: &DataType,
    cell: impl Fn(T::Native) -> Cell,
) -> std::result::Result<Cells, String> {
    let cells = primitive_cast::<T>(column, to)?;
    // A value the wider type cannot hold becomes absent in the cast, so nulls are asked for there.
    let cell = |row| if cells.is_null(row) { Cell::Absent } else { cell(cells.value(row)) };
    Ok((0..cells.len()).map(cell).collect())
}

fn primitive_cast<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    to: &DataType,
) -> std::result::Result<PrimitiveArray<T>, String> {
    let cast = cast_to(column, to)?;
    cast.as_primitive_opt::<T>().cloned().ok_or_else(|| format!("{to} is not what it should be"))
}

fn cast_to(column: &ArrayRef, to: &DataType) -> std::result::Result<ArrayRef, String> {
    cast_with_options(column, to, &CastOptions { safe: true, ..CastOptions::default() })
        .map_err(|error| error.to_string())
}
