//! Single row groups: what is known of them, and some of their rows at a time.

use std::ops::Range;
use std::sync::Arc;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::file::statistics::Statistics;

use super::super::error::{Error, Result};
use super::{BATCH_ROWS, TableFile, TableRows};

/// What is known of a row group without reading it.
#[derive(Clone, Debug)]
pub(crate) struct GroupFacts {
    /// Its place in the file.
    pub(crate) index: usize,
    /// How many rows it has.
    pub(crate) rows: usize,
    /// The time of its first row in microseconds since 1970, or an earlier one.
    pub(crate) first: i64,
    /// The time of its last row, or a later one.
    pub(crate) last: i64,
    /// The source of all its rows, where there is one only.
    source: Option<Arc<str>>,
}

impl TableFile {
    /// The row groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupFacts> + '_ {
        let (time, source) = (self.leaf(Some(self.table.time)), self.leaf(self.table.source));
        self.parquet().row_groups().iter().enumerate().map(move |(index, group)| {
            let statistics =
                |leaf: Option<usize>| leaf.and_then(|leaf| group.columns().get(leaf)?.statistics());
            let (first, last) = match statistics(time) {
                Some(Statistics::Int64(times)) => (
                    times.min_opt().copied().unwrap_or(i64::MIN),
                    times.max_opt().copied().unwrap_or(i64::MAX),
                ),
                _ => (i64::MIN, i64::MAX),
            };
            let only = statistics(source).and_then(|found| {
                let (min, max) = (found.min_bytes_opt()?, found.max_bytes_opt()?);
                std::str::from_utf8(min).ok().filter(|_| min == max)
            });
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            GroupFacts { index, rows, first, last, source: only.map(Into::into) }
        })
    }

    /// The sources of a row group in its order, each with its rows.
    pub(crate) fn sources_of(&self, group: &GroupFacts) -> Result<Vec<(Arc<str>, Range<usize>)>> {
        if let Some(source) = &group.source {
            return Ok(vec![(source.clone(), 0..group.rows)]);
        }
        let mut runs: Vec<(Arc<str>, Range<usize>)> = Vec::new();
        let leaves = self.leaf(self.table.source);
        let mut row = 0;
        for columns in self.some_rows(group.index, 0..group.rows, leaves)? {
            let columns = columns?;
            for within in 0..columns.rows() {
                let source = columns.source(within);
                match runs.last_mut() {
                    Some((last, rows)) if last.as_bytes() == source => rows.end = row + 1,
                    _ => runs.push((String::from_utf8_lossy(source).into(), row..row + 1)),
                }
                row += 1;
            }
        }
        Ok(runs)
    }

    /// Some rows of a row group, all columns of them.
    pub(crate) fn rows_of(&self, group: usize, rows: Range<usize>) -> Result<TableRows> {
        self.some_rows(group, rows, None)
    }

    fn some_rows(
        &self,
        group: usize,
        rows: Range<usize>,
        only: Option<usize>,
    ) -> Result<TableRows> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.chunks.clone(),
            self.metadata.clone(),
        );
        let builder = match only {
            None => builder,
            Some(leaf) => {
                let mask = ProjectionMask::leaves(builder.parquet_schema(), [leaf]);
                builder.with_projection(mask)
            }
        };
        let selectors = vec![RowSelector::skip(rows.start), RowSelector::select(rows.len())];
        let reader = builder
            .with_batch_size(BATCH_ROWS.min(rows.len()))
            .with_row_groups(vec![group])
            .with_row_selection(RowSelection::from(selectors))
            .build()
            .map_err(Error::damaged(&self.path))?;
        let wanted = None;
        Ok(TableRows { path: self.path.clone(), table: self.table, reader, wanted, ended: false })
    }
}
