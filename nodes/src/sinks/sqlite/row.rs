//! Items as rows. What is the same for all rows of a series is made once.

use std::sync::Arc;

use rusqlite::Statement;
use rusqlite::types::{ToSqlOutput, Value as Cell, ValueRef};
use smollama_engine::batch::Items;
use smollama_engine::json::{InstantText, write_labels, write_list};
use smollama_engine::observation::{Observation, Rung};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesId, SeriesMap, SeriesTable};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Summary, Window};

use super::columns::{Columns, Content};
use crate::sinks::file::{Field, TimeForm};

/// How rows of one kind of item are made.
pub(super) struct Rows {
    contents: Vec<Content>,
    time: Times,
    host: Arc<str>,
    /// By series, what it says for each column; `None` where that differs from row to row.
    constants: SeriesMap<Box<[Option<Cell>]>>,
    /// As of when those are of live series.
    generation: u64,
    text: Vec<u8>,
}

/// How instants are written.
pub(super) struct Times {
    form: TimeForm,
    instant: InstantText,
}

impl Times {
    pub(super) fn new(form: TimeForm) -> Times {
        Times { form, instant: InstantText::default() }
    }

    /// An instant; `text` is where its text may lie. Texts have six decimals, so that they sort as the instants do.
    pub(super) fn cell<'a>(&mut self, time: Timestamp, text: &'a mut Vec<u8>) -> ValueRef<'a> {
        let micros = time.as_micros();
        match self.form {
            TimeForm::S => ValueRef::Integer(micros.div_euclid(1_000_000)),
            TimeForm::Ms => ValueRef::Integer(micros.div_euclid(1_000)),
            TimeForm::Us => ValueRef::Integer(micros),
            TimeForm::Ns => ValueRef::Integer(micros.saturating_mul(1_000)),
            TimeForm::Rfc3339 => {
                text.clear();
                self.instant.write(time, text);
                let missing: &[u8] = match text.len() {
                    20 => b".000000Z",
                    24 => b"000Z",
                    _ => b"Z",
                };
                text.pop();
                text.extend_from_slice(missing);
                ValueRef::Text(text)
            }
        }
    }
}

impl Rows {
    pub(super) fn new(columns: &Columns, time: TimeForm, host: Arc<str>) -> Rows {
        Rows {
            contents: columns.0.iter().map(|(_, content)| content.clone()).collect(),
            time: Times::new(time),
            host,
            constants: SeriesMap::new(),
            generation: 0,
            text: Vec::new(),
        }
    }

    /// Forgets what was made for series that gave their slots back. Called before each batch.
    pub(super) fn refresh(&mut self, table: &SeriesTable) {
        table.keep_live(&mut self.constants, &mut self.generation);
    }

    /// Binds the row of a reading or of a summary.
    fn of_series(
        &mut self,
        item: Item<'_>,
        table: &SeriesTable,
        into: &mut Statement<'_>,
    ) -> rusqlite::Result<()> {
        let Rows { contents, time, host, constants, text, .. } = self;
        let constants = constants.get_or_insert_with(item.series(), || {
            let series = table.get(item.series());
            contents.iter().map(|content| of_series(content, host, &series)).collect()
        });
        for (index, (content, constant)) in contents.iter().zip(constants.iter()).enumerate() {
            let cell = match constant {
                Some(constant) => constant.into(),
                None => item.cell(content, time, text),
            };
            into.raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(cell))?;
        }
        Ok(())
    }

    /// Binds an observation's row.
    fn observation(
        &mut self,
        observation: &Observation,
        into: &mut Statement<'_>,
    ) -> rusqlite::Result<()> {
        let Rows { contents, time, host, text, .. } = self;
        for (index, content) in contents.iter().enumerate() {
            let cell = match content {
                Content::Fixed(fixed) => ValueRef::Text(fixed.as_bytes()),
                Content::Field(Field::Time) => time.cell(observation.time, text),
                Content::Field(Field::Host) => ValueRef::Text(host.as_bytes()),
                Content::Field(field) => of_observation(observation, field, text),
                Content::Number | Content::Json => ValueRef::Null,
            };
            into.raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(cell))?;
        }
        Ok(())
    }
}

