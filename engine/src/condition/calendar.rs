//! Times of day and days of the week, as users think of them: in the host's zone.

use std::borrow::Cow;
use std::str::FromStr;

use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::time::Timestamp;

/// A span of the day, `22:00-06:00`: from its first minute up to, and without, its last. It may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay {
    from: i32,
    to: i32,
}

const DAY_MINUTES: i32 = 24 * 60;

impl TimeOfDay {
    /// Whether a minute of the day, counted from midnight, lies in it.
    #[must_use]
    pub fn holds(self, minute: i32) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }

    /// The first minute of the day that is no longer in it: from 0 to 1440, which is midnight.
    #[must_use]
    pub fn end(self) -> i32 {
        self.to
    }
}

fn minutes(text: &str) -> Option<i32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if plain { text.parse::<i32>().ok() } else { None }
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= DAY_MINUTES).then_some(hours * 60 + minutes)
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a span of the day; write it like 22:00-06:00");
        let (from, to) = text.split_once('-').ok_or_else(bad)?;
        let (from, to) = (minutes(from).ok_or_else(bad)?, minutes(to).ok_or_else(bad)?);
        if from == to || from == DAY_MINUTES || to == 0 && from == 0 {
            return Err(bad());
        }
        Ok(TimeOfDay { from, to })
    }
}

/// Days of the week, `sat` or `mon-fri`; `fri-mon` goes over the weekend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = |name: &str| DAY_NAMES.iter().position(|&known| known == name.trim());
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (Some(from), Some(to)) = (day(from), day(to)) else {
            return Err(format!("`{text}` is not a day; write it like sat or mon-fri"));
        };
        let length = (to + 7 - from) % 7;
        Ok(Days((0..=length).fold(0, |days, step| days | 1 << ((from + step) % 7))))
    }
}

fn read<'de, T: FromStr<Err = String>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = Cow::<'de, str>::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl JsonSchema for TimeOfDay {
    fn schema_name() -> Cow<'static, str> {
        "TimeOfDay".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of the day, such as `22:00-06:00`.",
            "pattern": r"^\s*([01][0-9]|2[0-4]):[0-5][0-9]\s*-\s*([01][0-9]|2[0-4]):[0-5][0-9]\s*$",
            "examples": ["22:00-06:00", "08:30-17:00"]
        })
    }
}

impl JsonSchema for Days {
    fn schema_name() -> Cow<'static, str> {
        "Days".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let day = DAY_NAMES.join("|");
        json_schema!({
            "type": "string",
            "description": "A day of the week, or several in a row.",
            "pattern": format!(r"^\s*({day})\s*(-\s*({day})\s*)?$"),
            "examples": ["sat", "mon-fri"]
        })
    }
}

/// Spans of the day on days of the week, in one zone.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    spans: Vec<TimeOfDay>,
    days: u8,
    zone: TimeZone,
    /// The last minute asked for (since 1970) and the answer: readings come close to one another.
    cached: (i64, bool),
}

impl Calendar {
    /// `None` where nothing is asked. No span is the whole day, no days are all days.
    pub(super) fn new(spans: &[TimeOfDay], days: &[Days], zone: &TimeZone) -> Option<Calendar> {
        if spans.is_empty() && days.is_empty() {
            return None;
        }
        let any = days.iter().fold(0, |all, days| all | days.0);
        Some(Calendar {
            spans: spans.to_vec(),
            days: if days.is_empty() { 0x7f } else { any },
            zone: zone.clone(),
            cached: (i64::MIN, false),
        })
    }

    /// Whether an instant lies in it.
    #[inline]
    pub(super) fn holds(&mut self, time: Timestamp) -> bool {
        let minute = time.as_micros().div_euclid(60_000_000);
        if minute != self.cached.0 {
            let instant = time.to_jiff();
            let offset = self.zone.to_offset(instant);
            let holds = self.local(offset.to_datetime(instant));
            if offset.seconds() % 60 != 0 {
                // A zone of the nineteenth century: its minutes begin between those of UTC.
                return holds;
            }
            self.cached = (minute, holds);
        }
        self.cached.1
    }

    fn local(&self, local: jiff::civil::DateTime) -> bool {
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let today = local.weekday().to_monday_zero_offset().unsigned_abs();
        let on = |day: u8| self.days & (1 << (day % 7)) != 0;
        if self.spans.is_empty() {
            return on(today);
        }
        self.spans.iter().any(|span| {
            if span.from < span.to {
                return (span.from..span.to).contains(&minute) && on(today);
            }
            // A night belongs to the day on which it begins.
            minute >= span.from && on(today) || minute < span.to && on(today + 6)
        })
    }
}
