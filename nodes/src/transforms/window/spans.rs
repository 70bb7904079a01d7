//! Which spans of time hold an instant.

use jiff::tz::{Offset, TimeZone};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;

use super::settings::Align;
use super::stored::Shape;

const DAY: i64 = 86_400_000_000;
const SHORTEST_LOCAL: i64 = 15 * 60_000_000;
/// 1970-01-01 was a Thursday: three days after the Monday from which weeks count.
const EPOCH_AFTER_MONDAY: i64 = 3 * DAY;

/// Whether spans so far apart can begin at midnight in a time zone.
pub(super) fn can_be_local(step: Duration) -> bool {
    let step = step.as_micros();
    whole_days(step) || step >= SHORTEST_LOCAL && DAY % step == 0
}

fn whole_days(micros: i64) -> bool {
    micros > 0 && micros % DAY == 0
}

/// Spans of one length that begin one step apart. Instants in it are microseconds since 1970.
#[derive(Debug, Clone)]
pub(in crate::transforms) struct Spans {
    length: i64,
    step: i64,
    local: Option<TimeZone>,
    /// What is added to civil time so that the first span begins at 0.
    shift: i64,
}

/// The spans that hold an instant, oldest first, and the stretch of time around it in which the answer is the same.
#[derive(Debug, Default)]
pub(in crate::transforms) struct Holding {
    pub(in crate::transforms) spans: Vec<(Timestamp, Timestamp)>,
    pub(in crate::transforms) from: Timestamp,
    pub(in crate::transforms) until: Timestamp,
}

/// No calendar holds an instant further from 1970 than this, some 7,000 years.
const FARTHEST: i64 = 220_000_000_000_000_000;

/// Whether a calendar holds an instant. What it does not hold, a span cannot end after.
pub(super) fn in_calendar(time: Timestamp) -> bool {
    time.as_micros().unsigned_abs() <= FARTHEST.unsigned_abs()
}

impl Spans {
    pub(in crate::transforms) fn new(
        length: Duration,
        step: Duration,
        align: Option<Align>,
        zone: &TimeZone,
    ) -> Spans {
        let (length, step) = (length.as_micros().max(1), step.as_micros().max(1));
        let local = match align {
            Some(Align::Utc) => false,
            Some(Align::Local) => can_be_local(Duration::from_micros(step)),
            None => whole_days(step) && whole_days(length),
        };
        let weeks = local && step % (7 * DAY) == 0;
        Spans {
            length,
            step,
            local: local.then(|| zone.clone()),
            shift: if weeks { EPOCH_AFTER_MONDAY } else { 0 },
        }
    }

    /// What two of them have in common that find the same.
    pub(super) fn shape(&self, group: bool) -> Shape {
        // A zone without a name is told by all that is known of it.
        let name =
            |zone: &TimeZone| zone.iana_name().map_or_else(|| format!("{zone:?}"), Into::into);
        Shape::Length {
            length: Duration::from_micros(self.length),
            step: Duration::from_micros(self.step),
            zone: self.local.as_ref().map(name),
            group,
        }
    }

    /// Whether readings from one instant to another lie in the same spans.
    pub(super) fn has_both(&self, first: Timestamp, last: Timestamp) -> bool {
        let mut holding = Holding::default();
        self.find(first, &mut holding) && last < holding.until
    }

    /// Finds the spans that hold an instant; `false` where no calendar goes so far.
    pub(in crate::transforms) fn find(&self, time: Timestamp, holding: &mut Holding) -> bool {
        if !in_calendar(time) {
            return false;
        }
        let time = time.as_micros();
        let mut newest = (self.civil(time) + self.shift).div_euclid(self.step);
        // Where clocks are put back, the same civil time comes twice.
        while self.start(newest + 1) <= time {
            newest += 1;
        }
        while self.start(newest) > time {
            newest -= 1;
        }
        let mut oldest = newest;
        while self.end(oldest - 1) > time {
            oldest -= 1;
        }
        holding.spans.clear();
        holding.spans.extend((oldest..=newest).filter_map(|index| {
            let (start, end) = (self.start(index), self.end(index));
            let holds = start <= time && time < end;
            holds.then(|| (Timestamp::from_micros(start), Timestamp::from_micros(end)))
        }));
        let from = self.start(newest).max(self.end(oldest - 1));
        let until = self.start(newest + 1).min(self.end(oldest));
        holding.from = Timestamp::from_micros(from);
        holding.until = Timestamp::from_micros(until);
        true
    }

    fn start(&self, index: i64) -> i64 {
        self.instant(index * self.step - self.shift)
    }

    fn end(&self, index: i64) -> i64 {
        self.instant(index * self.step - self.shift + self.length)
    }

