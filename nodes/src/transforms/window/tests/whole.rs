//! What holds whatever comes in.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use smollama_engine::reading::Reading;
use smollama_engine::testing::Rig;
use smollama_engine::window::Cause;

use super::{late, rig, windows};
use crate::transforms::window::WindowConfig;

/// Shapes in which no tick comes while a test feeds, so that only the readings count.
pub(super) fn shape(which: usize) -> serde_json::Value {
    [
        json!({ "length": "10s", "idle": "1000d" }),
        json!({ "length": "10s", "lateness": "15s", "idle": "1000d" }),
        json!({ "length": "10s", "group": false, "idle": "1000d" }),
        json!({ "length": "30s", "step": "10s", "lateness": "5s", "idle": "1000d" }),
        json!({ "length": "25s", "step": "10s", "group": false, "idle": "1000d" }),
        json!({ "gap": "7s", "idle": "1000d" }),
        json!({ "gap": "7s", "max_length": "20s", "lateness": "12s", "idle": "1000d" }),
        json!({ "count": 3 }),
        json!({ "count": 4, "step": 3 }),
    ][which]
        .clone()
}

pub(super) const SHAPES: usize = 9;

/// The shapes whose windows do not overlap.
pub(super) const APART: [usize; 6] = [0, 1, 2, 5, 6, 7];

/// Readings of three series that go on, repeat, jump back and ahead.
pub(super) fn traffic() -> impl Strategy<Value = Vec<(u8, i32, i8)>> {
    prop::collection::vec((0u8..3, -12i32..20, -9i8..9), 0..60)
}

pub(super) fn readings(rig: &Rig<WindowConfig>, traffic: &[(u8, i32, i8)]) -> Vec<Reading> {
    let mut now = 0;
    let of = |&(series, step, value): &(u8, i32, i8)| {
        now += step;
        rig.reading(f64::from(now), &format!("t:{series}"), f64::from(value))
    };
    traffic.iter().map(of).collect()
}

