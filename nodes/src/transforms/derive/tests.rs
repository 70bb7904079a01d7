use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::testing::Rig;
use smollama_engine::time::Timestamp;

use super::DeriveConfig;

fn rig(settings: serde_json::Value) -> Rig<DeriveConfig> {
    Rig::json(settings)
}

fn config(settings: serde_json::Value) -> DeriveConfig {
    serde_json::from_value(settings).unwrap()
}

/// What lies on `main`: seconds and numbers.
fn taken(rig: &mut Rig<DeriveConfig>) -> Vec<(f64, f64)> {
    rig.values("main").into_iter().map(|(at, _, value)| (at, value.as_f64().unwrap())).collect()
}

/// What settings make of numbers, and in what unit.
fn made(
    settings: serde_json::Value,
    unit: &str,
    values: &[(f64, f64)],
) -> (Vec<(f64, f64)>, String) {
    let mut rig = rig(settings);
    let series = rig.series_like(Series::new(SourceKey::parse("t:a")).with_unit(unit));
    let readings =
        values.iter().map(|&(at, value)| Reading { series, ..rig.reading(at, "t:a", value) });
    rig.feed(readings.collect());
    let readings = rig.readings("main");
    let told = readings.first().map(|one| rig.context().series(one.series));
    let told = told.and_then(|series| series.unit.as_deref().map(str::to_owned));
    let seconds = |time: Timestamp| time.since(smollama_engine::testing::START).as_secs_f64();
    let values = readings.iter().map(|one| (seconds(one.time), one.value.as_f64().unwrap()));
    (values.collect(), told.unwrap_or_default())
}

fn of(values: &[(f64, f64)], unit: &str) -> (Vec<(f64, f64)>, String) {
    (values.to_vec(), unit.to_owned())
}

#[test]
fn a_difference_is_to_the_reading_before_and_whole_of_whole_numbers() {
    let steps = [(0.0, 5.0), (1.0, 7.0), (1.0, 4.0)];
    assert_eq!(
        made(json!({ "difference": true }), "°C", &steps),
        of(&[(1.0, 2.0), (1.0, -3.0)], "°C")
    );
    let far = json!({ "difference": true, "convert": "°F" });
    assert_eq!(
        made(far, "°C", &steps),
        of(&[(1.0, 3.6), (1.0, -5.4)], "°F"),
        "where zero lies is no matter"
    );
    let mut rig = rig(json!({ "difference": true }));
    for (at, value) in [(0.0, i64::MAX - 1), (1.0, i64::MAX), (2.0, i64::MIN), (3.0, i64::MIN + 5)]
    {
        rig.send(at, "t:a", value);
    }
    let values: Vec<Value> = rig.values("main").into_iter().map(|(.., value)| value).collect();
    assert_eq!(values, [Value::Int(1), Value::Int(5)], "what no number can hold is not told");
}

#[test]
fn a_rate_is_per_time_and_several_readings_of_one_instant_are_one() {
    let steps = [(0.0, 100.0), (30.0, 101.0), (30.0, 200.0), (90.0, 103.0)];
    let expected = [(30.0, 120.0), (90.0, 120.0)];
    assert_eq!(made(json!({ "rate": "h" }), "kWh", &steps), of(&expected, "kW"));
    let expected = [(30.0, 2.0), (90.0, 2.0)];
    assert_eq!(made(json!({ "rate": "min" }), "°C", &steps), of(&expected, "°C/min"));
    let watts = [(30.0, 120_000.0), (90.0, 120_000.0)];
    assert_eq!(made(json!({ "rate": "h", "convert": "W" }), "kWh", &steps), of(&watts, "W"));
}

