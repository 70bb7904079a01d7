use proptest::prelude::*;
use serde_json::json;
use smollama_engine::context::Context;
use smollama_engine::node::Node;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::testing::Rig;
use smollama_engine::time::Timestamp;

use super::MapConfig;

fn rig(settings: serde_json::Value) -> Rig<MapConfig> {
    Rig::json(settings)
}

fn config(settings: serde_json::Value) -> MapConfig {
    serde_json::from_value(settings).unwrap()
}

/// A reading of a series in a unit.
fn of(rig: &Rig<MapConfig>, source: &str, unit: &str, value: impl Into<Value>) -> Reading {
    let series = Series::new(SourceKey::parse(source)).with_unit(unit);
    Reading { series: rig.series_like(series), ..rig.reading(1.0, source, value) }
}

/// What a value of a series in a unit becomes, and its unit.
fn mapped(
    settings: serde_json::Value,
    unit: &str,
    value: impl Into<Value>,
) -> Option<(Value, String)> {
    let mut rig = rig(settings);
    rig.feed(vec![of(&rig, "t:a", unit, value)]);
    let (mut main, dropped) = (rig.readings("main"), rig.readings("dropped"));
    assert_eq!(main.len() + dropped.len(), 1);
    let reading = main.pop()?;
    let unit = rig.context().series(reading.series).unit.clone();
    Some((reading.value, unit.as_deref().unwrap_or_default().to_owned()))
}

fn float(value: f64, unit: &str) -> Option<(Value, String)> {
    Some((Value::Float(value), unit.to_owned()))
}

#[test]
fn a_number_is_scaled_moved_converted_clamped_and_rounded_in_this_order() {
    let all = json!({
        "scale": 0.1, "offset": 10, "unit": "°C", "convert": "°F", "clamp": { "max": 100 }, "round": 0
    });
    assert_eq!(mapped(all.clone(), "", 100.0), float(68.0, "°F"));
    assert_eq!(mapped(all.clone(), "", 104.0), float(69.0, "°F"));
    assert_eq!(mapped(all, "", 1e6), float(100.0, "°F"));
    assert_eq!(mapped(json!({ "convert": "kW" }), "W", 1500.0), float(1.5, "kW"));
    assert_eq!(mapped(json!({ "convert": "watts" }), "W", 1500.0), float(1500.0, "W"));
    assert_eq!(mapped(json!({ "round": 1 }), "%", 21.25), float(21.3, "%"));
    assert_eq!(mapped(json!({ "round": 1 }), "%", -0.35), float(-0.4, "%"));
    assert_eq!(mapped(json!({ "clamp": { "min": 0 } }), "%", -3.0), float(0.0, "%"));
    assert_eq!(mapped(json!({ "scale": 2 }), "", true), float(2.0, ""));
}

#[test]
fn a_whole_number_stays_whole_where_all_is_whole() {
    let whole = |value: i64, unit: &str| Some((Value::Int(value), unit.to_owned()));
    assert_eq!(
        mapped(json!({ "scale": -2, "offset": 1 }), "", i64::MAX / 2),
        whole(-i64::MAX + 2, "")
    );
    assert_eq!(
        mapped(json!({ "scale": 2 }), "", i64::MAX),
        None,
        "it is beyond what a number can be"
    );
    assert_eq!(
        mapped(json!({ "clamp": { "min": 0, "max": 9 }, "round": 2 }), "", 12i64),
        whole(9, "")
    );
    assert_eq!(mapped(json!({ "scale": 0.5 }), "", 3i64), float(1.5, ""));
    assert_eq!(mapped(json!({ "convert": "W" }), "kW", 3i64), float(3000.0, "W"));
    assert_eq!(mapped(json!({ "convert": "hPa" }), "mbar", 1013i64), whole(1013, "hPa"));
}

#[test]
fn what_cannot_be_calculated_with_is_dropped_and_passes_where_nothing_is() {
    assert_eq!(mapped(json!({ "scale": 2 }), "W", Value::text("unavailable")), None);
    assert_eq!(mapped(json!({ "scale": 1e300 }), "W", 1e300), None, "no infinity comes out");
    let text = Some((Value::text("on"), "W".to_owned()));
    assert_eq!(mapped(json!({ "unit": "W" }), "", Value::text("on")), text);
}