proptest! {
    /// Whatever is open of a series that gives its slot back, and whoever shares its windows.
    #[test]
    fn a_series_that_is_forgotten_loses_no_reading(
        before in traffic(), after in traffic(), which in prop::sample::select(&APART[..]),
    ) {
        let mut rig = rig(shape(which));
        let sent = before.len() + after.len();
        rig.feed(readings(&rig, &before));
        rig.forget(&["t:0"]);
        prop_assert!(!rig.remembered().contains(&"t:0".to_owned()));
        rig.restart();
        rig.feed(readings(&rig, &after));
        rig.finish();
        let windows = rig.windows("main");
        let held = windows.iter().flat_map(|window| &window.summaries).map(|one| one.count);
        let held = held.sum::<u64>() as usize;
        prop_assert_eq!(held + late(&mut rig).len(), sent);
    }

    #[test]
    fn the_cut_into_batches_and_restarts_change_nothing(
        traffic in traffic(), cut in 1usize..10, which in 0..SHAPES,
    ) {
        let (mut whole, mut parts) = (rig(shape(which)), rig(shape(which)));
        whole.feed(readings(&whole, &traffic));
        for part in readings(&parts, &traffic).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        whole.finish();
        parts.finish();
        prop_assert_eq!(windows(&mut whole), windows(&mut parts));
        prop_assert_eq!(whole.values("values"), parts.values("values"));
        prop_assert_eq!(late(&mut whole), late(&mut parts));
    }

    /// Windows that do not overlap hold each reading that is not late exactly once.
    #[test]
    fn no_reading_is_lost_or_doubled(traffic in traffic(), which in prop::sample::select(&APART)) {
        let mut rig = rig(shape(which));
        rig.feed_each(readings(&rig, &traffic));
        rig.finish();
        let windows = rig.windows("main");
        let held: u64 = windows.iter().flat_map(|one| &one.summaries).map(|one| one.count).sum();
        prop_assert_eq!(held as usize + late(&mut rig).len(), traffic.len());
        prop_assert!(windows.iter().all(|one| one.start < one.end && !one.summaries.is_empty()));
    }

    /// Ticks close windows early or open them again, but lose nothing either.
    #[test]
    fn ticks_lose_nothing(traffic in traffic(), which in prop::sample::select(&APART)) {
        let mut settings = shape(which);
        if settings.get("idle").is_some() {
            settings["idle"] = json!("3s");
        }
        let mut rig = rig(settings);
        rig.feed_each(readings(&rig, &traffic));
        rig.wait_until(1e6);
        rig.finish();
        let windows = rig.windows("main");
        let held: u64 = windows.iter().flat_map(|one| &one.summaries).map(|one| one.count).sum();
        prop_assert_eq!(held as usize + late(&mut rig).len(), traffic.len());
        let left = windows.iter().filter(|one| one.cause == Cause::End).count();
        prop_assert!(which >= 7 || left == 0, "time closed everything before the end");
    }

    /// With ticks between the readings too, since the engine cuts a batch where one may be due.
    #[test]
    fn ticks_fall_at_the_same_places_however_the_input_is_cut(
        traffic in traffic(), cut in 1usize..10, which in 0..SHAPES,
    ) {
        let mut settings = shape(which);
        if settings.get("idle").is_some() {
            settings["idle"] = json!("3s");
        }
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        whole.feed(readings(&whole, &traffic));
        for part in readings(&parts, &traffic).chunks(cut) {
            parts.feed(part.to_vec());
        }
        whole.wait_until(1e6);
        parts.wait_until(1e6);
        prop_assert_eq!(windows(&mut whole), windows(&mut parts));
        prop_assert_eq!(late(&mut whole), late(&mut parts));
    }

    /// In order, windows are what grouping by hand makes of the readings.
    #[test]
    fn equals_grouping_by_hand(
        steps in prop::collection::vec((0u8..3, 0u32..8, -9i8..9), 1..60), sliding: bool,
    ) {
        let (length, step) = if sliding { (30, 10) } else { (10, 10) };
        let settings = json!({
            "length": format!("{length}s"), "step": format!("{step}s"), "idle": "1000d", "group": false
        });
        let mut rig = rig(settings);
        let mut by_hand: BTreeMap<(i64, u8), Vec<f64>> = BTreeMap::new();
        let mut now = 0i64;
        for (series, ahead, value) in &steps {
            now += i64::from(*ahead);
            let value = f64::from(*value);
            rig.send(now as f64, &format!("t:{series}"), value);
            let newest = now.div_euclid(step) * step;
            for back in 0..length / step {
                by_hand.entry((newest - back * step, *series)).or_default().push(value);
            }
        }
        rig.finish();
        prop_assert!(late(&mut rig).is_empty());
        let mut got: Vec<_> = rig.windows("main").iter().map(|window| {
            let one = &window.summaries[0];
            let name = rig.name(one.series);
            (super::seconds(window.start) as i64, name, one.count, one.min, one.max, one.mean)
        }).collect();
        got.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let expected: Vec<_> = by_hand.iter().map(|((start, series), values)| {
            let mean = values.iter().enumerate().fold(0.0, |mean, (n, value)| mean + (value - mean) / (n + 1) as f64);
            let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
            (*start, format!("t:{series}"), values.len() as u64, min, max, mean)
        }).collect();
        prop_assert_eq!(got, expected);
    }

    /// A group's windows hold what the windows of its series hold.
    #[test]
    fn grouping_changes_only_who_shares_a_window(traffic in traffic()) {
        let sums = |group: bool| {
            let mut rig = rig(json!({
                "length": "10s", "lateness": "5s", "idle": "1000d", "group": group
            }));
            rig.feed(readings(&rig, &traffic));
            rig.finish();
            let mut all: Vec<_> = rig.windows("main").iter().flat_map(|window| {
                window.summaries.iter().map(|one| format!("{} {one:?}", window.start))
            }).collect();
            all.sort();
            (all, late(&mut rig))
        };
        prop_assert_eq!(sums(true), sums(false));
    }
}
