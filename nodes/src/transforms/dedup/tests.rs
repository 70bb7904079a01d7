use proptest::prelude::*;
use serde_json::json;
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;

use super::DedupConfig;

fn rig(settings: serde_json::Value) -> Rig<DedupConfig> {
    Rig::json(settings)
}

/// What lies on a port, as (seconds, value, count).
fn taken(rig: &mut Rig<DedupConfig>, port: &str) -> Vec<(f64, Value, u32)> {
    let seconds = |time: Timestamp| (time.as_micros() - START.as_micros()) as f64 / 1e6;
    rig.readings(port).into_iter().map(|one| (seconds(one.time), one.value, one.count)).collect()
}

fn send_all(rig: &mut Rig<DedupConfig>, values: impl IntoIterator<Item = (f64, f64)>) {
    for (at, value) in values {
        rig.send(at, "t:a", value);
    }
}

fn float(at: f64, value: f64, count: u32) -> (f64, Value, u32) {
    (at, Value::Float(value), count)
}

#[test]
fn the_deadband_is_against_the_last_passed_value_and_exclusive() {
    let mut rig = rig(json!({ "deadband": 0.25 }));
    send_all(&mut rig, [(0.0, 20.0), (1.0, 20.25), (2.0, 20.2), (3.0, 20.5), (4.0, 20.25)]);
    assert_eq!(taken(&mut rig, "main"), [float(0.0, 20.0, 1), float(3.0, 20.5, 3)]);
    assert_eq!(taken(&mut rig, "dropped").len(), 3);
    rig.send(5.0, "t:a", 20.0);
    assert_eq!(taken(&mut rig, "main"), [float(5.0, 20.0, 2)]);
}

#[test]
fn a_percentage_is_of_the_last_passed_value() {
    let mut rig = rig(json!({ "deadband": "10 %" }));
    send_all(&mut rig, [(0.0, -100.0), (1.0, -110.0), (2.0, -111.0), (3.0, -100.0), (4.0, -99.0)]);
    let expected = [float(0.0, -100.0, 1), float(2.0, -111.0, 2), float(4.0, -99.0, 2)];
    assert_eq!(taken(&mut rig, "main"), expected);
    send_all(&mut rig, [(5.0, 0.0), (6.0, 0.0), (7.0, 1e-9)]);
    let expected = [float(5.0, 0.0, 1), float(7.0, 1e-9, 2)];
    assert_eq!(taken(&mut rig, "main"), expected, "ten percent of nothing is nothing");
}

#[test]
fn without_settings_any_difference_passes_and_equals_pass_every_hour() {
    let mut rig = rig(json!({}));
    send_all(&mut rig, (0..=8).map(|step| (f64::from(step) * 900.0, 5.0)));
    let expected = [float(0.0, 5.0, 1), float(3600.0, 5.0, 4), float(7200.0, 5.0, 4)];
    assert_eq!(taken(&mut rig, "main"), expected);
    send_all(&mut rig, [(7201.0, 5.000_000_000_1)]);
    assert_eq!(taken(&mut rig, "main").len(), 1);
}

#[test]
fn never_is_never() {
    let mut rig = rig(json!({ "heartbeat": "never" }));
    send_all(&mut rig, [(0.0, 5.0), (1e9, 5.0)]);
    assert_eq!(taken(&mut rig, "main").len(), 1);
}

#[test]
fn other_kinds_of_value_pass_when_they_differ() {
    let mut rig = rig(json!({ "deadband": 10 }));
    let list = |text: &str| Value::from_json(serde_json::from_str(text).unwrap()).unwrap();
    for (at, value) in [
        (0.0, Value::text("on")),
        (1.0, Value::text("on")),
        (2.0, Value::text("off")),
        (3.0, Value::Bool(true)),
        (4.0, Value::Bool(true)),
        (5.0, Value::Int(1)),
        (6.0, Value::Float(2.0)),
        (7.0, Value::text("2")),
        (8.0, list("[1]")),
        (9.0, list("[1]")),
        (10.0, list("[2]")),
    ] {
        rig.send(at, "t:a", value);
    }
    let passed: Vec<f64> = taken(&mut rig, "main").into_iter().map(|(at, ..)| at).collect();
    assert_eq!(passed, [0.0, 2.0, 3.0, 5.0, 7.0, 8.0, 10.0]);
}

