//! One value of one source at one time.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::series::SeriesId;
use crate::time::Timestamp;

/// What a source says. Two machine words, so that readings stay small and copying a number touches no counter.
#[derive(Clone, PartialEq)]
// Kind and content a word each. Otherwise the content of `Bool` lies beside the kind, and a copy of any value is made in odd
// pieces, for which the processor waits (`benches/transforms` of the nodes).
#[repr(u64)]
pub enum Value {
    /// A number with decimals; never NaN, never infinite.
    Float(f64),
    /// A whole number; stays one through every file and wire.
    Int(i64),
    /// On or off.
    Bool(bool),
    /// A text.
    Text(Arc<Box<str>>),
    /// Anything else JSON can say.
    Json(Arc<serde_json::Value>),
}

impl Value {
    /// A finite number; `None` for NaN and infinities, which are refused at the source.
    #[must_use]
    pub fn float(value: f64) -> Option<Value> {
        value.is_finite().then_some(Value::Float(value))
    }

    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Value {
        Value::Text(Arc::new(text.into()))
    }

    /// As a number: floats and integers as they are, on as 1, off as 0; texts and JSON have none.
    #[inline]
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            Value::Bool(value) => Some(f64::from(u8::from(*value))),
            Value::Text(_) | Value::Json(_) => None,
        }
    }

    /// How many bytes it holds outside of itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Value::Text(text) => text.len() + 32,
            Value::Json(value) => 64 + json_bytes(value),
            _ => 0,
        }
    }

    /// Appends its JSON form.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Float(value) => write_float(*value, out),
            Value::Int(value) => {
                out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes())
            }
            Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Text(text) => write_json_text(text, out),
            // Writing to memory cannot fail, and a JSON value always serialises.
            Value::Json(value) => drop(serde_json::to_writer(out, &**value)),
        }
    }

    /// From JSON; `None` for null and for numbers that no double can hold.
    #[must_use]
    pub fn from_json(value: serde_json::Value) -> Option<Value> {
        match value {
            serde_json::Value::Null => None,
            serde_json::Value::Bool(value) => Some(Value::Bool(value)),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Some(Value::Int(value)),
                None => number.as_f64().and_then(Value::float),
            },
            serde_json::Value::String(text) => Some(Value::text(&text)),
            other => Some(Value::Json(Arc::new(other))),
        }
    }
}

fn json_bytes(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(text) => text.len() + 24,
        serde_json::Value::Array(items) => items.iter().map(|item| 32 + json_bytes(item)).sum(),
        serde_json::Value::Object(map) => {
            map.iter().map(|(key, item)| key.len() + 64 + json_bytes(item)).sum()
        }
        _ => 0,
    }
}

/// Appends the shortest decimal text that reads back as the same double. A whole number keeps its `.0`, so that it is
/// read back as a float.
pub fn write_float(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(zmij::Buffer::new().format(value).as_bytes());
}

/// Appends a text as a JSON string.
pub fn write_json_text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, and a text always serialises.
    drop(serde_json::to_writer(out, text));
}

impl fmt::Display for Value {
    /// As a person would read it: texts without quotes, numbers without a needless `.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Float(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Text(text) => f.write_str(text),
            Value::Json(value) => write!(f, "{value}"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => fmt::Debug::fmt(text, f),
            other => fmt::Display::fmt(other, f),
        }
    }
}

impl From<f64> for Value {
    /// For values known to be finite; a NaN or infinity becomes 0.0 in release and is a bug in debug.
    fn from(value: f64) -> Value {
        debug_assert!(value.is_finite(), "a value must be finite");
        Value::Float(if value.is_finite() { value } else { 0.0 })
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

/// The form in which state keeps a value: the same in text and binary formats.
#[derive(Serialize, Deserialize)]
enum StoredValue {
    Float(f64),
    Int(i64),
    Bool(bool),
    Text(String),
    Json(String),
}

impl Serialize for Value {
    /// As plain JSON in text formats, and tagged in binary ones (state).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return match self {
                Value::Float(value) => value.serialize(serializer),
                Value::Int(value) => value.serialize(serializer),
                Value::Bool(value) => value.serialize(serializer),
                Value::Text(text) => text.serialize(serializer),
                Value::Json(value) => value.serialize(serializer),
            };
        }
        match self {
            Value::Float(value) => StoredValue::Float(*value),
            Value::Int(value) => StoredValue::Int(*value),
            Value::Bool(value) => StoredValue::Bool(*value),
            Value::Text(text) => StoredValue::Text(text.to_string()),
            Value::Json(value) => StoredValue::Json(value.to_string()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            let value = serde_json::Value::deserialize(deserializer)?;
            return Value::from_json(value).ok_or_else(|| D::Error::custom("null is not a value"));
        }
        Ok(match StoredValue::deserialize(deserializer)? {
            StoredValue::Float(value) => Value::Float(value),
            StoredValue::Int(value) => Value::Int(value),
            StoredValue::Bool(value) => Value::Bool(value),
            StoredValue::Text(text) => Value::text(&text),
            StoredValue::Json(text) => {
                Value::Json(Arc::new(serde_json::from_str(&text).map_err(D::Error::custom)?))
            }
        })
    }
}

/// One value of one source at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When it was measured, UTC.
    pub time: Timestamp,
    /// What was measured.
    pub value: Value,
    /// How newsworthy it is: 0 is usual, 1 is where the scoring node says "news"; NaN until somebody scored it.
    pub score: f64,
    /// What measured it, in what unit.
    pub series: SeriesId,
    /// How many readings it stands for: 1 plus what was suppressed before it.
    pub count: u32,
}

impl Reading {
    /// A reading nobody scored, that stands for itself alone.
    #[inline]
    #[must_use]
    pub fn new(time: Timestamp, series: SeriesId, value: impl Into<Value>) -> Reading {
        Reading { time, value: value.into(), score: f64::NAN, series, count: 1 }
    }

    /// Whether a scoring node said "news".
    #[inline]
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.score >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_five_words() {
        assert_eq!(size_of::<Value>(), 16);
        assert_eq!(size_of::<Reading>(), 40);
    }

    #[test]
    fn integers_stay_integers_and_floats_floats() {
        let text = |value: Value| {
            let mut out = Vec::new();
            value.write_json(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(Value::Int(5)), "5");
        assert_eq!(text(Value::Float(5.0)), "5.0");
        assert_eq!(text(Value::text("a\"b")), r#""a\"b""#);
        for value in [Value::Int(5), Value::Float(5.0), Value::Bool(true), Value::text("x")] {
            let json = serde_json::from_str(&text(value.clone())).unwrap();
            assert_eq!(Value::from_json(json), Some(value));
        }
    }
}
