use proptest::prelude::*;
use serde_json::json;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::series::{Series, SeriesId, SourceKey};
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;

use super::MergeConfig;

fn config(settings: serde_json::Value) -> MergeConfig {
    serde_json::from_value(settings).unwrap()
}

fn rig(settings: serde_json::Value) -> Rig<MergeConfig> {
    let config = config(settings);
    assert_eq!(config.problems(), []);
    Rig::new(config)
}

fn series(rig: &Rig<MergeConfig>, source: &str, unit: &str, room: &str) -> SeriesId {
    let series = Series::new(SourceKey::parse(source)).with_unit(unit);
    rig.series_like(if room.is_empty() { series } else { series.with_label("room", room) })
}

fn send(rig: &mut Rig<MergeConfig>, seconds: f64, id: SeriesId, value: impl Into<Value>) {
    let reading = Reading { series: id, ..rig.reading(seconds, "t:any", value) };
    rig.feed(vec![reading]);
}

/// What passed, as seconds and number.
fn passed(rig: &mut Rig<MergeConfig>) -> Vec<(f64, f64)> {
    let values = rig.values("main").into_iter();
    values.map(|(at, _, value)| (at, value.as_f64().unwrap())).collect()
}

#[test]
fn the_first_that_is_alive_counts() {
    let mut rig = rig(json!({ "prefer": ["a:*", "b:*", "c:*"], "stale_after": "10s" }));
    rig.send(0.0, "c:1", 3.0);
    rig.send(1.0, "b:1", 2.0);
    rig.send(2.0, "c:1", 3.1);
    rig.send(3.0, "a:1", 1.0);
    rig.restart();
    rig.send(12.9, "b:1", 2.1);
    rig.send(13.0, "b:1", 2.2);
    rig.send(14.0, "c:1", 3.2);
    rig.send(23.0, "c:1", 3.3);
    rig.send(24.0, "x:1", 9.9);
    rig.send(25.0, "a:1", 1.1);
    let expected = [(0.0, 3.0), (1.0, 2.0), (3.0, 1.0), (13.0, 2.2), (23.0, 3.3), (25.0, 1.1)];
    assert_eq!(passed(&mut rig), expected);
    assert_eq!(rig.readings("dropped").len(), 4);
}

#[test]
fn it_is_one_series_with_the_reading_s_score_and_count() {
    let mut rig = rig(json!({ "by": "room", "name": "t" }));
    let id = series(&rig, "a:1", "°C", "hall");
    let other = series(&rig, "b:1", "°C", "hall");
    let none = series(&rig, "b:2", "°C", "");
    let news = Reading { series: id, score: 2.0, count: 7, ..rig.reading(0.0, "t:any", 5i64) };
    rig.feed(vec![news.clone()]);
    send(&mut rig, 1.0, other, Value::text("off"));
    send(&mut rig, 2.0, none, 5.0);
    let out = rig.readings("main");
    let of = rig.context().series(out[0].series);
    assert_eq!((of.source.name(), of.unit.as_deref()), ("test.node:hall/t", Some("°C")));
    assert_eq!(of.labels.get("room").map(|room| &**room), Some("hall"));
    assert_eq!(out[0], Reading { series: out[1].series, ..news });
    assert_eq!((&out[1].value, out.len()), (&Value::text("off"), 2));
    assert_eq!(rig.readings("dropped").len(), 1);
}

#[test]
fn what_comes_two_ways_passes_once_and_nothing_goes_back() {
    let mut rig = rig(json!({}));
    for source in ["mqtt:1", "radio:1"] {
        rig.send(0.0, source, 5.0);
        rig.restart();
    }
    rig.send(10.0, "mqtt:1", 6.0);
    rig.send(9.0, "radio:1", 7.0);
    rig.send(8.0, "radio:1", 7.0);
    rig.send(10.0, "radio:1", 8.0);
    assert_eq!(passed(&mut rig), [(0.0, 5.0), (10.0, 6.0), (10.0, 8.0)]);
    assert_eq!((rig.readings("dropped").len(), rig.readings("late").len()), (1, 2));
}

#[test]
fn what_is_of_another_unit_is_refused_and_stays_so() {
    for restart in [false, true] {
        let mut rig = rig(json!({}));
        let ids = [("t:a", "°C"), ("t:b", "°F"), ("t:c", "°C")];
        let ids = ids.map(|(source, unit)| series(&rig, source, unit, ""));
        for (at, id) in ids.into_iter().enumerate() {
            send(&mut rig, at as f64, id, at as f64);
        }
        rig.forget_series(&ids[..1]);
        if restart {
            rig.restart();
        }
        send(&mut rig, 3.0, ids[1], 9.0);
        send(&mut rig, 4.0, ids[2], 4.0);
        assert_eq!(passed(&mut rig), [(0.0, 0.0), (2.0, 2.0), (4.0, 4.0)]);
        assert_eq!(rig.readings("dropped").len(), 2);
    }
}

