//! Instants: microseconds since 1970 in UTC, and their text form.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::duration::Duration;

/// An instant in UTC, to the microsecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// The earliest instant there is.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest instant there is.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
    /// Stands for the time of receipt: what a live source gives a reading that came without a time. The engine puts the time in.
    pub const ON_RECEIPT: Timestamp = Timestamp::MIN;
    /// 2200-01-01T00:00:00Z: no recording is dated at or after this.
    pub const FAR_FUTURE: Timestamp = Timestamp(7_258_118_400_000_000);

    /// From microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The later instant, or the latest there is.
    #[must_use]
    pub const fn saturating_add(self, span: Duration) -> Self {
        Timestamp(self.0.saturating_add(span.as_micros()))
    }

    /// The earlier instant, or the earliest there is.
    #[must_use]
    pub const fn saturating_sub(self, span: Duration) -> Self {
        Timestamp(self.0.saturating_sub(span.as_micros()))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Timestamp) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(if micros < 0 { 0 } else { micros })
    }

    /// The start of the step of length `step` that holds this instant; steps count from 1970.
    #[must_use]
    pub const fn floor_to(self, step: Duration) -> Timestamp {
        if step.as_micros() <= 0 {
            return self;
        }
        Timestamp(self.0.div_euclid(step.as_micros()).saturating_mul(step.as_micros()))
    }

    /// As jiff's instant, for calendar arithmetic.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// From jiff's instant; what is finer than a microsecond is cut off.
    #[must_use]
    pub fn from_jiff(instant: jiff::Timestamp) -> Self {
        Timestamp(instant.as_microsecond())
    }

    /// Appends the RFC 3339 form in UTC, with no, three or six decimals of the second: the fewest that lose nothing.
    pub fn write_rfc3339(self, out: &mut Vec<u8>) {
        let (year, month, day) = civil_from_days(self.0.div_euclid(MICROS_PER_DAY));
        if !(0..=9999).contains(&year) {
            out.extend_from_slice(self.to_jiff().to_string().as_bytes());
            return;
        }
        let of_day = self.0.rem_euclid(MICROS_PER_DAY);
        let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], seconds / 3600);
        digits(&mut text[14..16], seconds / 60 % 60);
        digits(&mut text[17..19], seconds % 60);
        if micros == 0 {
            text[19] = b'Z';
            out.extend_from_slice(&text[..20]);
        } else if micros % 1000 == 0 {
            digits(&mut text[20..23], micros / 1000);
            text[23] = b'Z';
            out.extend_from_slice(&text[..24]);
        } else {
            digits(&mut text[20..26], micros);
            out.extend_from_slice(&text);
        }
    }
}

fn digits(into: &mut [u8], mut value: i64) {
    for place in into.iter_mut().rev() {
        *place = b'0' + (value % 10).unsigned_abs() as u8;
        value /= 10;
    }
}

/// The civil date of a day counted from 1970-01-01, as (year, month, day).
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(27);
        self.write_rfc3339(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    /// Reads RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>().map(Timestamp::from_jiff)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(|_| {
                serde::de::Error::custom(format!(
                    "`{text}` is not a time such as 2026-11-21T01:02:03Z"
                ))
            })
        } else {
            i64::deserialize(deserializer).map(Timestamp)
        }
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "An instant as RFC 3339 writes it. What is written is in UTC.",
            "examples": ["2026-11-21T01:02:03.500Z"]
        })
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Duration) -> Timestamp {
        self.saturating_add(span)
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, span: Duration) -> Timestamp {
        self.saturating_sub(span)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shows_as_few_decimals_as_lose_nothing() {
        let at = |micros| Timestamp::from_micros(micros).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_500_000), "1970-01-01T00:00:01.500Z");
        assert_eq!(at(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(at(Timestamp::FAR_FUTURE.as_micros()), "2200-01-01T00:00:00Z");
    }

    proptest! {
        #[test]
        fn text_and_instant_are_one(micros in -60_000_000_000_000_000i64..250_000_000_000_000_000) {
            let instant = Timestamp::from_micros(micros);
            prop_assert_eq!(instant.to_string().parse::<Timestamp>().unwrap(), instant);
        }
    }
}
