//! Rows to Parquet. Each column of each row group is encoded in every way that suits its kind, and the smallest stays.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, get_column_writer};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::SchemaDescriptor;

use super::columns::{Cells, Column, Columns};
use super::progress::Progress;
use super::table::{FORMAT, FORMAT_KEY, Kind, PROGRESS_KEY, REPLACES_KEY, Table};

/// The most rows of a row group: bounds what a writer and a reader hold.
pub(crate) const GROUP_ROWS: usize = 32_768;

/// A row group ends where the source changes, once it has this many rows: so that large sources have groups of their own,
/// which readers skip, and small ones share the cost of one.
pub(crate) const GROUP_ROWS_LEAST: usize = 2_048;

/// The most rows of a page. Files with more rows have a page index.
const PAGE_ROWS: usize = 16_384;

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For files that will soon be merged.
    Quick,
    /// For files that stay.
    Best,
}

impl Effort {
    fn level(self) -> i32 {
        match self {
            Effort::Quick => 3,
            Effort::Best => 19,
        }
    }
}

/// What a file says besides its rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Says<'a> {
    /// The numbers of the files it stands for as well.
    pub(crate) replaces: Option<&'a str>,
    /// How far a stream has come with it.
    pub(crate) progress: Option<&'a Progress>,
}

/// A column of a row group, ready to be put in a file.
type Encoded = (Vec<u8>, ColumnCloseResult);

/// One way to lay down a column.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Dictionary,
    Coded(Encoding),
}

const fn layouts(kind: Kind) -> &'static [Layout] {
    use Layout::{Coded, Dictionary};
    match kind {
        Kind::Time | Kind::Int => {
            &[Coded(Encoding::DELTA_BINARY_PACKED), Dictionary, Coded(Encoding::PLAIN)]
        }
        Kind::Float => &[Dictionary, Coded(Encoding::BYTE_STREAM_SPLIT), Coded(Encoding::PLAIN)],
        Kind::Bool => &[Coded(Encoding::PLAIN)],
        Kind::Text | Kind::Json => &[Dictionary, Coded(Encoding::PLAIN)],
    }
}

/// Writes one file.
pub(crate) struct TableWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    table: &'static Table,
    present: Vec<usize>,
    schema: SchemaDescriptor,
    effort: Effort,
    /// Whether the file has a page index: all of its columns then have one, or none.
    paged: bool,
}

impl<W: Write + Send> TableWriter<W> {
    /// A file of so many rows with the columns `present`.
    pub(crate) fn new(
        out: W,
        table: &'static Table,
        present: Vec<usize>,
        rows: usize,
        says: Says<'_>,
        effort: Effort,
    ) -> Result<TableWriter<W>, ParquetError> {
        let schema = table.schema(&present)?;
        let mut metadata = vec![KeyValue::new(FORMAT_KEY.into(), FORMAT.to_string())];
        if let Some(replaces) = says.replaces {
            metadata.push(KeyValue::new(REPLACES_KEY.into(), replaces.to_owned()));
        }
        if let Some(progress) = says.progress {
            metadata.push(KeyValue::new(PROGRESS_KEY.into(), progress.to_string()));
        }
        let place = |column: usize| present.iter().position(|&index| index == column);
        let order = [table.source, Some(table.time)].into_iter().flatten().filter_map(place);
        let order = order.map(|place| SortingColumn {
            column_idx: i32::try_from(place).unwrap_or(i32::MAX),
            descending: false,
            nulls_first: false,
        });
        let properties = WriterProperties::builder()
            .set_created_by(concat!("smollama version ", env!("CARGO_PKG_VERSION")).into())
            .set_key_value_metadata(Some(metadata))
            .set_sorting_columns(Some(order.collect()))
            .build();
        let file = SerializedFileWriter::new(out, schema.clone(), Arc::new(properties))?;
        let schema = SchemaDescriptor::new(schema);
        Ok(TableWriter { file, table, present, schema, effort, paged: rows > PAGE_ROWS })
    }

    /// Writes rows that are in order and come after all written before, as one row group.
    pub(crate) fn write_group(
        &mut self,
        columns: &Columns,
        rows: Range<usize>,
    ) -> Result<(), ParquetError> {
        let mut encoded = Vec::with_capacity(self.present.len());
        for (place, &index) in self.present.iter().enumerate() {
            encoded.push(self.smallest(place, index, columns, rows.clone())?);
        }
        let mut group = self.file.next_row_group()?;
        for (bytes, close) in encoded {
            group.append_column(&bytes::Bytes::from(bytes), close)?;
        }
        group.close().map(drop)
    }

    /// Writes all rows, which are in order, in as many row groups as suit them.
    pub(crate) fn write_all(&mut self, columns: &Columns) -> Result<(), ParquetError> {
        let mut start = 0;
        for row in 1..columns.rows() {
            if ends_group(row - start, columns.source(row - 1) != columns.source(row)) {
                self.write_group(columns, start..row)?;
                start = row;
            }
        }
        self.write_group(columns, start..columns.rows())
    }

    /// Ends the file; nothing may be written after it.
    pub(crate) fn end(&mut self) -> Result<(), ParquetError> {
        self.file.finish().map(drop)
    }

