//! Items as rows. What is the same for all rows of a series is rendered once: a row is then a few copies, the time and the
//! value.

use std::sync::Arc;

use smollama_engine::batch::ItemKind;
use smollama_engine::json::{InstantText, write_labels, write_list, write_source};
use smollama_engine::observation::Observation;
use smollama_engine::reading::{Reading, Value, write_float, write_json_text};
use smollama_engine::series::{Series, SeriesMap, SeriesTable};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Summary, Window};

use super::fields::{Field, Fields};
use super::{Format, TimeForm};

/// How rows of one kind of item look, and what was rendered of them so far.
pub(super) struct Rows {
    fields: Fields,
    form: Form,
    host: Arc<str>,
    templates: SeriesMap<Template>,
    /// As of when they are those of live series.
    generation: u64,
}

/// How cells are written.
struct Form {
    format: Format,
    time: TimeForm,
    instant: InstantText,
}

/// The row of one series with gaps for what differs from row to row.
struct Template {
    bytes: Box<[u8]>,
    gaps: Box<[Gap]>,
    /// Whether the first cell can be absent, and leave a comma at the start.
    comma: bool,
}

struct Gap {
    /// The bytes before it end here.
    start: usize,
    /// The name of a cell that can be absent ends here; `start` where it cannot.
    named: usize,
    field: Field,
}

/// What a cell holds, as far as the series says.
enum Cell {
    Constant(Vec<u8>),
    Absent,
    Differs { optional: bool },
}

impl Rows {
    pub(super) fn new(fields: Fields, format: Format, time: TimeForm, host: Arc<str>) -> Rows {
        let form = Form { format, time, instant: InstantText::default() };
        Rows { fields, form, host, templates: SeriesMap::new(), generation: 0 }
    }

    /// Forgets what was rendered for series that gave their slots back. Called before each batch.
    pub(super) fn refresh(&mut self, table: &SeriesTable) {
        table.keep_live(&mut self.templates, &mut self.generation);
    }

    /// The first line of a CSV file.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, (name, _)) in self.fields.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            quoted(name.as_bytes(), &mut out);
        }
        out.push(b'\n');
        out
    }

    /// Appends a reading's row.
    #[inline]
    pub(super) fn reading(&mut self, reading: &Reading, table: &SeriesTable, out: &mut Vec<u8>) {
        let Rows { fields, form, host, templates, .. } = self;
        let template = templates.get_or_insert_with(reading.series, || {
            Template::new(ItemKind::Readings, fields, form, host, &table.get(reading.series))
        });
        template.write(out, |field, name, out| match field {
            Field::Time => form.time(reading.time, out),
            Field::Value => form.value(&reading.value, out),
            Field::Score => number(name, reading.score, out),
            _ => integer(i64::from(reading.count), out),
        });
    }

    /// Appends a row for one summary of a window.
    pub(super) fn summary(
        &mut self,
        window: &Window,
        summary: &Summary,
        table: &SeriesTable,
        out: &mut Vec<u8>,
    ) {
        let Rows { fields, form, host, templates, .. } = self;
        let template = templates.get_or_insert_with(summary.series, || {
            Template::new(ItemKind::Windows, fields, form, host, &table.get(summary.series))
        });
        template.write(out, |field, name, out| match field {
            Field::Start => form.time(window.start, out),
            Field::Time | Field::End => form.time(window.end, out),
            Field::Cause => form.text(window.cause.as_str(), out),
            Field::Min => number(name, summary.min, out),
            Field::Max => number(name, summary.max, out),
            Field::Mean => number(name, summary.mean, out),
            Field::Stddev => number(name, summary.stddev, out),
            Field::Score => number(name, summary.score, out),
            Field::First => form.value(&summary.first, out),
            Field::Last => form.value(&summary.last, out),
            _ => integer(summary.count as i64, out),
        });
    }

    /// Appends an observation's row.
    pub(super) fn observation(&mut self, observation: &Observation, out: &mut Vec<u8>) {
        let (json, mut cell, mut first) = (self.form.format == Format::Jsonl, Vec::new(), true);
        if json {
            out.push(b'{');
        }
        for (name, field) in &self.fields.0 {
            cell.clear();
            self.form.of_observation(observation, field, &mut cell);
            if json && cell.is_empty() {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            if json {
                write_json_text(name, out);
                out.push(b':');
            }
            out.extend_from_slice(&cell);
        }
        out.extend_from_slice(if json { b"}\n" } else { b"\n" });
    }
}