/// What of one series becomes a row.
#[derive(Clone, Copy)]
enum Item<'a> {
    Reading(&'a Reading),
    Summary(&'a Window, &'a Summary),
}

impl<'a> Item<'a> {
    fn series(&self) -> SeriesId {
        match self {
            Item::Reading(reading) => reading.series,
            Item::Summary(_, summary) => summary.series,
        }
    }

    /// What a column holds in this row; `text` is where what has to be written may lie.
    fn cell(&self, content: &Content, times: &mut Times, text: &'a mut Vec<u8>) -> ValueRef<'a> {
        match self {
            Item::Reading(reading) => of_reading(reading, content, times, text),
            Item::Summary(window, summary) => {
                let Content::Field(field) = content else { return ValueRef::Null };
                of_summary(window, summary, field, times, text)
            }
        }
    }
}

fn of_reading<'a>(
    reading: &'a Reading,
    content: &Content,
    times: &mut Times,
    text: &'a mut Vec<u8>,
) -> ValueRef<'a> {
    match content {
        Content::Number => reading.value.as_f64().map_or(ValueRef::Null, ValueRef::Real),
        Content::Json => {
            text.clear();
            reading.value.write_json(text);
            ValueRef::Text(text)
        }
        Content::Field(Field::Time) => times.cell(reading.time, text),
        Content::Field(Field::Value) => value(&reading.value, text),
        Content::Field(Field::Score) => number(reading.score),
        Content::Field(Field::Count) => ValueRef::Integer(i64::from(reading.count)),
        _ => ValueRef::Null,
    }
}

fn of_summary<'a>(
    window: &'a Window,
    summary: &'a Summary,
    field: &Field,
    times: &mut Times,
    text: &'a mut Vec<u8>,
) -> ValueRef<'a> {
    match field {
        Field::Start => times.cell(window.start, text),
        Field::Time | Field::End => times.cell(window.end, text),
        Field::Cause => ValueRef::Text(window.cause.as_str().as_bytes()),
        Field::Min => number(summary.min),
        Field::Max => number(summary.max),
        Field::Mean => number(summary.mean),
        Field::Stddev => number(summary.stddev),
        Field::Score => number(summary.score),
        Field::First => value(&summary.first, text),
        Field::Last => value(&summary.last, text),
        Field::Count => ValueRef::Integer(i64::try_from(summary.count).unwrap_or(i64::MAX)),
        _ => ValueRef::Null,
    }
}

/// What a column holds in all rows of a series.
fn of_series(content: &Content, host: &str, series: &Series) -> Option<Cell> {
    let text = |text: &str| Some(Cell::Text(text.to_owned()));
    let field = match content {
        Content::Field(field) => field,
        Content::Fixed(fixed) => return text(fixed),
        Content::Number | Content::Json => return None,
    };
    match field {
        Field::Source => Some(Cell::Text(series.source.to_string())),
        Field::Type => text(series.source.type_part()),
        Field::Id => text(series.source.id()),
        Field::Host => text(series.source.host().unwrap_or(host)),
        Field::Unit => series.unit.as_deref().map_or(Some(Cell::Null), text),
        Field::Label(name) => series.labels.get(&**name).map_or(Some(Cell::Null), |it| text(it)),
        Field::Labels if series.labels.is_empty() => Some(Cell::Null),
        Field::Labels => {
            let mut json = Vec::new();
            write_labels(&series.labels, &mut json);
            text(&String::from_utf8_lossy(&json))
        }
        Field::Monotonic => Some(Cell::Integer(i64::from(series.monotonic))),
        _ => None,
    }
}

