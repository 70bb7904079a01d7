use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::duration::Duration;
use crate::observation::{Evidence, ObservationKind, Rung};
use crate::window::{Accumulator, Cause};

const NOW: Timestamp = Timestamp::from_micros(1_795_222_923_000_004);

fn kitchen(table: &SeriesTable) -> crate::series::SeriesId {
    let series = Series::new(SourceKey::parse("mqtt:t/a")).with_unit("°C");
    table.intern(&series.with_label("room", "kitchen")).unwrap()
}

fn text(items: &Items, table: &SeriesTable) -> String {
    let mut out = Vec::new();
    write_item(items, 0, table, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_reading_has_the_documented_form() {
    let table = SeriesTable::default();
    let mut reading = Reading::new(NOW, kitchen(&table), 21.5);
    reading.score = 0.3;
    let written = text(&Items::Readings(vec![reading]), &table);
    assert_eq!(
        written,
        r#"{"time":"2026-11-21T01:02:03.000004Z","source":"mqtt:t/a","value":21.5,"unit":"°C","labels":{"room":"kitchen"},"score":0.3,"count":1}"#
    );
    check(&written, "reading");
}

#[test]
fn what_is_empty_is_left_out_and_a_counter_says_so() {
    let table = SeriesTable::default();
    let plain = table.intern(&Series::new(SourceKey::parse("a:b"))).unwrap();
    let counter = table.intern(&Series::new(SourceKey::parse("a:c")).counter()).unwrap();
    let of = |series| text(&Items::Readings(vec![Reading::new(NOW, series, 7i64)]), &table);
    assert_eq!(
        of(plain),
        r#"{"time":"2026-11-21T01:02:03.000004Z","source":"a:b","value":7,"count":1}"#
    );
    assert_eq!(
        of(counter),
        r#"{"time":"2026-11-21T01:02:03.000004Z","source":"a:c","value":7,"monotonic":true,"count":1}"#
    );
    check(&of(counter), "reading");
}

#[test]
fn a_window_carries_its_summaries() {
    let table = SeriesTable::default();
    let series = kitchen(&table);
    let mut numbers = Accumulator::new(&Reading::new(NOW, series, 1.0));
    numbers.add(&Reading::new(NOW + Duration::from_secs(1), series, 3.0));
    let words = Accumulator::new(&Reading::new(NOW, series, Value::text("on")));
    let window = Window {
        start: NOW,
        end: NOW + Duration::from_secs(60),
        cause: Cause::Time,
        summaries: vec![numbers.summary(series), words.summary(series)],
    };
    let written = text(&Items::Windows(vec![window]), &table);
    assert_eq!(
        written,
        concat!(
            r#"{"start":"2026-11-21T01:02:03.000004Z","end":"2026-11-21T01:03:03.000004Z","cause":"time","summaries":["#,
            r#"{"source":"mqtt:t/a","unit":"°C","labels":{"room":"kitchen"},"count":2,"min":1.0,"max":3.0,"mean":2.0,"stddev":1.4142135623730951,"first":1.0,"last":3.0},"#,
            r#"{"source":"mqtt:t/a","unit":"°C","labels":{"room":"kitchen"},"count":1,"first":"on","last":"on"}]}"#
        )
    );
    check(&written, "window");
}

#[test]
fn an_observation_reads_back_as_it_was() {
    let observation = Observation {
        id: Uuid::from_u128(7),
        time: NOW,
        author: "home/frost".into(),
        kind: ObservationKind::Anomaly,
        text: "it is \"cold\"\n".into(),
        confidence: 0.75,
        sources: vec!["a:b".into()],
        evidence: Evidence { from: NOW, to: NOW, sources: vec!["a:b".into(), "a:c".into()] },
        model: Some("small".into()),
        rung: Rung::LocalModel,
    };
    let written = text(&Items::Observations(vec![observation.clone()]), &SeriesTable::default());
    assert_eq!(serde_json::from_str::<Observation>(&written).unwrap(), observation);
    check(&written, "observation");
    let bare =
        Observation { sources: Vec::new(), model: None, confidence: f64::NAN, ..observation };
    let written = text(&Items::Observations(vec![bare]), &SeriesTable::default());
    assert!(!written.contains("confidence") && !written.contains("\"model\""), "{written}");
    check(&written, "observation");
}

/// Holds a written item against the schema's keys: all that are required are there, and none that is not declared.
fn check(written: &str, form: &str) {
    let item: serde_json::Value = serde_json::from_str(written).unwrap();
    let schema = item_schema();
    check_object(&item, &schema["$defs"][form]);
    if form == "window" {
        let summary = &schema["$defs"]["window"]["properties"]["summaries"]["items"];
        item["summaries"].as_array().unwrap().iter().for_each(|one| check_object(one, summary));
    }
}

fn check_object(item: &serde_json::Value, schema: &serde_json::Value) {
    let (item, properties) = (item.as_object().unwrap(), &schema["properties"]);
    for required in schema["required"].as_array().unwrap() {
        assert!(item.contains_key(required.as_str().unwrap()), "{required} is missing");
    }
    for key in item.keys() {
        assert!(properties.get(key).is_some(), "`{key}` is not in the schema");
    }
}

#[test]
fn what_is_no_reading_says_what_is_wrong() {
    let error = |text: &str| parse_reading(text.as_bytes()).unwrap_err().to_string();
    assert!(error("{}").contains("missing field `time`"));
    assert!(error(r#"{"time":"x","source":"a:b","value":1}"#).contains("`x` is not a time"));
    let unknown = r#"{"time":"2026-11-21T01:02:03Z","source":"a:b","value":1,"valu":2}"#;
    assert!(error(unknown).contains("unknown field `valu`"));
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>().prop_filter_map("finite", Value::float),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        ".{0,20}".prop_map(|text| Value::text(&text)),
        Just(Value::Json(Arc::new(serde_json::json!({ "a": [1, null] })))),
    ]
}

proptest! {
    #[test]
    fn a_reading_reads_back_as_it_was(
        micros in 0i64..7_000_000_000_000_000, value in values(), score in 0.0f64..9.0, count in 1u32..,
        id in "[^\u{0}]{1,12}", unit in "[a-zµ/³]{0,4}", label in ".{0,8}", monotonic: bool,
    ) {
        let mut series = Series::new(SourceKey::local("t", &id)).with_unit(&unit).with_label("l", &label);
        series.monotonic = monotonic;
        let table = SeriesTable::default();
        let reading = Reading {
            time: Timestamp::from_micros(micros), value, score, count, series: table.intern(&series).unwrap(),
        };
        let mut out = Vec::new();
        write_item(&Items::Readings(vec![reading.clone()]), 0, &table, &mut out);
        let back = parse_reading(&out).unwrap();
        prop_assert_eq!(back.series, series);
        prop_assert_eq!((back.time, back.value, back.score, back.count), (reading.time, reading.value, score, count));
    }

    #[test]
    fn remembered_minutes_change_no_text(
        steps in prop::collection::vec(prop_oneof![-3_000_000i64..90_000_000, -90_000_000_000i64..90_000_000_000, Just(1_000), Just(1_000_000)], 1..50),
        start in prop_oneof![-70_000_000_000_000_000i64..260_000_000_000_000_000, Just(i64::MIN), Just(i64::MAX)],
    ) {
        let (mut text, mut at) = (InstantText::default(), start);
        for step in steps {
            at = at.saturating_add(step);
            let time = Timestamp::from_micros(at);
            let (mut one, mut other) = (Vec::new(), Vec::new());
            text.write(time, &mut one);
            time.write_rfc3339(&mut other);
            prop_assert_eq!(String::from_utf8(one), String::from_utf8(other));
        }
    }
}
