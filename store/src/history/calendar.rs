//! Hours, days, months and years in UTC, by which files are cut and merged.

use std::ops::Range;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// A span of the calendar, the shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Period {
    Hour,
    Day,
    Month,
    Year,
}

impl Period {
    pub(crate) const ALL: [Period; 4] = [Period::Hour, Period::Day, Period::Month, Period::Year];

    /// The word for it in files.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Month => "month",
            Period::Year => "year",
        }
    }

    /// The period that holds a second since 1970, as seconds; the end is not part of it. Outside of the years 1 to 9998, all
    /// of time is one period.
    pub(crate) fn holding(self, second: i64) -> Range<i64> {
        self.span_of(second).unwrap_or(i64::MIN..i64::MAX)
    }

    fn span_of(self, second: i64) -> Option<Range<i64>> {
        let at = TimeZone::UTC.to_datetime(Timestamp::from_second(second).ok()?);
        let (from, to) = match self {
            Period::Hour => {
                let start = DateTime::from_parts(at.date(), Time::new(at.hour(), 0, 0, 0).ok()?);
                (start, start.checked_add(1.hour()).ok()?)
            }
            Period::Day => {
                let start = at.date();
                (start.into(), start.tomorrow().ok()?.into())
            }
            Period::Month => {
                let start = at.date().first_of_month();
                (start.into(), start.checked_add(1.month()).ok()?.into())
            }
            Period::Year => {
                let start = Date::new(at.year(), 1, 1).ok()?;
                (start.into(), start.checked_add(1.year()).ok()?.into())
            }
        };
        let second = |at: DateTime| at.to_zoned(TimeZone::UTC).map(|at| at.timestamp().as_second());
        let (from, to) = (second(from).ok()?, second(to).ok()?);
        (1..=9998).contains(&at.year()).then_some(from..to)
    }

    /// How long it lasts, in seconds, give or take.
    pub(crate) fn seconds(self) -> i64 {
        match self {
            Period::Hour => 3_600,
            Period::Day => 86_400,
            Period::Month => 30 * 86_400,
            Period::Year => 365 * 86_400,
        }
    }
}

/// The first and the last second that a name can say. A name that says them stands for all of time before and after as well.
const NAMED: (i64, i64) = (-62_167_219_200, 253_402_207_199);

/// A second since 1970 as `20261121T010203Z`.
pub(crate) fn write_second(second: i64) -> String {
    let at = Timestamp::from_second(second.clamp(NAMED.0, NAMED.1));
    at.unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The second that [`write_second`] wrote.
pub(super) fn read_second(text: &str) -> Option<i64> {
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The span that two seconds in a name stand for.
pub(crate) fn read_span(first: &str, last: &str) -> Option<(i64, i64)> {
    let (first, last) = (read_second(first)?, read_second(last)?);
    let first = if first <= NAMED.0 { i64::MIN } else { first };
    let last = if last >= NAMED.1 { i64::MAX } else { last };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_holds_what_it_was_asked_for() {
        let second = read_second("20240229T235959Z").unwrap();
        let spans = Period::ALL.map(|period| {
            let span = period.holding(second);
            (write_second(span.start), write_second(span.end))
        });
        let text = spans.map(|(from, to)| format!("{from}-{to}")).join("\n");
        assert_eq!(
            text,
            "20240229T230000Z-20240301T000000Z\n20240229T000000Z-20240301T000000Z\n\
             20240201T000000Z-20240301T000000Z\n20240101T000000Z-20250101T000000Z"
        );
    }

    #[test]
    fn absurd_times_have_a_period_and_a_name() {
        for second in [i64::MIN, NAMED.0, NAMED.1, i64::MAX] {
            for period in Period::ALL {
                let span = period.holding(second);
                assert!(span.contains(&second) || second == i64::MAX, "{second} {span:?}");
            }
            let name = write_second(second);
            let (first, last) = read_span(&name, &name).unwrap();
            assert!(first <= second && second <= last, "{second}: {first} to {last}");
        }
    }
}