#[test]
fn huge_integers_are_told_apart() {
    let mut rig = rig(json!({}));
    for (at, value) in [(0.0, i64::MAX - 1), (1.0, i64::MAX), (2.0, i64::MAX), (3.0, i64::MIN)] {
        rig.send(at, "t:a", value);
    }
    assert_eq!(taken(&mut rig, "main").len(), 3);
}

#[test]
fn the_first_override_that_fits_counts() {
    let mut rig = rig(json!({
        "deadband": 1,
        "heartbeat": "never",
        "overrides": [
            { "match": "air:*/humidity", "deadband": 5 },
            { "match": "air:**", "heartbeat": "10s" },
        ],
    }));
    for at in [0.0, 5.0, 10.0] {
        rig.send(at, "air:n/humidity", 50.0 + at / 2.0);
        rig.send(at, "air:n/temperature", 20.0 + at / 10.0);
        rig.send(at, "soil:n/temperature", 20.0 + at / 10.0);
    }
    let passed: Vec<_> = rig.values("main").into_iter().map(|(at, of, _)| (at, of)).collect();
    let expected = [
        (0.0, "air:n/humidity"),
        (0.0, "air:n/temperature"),
        (0.0, "soil:n/temperature"),
        (10.0, "air:n/temperature"),
    ];
    assert_eq!(passed, expected.map(|(at, of)| (at, of.to_owned())));
}

#[test]
fn news_passes_at_once_unless_it_is_ignored() {
    let passed = |settings: serde_json::Value| {
        let mut rig = rig(settings);
        let scored =
            |rig: &Rig<DedupConfig>, at, score| Reading { score, ..rig.reading(at, "t:a", 5.0) };
        let readings = [f64::NAN, f64::NAN, 0.9, 1.0, f64::INFINITY];
        let readings = (0..).zip(readings).map(|(at, score)| scored(&rig, f64::from(at), score));
        let readings = readings.collect();
        rig.feed(readings);
        let passed = taken(&mut rig, "main");
        passed.into_iter().map(|(at, _, count)| (at, count)).collect::<Vec<_>>()
    };
    assert_eq!(passed(json!({})), [(0.0, 1), (3.0, 3), (4.0, 1)]);
    assert_eq!(passed(json!({ "news": "ignore" })), [(0.0, 1)]);
    assert_eq!(passed(json!({ "news": 0.5 })), [(0.0, 1), (2.0, 2), (3.0, 1), (4.0, 1)]);
}

#[test]
fn keep_last_shows_both_ends_of_a_run() {
    let mut rig = rig(json!({ "keep": "last", "heartbeat": "10s" }));
    send_all(&mut rig, [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 2.0), (4.0, 2.0), (5.0, 3.0)]);
    let expected = [
        float(0.0, 1.0, 1),
        float(2.0, 1.0, 2),
        float(3.0, 2.0, 1),
        float(4.0, 2.0, 1),
        float(5.0, 3.0, 1),
    ];
    assert_eq!(taken(&mut rig, "main"), expected);
    assert_eq!(taken(&mut rig, "dropped"), [float(1.0, 1.0, 1)]);

    send_all(&mut rig, [(8.0, 3.0), (15.0, 3.0), (16.0, 3.0), (17.0, 3.0)]);
    assert_eq!(taken(&mut rig, "main"), [float(15.0, 3.0, 2)], "the heartbeat stands for it");
    rig.restart();
    rig.finish();
    assert_eq!(taken(&mut rig, "main"), [float(17.0, 3.0, 2)], "the end of the last run");
}