/// One that is forgotten has spoken all the same.
#[test]
fn what_is_forgotten_is_gone_and_its_group_with_the_last() {
    for restart in [false, true] {
        let mut rig = rig(json!({ "prefer": ["a:*", "b:*"], "stale_after": "2d" }));
        rig.send(0.0, "a:1", 1.0);
        rig.send(1.0, "b:1", 2.0);
        assert_eq!(rig.forget(&["a:1"]), []);
        if restart {
            rig.restart();
        }
        rig.send(100_000.0, "b:1", 3.0);
        rig.send(172_800.0, "b:1", 4.0);
        let out = rig.readings("main");
        assert_eq!(out.len(), 2, "the first, and what came after two days");
        assert_eq!(rig.forget(&["b:1"]), [out[0].series]);
        assert_eq!(rig.remembered(), Vec::<String>::new());
    }
}

#[test]
fn other_settings_know_when_each_spoke_last() {
    let mut rig = rig(json!({ "prefer": ["a:*", "b:*"], "stale_after": "10s" }));
    rig.send(0.0, "a:1", 1.0);
    rig.send(1.0, "b:1", 2.0);
    rig.restart_as(config(json!({ "prefer": ["b:*", "a:*"], "stale_after": "10s" }))).unwrap();
    rig.send(2.0, "a:1", 3.0);
    rig.send(11.0, "a:1", 4.0);
    assert_eq!(passed(&mut rig), [(0.0, 1.0), (11.0, 4.0)]);
}

#[test]
fn absurd_times_and_many_series_do_no_harm() {
    let mut rig = rig(json!({ "prefer": ["a:*", "b:*"], "stale_after": "1000d" }));
    for time in [Timestamp::MIN, Timestamp::EPOCH, START, Timestamp::MAX, Timestamp::MIN] {
        for source in ["b:1", "a:1"] {
            let reading = Reading { time, ..rig.reading(0.0, source, 1.0) };
            rig.feed(vec![reading]);
            rig.restart();
        }
    }
    assert_eq!(rig.readings("late").len(), 2);
    let mut rig = self::rig(json!({ "by": "room" }));
    let cap = rig.context().host.series.cap();
    let ids: Vec<_> =
        (0..cap).map(|n| series(&rig, &format!("t:{n}"), "", &format!("r{n}"))).collect();
    rig.feed(ids.iter().map(|id| Reading::new(START, *id, 1.0)).collect());
    assert_eq!(rig.readings("main").len(), cap);
    assert_eq!((rig.forget_series(&ids).len(), rig.remembered().len()), (cap, 0));
}

#[test]
fn bad_settings_say_what_to_write() {
    for (settings, field, text) in [
        (json!({ "stale_after": "0s" }), "stale_after", "such as 5m"),
        (json!({ "prefer": vec!["a"; 33] }), "prefer", "there can be 32"),
        (json!({ "by": " " }), "by", "`by: room`"),
        (json!({ "name": "a:b" }), "name", "can be no id"),
    ] {
        let problems = config(settings.clone()).problems();
        let [one] = problems.as_slice() else { panic!("{settings}: {problems:?}") };
        let said = format!("{}; {}", one.message, one.help.clone().unwrap_or_default());
        assert!(one.field == field && said.contains(text), "{settings}: {}: {said}", one.field);
    }
}

fn readings(rig: &Rig<MergeConfig>, traffic: &[(u8, i32, u8)]) -> Vec<Reading> {
    let mut now = 0;
    let of = |&(which, step, value): &(u8, i32, u8)| {
        now = (now + step).max(0);
        rig.reading(
            f64::from(now),
            &format!("{}:1", ["a", "b", "c"][usize::from(which)]),
            f64::from(value),
        )
    };
    traffic.iter().map(of).collect()
}

proptest! {
    #[test]
    fn the_cut_into_batches_and_restarts_change_nothing(
        traffic in prop::collection::vec((0u8..3, -5i32..20, 0u8..3), 1..60), cut in 1usize..10,
    ) {
        let settings = json!({ "prefer": ["a:*", "b:*", "c:*"], "stale_after": "15s" });
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        whole.feed(readings(&whole, &traffic));
        for part in readings(&parts, &traffic).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        for port in ["main", "dropped", "late"] {
            prop_assert_eq!(whole.values(port), parts.values(port));
        }
    }

    /// Of sources that speak in order: what passes is what one finds who looks through all that was said before.
    #[test]
    fn it_is_the_naive_choice(traffic in prop::collection::vec((0u8..3, 1i32..20, 0u8..3), 1..60)) {
        let mut rig = rig(json!({ "prefer": ["a:*", "b:*", "c:*"], "stale_after": "15s" }));
        let (mut now, mut said, mut expected) = (0, Vec::new(), Vec::new());
        for &(which, step, value) in &traffic {
            now += step;
            let alive = |&(other, then): &(u8, i32)| other < which && now < then + 15;
            if !said.iter().any(alive) {
                expected.push((f64::from(now), f64::from(value)));
            }
            said.push((which, now));
        }
        rig.feed(readings(&rig, &traffic));
        prop_assert_eq!(passed(&mut rig), expected);
    }
}
