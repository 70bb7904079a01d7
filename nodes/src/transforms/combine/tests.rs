use proptest::prelude::*;
use serde_json::json;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::series::{Series, SeriesId, SourceKey};
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;

use super::CombineConfig;
use super::members::MEMBERS_MAX;

fn config(settings: serde_json::Value) -> CombineConfig {
    serde_json::from_value(settings).unwrap()
}

fn rig(settings: serde_json::Value) -> Rig<CombineConfig> {
    let config = config(settings);
    assert_eq!(config.problems(), []);
    Rig::new(config)
}

/// A series with a unit and a room.
fn series(rig: &Rig<CombineConfig>, source: &str, unit: &str, room: &str) -> SeriesId {
    let series = Series::new(SourceKey::parse(source)).with_unit(unit);
    rig.series_like(if room.is_empty() { series } else { series.with_label("room", room) })
}

fn send(rig: &mut Rig<CombineConfig>, seconds: f64, id: SeriesId, value: impl Into<Value>) {
    let reading = Reading { series: id, ..rig.reading(seconds, "t:any", value) };
    rig.feed(vec![reading]);
}

/// What came out, as seconds and number.
fn made(rig: &mut Rig<CombineConfig>) -> Vec<(f64, f64)> {
    let values = rig.values("main").into_iter();
    values.map(|(at, _, value)| (at, value.as_f64().unwrap())).collect()
}

#[test]
fn each_function_makes_what_it_says() {
    let run = |function: &str, values: &[Value]| -> Vec<Value> {
        let mut rig = rig(json!({ "function": function }));
        for (at, value) in values.iter().enumerate() {
            rig.send(at as f64, &format!("t:{at}"), value.clone());
            rig.restart();
        }
        rig.values("main").into_iter().map(|(_, _, value)| value).collect()
    };
    let numbers = [Value::Int(4), Value::Float(1.0), Value::Float(7.0), Value::Int(2)];
    let floats = |all: [f64; 4]| all.map(Value::Float).to_vec();
    assert_eq!(run("mean", &numbers), floats([4.0, 2.5, 4.0, 3.5]));
    assert_eq!(run("median", &numbers), floats([4.0, 2.5, 4.0, 3.0]));
    assert_eq!(run("min", &numbers), floats([4.0, 1.0, 1.0, 1.0]));
    assert_eq!(run("max", &numbers), floats([4.0, 4.0, 7.0, 7.0]));
    assert_eq!(run("sum", &numbers), floats([4.0, 5.0, 12.0, 14.0]));
    let states = [Value::Bool(true), Value::Bool(false), Value::text("open")];
    assert_eq!(run("count", &states), [1, 2, 3].map(Value::Int));
    assert_eq!(run("any", &states), [true, true].map(Value::Bool));
    assert_eq!(run("all", &states), [true, false].map(Value::Bool));
    assert_eq!(run("any", &[Value::Int(0)]), [Value::Bool(false)]);
}

#[test]
fn the_first_minus_the_second_or_divided_by_it() {
    for (function, expected) in [("difference", 15.0), ("ratio", 4.0)] {
        let sources = json!(["in:**", "out:*"]);
        let mut rig = rig(json!({ "function": function, "sources": sources }));
        rig.send(0.0, "in:a", 1.0);
        rig.send(1.0, "in:b/c", 20.0);
        rig.send(2.0, "other:a", 99.0);
        assert_eq!(rig.readings("main"), [], "the second is missing");
        rig.restart();
        rig.send(3.0, "out:a", 5.0);
        let source = format!("test.node:{function}");
        assert_eq!(rig.values("main"), [(3.0, source, Value::Float(expected))], "b spoke last");
        rig.send(4.0, "out:a", 0.0);
        assert_eq!(rig.readings("main").len(), usize::from(function == "difference"));
        assert_eq!(rig.values("dropped").len(), 1);
    }
}

