//! The data set `readings`: one row a reading, the value in the column of its type; an integer also as a double, where that is exact, so
//! that `avg(value)` is of all numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use parquet::data_type::ByteArray;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesId, SeriesMap, SeriesTable, SourceKey, TooManySeries};
use smollama_engine::time::Timestamp;

use super::columns::Columns;
use super::table::{ColumnForm, Kind, Table};

/// Its columns. An absent score stands for "not scored", an absent count for 1, an absent `monotonic` for no.
pub(crate) static READINGS: Table = Table {
    name: "readings",
    columns: &[
        ColumnForm::required("time", Kind::Time),
        ColumnForm::required("source", Kind::Text),
        ColumnForm::optional("value", Kind::Float),
        ColumnForm::optional("value_int", Kind::Int),
        ColumnForm::optional("value_bool", Kind::Bool),
        ColumnForm::optional("value_text", Kind::Text),
        ColumnForm::optional("value_json", Kind::Json),
        ColumnForm::optional("unit", Kind::Text),
        ColumnForm::optional("labels", Kind::Json),
        ColumnForm::optional("monotonic", Kind::Bool),
        ColumnForm::optional("score", Kind::Float),
        ColumnForm::optional("count", Kind::Int),
    ],
    time: 0,
    source: Some(1),
};

const TIME: usize = 0;
const VALUE: ValueColumns = ValueColumns { float: 2, int: 3, bool: 4, text: 5, json: 6 };
const SERIES: SeriesColumns = SeriesColumns { source: 1, unit: 7, labels: 8, monotonic: 9 };
const SCORE: usize = 10;
const COUNT: usize = 11;

/// The largest magnitude up to which every integer is a double.
const EXACT_MAX: u64 = 1 << 53;

/// Where a table keeps a value.
#[derive(Clone, Copy)]
pub(super) struct ValueColumns {
    pub(super) float: usize,
    pub(super) int: usize,
    pub(super) bool: usize,
    pub(super) text: usize,
    pub(super) json: usize,
}

impl ValueColumns {
    pub(super) fn set(self, rows: &mut Columns, value: &Value) {
        match value {
            Value::Float(value) => rows.set_float(self.float, *value),
            Value::Int(value) => {
                rows.set_int(self.int, *value);
                if value.unsigned_abs() <= EXACT_MAX {
                    rows.set_float(self.float, *value as f64);
                }
            }
            Value::Bool(value) => rows.set_bool(self.bool, *value),
            Value::Text(text) => rows.set_text(self.text, text.as_bytes().to_vec().into()),
            Value::Json(json) => rows.set_text(self.json, json.to_string().into_bytes().into()),
        }
    }

    pub(super) fn get(self, rows: &Columns, row: usize) -> Option<Value> {
        let text = |column| rows.str(column, row);
        (rows.int(self.int, row).map(Value::Int))
            .or_else(|| rows.float(self.float, row).and_then(Value::float))
            .or_else(|| rows.bool(self.bool, row).map(Value::Bool))
            .or_else(|| text(self.text).map(Value::text))
            .or_else(|| Some(Value::Json(Arc::new(serde_json::from_str(text(self.json)?).ok()?))))
    }
}

/// Where a table keeps a series.
#[derive(Clone, Copy)]
pub(super) struct SeriesColumns {
    pub(super) source: usize,
    pub(super) unit: usize,
    pub(super) labels: usize,
    pub(super) monotonic: usize,
}

/// A series as it is stored.
#[derive(Debug, Clone)]
struct SeriesCells {
    source: ByteArray,
    unit: Option<ByteArray>,
    labels: Option<ByteArray>,
    monotonic: bool,
}

impl SeriesCells {
    fn new(series: &Series) -> SeriesCells {
        let bytes = |text: &str| ByteArray::from(text.as_bytes().to_vec());
        // Texts under texts always serialise.
        let labels = serde_json::to_string(
            &series.labels.iter().map(|(k, v)| (&**k, &**v)).collect::<BTreeMap<_, _>>(),
        );
        SeriesCells {
            source: bytes(&series.source.to_string()),
            unit: series.unit.as_deref().map(bytes),
            labels: labels.ok().filter(|_| !series.labels.is_empty()).map(|text| bytes(&text)),
            monotonic: series.monotonic,
        }
    }
}