    /// Where it is written to.
    pub(crate) fn out(&mut self) -> &mut W {
        self.file.inner_mut()
    }

    fn smallest(
        &self,
        place: usize,
        index: usize,
        columns: &Columns,
        rows: Range<usize>,
    ) -> Result<Encoded, ParquetError> {
        let absent = || ParquetError::General(format!("there is no column {index}"));
        let form = self.table.columns.get(index).ok_or_else(absent)?;
        let column = columns.columns.get(index).ok_or_else(absent)?;
        let cells = Dense::new(column, rows, form.required);
        let mut best: Option<(Layout, Encoded)> = None;
        for &layout in layouts(form.kind) {
            let encoded = self.encode(place, index, &cells, layout, Effort::Quick)?;
            if best.as_ref().is_none_or(|(_, best)| encoded.0.len() < best.0.len()) {
                best = Some((layout, encoded));
            }
        }
        let (layout, encoded) = best.ok_or_else(absent)?;
        match self.effort {
            Effort::Quick => Ok(encoded),
            Effort::Best => self.encode(place, index, &cells, layout, Effort::Best),
        }
    }

    fn encode(
        &self,
        place: usize,
        index: usize,
        cells: &Dense<'_>,
        layout: Layout,
        effort: Effort,
    ) -> Result<Encoded, ParquetError> {
        let statistics = match (self.table.prunes_by(index), self.paged) {
            (false, _) => EnabledStatistics::None,
            (true, false) => EnabledStatistics::Chunk,
            (true, true) => EnabledStatistics::Page,
        };
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(effort.level())?))
            .set_statistics_enabled(statistics)
            .set_statistics_truncate_length(None)
            .set_column_index_truncate_length(None)
            .set_offset_index_disabled(!self.paged)
            .set_data_page_row_count_limit(PAGE_ROWS);
        let properties = match layout {
            Layout::Dictionary => properties.set_dictionary_enabled(true),
            Layout::Coded(encoding) => {
                properties.set_dictionary_enabled(false).set_encoding(encoding)
            }
        };
        let mut out = TrackedWrite::new(Vec::new());
        let pages = Box::new(SerializedPageWriter::new(&mut out));
        let descriptor = self.schema.column(place);
        let mut writer = get_column_writer(descriptor, Arc::new(properties.build()), pages);
        let levels = cells.levels.as_deref();
        match (&mut writer, &cells.cells) {
            (ColumnWriter::Int64ColumnWriter(writer), DenseCells::Int(cells)) => {
                writer.write_batch(cells, levels, None)
            }
            (ColumnWriter::DoubleColumnWriter(writer), DenseCells::Float(cells)) => {
                writer.write_batch(cells, levels, None)
            }
            (ColumnWriter::BoolColumnWriter(writer), DenseCells::Bool(cells)) => {
                writer.write_batch(cells, levels, None)
            }
            (ColumnWriter::ByteArrayColumnWriter(writer), DenseCells::Text(cells)) => {
                writer.write_batch(cells, levels, None)
            }
            _ => Err(ParquetError::General(format!("column {index} has cells of another kind"))),
        }?;
        let close = writer.close()?;
        Ok((out.into_inner()?, close))
    }
}

/// Whether a row group of so many rows ends here.
pub(crate) fn ends_group(rows: usize, source_changes: bool) -> bool {
    rows >= GROUP_ROWS || (source_changes && rows >= GROUP_ROWS_LEAST)
}

/// A column's cells without the absent ones, which the levels stand for: the form Parquet takes.
struct Dense<'a> {
    cells: DenseCells<'a>,
    levels: Option<Vec<i16>>,
}

enum DenseCells<'a> {
    Int(std::borrow::Cow<'a, [i64]>),
    Float(std::borrow::Cow<'a, [f64]>),
    Bool(std::borrow::Cow<'a, [bool]>),
    Text(std::borrow::Cow<'a, [ByteArray]>),
}

impl<'a> Dense<'a> {
    fn new(column: &'a Column, rows: Range<usize>, required: bool) -> Dense<'a> {
        let count = rows.len();
        let present = column.present.get(rows.clone()).unwrap_or(&[]);
        let cells = match &column.cells {
            Cells::Int(cells) => DenseCells::Int(dense(cells, present, rows)),
            Cells::Float(cells) => DenseCells::Float(dense(cells, present, rows)),
            Cells::Bool(cells) => DenseCells::Bool(dense(cells, present, rows)),
            Cells::Text(cells) => DenseCells::Text(dense(cells, present, rows)),
        };
        let levels = (!required).then(|| {
            let mut levels: Vec<i16> = present.iter().map(|&there| i16::from(there)).collect();
            levels.resize(count, 0);
            levels
        });
        Dense { cells, levels }
    }
}

fn dense<'a, T: Clone>(
    cells: &'a [T],
    present: &[bool],
    rows: Range<usize>,
) -> std::borrow::Cow<'a, [T]> {
    let cells = cells.get(rows).unwrap_or(&[]);
    if present.iter().all(|&there| there) {
        return cells.into();
    }
    let there = cells.iter().zip(present).filter(|(_, there)| **there);
    there.map(|(cell, _)| cell.clone()).collect::<Vec<_>>().into()
}