#[test]
fn an_expression_waits_for_all_of_its_names() {
    let mut rig = rig(json!({
        "names": { "t": "*:*/temp", "h": "*:*/hum" }, "expression": "t + h / 100", "name": "feels", "unit": "celsius",
    }));
    rig.send(0.0, "air:a/temp", 20i64);
    rig.send(1.0, "air:a/hum", Value::text("unavailable"));
    assert_eq!(made(&mut rig), []);
    rig.restart();
    rig.send(2.0, "air:a/hum", 50.0);
    let out = rig.readings("main");
    let of = rig.context().series(out[0].series);
    assert_eq!((of.source.name(), of.unit.as_deref()), ("test.node:feels", Some("°C")));
    assert_eq!(out[0].value, Value::Float(20.5));
    assert_eq!(rig.readings("dropped").len(), 1);
}

#[test]
fn each_room_for_itself_and_what_has_none_for_all() {
    let mut rig = rig(json!({
        "by": "room", "function": "difference", "sources": ["in:*", "out:*"], "stale_after": "1h",
    }));
    let kitchen = series(&rig, "in:a", "°C", "kitchen");
    let cellar = series(&rig, "in:b", "°C", "cellar");
    let outside = series(&rig, "out:a", "°C", "");
    let stove = series(&rig, "out:stove", "°C", "kitchen");
    send(&mut rig, 0.0, kitchen, 20.0);
    send(&mut rig, 1.0, outside, 5.0);
    send(&mut rig, 2.0, cellar, 12.0);
    rig.restart();
    send(&mut rig, 3.0, outside, 6.0);
    let expected = [
        (1.0, "kitchen", 15.0),
        (2.0, "cellar", 7.0),
        (3.0, "cellar", 6.0),
        (3.0, "kitchen", 14.0),
    ];
    let expected =
        expected.map(|(at, of, x)| (at, format!("test.node:{of}/difference"), Value::Float(x)));
    assert_eq!(rig.values("main"), expected);
    // What is of the room itself goes before what is common.
    send(&mut rig, 4.0, stove, 10.0);
    send(&mut rig, 5.0, outside, 0.0);
    assert_eq!(made(&mut rig), [(4.0, 10.0), (5.0, 12.0), (5.0, 10.0)]);
    let out = rig.readings("main");
    assert_eq!(out, []);
    send(&mut rig, 3000.0, outside, 0.0);
    send(&mut rig, 3601.5, kitchen, 20.0);
    rig.restart();
    assert_eq!(made(&mut rig).last(), Some(&(3601.5, 10.0)));
    send(&mut rig, 3605.0, kitchen, 20.0);
    assert_eq!(made(&mut rig), [(3605.0, 20.0)], "the stove is silent");
}

#[test]
fn labels_go_along_and_a_series_without_them_is_dropped() {
    let mut rig = rig(json!({ "by": ["floor", "room"], "function": "mean" }));
    let own = Series::new(SourceKey::parse("t:a")).with_label("room", "hall").with_label("x", "y");
    let id = rig.series_like(own.clone().with_label("floor", "1"));
    send(&mut rig, 0.0, id, 1.0);
    let out = rig.readings("main");
    let of = rig.context().series(out[0].series);
    assert_eq!(of.source.name(), "test.node:1/hall/mean");
    let labels: Vec<_> = of.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(labels, [("floor", "1"), ("room", "hall")]);
    let id = rig.series_like(own);
    send(&mut rig, 1.0, id, 1.0);
    assert_eq!((rig.readings("main").len(), rig.readings("dropped").len()), (0, 1));
}

#[test]
fn a_series_that_fell_silent_is_left_out() {
    let mut rig = rig(json!({ "function": "mean", "stale_after": "10s", "at_least": 2 }));
    rig.send(0.0, "t:a", 1.0);
    rig.send(5.0, "t:b", 3.0);
    rig.restart();
    rig.send(9.9, "t:b", 5.0);
    rig.send(10.0, "t:b", 7.0);
    rig.send(12.0, "t:a", 9.0);
    assert_eq!(made(&mut rig), [(5.0, 2.0), (9.9, 3.0), (12.0, 8.0)]);
}

