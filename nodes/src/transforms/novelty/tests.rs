use proptest::prelude::*;
use serde_json::json;
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::testing::{Rig, START};

use super::*;
use crate::transforms::recordings::rows;

fn rig(settings: serde_json::Value) -> Rig<NoveltyConfig> {
    Rig::json(settings)
}

fn scores(rig: &mut Rig<NoveltyConfig>) -> Vec<f64> {
    rig.readings("main").into_iter().map(|reading| reading.score).collect()
}

const GOLDEN: [&str; 3] = [
    include_str!("../../../../data/novelty/office_temperature.csv"),
    include_str!("../../../../data/novelty/road_occupancy.csv"),
    include_str!("../../../../data/novelty/server_cpu.csv"),
];

#[test]
fn a_last_value_is_passed_on_without_a_score_and_nothing_is_learnt_of_it() {
    let mut rig = rig(json!({}));
    rig.prime(1.0, "t:a", 5.0);
    let passed = rig.readings("main");
    assert!(matches!(&passed[..], [one] if one.score.is_nan()), "{passed:?}");
    assert_eq!(rig.remembered(), Vec::<String>::new());
}

#[test]
fn the_golden_vectors_are_reproduced() {
    for text in GOLDEN {
        let mut rig = rig(json!({ "warm_up": 0 }));
        let series = rig.series("replay:value");
        let (readings, golden): (Vec<Reading>, Vec<f64>) =
            rows(text).map(|(time, row)| (Reading::new(time, series, row[0]), row[1])).unzip();
        rig.feed(readings);
        let scores = scores(&mut rig);
        assert_eq!(scores.len(), golden.len());
        for (at, (score, golden)) in scores.iter().zip(&golden).enumerate() {
            assert!((score * 0.025 - golden).abs() <= 1e-12, "row {at}: {score} for {golden}");
        }
    }
}

#[test]
fn nothing_is_news_while_it_warms_up() {
    let mut quick = rig(json!({ "warm_up": 0 }));
    let mut slow = rig(json!({ "warm_up": 100 }));
    for rig in [&mut quick, &mut slow] {
        for minute in 0..300 {
            let value = f64::from((minute * 37 % 101) * (1 + minute / 150));
            rig.send(f64::from(minute) * 60.0, "air:hall/temperature", value);
        }
    }
    let (quick, slow) = (scores(&mut quick), scores(&mut slow));
    assert!(quick[..100].iter().any(|score| *score > 0.0));
    assert!(slow[..100].iter().all(|score| *score == 0.0));
    assert_eq!(quick[100..], slow[100..], "what was learnt is the same");
}

#[test]
fn the_first_score_is_that_of_the_reading_after_the_warm_up() {
    let mut rig = rig(json!({ "warm_up": 2, "hold": 0 }));
    for (second, value) in [1.0, 2.0, 4.0, 8.0].into_iter().enumerate() {
        rig.send(second as f64, "a:x", value);
    }
    assert_eq!(scores(&mut rig), [0.0, 0.0, 2.0 / 0.025, 4.0 / 3.0 / 0.025]);
}

#[test]
fn late_readings_go_aside_and_equal_times_do_not() {
    let mut rig = rig(json!({ "warm_up": 0 }));
    rig.send(10.0, "a:x", 1.0);
    rig.send(10.0, "a:x", 2.0);
    rig.send(9.0, "a:x", 500.0);
    rig.send(11.0, "a:x", 2.0);
    rig.send(1.0, "a:y", 1.0);
    assert_eq!(rig.values("late"), [(9.0, "a:x".to_owned(), Value::Float(500.0))]);
    assert_eq!(scores(&mut rig), [0.0, 400.0, 0.0, 0.0]);
}

