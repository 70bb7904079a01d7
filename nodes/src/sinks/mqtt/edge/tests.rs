//! Messages of readings that come together.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use smollama_engine::batch::Items;
use smollama_engine::context::{Context, Host};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::series::{Series, SourceKey};

use super::super::compose::Composer;
use super::super::{MqttConfig, Payload};
use crate::io::message::{Decoder, Settings};
use crate::io::mqtt::Publication;

fn config(settings: Json) -> MqttConfig {
    serde_json::from_value(settings).unwrap()
}

fn host() -> Arc<Host> {
    let mut host = Host::for_tests(Path::new("."));
    host.name = "attic".into();
    host.timezone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    Arc::new(host)
}

fn reading(host: &Host, time: &str, source: &str, unit: Option<&str>, value: Value) -> Reading {
    let mut series = Series::new(SourceKey::parse(source));
    series.unit = unit.map(Into::into);
    let series = host.series.intern(&series).unwrap();
    Reading { time: time.parse().unwrap(), value, score: f64::NAN, series, count: 1 }
}

/// The messages that these readings make, by topic and payload.
fn messages(settings: Json, host: &Arc<Host>, readings: Vec<Reading>) -> Vec<(String, String)> {
    let mut composer = Composer::new(&config(settings), host.clone()).unwrap();
    let (items, mut next, mut made) = (Items::Readings(readings), 0, Vec::new());
    while next < items.len() {
        let some = composer.together(&items, next);
        next = some.end;
        let Publication { topic, payload, .. } = composer.compose(&items, some).unwrap();
        made.push((topic, String::from_utf8(payload.to_vec()).unwrap()));
    }
    made
}

#[test]
fn each_item_makes_a_message_with_a_topic_and_payload_of_its_own() {
    let host = host();
    let readings = vec![
        reading(&host, "2026-11-21T01:02:03Z", "air:north", Some("°C"), Value::Float(21.25)),
        reading(&host, "2026-11-21T01:02:04Z", "air:a+b", None, Value::text("on")),
    ];
    let settings = json!({ "topic": "home/{{ source }}", "payload": "value" });
    let text = |topic: &str, payload: &str| (topic.to_owned(), payload.to_owned());
    assert_eq!(
        messages(settings, &host, readings.clone()),
        [text("home/air:north", "21.25"), text("home/air:a_b", "on")]
    );
    let template = json!({ "template": "{{ value }} at {{ time_s }}" });
    let settings = json!({ "topic": "x", "payload": template });
    assert_eq!(messages(settings, &host, readings)[0].1, "21.25 at 1795222923");
}

#[test]
fn an_edge_message_is_what_the_original_sends_and_is_read_back_as_it_was() {
    let host = host();
    let readings = vec![
        reading(
            &host,
            "2026-11-21T01:02:03.25Z",
            "system:cpu_temp",
            Some("°C"),
            Value::Float(48.2),
        ),
        reading(&host, "2026-11-21T01:02:03.5Z", "gpio:17", None, Value::Bool(true)),
        reading(&host, "2026-07-01T00:00:00Z", "mqtt:door", None, Value::text("\"open\"")),
    ];
    let settings = json!({ "topic": "smollama/{{ host }}/readings", "payload": "edge" });
    let [(topic, payload)] = &messages(settings, &host, readings)[..] else { panic!() };
    assert_eq!(topic, "smollama/attic/readings");
    // The shape of the original, with its times that know their zone.
    let expected = concat!(
        r#"{"node":"attic","timestamp":1795222923.5,"readings":["#,
        r#"{"source":"system:cpu_temp","value":48.2,"unit":"°C","ts":"2026-11-21T02:02:03.250000+01:00"},"#,
        r#"{"source":"gpio:17","value":true,"unit":null,"ts":"2026-11-21T02:02:03.500000+01:00"},"#,
        r#"{"source":"mqtt:door","value":"\"open\"","unit":null,"ts":"2026-07-01T02:00:00.000000+02:00"}]}"#,
    );
    assert_eq!(payload, expected);

    let hub = Arc::new(Host::for_tests(Path::new(".")));
    let settings = Settings { looks_for_edge: true, ..Settings::new("topic", "{topic}") };
    let mut decoder = Decoder::new(&settings, &Context::new(hub.clone(), "p/in", "mqtt")).unwrap();
    let (mut came, mut rejects) = (Vec::new(), Vec::new());
    decoder.decode(topic, payload.as_bytes(), &mut came, &mut rejects);
    assert_eq!(rejects, []);
    let came = came.iter().map(|one| {
        let series = hub.series.get(one.series);
        (one.time.to_string(), series.source.to_string(), one.value.clone())
    });
    let expected = [
        ("2026-11-21T01:02:03.250Z", "attic:system:cpu_temp", Value::Float(48.2)),
        ("2026-11-21T01:02:03.500Z", "attic:gpio:17", Value::Bool(true)),
        ("2026-07-01T00:00:00Z", "attic:mqtt:door", Value::text("\"open\"")),
    ];
    let expected =
        expected.map(|(time, source, value)| (time.to_owned(), source.to_owned(), value));
    assert_eq!(came.collect::<Vec<_>>(), expected);
}

#[test]
fn many_readings_make_several_edge_messages() {
    let host = host();
    let one = |second| Value::Int(second);
    let readings: Vec<_> =
        (0..2_500).map(|n| reading(&host, "2026-11-21T01:02:03Z", "a:b", None, one(n))).collect();
    let settings = json!({ "topic": "t", "payload": "edge" });
    let made = messages(settings, &host, readings);
    let counts = made.iter().map(|(_, payload)| payload.matches("\"source\"").count());
    assert_eq!(counts.collect::<Vec<_>>(), [1_000, 1_000, 500]);
}

#[test]
fn what_cannot_be_together_is_said_before_it_runs() {
    let settings = json!({ "topic": "x/{{ source }}", "payload": "edge" });
    let problems = config(settings).problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("can only speak of `host`"), "{problems:?}");
    let settings = json!({ "topic": "x/{{ host }}", "payload": "edge" });
    let config = config(settings);
    assert_eq!((config.problems(), &config.payload), (vec![], &Payload::Edge));
}
