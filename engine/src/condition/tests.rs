use std::sync::Arc;

use jiff::tz::{Offset, TimeZone};
use serde_json::json;
use uuid::Uuid;

use super::{Condition, Predicate};
use crate::batch::ItemKind;
use crate::context::Host;
use crate::observation::{Evidence, Observation, ObservationKind, Rung};
use crate::reading::{Reading, Value};
use crate::series::{Series, SeriesId, SourceKey};
use crate::time::Timestamp;
use crate::window::{Accumulator, Cause, Window};

fn host(timezone: TimeZone) -> Arc<Host> {
    Arc::new(Host { timezone, ..Host::for_tests(&std::env::temp_dir()) })
}

fn condition(settings: serde_json::Value) -> Condition {
    serde_json::from_value(settings).unwrap()
}

struct Bench(Arc<Host>);

impl Bench {
    fn new() -> Bench {
        Bench(host(TimeZone::UTC))
    }
    fn series(&self, source: &str, label: Option<(&str, &str)>) -> SeriesId {
        let mut series = Series::new(SourceKey::parse(source));
        if let Some((name, value)) = label {
            series = series.with_label(name, value);
        }
        self.0.series.intern(&series).unwrap()
    }
    fn reading(&self, source: &str, value: impl Into<Value>) -> Reading {
        Reading::new(Timestamp::EPOCH, self.series(source, None), value)
    }
    fn meets(&self, settings: serde_json::Value, reading: &Reading) -> bool {
        let mut predicate = Predicate::new(&condition(settings), &self.0);
        let first = predicate.reading(reading);
        assert_eq!(first, predicate.reading(reading), "asking twice");
        first
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn sources_and_labels_choose_series() {
    let bench = Bench::new();
    let cpu = bench.reading("system:cpu/0", 1.0);
    assert!(bench.meets(json!({ "sources": "system:**" }), &cpu));
    assert!(!bench.meets(json!({ "sources": ["system:*", "air:**"] }), &cpu));
    assert!(!bench.meets(json!({ "sources": "system:**", "exclude": "**/0" }), &cpu));
    assert!(bench.meets(json!({ "exclude": "**/1" }), &cpu));
    assert!(bench.meets(json!({ "sources": "air:**", "not": true }), &cpu));

    let kitchen = bench.series("t:a", Some(("room", "kitchen")));
    let kitchen = Reading::new(Timestamp::EPOCH, kitchen, 1.0);
    assert!(bench.meets(json!({ "labels": { "room": "k*" } }), &kitchen));
    assert!(!bench.meets(json!({ "labels": { "room": "cellar" } }), &kitchen));
    assert!(!bench.meets(json!({ "labels": { "room": "**" } }), &cpu));
    assert!(!bench.meets(json!({ "labels": { "room": "k*", "floor": "1" } }), &kitchen));
}

#[test]
fn values_are_compared_by_their_kind() {
    let bench = Bench::new();
    let check = |value: Value, test: serde_json::Value| {
        bench.meets(json!({ "value": test }), &bench.reading("t:a", value))
    };
    for (value, test, expected) in [
        (Value::Float(30.0), json!({ "above": 30 }), false),
        (Value::Float(30.1), json!({ "above": 30 }), true),
        (Value::Int(30), json!({ "min": 30, "max": 30 }), true),
        (Value::Int(30), json!({ "below": 30 }), false),
        (Value::Int(-5), json!({ "between": [-5, 5] }), true),
        (Value::Float(5.1), json!({ "between": [-5, 5] }), false),
        (Value::Float(5.1), json!({ "outside": [-5, 5] }), true),
        (Value::Int(5), json!({ "outside": [-5, 5] }), false),
        (Value::text("6"), json!({ "outside": [-5, 5] }), false),
        (Value::Int(5), json!({ "equals": 5.0 }), true),
        (Value::Bool(true), json!({ "equals": true }), true),
        (Value::Bool(true), json!({ "equals": 1 }), false),
        (Value::Bool(true), json!({ "above": 0 }), true),
        (Value::text("on"), json!({ "equals": "on" }), true),
        (Value::text("On"), json!({ "equals": "on" }), false),
        (Value::text("5"), json!({ "equals": 5 }), false),
        (Value::text("5"), json!({ "below": 9 }), false),
        (Value::text("b"), json!({ "in": ["a", "b", 3] }), true),
        (Value::Int(3), json!({ "in": ["a", "b", 3] }), true),
        (Value::Int(3), json!({ "in": [3, 4], "equals": 4 }), false),
        (Value::Json(Arc::new(json!([1]))), json!({ "equals": "[1]" }), false),
    ] {
        assert_eq!(check(value.clone(), test.clone()), expected, "{value:?} {test}");
    }
}

#[test]
fn nobody_s_score_is_in_no_range() {
    let bench = Bench::new();
    let mut reading = bench.reading("t:a", 1.0);
    assert!(!bench.meets(json!({ "score": { "min": -1 } }), &reading));
    assert!(!bench.meets(json!({ "score": { "max": 9 } }), &reading));
    reading.score = 1.0;
    assert!(bench.meets(json!({ "score": { "min": 1 } }), &reading));
    assert!(!bench.meets(json!({ "score": { "max": 0.9 } }), &reading));
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    // 2026-11-20 is a Friday. The host is two hours ahead of UTC.
    let host = host(TimeZone::fixed(Offset::constant(2)));
    let id = host.series.intern(&Series::new(SourceKey::parse("t:a"))).unwrap();
    let settings = json!({ "time_of_day": ["22:00-06:00", "12:00-12:30"], "days": "fri" });
    let mut night = Predicate::new(&condition(settings), &host);
    let mut meets = |time: &str| night.reading(&Reading::new(at(time), id, 1.0));
    assert!(!meets("2026-11-20T19:59:59Z"), "before ten at night");
    assert!(meets("2026-11-20T20:00:00Z"));
    assert!(meets("2026-11-21T03:59:59Z"), "Saturday morning, Friday's night");
    assert!(!meets("2026-11-21T04:00:00Z"));
    assert!(!meets("2026-11-20T02:00:00Z"), "Friday morning, Thursday's night");
    assert!(meets("2026-11-20T10:29:59.999999Z") && !meets("2026-11-20T10:30:00Z"));

    let settings = json!({ "days": ["sat-sun", "wed"] });
    let mut weekend = Predicate::new(&condition(settings), &host);
    let mut meets = |time: &str| weekend.reading(&Reading::new(at(time), id, 1.0));
    assert!(meets("2026-11-20T22:00:00Z") && !meets("2026-11-20T21:59:59Z"));
    assert!(meets("2026-11-18T10:00:00Z") && !meets("2026-11-19T10:00:00Z"));
}

#[test]
fn summer_time_moves_the_day() {
    let Ok(zone) = TimeZone::get("Europe/Berlin") else { return };
    let host = host(zone);
    let id = host.series.intern(&Series::new(SourceKey::parse("t:a"))).unwrap();
    let mut noon = Predicate::new(&condition(json!({ "time_of_day": "12:00-13:00" })), &host);
    let mut meets = |time: &str| noon.reading(&Reading::new(at(time), id, 1.0));
    assert!(meets("2026-01-01T11:00:00Z") && !meets("2026-01-01T10:00:00Z"));
    assert!(meets("2026-07-01T10:00:00Z") && !meets("2026-07-01T11:00:00Z"));
    // Absurd times have a time of day too, and do not panic.
    let _ = (meets("0001-01-01T00:00:00Z"), meets("9999-01-01T00:00:00Z"));
    let _ = noon.reading(&Reading::new(Timestamp::MAX, id, 1.0));
    let _ = noon.reading(&Reading::new(Timestamp::MIN, id, 1.0));
}

#[test]
fn nothing_stays_of_a_series_that_is_forgotten() {
    let host = host(TimeZone::UTC);
    let ids = ["t:a", "t:b"]
        .map(|name| host.series.intern(&Series::new(SourceKey::parse(name))).unwrap());
    let mut predicate = Predicate::new(&condition(json!({ "sources": "t:a" })), &host);
    let mut meets = |id| predicate.reading(&Reading::new(Timestamp::EPOCH, id, 1.0));
    assert!(meets(ids[0]) && !meets(ids[1]));
    assert_eq!(predicate.decided(), 2);
    predicate.forget(&ids[..1]);
    assert_eq!(predicate.decided(), 1);
}

#[test]
fn one_series_of_a_window_must_meet_all() {
    let bench = Bench::new();
    let (hot, cold) = (bench.reading("t:hot", 40.0), bench.reading("t:cold", 5.0));
    let window = Window {
        start: at("2026-11-20T05:00:00Z"),
        end: at("2026-11-20T06:00:00Z"),
        cause: Cause::Urgent,
        summaries: [&hot, &cold].map(|one| Accumulator::new(one).summary(one.series)).to_vec(),
    };
    let meets = |settings| Predicate::new(&condition(settings), &bench.0).window(&window);
    assert!(meets(json!({ "value": { "above": 30 } })));
    assert!(!meets(json!({ "value": { "above": 30 }, "sources": "t:cold" })));
    assert!(meets(json!({ "value": { "above": 30, "of": "mean" }, "sources": "t:hot" })));
    assert!(meets(json!({ "value": { "equals": 1, "of": "count" } })));
    assert!(meets(json!({ "cause": ["end", "urgent"] })) && !meets(json!({ "cause": "end" })));
    assert!(meets(json!({ "time_of_day": "05:00-06:00" })), "the end is not in it");
    assert!(!meets(json!({ "kind": "anomaly" })));
}

#[test]
fn observations_have_kind_confidence_and_sources() {
    let bench = Bench::new();
    let observation = Observation {
        id: Uuid::nil(),
        time: Timestamp::EPOCH,
        author: "p/n".into(),
        kind: ObservationKind::Anomaly,
        text: "hot".into(),
        confidence: 0.8,
        sources: vec!["t:a".into(), "t:b".into()],
        evidence: Evidence::default(),
        model: None,
        rung: Rung::Rule,
    };
    let meets = |settings| Predicate::new(&condition(settings), &bench.0).observation(&observation);
    assert!(meets(json!({ "kind": "anomaly" })) && !meets(json!({ "kind": ["fact"] })));
    assert!(meets(json!({ "kind": "fact", "not": true })));
    assert!(meets(json!({ "confidence": { "min": 0.8 } })));
    assert!(!meets(json!({ "confidence": { "min": 0.9 } })));
    assert!(meets(json!({ "sources": "t:b" })) && !meets(json!({ "sources": "t:c" })));
    assert!(meets(json!({ "exclude": "t:a" })) && !meets(json!({ "exclude": "t:*" })));
    assert!(!meets(json!({ "value": { "above": 0 } })));
}

#[test]
fn what_a_kind_does_not_have_it_cannot_be_asked() {
    let accepts = |settings| condition(settings).accepts();
    assert_eq!(accepts(json!({ "sources": "**" })), ItemKind::ALL);
    assert_eq!(accepts(json!({ "kind": "fact" })), [ItemKind::Observations]);
    assert_eq!(accepts(json!({ "cause": "end", "score": { "min": 1 } })), [ItemKind::Windows]);
    assert_eq!(
        accepts(json!({ "value": { "above": 1 } })),
        [ItemKind::Readings, ItemKind::Windows]
    );
    assert_eq!(accepts(json!({ "cause": "end", "kind": "fact" })), []);
}

#[test]
fn contradictions_are_named() {
    let problems = |settings| -> Vec<String> {
        let found = condition(settings).problems();
        found.into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    };
    assert_eq!(problems(json!({ "sources": "a:*" })), [""; 0]);
    assert_eq!(problems(json!({ "not": true })), [": asks for nothing, so everything meets it"]);
    assert_eq!(
        problems(json!({ "cause": "end", "kind": "fact" })),
        ["kind: `kind` is asked of observations and `cause` is not"]
    );
    assert_eq!(
        problems(json!({ "score": { "min": 2, "max": 1 } })),
        ["score.min: 2 is more than `max`, 1"]
    );
    assert_eq!(
        problems(json!({ "value": { "above": 5, "max": 5 } })),
        ["value.above: nothing is above 5 and below 5"]
    );
    assert_eq!(
        problems(json!({ "value": { "between": [3, 1] } })),
        ["value.between: 3 is more than 1, so nothing lies between them"]
    );
    assert_eq!(
        problems(json!({ "value": { "outside": [3, 1] } })),
        ["value.outside: 3 is more than 1; swap them"]
    );
    assert_eq!(problems(json!({ "value": {} })), ["value: says nothing about the value"]);
}

#[test]
fn bad_entries_say_how_to_write_them() {
    let error = |settings| serde_json::from_value::<Condition>(settings).unwrap_err().to_string();
    assert_eq!(
        error(json!({ "time_of_day": "25:00-26:00" })),
        "`25:00-26:00` is not a span of the day; write it like 22:00-06:00"
    );
    assert!(error(json!({ "time_of_day": "6:00-7:00" })).contains("22:00-06:00"));
    assert!(error(json!({ "time_of_day": "06:00-06:00" })).contains("22:00-06:00"));
    assert_eq!(
        error(json!({ "days": "friday" })),
        "`friday` is not a day; write it like sat or mon-fri"
    );
    assert!(error(json!({ "vlaue": {} })).contains("vlaue"));
}
