//! What is open when the settings change.

use proptest::prelude::*;
use serde_json::{Value, json};
use smollama_engine::reading::Reading;
use smollama_engine::testing::Rig;

use super::whole::{APART, SHAPES, readings, shape, traffic};
use super::{late, rig, windows};
use crate::transforms::window::WindowConfig;

fn change(rig: &mut Rig<WindowConfig>, settings: Value) {
    rig.restart_as(serde_json::from_value(settings).unwrap()).unwrap();
}

/// What comes of `before` and then `after`, with the change at a second and then these readings of `t:a`.
fn changed(before: Value, after: Value, first: &[f64], then: &[f64]) -> Vec<String> {
    let mut rig = rig(before);
    first.iter().for_each(|&second| rig.send(second, "t:a", second));
    assert_eq!(windows(&mut rig), [""; 0]);
    change(&mut rig, after);
    rig.restart();
    then.iter().for_each(|&second| rig.send(second, "t:a", second));
    rig.finish();
    windows(&mut rig)
}

#[test]
fn a_longer_window_takes_in_what_the_shorter_one_had() {
    let (minute, five) = (json!({ "length": "1m" }), json!({ "length": "5m" }));
    assert_eq!(
        changed(minute, five, &[60.0, 70.0], &[200.0, 300.0]),
        ["0..300 time a:3@110", "300..600 end a:1@300"]
    );
}

#[test]
fn a_shorter_window_takes_what_lies_within_it_and_the_rest_is_emitted_as_it_is() {
    let (five, minute) = (json!({ "length": "5m" }), json!({ "length": "1m" }));
    assert_eq!(
        changed(five.clone(), minute.clone(), &[61.0, 71.0], &[90.0, 121.0]),
        ["60..120 time a:3@74", "120..180 end a:1@121"]
    );
    assert_eq!(
        changed(five, minute, &[10.0, 70.0], &[90.0, 121.0]),
        ["0..300 end a:2@40", "60..120 time a:1@90", "120..180 end a:1@121"]
    );
}

#[test]
fn what_is_left_comes_without_a_further_reading_too() {
    let mut rig = rig(json!({ "length": "5m" }));
    rig.send(10.0, "t:a", 1.0);
    rig.send(70.0, "t:a", 2.0);
    change(&mut rig, json!({ "length": "1m" }));
    rig.wait_until(70.0);
    assert_eq!(windows(&mut rig), ["0..300 end a:2@1.5"]);
}

#[test]
fn a_group_is_left_as_one_window_with_all_that_waited_in_it() {
    let mut rig = rig(json!({ "length": "1m", "idle": "1d" }));
    for (second, source) in
        [(5.0, "t:b"), (10.0, "t:a"), (20.0, "t:c"), (55.0, "t:c"), (65.0, "t:b")]
    {
        rig.send(second, source, second);
    }
    change(&mut rig, json!({ "length": "20s", "idle": "1d" }));
    rig.finish();
    // `b` was past its minute; the reading of `a` lies within one new window, those of `c` do not.
    assert_eq!(
        windows(&mut rig),
        ["0..60 end b:1@5 c:2@37.5", "0..20 end a:1@10", "60..80 end b:1@65"]
    );
}

#[test]
fn lateness_idle_and_values_change_without_a_trace_and_so_does_group() {
    let settings = |group, idle| json!({ "length": "1m", "group": group, "idle": idle });
    let begun = |group| {
        let mut rig = rig(settings(group, "1d"));
        rig.send(55.0, "t:b", 2.0);
        rig.send(50.0, "t:a", 1.0);
        rig.send(61.0, "t:b", 3.0);
        windows(&mut rig);
        rig
    };
    let mut sooner = begun(true);
    change(&mut sooner, settings(true, "30s"));
    sooner.wait_until(84.9);
    assert_eq!(windows(&mut sooner), [""; 0]);
    sooner.wait_until(85.0);
    assert_eq!(windows(&mut sooner), ["0..60 time b:1@2 a:1@1"]);

    let mut single = begun(true);
    change(&mut single, settings(false, "1d"));
    single.send(62.0, "t:a", 4.0);
    assert_eq!(windows(&mut single), ["0..60 time b:1@2", "0..60 time a:1@1"]);

    let mut shared = begun(false);
    change(&mut shared, settings(true, "1d"));
    shared.send(62.0, "t:a", 4.0);
    shared.finish();
    assert_eq!(windows(&mut shared), ["0..60 time a:1@1", "60..120 end b:1@3 a:1@4"]);
}