fn of_observation<'a>(
    observation: &'a Observation,
    field: &Field,
    text: &'a mut Vec<u8>,
) -> ValueRef<'a> {
    let optional = |text: Option<&'a Arc<str>>| {
        text.map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes()))
    };
    match field {
        Field::Id => written(observation.id.hyphenated(), text),
        Field::Author => ValueRef::Text(observation.author.as_bytes()),
        Field::Kind => written(observation.kind, text),
        Field::Text => ValueRef::Text(observation.text.as_bytes()),
        Field::Confidence => number(observation.confidence),
        Field::Source => optional(observation.sources.first()),
        Field::Sources => {
            text.clear();
            write_list(&observation.sources, text);
            ValueRef::Text(text)
        }
        Field::Model => optional(observation.model.as_ref()),
        Field::Rung => ValueRef::Text(match observation.rung {
            Rung::LocalModel => b"local_model",
            Rung::RemoteModel => b"remote_model",
            Rung::Statistics => b"statistics",
            Rung::Rule => b"rule",
        }),
        _ => ValueRef::Null,
    }
}

fn written(what: impl std::fmt::Display, text: &mut Vec<u8>) -> ValueRef<'_> {
    *text = what.to_string().into_bytes();
    ValueRef::Text(text)
}

fn value<'a>(value: &'a Value, text: &'a mut Vec<u8>) -> ValueRef<'a> {
    match value {
        Value::Float(value) => ValueRef::Real(*value),
        Value::Int(value) => ValueRef::Integer(*value),
        Value::Bool(value) => ValueRef::Integer(i64::from(*value)),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Json(json) => written(json, text),
    }
}

/// A number; `NULL` for NaN.
fn number(value: f64) -> ValueRef<'static> {
    if value.is_finite() { ValueRef::Real(value) } else { ValueRef::Null }
}

/// The rows that items become: by item, and by summary where an item has several.
pub(super) fn rows_of(items: &Items) -> Vec<(usize, Option<usize>)> {
    match items {
        Items::Windows(windows) => {
            let rows = |(index, window): (usize, &Window)| {
                (0..window.summaries.len()).map(move |summary| (index, Some(summary)))
            };
            windows.iter().enumerate().flat_map(rows).collect()
        }
        items => (0..items.len()).map(|index| (index, None)).collect(),
    }
}

/// Binds one row of items.
pub(super) fn bind(
    rows: &mut Rows,
    items: &Items,
    (item, summary): (usize, Option<usize>),
    table: &SeriesTable,
    into: &mut Statement<'_>,
) -> rusqlite::Result<()> {
    match items {
        Items::Readings(readings) => rows.of_series(Item::Reading(&readings[item]), table, into),
        Items::Windows(windows) => {
            let window = &windows[item];
            let summary = &window.summaries[summary.unwrap_or(0)];
            rows.of_series(Item::Summary(window, summary), table, into)
        }
        Items::Observations(observations) => rows.observation(&observations[item], into),
    }
}

/// Turns them round.
pub(super) fn reverse(items: &mut Items) {
    match items {
        Items::Readings(items) => items.reverse(),
        Items::Windows(items) => items.reverse(),
        Items::Observations(items) => items.reverse(),
    }
}

/// Takes one row out of items; and says how many items fewer there are.
pub(super) fn take(items: &mut Items, item: usize, summary: Option<usize>) -> (Items, usize) {
    match (items, summary) {
        (Items::Windows(windows), Some(summary)) => {
            let Some(window) = windows.get_mut(item) else { return (Items::Windows(vec![]), 0) };
            let taken = window.summaries.remove(summary);
            let taken = Window { summaries: vec![taken], ..*window };
            (Items::Windows(vec![taken]), 0)
        }
        (Items::Windows(windows), None) => (Items::Windows(vec![windows.remove(item)]), 1),
        (Items::Readings(readings), _) => (Items::Readings(vec![readings.remove(item)]), 1),
        (Items::Observations(all), _) => (Items::Observations(vec![all.remove(item)]), 1),
    }
}