/// The series of the rows that are being gathered: each is turned into cells once.
#[derive(Debug, Default)]
pub(crate) struct SeriesWriter(SeriesMap<SeriesCells>);

impl SeriesWriter {
    pub(super) fn set(
        &mut self,
        rows: &mut Columns,
        places: SeriesColumns,
        id: SeriesId,
        table: &SeriesTable,
    ) {
        let cells = self.0.get_or_insert_with(id, || SeriesCells::new(&table.get(id)));
        rows.set_text(places.source, cells.source.clone());
        if let Some(unit) = &cells.unit {
            rows.set_text(places.unit, unit.clone());
        }
        if let Some(labels) = &cells.labels {
            rows.set_text(places.labels, labels.clone());
        }
        if cells.monotonic {
            rows.set_bool(places.monotonic, true);
        }
    }

    /// Forgets all: a number may come to stand for another series.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Finds the numbers of stored series; the last one is remembered, since rows of a series lie together.
#[derive(Debug, Default)]
pub(super) struct SeriesReader {
    last: Option<(StoredSeries, SeriesId)>,
}

#[derive(Debug, PartialEq)]
struct StoredSeries {
    source: Option<ByteArray>,
    unit: Option<ByteArray>,
    labels: Option<ByteArray>,
    monotonic: bool,
}

impl SeriesReader {
    pub(super) fn get(
        &mut self,
        rows: &Columns,
        row: usize,
        places: SeriesColumns,
        table: &SeriesTable,
    ) -> Result<SeriesId, TooManySeries> {
        let stored = StoredSeries {
            source: rows.text(places.source, row),
            unit: rows.text(places.unit, row),
            labels: rows.text(places.labels, row),
            monotonic: rows.bool(places.monotonic, row).unwrap_or(false),
        };
        if let Some((_, id)) = self.last.as_ref().filter(|(last, _)| *last == stored) {
            return Ok(*id);
        }
        let id = table.intern(&stored.series())?;
        self.last = Some((stored, id));
        Ok(id)
    }
}

impl StoredSeries {
    fn series(&self) -> Series {
        let text = |cell: &Option<ByteArray>| {
            cell.as_ref().map(|cell| String::from_utf8_lossy(cell.data()).into_owned())
        };
        let labels = text(&self.labels).and_then(|labels| serde_json::from_str(&labels).ok());
        Series {
            source: SourceKey::parse(&text(&self.source).unwrap_or_default()),
            unit: text(&self.unit).map(Into::into),
            labels: labels.unwrap_or_default(),
            monotonic: self.monotonic,
        }
    }
}

/// Appends one reading.
pub(crate) fn push(
    rows: &mut Columns,
    reading: &Reading,
    series: &mut SeriesWriter,
    table: &SeriesTable,
) {
    rows.begin_row();
    rows.set_int(TIME, reading.time.as_micros());
    series.set(rows, SERIES, reading.series, table);
    VALUE.set(rows, &reading.value);
    if !reading.score.is_nan() {
        rows.set_float(SCORE, reading.score);
    }
    if reading.count != 1 {
        rows.set_int(COUNT, i64::from(reading.count));
    }
}

/// The readings of stored rows; a row without a value is left out.
pub(crate) fn readings(rows: &Columns, table: &SeriesTable) -> Result<Vec<Reading>, TooManySeries> {
    let mut series = SeriesReader::default();
    let mut readings = Vec::with_capacity(rows.rows());
    for row in 0..rows.rows() {
        let Some(value) = VALUE.get(rows, row) else { continue };
        let count = rows.int(COUNT, row).and_then(|count| u32::try_from(count).ok());
        readings.push(Reading {
            time: Timestamp::from_micros(rows.time(row)),
            value,
            score: rows.float(SCORE, row).unwrap_or(f64::NAN),
            series: series.get(rows, row, SERIES, table)?,
            count: count.unwrap_or(1),
        });
    }
    Ok(readings)
}