#[test]
fn a_counter_that_began_anew_grew_by_what_it_shows_and_one_that_stumbles_says_nothing() {
    let steps = [(0.0, 100.0), (1.0, 110.0), (2.0, 109.5), (3.0, 111.0), (4.0, 6.0), (5.0, 8.0)];
    let expected = [(1.0, 10.0), (3.0, 1.0), (4.0, 6.0), (5.0, 2.0)];
    let counter = json!({ "difference": true, "counter": true });
    assert_eq!(made(counter, "", &steps).0, expected);
    let rates = [(1.0, 10.0), (3.0, 0.5), (4.0, 6.0), (5.0, 2.0)];
    assert_eq!(made(json!({ "rate": "s", "counter": true }), "", &steps), of(&rates, "1/s"));
    assert_eq!(made(json!({ "difference": true }), "", &steps).0.len(), 5, "others may fall");

    let said = |counter: serde_json::Value| {
        let mut rig = rig(counter);
        let series = rig.series_like(Series::new(SourceKey::parse("t:a")).counter());
        let of = |at, value: f64| Reading { series, ..rig.reading(at, "t:a", value) };
        let all = vec![of(0.0, 100.0), of(1.0, 3.0)];
        rig.feed(all);
        taken(&mut rig)
    };
    assert_eq!(said(json!({ "difference": true })), [(1.0, 3.0)], "the source says so");
    assert_eq!(said(json!({ "difference": true, "counter": false })), [(1.0, -97.0)]);
}

#[test]
fn a_moving_average_is_of_the_last_so_long() {
    let steps = [(0.0, 1.0), (5.0, 3.0), (10.0, 8.0), (30.0, 6.0)];
    let expected = [(0.0, 1.0), (5.0, 2.0), (10.0, 5.5), (30.0, 6.0)];
    assert_eq!(made(json!({ "moving_average": "10s" }), "°C", &steps), of(&expected, "°C"));
}

#[test]
fn an_integral_takes_the_straight_line_or_the_former_value_and_nothing_over_a_gap() {
    let steps =
        [(0.0, 1000.0), (1800.0, 3000.0), (3600.0, 3000.0), (36_000.0, 500.0), (37_800.0, 500.0)];
    let h = json!({ "integral": "h", "max_gap": "1h" });
    let expected =
        [(0.0, 0.0), (1800.0, 1000.0), (3600.0, 2500.0), (36_000.0, 2500.0), (37_800.0, 2750.0)];
    assert_eq!(made(h, "W", &steps), of(&expected, "Wh"));
    let left = json!({ "integral": "h", "max_gap": "1h", "method": "left", "convert": "kWh" });
    let expected = [(0.0, 0.0), (1800.0, 0.5), (3600.0, 2.0), (36_000.0, 2.0), (37_800.0, 2.25)];
    assert_eq!(made(left, "W", &steps), of(&expected, "kWh"));
    assert_eq!(made(json!({ "integral": "s" }), "", &[(0.0, 1.0)]).1, "s");
}

#[test]
fn a_unit_that_does_not_fit_drops_the_readings_of_its_series() {
    let mut rig = rig(json!({ "integral": "h", "convert": "kWh" }));
    for at in 0..3 {
        rig.send(f64::from(at), "t:a", 5.0);
    }
    rig.restart();
    rig.send(3.0, "t:a", 5.0);
    assert_eq!((rig.readings("main").len(), rig.readings("dropped").len()), (0, 4));
}

#[test]
fn time_in_a_state_is_told_each_period_and_the_last_value_holds() {
    let mut rig = rig(json!({ "time_in": { "above": 30 }, "period": "1h", "max_gap": "30m" }));
    for (at, value) in [(600.0, 35.0), (900.0, 20.0), (3500.0, 31.0), (3700.0, 10.0)] {
        rig.send(at, "t:a", value);
    }
    rig.restart();
    rig.wait_until(7200.0);
    rig.send(7201.0, "t:a", 40.0);
    rig.wait_until(14_400.0);
    assert_eq!(
        taken(&mut rig),
        [(3600.0, 400.0), (7200.0, 100.0), (10_800.0, 1800.0), (14_400.0, 0.0)]
    );
    rig.send(14_500.0, "t:a", 40.0);
    rig.send(14_600.0, "t:a", 40.0);
    rig.finish();
    assert_eq!(taken(&mut rig), [(14_600.0, 100.0)], "the period so far");
}