#[test]
fn values_of_all_kinds_have_their_score() {
    let mut rig = rig(json!({ "warm_up": 0, "hold": 0 }));
    for (second, value) in [false, false, true, false, true].into_iter().enumerate() {
        rig.send(second as f64, "gpio:17", value);
    }
    assert_eq!(scores(&mut rig), [0.0, 0.0, 400.0, 0.0, 0.0]);
    for (second, text) in ["ok", "ok", "error", "ok", "error"].into_iter().enumerate() {
        rig.send(second as f64, "plc:state", Value::text(text));
    }
    assert_eq!(scores(&mut rig), [0.0, 0.0, 40.0, 0.0, 0.0]);
    rig.send(0.0, "web:json", Value::from_json(json!({ "a": 1 })).unwrap());
    assert!(scores(&mut rig)[0].is_nan(), "JSON has no score");
    for (second, value) in [5i64, 5, 6].into_iter().enumerate() {
        rig.send(second as f64, "count:cars", value);
    }
    assert_eq!(scores(&mut rig), [0.0, 0.0, 400.0]);
}

#[test]
fn a_counter_is_scored_by_its_rate() {
    let mut rig = rig(json!({ "warm_up": 10 }));
    let counter = rig.series_like(Series::new(SourceKey::parse("system:net/bytes")).counter());
    let mut total = 1_000_000i64;
    let mut step = |second: i64, more: i64| {
        total += more;
        let time = START + smollama_engine::duration::Duration::from_secs(second);
        Reading::new(time, counter, total)
    };
    let mut readings: Vec<Reading> = (0..50).map(|second| step(second, 100 + second % 7)).collect();
    readings.push(step(50, -900_000));
    readings.push(step(51, 103));
    readings.push(step(52, 5000));
    rig.feed(readings);
    let scores = scores(&mut rig);
    assert!(scores[..52].iter().all(|score| *score == 0.0), "steady growth and a restart");
    assert!(scores[52] >= 1.0, "a burst");
}

#[test]
fn impossible_values_are_neither_learnt_nor_news() {
    let mut rig = rig(json!({ "warm_up": 0, "hold": 0, "range": { "min": -40 } }));
    for (second, value) in [20.0, 21.0, -127.0, 20.0, 22.0, 24.0].into_iter().enumerate() {
        rig.send(second as f64, "w1:a", value);
    }
    let scores = scores(&mut rig);
    assert_eq!(scores[2..4], [0.0, 0.0]);
    assert_eq!(scores[4..], [40.0, 40.0], "the span is 1, then 2: -127 did not widen it");
}

#[test]
fn one_step_of_the_sensor_is_not_news() {
    let step = 0.0625;
    for (resolution, news) in [(json!(null), true), (json!(step), false)] {
        let mut rig = rig(json!({ "warm_up": 0, "resolution": resolution }));
        for (second, steps) in [320, 320, 321, 320, 321].into_iter().enumerate() {
            rig.send(second as f64, "w1:a", f64::from(steps) * step);
        }
        assert_eq!(rig.readings("main").iter().any(Reading::is_news), news);
        rig.send(9.0, "w1:a", 360.0 * step);
        assert!(rig.readings("main")[0].is_news(), "but many are");
    }
}

