//! From lines to readings.

use std::sync::Arc;

use jiff::tz::TimeZone;
use smollama_engine::context::Context;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesId, SourceKey};
use smollama_engine::time::Timestamp;

use super::config::SocketConfig;
use crate::io::rows::json::JsonLines;
use crate::io::rows::path::Fields;
use crate::io::rows::series::{KeyIndex, field_text, labels_of, write_key};
use crate::io::rows::time::{TimeFormat, TimeReader};
use crate::io::rows::{Cell, Row, RowDecoder, Step};

/// Reads lines of all connections of a node.
pub(super) struct LineReader {
    decoder: JsonLines,
    slots: Slots,
    times: TimeReader,
    /// Of the fields that tell series apart, and what they name.
    identity: [usize; 4],
    index: KeyIndex,
    series: Vec<SeriesId>,
    key: Vec<u8>,
    whole_sources: bool,
    longest: usize,
    context: Context,
}

/// What a line was.
pub(super) struct Line {
    /// Where the next one begins.
    pub(super) next: usize,
    /// Why it was refused, where it was.
    pub(super) refused: Option<String>,
}

struct Slots {
    time: usize,
    source: usize,
    value: usize,
    unit: usize,
    labels: usize,
    monotonic: usize,
    score: usize,
    count: usize,
}

impl LineReader {
    pub(super) fn new(config: &SocketConfig, context: &Context) -> LineReader {
        let mut fields = Fields::default();
        let slots = Slots {
            time: fields.slot("time"),
            source: fields.slot("source"),
            value: fields.slot("value"),
            unit: fields.slot("unit"),
            labels: fields.slot("labels"),
            monotonic: fields.slot("monotonic"),
            score: fields.slot("score"),
            count: fields.slot("count"),
        };
        LineReader {
            decoder: JsonLines::new(&fields, config.longest_line()),
            identity: [slots.source, slots.unit, slots.labels, slots.monotonic],
            slots,
            times: TimeReader::new(TimeFormat::Auto, TimeZone::UTC),
            index: KeyIndex::default(),
            series: Vec::new(),
            key: Vec::new(),
            whole_sources: config.whole_sources,
            longest: config.longest_line(),
            context: context.clone(),
        }
    }

    /// How long a line may be, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Reads the line that begins at a position; it must end within the bytes, or at their end.
    #[inline]
    pub(super) fn read(&mut self, bytes: &[u8], at: usize, out: &mut Vec<Reading>) -> Line {
        match self.decoder.decode(bytes, at, true) {
            Step::Row { next } => Line { next, refused: self.take(bytes, out).err() },
            Step::Blank { next } => Line { next, refused: None },
            Step::Rejected { next, reason } => Line { next, refused: Some(reason.to_string()) },
            Step::Incomplete => Line { next: bytes.len(), refused: None },
        }
    }

    #[inline]
    fn take(&mut self, bytes: &[u8], out: &mut Vec<Reading>) -> Result<(), String> {
        let row = self.decoder.row(bytes);
        let time = match row.cell(self.slots.time) {
            Cell::Missing | Cell::Null => Timestamp::ON_RECEIPT,
            cell => self.times.read(cell, row.text(cell)).map_err(|bad| {
                let text = field_text(row, self.slots.time).unwrap_or_default();
                format!("`time`: {bad}: `{}`", text.chars().take(60).collect::<String>())
            })?,
        };
        let value = value(row, self.slots.value)?;
        let score = match row.cell(self.slots.score) {
            Cell::Missing | Cell::Null => f64::NAN,
            Cell::Float(score) => score,
            Cell::Int(score) => score as f64,
            _ => return Err("`score` is no number".into()),
        };
        let count = match row.cell(self.slots.count) {
            Cell::Missing | Cell::Null => 1,
            Cell::Int(count) => {
                u32::try_from(count).ok().filter(|count| *count > 0).ok_or("`count` is no count")?
            }
            _ => return Err("`count` is no count".into()),
        };
        write_key(row, &self.identity, &mut self.key);
        let series = match self.index.find(&self.key).and_then(|number| self.series.get(number)) {
            Some(series) => *series,
            None => {
                let series = intern(row, &self.slots, self.whole_sources, &self.context)?;
                let number = self.index.insert(&self.key);
                self.series.truncate(number);
                self.series.push(series);
                series
            }
        };
        out.push(Reading { time, value, score, series, count });
        Ok(())
    }
}

#[inline]
fn value(row: Row<'_>, slot: usize) -> Result<Value, String> {
    Ok(match row.cell(slot) {
        Cell::Float(number) if number.is_finite() => Value::Float(number),
        Cell::Int(number) | Cell::Time(number) => Value::Int(number),
        Cell::Bool(value) => Value::Bool(value),
        cell @ (Cell::Text(_) | Cell::Unescaped(_)) => {
            Value::text(&String::from_utf8_lossy(row.text(cell)))
        }
        cell @ Cell::Nested(_) => {
            let json = serde_json::from_slice(row.text(cell)).map_err(|error| error.to_string())?;
            Value::Json(Arc::new(json))
        }
        Cell::Float(_) => return Err("`value` is no finite number".into()),
        Cell::Null => return Err("`value` is null".into()),
        Cell::Missing => return Err("no `value`".into()),
    })
}

/// The number of a series whose fields have not been seen.
#[cold]
fn intern(
    row: Row<'_>,
    slots: &Slots,
    whole_sources: bool,
    context: &Context,
) -> Result<SeriesId, String> {
    let source = text(row, slots.source, "source")?.ok_or("no `source`")?;
    // What is written as `socket:kitchen` is not `socket:socket:kitchen`.
    let own = source.strip_prefix(&*context.type_part).and_then(|rest| rest.strip_prefix(':'));
    if own.unwrap_or(&source).is_empty() {
        return Err("`source` is empty".into());
    }
    let unit = text(row, slots.unit, "unit")?;
    let labels = match row.cell(slots.labels) {
        Cell::Missing | Cell::Null => String::new(),
        Cell::Nested(_) => field_text(row, slots.labels).unwrap_or_default(),
        _ => return Err("`labels` is no object".into()),
    };
    let labels = labels_of(&labels)?;
    let monotonic = match row.cell(slots.monotonic) {
        Cell::Missing | Cell::Null => false,
        Cell::Bool(monotonic) => monotonic,
        _ => return Err("`monotonic` is neither true nor false".into()),
    };
    let describe = |mut series: Series| {
        if let Some(unit) = &unit {
            series = series.with_unit(unit);
        }
        series.labels.extend(labels);
        series.monotonic = monotonic;
        series
    };
    match own {
        Some(id) => context.source_series(id, describe),
        None if whole_sources && source.contains(':') => {
            context.recorded_series(SourceKey::parse(&source), describe)
        }
        None => context.source_series(&source, describe),
    }
    .map_err(|error| error.to_string())
}

/// A field that must be a text where it is there.
fn text(row: Row<'_>, slot: usize, name: &str) -> Result<Option<String>, String> {
    match row.cell(slot) {
        Cell::Missing | Cell::Null => Ok(None),
        Cell::Text(_) | Cell::Unescaped(_) => Ok(field_text(row, slot)),
        _ => Err(format!("`{name}` is no text")),
    }
}
