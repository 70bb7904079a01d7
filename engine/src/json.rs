//! The one JSON form of what flows: what the file and console sinks, taps, fixtures, dead letters and the API write, and what
//! `replay` and `test` read. Empty fields and NaN are left out; integers stay integers.
//!
//! It writes straight into bytes: no tree of values is built on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::batch::Items;
use crate::observation::Observation;
use crate::reading::{Reading, Value, write_float, write_json_text};
use crate::series::{Series, SeriesTable, SourceKey, TooManySeries};
use crate::time::Timestamp;
use crate::window::Window;

/// Appends one item of a batch, without a line break. An index beyond the batch appends nothing.
pub fn write_item(items: &Items, index: usize, table: &SeriesTable, out: &mut Vec<u8>) {
    match items {
        Items::Readings(items) => {
            if let Some(reading) = items.get(index) {
                write_reading(reading, &table.get(reading.series), out);
            }
        }
        Items::Windows(items) => {
            if let Some(window) = items.get(index) {
                write_window(window, table, out);
            }
        }
        Items::Observations(items) => {
            if let Some(observation) = items.get(index) {
                write_observation(observation, out);
            }
        }
    }
}

/// Appends a reading of a series.
pub fn write_reading(reading: &Reading, series: &Series, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    reading.time.write_rfc3339(out);
    out.extend_from_slice(b"\",\"source\":");
    write_source(&series.source, out);
    out.extend_from_slice(b",\"value\":");
    reading.value.write_json(out);
    if let Some(unit) = &series.unit {
        out.extend_from_slice(b",\"unit\":");
        write_json_text(unit, out);
    }
    if !series.labels.is_empty() {
        out.extend_from_slice(b",\"labels\":");
        write_labels(&series.labels, out);
    }
    if series.monotonic {
        out.extend_from_slice(b",\"monotonic\":true");
    }
    write_number(b",\"score\":", reading.score, out);
    out.extend_from_slice(b",\"count\":");
    out.extend_from_slice(itoa::Buffer::new().format(reading.count).as_bytes());
    out.push(b'}');
}

/// Appends a window with its summaries.
pub fn write_window(window: &Window, table: &SeriesTable, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"start\":\"");
    window.start.write_rfc3339(out);
    out.extend_from_slice(b"\",\"end\":\"");
    window.end.write_rfc3339(out);
    out.extend_from_slice(b"\",\"cause\":\"");
    out.extend_from_slice(window.cause.as_str().as_bytes());
    out.extend_from_slice(b"\",\"summaries\":[");
    for (index, summary) in window.summaries.iter().enumerate() {
        let series = table.get(summary.series);
        out.extend_from_slice(if index == 0 { b"{\"source\":" } else { b",{\"source\":" });
        write_source(&series.source, out);
        if let Some(unit) = &series.unit {
            out.extend_from_slice(b",\"unit\":");
            write_json_text(unit, out);
        }
        if !series.labels.is_empty() {
            out.extend_from_slice(b",\"labels\":");
            write_labels(&series.labels, out);
        }
        out.extend_from_slice(b",\"count\":");
        out.extend_from_slice(itoa::Buffer::new().format(summary.count).as_bytes());
        write_number(b",\"min\":", summary.min, out);
        write_number(b",\"max\":", summary.max, out);
        write_number(b",\"mean\":", summary.mean, out);
        write_number(b",\"stddev\":", summary.stddev, out);
        out.extend_from_slice(b",\"first\":");
        summary.first.write_json(out);
        out.extend_from_slice(b",\"last\":");
        summary.last.write_json(out);
        write_number(b",\"score\":", summary.score, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

/// Appends an observation.
pub fn write_observation(observation: &Observation, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    let mut id = uuid::Uuid::encode_buffer();
    out.extend_from_slice(observation.id.hyphenated().encode_lower(&mut id).as_bytes());
    out.extend_from_slice(b"\",\"time\":\"");
    observation.time.write_rfc3339(out);
    out.extend_from_slice(b"\",\"author\":");
    write_json_text(&observation.author, out);
    out.extend_from_slice(b",\"kind\":");
    write_word(&observation.kind, out);
    out.extend_from_slice(b",\"text\":");
    write_json_text(&observation.text, out);
    write_number(b",\"confidence\":", observation.confidence, out);
    if !observation.sources.is_empty() {
        out.extend_from_slice(b",\"sources\":");
        write_list(&observation.sources, out);
    }
    out.extend_from_slice(b",\"evidence\":{\"from\":\"");
    observation.evidence.from.write_rfc3339(out);
    out.extend_from_slice(b"\",\"to\":\"");
    observation.evidence.to.write_rfc3339(out);
    out.push(b'"');
    if !observation.evidence.sources.is_empty() {
        out.extend_from_slice(b",\"sources\":");
        write_list(&observation.evidence.sources, out);
    }
    out.push(b'}');
    if let Some(model) = &observation.model {
        out.extend_from_slice(b",\"model\":");
        write_json_text(model, out);
    }
    out.extend_from_slice(b",\"rung\":");
    write_word(&observation.rung, out);
    out.push(b'}');
}

/// Appends a source as it is written, as a JSON string.
pub fn write_source(source: &SourceKey, out: &mut Vec<u8>) {
    match source.host() {
        None => write_json_text(source.name(), out),
        Some(host) => write_json_text(&format!("{host}:{}", source.name()), out),
    }
}

/// Appends labels as a JSON object.
pub fn write_labels(labels: &BTreeMap<Arc<str>, Arc<str>>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_text(name, out);
        out.push(b':');
        write_json_text(value, out);
    }
    out.push(b'}');
}

/// Appends texts as a JSON array.
pub fn write_list(texts: &[Arc<str>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_text(text, out);
    }
    out.push(b']');
}

/// Appends a key and a number; nothing for NaN and infinities, which JSON cannot say.
fn write_number(key: &[u8], value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        out.extend_from_slice(key);
        write_float(value, out);
    }
}