#[test]
fn a_count_is_told_of_each_series_each_period_and_starts_anew() {
    let mut rig = rig(json!({ "count": true, "period": "1m" }));
    rig.send(1.0, "t:b", Value::text("a word"));
    let many = Reading { count: 4, ..rig.reading(59.0, "t:a", 1.0) };
    rig.feed(vec![many, rig.reading(60.0, "t:a", 1.0), rig.reading(61.0, "t:a", 1.0)]);
    rig.wait_until(185.0);
    rig.send(170.0, "t:a", 1.0);
    assert_eq!(rig.readings("late").len(), 1, "its period is over");
    let values = rig.values("main");
    let expected = [
        (60.0, "a", 4),
        (60.0, "b", 1),
        (120.0, "a", 2),
        (120.0, "b", 0),
        (180.0, "a", 0),
        (180.0, "b", 0),
    ];
    let expected =
        expected.map(|(at, of, count)| (at, format!("test.node:t/{of}"), Value::Int(count)));
    assert_eq!(values, expected);
}

#[test]
fn a_day_is_one_of_the_calendar_and_absurd_times_do_no_harm() {
    let mut rig = rig(json!({ "count": true, "period": "1d" }));
    let at = |rig: &Rig<DeriveConfig>, time| Reading { time, ..rig.reading(0.0, "t:a", 1.0) };
    for time in [Timestamp::MIN, Timestamp::EPOCH, Timestamp::FAR_FUTURE, Timestamp::EPOCH] {
        let reading = at(&rig, time);
        rig.feed(vec![reading]);
    }
    rig.finish();
    assert_eq!(rig.readings("late").len(), 2);
    for settings in
        [json!({ "rate": "s" }), json!({ "integral": "d" }), json!({ "moving_average": "1s" })]
    {
        let mut rig = self::rig(settings);
        let all =
            [(Timestamp::MIN, f64::MAX), (Timestamp::EPOCH, f64::MIN), (Timestamp::MAX, f64::MAX)];
        let all = all.map(|(time, value)| Reading { time, ..rig.reading(0.0, "t:a", value) });
        rig.feed(all.to_vec());
        let finite = |one: &Reading| one.value.as_f64().is_some_and(f64::is_finite);
        assert!(rig.readings("main").iter().all(finite));
        rig.restart();
    }
}

#[test]
fn late_readings_and_texts_change_nothing() {
    let mut rig = rig(json!({ "difference": true }));
    rig.send(10.0, "t:a", 1.0);
    rig.send(5.0, "t:a", 100.0);
    rig.send(11.0, "t:a", Value::text("unavailable"));
    rig.send(12.0, "t:a", 3.0);
    rig.send(12.0, "t:b", Value::text("unavailable"));
    assert_eq!((rig.readings("late").len(), rig.readings("dropped").len()), (1, 2));
    assert_eq!(taken(&mut rig), [(12.0, 2.0)]);
}

#[test]
fn under_other_settings_the_same_kind_goes_on_and_another_begins_anew() {
    let mut rig = rig(json!({ "rate": "s" }));
    rig.send(0.0, "t:a", 1.0);
    rig.restart_as(config(json!({ "rate": "min" }))).unwrap();
    rig.send(1.0, "t:a", 2.0);
    assert_eq!(taken(&mut rig), [(1.0, 60.0)]);
    let reset = rig.restart_as(config(json!({ "difference": true }))).unwrap_err();
    assert_eq!(reset.to_string(), "of `rate` no `difference` can be made");
    let mut count = self::rig(json!({ "count": true, "period": "1h" }));
    count.send(60.0, "t:a", 1.0);
    count.restart_as(config(json!({ "count": true, "period": "1m" }))).unwrap();
    count.wait_until(120.0);
    assert_eq!(taken(&mut count), [(60.0, 1.0), (120.0, 0.0)]);
}