    /// What the clocks on the wall say at an instant, as if they were in UTC.
    fn civil(&self, time: i64) -> i64 {
        let Some(zone) = &self.local else { return time };
        let offset = zone.to_offset(Timestamp::from_micros(time).to_jiff());
        time + i64::from(offset.seconds()) * 1_000_000
    }

    /// The first instant at which the clocks on the wall say so, or have just gone past it.
    fn instant(&self, civil: i64) -> i64 {
        let Some(zone) = &self.local else { return civil };
        let said = Offset::UTC.to_datetime(Timestamp::from_micros(civil).to_jiff());
        zone.to_timestamp(said).map_or(civil, |instant| instant.as_microsecond())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(spans: &Spans, time: &str) -> Vec<(String, String)> {
        let mut holding = Holding::default();
        assert!(spans.find(time.parse().unwrap(), &mut holding));
        holding.spans.iter().map(|(start, end)| (start.to_string(), end.to_string())).collect()
    }

    fn spans(length: &str, step: &str, align: Option<Align>, zone: &TimeZone) -> Spans {
        Spans::new(length.parse().unwrap(), step.parse().unwrap(), align, zone)
    }

    fn one(start: &str, end: &str) -> Vec<(String, String)> {
        vec![(start.to_owned(), end.to_owned())]
    }

    /// Two hours ahead in winter, three in summer (Athens), written out so that no zone database is needed.
    fn athens() -> TimeZone {
        TimeZone::posix("EET-2EEST,M3.5.0/3,M10.5.0/4").unwrap()
    }

    #[test]
    fn days_are_those_of_the_zone_and_last_as_long_as_they_do() {
        let days = spans("1d", "1d", None, &athens());
        assert_eq!(
            find(&days, "2026-03-28T22:00:00Z"),
            one("2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"),
            "23 hours"
        );
        assert_eq!(
            find(&days, "2026-10-25T21:59:59Z"),
            one("2026-10-24T21:00:00Z", "2026-10-25T22:00:00Z"),
            "25 hours"
        );
        let utc = spans("1d", "1d", Some(Align::Utc), &athens());
        assert_eq!(
            find(&utc, "2026-10-25T21:59:59Z"),
            one("2026-10-25T00:00:00Z", "2026-10-26T00:00:00Z")
        );
    }

    #[test]
    fn weeks_begin_on_mondays() {
        let weeks = spans("1w", "1w", None, &TimeZone::UTC);
        assert_eq!(
            find(&weeks, "2026-11-21T12:00:00Z"),
            one("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z")
        );
    }

    #[test]
    fn sliding_spans_overlap() {
        let minutes = spans("1m", "30s", None, &TimeZone::UTC);
        assert_eq!(
            find(&minutes, "2026-01-01T00:00:30Z"),
            [
                one("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
                one("2026-01-01T00:00:30Z", "2026-01-01T00:01:30Z")
            ]
            .concat()
        );
        assert_eq!(find(&spans("7d", "1d", None, &athens()), "2026-03-29T12:00:00Z").len(), 7);
    }

    #[test]
    fn what_no_calendar_holds_is_refused() {
        let minutes = spans("1m", "1m", None, &TimeZone::UTC);
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert!(!minutes.find(time, &mut Holding::default()));
        }
    }

    proptest! {
        /// Every instant lies in as many spans as there should be, and the neighbours' spans meet.
        #[test]
        fn spans_cover_time_without_a_hole(
            hour in 0i64..17_520, second in 0i64..3600, unit in 0usize..6, local: bool,
        ) {
            let (length, step, many) = [
                ("1d", "1d", 1), ("6h", "6h", 1), ("1h", "15m", 4), ("7d", "1d", 7), ("90s", "1m", 2), ("30m", "30m", 1),
            ][unit];
            let align = if local { Align::Local } else { Align::Utc };
            let spans = spans(length, step, Some(align), &athens());
            let time = Timestamp::from_micros((1_767_225_600 + hour * 3600 + second) * 1_000_000);
            let (mut here, mut next) = (Holding::default(), Holding::default());
            prop_assert!(spans.find(time, &mut here) && spans.find(here.until, &mut next));
            prop_assert!(here.from <= time && time < here.until && next.from == here.until);
            prop_assert!(!here.spans.is_empty() && here.spans.len() <= many + 4);
            for (start, end) in &here.spans {
                prop_assert!(*start <= time && time < *end);
            }
            if many == 1 {
                prop_assert_eq!(here.spans[0].1, next.spans[0].0);
            }
            let mut at_from = Holding::default();
            prop_assert!(spans.find(here.from, &mut at_from));
            prop_assert_eq!(&at_from.spans, &here.spans);
        }
    }
}