#[test]
fn a_reading_from_before_is_late_and_changes_nothing() {
    let mut rig = rig(json!({}));
    send_all(&mut rig, [(10.0, 1.0), (5.0, 9.0), (10.0, 1.0), (10.0, 2.0)]);
    assert_eq!(taken(&mut rig, "late"), [float(5.0, 9.0, 1)]);
    assert_eq!(taken(&mut rig, "main"), [float(10.0, 1.0, 1), float(10.0, 2.0, 2)]);
}

#[test]
fn a_last_value_counts_as_passed_where_nothing_has_passed_yet() {
    for restarts in [false, true] {
        let mut rig = rig(json!({ "deadband": 0.5, "heartbeat": "1h" }));
        rig.prime(10.0, "t:a", 5.0);
        assert_eq!(taken(&mut rig, "main"), [float(10.0, 5.0, 1)], "to those behind");
        // The one that is known first stays.
        rig.prime(11.0, "t:a", 7.0);
        if restarts {
            rig.restart();
        }
        // It is of no time that a reading could be older than.
        send_all(&mut rig, [(5.0, 5.2), (12.0, 5.0), (13.0, 7.0), (14.0, 7.2)]);
        assert_eq!(taken(&mut rig, "late"), []);
        assert_eq!(taken(&mut rig, "main"), [float(13.0, 7.0, 3)]);
        assert_eq!(taken(&mut rig, "dropped").len(), 3);
        // What has passed is what those behind know.
        rig.prime(15.0, "t:a", 9.0);
        send_all(&mut rig, [(16.0, 9.0)]);
        assert_eq!(taken(&mut rig, "main"), [float(16.0, 9.0, 2)]);
    }
}

#[test]
fn a_last_value_does_not_put_off_the_heartbeat() {
    let mut rig = rig(json!({ "heartbeat": "1h" }));
    rig.prime(0.0, "t:a", 5.0);
    rig.readings("main");
    send_all(&mut rig, [(3599.0, 5.0), (3600.0, 5.0)]);
    assert_eq!(taken(&mut rig, "main"), [float(3600.0, 5.0, 2)]);
}

#[test]
fn absurd_times_and_numbers_do_no_harm() {
    let mut rig = rig(json!({ "deadband": "5%", "heartbeat": "1000d" }));
    let at = |rig: &Rig<DedupConfig>, time, value: f64| Reading {
        time,
        ..rig.reading(0.0, "t:a", value)
    };
    let readings = vec![
        at(&rig, Timestamp::MIN, f64::MAX),
        at(&rig, Timestamp::EPOCH, f64::MIN),
        at(&rig, Timestamp::MAX, f64::MIN),
        at(&rig, Timestamp::MAX, f64::MIN_POSITIVE),
        at(&rig, Timestamp::MIN, 0.0),
    ];
    rig.feed(readings);
    assert_eq!(rig.readings("main").len(), 4);
    assert_eq!(rig.readings("late").len(), 1);
}

#[test]
fn counts_of_what_comes_in_are_carried_on() {
    let mut rig = rig(json!({}));
    let of = |rig: &Rig<DedupConfig>, at, value: f64, count| Reading {
        count,
        ..rig.reading(at, "t:a", value)
    };
    let readings = vec![of(&rig, 0.0, 1.0, 5), of(&rig, 1.0, 1.0, 7), of(&rig, 2.0, 2.0, u32::MAX)];
    rig.feed(readings);
    let counts: Vec<u32> = rig.readings("main").into_iter().map(|one| one.count).collect();
    assert_eq!(counts, [5, u32::MAX]);
}

