//! From a row's cells to readings.

use std::sync::Arc;

use smollama_engine::context::Context;
use smollama_engine::reading::{Reading, Value};

use super::config::{ReplayConfig, Values};
use super::layout::{Layout, ValueField};
use super::series::SeriesCache;
use crate::io::rows::time::TimeReader;
use crate::io::rows::{Cell, Row, number};

/// What stands for "no value" unless the user said.
const MISSING: [&str; 3] = ["NA", "N/A", "null"];

/// Makes readings of the rows of one file.
pub(in crate::sources) struct Mapper {
    context: Context,
    times: TimeReader,
    time: usize,
    values: Vec<ValueField>,
    kind: Values,
    series: SeriesCache,
    score: Option<usize>,
    count: Option<usize>,
    missing: Vec<Box<str>>,
    missing_numbers: Vec<f64>,
    /// How many cells had no value.
    pub(super) skipped: u64,
}

impl Mapper {
    pub(in crate::sources) fn new(
        config: &ReplayConfig,
        layout: Layout,
        context: &Context,
    ) -> Self {
        let missing: Vec<Box<str>> = match &config.missing {
            Some(texts) => texts.iter().map(|text| text.as_str().into()).collect(),
            None => MISSING.map(Into::into).to_vec(),
        };
        let numbers = missing.iter().filter_map(|text| text.parse::<f64>().ok());
        Mapper {
            context: context.clone(),
            times: TimeReader::new(
                config.time_format(),
                config.zone().unwrap_or(jiff::tz::TimeZone::UTC),
            ),
            time: layout.time,
            series: SeriesCache::new(layout.identity, layout.values.len()),
            values: layout.values,
            kind: layout.kind,
            score: layout.score,
            count: layout.count,
            missing_numbers: numbers.filter(|number| number.is_finite()).collect(),
            missing,
            skipped: 0,
        }
    }

    /// Forgets the series that gave their slots back. Called before each block of rows.
    pub(in crate::sources) fn refresh(&mut self) {
        self.series.refresh(&self.context.host.series);
    }

    /// Appends the readings of a row.
    ///
    /// # Errors
    /// Why the row is refused; nothing was appended then.
    #[inline]
    pub(in crate::sources) fn take(
        &mut self,
        row: Row<'_>,
        out: &mut Vec<Reading>,
    ) -> Result<(), String> {
        let cell = row.cell(self.time);
        let time = match self.times.read(cell, row.text(cell)) {
            Ok(time) => time,
            Err(bad) => return Err(shown(&bad.to_string(), cell, row)),
        };
        let mut known = self.series.turn_to(row);
        let (score, count) = self.extras(row)?;
        let before = out.len();
        for position in 0..self.values.len() {
            let Some(field) = self.values.get(position) else { break };
            let value = match self.value(field, row) {
                Ok(Some(value)) => value,
                Ok(None) => {
                    self.skipped += 1;
                    continue;
                }
                Err(reason) => {
                    out.truncate(before);
                    return Err(reason);
                }
            };
            match self.series.id(&mut known, (position, field), row, &self.context) {
                Ok(series) => out.push(Reading { time, value, score, series, count }),
                Err(reason) => {
                    out.truncate(before);
                    return Err(reason);
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn extras(&self, row: Row<'_>) -> Result<(f64, u32), String> {
        let number = |slot: Option<usize>| {
            let cell = slot.map_or(Cell::Missing, |slot| row.cell(slot));
            match cell {
                Cell::Text(_) | Cell::Unescaped(_) => {
                    number::from_text(row.text(cell)).unwrap_or(cell)
                }
                cell => cell,
            }
        };
        let score = match number(self.score) {
            Cell::Float(score) => score,
            Cell::Int(score) => score as f64,
            _ => f64::NAN,
        };
        let count = match number(self.count) {
            Cell::Int(count) => {
                u32::try_from(count).ok().filter(|count| *count > 0).ok_or("`count` is no count")?
            }
            _ => 1,
        };
        Ok((score, count))
    }

    /// The value of a field; `None` where it has none.
    #[inline]
    fn value(&self, field: &ValueField, row: Row<'_>) -> Result<Option<Value>, String> {
        let (mut cell, mut there) = (Cell::Missing, false);
        for &slot in &field.slots {
            cell = row.cell(slot);
            there |= cell != Cell::Missing;
            if !matches!(cell, Cell::Missing | Cell::Null) {
                break;
            }
        }
        let value = match cell {
            Cell::Float(number) if number.is_finite() => Value::Float(number),
            Cell::Int(number) | Cell::Time(number) => Value::Int(number),
            Cell::Bool(value) => Value::Bool(value),
            Cell::Text(_) | Cell::Unescaped(_) => match number::from_text(row.text(cell)) {
                Some(Cell::Int(number)) => Value::Int(number),
                Some(Cell::Float(number)) => Value::Float(number),
                _ => return self.other(field, cell, row),
            },
            Cell::Missing if field.required && !there => {
                return Err(format!("no field `{}`", field.column));
            }
            Cell::Missing | Cell::Null => return Ok(None),
            Cell::Nested(_) | Cell::Float(_) => return self.other(field, cell, row),
        };
        if !self.missing_numbers.is_empty()
            && value.as_f64().is_some_and(|number| self.missing_numbers.contains(&number))
        {
            return Ok(None);
        }
        Ok(Some(value))
    }

    /// A value that is no finite number.
    #[cold]
    fn other(&self, field: &ValueField, cell: Cell, row: Row<'_>) -> Result<Option<Value>, String> {
        if let Cell::Float(number) = cell {
            return match self.is_missing(&number.to_string()) {
                true => Ok(None),
                false => Err(format!("`{}` is {number}, not a finite number", field.column)),
            };
        }
        let text = String::from_utf8_lossy(row.text(cell));
        let trimmed = text.trim();
        if trimmed.is_empty() && self.kind == Values::Number || self.is_missing(trimmed) {
            return Ok(None);
        }
        let what = || shown(&format!("`{}`", field.column), cell, row);
        match (cell, self.kind) {
            (Cell::Nested(_), Values::Any) => {
                let json = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                Ok(Some(Value::Json(Arc::new(json))))
            }
            (Cell::Nested(_), Values::Number) => Err(format!("{} is not a number", what())),
            _ if trimmed == "true" || trimmed == "false" => {
                Ok(Some(Value::Bool(trimmed == "true")))
            }
            _ if number::is_not_finite(trimmed) => {
                Err(format!("{} is not a finite number", what()))
            }
            (_, Values::Any) if trimmed.is_empty() => Ok(None),
            (_, Values::Any) => Ok(Some(Value::text(&text))),
            (_, Values::Number) => Err(format!("{} is not a number", what())),
        }
    }

    fn is_missing(&self, text: &str) -> bool {
        self.missing.iter().any(|missing| **missing == *text)
    }
}

/// A message with what stands in a cell, cut to what one can read.
fn shown(what: &str, cell: Cell, row: Row<'_>) -> String {
    let text = match cell {
        Cell::Int(number) => number.to_string(),
        Cell::Float(number) => number.to_string(),
        cell => String::from_utf8_lossy(row.text(cell)).chars().take(60).collect(),
    };
    if text.is_empty() { what.to_owned() } else { format!("{what}: `{text}`") }
}