#[test]
fn a_unit_that_measures_something_else_is_refused_once_and_its_readings_are_dropped() {
    let settings = json!({ "convert": "kW" });
    assert_eq!(mapped(settings.clone(), "kWh", 5.0), None);
    assert_eq!(mapped(settings.clone(), "", 5.0), None);
    assert_eq!(mapped(settings, "W", 5.0), float(0.005, "kW"));
}

#[test]
fn names_come_from_templates_and_labels_are_removed_renamed_and_added() {
    let mut rig = rig(json!({
        "source": "room:{{ labels.room }}/{{ id | replace('air/', '') }}",
        "labels": { "add": { "floor": "1" }, "remove": "z_*", "rename": { "place": "room", "room": "place" } },
    }));
    let series = Series::new(SourceKey::parse("mqtt:air/temp")).with_unit("°C");
    let series =
        series.with_label("place", "kitchen").with_label("room", "x").with_label("z_mac", "00:11");
    let reading =
        Reading { series: rig.series_like(series), ..rig.reading(1.0, "mqtt:air/temp", 21.0) };
    rig.feed(vec![reading]);
    let made = rig.readings("main").remove(0).series;
    let made = rig.context().series(made);
    let expected = Series::new(SourceKey::parse("room:kitchen/temp")).with_unit("°C");
    let expected =
        expected.with_label("floor", "1").with_label("place", "x").with_label("room", "kitchen");
    assert_eq!(*made, expected);
    for nameless in ["{{ labels.room }}", "room:{{ labels.none }}", "{{ 'a:' ~ 'x' * 2000 }}"] {
        let mut rig = self::rig(json!({ "source": nameless }));
        rig.send(1.0, "t:a", 1.0);
        rig.send(2.0, "t:a", 1.0);
        assert_eq!(
            (rig.readings("main").len(), rig.readings("dropped").len()),
            (0, 2),
            "{nameless}"
        );
    }
}

#[test]
fn as_gives_the_type_and_the_id_is_what_it_was_made_from() {
    let name = |settings: serde_json::Value| {
        let rig = rig(json!({}));
        let mut context: Context = rig.context().clone();
        context.type_part = "fine".into();
        let rules = super::Rules::new(&config(settings), &context);
        rules.map(|rules| rules.shape(rig.series("t:a")).unwrap().series.source.name().to_owned())
    };
    assert_eq!(name(json!({ "scale": 2 })).unwrap(), "fine:t/a");
    assert_eq!(name(json!({ "id": "{{ type }}-{{ id }}" })).unwrap(), "fine:t-a");
    assert_eq!(name(json!({ "source": "x:y" })).unwrap_err().field, "source");
}

#[test]
fn a_counter_turned_round_is_none() {
    let counter = |scale: f64| {
        let mut rig = rig(json!({ "scale": scale }));
        let series = rig.series_like(Series::new(SourceKey::parse("t:a")).counter());
        rig.feed(vec![Reading { series, ..rig.reading(1.0, "t:a", 1.0) }]);
        let made = rig.readings("main").remove(0).series;
        rig.context().series(made).monotonic
    };
    assert_eq!((counter(0.5), counter(-1.0)), (true, false));
}

#[test]
fn the_first_override_that_fits_counts_and_the_rest_is_as_above() {
    let mut rig = rig(json!({
        "offset": 1, "round": 0,
        "overrides": [{ "match": "t:a*", "scale": 2 }, { "match": "t:**", "offset": 5 }],
    }));
    for source in ["t:a", "t:b", "u:a"] {
        rig.send(0.0, source, 1.4);
    }
    let values: Vec<Value> = rig.readings("main").into_iter().map(|one| one.value).collect();
    assert_eq!(values, [4.0, 6.0, 2.0].map(Value::Float));
}

#[test]
fn time_score_count_and_order_stay() {
    let mut rig = rig(json!({ "scale": 2 }));
    let all = [Timestamp::MAX, Timestamp::MIN, Timestamp::EPOCH].map(|time| Reading {
        time,
        score: 0.5,
        count: 7,
        ..rig.reading(0.0, "t:a", 1.0)
    });
    rig.feed(all.to_vec());
    rig.restart();
    let passed = rig.readings("main");
    assert_eq!(passed, all.map(|one| Reading { value: Value::Float(2.0), ..one }));
}