#[test]
fn bad_settings_say_what_to_write() {
    let error = |settings| serde_json::from_value::<DedupConfig>(settings).unwrap_err().to_string();
    for bad in [json!(-1), json!("5 percent"), json!("-1%"), json!("inf"), json!(true)] {
        let error = error(json!({ "deadband": bad }));
        assert!(error.contains("a number such as 0.2, or a share such as 5%"), "{error}");
    }
    assert!(error(json!({ "heartbeat": "10" })).contains("1h30m or 250ms, or `never`"));
    assert!(error(json!({ "news": "drop" })).contains("`pass`, `ignore` or a score"));
    let config: DedupConfig = serde_json::from_value(json!({
        "heartbeat": "0s", "overrides": [{ "match": "**" }]
    }))
    .unwrap();
    let fields: Vec<String> = config.problems().into_iter().map(|one| one.field).collect();
    assert_eq!(fields, ["heartbeat", "overrides.0"]);
}

/// Readings of three series with steps, repeats, pauses and jumps back.
fn traffic() -> impl Strategy<Value = Vec<(u8, i32, i8, bool)>> {
    prop::collection::vec((0u8..3, -3i32..20, -2i8..3, prop::bool::weighted(0.1)), 0..80)
}

/// Settings of which any may follow any.
fn settings() -> impl Strategy<Value = serde_json::Value> {
    let band = prop_oneof![Just(json!(0)), Just(json!(0.5)), Just(json!("40%"))];
    let heartbeat = prop_oneof![Just("never"), Just("30s"), Just("5s")];
    (band, heartbeat, any::<bool>(), any::<bool>()).prop_map(|(band, heartbeat, last, over)| {
        let overrides = if over { json!([{ "match": "t:1", "deadband": 3 }]) } else { json!([]) };
        let keep = if last { "last" } else { "first" };
        json!({ "deadband": band, "heartbeat": heartbeat, "keep": keep, "overrides": overrides })
    })
}

fn readings(rig: &Rig<DedupConfig>, traffic: &[(u8, i32, i8, bool)]) -> Vec<Reading> {
    let mut now = 0;
    let of = |&(series, step, value, news): &(u8, i32, i8, bool)| {
        now = (now + step).max(0);
        let source = format!("t:{series}");
        let mut reading = rig.reading(f64::from(now), &source, f64::from(value) * 0.3);
        reading.score = if news { 1.0 } else { f64::NAN };
        reading
    };
    traffic.iter().map(of).collect()
}

fn config(settings: serde_json::Value) -> DedupConfig {
    serde_json::from_value(settings).unwrap()
}

#[test]
fn under_other_settings_the_last_passed_value_is_kept() {
    let mut rig = rig(json!({ "deadband": 1, "heartbeat": "1h" }));
    send_all(&mut rig, [(0.0, 20.0), (60.0, 20.9)]);
    taken(&mut rig, "main");
    rig.restart_as(config(json!({ "deadband": 0.5, "heartbeat": "10m" }))).unwrap();
    send_all(&mut rig, [(120.0, 20.4), (180.0, 20.6), (181.0, 20.6)]);
    assert_eq!(taken(&mut rig, "main"), [float(180.0, 20.6, 3)], "from 20.0, and two stand behind");
    rig.restart_as(config(json!({ "deadband": 100, "heartbeat": "never" }))).unwrap();
    send_all(&mut rig, [(9999.0, 21.0)]);
    rig.restart_as(config(json!({ "deadband": 100, "heartbeat": "10m" }))).unwrap();
    send_all(&mut rig, [(10_000.0, 21.0)]);
    assert_eq!(taken(&mut rig, "main"), [float(10_000.0, 21.0, 3)], "the heartbeat is overdue");
    rig.restart_as(config(json!({
        "deadband": 100, "overrides": [{ "match": "t:a", "deadband": 2 }]
    })))
    .unwrap();
    send_all(&mut rig, [(10_001.0, 23.5)]);
    assert_eq!(taken(&mut rig, "main"), [float(10_001.0, 23.5, 1)], "the new override counts");
}