#[test]
fn with_every_it_comes_so_often_and_only_if_something_came() {
    let mut rig = rig(json!({ "function": "sum", "every": "1m", "by": "room" }));
    let (a, b) = (series(&rig, "t:a", "", "z"), series(&rig, "t:b", "", "k"));
    send(&mut rig, 10.0, a, 1.0);
    send(&mut rig, 20.0, b, 2.0);
    send(&mut rig, 30.0, a, 3.0);
    assert_eq!(made(&mut rig), []);
    rig.restart();
    rig.wait_until(300.0);
    let expected = [(60.0, "test.node:k/sum", 2.0), (60.0, "test.node:z/sum", 3.0)];
    let expected = expected.map(|(at, of, x)| (at, of.to_owned(), Value::Float(x)));
    assert_eq!(rig.values("main"), expected);
    send(&mut rig, 310.0, a, 4.0);
    rig.restart_as(config(json!({ "function": "sum", "every": "7m", "by": "room" }))).unwrap();
    rig.wait_until(419.0);
    assert_eq!(made(&mut rig), []);
    rig.wait_until(420.0);
    assert_eq!(made(&mut rig), [(420.0, 4.0)]);
    send(&mut rig, 500.0, b, 5.0);
    rig.finish();
    assert_eq!(made(&mut rig), [(500.0, 5.0)], "the end waits for nothing");
}

#[test]
fn what_is_of_another_unit_is_refused_once() {
    for (function, unit) in [("mean", Some("°C")), ("count", None)] {
        let mut rig = rig(json!({ "function": function }));
        let (warm, hot) = (series(&rig, "t:a", "°C", ""), series(&rig, "t:b", "°F", ""));
        send(&mut rig, 0.0, warm, 20.0);
        send(&mut rig, 1.0, hot, 70.0);
        rig.restart();
        send(&mut rig, 2.0, hot, 71.0);
        let out = rig.readings("main");
        assert_eq!(rig.context().series(out[0].series).unit.as_deref(), unit);
        let refused = if function == "mean" { 2 } else { 0 };
        assert_eq!((out.len(), rig.readings("dropped").len()), (3 - refused, refused));
    }
    let mut rig = rig(json!({ "function": "ratio", "sources": ["t:a", "t:b"] }));
    let (a, b) = (series(&rig, "t:a", "W", ""), series(&rig, "t:b", "W", ""));
    send(&mut rig, 0.0, a, 20.0);
    send(&mut rig, 1.0, b, 80.0);
    let out = rig.readings("main");
    assert_eq!(rig.context().series(out[0].series).unit, None);
}

/// A refusal holds, though the series that it was for is gone: a replay decides the same.
#[test]
fn who_was_refused_stays_so_over_a_restart() {
    for restart in [false, true] {
        let mut rig = rig(json!({ "function": "mean" }));
        let ids = [("t:a", "°C"), ("t:b", "°F"), ("t:c", "°C")];
        let ids = ids.map(|(source, unit)| series(&rig, source, unit, ""));
        for (at, id) in ids.into_iter().enumerate() {
            send(&mut rig, at as f64, id, at as f64);
        }
        assert_eq!(made(&mut rig), [(0.0, 0.0), (2.0, 1.0)]);
        let cold = rig.context().series(ids[0]);
        assert_eq!(cold.unit.as_deref(), Some("°C"));
        rig.forget_series(&[ids[0]]);
        if restart {
            rig.restart();
        }
        send(&mut rig, 3.0, ids[1], 9.0);
        send(&mut rig, 4.0, ids[2], 4.0);
        assert_eq!(made(&mut rig), [(4.0, 4.0)]);
    }
}

#[test]
fn late_is_what_is_older_than_the_last_of_its_series() {
    let mut rig = rig(json!({ "function": "sum" }));
    rig.send(10.0, "t:a", 1.0);
    rig.send(5.0, "t:a", 100.0);
    rig.send(5.0, "t:b", 2.0);
    assert_eq!(made(&mut rig), [(10.0, 1.0), (10.0, 3.0)], "nothing goes back");
    assert_eq!(rig.readings("late").len(), 1);
}

