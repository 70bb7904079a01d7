//! What is usual at each hour of the day: the second channel of the score.

use serde::{Deserialize, Serialize};
use smollama_engine::time::Timestamp;

use super::habits::{Acuity, Habits};

/// The weight of a deviation from the hour's usual value, against that of the value itself.
const WEIGHT: f64 = 0.5;
/// The least share by which a reading moves its hour's usual value.
const LEARNING_MIN: f64 = 0.03;
/// An hour says nothing before it was entered on more days than this.
const DAYS_MUTED: u8 = 5;

/// One hour of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    usual: f64,
    readings: u32,
    days: u8,
    last_day: i32,
}

/// The usual values of one series by hour of day, and what deviations from them are usual.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Profile {
    hours: [Hour; 24],
    deviations: Habits,
}

impl Profile {
    /// Takes a value at an hour of a day (counted from any day), and says how far its deviation from the hour's usual value is
    /// from any deviation remembered, weighted. The first value of an hour has no deviation.
    pub(super) fn surprise(&mut self, x: f64, (hour, day): (u8, i32), acuity: &Acuity) -> f64 {
        let Some(hour) = self.hours.get_mut(usize::from(hour)) else { return 0.0 };
        if hour.days == 0 || hour.last_day != day {
            hour.days = hour.days.saturating_add(1);
            hour.last_day = day;
        }
        hour.readings = hour.readings.saturating_add(1);
        let deviation = x - hour.usual;
        hour.usual += LEARNING_MIN.max(1.0 / f64::from(hour.readings)) * deviation;
        if hour.readings == 1 || !deviation.is_finite() {
            return 0.0;
        }
        let surprise = self.deviations.surprise(deviation, acuity);
        if hour.days > DAYS_MUTED { WEIGHT * surprise } else { 0.0 }
    }

    /// As [`Habits::is_fine_enough`], of the deviations.
    pub(super) fn is_fine_enough(&self, news: f64, acuity: &Acuity) -> bool {
        self.deviations.is_fine_enough(news, acuity)
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(super) fn is_whole(&self) -> bool {
        self.deviations.is_whole()
    }
}

/// Hour and day of an instant in the host's zone.
#[derive(Debug)]
pub(super) struct LocalHours {
    zone: jiff::tz::TimeZone,
    block: Timestamp,
    at: (u8, i32),
}

/// In no zone of today does the hour change within a quarter of an hour that starts at a full one in UTC, so it is looked up
/// once for each.
const BLOCK: smollama_engine::duration::Duration =
    smollama_engine::duration::Duration::from_mins(15);

impl LocalHours {
    pub(super) fn new(zone: jiff::tz::TimeZone) -> LocalHours {
        LocalHours { zone, block: Timestamp::MIN, at: (0, 0) }
    }

    /// The name by which the zone is known again; empty for one without.
    pub(super) fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or_default()
    }

    pub(super) fn at(&mut self, time: Timestamp) -> (u8, i32) {
        let block = time.floor_to(BLOCK);
        if block != self.block {
            let local = block.to_jiff().to_zoned(self.zone.clone());
            let day = i32::from(local.year()) * 366 + i32::from(local.day_of_year());
            self.block = block;
            self.at = (local.hour().unsigned_abs(), day);
        }
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_judged_by_what_is_usual_then() {
        let acuity =
            Acuity { vigilance: 0.02, memory: 4000, cells: 64, span_floor: 0.01, span_min: 0.0 };
        let mut profile = Profile::default();
        let usual = |hour: u8| if (8..18).contains(&hour) { 100.0 } else { 10.0 };
        for day in 0..8 {
            for hour in 0..24 {
                let x = usual(hour) + f64::from((day * 7 + i32::from(hour) * 3) % 5);
                let surprise = profile.surprise(x, (hour, day), &acuity);
                assert!(day >= 5 || surprise == 0.0, "muted on the first five days");
                assert!(surprise < 0.1, "{day} {hour}: {surprise}");
            }
        }
        // A night like a day: a usual value at an unusual hour.
        assert!(profile.surprise(100.0, (3, 8), &acuity) >= 1.0);
    }

    #[test]
    fn hours_follow_the_zone() {
        let zone = jiff::tz::TimeZone::get("Asia/Kolkata").unwrap();
        let mut hours = LocalHours::new(zone);
        let mut at = |text: &str| hours.at(text.parse().unwrap()).0;
        assert_eq!((at("2026-01-01T18:29:59Z"), at("2026-01-01T18:30:00Z")), (23, 0));
    }
}