proptest! {
    /// Whatever changes: nothing is lost, and what passes is what the new rules let pass after the last passed reading.
    #[test]
    fn other_settings_lose_nothing(
        traffic in traffic(), cut in 0usize..80, before in settings(), after in settings(),
    ) {
        let mut changed = rig(before);
        let readings = readings(&changed, &traffic);
        let cut = cut.min(readings.len());
        changed.feed(readings[..cut].to_vec());
        let first = changed.readings("main");
        changed.restart_as(config(after.clone())).unwrap();
        changed.feed(readings[cut..].to_vec());
        changed.finish();

        let (main, dropped) = (changed.readings("main"), changed.readings("dropped"));
        let late = changed.readings("late");
        prop_assert_eq!(first.len() + main.len() + dropped.len() + late.len(), traffic.len());
        let counted: u32 = first.iter().chain(&main).map(|one| one.count).sum();
        // What came after the last passed one stands behind none, but for what `keep: last` holds.
        prop_assert!(counted as usize <= traffic.len() - late.len());
        let mut passed = std::collections::HashMap::new();
        passed.extend(first.iter().map(|one| (one.series, one)));
        for one in main.iter().filter(|_| after["keep"] == "first") {
            let Some(last) = passed.insert(one.series, one) else { continue };
            let over = changed.name(one.series) == "t:1" && after["overrides"] != json!([]);
            let (value, passed) = (one.value.as_f64().unwrap(), last.value.as_f64().unwrap());
            let band = match &after["deadband"] {
                _ if over => 3.0,
                serde_json::Value::String(_) => passed.abs() * 0.4,
                band => band.as_f64().unwrap(),
            };
            let beat = match after["heartbeat"].as_str().unwrap() {
                "never" => Duration::from_days(1),
                beat => beat.parse().unwrap(),
            };
            let passes = (value - passed).abs() > band || one.time >= last.time + beat || one.score >= 1.0;
            prop_assert!(passes, "{:?} after {:?}", one, last);
        }
        for port in [&main, &dropped] {
            let mut last = std::collections::HashMap::new();
            for one in port {
                let before = last.insert(one.series, one.time);
                prop_assert!(before.is_none_or(|before| before <= one.time), "in order");
            }
        }
    }

    #[test]
    fn the_cut_into_batches_and_restarts_change_nothing(
        traffic in traffic(), cut in 1usize..10, last: bool,
    ) {
        let settings = json!({
            "deadband": 0.3, "heartbeat": "30s", "keep": if last { "last" } else { "first" }
        });
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        whole.feed(readings(&whole, &traffic));
        for part in readings(&parts, &traffic).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        whole.finish();
        parts.finish();
        for port in ["main", "dropped", "late"] {
            prop_assert_eq!(taken(&mut whole, port), taken(&mut parts, port), "{}", port);
        }
    }

    #[test]
    fn nothing_is_lost_and_the_counts_add_up(traffic in traffic()) {
        let mut rig = rig(json!({ "deadband": 0.3, "heartbeat": "30s", "keep": "last" }));
        rig.feed(readings(&rig, &traffic));
        rig.finish();
        let (main, dropped) = (rig.readings("main"), rig.readings("dropped"));
        let late = rig.readings("late");
        prop_assert_eq!(main.len() + dropped.len() + late.len(), traffic.len());
        let counted: u32 = main.iter().map(|one| one.count).sum();
        prop_assert_eq!(counted as usize, main.len() + dropped.len());
    }

    /// The loop written by hand (job B).
    #[test]
    fn equals_the_plain_loop(values in prop::collection::vec(-1.0f64..1.0, 1..100)) {
        let mut rig = rig(json!({ "deadband": 0.05, "heartbeat": "never" }));
        let all = values.iter().enumerate().map(|(at, &value)| rig.reading(at as f64, "t:a", value));
        rig.feed(all.collect());
        let mut last = f64::NAN;
        let kept: Vec<Value> = values
            .iter()
            .filter(|&&value| {
                let keep = last.is_nan() || (value - last).abs() > 0.05;
                if keep {
                    last = value;
                }
                keep
            })
            .map(|&value| Value::Float(value))
            .collect();
        let passed: Vec<Value> = rig.readings("main").into_iter().map(|one| one.value).collect();
        prop_assert_eq!(passed, kept);
    }
}