/// Appends one of a fixed set of words.
fn write_word<T: serde::Serialize>(word: &T, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, and a word always serialises.
    drop(serde_json::to_writer(out, word));
}

/// A reading as a file or a wire says it: its series by name, not yet a number of this process.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedReading {
    /// When it was measured.
    pub time: Timestamp,
    /// What measured it.
    pub series: Series,
    /// The value.
    pub value: Value,
    /// How newsworthy it is; NaN where it was not scored.
    pub score: f64,
    /// How many readings it stands for.
    pub count: u32,
}

impl NamedReading {
    /// The reading with its series as a number of this process.
    ///
    /// # Errors
    /// The host holds too many series.
    pub fn intern(self, table: &SeriesTable) -> Result<Reading, TooManySeries> {
        let mut reading = Reading::new(self.time, table.intern(&self.series)?, self.value);
        (reading.score, reading.count) = (self.score, self.count);
        Ok(reading)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadingForm {
    time: Timestamp,
    source: String,
    value: Value,
    unit: Option<String>,
    #[serde(default)]
    labels: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(default)]
    monotonic: bool,
    score: Option<f64>,
    #[serde(default = "itself")]
    count: u32,
}

const fn itself() -> u32 {
    1
}

/// Reads what [`write_reading`] wrote.
///
/// # Errors
/// The bytes are not JSON, or not a reading in this form; the message names the field.
pub fn parse_reading(bytes: &[u8]) -> Result<NamedReading, serde_json::Error> {
    let form: ReadingForm = serde_json::from_slice(bytes)?;
    let mut series = Series::new(SourceKey::parse(&form.source));
    if let Some(unit) = &form.unit {
        series = series.with_unit(unit);
    }
    series.labels = form.labels;
    series.monotonic = form.monotonic;
    let score = form.score.unwrap_or(f64::NAN);
    Ok(NamedReading { time: form.time, series, value: form.value, score, count: form.count })
}

/// The JSON Schema of the three forms.
#[must_use]
pub fn item_schema() -> serde_json::Value {
    let instant = json!({
        "type": "string",
        "format": "date-time",
        "description": "An instant in UTC, with the fewest decimals of the second that lose nothing."
    });
    let number = json!({ "type": "number" });
    let scalar = json!({ "description": "A number, a boolean, a text, or any JSON.", "not": { "type": "null" } });
    let source = json!({ "type": "string", "description": "`type:id`, or `host:type:id` for another host's." });
    let labels = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let unit = json!({ "type": "string", "description": "In the spelling of Home Assistant: `°C`, `%`, `hPa`." });
    let score = json!({ "type": "number", "description": "How newsworthy: 0 is usual, 1 is news. Absent where nothing was scored." });
    let sources = json!({ "type": "array", "items": source });
    let summary = object(
        &["source", "count", "first", "last"],
        json!({
            "source": source, "unit": unit, "labels": labels,
            "count": { "type": "integer", "minimum": 0, "description": "How many readings, suppressed ones included." },
            "min": number, "max": number, "mean": number,
            "stddev": { "type": "number", "description": "The sample standard deviation." },
            "first": scalar, "last": scalar, "score": score
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Smollama item",
        "description": "One line of what flows: a reading, a window or an observation.",
        "oneOf": [{ "$ref": "#/$defs/reading" }, { "$ref": "#/$defs/window" }, { "$ref": "#/$defs/observation" }],
        "$defs": {
            "reading": object(&["time", "source", "value"], json!({
                "time": instant, "source": source, "value": scalar, "unit": unit, "labels": labels,
                "monotonic": { "type": "boolean", "description": "Whether it only ever grows: a counter." },
                "score": score,
                "count": { "type": "integer", "minimum": 1, "description": "How many readings it stands for: 1 plus what was suppressed before it." }
            })),
            "window": object(&["start", "end", "cause", "summaries"], json!({
                "start": instant, "end": instant,
                "cause": { "enum": crate::window::Cause::ALL.map(crate::window::Cause::as_str) },
                "summaries": { "type": "array", "items": summary }
            })),
            "observation": object(&["id", "time", "author", "kind", "text", "evidence", "rung"], json!({
                "id": { "type": "string", "format": "uuid" }, "time": instant,
                "author": { "type": "string", "description": "The address of the node that wrote it." },
                "kind": { "enum": ["pattern", "anomaly", "status", "general", "summary", "fact"] },
                "text": { "type": "string" },
                "confidence": { "type": "number", "minimum": 0, "maximum": 1 },
                "sources": sources,
                "evidence": object(&["from", "to"], json!({ "from": instant, "to": instant, "sources": sources })),
                "model": { "type": "string" },
                "rung": { "enum": ["local_model", "remote_model", "statistics", "rule"] }
            }))
        }
    })
}

fn object(required: &[&str], properties: serde_json::Value) -> serde_json::Value {
    json!({ "type": "object", "required": required, "additionalProperties": false, "properties": properties })
}

/// Writes instants as RFC 3339, exactly as [`Timestamp::write_rfc3339`], and remembers the minute: rows in order share
/// most of their date.
#[derive(Debug, Clone)]
pub struct InstantText {
    minute: i64,
    prefix: [u8; 17],
}

impl Default for InstantText {
    fn default() -> Self {
        InstantText { minute: i64::MAX, prefix: [0; 17] }
    }
}

const MINUTE: i64 = 60_000_000;

impl InstantText {
    /// Appends an instant.
    #[inline]
    pub fn write(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        let minute = time.as_micros().div_euclid(MINUTE);
        if minute != self.minute && !self.turn_to(minute) {
            time.write_rfc3339(out);
            return;
        }
        let rest = time.as_micros().rem_euclid(MINUTE);
        let (second, micros) = (rest / 1_000_000, rest % 1_000_000);
        out.extend_from_slice(&self.prefix);
        let (a, b) = (pair(second), pair(micros / 10_000));
        let (c, d) = (pair(micros / 100 % 100), pair(micros % 100));
        if micros == 0 {
            out.extend_from_slice(&[a[0], a[1], b'Z']);
        } else if micros % 1000 == 0 {
            out.extend_from_slice(&[a[0], a[1], b'.', b[0], b[1], c[0], b'Z']);
        } else {
            out.extend_from_slice(&[a[0], a[1], b'.', b[0], b[1], c[0], c[1], d[0], d[1], b'Z']);
        }
    }

    /// Whether the minute has a date of four digits; it is then remembered.
    #[cold]
    fn turn_to(&mut self, minute: i64) -> bool {
        let mut text = Vec::with_capacity(27);
        Timestamp::from_micros(minute.saturating_mul(MINUTE)).write_rfc3339(&mut text);
        let whole = text.len() == 20 && text[0].is_ascii_digit();
        if whole && let Some(prefix) = text.first_chunk::<17>() {
            self.prefix = *prefix;
            self.minute = minute;
        }
        whole
    }
}

/// Two decimal digits.
#[inline]
fn pair(value: i64) -> [u8; 2] {
    let value = value.unsigned_abs() as u8;
    [b'0' + value / 10, b'0' + value % 10]
}

#[cfg(test)]
mod tests;
