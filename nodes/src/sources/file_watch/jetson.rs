//! What a camera sees, in the file that the Python original's `jetson_inference` reads:
//! `{ts, model, fps, readings: [{name, value, unit, metadata?}]}`, with `ts` in seconds since 1970.

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use smollama_engine::context::Context;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::Series;
use smollama_engine::time::Timestamp;

/// What names a series may take so many bytes.
const NAME_MAX: usize = 512;
/// The longest text, or JSON, that a reading takes.
const TEXT_MAX: usize = 64 << 10;
/// The most readings of one file.
const READINGS_MAX: usize = 10_000;

/// Reads such files.
pub(super) struct Jetson {
    context: Context,
    /// Whether ids begin with the file's name: there can be several cameras.
    names_files: bool,
}

impl Jetson {
    pub(super) fn new(context: &Context, names_files: bool) -> Jetson {
        Jetson { context: context.clone(), names_files }
    }

    /// Appends the readings of a file. The reason is that for which it gives not all it could.
    pub(super) fn read(
        &self,
        file: &str,
        text: &[u8],
        readings: &mut Vec<Reading>,
    ) -> Option<String> {
        let Ok(Json::Object(all)) = serde_json::from_slice(text) else {
            return Some("no JSON object".into());
        };
        let Some(time) = all.get("ts").and_then(Json::as_f64).and_then(instant) else {
            return Some("`ts` is no number of seconds since 1970".into());
        };
        let Some(Json::Array(entries)) = all.get("readings") else {
            return Some("`readings` is no list".into());
        };
        let before = readings.len();
        let mut refused = None;
        for (place, entry) in entries.iter().enumerate() {
            if readings.len() - before >= READINGS_MAX {
                let reason = format!("more than {READINGS_MAX} readings in one file");
                return refused.or(Some(reason));
            }
            if let Err(reason) = self.entry(file, entry, time, readings) {
                refused = refused.or(Some(format!("entry {place}: {reason}")));
            }
        }
        refused
    }

    fn entry(
        &self,
        file: &str,
        entry: &Json,
        time: Timestamp,
        readings: &mut Vec<Reading>,
    ) -> Result<(), String> {
        let name = entry.get("name").and_then(Json::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or("no `name`")?;
        let unit = entry.get("unit").and_then(Json::as_str);
        let id = if self.names_files { format!("{file}/{name}") } else { name.to_owned() };
        if let Some(value) = entry.get("value") {
            self.push(&id, value, unit, time, readings)?;
        }
        let none = Map::new();
        for (field, value) in entry.get("metadata").and_then(Json::as_object).unwrap_or(&none) {
            self.push(&format!("{id}/{field}"), value, None, time, readings)?;
        }
        Ok(())
    }

    fn push(
        &self,
        id: &str,
        value: &Json,
        unit: Option<&str>,
        time: Timestamp,
        readings: &mut Vec<Reading>,
    ) -> Result<(), String> {
        let unit = unit.filter(|unit| !unit.is_empty());
        if id.len() + unit.map_or(0, str::len) > NAME_MAX {
            return Err(format!("name and unit have more than {NAME_MAX} bytes"));
        }
        let Some(value) = of_json(value)? else { return Ok(()) };
        let describe = |series: Series| match unit {
            Some(unit) => series.with_unit(unit),
            None => series,
        };
        let series = self.context.source_series(id, describe).map_err(|full| full.to_string())?;
        readings.push(Reading::new(time, series, value));
        Ok(())
    }
}

/// The value that JSON says; `None` for null.
fn of_json(value: &Json) -> Result<Option<Value>, String> {
    Ok(Some(match value {
        Json::Null => return Ok(None),
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) if number.is_finite() => Value::Float(number),
            _ => return Err(format!("`{number}` is no finite number")),
        },
        Json::String(text) if text.len() <= TEXT_MAX => Value::text(text),
        nested @ (Json::Array(_) | Json::Object(_)) if nested.to_string().len() <= TEXT_MAX => {
            Value::Json(Arc::new(nested.clone()))
        }
        _ => return Err(format!("a value has more than {TEXT_MAX} bytes")),
    }))
}

/// Seconds since 1970, as far as they are an instant of our times.
fn instant(seconds: f64) -> Option<Timestamp> {
    let micros = (seconds * 1e6).round();
    let latest = Timestamp::FAR_FUTURE.as_micros() as f64;
    (0.0..=latest).contains(&micros).then(|| Timestamp::from_micros(micros as i64))
}