#[test]
fn bad_settings_say_what_to_write() {
    for (settings, expected) in [
        (json!({}), ": makes nothing; give one of difference"),
        (
            json!({ "difference": true, "rate": "s" }),
            "rate: `difference` and `rate` are two quantities; make two",
        ),
        (json!({ "count": true }), "count: `count` is told of a period; give `period`"),
        (json!({ "count": true, "period": "1ms" }), "period: 1ms is shorter than 1s; write"),
        (
            json!({ "rate": "s", "period": "1h" }),
            "period: it is a setting of `time_in` and `count`; leave out",
        ),
        (
            json!({ "rate": "s", "method": "left" }),
            "method: it is a setting of `integral`; leave out",
        ),
        (json!({ "moving_average": "0s" }), "moving_average: it is longer than nothing; write"),
        (
            json!({ "integral": "h", "convert": "kwha" }),
            "convert: `kwha` is no unit that can be converted; did you mean `kWh`?",
        ),
        (
            json!({ "time_in": { "above": 1 }, "period": "1h", "convert": "kWh" }),
            "convert: `s` is a time and `kWh` is an energy; write",
        ),
        (json!({ "time_in": {}, "period": "1h" }), "time_in: says nothing about the value; give"),
    ] {
        let problems = config(settings.clone()).problems();
        let one = problems.first().unwrap_or_else(|| panic!("{settings} is fine"));
        let said = format!("{}: {}; {}", one.field, one.message, one.help.as_deref().unwrap());
        assert!(said.starts_with(expected), "{said}");
    }
    let error = serde_json::from_value::<DeriveConfig>(json!({ "rate": "week" })).unwrap_err();
    assert!(error.to_string().contains("`min`"), "{error}");
}

/// Readings of three series with steps, same instants, pauses and jumps back.
fn traffic() -> impl Strategy<Value = Vec<(u8, i32, i16)>> {
    prop::collection::vec((0u8..3, -3i32..40, -50i16..100), 0..80)
}

fn readings(rig: &Rig<DeriveConfig>, traffic: &[(u8, i32, i16)]) -> Vec<Reading> {
    let mut now = 0;
    let of = |&(series, step, value): &(u8, i32, i16)| {
        now = (now + step).max(0);
        rig.reading(f64::from(now), &format!("t:{series}"), f64::from(value) * 0.1)
    };
    traffic.iter().map(of).collect()
}

/// What is taken of each series, in order.
fn accepted(all: &[Reading]) -> Vec<Vec<(f64, f64)>> {
    let mut series: HashMap<_, Vec<(f64, f64)>> = HashMap::new();
    for one in all {
        let at = one.time.since(smollama_engine::testing::START).as_secs_f64();
        let taken = series.entry(one.series).or_default();
        if taken.last().is_none_or(|(last, _)| at >= *last) {
            taken.push((at, one.value.as_f64().unwrap()));
        }
    }
    let mut all: Vec<_> = series.into_iter().collect();
    all.sort_by_key(|(id, _)| *id);
    all.into_iter().map(|(_, taken)| taken).collect()
}

/// What the node makes of one series.
fn by_node(settings: &serde_json::Value, taken: &[(f64, f64)]) -> Vec<(f64, f64)> {
    made(settings.clone(), "", taken).0
}

fn close(node: &[(f64, f64)], model: &[(f64, f64)]) -> bool {
    let near = |(a, b): (&(f64, f64), &(f64, f64))| {
        a.0 == b.0 && (a.1 - b.1).abs() < 1e-9 * b.1.abs().max(1.0)
    };
    node.len() == model.len() && node.iter().zip(model).all(near)
}

fn kinds() -> impl Strategy<Value = serde_json::Value> {
    prop::sample::select(vec![
        json!({ "difference": true }),
        json!({ "rate": "min", "counter": true }),
        json!({ "moving_average": "30s" }),
        json!({ "exponential_average": "30s" }),
        json!({ "integral": "min", "max_gap": "35s" }),
        json!({ "time_in": { "above": 1 }, "period": "1m", "max_gap": "35s" }),
        json!({ "count": true, "period": "1m" }),
    ])
}