#[test]
fn the_hold_is_counted_in_readings_or_in_time() {
    // Two levels that are forgotten at once, so that each change is as far as the last; one reading a minute.
    let news = |hold: serde_json::Value| {
        let mut rig = rig(json!({ "warm_up": 0, "memory": 1, "hold": hold }));
        for (minute, value) in [5.0, 0.0, 10.0].into_iter().enumerate() {
            rig.send(minute as f64 * 60.0, "a:x", value);
        }
        for minute in 3..20 {
            rig.send(f64::from(minute) * 60.0, "a:x", if minute % 4 < 2 { 0.0 } else { 10.0 });
        }
        let minute = |time: Timestamp| (time.as_micros() - START.as_micros()) / 60_000_000;
        let main = rig.readings("main");
        main.iter().filter(|one| one.is_news()).map(|one| minute(one.time)).collect::<Vec<_>>()
    };
    let free = news(json!(0));
    assert_eq!(free, [1, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
    // The surprise of minute 1 is cut to 10, so all that follows is less until the hold is over.
    assert_eq!(news(json!(4)), [1, 6, 12, 18]);
    assert_eq!(news(json!("4m")), news(json!(4)));
    assert_eq!(news(json!("1h")), [1]);
}

#[test]
fn the_first_override_that_matches_is_used() {
    let settings = json!({ "warm_up": 0, "overrides": [
        { "match": "a:quiet/*", "warm_up": 1000 },
        { "match": "a:**", "news": 0.05 },
    ]});
    let mut rig = rig(settings);
    for source in ["a:quiet/x", "a:other", "b:z"] {
        rig.send(0.0, source, 100.0);
        rig.send(1.0, source, 101.0);
    }
    assert_eq!(scores(&mut rig), [0.0, 0.0, 0.0, 20.0, 0.0, 40.0]);
}

#[test]
fn wrong_settings_are_named() {
    let problems = |settings: serde_json::Value| -> Vec<String> {
        let config: NoveltyConfig = serde_json::from_value(settings).unwrap();
        config.problems().into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    };
    assert!(problems(json!({})).is_empty());
    assert_eq!(
        problems(json!({ "news": 0.01, "cells": 1 })),
        ["cells: `cells` is 1; it must be from 2 to 4096"]
    );
    assert_eq!(
        problems(json!({ "overrides": [
            { "match": "a:*", "news": 0.02 },
            { "match": "b:*", "range": { "min": 5, "max": 5 } }
        ]})),
        [
            "overrides.0.news: `news` (0.02) must be greater than `vigilance` (0.02)",
            "overrides.1.range: `min` (5) must be less than `max` (5)"
        ]
    );
    let error = serde_json::from_value::<NoveltyConfig>(json!({ "hold": "soon" })).unwrap_err();
    assert!(error.to_string().contains("`soon` is not a duration"), "{error}");
    assert!(serde_json::from_value::<NoveltyConfig>(json!({ "hold": -1 })).is_err());
}

/// Readings of three series with all kinds of value, some late.
fn mixed() -> impl Strategy<Value = Vec<(u8, i64, Value)>> {
    let value = prop_oneof![
        (0i32..30).prop_map(|x| Value::Float(f64::from(x) / 3.0)),
        (-1000.0..1000.0f64).prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
        "[ab]{1,2}".prop_map(|text| Value::text(&text)),
    ];
    prop::collection::vec((0u8..3, -2i64..100, value), 0..120)
}

fn readings(rig: &Rig<NoveltyConfig>, given: &[(u8, i64, Value)]) -> Vec<Reading> {
    let counter = rig.series_like(Series::new(SourceKey::parse("c:0")).counter());
    let all = [rig.series("a:0"), rig.series("b:0"), counter];
    let mut time = 0;
    let step = |&(which, step, ref value): &(u8, i64, Value)| {
        time += step * 600_000_000;
        let time = START.as_micros() + time;
        Reading::new(Timestamp::from_micros(time), all[usize::from(which)], value.clone())
    };
    given.iter().map(step).collect()
}

fn config(settings: serde_json::Value) -> NoveltyConfig {
    serde_json::from_value(settings).unwrap()
}

/// Two days of levels around 20 and 22, with a little noise.
fn taught(settings: serde_json::Value) -> Rig<NoveltyConfig> {
    let mut rig = rig(settings);
    for minute in 0..2880 {
        let level = if minute / 240 % 2 == 0 { 20.0 } else { 22.0 };
        let noise = f64::from(minute * 7919 % 13) * 0.01;
        rig.send(f64::from(minute) * 60.0, "air:hall", level + noise);
    }
    scores(&mut rig);
    rig
}

fn score_of(rig: &mut Rig<NoveltyConfig>, minute: f64, value: f64) -> f64 {
    rig.send((2880.0 + minute) * 60.0, "air:hall", value);
    scores(rig)[0]
}

#[test]
fn under_other_settings_the_usual_stays_usual_and_the_new_stays_new() {
    let mut rig = taught(json!({}));
    rig.restart_as(config(json!({ "news": 0.2, "hold": 0, "cells": 8, "memory": 2000 }))).unwrap();
    assert_eq!(score_of(&mut rig, 0.0, 20.05), 0.0);
    assert!(score_of(&mut rig, 1.0, 22.4) < 1.0, "nearer than 0.2 of the span");
    assert!(score_of(&mut rig, 2.0, 21.2) >= 1.0, "warm-up is over, and this was never seen");
    rig.restart_as(config(json!({ "hold": 0, "warm_up": 100_000 }))).unwrap();
    assert_eq!(score_of(&mut rig, 3.0, 90.0), 0.0, "a longer warm-up counts from the beginning");
}

#[test]
fn what_was_learnt_too_coarsely_is_reset_and_the_plan_says_why() {
    let mut rig = taught(json!({ "vigilance": 0.1, "news": 0.2 }));
    let finer = json!({ "vigilance": 0.001, "news": 0.01 });
    let error = rig.restart_as(config(finer.clone())).unwrap_err();
    let expected = "readings that were remembered as one value would now be news to one another";
    assert_eq!(error.to_string(), expected);
    assert_eq!(score_of(&mut rig, 0.0, 500.0), 0.0, "it warms up");

    // A series that an override leaves as it was is kept, and the other one warms up.
    let mut rig = taught(json!({ "vigilance": 0.1, "news": 0.2, "hold": 0 }));
    for minute in 0..300 {
        rig.send((2880.0 + f64::from(minute)) * 60.0, "air:yard", f64::from(minute % 7));
    }
    scores(&mut rig);
    let mut overridden = finer;
    overridden["hold"] = json!(0);
    overridden["overrides"] = json!([{ "match": "air:yard", "vigilance": 0.1, "news": 0.2 }]);
    rig.restart_as(config(overridden)).unwrap();
    assert_eq!(score_of(&mut rig, 400.0, 500.0), 0.0);
    rig.send(3290.0 * 60.0, "air:yard", 500.0);
    assert!(scores(&mut rig)[0] >= 1.0);
}

#[test]
fn a_range_heals_what_an_absurd_value_did() {
    for (range, is_news) in [(json!(null), false), (json!({ "max": 80 }), true)] {
        let mut rig = taught(json!({ "hold": 0 }));
        score_of(&mut rig, 0.0, 300.0);
        rig.restart_as(config(json!({ "hold": 0, "range": range }))).unwrap();
        assert_eq!(score_of(&mut rig, 1.0, 20.05), 0.0);
        assert_eq!(score_of(&mut rig, 2.0, 25.0) >= 1.0, is_news, "as the span is");
    }
}

#[test]
fn the_daily_profile_is_kept_as_long_as_it_is_wanted() {
    let profile = json!({ "daily_profile": true, "hold": 0 });
    let taught = |then: &[serde_json::Value]| {
        let mut rig = rig(profile.clone());
        let value = |hour: i32| if (8..18).contains(&(hour % 24)) { 100.0 } else { 10.0 };
        for hour in 0..24 * 9 {
            rig.send(f64::from(hour) * 3600.0, "air:hall", value(hour));
        }
        scores(&mut rig);
        then.iter().for_each(|settings| rig.restart_as(config(settings.clone())).unwrap());
        rig.send(f64::from(24 * 9 + 3) * 3600.0, "air:hall", 100.0);
        scores(&mut rig)[0]
    };
    assert!(taught(&[]) >= 1.0, "a usual value at an unusual hour");
    assert!(taught(&[json!({ "daily_profile": true, "hold": 0, "news": 0.03 })]) >= 1.0);
    assert_eq!(taught(&[json!({ "hold": 0 }), profile.clone()]), 0.0, "learnt anew");
}

/// Settings of which any may follow any, and under which nothing is forgotten.
fn settings() -> impl Strategy<Value = serde_json::Value> {
    let acuity = prop_oneof![
        Just((0.02, 0.025)),
        Just((0.001, 0.002)),
        Just((0.1, 0.5)),
        Just((0.05, 0.051))
    ];
    let range =
        prop_oneof![Just(json!(null)), Just(json!({ "max": 5 })), Just(json!({ "min": 3 }))];
    let floor = prop_oneof![Just(0.0), Just(0.01), Just(0.5)];
    let step = prop_oneof![Just(json!(null)), Just(json!(0.5))];
    (acuity, range, floor, step, any::<bool>(), 0u32..9).prop_map(
        |((vigilance, news), range, span_floor, resolution, daily_profile, warm_up)| {
            json!({
                "vigilance": vigilance, "news": news, "range": range, "span_floor": span_floor,
                "resolution": resolution, "daily_profile": daily_profile, "warm_up": warm_up,
                "cells": 4096, "memory": 1_000_000, "hold": 0,
            })
        },
    )
}

proptest! {
    /// Through three kinds of settings: where the state was kept, what went by is not news when it comes again.
    #[test]
    fn what_was_usual_under_other_settings_is_no_news(
        values in prop::collection::vec(prop_oneof![(-9i32..9).prop_map(f64::from), -10.0..10.0f64], 1..60),
        all in prop::array::uniform3(settings()),
    ) {
        let [mut first, rest @ ..] = all;
        first["range"] = json!(null);
        let mut range = f64::MIN..=f64::MAX;
        let mut rig = rig(first);
        let mut second = 0.0;
        let mut known: Vec<f64> = Vec::new();
        for settings in std::iter::once(None).chain(rest.into_iter().map(Some)) {
            if let Some(settings) = settings {
                let bound = |name: &str, none| settings["range"][name].as_f64().unwrap_or(none);
                range = bound("min", f64::MIN)..=bound("max", f64::MAX);
                match rig.restart_as(config(settings)) {
                    Ok(()) => {}
                    Err(StateError::DoesNotFit(_)) => known.clear(),
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
            known.retain(|value| range.contains(value));
            for value in known.iter().chain(&values) {
                rig.send(second, "a:x", *value);
                second += 1.0;
            }
            let scores = scores(&mut rig);
            for (value, score) in known.iter().zip(&scores) {
                prop_assert!(*score < 1.0, "{} is known and scored {}", value, score);
            }
            known = values.iter().copied().filter(|value| range.contains(value)).collect();
        }
    }

    #[test]
    fn neither_batches_nor_a_restart_change_a_score(given in mixed(), cut in 0usize..120) {
        let settings = json!({
            "warm_up": 3, "hold": 4, "memory": 9, "cells": 5, "daily_profile": true,
            "overrides": [{ "match": "b:*", "hold": "2h" }],
        });
        let [mut whole, mut single] = [rig(settings.clone()), rig(settings)];
        let all = readings(&whole, &given);
        whole.feed(all.clone());
        for (at, reading) in readings(&single, &given).into_iter().enumerate() {
            single.feed(vec![reading]);
            if at == cut {
                single.restart();
            }
        }
        for port in ["main", "late"] {
            // As text: a late reading's score is NaN, which is not equal to itself.
            let [whole, single] = [&mut whole, &mut single].map(|rig| rig.readings(port));
            prop_assert_eq!(format!("{whole:?}"), format!("{single:?}"));
        }
    }
}

#[test]
fn a_damaged_state_is_refused() {
    let mut rig = rig(json!({}));
    rig.send(0.0, "a:x", 1.0);
    let config = NoveltyConfig::default();
    let Ok(Node::Transform(mut node)) = config.build(rig.context()) else { panic!() };
    let mut map = SeriesMap::new();
    let numbers: Habits = serde_json::from_value(json!({
        "low": 0.0, "high": 1.0, "readings": 2, "values": [1.0, 0.0], "visits": [1, 2], "grain": 0.0
    }))
    .unwrap();
    let habit = Habit { numbers, ..Habit::default() };
    map.insert(rig.series("a:x"), habit);
    let state = State::of_series(STATE_VERSION, &map, &"UTC").unwrap();
    assert!(matches!(node.restore(&state), Err(StateError::Damaged(_))));
    let state = State { version: 9, ..state };
    assert!(matches!(node.restore(&state), Err(StateError::Version { found: 9, known: 1 })));
}
