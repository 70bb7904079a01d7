//! Times as recordings write them.

pub mod settings;
#[cfg(test)]
mod tests;

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use smollama_engine::time::Timestamp;

use super::{Cell, number};

/// How a recording writes its times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TimeFormat {
    /// Texts as RFC 3339 or a date and time of day; numbers as the time since 1970 in the unit that their size suggests.
    #[default]
    Auto,
    /// Numbers, or texts that are numbers.
    Epoch(EpochUnit),
    /// Texts after a pattern of `strptime`.
    Pattern(String),
}

/// What is counted since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds, decimals allowed.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds; what is finer than a microsecond is cut off.
    Nanoseconds,
}

impl EpochUnit {
    /// The unit in which a number lies between 1970 and 5138, for numbers of any day since March 1973.
    fn of_size(number: f64) -> Self {
        match number.abs() {
            size if size < 1e11 => EpochUnit::Seconds,
            size if size < 1e14 => EpochUnit::Milliseconds,
            size if size < 1e17 => EpochUnit::Microseconds,
            _ => EpochUnit::Nanoseconds,
        }
    }

    fn int_micros(self, count: i64) -> Option<i64> {
        match self {
            EpochUnit::Seconds => count.checked_mul(1_000_000),
            EpochUnit::Milliseconds => count.checked_mul(1_000),
            EpochUnit::Microseconds => Some(count),
            EpochUnit::Nanoseconds => Some(count.div_euclid(1_000)),
        }
    }

    fn float_micros(self, count: f64) -> Option<i64> {
        let micros = match self {
            EpochUnit::Seconds => (count * 1e6).round(),
            EpochUnit::Milliseconds => (count * 1e3).round(),
            EpochUnit::Microseconds => count.floor(),
            EpochUnit::Nanoseconds => (count / 1e3).floor(),
        };
        (micros.abs() < 9e18).then_some(micros as i64)
    }
}

/// Why a cell is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    /// Not written as the format has it.
    #[error("not a time")]
    Unreadable,
    /// Before 1970 or after 2199: no recording is that old or that far ahead.
    #[error("a time before 1970 or after 2199")]
    Absurd,
    /// The row has none.
    #[error("no time")]
    Missing,
}

/// Reads the times of one recording.
///
/// A time without an offset is taken in the zone. One that the clocks show twice, when they are put back, is the first of
/// the two; one that they skip, when they are put forward, is moved by what was skipped, as a clock would show that
/// nobody had put forward.
#[derive(Debug, Clone)]
pub struct TimeReader {
    format: TimeFormat,
    zone: TimeZone,
    /// The local hour last seen and its offset to UTC, both in microseconds, if nothing changes within that hour.
    hour: Option<(i64, i64)>,
}

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

impl TimeReader {
    /// A reader of times in this format; those without an offset are of this zone.
    #[must_use]
    pub fn new(format: TimeFormat, zone: TimeZone) -> Self {
        let hour = None;
        TimeReader { format, zone, hour }
    }

    /// The time in a cell, whose text is given beside it.
    ///
    /// # Errors
    /// No time, one that cannot be read, or one that cannot be right.
    #[inline]
    pub fn read(&mut self, cell: Cell, text: &[u8]) -> Result<Timestamp, BadTime> {
        let micros = match cell {
            Cell::Int(count) => self.unit(count as f64).int_micros(count),
            Cell::Float(count) => self.unit(count).float_micros(count),
            Cell::Text(_) | Cell::Unescaped(_) => self.read_text(text),
            Cell::Time(micros) => Some(micros),
            Cell::Missing | Cell::Null => return Err(BadTime::Missing),
            Cell::Bool(_) | Cell::Nested(_) => None,
        };
        let time = Timestamp::from_micros(micros.ok_or(BadTime::Unreadable)?);
        if time < Timestamp::EPOCH || time >= Timestamp::FAR_FUTURE {
            return Err(BadTime::Absurd);
        }
        Ok(time)
    }

    #[inline]
    fn unit(&self, count: f64) -> EpochUnit {
        match self.format {
            TimeFormat::Epoch(unit) => unit,
            _ => EpochUnit::of_size(count),
        }
    }

    // Out of the way, so that numbers are read within a source's loop.
    #[inline(never)]
    fn read_text(&mut self, text: &[u8]) -> Option<i64> {
        match &self.format {
            TimeFormat::Auto => match common(text) {
                Some((local, Some(offset))) => Some(local - offset),
                Some((local, None)) => self.utc(local),
                None => self.read_other(text),
            },
            TimeFormat::Epoch(unit) => from_number(text, |_| *unit),
            TimeFormat::Pattern(pattern) => {
                let parsed = BrokenDownTime::parse(pattern, text.trim_ascii()).ok()?;
                if let Ok(instant) = parsed.to_timestamp() {
                    return Some(instant.as_microsecond());
                }
                let civil =
                    parsed.to_datetime().or_else(|_| parsed.to_date().map(DateTime::from)).ok()?;
                self.resolve(civil)
            }
        }
    }

