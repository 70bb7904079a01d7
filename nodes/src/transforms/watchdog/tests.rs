use proptest::prelude::*;
use serde_json::json;
use smollama_engine::observation::{ObservationKind, Rung};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;

use super::WatchdogConfig;

fn rig(settings: serde_json::Value) -> Rig<WatchdogConfig> {
    let config: WatchdogConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    Rig::new(config)
}

/// What port `news` said, as seconds and text without the source.
fn told(rig: &mut Rig<WatchdogConfig>) -> Vec<(f64, String)> {
    let seconds = |time: Timestamp| (time.as_micros() - START.as_micros()) as f64 / 1e6;
    let news = rig.observations("news").into_iter();
    news.map(|one| (seconds(one.time), one.text.replace("t:a ", ""))).collect()
}

fn says<const N: usize>(lines: [(f64, &str); N]) -> Vec<(f64, String)> {
    lines.map(|(at, text)| (at, text.to_owned())).to_vec()
}

fn numbers(rig: &mut Rig<WatchdogConfig>, port: &str) -> Vec<f64> {
    rig.readings(port).iter().filter_map(|one| one.value.as_f64()).collect()
}

fn send_all(rig: &mut Rig<WatchdogConfig>, readings: &[(f64, f64)]) {
    readings.iter().for_each(|&(at, value)| rig.send(at, "t:a", value));
}

#[test]
fn silence_is_told_once_and_so_is_its_end() {
    let mut rig = rig(json!({ "silent_after": "1m" }));
    send_all(&mut rig, &[(0.0, 21.0), (50.0, 22.0)]);
    rig.restart();
    rig.wait_until(500.0);
    assert_eq!(told(&mut rig), says([(110.0, "is silent for 1m; it was 22")]));
    rig.restart();
    send_all(&mut rig, &[(600.0, 23.0), (610.0, 24.0)]);
    assert_eq!(told(&mut rig), says([(600.0, "speaks again, and is 23")]));
    assert_eq!(numbers(&mut rig, "main"), [21.0, 22.0, 23.0, 24.0]);
}

#[test]
fn a_cadence_can_be_learnt() {
    let mut rig = rig(json!({ "silent_after": "learned" }));
    for minute in 0..9 {
        rig.send(f64::from(minute) * 60.0, "t:a", f64::from(minute));
    }
    rig.wait_until(3600.0);
    assert_eq!(told(&mut rig), says([(660.0, "is silent for 3m; it was 8")]));
}

#[test]
fn silence_that_nobody_waited_for_is_none() {
    let mut rig = rig(
        json!({ "stuck_after": "1h", "overrides": [{ "match": "t:b", "silent_after": "1m" }] }),
    );
    rig.send(0.0, "t:a", 1.0);
    rig.wait_until(3000.0);
    let watched = json!({ "silent_after": "1m" });
    rig.restart_as(serde_json::from_value(watched).unwrap()).unwrap();
    // As the engine does when it is back: what was due then is looked at now.
    rig.send(3000.0, "t:c", 1.0);
    rig.wait_until(3059.0);
    assert_eq!(told(&mut rig), []);
}

#[test]
fn a_value_that_does_not_move_is_told_and_passes() {
    let mut rig = rig(json!({ "stuck_after": "10s" }));
    send_all(
        &mut rig,
        &[(0.0, 1.0), (5.0, 2.0), (14.0, 2.0), (15.0, 2.0), (16.0, 2.0), (20.0, 3.0)],
    );
    let expected =
        says([(15.0, "is stuck: it has been 2 for 10s"), (20.0, "moves again, and is 3")]);
    assert_eq!(told(&mut rig), expected);
    assert_eq!(numbers(&mut rig, "main").len(), 6);
    let mut text = self::rig(json!({ "stuck_after": "10s" }));
    text.send(0.0, "t:a", Value::text("on"));
    text.send(10.0, "t:a", Value::text("on"));
    assert_eq!(told(&mut text).len(), 1);
}

#[test]
fn a_jump_is_dropped_until_three_readings_agree() {
    let mut rig = rig(json!({ "jump": 5 }));
    send_all(&mut rig, &[(0.0, 20.0), (1.0, 25.0), (2.0, 99.0), (3.0, 26.0)]);
    assert_eq!(numbers(&mut rig, "main"), [20.0, 25.0, 26.0]);
    assert_eq!(numbers(&mut rig, "dropped"), [99.0]);
    let expected = says([
        (2.0, "jumped from 25 to 99, further than 5"),
        (3.0, "can be believed again, and is 26"),
    ]);
    assert_eq!(told(&mut rig), expected);
    send_all(&mut rig, &[(4.0, 60.0), (5.0, 63.0)]);
    rig.restart();
    send_all(
        &mut rig,
        &[(6.0, 61.0), (7.0, 62.0), (8.0, 90.0), (9.0, 10.0), (10.0, 50.0), (11.0, 90.0)],
    );
    assert_eq!(
        numbers(&mut rig, "main"),
        [61.0, 62.0],
        "the world jumped, and then nothing agrees"
    );
}

#[test]
fn what_cannot_be_is_dropped_and_says_nothing_of_jumps() {
    let mut rig = rig(json!({ "jump": 5, "possible": { "min": -40, "max": 85 } }));
    send_all(&mut rig, &[(0.0, 20.0), (1.0, -50.0), (2.0, 127.0), (3.0, 21.0)]);
    rig.send(4.0, "t:a", Value::text("unavailable"));
    let expected =
        says([(1.0, "is impossible: -50, below -40"), (3.0, "can be believed again, and is 21")]);
    assert_eq!(told(&mut rig), expected);
    assert_eq!(numbers(&mut rig, "main"), [20.0, 21.0]);
    assert_eq!(rig.readings("dropped").len(), 3);
}