impl Template {
    fn new(kind: ItemKind, fields: &Fields, form: &Form, host: &str, series: &Series) -> Template {
        let json = form.format == Format::Jsonl;
        let quote = json && form.time == TimeForm::Rfc3339;
        let (mut bytes, mut gaps) = (Vec::new(), Vec::new());
        let (mut first, mut comma) = (true, false);
        if json {
            bytes.push(b'{');
        }
        for (index, (name, field)) in fields.0.iter().enumerate() {
            let cell = form.of_series(kind, field, host, series);
            if json && matches!(cell, Cell::Absent) {
                continue;
            }
            let start = bytes.len();
            if json {
                comma |= first && matches!(cell, Cell::Differs { optional: true });
                if !first {
                    bytes.push(b',');
                }
                write_json_text(name, &mut bytes);
                bytes.push(b':');
            } else if index > 0 {
                bytes.push(b',');
            }
            first = false;
            match cell {
                Cell::Absent => {}
                Cell::Constant(cell) => bytes.extend_from_slice(&cell),
                Cell::Differs { optional } => {
                    let text = quote && matches!(field, Field::Time | Field::Start | Field::End);
                    if text {
                        bytes.push(b'"');
                    }
                    let named = bytes.len();
                    let start = if optional && json { start } else { named };
                    gaps.push(Gap { start, named, field: field.clone() });
                    if text {
                        bytes.push(b'"');
                    }
                }
            }
        }
        bytes.extend_from_slice(if json { b"}\n" } else { b"\n" });
        Template { bytes: bytes.into(), gaps: gaps.into(), comma }
    }

    /// Appends the row; `fill` is given a gap's field and the name to write before what may be absent.
    #[inline]
    fn write(&self, out: &mut Vec<u8>, mut fill: impl FnMut(&Field, &[u8], &mut Vec<u8>)) {
        let (row, mut at) = (out.len(), 0);
        for gap in &self.gaps {
            out.extend_from_slice(&self.bytes[at..gap.start]);
            fill(&gap.field, &self.bytes[gap.start..gap.named], out);
            at = gap.named;
        }
        out.extend_from_slice(&self.bytes[at..]);
        if self.comma && out.get(row + 1) == Some(&b',') {
            out.remove(row + 1);
        }
    }
}

impl Form {
    /// What a field is for all rows of a series.
    fn of_series(&self, kind: ItemKind, field: &Field, host: &str, series: &Series) -> Cell {
        let reading = kind == ItemKind::Readings;
        let text = |text: &str| {
            let mut cell = Vec::new();
            self.text(text, &mut cell);
            Cell::Constant(cell)
        };
        match field {
            Field::Time | Field::Count => Cell::Differs { optional: false },
            Field::Value if reading => Cell::Differs { optional: false },
            Field::Start | Field::End | Field::Cause | Field::First | Field::Last if !reading => {
                Cell::Differs { optional: false }
            }
            Field::Score => Cell::Differs { optional: true },
            Field::Min | Field::Max | Field::Mean | Field::Stddev if !reading => {
                Cell::Differs { optional: true }
            }
            Field::Source => {
                let mut json = Vec::new();
                write_source(&series.source, &mut json);
                match self.format {
                    Format::Jsonl => Cell::Constant(json),
                    Format::Csv => text(&series.source.to_string()),
                }
            }
            Field::Type => text(series.source.type_part()),
            Field::Id => text(series.source.id()),
            Field::Host => text(series.source.host().unwrap_or(host)),
            Field::Unit => series.unit.as_deref().map_or(Cell::Absent, text),
            Field::Label(name) => series.labels.get(&**name).map_or(Cell::Absent, |one| text(one)),
            Field::Labels if !series.labels.is_empty() => {
                let mut json = Vec::new();
                write_labels(&series.labels, &mut json);
                self.json(json)
            }
            Field::Monotonic if series.monotonic => Cell::Constant(b"true".to_vec()),
            _ => Cell::Absent,
        }
    }