#[test]
fn of_windows_that_overlap_the_one_that_fits_goes_on() {
    let (sliding, tumbling) = (json!({ "length": "1m", "step": "20s" }), json!({ "length": "1m" }));
    let first = [61.0, 62.0, 75.0];
    let mut from = rig(sliding.clone());
    first.iter().for_each(|&second| from.send(second, "t:a", second));
    change(&mut from, tumbling);
    from.send(90.0, "t:a", 90.0);
    from.finish();
    // The oldest that is open has all that the others have.
    assert_eq!(windows(&mut from), ["60..120 end a:4@72"]);
    let shifted = json!({ "length": "70s" });
    assert_eq!(
        changed(sliding, shifted, &first, &[90.0]),
        ["20..80 end a:3@66", "70..140 end a:1@90"]
    );
}

#[test]
fn sessions_go_on_whatever_pause_ends_them_now() {
    let gap = |gap: &str| json!({ "gap": gap });
    assert_eq!(
        changed(gap("60s"), gap("10s"), &[0.0, 50.0], &[55.0, 70.0]),
        ["0..65 session a:3@35", "70..80 end a:1@70"]
    );
    let capped = json!({ "gap": "60s", "max_length": "40s" });
    assert_eq!(
        changed(gap("60s"), capped, &[0.0, 50.0], &[55.0]),
        ["0..110 end a:2@25", "55..95 end a:1@55"]
    );
}

#[test]
fn counts_go_on_as_long_as_they_are_not_full() {
    let count = |count: u32| json!({ "count": count });
    assert_eq!(
        changed(count(5), count(3), &[0.0, 1.0], &[2.0, 3.0]),
        ["0..2.000001 count a:3@1", "3..3.000001 end a:1@3"]
    );
    assert_eq!(
        changed(count(5), count(2), &[0.0, 1.0, 2.0], &[3.0]),
        ["0..2.000001 end a:3@1", "3..3.000001 end a:1@3"]
    );
    let sliding = |count: u32| json!({ "count": count, "step": 2 });
    assert_eq!(
        changed(sliding(6), sliding(4), &[0.0, 1.0, 2.0, 3.0, 4.0], &[5.0, 6.0]),
        [
            "0..4.000001 end a:5@2",
            "2..5.000001 count a:4@3.5",
            "4..6.000001 end a:3@5",
            "6..6.000001 end a:1@6"
        ]
    );
    assert_eq!(
        changed(sliding(6), count(6), &[0.0, 1.0, 2.0], &[3.0]),
        ["0..3.000001 end a:4@1.5"]
    );
}

#[test]
fn windows_of_another_kind_take_what_is_known_to_fit() {
    let (minute, gap) = (json!({ "length": "1m" }), json!({ "gap": "30s" }));
    assert_eq!(changed(minute.clone(), gap.clone(), &[10.0, 30.0], &[50.0]), ["10..80 end a:3@30"]);
    assert_eq!(
        changed(minute.clone(), gap.clone(), &[0.0, 30.0], &[50.0]),
        ["0..60 end a:2@15", "50..80 end a:1@50"]
    );
    assert_eq!(changed(gap.clone(), minute.clone(), &[10.0, 30.0], &[50.0]), ["0..60 end a:3@30"]);
    assert_eq!(
        changed(gap, minute.clone(), &[50.0, 70.0], &[80.0]),
        ["50..100 end a:2@60", "60..120 end a:1@80"]
    );
    let count = json!({ "count": 3 });
    assert_eq!(
        changed(count.clone(), minute.clone(), &[10.0, 30.0], &[50.0]),
        ["0..60 end a:3@30"]
    );
    assert_eq!(
        changed(minute, count, &[10.0, 30.0], &[50.0]),
        ["0..60 end a:2@20", "50..50.000001 end a:1@50"]
    );
}

