use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::series::{Series, SeriesId, SourceKey};
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;

use super::JoinConfig;
use super::sides::{LEFT_MAX, RIGHT_MAX};

fn config(settings: serde_json::Value) -> JoinConfig {
    serde_json::from_value(settings).unwrap()
}

fn rig(settings: serde_json::Value) -> Rig<JoinConfig> {
    let config = config(settings);
    assert_eq!(config.problems(), []);
    Rig::new(config)
}

fn say(rig: &mut Rig<JoinConfig>, port: &str, seconds: f64, source: &str, value: impl Into<Value>) {
    let reading = rig.reading(seconds, source, value);
    rig.feed_port(port, vec![reading]);
}

/// What was joined, as seconds and number.
fn joined(rig: &mut Rig<JoinConfig>) -> Vec<(f64, f64)> {
    let values = rig.values("main").into_iter();
    values.map(|(at, _, value)| (at, value.as_f64().unwrap())).collect()
}

const SUM: &str = "left * 100 + right";

#[test]
fn to_each_belongs_the_last_that_is_not_later_and_not_too_old() {
    let mut rig = rig(json!({ "tolerance": "10s", "expression": SUM }));
    say(&mut rig, "left", 0.0, "t:l", 1.0);
    for (at, value) in [(3.0, 1.0), (5.0, 2.0), (12.0, 3.0)] {
        say(&mut rig, "right", at, "t:r", value);
    }
    rig.restart();
    for at in [4.9, 5.0, 11.0, 12.0, 22.0, 22.1] {
        say(&mut rig, "left", at, "t:l", 1.0);
    }
    let expected = [(4.9, 101.0), (5.0, 102.0), (11.0, 102.0), (12.0, 103.0), (22.0, 103.0)];
    assert_eq!(joined(&mut rig), expected);
    let dropped: Vec<f64> = rig.values("dropped").into_iter().map(|(at, ..)| at).collect();
    assert_eq!(dropped, [0.0, 22.1], "before the first, and after the tolerance");
}

#[test]
fn without_an_expression_it_is_both_and_with_one_a_number_with_a_unit() {
    let mut rig = rig(json!({ "tolerance": "1m" }));
    let left = Series::new(SourceKey::parse("t:l")).with_unit("W").with_label("room", "hall");
    let left = rig.series_like(left);
    say(&mut rig, "right", 0.0, "t:r", Value::text("on"));
    let reading = Reading { series: left, score: 3.0, count: 5, ..rig.reading(1.0, "t:l", 5i64) };
    rig.feed_port("left", vec![reading.clone()]);
    let out = rig.readings("main");
    let both = json!({ "left": 5, "right": "on" });
    assert_eq!(out[0].value, Value::Json(Arc::new(both)));
    let of = rig.context().series(out[0].series);
    assert_eq!((of.source.name(), of.unit.as_deref()), ("test.node:t/l", None));
    assert_eq!(of.labels.get("room").map(|room| &**room), Some("hall"));
    let other = json!({ "tolerance": "1m", "expression": SUM, "unit": "watt" });
    rig.restart_as(config(other)).unwrap();
    rig.feed_port("left", vec![reading.clone()]);
    say(&mut rig, "right", 2.0, "t:r", Value::text("off"));
    say(&mut rig, "right", 3.0, "t:r", true);
    rig.feed_port("left", vec![Reading { time: rig.reading(3.0, "t:r", 0.0).time, ..reading }]);
    assert_eq!(rig.readings("dropped").len(), 2, "what is no number cannot be calculated with");
    let out = rig.readings("main");
    assert_eq!(out[0].value, Value::Float(501.0));
    assert_eq!(rig.context().series(out[0].series).unit.as_deref(), Some("W"));
}

#[test]
fn a_left_one_waits_until_the_right_side_is_known_or_for_so_long() {
    let mut rig = rig(json!({ "tolerance": "1m", "wait": "10s", "expression": SUM }));
    say(&mut rig, "right", 0.0, "t:r", 1.0);
    say(&mut rig, "left", 5.0, "t:l", 1.0);
    say(&mut rig, "left", 6.0, "t:m", 2.0);
    assert_eq!(joined(&mut rig), []);
    rig.restart();
    say(&mut rig, "right", 5.0, "t:r", 2.0);
    assert_eq!(joined(&mut rig), [(5.0, 102.0)]);
    rig.wait_until(15.9);
    assert_eq!(joined(&mut rig), []);
    rig.restart();
    rig.wait_until(16.0);
    assert_eq!(joined(&mut rig), [(6.0, 202.0)]);
    say(&mut rig, "left", 20.0, "t:l", 3.0);
    rig.restart_as(config(json!({ "tolerance": "1m", "expression": SUM }))).unwrap();
    rig.wait_until(29.0);
    assert_eq!(joined(&mut rig), []);
    rig.wait_until(30.0);
    assert_eq!(joined(&mut rig), [(20.0, 302.0)], "what waited still does");
    rig.restart_as(config(json!({ "tolerance": "1m", "wait": "1d", "expression": SUM }))).unwrap();
    say(&mut rig, "left", 31.0, "t:l", 4.0);
    rig.finish();
    assert_eq!(joined(&mut rig), [(31.0, 402.0)], "the end waits for nothing");
}