#[test]
fn a_name_of_two_series_is_given_back_with_the_last_of_them() {
    let mut rig = rig(json!({ "source": "all:one" }));
    rig.send(0.0, "t:a", 1.0);
    rig.send(0.0, "t:b", 2.0);
    let made = rig.readings("main")[0].series;
    assert_eq!(rig.forget(&["t:a"]), []);
    rig.restart();
    rig.send(1.0, "t:b", 2.0);
    assert_eq!(rig.readings("main")[0].series, made);
    rig.restart();
    assert_eq!(rig.forget(&["t:b"]), [made]);
    let mut same = self::rig(json!({ "scale": 2 }));
    same.send(0.0, "t:a", 1.0);
    assert_eq!(same.forget(&["t:a"]), [], "it is the input's own");
}

#[test]
fn bad_settings_say_what_to_write() {
    let problem = |settings: serde_json::Value| {
        let mut problems = config(settings.clone()).problems();
        assert_eq!(problems.len(), 1, "{settings}: {problems:?}");
        let one = problems.remove(0);
        format!("{}: {}; {}", one.field, one.message, one.help.unwrap())
    };
    for (settings, expected) in [
        (
            json!({ "unit": "W", "convert": "kWh" }),
            "convert: `W` is a power and `kWh` is an energy; a conversion keeps",
        ),
        (
            json!({ "convert": "kPas" }),
            "convert: `kPas` is no unit that can be converted; did you mean `kPa`?",
        ),
        (json!({ "source": "a:{{ idd }}" }), "source: a series has no `idd`; did you mean `id`?"),
        (json!({ "source": "a:b", "id": "b" }), "id: `source` says the id too; give"),
        (json!({ "clamp": { "min": 5, "max": 1 } }), "clamp.min: 5 is more than `max`, 1; swap"),
        (json!({ "clamp": {} }), "clamp: it has no bounds; give"),
        (json!({ "round": 13 }), "round: 13 decimals; it must be from 0 to 12; write"),
        (json!({ "scale": 0 }), "scale: every value would become the same; leave out"),
        (
            json!({ "unit": "V", "overrides": [{ "match": "a:**", "convert": "W" }] }),
            "overrides.0.convert: `V` is a voltage and `W` is a power",
        ),
        (
            json!({ "overrides": [{ "match": "a:**" }] }),
            "overrides.0: an override that changes nothing",
        ),
    ] {
        let problem = problem(settings);
        assert!(problem.starts_with(expected), "{problem}");
    }
    assert_eq!(config(json!({ "unit": "V", "labels": { "remove": ["a"] } })).problems(), []);
    let rig = rig(json!({}));
    let built = config(json!({ "id": "{{ id" })).build(rig.context());
    assert!(matches!(built, Err(problem) if problem.field == "id"));
    assert!(matches!(config(json!({})).build(rig.context()), Ok(Node::Transform(_))));
}

proptest! {
    /// A scale and an offset and their inverse give back what was there, and rounding is the nearest.
    #[test]
    fn what_is_mapped_back_is_what_it_was(value in -1e6f64..1e6, scale in 0.01f64..100.0, offset in -1e3f64..1e3) {
        let (there, _) = mapped(json!({ "scale": scale, "offset": offset }), "", value).unwrap();
        let there = there.as_f64().unwrap();
        let back = mapped(json!({ "offset": -offset }), "", there).unwrap().0;
        let back = mapped(json!({ "scale": 1.0 / scale }), "", back.as_f64().unwrap()).unwrap().0;
        prop_assert!((back.as_f64().unwrap() - value).abs() < 1e-6 * scale.recip().max(1.0));
    }

    #[test]
    fn rounding_gives_the_nearest_with_so_many_decimals(value in -1e9f64..1e9, decimals in 0u8..6) {
        let (to, _) = mapped(json!({ "round": decimals }), "", value).unwrap();
        let to = to.as_f64().unwrap();
        let power = 10f64.powi(i32::from(decimals));
        // A value that lies half-way may be told on either side of it by its own last bit.
        let last_bit = value.abs() * f64::EPSILON;
        prop_assert!((to - value).abs() <= 0.5 / power + last_bit);
        let text = to.to_string();
        let written = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        prop_assert!(written <= usize::from(decimals), "{}", text);
    }
}

#[test]
fn last_values_go_the_way_of_readings() {
    let mut rig = rig(json!({ "scale": 2 }));
    rig.prime(1.0, "t:a", 3.0);
    assert_eq!(rig.values("main"), [(1.0, "t:a".into(), Value::Float(6.0))]);
}
