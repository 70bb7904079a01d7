//! From a cell to a value.

use std::sync::Arc;

use smollama_engine::reading::Value;

use super::fields::ValueType;
use crate::io::rows::{Cell, Row, number};

/// The longest text, or JSON, that a reading takes.
const TEXT_MAX: usize = 64 << 10;

/// The value in a cell; `None` where there is none.
///
/// # Errors
/// It is not what it should be; as what follows the field's name.
#[inline]
pub(super) fn of_cell(
    cell: Cell,
    row: Row<'_>,
    kind: Option<ValueType>,
) -> Result<Option<Value>, String> {
    Ok(Some(match (cell, kind) {
        (Cell::Missing | Cell::Null, _) => return Ok(None),
        (Cell::Float(number), None | Some(ValueType::Number)) if number.is_finite() => {
            Value::Float(number)
        }
        (Cell::Int(number), None | Some(ValueType::Number)) => Value::Int(number),
        (Cell::Bool(value), None | Some(ValueType::Bool)) => Value::Bool(value),
        (Cell::Nested(_), None) => {
            let json = serde_json::from_slice(bounded(row.text(cell))?);
            Value::Json(Arc::new(json.map_err(|error| format!("is no JSON: {error}"))?))
        }
        _ => return other(cell, row, kind),
    }))
}

fn other(cell: Cell, row: Row<'_>, kind: Option<ValueType>) -> Result<Option<Value>, String> {
    let text = match cell {
        Cell::Int(number) | Cell::Time(number) => number.to_string(),
        Cell::Float(number) => number.to_string(),
        Cell::Bool(value) => value.to_string(),
        cell => String::from_utf8_lossy(row.text(cell)).into_owned(),
    };
    of_text(&text, kind)
}

/// The value that a text says.
///
/// # Errors
/// As for [`of_cell`].
pub(super) fn of_text(text: &str, kind: Option<ValueType>) -> Result<Option<Value>, String> {
    let trimmed = text.trim();
    Ok(Some(match kind {
        None | Some(ValueType::Text) => {
            bounded(text.as_bytes())?;
            Value::text(text)
        }
        Some(ValueType::Number) => match number::from_text(trimmed.as_bytes()) {
            Some(Cell::Int(number)) => Value::Int(number),
            Some(Cell::Float(number)) => Value::Float(number),
            _ if trimmed.is_empty() => return Ok(None),
            _ if number::is_not_finite(trimmed) => {
                return Err(format!("is `{}`, not a finite number", shown(trimmed)));
            }
            _ => return Err(format!("is `{}`, not a number", shown(trimmed))),
        },
        Some(ValueType::Bool) => {
            let word =
                |words: [&str; 7]| words.iter().any(|word| trimmed.eq_ignore_ascii_case(word));
            if word(["on", "true", "1", "1.0", "yes", "open", "online"]) {
                Value::Bool(true)
            } else if word(["off", "false", "0", "0.0", "no", "closed", "offline"]) {
                Value::Bool(false)
            } else if trimmed.is_empty() {
                return Ok(None);
            } else {
                return Err(format!("is `{}`, neither on nor off", shown(trimmed)));
            }
        }
    }))
}

fn bounded(text: &[u8]) -> Result<&[u8], String> {
    if text.len() <= TEXT_MAX {
        return Ok(text);
    }
    Err(format!("has {} bytes, and a reading takes {TEXT_MAX} at most", text.len()))
}

/// A text cut to what one can read.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}
