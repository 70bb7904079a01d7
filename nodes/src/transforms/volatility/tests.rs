use proptest::prelude::*;
use serde_json::json;
use smollama_engine::duration::Duration;
use smollama_engine::reading::Value;
use smollama_engine::series::SourceKey;
use smollama_engine::testing::{Rig, START};

use super::*;

fn rig(settings: serde_json::Value) -> Rig<VolatilityConfig> {
    Rig::json(settings)
}

fn feed(rig: &mut Rig<VolatilityConfig>, source: &str, values: &[f64]) {
    for (second, value) in values.iter().enumerate() {
        rig.send(second as f64, source, *value);
    }
}

fn numbers(rig: &mut Rig<VolatilityConfig>, port: &str) -> Vec<f64> {
    rig.readings(port).into_iter().map(|one| one.value.as_f64().unwrap()).collect()
}

#[test]
fn a_last_value_is_passed_on_without_a_score_and_nothing_is_learnt_of_it() {
    let mut rig = rig(json!({}));
    rig.prime(1.0, "t:a", 5.0);
    let passed = rig.readings("main");
    assert!(matches!(&passed[..], [one] if one.score.is_nan()), "{passed:?}");
    assert_eq!(rig.remembered(), Vec::<String>::new());
}

#[test]
fn each_measure_is_what_its_documentation_says() {
    let values = [10.0, 12.0, 8.0, 30.0];
    let last = |settings| {
        let mut rig = rig(settings);
        feed(&mut rig, "a:x", &values);
        let score = rig.readings("main").last().unwrap().score;
        (numbers(&mut rig, "values").pop().unwrap(), score)
    };
    // Of 10, 12, 8 and 30: mean 15, squared deviations 25 + 9 + 49 + 225 = 308, over 3.
    let cv = (308.0f64 / 3.0).sqrt() / 15.0;
    let (value, score) = last(json!({}));
    assert!((value - cv).abs() < 1e-15 && (score - cv / 0.5).abs() < 1e-15);
    assert_eq!(last(json!({ "measure": "delta", "high": 11 })), (22.0, 2.0));
    // The median is 11; deviations 1, 1, 3, 19, so their median is 2.
    assert_eq!(last(json!({ "measure": "mad" })).0, 1.4826 * 2.0 / 11.0);
    assert_eq!(last(json!({ "measure": "mad", "floor": 100 })).0, 1.4826 * 2.0 / 100.0);
}

#[test]
fn nothing_is_said_before_the_third_reading() {
    let mut rig = rig(json!({}));
    feed(&mut rig, "a:x", &[1.0, 100.0]);
    assert!(rig.readings("main").iter().all(|one| one.score == 0.0));
    assert!(rig.readings("values").is_empty());
}

#[test]
fn a_span_leaves_by_time() {
    let mut rig = rig(json!({ "measure": "delta", "high": 1, "span": "10s" }));
    for (second, value) in [(0.0, 0.0), (1.0, 50.0), (2.0, 51.0), (10.5, 51.0), (11.0, 53.0)] {
        rig.send(second, "a:x", value);
    }
    assert_eq!(numbers(&mut rig, "values"), [50.0, 1.0, 2.0]);
}

#[test]
fn a_reading_as_old_as_the_span_no_longer_counts() {
    let mut rig = rig(json!({ "measure": "delta", "high": 1, "span": "10s" }));
    for (second, value) in [(0.0, 50.0), (1.0, 0.0), (9.0, 1.0), (10.0, 1.0)] {
        rig.send(second, "a:x", value);
    }
    assert_eq!(numbers(&mut rig, "values"), [50.0, 1.0]);
}

