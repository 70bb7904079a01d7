//! Spans of time as users write them: `10s`, `5m`, `1h30m`, `250ms`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::diagnostic::rules;

/// A span of time, not negative, to the microsecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(i64);

const UNITS: [(&str, i64); 7] = [
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// The longest span a user can write: 1,000 years, so that adding one to an instant stays in range.
const MAX_MICROS: i64 = 365_250 * 86_400_000_000;

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);

    /// From microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Duration(micros)
    }
    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Duration(millis * 1_000)
    }
    /// From seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Duration(seconds * 1_000_000)
    }
    /// From minutes.
    #[must_use]
    pub const fn from_mins(minutes: i64) -> Self {
        Duration(minutes * 60_000_000)
    }
    /// From hours.
    #[must_use]
    pub const fn from_hours(hours: i64) -> Self {
        Duration(hours * 3_600_000_000)
    }
    /// From days of 24 hours.
    #[must_use]
    pub const fn from_days(days: i64) -> Self {
        Duration(days * 86_400_000_000)
    }
    /// In microseconds.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }
    /// In seconds, with decimals.
    #[must_use]
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
    /// Both together, or the longest there is.
    #[must_use]
    pub const fn saturating_add(self, more: Duration) -> Duration {
        Duration::from_micros(self.as_micros().saturating_add(more.as_micros()))
    }

    /// This span times a factor, to the nearest microsecond; never less than nothing.
    #[must_use]
    pub fn mul_f64(self, factor: f64) -> Duration {
        Duration((self.0 as f64 * factor).max(0.0).min(MAX_MICROS as f64).round() as i64)
    }
    /// Without what a person does not read: parts of a second of what is longer than a minute, and parts of a millisecond of
    /// what is longer than a second.
    #[must_use]
    pub const fn rounded(self) -> Duration {
        let step = match self.0 {
            60_000_000.. => 1_000_000,
            1_000_000.. => 1_000,
            _ => 1,
        };
        Duration(self.0.saturating_add(step / 2) / step * step)
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(if self.0 < 0 { 0 } else { self.0 as u64 })
    }
}

/// Why a text is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write it like 10s, 5m, 1h30m or 250ms")]
pub struct BadDuration(String);

impl FromStr for Duration {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let bad = || BadDuration(text.to_owned());
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(bad());
        }
        if rest == "0" {
            return Ok(Duration::ZERO);
        }
        let (mut total, mut larger) = (0f64, i64::MAX);
        while !rest.is_empty() {
            let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let value: f64 = rest[..number].parse().map_err(|_| bad())?;
            rest = &rest[number..];
            let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let micros = UNITS.iter().find(|(name, _)| *name == &rest[..unit]).ok_or_else(bad)?.1;
            if micros >= larger {
                return Err(bad());
            }
            larger = micros;
            total += value * micros as f64;
            rest = rest[unit..].trim_start();
        }
        if total > MAX_MICROS as f64 {
            return Err(bad());
        }
        Ok(Duration(total.round() as i64))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 <= 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, micros) in UNITS.iter().skip(1) {
            if rest >= *micros {
                write!(f, "{}{unit}", rest / micros)?;
                rest %= micros;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(|error| serde::de::Error::custom(rules::BAD_DURATION.says(error)))
        } else {
            i64::deserialize(deserializer).map(Duration)
        }
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time such as `10s`, `5m`, `1h30m` or `250ms`.",
            "pattern": r"^\s*(0|([0-9.]+(w|d|h|ms|m|s|us)\s*)+)$",
            "examples": ["10s", "5m", "1h30m"]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_users_write() {
        let micros = |text: &str| text.parse::<Duration>().map(Duration::as_micros);
        assert_eq!(micros("1h30m"), Ok(5_400_000_000));
        assert_eq!(micros("1.5h"), Ok(5_400_000_000));
        assert_eq!(micros("250ms"), Ok(250_000));
        assert_eq!(micros("0"), Ok(0));
        for bad in ["", "10", "5x", "30m1h", "-1s", "1e3s", "s", "9999999d"] {
            assert!(micros(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_and_span_are_one(micros in 0i64..MAX_MICROS) {
            let span = Duration::from_micros(micros);
            let back = span.to_string().parse::<Duration>().unwrap();
            // Sums of large units pass through a double, which holds 53 bits.
            prop_assert!((back.as_micros() - micros).abs() <= 4);
        }
    }
}
