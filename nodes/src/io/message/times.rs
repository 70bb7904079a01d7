//! When a message was measured.

use jiff::tz::TimeZone;
use smollama_engine::time::Timestamp;

use super::settings::Settings;
use super::value::shown;
use crate::io::rows::path::Fields;
use crate::io::rows::series::field_text;
use crate::io::rows::time::{TimeReader, settings};
use crate::io::rows::{Cell, Row, number};

/// The fields that hold the time where the settings do not say which, best first.
const GUESSED: [&str; 4] = ["time", "Time", "timestamp", "ts"];
/// 2015-01-01T00:00:00Z. What a device that guesses its clock says before that is no time.
const SINCE: Timestamp = Timestamp::from_micros(1_420_070_400_000_000);

/// Finds the time of a message.
pub(super) struct Times {
    reader: TimeReader,
    slots: Vec<usize>,
    names: Vec<String>,
    /// Whether the user named the field: then what stands there is a time.
    is_sure: bool,
    /// Whether the user said the zone of times that do not say it.
    has_zone: bool,
}

impl Times {
    pub(super) fn new(config: &Settings, fields: &mut Fields, zone: TimeZone) -> Times {
        let names: Vec<String> = match &config.time {
            Some(name) => vec![name.clone()],
            None => GUESSED.map(String::from).to_vec(),
        };
        Times {
            reader: TimeReader::new(settings::format(config.time_format.as_deref()), zone),
            slots: names.iter().map(|name| fields.slot(name)).collect(),
            names,
            is_sure: config.time.is_some(),
            has_zone: config.zone.is_some() || config.time_format.is_some(),
        }
    }

    /// The fields in which a time can stand, by name.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The time of a row, if it says one.
    ///
    /// # Errors
    /// What stands in the field that the user named is none.
    #[inline]
    pub(super) fn read(&mut self, row: Row<'_>) -> Result<Option<Timestamp>, String> {
        for &slot in &self.slots {
            let cell = row.cell(slot);
            if matches!(cell, Cell::Missing | Cell::Null) {
                continue;
            }
            let text = row.text(cell);
            if !self.is_sure && !self.has_zone && !says_zone(cell, text) {
                continue;
            }
            match self.reader.read(cell, text) {
                Ok(time) if self.is_sure || time >= SINCE => return Ok(Some(time)),
                Err(bad) if self.is_sure => {
                    let text = field_text(row, slot).unwrap_or_default();
                    return Err(format!("`{}`: {bad}: `{}`", self.names.concat(), shown(&text)));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

/// Whether a time is an instant and not what a clock on some wall showed.
fn says_zone(cell: Cell, text: &[u8]) -> bool {
    if !matches!(cell, Cell::Text(_) | Cell::Unescaped(_)) {
        return true;
    }
    let behind_date = text.get(10..).unwrap_or_default();
    behind_date.iter().any(|byte| b"Zz+-[".contains(byte)) || number::from_text(text).is_some()
}