#[test]
fn by_a_label_each_for_itself() {
    let mut rig = rig(json!({ "tolerance": "1m", "by": "room", "expression": SUM }));
    let of = |rig: &Rig<JoinConfig>, source: &str, room: &str| -> SeriesId {
        let series = Series::new(SourceKey::parse(source));
        rig.series_like(if room.is_empty() { series } else { series.with_label("room", room) })
    };
    for (port, source, room, value) in [
        ("right", "t:1", "x", 1.0),
        ("right", "t:2", "y", 2.0),
        ("right", "t:3", "", 3.0),
        ("left", "t:4", "x", 4.0),
        ("left", "t:5", "y", 5.0),
        ("left", "t:6", "", 6.0),
        ("left", "t:7", "z", 7.0),
    ] {
        let reading = Reading { series: of(&rig, source, room), ..rig.reading(0.0, "t:0", value) };
        rig.feed_port(port, vec![reading]);
        rig.restart();
    }
    assert_eq!(joined(&mut rig), [(0.0, 401.0), (0.0, 502.0)]);
    assert_eq!(rig.readings("dropped").len(), 3);
}

#[test]
fn late_is_what_is_older_than_the_last_of_its_series() {
    let mut rig = rig(json!({ "tolerance": "1m", "expression": SUM }));
    say(&mut rig, "right", 10.0, "t:r", 1.0);
    say(&mut rig, "right", 5.0, "t:r", 2.0);
    say(&mut rig, "right", 8.0, "t:other", 3.0);
    say(&mut rig, "left", 9.0, "t:l", 1.0);
    say(&mut rig, "left", 8.0, "t:l", 1.0);
    say(&mut rig, "left", 10.0, "t:l", 1.0);
    assert_eq!(joined(&mut rig), [(9.0, 103.0), (10.0, 101.0)], "right ones by their own time");
    assert_eq!(rig.readings("late").len(), 2);
}

#[test]
fn what_is_forgotten_is_gone_and_what_waits_of_it_is_joined_first() {
    for restart in [false, true] {
        let mut rig = rig(json!({ "tolerance": "1d", "wait": "1d", "expression": SUM }));
        say(&mut rig, "right", 0.0, "t:r", 1.0);
        say(&mut rig, "right", 0.0, "t:s", 2.0);
        say(&mut rig, "left", 1.0, "t:l", 1.0);
        say(&mut rig, "left", 2.0, "t:l", 2.0);
        say(&mut rig, "left", 3.0, "t:m", 3.0);
        if restart {
            rig.restart();
        }
        assert_eq!(rig.forget(&["t:s"]), []);
        let made = rig.forget(&["t:l"]);
        let out = rig.readings("main");
        let values: Vec<_> = out.iter().map(|one| one.value.as_f64().unwrap()).collect();
        assert_eq!((values, made), (vec![101.0, 201.0], vec![out[0].series]));
        assert_eq!(rig.remembered(), ["t:r", "t:m"]);
        rig.wait_until(90_000.0);
        assert_eq!(joined(&mut rig), [(3.0, 301.0)]);
        assert_eq!(rig.forget(&["t:m", "t:r"]).len(), 1);
        assert_eq!(rig.remembered(), Vec::<String>::new());
    }
}

#[test]
fn it_remembers_no_more_than_it_says() {
    let mut rig = rig(json!({ "tolerance": "1000d", "wait": "1000d", "expression": SUM }));
    for at in 0..=RIGHT_MAX {
        say(&mut rig, "right", at as f64, "t:r", at as f64);
    }
    say(&mut rig, "left", 0.0, "t:l", 1.0);
    say(&mut rig, "left", 1.0, "t:l", 1.0);
    assert_eq!(joined(&mut rig), [(1.0, 101.0)], "the first is forgotten");
    for at in 0..=LEFT_MAX {
        say(&mut rig, "left", 1000.0 + at as f64, "t:l", 1.0);
    }
    assert_eq!(joined(&mut rig), [(1000.0, 100.0 + RIGHT_MAX as f64)]);
}

