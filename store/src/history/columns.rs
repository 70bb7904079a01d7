//! Rows of a table in memory, by column.

use std::cmp::Ordering;

use parquet::data_type::ByteArray;

use super::table::{Kind, Table};

/// The cells of one column; for a row without one there is a default here, which `Column::present` says to overlook.
#[derive(Debug, Clone)]
pub(crate) enum Cells {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<ByteArray>),
}

/// One column. While no row has a cell, both lists are empty and cost nothing.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) cells: Cells,
    pub(crate) present: Vec<bool>,
}

impl Column {
    fn new(kind: Kind) -> Column {
        let cells = match kind {
            Kind::Time | Kind::Int => Cells::Int(Vec::new()),
            Kind::Float => Cells::Float(Vec::new()),
            Kind::Bool => Cells::Bool(Vec::new()),
            Kind::Text | Kind::Json => Cells::Text(Vec::new()),
        };
        Column { cells, present: Vec::new() }
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.present.is_empty()
    }

    /// Makes both lists `rows` long.
    fn fill(&mut self, rows: usize) {
        self.present.resize(rows, false);
        match &mut self.cells {
            Cells::Int(cells) => cells.resize(rows, 0),
            Cells::Float(cells) => cells.resize(rows, 0.0),
            Cells::Bool(cells) => cells.resize(rows, false),
            Cells::Text(cells) => cells.resize(rows, ByteArray::new()),
        }
    }
}

/// Rows of one table.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) table: &'static Table,
    pub(crate) columns: Vec<Column>,
    rows: usize,
    /// The bytes of all texts set, those counted twice that several cells share.
    text_bytes: usize,
}

/// What a row with short texts weighs in memory, about.
const ROW_BYTES: usize = 128;

macro_rules! cell {
    ($get:ident, $set:ident, $variant:ident, $type:ty) => {
        /// The cell of a row, if it has one.
        pub(crate) fn $get(&self, column: usize, row: usize) -> Option<$type> {
            let column = self.columns.get(column)?;
            match &column.cells {
                Cells::$variant(cells) if *column.present.get(row)? => cells.get(row).cloned(),
                _ => None,
            }
        }
        /// Sets the cell of the row that was begun last.
        pub(crate) fn $set(&mut self, column: usize, value: $type) {
            let rows = self.rows;
            let Some(column) = self.columns.get_mut(column) else { return };
            column.fill(rows);
            if let (Cells::$variant(cells), Some(present)) =
                (&mut column.cells, column.present.last_mut())
                && let Some(cell) = cells.last_mut()
            {
                *cell = value;
                *present = true;
            }
        }
    };
}

impl Columns {
    pub(crate) fn new(table: &'static Table) -> Columns {
        let columns = table.columns.iter().map(|form| Column::new(form.kind)).collect();
        Columns { table, columns, rows: 0, text_bytes: 0 }
    }

    /// From one column for each of the table, `None` for one that no row has a cell in.
    pub(crate) fn from_columns(
        table: &'static Table,
        columns: Vec<Option<Column>>,
        rows: usize,
    ) -> Columns {
        let empty = Columns::new(table);
        let has_cells = |column: &Column| column.present.contains(&true);
        let columns = columns.into_iter().zip(empty.columns);
        let columns = columns.map(|(column, empty)| column.filter(has_cells).unwrap_or(empty));
        Columns { table, columns: columns.collect(), rows, text_bytes: 0 }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether it holds `rows_max` rows, or texts so long that they weigh as much.
    pub(crate) fn is_full(&self, rows_max: usize) -> bool {
        self.rows >= rows_max || self.text_bytes >= rows_max.saturating_mul(ROW_BYTES)
    }

    /// Begins a row without cells.
    pub(crate) fn begin_row(&mut self) {
        self.rows += 1;
        let rows = self.rows;
        for column in self.columns.iter_mut().filter(|column| !column.is_absent()) {
            column.fill(rows);
        }
    }

    cell!(int, set_int, Int, i64);
    cell!(float, set_float, Float, f64);
    cell!(bool, set_bool, Bool, bool);
    cell!(text, put_text, Text, ByteArray);

    /// Sets the cell of the row that was begun last.
    pub(crate) fn set_text(&mut self, column: usize, value: ByteArray) {
        self.text_bytes += value.len();
        self.put_text(column, value);
    }

    /// The cell as text, without a copy.
    pub(crate) fn str(&self, column: usize, row: usize) -> Option<&str> {
        let column = self.columns.get(column)?;
        match &column.cells {
            Cells::Text(cells) if *column.present.get(row)? => cells.get(row)?.as_utf8().ok(),
            _ => None,
        }
    }

    /// Appends a row of the same table.
    pub(crate) fn push_row_of(&mut self, other: &Columns, row: usize) {
        self.begin_row();
        for (index, column) in other.columns.iter().enumerate() {
            if !column.present.get(row).copied().unwrap_or(false) {
                continue;
            }
            match &column.cells {
                Cells::Int(cells) => cells.get(row).map(|cell| self.set_int(index, *cell)),
                Cells::Float(cells) => cells.get(row).map(|cell| self.set_float(index, *cell)),
                Cells::Bool(cells) => cells.get(row).map(|cell| self.set_bool(index, *cell)),
                Cells::Text(cells) => cells.get(row).map(|cell| self.set_text(index, cell.clone())),
            };
        }
    }

    /// The time of a row.
    pub(crate) fn time(&self, row: usize) -> i64 {
        self.int(self.table.time, row).unwrap_or(0)
    }

    /// The bytes of a row's source; none where the table has no source.
    pub(crate) fn source(&self, row: usize) -> &[u8] {
        let column = self.table.source.and_then(|index| self.columns.get(index));
        match column.map(|column| &column.cells) {
            Some(Cells::Text(cells)) => cells.get(row).map_or(&[], ByteArray::data),
            _ => &[],
        }
    }

    /// Which of two rows comes first in a file.
    pub(crate) fn compare(&self, row: usize, other: usize) -> Ordering {
        self.source(row).cmp(self.source(other)).then_with(|| self.time(row).cmp(&self.time(other)))
    }

    /// The given rows, ordered by source and time; rows that tie stay as they came.
    pub(crate) fn sorted(&self, mut rows: Vec<usize>) -> Columns {
        rows.sort_by(|&a, &b| self.compare(a, b));
        let mut sorted = Columns::new(self.table);
        for row in rows {
            sorted.push_row_of(self, row);
        }
        sorted
    }

    /// The columns that are in a file of these rows.
    pub(crate) fn present(&self) -> Vec<usize> {
        let there = |&index: &usize| {
            let form = self.table.columns.get(index);
            form.is_some_and(|form| form.required)
                || self.columns.get(index).is_some_and(|column| !column.is_absent())
        };
        (0..self.columns.len()).filter(there).collect()
    }
}
