//! The data set `windows`: one row a window and series.

use parquet::data_type::ByteArray;
use smollama_engine::series::{SeriesTable, TooManySeries};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Cause, Summary, Window};

use super::columns::Columns;
use super::readings::{SeriesColumns, SeriesReader, SeriesWriter, ValueColumns};
use super::table::{ColumnForm, Kind, Table};

/// Its columns. `end` orders it in time: that is when a window is known.
pub(crate) static WINDOWS: Table = Table {
    name: "windows",
    columns: &[
        ColumnForm::required("start", Kind::Time),
        ColumnForm::required("end", Kind::Time),
        ColumnForm::required("cause", Kind::Text),
        ColumnForm::required("source", Kind::Text),
        ColumnForm::required("count", Kind::Int),
        ColumnForm::optional("min", Kind::Float),
        ColumnForm::optional("max", Kind::Float),
        ColumnForm::optional("mean", Kind::Float),
        ColumnForm::optional("stddev", Kind::Float),
        ColumnForm::optional("first", Kind::Float),
        ColumnForm::optional("first_int", Kind::Int),
        ColumnForm::optional("first_bool", Kind::Bool),
        ColumnForm::optional("first_text", Kind::Text),
        ColumnForm::optional("first_json", Kind::Json),
        ColumnForm::optional("last", Kind::Float),
        ColumnForm::optional("last_int", Kind::Int),
        ColumnForm::optional("last_bool", Kind::Bool),
        ColumnForm::optional("last_text", Kind::Text),
        ColumnForm::optional("last_json", Kind::Json),
        ColumnForm::optional("score", Kind::Float),
        ColumnForm::optional("unit", Kind::Text),
        ColumnForm::optional("labels", Kind::Json),
        ColumnForm::optional("monotonic", Kind::Bool),
    ],
    time: END,
    source: Some(SERIES.source),
};

const START: usize = 0;
const END: usize = 1;
const CAUSE: usize = 2;
const COUNT: usize = 4;
const MIN: usize = 5;
const MAX: usize = 6;
const MEAN: usize = 7;
const STDDEV: usize = 8;
const FIRST: ValueColumns = ValueColumns { float: 9, int: 10, bool: 11, text: 12, json: 13 };
const LAST: ValueColumns = ValueColumns { float: 14, int: 15, bool: 16, text: 17, json: 18 };
const SCORE: usize = 19;
const SERIES: SeriesColumns = SeriesColumns { source: 3, unit: 20, labels: 21, monotonic: 22 };

/// Appends one row for each series of a window.
pub(crate) fn push(
    rows: &mut Columns,
    window: &Window,
    series: &mut SeriesWriter,
    table: &SeriesTable,
) {
    let cause = ByteArray::from(window.cause.as_str());
    for summary in &window.summaries {
        rows.begin_row();
        rows.set_int(START, window.start.as_micros());
        rows.set_int(END, window.end.as_micros());
        rows.set_text(CAUSE, cause.clone());
        series.set(rows, SERIES, summary.series, table);
        rows.set_int(COUNT, i64::try_from(summary.count).unwrap_or(i64::MAX));
        let numbers = [
            (MIN, summary.min),
            (MAX, summary.max),
            (MEAN, summary.mean),
            (STDDEV, summary.stddev),
            (SCORE, summary.score),
        ];
        for (column, number) in numbers.into_iter().filter(|(_, number)| !number.is_nan()) {
            rows.set_float(column, number);
        }
        FIRST.set(rows, &summary.first);
        LAST.set(rows, &summary.last);
    }
}

/// The windows of stored rows, one for each row: a window of several series comes back as several. A row without
/// values is left out.
pub(crate) fn windows(rows: &Columns, table: &SeriesTable) -> Result<Vec<Window>, TooManySeries> {
    let mut series = SeriesReader::default();
    let mut windows = Vec::with_capacity(rows.rows());
    let time = |column, row| Timestamp::from_micros(rows.int(column, row).unwrap_or(0));
    let number = |column, row| rows.float(column, row).unwrap_or(f64::NAN);
    for row in 0..rows.rows() {
        let cause = rows.str(CAUSE, row);
        let cause = cause.and_then(|word| Cause::ALL.into_iter().find(|one| one.as_str() == word));
        let (Some(cause), Some(first), Some(last)) =
            (cause, FIRST.get(rows, row), LAST.get(rows, row))
        else {
            continue;
        };
        let count = rows.int(COUNT, row).and_then(|count| u64::try_from(count).ok());
        let summary = Summary {
            series: series.get(rows, row, SERIES, table)?,
            count: count.unwrap_or(0),
            min: number(MIN, row),
            max: number(MAX, row),
            mean: number(MEAN, row),
            stddev: number(STDDEV, row),
            first,
            last,
            score: number(SCORE, row),
        };
        windows.push(Window {
            start: time(START, row),
            end: time(END, row),
            cause,
            summaries: vec![summary],
        });
    }
    Ok(windows)
}
