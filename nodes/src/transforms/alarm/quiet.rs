//! Quiet hours: spans of the day in the host's zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use smollama_engine::condition::TimeOfDay;
use smollama_engine::time::Timestamp;

const DAY_MINUTES: i32 = 24 * 60;

/// Whether the spans leave no minute of the day.
pub(super) fn is_the_whole_day(spans: &[TimeOfDay]) -> bool {
    !spans.is_empty() && (0..DAY_MINUTES).all(|minute| spans.iter().any(|one| one.holds(minute)))
}

/// When nothing is told.
#[derive(Debug)]
pub(super) struct Quiet {
    spans: Vec<TimeOfDay>,
    zone: TimeZone,
}

impl Quiet {
    pub(super) fn new(spans: &[TimeOfDay], zone: &TimeZone) -> Quiet {
        Quiet { spans: spans.to_vec(), zone: zone.clone() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// When the quiet that lies upon an instant ends; `None` where none does.
    pub(super) fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let mut end = self.span_end(at)?;
        // Spans that meet are one. Each can follow once, as they are not the whole day.
        for _ in &self.spans {
            match self.span_end(end) {
                Some(later) => end = later,
                None => break,
            }
        }
        Some(end)
    }

    /// When the latest of the spans that lie upon an instant ends.
    fn span_end(&self, at: Timestamp) -> Option<Timestamp> {
        if self.spans.is_empty() {
            return None;
        }
        let local = at.to_jiff().to_zoned(self.zone.clone());
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let upon = self.spans.iter().filter(|span| span.holds(minute));
        let ends = upon.filter_map(|span| {
            let tomorrow = minute >= span.end();
            let date = if tomorrow { local.date().tomorrow().ok()? } else { local.date() };
            self.instant_after(at, date, span.end())
        });
        ends.max()
    }

    /// When a minute of a day is, after `at`. Where the clock is put back, that may be the second time it shows that minute.
    fn instant_after(&self, at: Timestamp, date: Date, minute: i32) -> Option<Timestamp> {
        let (date, minute) = match minute {
            DAY_MINUTES => (date.tomorrow().ok()?, 0),
            minute => (date, minute),
        };
        let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
        let zoned = self.zone.to_ambiguous_zoned(date.at(hour, minute, 0, 0));
        let both = [zoned.clone().compatible(), zoned.later()].into_iter().flatten();
        both.map(|zoned| Timestamp::from_jiff(zoned.timestamp())).find(|end| *end > at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(spans: &[&str], zone: &str, at: &str) -> Option<String> {
        let spans: Vec<TimeOfDay> = spans.iter().map(|span| span.parse().unwrap()).collect();
        let quiet = Quiet::new(&spans, &TimeZone::get(zone).unwrap());
        quiet.end(at.parse().unwrap()).map(|end| end.to_string())
    }

    #[test]
    fn a_night_ends_in_the_morning_of_the_zone() {
        let end = |at| end(&["22:00-07:00"], "Europe/Berlin", at);
        assert_eq!(end("2026-01-10T20:59:59Z"), None);
        assert_eq!(end("2026-01-10T21:00:00Z").as_deref(), Some("2026-01-11T06:00:00Z"));
        assert_eq!(end("2026-01-11T05:59:59Z").as_deref(), Some("2026-01-11T06:00:00Z"));
        assert_eq!(end("2026-01-11T06:00:00Z"), None);
        // In the night of 28 March 2026 the clock is put forward, in that of 24 October back.
        assert_eq!(end("2026-03-28T21:00:00Z").as_deref(), Some("2026-03-29T05:00:00Z"));
        assert_eq!(end("2026-10-24T20:00:00Z").as_deref(), Some("2026-10-25T06:00:00Z"));
    }

    #[test]
    fn spans_that_meet_are_one_and_the_end_of_the_day_is_midnight() {
        let at = "2026-01-10T21:00:00Z";
        let met = end(&["20:00-24:00", "00:00-06:30"], "UTC", at);
        assert_eq!(met.as_deref(), Some("2026-01-11T06:30:00Z"));
        let alone = end(&["20:00-24:00"], "UTC", at);
        assert_eq!(alone.as_deref(), Some("2026-01-11T00:00:00Z"));
    }

    #[test]
    fn the_second_time_that_the_clock_shows_is_quiet_too_and_absurd_times_do_no_harm() {
        // In Berlin 00:15Z is the first 02:15 of that night, and 01:15Z the second.
        let first = end(&["01:00-02:30"], "Europe/Berlin", "2026-10-25T00:15:00Z");
        assert_eq!(first.as_deref(), Some("2026-10-25T00:30:00Z"));
        let again = end(&["01:00-02:30"], "Europe/Berlin", "2026-10-25T01:15:00Z");
        assert_eq!(again.as_deref(), Some("2026-10-25T01:30:00Z"));
        let quiet = Quiet::new(&["00:00-23:59".parse().unwrap()], &TimeZone::UTC);
        let _ = (quiet.end(Timestamp::MIN), quiet.end(Timestamp::MAX));
    }

    #[test]
    fn a_whole_day_is_known() {
        let whole = |spans: &[&str]| {
            let spans: Vec<TimeOfDay> = spans.iter().map(|span| span.parse().unwrap()).collect();
            is_the_whole_day(&spans)
        };
        assert!(whole(&["00:00-24:00"]) && whole(&["22:00-07:00", "06:00-22:00"]));
        assert!(!whole(&[]) && !whole(&["22:00-07:00", "07:01-22:00"]));
    }
}
