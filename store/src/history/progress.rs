//! How far a stream of items has come into a data set: kept in the metadata of each file, so that it is as durable as the rows.
//!
//! Items of a stream are counted (`docs/adr/0006-delivery.md`), and a crash is followed by a replay. Each file says what all files up
//! to it hold, so the newest one says it all, and what is repeated can be told. Rows of several days become several files, which
//! cannot appear in one step; between them, a file says which of the items behind [`Progress::end`] are here already.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::calendar::Period;

/// What of a stream the files hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The stream.
    pub(crate) stream: Uuid,
    /// All items up to this offset are there.
    pub(crate) end: u64,
    /// What is there besides.
    pub(crate) beyond: Vec<Beyond>,
}

/// Of the items up to an offset, those of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    upto: u64,
    period: Period,
    /// The first second of the period.
    start: i64,
}

impl Progress {
    /// A stream of which nothing is there.
    pub(crate) fn none_of(stream: Uuid) -> Progress {
        Progress { stream, end: 0, beyond: Vec::new() }
    }

    /// Whether an item with a time, in seconds, is there.
    pub(crate) fn has(&self, offset: u64, second: i64) -> bool {
        let holds =
            |one: &Beyond| offset <= one.upto && one.period.holding(second).start == one.start;
        offset <= self.end || self.beyond.iter().any(holds)
    }

    /// The largest offset that it speaks of. Up to there no other item may be counted.
    pub(crate) fn reach(&self) -> u64 {
        self.beyond.iter().map(|one| one.upto).fold(self.end, u64::max)
    }

    /// When of the items up to an offset those of a period are there too.
    pub(crate) fn with_period(mut self, upto: u64, period: Period, start: i64) -> Progress {
        self.beyond.push(Beyond { upto, period, start });
        self
    }

    /// When all items up to an offset are there.
    pub(crate) fn with_all(mut self, end: u64) -> Progress {
        self.end = self.end.max(end);
        self.beyond.retain(|one| one.upto > end);
        self
    }
}

/// As it stands in a file: the stream, the offset, and what is there besides, such as `20@day:1795219200`.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stream.simple(), self.end)?;
        self.beyond.iter().try_for_each(|Beyond { upto, period, start }| {
            write!(f, " {upto}@{}:{start}", period.as_str())
        })
    }
}

impl FromStr for Progress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        fn beyond(text: &str) -> Option<Beyond> {
            let (upto, rest) = text.split_once('@')?;
            let (period, start) = rest.split_once(':')?;
            let period = Period::ALL.into_iter().find(|one| one.as_str() == period)?;
            Some(Beyond { upto: upto.parse().ok()?, period, start: start.parse().ok()? })
        }
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or(());
        let stream = next()?.parse().map_err(drop)?;
        let end = next()?.parse().map_err(drop)?;
        let beyond = words.map(|word| beyond(word).ok_or(())).collect::<Result<_, ()>>()?;
        Ok(Progress { stream, end, beyond })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let stream = Uuid::from_u128(7);
        let day = Period::Day.holding(1_795_222_923).start;
        let progress = Progress::none_of(stream).with_all(12).with_period(20, Period::Day, day);
        let text = progress.to_string();
        assert_eq!(text, "00000000000000000000000000000007 12 20@day:1795219200");
        assert_eq!(text.parse(), Ok(progress));
        for bad in [
            "",
            "7",
            "00000000000000000000000000000007 x",
            "00000000000000000000000000000007 1 2@day",
        ] {
            assert_eq!(bad.parse::<Progress>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn of_a_period_only_its_own_items_are_there() {
        let (first, next) = (1_795_222_923, 1_795_222_923 + 86_400);
        let day = Period::Day.holding(first).start;
        let progress = Progress::none_of(Uuid::nil()).with_all(5).with_period(9, Period::Day, day);
        assert!(progress.has(5, next) && progress.has(9, first));
        assert!(!progress.has(9, next) && !progress.has(10, first));
        let behind = progress.clone().with_all(8);
        assert!(behind.has(9, first) && behind.has(8, next), "9 is still known");
        assert_eq!(progress.with_all(9).beyond, []);
    }
}