#[test]
fn absurd_times_and_many_series_do_no_harm() {
    let mut rig = rig(json!({ "tolerance": "1000d", "wait": "1000d" }));
    for time in [Timestamp::MIN, Timestamp::EPOCH, START, Timestamp::MAX, Timestamp::MIN] {
        for (port, source) in [("left", "t:l"), ("right", "t:r")] {
            let reading = Reading { time, ..rig.reading(0.0, source, 1.0) };
            rig.feed_port(port, vec![reading]);
            rig.restart();
        }
    }
    rig.finish();
    assert_eq!((rig.readings("main").len(), rig.readings("late").len()), (3, 2));

    let mut rig = self::rig(json!({ "tolerance": "1h", "by": "room" }));
    let cap = rig.context().host.series.cap() / 2;
    let of = |rig: &Rig<JoinConfig>, side: &str, n: usize| {
        let series = Series::new(SourceKey::parse(&format!("t:{side}{n}")));
        rig.series_like(series.with_label("room", &n.to_string()))
    };
    let mut ids = Vec::new();
    for side in ["right", "left"] {
        let own: Vec<_> = (0..cap).map(|n| of(&rig, side, n)).collect();
        rig.feed_port(side, own.iter().map(|id| Reading::new(START, *id, 1.0)).collect());
        ids.extend(own);
    }
    assert_eq!(rig.readings("main").len(), cap);
    assert_eq!((rig.forget_series(&ids).len(), rig.remembered().len()), (cap, 0));
}

#[test]
fn bad_settings_say_what_to_write() {
    for (settings, field, text) in [
        (json!({ "tolerance": "1m", "expression": "left" }), "expression", "use both sides"),
        (json!({ "tolerance": "1m", "expression": "left * righ" }), "expression", "`right`?"),
        (json!({ "tolerance": "1m", "unit": "W" }), "unit", "give an `expression`"),
        (json!({ "tolerance": "1m", "by": ["a", "a"] }), "by", "twice"),
    ] {
        let problems = config(settings.clone()).problems();
        let [one] = problems.as_slice() else { panic!("{settings}: {problems:?}") };
        let said = format!("{}; {}", one.message, one.help.clone().unwrap_or_default());
        assert!(one.field == field && said.contains(text), "{settings}: {}: {said}", one.field);
    }
    let error = serde_json::from_value::<JoinConfig>(json!({})).unwrap_err();
    assert!(error.to_string().contains("missing field `tolerance`"), "{error}");
}

/// Readings of both sides: whether it is a right one, of which of two series, how much later, and its value.
fn traffic() -> impl Strategy<Value = Vec<(bool, u8, i32, u8)>> {
    prop::collection::vec((any::<bool>(), 0u8..2, 0i32..12, 0u8..9), 1..60)
}

fn feed(rig: &mut Rig<JoinConfig>, right: bool, series: u8, at: i32, value: u8) {
    let (port, side) = if right { ("right", "r") } else { ("left", "l") };
    say(rig, port, f64::from(at), &format!("t:{side}{series}"), f64::from(value));
}

proptest! {
    /// Each left one with the last right one before it: what one finds who looks through all of them.
    #[test]
    fn it_is_the_naive_join(traffic in traffic(), tolerance in 0i32..40) {
        let settings = json!({ "tolerance": format!("{tolerance}s"), "expression": SUM });
        let mut rig = rig(settings);
        let (mut now, mut said, mut expected, mut alone) = (0, Vec::new(), Vec::new(), 0);
        for (right, series, step, value) in traffic {
            now += step;
            feed(&mut rig, right, series, now, value);
            rig.restart();
            if right {
                said.push((now, value));
                continue;
            }
            let fits = |(then, _): &&(i32, u8)| now - *then <= tolerance;
            match said.last().filter(fits) {
                Some((_, other)) => {
                    expected.push((f64::from(now), f64::from(value) * 100.0 + f64::from(*other)));
                }
                None => alone += 1,
            }
        }
        prop_assert_eq!(joined(&mut rig), expected);
        prop_assert_eq!(rig.readings("dropped").len(), alone);
    }

    /// With time enough to wait it does not matter which side came first.
    #[test]
    fn what_waits_is_joined_by_time_and_not_by_arrival(traffic in traffic(), seed in any::<u64>()) {
        let settings = json!({ "tolerance": "1d", "wait": "10d", "expression": SUM });
        let mut rig = rig(settings);
        let (mut now, mut left, mut right) = (0, Vec::new(), Vec::new());
        for (is_right, _, step, value) in traffic {
            // No two of one instant: of these it would matter.
            now += step + 1;
            if is_right { &mut right } else { &mut left }.push((now, value));
        }
        let naive = |&(at, value): &(i32, u8)| {
            let other = right.iter().rev().find(|(then, _)| *then <= at)?.1;
            Some((f64::from(at), f64::from(value) * 100.0 + f64::from(other)))
        };
        let expected: Vec<_> = left.iter().filter_map(naive).collect();
        let (mut left, mut right, mut turn) = (left.into_iter(), right.into_iter(), seed);
        loop {
            turn = turn.rotate_left(1);
            let sides = if turn & 1 == 0 { [true, false] } else { [false, true] };
            let next = sides.into_iter().find_map(|side| {
                Some((side, if side { right.next() } else { left.next() }?))
            });
            let Some((side, (at, value))) = next else { break };
            feed(&mut rig, side, 0, at, value);
            rig.restart();
        }
        rig.wait_until(1e7);
        prop_assert_eq!(joined(&mut rig), expected);
    }
}