#[test]
fn what_is_forgotten_is_gone_and_its_group_with_the_last() {
    for restart in [false, true] {
        let mut rig = rig(json!({ "function": "mean", "by": "room", "every": "1h" }));
        let ids = [("t:a", "x"), ("t:b", "x"), ("t:c", "x"), ("t:d", "y")];
        let ids = ids.map(|(source, room)| series(&rig, source, "", room));
        for (at, id) in ids.into_iter().enumerate() {
            send(&mut rig, at as f64, id, at as f64);
        }
        if restart {
            rig.restart();
        }
        assert_eq!(rig.forget_series(&[ids[1]]), [], "its room has others");
        assert_eq!(made(&mut rig), [(2.0, 1.0)], "what waited comes out first");
        send(&mut rig, 5.0, ids[2], 10.0);
        send(&mut rig, 6.0, ids[0], 2.0);
        rig.wait_until(3600.0);
        let out = rig.readings("main");
        let values: Vec<_> = out.iter().map(|one| one.value.as_f64().unwrap()).collect();
        assert_eq!(values, [6.0, 3.0], "the mean of a and c, and d");
        assert_eq!(rig.forget_series(&[ids[3]]), [out[1].series]);
        assert_eq!(rig.forget_series(&[ids[0], ids[2]]), [out[0].series]);
        assert_eq!(rig.remembered(), Vec::<String>::new());
    }
}

#[test]
fn a_name_whose_series_is_forgotten_is_empty() {
    let mut rig =
        rig(json!({ "function": "difference", "sources": ["t:a*", "t:b"], "by": "room" }));
    let a = series(&rig, "t:a", "", "x");
    let common = series(&rig, "t:b", "", "");
    send(&mut rig, 0.0, a, 5.0);
    send(&mut rig, 1.0, common, 2.0);
    assert_eq!(made(&mut rig), [(1.0, 3.0)]);
    rig.forget_series(&[common]);
    send(&mut rig, 2.0, a, 6.0);
    assert_eq!(made(&mut rig), []);
    let again = series(&rig, "t:b", "", "");
    send(&mut rig, 3.0, again, 1.0);
    assert_eq!(made(&mut rig), [(3.0, 5.0)]);
}

#[test]
fn other_settings_combine_the_last_values() {
    let mut rig = rig(json!({ "function": "sum" }));
    rig.send(0.0, "t:a", 1.0);
    rig.send(1.0, "t:b", 2.0);
    rig.send(2.0, "u:c", 4.0);
    rig.readings("main");
    let other = json!({ "names": { "x": "t:*", "y": "u:*" }, "expression": "y - x" });
    rig.restart_as(config(other)).unwrap();
    rig.send(3.0, "u:c", 10.0);
    assert_eq!(made(&mut rig), [(3.0, 8.0)], "of a and b the one that spoke last");
    rig.restart_as(config(json!({ "function": "max", "sources": "t:*" }))).unwrap();
    rig.send(4.0, "t:a", 1.5);
    assert_eq!(made(&mut rig), [(4.0, 2.0)]);
}

#[test]
fn absurd_times_and_numbers_do_no_harm() {
    for every in [json!(null), json!("1000d")] {
        let mut rig = rig(json!({ "function": "sum", "stale_after": "1000d", "every": every }));
        for (time, value) in [
            (Timestamp::MIN, f64::MAX),
            (Timestamp::EPOCH, f64::MAX),
            (START, f64::MIN),
            (Timestamp::MAX, f64::MAX),
            (Timestamp::MIN, 0.0),
        ] {
            for source in ["t:a", "t:b"] {
                let reading = Reading { time, ..rig.reading(0.0, source, value) };
                rig.feed(vec![reading]);
                rig.restart();
            }
        }
        rig.finish();
        assert_eq!(rig.readings("late").len(), 2);
        assert!(rig.readings("main").iter().all(|one| one.value.as_f64().unwrap().is_finite()));
    }
}