#[test]
fn with_a_span_there_are_never_more_than_samples() {
    let mut rig = rig(json!({ "measure": "delta", "high": 1, "span": "1h", "samples": 3 }));
    feed(&mut rig, "a:x", &[50.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(numbers(&mut rig, "values"), [50.0, 1.0, 0.0]);
}

#[test]
fn agreement_that_is_interrupted_begins_anew() {
    let mut rig = rig(json!({ "measure": "delta", "samples": 2, "high": 10, "hysteresis": 3 }));
    // Two large steps, a small one, two large ones, a small one: four in all, never three in a row.
    feed(&mut rig, "a:x", &[0.0, 20.0, 0.0, 1.0, 20.0, 0.0, 1.0]);
    assert!(rig.values("changes").is_empty());
}

#[test]
fn on_and_off_and_texts_are_measured_by_their_transitions() {
    let mut rig = rig(json!({ "samples": 5 }));
    for (second, on) in [true, true, false, false, true, false].into_iter().enumerate() {
        rig.send(second as f64, "gpio:17", on);
    }
    assert_eq!(numbers(&mut rig, "values"), [0.5, 1.0 / 3.0, 0.5, 0.75]);
    for (second, text) in ["a", "b", "b", "c"].into_iter().enumerate() {
        rig.send(second as f64, "plc:state", Value::text(text));
    }
    assert_eq!(numbers(&mut rig, "values"), [0.5, 2.0 / 3.0]);
    rig.readings("main");
    rig.send(9.0, "web:json", Value::from_json(json!([1])).unwrap());
    assert!(rig.readings("main")[0].score.is_nan(), "JSON has no volatility");
}

#[test]
fn a_counter_is_measured_by_its_rate() {
    let mut rig = rig(json!({ "measure": "delta", "high": 10 }));
    let id =
        rig.series_like(Series::new(SourceKey::parse("system:net/bytes")).with_unit("B").counter());
    let at = |second: i64| START + Duration::from_secs(second);
    for (second, total) in [(0, 1000i64), (10, 1500), (20, 2000), (30, 3500), (40, 20), (50, 520)] {
        rig.feed(vec![Reading::new(at(second), id, total)]);
    }
    let values = rig.readings("values");
    assert_eq!(
        values.iter().map(|one| one.value.as_f64().unwrap()).collect::<Vec<_>>(),
        [100.0, 100.0],
        "rates 50, 50, 150, and 50 after the restart"
    );
    let derived = rig.context().series(values[0].series);
    assert_eq!(derived.source.name(), "test.node:system/net/bytes");
    assert_eq!((derived.unit.as_deref(), derived.monotonic), (Some("B/s"), false));
    assert_eq!(derived.labels.get("stat").map(|text| &**text), Some("volatility"));
}

#[test]
fn a_series_changes_only_after_agreement() {
    let mut rig = rig(json!({ "samples": 3, "high": 0.5, "low": 0.1, "hysteresis": 3 }));
    // The spike lies in three windows, the second one too; the third time two spikes follow each other.
    let mut values = vec![10.0; 5];
    values.extend([40.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0]);
    feed(&mut rig, "a:x", &values);
    let changes = rig.values("changes");
    let expected = |seconds, on| (seconds, "test.node:a/x".to_owned(), Value::Bool(on));
    assert_eq!(changes, [expected(7.0, true), expected(10.0, false)]);

    let mut rig = self::rig(json!({ "samples": 3, "hysteresis": 4 }));
    feed(&mut rig, "a:x", &values);
    assert!(rig.values("changes").is_empty(), "three are not four");
}

#[test]
fn late_readings_go_aside() {
    let mut rig = rig(json!({}));
    rig.send(10.0, "a:x", 1.0);
    rig.send(9.0, "a:x", 100.0);
    rig.send(10.0, "a:x", 1.0);
    rig.send(11.0, "a:x", 1.0);
    assert_eq!(rig.values("late"), [(9.0, "a:x".to_owned(), Value::Float(100.0))]);
    assert_eq!(numbers(&mut rig, "values"), [0.0]);
}

#[test]
fn wrong_settings_are_named() {
    let problems = |settings: serde_json::Value| -> Vec<String> {
        let config: VolatilityConfig = serde_json::from_value(settings).unwrap();
        config.problems().into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    };
    assert!(problems(json!({})).is_empty());
    assert_eq!(problems(json!({ "measure": "delta" })), ["high: `measure: delta` needs `high`"]);
    assert_eq!(
        problems(json!({ "high": 0.2, "low": 0.3, "samples": 1, "hysteresis": 0 })),
        [
            "samples: `samples` is 1; it must be from 2 to 10000",
            "low: `low` (0.3) must be less than `high` (0.2)",
            "hysteresis: `hysteresis` is 0"
        ]
    );
    let over = json!({ "high": 0.4, "overrides": [{ "match": "a:*", "measure": "delta" }] });
    assert_eq!(problems(over), ["overrides.0.high: `measure: delta` needs `high`"]);
}

fn config(settings: serde_json::Value) -> VolatilityConfig {
    serde_json::from_value(settings).unwrap()
}

#[test]
fn under_other_settings_the_same_readings_are_measured_anew() {
    let values = [10.0, 12.0, 8.0, 30.0, 31.0, 29.0, 11.0, 13.0, 10.5, 12.0];
    let forms = [
        json!({ "samples": 6 }),
        json!({ "samples": 6, "measure": "mad" }),
        json!({ "samples": 6, "measure": "delta", "high": 11 }),
        json!({ "samples": 4, "floor": 100 }),
    ];
    for before in &forms {
        for after in &forms {
            let mut changed = rig(before.clone());
            feed(&mut changed, "a:x", &values);
            changed.restart_as(config(after.clone())).unwrap();
            let mut always = rig(after.clone());
            feed(&mut always, "a:x", &values);
            for rig in [&mut changed, &mut always] {
                numbers(rig, "values");
                rig.send(20.0, "a:x", 14.0);
            }
            let one = numbers(&mut changed, "values")[0];
            let other = numbers(&mut always, "values")[0];
            // Between fewer and more samples the older ones are gone, and the largest step with them.
            if before["samples"] == after["samples"] || after["samples"] == 4 {
                assert!((one - other).abs() < 1e-13, "{before} to {after}: {one} for {other}");
            }
        }
    }
}

#[test]
fn a_volatile_series_stays_so_until_it_is_calm_by_the_new_settings() {
    let mut rig = rig(json!({ "measure": "delta", "high": 10, "hysteresis": 2, "samples": 3 }));
    feed(&mut rig, "a:x", &[0.0, 50.0, 0.0, 50.0, 50.0]);
    assert_eq!(rig.readings("changes").len(), 1, "volatile");
    // One of two readings said that it is calm, by other limits.
    rig.send(5.0, "a:x", 50.0);
    rig.restart_as(config(json!({
        "measure": "delta", "high": 100, "low": 1, "hysteresis": 2, "samples": 3
    })))
    .unwrap();
    rig.send(6.0, "a:x", 50.0);
    assert!(rig.readings("changes").is_empty(), "the streak begins anew");
    rig.send(7.0, "a:x", 50.0);
    let changes = rig.readings("changes");
    assert_eq!(changes.iter().map(|one| &one.value).collect::<Vec<_>>(), [&Value::Bool(false)]);
}

#[test]
fn with_a_span_where_there_was_none_the_window_begins_anew() {
    let mut rig = rig(json!({ "measure": "delta", "high": 1 }));
    feed(&mut rig, "a:x", &[0.0, 50.0, 51.0, 51.0]);
    numbers(&mut rig, "values");
    let spanned = |span| config(json!({ "measure": "delta", "high": 1, "span": span }));
    rig.restart_as(spanned("10s")).unwrap();
    for (second, value) in [(4.0, 51.0), (5.0, 51.0), (6.0, 53.0)] {
        rig.send(second, "a:x", value);
    }
    assert_eq!(numbers(&mut rig, "values"), [2.0], "50 is forgotten");
    rig.restart_as(spanned("3s")).unwrap();
    rig.send(7.0, "a:x", 53.5);
    assert_eq!(numbers(&mut rig, "values"), [2.0], "a shorter one keeps what is young enough");
}

/// Settings of which any may follow any.
fn settings() -> impl Strategy<Value = serde_json::Value> {
    let measure = prop::sample::select(vec!["cv", "delta", "mad"]);
    let span = prop::sample::select(vec![json!(null), json!("1m"), json!("5m")]);
    (measure, 2u32..9, span, 1u32..4, prop::sample::select(vec![0.3, 2.0]), any::<bool>()).prop_map(
        |(measure, samples, span, hysteresis, high, over)| {
            let over = if over {
                json!([{ "match": "b:*", "measure": "delta", "high": 4 }])
            } else {
                json!([])
            };
            json!({
                "measure": measure, "samples": samples, "span": span, "hysteresis": hysteresis,
                "high": high, "overrides": over,
            })
        },
    )
}

proptest! {
    /// Whatever changes, what becomes volatile and calm alternates, and soon all is as if it had been so always.
    #[test]
    fn other_settings_are_lived_with(
        given in prop::collection::vec((0usize..2, 1i64..90, prop_oneof![
            9 => (0i32..30).prop_map(|x| Value::Float(f64::from(x) / 3.0)),
            1 => Just(Value::Float(f64::MAX)),
            1 => any::<bool>().prop_map(Value::Bool),
        ]), 0..60),
        cut in 0usize..60,
        all in prop::array::uniform2(settings()),
    ) {
        let [before, after] = all;
        let [mut changed, mut always] = [rig(before), rig(after.clone())];
        let readings = |rig: &Rig<VolatilityConfig>| -> Vec<Reading> {
            let all = [rig.series("a:0"), rig.series("b:0")];
            let mut time = START;
            let step = |(which, step, value): &(usize, i64, Value)| {
                time = time + Duration::from_secs(*step);
                Reading::new(time, all[*which], value.clone())
            };
            given.iter().map(step).collect()
        };
        let all = readings(&changed);
        let cut = cut.min(all.len());
        changed.feed(all[..cut].to_vec());
        changed.restart_as(config(after)).unwrap();
        changed.feed(all[cut..].to_vec());
        always.feed(readings(&always));
        let mut volatile = std::collections::HashMap::new();
        for change in changed.readings("changes") {
            let other = volatile.insert(change.series, change.value.clone());
            prop_assert_ne!(other, Some(change.value));
        }
        // Nine more readings fill any window.
        for rig in [&mut changed, &mut always] {
            for second in 0..9 {
                rig.send(6000.0 + f64::from(second), "a:0", f64::from(second * 7 % 4));
            }
            numbers(rig, "values");
            rig.send(6010.0, "a:0", 3.0);
        }
        let [one, other] = [&mut changed, &mut always].map(|rig| numbers(rig, "values")[0]);
        prop_assert!((one - other).abs() < 1e-12, "{} for {}", one, other);
    }

    #[test]
    fn neither_batches_nor_a_restart_change_anything(
        given in prop::collection::vec((0usize..3, -1i64..90, prop_oneof![
            (0i32..30).prop_map(|x| Value::Float(f64::from(x) / 3.0)),
            any::<bool>().prop_map(Value::Bool),
            "[ab]".prop_map(|text| Value::text(&text)),
        ]), 0..100),
        measure in prop::sample::select(vec!["cv", "delta", "mad"]),
        cut in 0usize..100,
    ) {
        let settings = json!({
            "measure": measure, "high": 1, "hysteresis": 2, "samples": 7,
            "overrides": [{ "match": "b:*", "span": "2m" }],
        });
        let [mut whole, mut single] = [rig(settings.clone()), rig(settings)];
        let readings = |rig: &Rig<VolatilityConfig>| -> Vec<Reading> {
            let counter = rig.series_like(Series::new(SourceKey::parse("c:0")).counter());
            let all = [rig.series("a:0"), rig.series("b:0"), counter];
            let mut time = START.as_micros();
            given.iter().map(|(which, step, value)| {
                time += step * 1_000_000;
                Reading::new(Timestamp::from_micros(time), all[*which], value.clone())
            }).collect()
        };
        whole.feed(readings(&whole));
        for (at, reading) in readings(&single).into_iter().enumerate() {
            single.feed(vec![reading]);
            if at == cut {
                single.restart();
            }
        }
        for port in ["main", "values", "changes", "late"] {
            // As text: a late reading's score is NaN, which is not equal to itself.
            let [whole, single] = [&mut whole, &mut single].map(|rig| rig.readings(port));
            let time_and_value = |all: Vec<Reading>| -> Vec<String> {
                all.iter().map(|one| format!("{} {:?} {}", one.time, one.value, one.score)).collect()
            };
            prop_assert_eq!(time_and_value(whole), time_and_value(single));
        }
    }
}
