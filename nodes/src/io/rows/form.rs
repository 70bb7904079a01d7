//! Readings in the one JSON form, from the cells of a row: what the sinks write and other programs send.

use std::sync::Arc;

use jiff::tz::TimeZone;
use smollama_engine::context::Context;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesId, SourceKey, TooManySeries};
use smollama_engine::time::Timestamp;

use super::path::Fields;
use super::series::{KnownSeries, field_text, labels_of, write_key};
use super::time::{TimeFormat, TimeReader};
use super::{Cell, Row};

/// Why a row gives no reading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What is wrong with it.
    #[error("{0}")]
    Row(String),
    /// It is of a new series, and there may be no more.
    #[error(transparent)]
    Series(#[from] TooManySeries),
}

impl From<String> for Refused {
    fn from(reason: String) -> Refused {
        Refused::Row(reason)
    }
}

impl From<&str> for Refused {
    fn from(reason: &str) -> Refused {
        Refused::Row(reason.to_owned())
    }
}

/// What names a series may take so many bytes: source, unit and labels, and what a row does not say itself. A sender of long names would
/// otherwise fill the memory with few series, or with one message whose readings all have the name of what they lie in.
const NAME_MAX: usize = 2 << 10;

/// Fails where what names a series is too long.
///
/// # Errors
/// It is, and this says so.
#[inline]
pub fn check_name(len: usize) -> Result<(), Refused> {
    if len <= NAME_MAX { Ok(()) } else { Err(too_long(len)) }
}

#[cold]
fn too_long(len: usize) -> Refused {
    format!("what names its series has {len} bytes, and {NAME_MAX} at most are taken").into()
}

/// Where rows come from, for what they do not say themselves.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// Tells rows that lack a source apart from those of other origins.
    pub key: &'a [u8],
    /// The id of a row that lacks a source.
    pub id: &'a dyn Fn() -> Result<String, Refused>,
    /// What else is known of its series.
    pub describe: &'a dyn Fn(Series) -> Series,
}

impl Origin<'_> {
    /// Nothing is known: a row must say its source.
    pub const UNKNOWN: Origin<'static> =
        Origin { key: &[], id: &|| Err(Refused::from("no `source`")), describe: &|series| series };
}

/// Makes readings of rows in the one JSON form.
#[derive(Debug)]
pub struct FormReader {
    slots: Slots,
    times: TimeReader,
    /// The fields that tell series apart.
    identity: [usize; 4],
    known: KnownSeries,
    key: Vec<u8>,
    whole_sources: bool,
    context: Context,
}

#[derive(Debug)]
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

impl FormReader {
    /// A reader of rows that have these fields besides others. Times without an offset are of this zone. With `whole_sources` a source
    /// that has a type is the whole name of what was measured, in place of an id below the node.
    #[must_use]
    pub fn new(
        fields: &mut Fields,
        zone: TimeZone,
        whole_sources: bool,
        context: &Context,
    ) -> FormReader {
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
        FormReader {
            identity: [slots.source, slots.unit, slots.labels, slots.monotonic],
            slots,
            times: TimeReader::new(TimeFormat::Auto, zone),
            known: KnownSeries::default(),
            key: Vec::new(),
            whole_sources,
            context: context.clone(),
        }
    }

    /// Forgets the series that gave their slots back. Called before each message or block of rows.
    #[inline]
    pub fn refresh(&mut self) {
        self.known.refresh(&self.context.host.series);
    }

    /// Whether a row can be in this form: it has a value.
    #[inline]
    #[must_use]
    pub fn fits(&self, row: Row<'_>) -> bool {
        row.cell(self.slots.value) != Cell::Missing
    }

    /// Whether a row says that there is no value.
    #[inline]
    #[must_use]
    pub fn is_null(&self, row: Row<'_>) -> bool {
        row.cell(self.slots.value) == Cell::Null
    }

    /// Whether a row says its source itself.
    #[must_use]
    pub fn is_named(&self, row: Row<'_>) -> bool {
        !matches!(row.cell(self.slots.source), Cell::Missing | Cell::Null)
    }

    /// Appends the reading of a row.
    ///
    /// # Errors
    /// Why there is none.
    #[inline]
    pub fn take(
        &mut self,
        row: Row<'_>,
        origin: Origin<'_>,
        out: &mut Vec<Reading>,
    ) -> Result<(), Refused> {
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
        self.key.extend_from_slice(origin.key);
        check_name(self.key.len())?;
        let series = match self.known.find(&self.key) {
            Some(series) => series,
            None => self.remember(row, origin)?,
        };
        out.push(Reading { time, value, score, series, count });
        Ok(())
    }

    #[cold]
    fn remember(&mut self, row: Row<'_>, origin: Origin<'_>) -> Result<SeriesId, Refused> {
        let series = self.intern(row, origin)?;
        self.known.insert(&self.key, series);
        Ok(series)
    }

    /// The number of a series whose fields have not been seen.
    fn intern(&self, row: Row<'_>, origin: Origin<'_>) -> Result<SeriesId, Refused> {
        let (slots, context) = (&self.slots, &self.context);
        let source = match text(row, slots.source, "source")? {
            Some(source) => source,
            None => (origin.id)()?,
        };
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
        let describe = |series: Series| {
            let mut series = (origin.describe)(series);
            if let Some(unit) = &unit {
                series = series.with_unit(unit);
            }
            series.labels.extend(labels);
            series.monotonic |= monotonic;
            series
        };
        Ok(match own {
            Some(id) => context.source_series(id, describe)?,
            None if self.whole_sources && source.contains(':') => {
                context.recorded_series(SourceKey::parse(&source), describe)?
            }
            None => context.source_series(&source, describe)?,
        })
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

/// A field that must be a text where it is there.
fn text(row: Row<'_>, slot: usize, name: &str) -> Result<Option<String>, String> {
    match row.cell(slot) {
        Cell::Missing | Cell::Null => Ok(None),
        Cell::Text(_) | Cell::Unescaped(_) => Ok(field_text(row, slot)),
        _ => Err(format!("`{name}` is no text")),
    }
}