#[test]
fn at_the_cap_of_series_each_has_a_group_and_one_group_does_not_grow_for_ever() {
    let mut rig = rig(json!({ "function": "mean", "by": "room" }));
    let cap = rig.context().host.series.cap();
    let ids: Vec<_> =
        (0..cap).map(|n| series(&rig, &format!("t:{n}"), "", &format!("r{n}"))).collect();
    rig.feed(ids.iter().map(|id| Reading::new(START, *id, 1.0)).collect());
    assert_eq!(rig.readings("main").len(), cap);
    let made = rig.forget_series(&ids);
    assert_eq!((made.len(), rig.remembered().len()), (cap, 0));

    let mut rig = self::rig(json!({ "function": "max" }));
    let ids: Vec<_> = (0..=MEMBERS_MAX).map(|n| rig.series(&format!("t:{n}"))).collect();
    rig.feed(ids.iter().map(|id| Reading::new(START, *id, 1.0)).collect());
    assert_eq!((rig.readings("main").len(), rig.readings("dropped").len()), (MEMBERS_MAX, 1));
}

#[test]
fn bad_settings_say_what_to_write() {
    for (settings, field, text) in [
        (json!({}), "", "`function`, such as mean"),
        (json!({ "function": "mean", "expression": "a" }), "expression", "leave out one"),
        (json!({ "function": "ratio" }), "sources", "there are 0"),
        (json!({ "function": "ratio", "sources": ["a", "b"], "at_least": 2 }), "at_least", "both"),
        (json!({ "function": "mean", "at_least": 0 }), "at_least", "from 1 to 1000"),
        (json!({ "function": "mean", "names": { "a": "b" } }), "names", "`sources`"),
        (json!({ "expression": "1" }), "names", "needs names"),
        (json!({ "expression": "a", "names": { "a": "b" }, "sources": "c" }), "sources", "names"),
        (json!({ "expression": "rooom", "names": { "room": "b" } }), "expression", "`room`?"),
        (json!({ "expression": "a +", "names": { "a": "b" } }), "expression", "at character 4"),
        (json!({ "expression": "a", "names": { "a": "b", "c": "d" } }), "names", "not use `c`"),
        (json!({ "expression": "a", "names": { "a": "b", "b-c": "d" } }), "names", "`b-c`"),
        (json!({ "function": "mean", "stale_after": "0s" }), "stale_after", "15m"),
        (json!({ "function": "mean", "every": "0s" }), "every", "15m"),
        (json!({ "function": "mean", "by": ["a", "a"] }), "by", "twice"),
        (json!({ "function": "mean", "name": "a b" }), "name", "can be no id"),
    ] {
        let problems = config(settings.clone()).problems();
        let said = problems
            .iter()
            .find(|one| one.field == field)
            .unwrap_or_else(|| panic!("{settings}: {problems:?}"));
        let text_of = format!("{}; {}", said.message, said.help.clone().unwrap_or_default());
        assert!(text_of.contains(text), "{settings}: {text_of}");
    }
    let error = serde_json::from_value::<CombineConfig>(json!({ "function": "avg" })).unwrap_err();
    assert!(error.to_string().contains("unknown variant `avg`"), "{error}");
}

fn settings() -> impl Strategy<Value = serde_json::Value> {
    let how = prop_oneof![
        Just(json!({ "function": "mean" })),
        Just(json!({ "function": "median", "at_least": 2 })),
        Just(json!({ "function": "difference", "sources": ["t:0", "t:*"] })),
        Just(json!({ "names": { "a": "t:1", "b": "t:*" }, "expression": "max(a, b) - b / a" })),
    ];
    let more = prop_oneof![
        Just(json!({})),
        Just(json!({ "stale_after": "20s" })),
        Just(json!({ "by": "room", "every": "30s" })),
        Just(json!({ "by": "room", "stale_after": "45s" })),
    ];
    (how, more).prop_map(|(mut how, more)| {
        how.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        how
    })
}