/// Of any shape, and with ticks.
fn settings() -> impl Strategy<Value = (usize, Value)> {
    (0..SHAPES, any::<bool>(), any::<bool>()).prop_map(|(which, ticks, longer)| {
        let mut settings = shape(which);
        if ticks && settings.get("idle").is_some() {
            settings["idle"] = json!("3s");
        }
        if longer && settings.get("gap").is_some() {
            settings["gap"] = json!("15s");
        }
        if longer && settings.get("length").is_some() && settings.get("step").is_none() {
            settings["length"] = json!("40s");
        }
        (which, settings)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    /// Whatever becomes whatever: each reading that is not late is in a window of its time; in exactly one, unless they overlap.
    #[test]
    fn no_change_loses_or_doubles_a_reading(
        traffic in traffic(), all in prop::array::uniform3(settings()), cuts in (0usize..30, 0usize..30),
    ) {
        let [(one, first), (two, second), (three, third)] = all;
        let mut rig = rig(first);
        let all: Vec<Reading> = readings(&rig, &traffic);
        let cut = cuts.0.min(all.len());
        let next = (cut + cuts.1).min(all.len());
        rig.feed(all[..cut].to_vec());
        change(&mut rig, second);
        rig.restart();
        rig.feed(all[cut..next].to_vec());
        change(&mut rig, third);
        rig.feed(all[next..].to_vec());
        rig.wait_until(1e5);
        rig.finish();
        let windows = rig.windows("main");
        prop_assert!(windows.iter().all(|one| one.start < one.end && !one.summaries.is_empty()));
        let mut on_time: Vec<Reading> = all.clone();
        for late in rig.readings("late") {
            let key = |one: &Reading| (one.series, one.time, one.value.as_f64());
            let place = on_time.iter().position(|one| key(one) == key(&late)).unwrap();
            on_time.remove(place);
        }
        for reading in &on_time {
            let mut own = windows.iter().filter(|one| one.start <= reading.time && reading.time < one.end);
            let is_in = own.any(|one| one.summaries.iter().any(|one| one.series == reading.series));
            prop_assert!(is_in, "{reading:?} is in none of {windows:?}");
        }
        let held: u64 = windows.iter().flat_map(|one| &one.summaries).map(|one| one.count).sum();
        prop_assert!(held as usize >= on_time.len());
        if [one, two, three].iter().all(|which| APART.contains(which)) {
            prop_assert_eq!(held as usize, on_time.len());
        }
    }

    /// Under the same settings nothing happens, ticks and what waits for them included.
    #[test]
    fn a_restart_is_no_change(traffic in traffic(), settings in settings(), cut in 1usize..10) {
        let (_, settings) = settings;
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        whole.feed(readings(&whole, &traffic));
        for part in readings(&parts, &traffic).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        for rig in [&mut whole, &mut parts] {
            rig.wait_until(1e5);
            rig.finish();
        }
        prop_assert_eq!(windows(&mut whole), windows(&mut parts));
        prop_assert_eq!(late(&mut whole), late(&mut parts));
    }
}

#[test]
fn a_session_that_begins_earlier_after_all_is_full_earlier() {
    let settings = json!({ "gap": "15s", "max_length": "20s", "lateness": "12s", "idle": "3s" });
    let mut rig = rig(settings);
    [50.0, 36.0].into_iter().for_each(|second| rig.send(second, "t:a", second));
    rig.wait_until(68.0);
    assert_eq!(windows(&mut rig), ["36..56 time a:2@43"]);
}