    /// A cell that is JSON in itself.
    fn json(&self, json: Vec<u8>) -> Cell {
        match self.format {
            Format::Jsonl => Cell::Constant(json),
            Format::Csv => {
                let mut cell = Vec::new();
                quoted(&json, &mut cell);
                Cell::Constant(cell)
            }
        }
    }

    fn of_observation(&mut self, observation: &Observation, field: &Field, out: &mut Vec<u8>) {
        match field {
            Field::Time => {
                let quote = self.format == Format::Jsonl && self.time == TimeForm::Rfc3339;
                out.extend_from_slice(if quote { b"\"" } else { b"" });
                self.time(observation.time, out);
                out.extend_from_slice(if quote { b"\"" } else { b"" });
            }
            Field::Id => self.text(&observation.id.hyphenated().to_string(), out),
            Field::Author => self.text(&observation.author, out),
            Field::Kind => self.text(&observation.kind.to_string(), out),
            Field::Text => self.text(&observation.text, out),
            Field::Confidence => number(b"", observation.confidence, out),
            Field::Source => {
                if let Some(source) = observation.sources.first() {
                    self.text(source, out);
                }
            }
            Field::Sources if observation.sources.is_empty() => {}
            Field::Sources => match self.format {
                Format::Jsonl => write_list(&observation.sources, out),
                Format::Csv => self.text(&observation.sources.join(" "), out),
            },
            Field::Model => {
                if let Some(model) = &observation.model {
                    self.text(model, out);
                }
            }
            Field::Rung => {
                let word = serde_json::to_value(observation.rung).unwrap_or_default();
                self.text(word.as_str().unwrap_or_default(), out);
            }
            _ => {}
        }
    }

    #[inline]
    fn time(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        let micros = time.as_micros();
        match self.time {
            TimeForm::Rfc3339 => self.instant.write(time, out),
            TimeForm::S => integer(micros.div_euclid(1_000_000), out),
            TimeForm::Ms => integer(micros.div_euclid(1_000), out),
            TimeForm::Us => integer(micros, out),
            TimeForm::Ns => integer(micros.saturating_mul(1_000), out),
        }
    }

    #[inline]
    fn value(&self, value: &Value, out: &mut Vec<u8>) {
        match value {
            Value::Float(value) => write_float(*value, out),
            Value::Text(text) => self.text(text, out),
            Value::Json(value) if self.format == Format::Csv => {
                quoted(value.to_string().as_bytes(), out);
            }
            value => value.write_json(out),
        }
    }

    fn text(&self, text: &str, out: &mut Vec<u8>) {
        match self.format {
            Format::Jsonl => write_json_text(text, out),
            Format::Csv => quoted(text.as_bytes(), out),
        }
    }
}

/// Appends a number after its name; nothing for NaN.
#[inline]
fn number(name: &[u8], value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        out.extend_from_slice(name);
        write_float(value, out);
    }
}

#[inline]
fn integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a cell as RFC 4180 wants it: in quotes where it holds a comma, a quote or a line break, or is empty, which tells
/// an empty text from no value.
fn quoted(cell: &[u8], out: &mut Vec<u8>) {
    let plain = !cell.is_empty()
        && !cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r' | 0))
        && cell.first() != Some(&b' ')
        && cell.last() != Some(&b' ');
    if plain {
        out.extend_from_slice(cell);
        return;
    }
    out.push(b'"');
    for &byte in cell {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