    /// What the common forms do not cover: other offsets, leap seconds, zones in brackets, numbers in texts.
    #[cold]
    fn read_other(&mut self, text: &[u8]) -> Option<i64> {
        let text = text.trim_ascii();
        if let Some((local, offset)) = common(text) {
            return offset.map_or_else(|| self.utc(local), |offset| Some(local - offset));
        }
        if let Some(micros) = from_number(text, EpochUnit::of_size) {
            return Some(micros);
        }
        let text = std::str::from_utf8(text).ok()?;
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(instant.as_microsecond());
        }
        if let Ok(instant) = jiff::fmt::rfc2822::parse(text) {
            return Some(instant.timestamp().as_microsecond());
        }
        text.parse::<DateTime>().ok().and_then(|civil| self.resolve(civil))
    }

    /// The instant of a local time, both in microseconds since 1970.
    #[inline]
    fn utc(&mut self, local: i64) -> Option<i64> {
        let hour = local.div_euclid(HOUR);
        match self.hour {
            Some((known, offset)) if known == hour => Some(local - offset),
            _ => self.look_up(local),
        }
    }

    #[cold]
    fn look_up(&mut self, local: i64) -> Option<i64> {
        let start = local.div_euclid(HOUR) * HOUR;
        let (first, last) = (self.sure_offset(start)?, self.sure_offset(start + HOUR - 1)?);
        self.hour = match (first, last) {
            (Ok(first), Ok(last)) if first == last => Some((start / HOUR, first)),
            _ => None,
        };
        match self.hour {
            Some((_, offset)) => Some(local - offset),
            None => self.resolve(civil_of(local)?),
        }
    }

    /// The zone's offset at a local time, or an inner error where the clocks show it twice or never.
    fn sure_offset(&self, local: i64) -> Option<Result<i64, ()>> {
        let ambiguous = self.zone.to_ambiguous_timestamp(civil_of(local)?);
        Some(match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => Ok(i64::from(offset.seconds()) * 1_000_000),
            _ => Err(()),
        })
    }

    fn resolve(&self, civil: DateTime) -> Option<i64> {
        let instant = self.zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        Some(instant.as_microsecond())
    }
}

fn civil_of(local: i64) -> Option<DateTime> {
    let instant = jiff::Timestamp::from_microsecond(local).ok()?;
    Some(TimeZone::UTC.to_datetime(instant))
}

fn from_number(text: &[u8], unit: impl Fn(f64) -> EpochUnit) -> Option<i64> {
    match number::from_text(text)? {
        Cell::Int(count) => unit(count as f64).int_micros(count),
        Cell::Float(count) => unit(count).float_micros(count),
        _ => None,
    }
}

/// A date, perhaps with a time of day behind `T` or a blank, perhaps with an offset behind that: the local time since
/// 1970 and the offset, in microseconds.
#[inline]
fn common(text: &[u8]) -> Option<(i64, Option<i64>)> {
    let [a, b, c, d, b'-', e, f, b'-', g, h, rest @ ..] = text else { return None };
    let year = i64::from(two(*a, *b)?) * 100 + i64::from(two(*c, *d)?);
    let day = days(year, two(*e, *f)?, two(*g, *h)?)? * DAY;
    let [b'T' | b't' | b' ', a, b, b':', c, d, rest @ ..] = rest else {
        return rest.is_empty().then_some((day, None));
    };
    let (hour, minute) = (i64::from(two(*a, *b)?), i64::from(two(*c, *d)?));
    let (second, rest) = match rest {
        [b':', a, b, rest @ ..] => (i64::from(two(*a, *b)?), rest),
        _ => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, rest) = match rest {
        [b'.' | b',', rest @ ..] => fraction(rest)?,
        _ => (0, rest),
    };
    let local = day + hour * HOUR + minute * 60_000_000 + second * 1_000_000 + micros;
    let (sign, offset) = match rest {
        [] => return Some((local, None)),
        [b'Z' | b'z'] => return Some((local, Some(0))),
        [b'+', offset @ ..] => (1, offset),
        [b'-', offset @ ..] => (-1, offset),
        _ => return None,
    };
    let (hours, minutes) = match offset {
        [a, b, b':', c, d] | [a, b, c, d] => (two(*a, *b)?, two(*c, *d)?),
        [a, b] => (two(*a, *b)?, 0),
        _ => return None,
    };
    // The widest offset in use is 14 hours; 18 is what ISO 8601's users agree on.
    if hours > 18 || minutes > 59 {
        return None;
    }
    Some((local, Some(sign * (i64::from(hours) * HOUR + i64::from(minutes) * 60_000_000))))
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Decimals of a second; what is finer than a microsecond is cut off.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() {
        return None;
    }
    let mut micros = 0;
    for place in 0..6 {
        micros = micros * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    Some((micros, rest))
}

/// Days since 1970 of a civil date that exists. After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `days_from_civil`.
#[inline]
fn days(year: i64, month: u32, day: u32) -> Option<i64> {
    const LENGTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = *LENGTHS.get(month.checked_sub(1)? as usize)? + u32::from(leap && month == 2);
    if day == 0 || day > length {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * i64::from((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}