proptest! {
    #[test]
    fn the_cut_into_batches_and_restarts_change_nothing(
        traffic in traffic(), cut in 1usize..10, settings in kinds(),
    ) {
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        whole.feed(readings(&whole, &traffic));
        for part in readings(&parts, &traffic).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        whole.finish();
        parts.finish();
        for port in ["main", "dropped", "late"] {
            prop_assert_eq!(whole.values(port), parts.values(port), "{}", port);
        }
    }

    #[test]
    fn each_mean_is_that_of_the_readings_of_the_span(traffic in traffic()) {
        let settings = json!({ "moving_average": "30s" });
        for taken in accepted(&readings(&rig(settings.clone()), &traffic)) {
            let model = |upto: usize| {
                let (at, _) = taken[upto];
                let within: Vec<f64> =
                    taken[..=upto].iter().filter(|(time, _)| *time > at - 30.0).map(|one| one.1).collect();
                (at, within.iter().sum::<f64>() / within.len() as f64)
            };
            let model: Vec<_> = (0..taken.len()).map(model).collect();
            prop_assert!(close(&by_node(&settings, &taken), &model));
        }
    }

    /// Against the sum of all readings by their weights.
    #[test]
    fn an_exponential_average_weighs_by_age(traffic in traffic()) {
        let settings = json!({ "exponential_average": "30s" });
        for taken in accepted(&readings(&rig(settings.clone()), &traffic)) {
            let decay = |from: f64, to: f64| (-(to - from) / 30.0).exp();
            let model = |upto: usize| {
                let (at, _) = taken[upto];
                let first = taken[0].1 * decay(taken[0].0, at);
                let rest = taken[..=upto].windows(2).map(|pair| {
                    pair[1].1 * (1.0 - decay(pair[0].0, pair[1].0)) * decay(pair[1].0, at)
                });
                (at, first + rest.sum::<f64>())
            };
            let model: Vec<_> = (0..taken.len()).map(model).collect();
            prop_assert!(close(&by_node(&settings, &taken), &model));
        }
    }

    #[test]
    fn an_integral_is_the_sum_of_the_areas(traffic in traffic(), left: bool) {
        let method = if left { "left" } else { "trapezoid" };
        let settings = json!({ "integral": "min", "max_gap": "35s", "method": method });
        for taken in accepted(&readings(&rig(settings.clone()), &traffic)) {
            let model = |upto: usize| {
                let areas = taken[..=upto].windows(2).filter(|pair| pair[1].0 - pair[0].0 <= 35.0);
                let areas = areas.map(|pair| {
                    let height = if left { pair[0].1 } else { (pair[0].1 + pair[1].1) / 2.0 };
                    height * (pair[1].0 - pair[0].0) / 60.0
                });
                (taken[upto].0, areas.sum::<f64>())
            };
            let model: Vec<_> = (0..taken.len()).map(model).collect();
            prop_assert!(close(&by_node(&settings, &taken), &model));
        }
    }

    /// Over all periods together, a time in a state is what the pauses say, and a count is how many came.
    #[test]
    fn periods_add_up(traffic in traffic()) {
        let mut held = rig(json!({ "time_in": { "above": 1 }, "period": "1m" }));
        let mut count = rig(json!({ "count": true, "period": "1m" }));
        let all = readings(&held, &traffic);
        // By the clock of all readings together, some come when their period is over.
        held.feed(all.clone());
        count.feed(readings(&count, &traffic));
        held.finish();
        count.finish();
        let counted: f64 = taken(&mut count).into_iter().map(|(_, count)| count).sum();
        prop_assert_eq!(counted as usize + count.readings("late").len(), traffic.len());
        let late = held.readings("late");
        let mut rest = all;
        for one in late {
            // A score of NaN equals none.
            let key = |one: &Reading| (one.time, one.series, one.value.clone());
            let at = rest.iter().position(|other| key(other) == key(&one)).unwrap();
            rest.remove(at);
        }
        let pauses = |taken: &Vec<(f64, f64)>| -> f64 {
            taken.windows(2).filter(|pair| pair[0].1 > 1.0).map(|pair| pair[1].0 - pair[0].0).sum()
        };
        let least: f64 = accepted(&rest).iter().map(pauses).sum();
        let told: f64 = taken(&mut held).into_iter().map(|(_, held)| held).sum();
        let end = Duration::from_mins(1).as_secs_f64() * 80.0;
        // The last value of a series holds on up to the last period that was told.
        prop_assert!(told >= least - 1e-6 && told <= least + 3.0 * end, "{} {}", told, least);
    }
}
