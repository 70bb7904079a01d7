use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use smollama_engine::context::Host;
use smollama_engine::duration::Duration;
use smollama_engine::testing::START;

use super::*;

/// What a source gives when it is asked so many times, as (sample, source, value).
fn samples(settings: serde_json::Value, every: &str, times: usize) -> Vec<(usize, String, Value)> {
    let config: SimulateConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    let host = Arc::new(Host::for_tests(Path::new(".")));
    let mut context = Context::new(host, "p/air", "air");
    let every: Duration = every.parse().unwrap();
    context.every = Some(every);
    let Node::Source(mut source) = config.build(&context).unwrap() else { unreachable!() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut all = Vec::new();
    for sample in 0..times {
        let now = START + Duration::from_micros(every.as_micros() * sample as i64);
        let Read::Batch(batch) = runtime.block_on(source.read(now)).unwrap() else { break };
        let smollama_engine::batch::Items::Readings(readings) = batch.items else { unreachable!() };
        for reading in readings {
            assert_eq!(reading.time, now);
            let name = context.series(reading.series).source.to_string();
            all.push((sample, name, reading.value));
        }
    }
    all
}

fn numbers(settings: serde_json::Value, every: &str, times: usize) -> Vec<f64> {
    samples(settings, every, times).iter().map(|one| one.2.as_f64().unwrap()).collect()
}

#[test]
fn nothing_said_is_a_walk_that_is_the_same_each_time() {
    let values = numbers(serde_json::json!({}), "1s", 6);
    assert_eq!(values, numbers(serde_json::json!({}), "1h", 6));
    assert_eq!(
        samples(serde_json::json!({}), "1s", 1),
        [(0, "air:value".into(), Value::Float(20.0))]
    );
    insta::assert_snapshot!(format!("{values:?}"), @"[20.0, 19.827, 19.786, 19.843, 19.857, 19.847]");
    assert_ne!(values, numbers(serde_json::json!({ "seed": 2 }), "1s", 6));
}

#[test]
fn waves_have_their_shapes() {
    let wave = |wave: &str| serde_json::json!({ "wave": wave, "base": 10, "amplitude": 2, "period": "4s" });
    assert_eq!(numbers(wave("constant"), "1s", 3), [10.0; 3]);
    assert_eq!(numbers(wave("sine"), "1s", 5), [10.0, 12.0, 10.0, 8.0, 10.0]);
    assert_eq!(numbers(wave("square"), "1s", 5), [12.0, 12.0, 8.0, 8.0, 12.0]);
    let daily = serde_json::json!({ "wave": "daily", "base": 10, "amplitude": 2 });
    let day = numbers(daily, "4h", 7);
    assert_eq!((day[1], day[4], day[0]), (8.0, 12.0, day[6]));
    let later = serde_json::json!({ "wave": "daily", "base": 10, "amplitude": 2, "phase": "16h" });
    assert_eq!(numbers(later, "1h", 1), [12.0]);
}

#[test]
fn faults_strike_when_they_are_due() {
    let base = serde_json::json!({ "wave": "constant", "base": 1, "spikes": { "every": "3s", "size": 5 } });
    assert_eq!(numbers(base, "1s", 7), [1.0, 1.0, 1.0, 6.0, 1.0, 1.0, 6.0]);
    let gaps =
        serde_json::json!({ "wave": "constant", "dropouts": { "every": "4s", "for": "2s" } });
    let seen: Vec<usize> = samples(gaps, "1s", 10).into_iter().map(|one| one.0).collect();
    assert_eq!(seen, [0, 1, 2, 3, 6, 7]);
    let stuck = serde_json::json!({ "wave": "sine", "period": "100s", "stuck": { "every": "5s", "for": "3s" } });
    let values = numbers(stuck, "1s", 9);
    assert_eq!(values[4..8], [values[4]; 4]);
    assert!(values[3] != values[4] && values[7] != values[8], "{values:?}");
    let rare = serde_json::json!({ "wave": "constant", "base": 0, "spikes": { "probability": 0.1, "size": 1 } });
    let spikes = numbers(rare, "1s", 2_000).iter().filter(|value| **value > 0.5).count();
    assert!((150..250).contains(&spikes), "{spikes}");
}

#[test]
fn it_ends_after_a_count_or_a_time() {
    assert_eq!(numbers(serde_json::json!({ "count": 3 }), "1s", 9).len(), 3);
    assert_eq!(numbers(serde_json::json!({ "for": "25s" }), "10s", 9).len(), 3);
    assert_eq!(numbers(serde_json::json!({ "for": "1h", "count": 2 }), "10s", 9).len(), 2);
}

#[test]
fn several_series_take_what_stands_at_the_top() {
    let settings = serde_json::json!({
        "unit": "percent", "wave": "constant", "base": 5,
        "series": { "a": {}, "b": { "base": 7, "decimals": 0 } }
    });
    assert_eq!(
        samples(settings.clone(), "1s", 1),
        [(0, "air:a".into(), Value::Float(5.0)), (0, "air:b".into(), Value::Int(7))]
    );
    let config: SimulateConfig = serde_json::from_value(settings).unwrap();
    let ids = config.profile().ids.unwrap();
    assert_eq!(ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn another_series_beside_it_changes_nothing() {
    let alone = numbers(serde_json::json!({ "series": { "b": {} } }), "1s", 50);
    let both = samples(serde_json::json!({ "series": { "a": {}, "b": {} } }), "1s", 50);
    let of = |name: &str| -> Vec<f64> {
        both.iter().filter(|one| one.1 == name).filter_map(|one| one.2.as_f64()).collect()
    };
    assert_eq!(of("air:b"), alone);
    assert_ne!(of("air:a"), alone);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let problems = |settings: serde_json::Value| -> Vec<String> {
        let config: SimulateConfig = serde_json::from_value(settings).unwrap();
        config.problems().into_iter().map(|one| one.field).collect()
    };
    assert_eq!(
        problems(
            serde_json::json!({ "min": 2, "max": 1, "period": "0s", "noise": -1, "decimals": 40, "spikes": { "size": 1 }, "stuck": { "probability": 2 } })
        ),
        ["min", "period", "noise", "decimals", "spikes", "stuck.probability"]
    );
    assert_eq!(
        problems(serde_json::json!({ "series": { "a": { "step": -1 } } })),
        ["series.a.step"]
    );
    let unknown = serde_json::from_value::<SimulateConfig>(serde_json::json!({ "wav": "sine" }));
    assert!(unknown.unwrap_err().to_string().contains("unknown field `wav`"));
}

proptest! {
    #[test]
    fn a_walk_stays_between_its_bounds(seed: u64, min in -10.0f64..0.0, width in 0.1f64..5.0, step in 0.0f64..20.0) {
        let settings = serde_json::json!({ "seed": seed, "base": min, "min": min, "max": min + width, "step": step, "noise": 1, "decimals": 12 });
        for value in numbers(settings, "1s", 100) {
            prop_assert!((min - 1e-9..=min + width + 1e-9).contains(&value), "{value}");
        }
    }
}