#[test]
fn texts_are_observations_of_a_rule_with_ids_of_their_own() {
    let news = || {
        let mut rig = rig(json!({ "possible": { "max": 10 } }));
        send_all(&mut rig, &[(0.0, 11.0), (1.0, 5.0), (2.0, 12.0)]);
        rig.observations("news")
    };
    let all = news();
    assert_eq!(all, news(), "the same, whenever it is made");
    let kinds: Vec<ObservationKind> = all.iter().map(|one| one.kind).collect();
    assert_eq!(
        kinds,
        [ObservationKind::Anomaly, ObservationKind::Status, ObservationKind::Anomaly]
    );
    assert!(all.iter().all(|one| one.rung == Rung::Rule && &*one.author == "test/node"));
    assert!(all[0].id < all[1].id && all[1].id < all[2].id);
    let mut rig = self::rig(json!({ "silent_after": "1m", "stuck_after": "2m" }));
    rig.send(0.0, "t:a", 5.0);
    rig.wait_until(200.0);
    rig.send(200.0, "t:a", 5.0);
    let news = rig.observations("news");
    assert_eq!(news.iter().filter(|one| one.time == news[2].time).count(), 2);
    assert_ne!(news[1].id, news[2].id, "of one instant");
}

#[test]
fn late_readings_and_absurd_ones_do_no_harm() {
    let mut rig = rig(json!({ "silent_after": "1m", "jump": 1, "stuck_after": "1m" }));
    rig.send(10.0, "t:a", 1.0);
    rig.send(5.0, "t:a", 2.0);
    assert_eq!(rig.readings("late").len(), 1);
    for (time, value) in
        [(Timestamp::MAX, f64::MAX), (Timestamp::MAX, f64::MIN), (Timestamp::MIN, 0.0)]
    {
        let reading = Reading { time, ..rig.reading(0.0, "t:a", value) };
        rig.feed(vec![reading]);
        rig.restart();
    }
    assert_eq!(rig.readings("late").len(), 1);
}

#[test]
fn a_series_goes_with_its_deadline_and_faults_that_are_not_asked_for_end_without_a_word() {
    let mut rig = rig(json!({ "silent_after": "1m", "possible": { "max": 10 } }));
    rig.send(0.0, "t:a", 1.0);
    rig.send(0.0, "t:b", 99.0);
    told(&mut rig);
    assert_eq!((rig.forget(&["t:a"]), rig.remembered()), (vec![], vec!["t:b".to_owned()]));
    rig.restart_as(serde_json::from_value(json!({ "silent_after": "1m" })).unwrap()).unwrap();
    rig.wait_until(1000.0);
    assert_eq!(told(&mut rig), says([(60.0, "t:b is silent for 1m; it was 99")]));
}

#[test]
fn bad_settings_say_what_to_write() {
    let said = |settings: serde_json::Value| -> Vec<String> {
        let config: WatchdogConfig = serde_json::from_value(settings).unwrap();
        config.problems().into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    };
    assert_eq!(said(json!({})), [": asks for nothing, so it never has anything to tell"]);
    assert_eq!(
        said(json!({
            "silent_after": "0s", "stuck_after": "0s", "jump": 0, "possible": {},
            "overrides": [{ "match": "a:*" }, { "match": "b:*", "possible": { "min": 2, "max": 1 } }],
        })),
        [
            "silent_after: a source is always silent between two readings",
            "stuck_after: every value stays the same for a moment",
            "jump: it must be more than 0, and finite",
            "possible: says nothing",
            "overrides.0: an override that changes nothing",
            "overrides.1.possible.min: 2 is more than `max`, 1",
        ]
    );
}

proptest! {
    /// Whatever comes: nothing is lost, what begins ends before it begins again, and cuts and restarts change nothing.
    #[test]
    fn nothing_is_lost_and_cuts_and_restarts_change_nothing(
        traffic in prop::collection::vec((0u8..3, -3i32..40, -8i16..8), 0..80), cut in 1usize..10,
    ) {
        let settings = json!({
            "silent_after": "1m", "stuck_after": "30s", "jump": 4, "possible": { "min": -6 },
            "overrides": [{ "match": "t:1", "silent_after": "learned", "jump": 100 }],
        });
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        let make = |rig: &Rig<WatchdogConfig>| -> Vec<Reading> {
            let mut now = 0;
            let of = |&(series, step, value): &(u8, i32, i16)| {
                now = (now + step).max(0);
                rig.reading(f64::from(now), &format!("t:{series}"), f64::from(value))
            };
            traffic.iter().map(of).collect()
        };
        whole.feed(make(&whole));
        for part in make(&parts).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        let mut left = 0;
        for port in ["main", "dropped", "late"] {
            let values = whole.values(port);
            left += values.len();
            prop_assert_eq!(values, parts.values(port), "{}", port);
        }
        prop_assert_eq!(left, traffic.len());
        let news = whole.observations("news");
        prop_assert_eq!(&news, &parts.observations("news"));
        for word in ["silent", "stuck"] {
            for series in 0..3 {
                let end = if word == "silent" { "speaks" } else { "moves" };
                let of = news.iter().filter(|one| one.text.starts_with(&format!("t:{series} ")));
                let turns = of.filter(|one| one.text.contains(word) || one.text.contains(end));
                let begins: Vec<bool> = turns.map(|one| one.text.contains(word)).collect();
                prop_assert!(begins.iter().enumerate().all(|(at, begins)| *begins == (at % 2 == 0)));
            }
        }
    }
}