fn readings(rig: &Rig<CombineConfig>, traffic: &[(u8, i32, u8)]) -> Vec<Reading> {
    let mut now = 0;
    let of = |&(which, step, value): &(u8, i32, u8)| {
        now = (now + step).max(0);
        let room = ["x", "y", ""][usize::from(which) % 3];
        let id = series(rig, &format!("t:{which}"), "", room);
        Reading { series: id, ..rig.reading(f64::from(now), "t:any", f64::from(value)) }
    };
    traffic.iter().map(of).collect()
}

proptest! {
    #[test]
    fn the_cut_into_batches_and_restarts_change_nothing(
        traffic in prop::collection::vec((0u8..7, -5i32..20, 0u8..9), 1..60),
        cut in 1usize..10,
        settings in settings(),
    ) {
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        whole.feed(readings(&whole, &traffic));
        for part in readings(&parts, &traffic).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        for rig in [&mut whole, &mut parts] {
            rig.wait_until(1e4);
            rig.finish();
        }
        for port in ["main", "dropped", "late"] {
            prop_assert_eq!(whole.values(port), parts.values(port));
        }
    }

    /// The mean of what each series said last, by one who goes through all of it each time.
    #[test]
    fn a_mean_is_that_of_the_naive(
        traffic in prop::collection::vec((0u8..7, 0i32..20, 0u8..9), 1..60), stale in 1i32..60,
    ) {
        let mut rig = rig(json!({ "function": "mean", "stale_after": format!("{stale}s") }));
        let (mut now, mut said, mut expected) = (0, Vec::new(), Vec::new());
        for &(which, step, value) in &traffic {
            now += step;
            said.push((which, now, f64::from(value)));
            let last = |of: u8| said.iter().rev().find(|one| one.0 == of);
            let fresh: Vec<f64> = (0..7).filter_map(last).filter(|one| now < one.1 + stale).map(|one| one.2).collect();
            expected.push((f64::from(now), fresh.iter().sum::<f64>() / fresh.len() as f64));
        }
        rig.feed(readings(&rig, &traffic));
        prop_assert_eq!(made(&mut rig), expected);
    }
}

/// As of windows whose contacts a broker had kept: they may not move for days.
#[test]
fn a_last_value_counts_where_there_is_none_and_says_nothing_itself() {
    let windows = json!({ "function": "all", "at_least": 2 });
    let named = json!({ "expression": "a - b", "names": { "a": "t:a", "b": "t:b" } });
    for (settings, expected) in [(windows, Value::Bool(true)), (named, Value::Float(3.0))] {
        let mut rig = rig(settings);
        rig.prime(5.0, "t:a", 9.0);
        rig.prime(5.5, "t:a", 1.0);
        rig.restart();
        assert_eq!(rig.readings("main"), []);
        rig.send(6.0, "t:b", 6.0);
        let made = rig.values("main");
        assert_eq!(
            made.iter().map(|(at, _, value)| (*at, value)).collect::<Vec<_>>(),
            [(6.0, &expected)]
        );
        // A reading from before it is none that is late, and tells more.
        rig.send(2.0, "t:a", 0.0);
        rig.prime(7.0, "t:a", 9.0);
        assert_eq!(rig.readings("late"), []);
        rig.send(8.0, "t:b", 6.0);
        assert_ne!(rig.values("main").pop().map(|(_, _, value)| value), Some(expected));
    }
}

#[test]
fn a_last_value_of_another_unit_counts_for_nothing() {
    let mut rig = rig(json!({ "function": "mean" }));
    let celsius = series(&rig, "t:a", "°C", "");
    send(&mut rig, 0.0, celsius, 20.0);
    rig.prime(1.0, "t:b", 50.0);
    send(&mut rig, 2.0, celsius, 22.0);
    assert_eq!(made(&mut rig), [(0.0, 20.0), (2.0, 22.0)]);
    rig.send(3.0, "t:b", 50.0);
    assert_eq!(rig.readings("dropped").len(), 1);
}
