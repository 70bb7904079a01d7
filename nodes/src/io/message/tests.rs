//! What messages become.

mod hostile;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use smollama_engine::context::Host;
use smollama_engine::json::write_reading;
use smollama_engine::time::Timestamp;

use super::*;
use crate::sources::mqtt::MqttConfig;

/// A decoder with what it gave.
pub(super) struct Bench {
    host: Arc<Host>,
    decoder: Decoder,
    readings: Vec<Reading>,
    rejects: Vec<Reject>,
}

/// The settings as the source `mqtt` has them.
fn config(mut settings: Json) -> Settings {
    settings["topic"] = "#".into();
    serde_json::from_value::<MqttConfig>(settings).unwrap().message()
}

impl Bench {
    fn new(settings: Json) -> Bench {
        let host = Arc::new(Host::for_tests(Path::new(".")));
        let context = Context::new(host.clone(), "p/in", "mqtt");
        let decoder = Decoder::new(&config(settings), &context).unwrap();
        Bench { host, decoder, readings: Vec::new(), rejects: Vec::new() }
    }

    fn decode(&mut self, topic: &str, payload: impl AsRef<[u8]>) {
        self.decoder.decode(topic, payload.as_ref(), &mut self.readings, &mut self.rejects);
    }

    /// What came since, in the one JSON form; without the time where it is that of receipt.
    fn said(&mut self) -> Vec<String> {
        let (host, readings) = (&self.host, std::mem::take(&mut self.readings));
        let shown = readings.iter().map(|reading| {
            let mut out = Vec::new();
            write_reading(reading, &host.series.get(reading.series), &mut out);
            let mut json: Json = serde_json::from_slice(&out).unwrap();
            let object = json.as_object_mut().unwrap();
            if reading.time == Timestamp::ON_RECEIPT {
                object.shift_remove("time");
            }
            object.retain(|name, value| name != "count" || *value != 1);
            json.to_string()
        });
        shown.collect()
    }

    fn reasons(&mut self) -> Vec<String> {
        self.rejects.drain(..).map(|reject| reject.reason).collect()
    }
}

/// The readings of one message, which is decoded a second time by what was learned from the first.
fn readings(settings: Json, topic: &str, payload: impl AsRef<[u8]>) -> Vec<String> {
    let mut bench = Bench::new(settings);
    bench.decode(topic, payload.as_ref());
    let first = bench.said();
    bench.decode(topic, payload.as_ref());
    assert_eq!(bench.reasons(), [""; 0]);
    assert_eq!(bench.said(), first, "what was learned gives the same");
    first
}

fn reason(settings: Json, topic: &str, payload: impl AsRef<[u8]>) -> String {
    let mut bench = Bench::new(settings);
    bench.decode(topic, payload);
    assert_eq!((bench.said(), bench.rejects.len()), (Vec::new(), 1));
    bench.reasons().remove(0)
}

#[test]
fn a_zigbee_message_gives_a_reading_for_each_field() {
    let payload = r#"{"battery":97,"humidity":45.32,"linkquality":120,"temperature":21.5,"update":{"state":"idle"},"action":null}"#;
    assert_eq!(
        readings(json!({}), "zigbee2mqtt/window", payload),
        [
            r#"{"source":"mqtt:zigbee2mqtt/window/battery","value":97}"#,
            r#"{"source":"mqtt:zigbee2mqtt/window/humidity","value":45.32}"#,
            r#"{"source":"mqtt:zigbee2mqtt/window/linkquality","value":120}"#,
            r#"{"source":"mqtt:zigbee2mqtt/window/temperature","value":21.5}"#,
            r#"{"source":"mqtt:zigbee2mqtt/window/update.state","value":"idle"}"#,
        ]
    );
    let named = json!({ "fields": {
        "temperature": "celsius",
        "humidity": { "unit": "%", "id": "rh", "labels": { "of": "air" } },
        "linkquality": "skip",
        "update": "skip",
    }});
    let first_two = [
        r#"{"source":"mqtt:zigbee2mqtt/window/rh","value":45.32,"unit":"%","labels":{"of":"air"}}"#,
        r#"{"source":"mqtt:zigbee2mqtt/window/temperature","value":21.5,"unit":"°C"}"#,
    ];
    assert_eq!(readings(named.clone(), "zigbee2mqtt/window", payload), first_two);
    let mut others = named;
    others["others"] = true.into();
    let all = readings(others, "zigbee2mqtt/window", payload);
    assert_eq!(all[0], r#"{"source":"mqtt:zigbee2mqtt/window/battery","value":97}"#);
    assert_eq!((&all[1..], all.len()), (&first_two.map(String::from)[..], 3));
}

#[test]
fn what_devices_send() {
    let tasmota = r#"{"Time":"2026-11-21T10:00:00","SI7021":{"Temperature":21.5,"Humidity":40.1},"TempUnit":"C"}"#;
    let fields = json!({ "fields": { "SI7021.Temperature": "°C" }, "zone": "Europe/Berlin" });
    assert_eq!(
        readings(fields, "tele/kitchen/SENSOR", tasmota),
        [
            r#"{"time":"2026-11-21T09:00:00Z","source":"mqtt:tele/kitchen/SENSOR/SI7021.Temperature","value":21.5,"unit":"°C"}"#
        ]
    );
    // Without the zone nobody knows when that was.
    let fields = json!({ "fields": ["SI7021.Temperature"], "id": "{2}" });
    assert_eq!(
        readings(fields, "tele/kitchen/SENSOR", tasmota),
        [r#"{"source":"mqtt:kitchen/SI7021.Temperature","value":21.5}"#]
    );
    let shelly = r#"{"id":0,"source":"timer","output":true,"apower":8.9,"aenergy":{"total":6.532,"by_minute":[45.1,47.2,88.3],"minute_ts":1626935779}}"#;
    let fields = json!({ "fields": {
        "apower": { "unit": "W" }, "aenergy.total": { "unit": "Wh", "counter": true }, "aenergy.by_minute.0": "mWh",
    }});
    assert_eq!(
        readings(fields, "shelly/status/switch:0", shelly),
        [
            r#"{"source":"mqtt:shelly/status/switch:0/apower","value":8.9,"unit":"W"}"#,
            r#"{"source":"mqtt:shelly/status/switch:0/aenergy.total","value":6.532,"unit":"Wh","monotonic":true}"#,
            r#"{"source":"mqtt:shelly/status/switch:0/aenergy.by_minute.0","value":45.1,"unit":"mWh"}"#,
        ]
    );
    let lora = r#"{"end_device_ids":{"dev_eui":"0004A3"},"received_at":"2026-11-21T10:00:00.5+01:00","uplink_message":{"decoded_payload":{"t":3}}}"#;
    let fields = json!({ "fields": { "uplink_message.decoded_payload.t": { "id": "t" } }, "id": "{end_device_ids.dev_eui}", "time": "received_at" });
    assert_eq!(
        readings(fields, "v3/app/up", lora),
        [r#"{"time":"2026-11-21T09:00:00.500Z","source":"mqtt:0004A3/t","value":3}"#]
    );
}

#[test]
fn plain_payloads() {
    let one = |settings: &Json, payload: &str| readings(settings.clone(), "t", payload).concat();
    let value = |value: &str| format!(r#"{{"source":"mqtt:t","value":{value}}}"#);
    let auto = json!({});
    for (payload, shown) in [
        ("21.50", "21.5"),
        (" -7\n", "-7"),
        ("true", "true"),
        ("ON", "\"ON\""),
        ("über", "\"über\""),
        ("21.5 °C", "\"21.5 °C\""),
    ] {
        assert_eq!(one(&auto, payload), value(shown), "{payload}");
    }
    let bool = json!({ "type": "bool" });
    assert_eq!((one(&bool, "ON"), one(&bool, "0")), (value("true"), value("false")));
    assert_eq!(one(&json!({ "format": "text" }), "21.5"), value("\"21.5\""));
    assert_eq!(one(&json!({ "format": "number" }), "+21"), value("21"));
    assert_eq!(one(&json!({ "format": "json" }), "\"a\\n\""), value("\"a\\n\""));
    for nothing in ["", "null", "  "] {
        assert_eq!(one(&auto, nothing), "");
    }
    assert_eq!(reason(auto.clone(), "t", "NaN"), "the payload is `NaN`, not a finite number");
    assert_eq!(reason(bool, "t", "ajar"), "the payload is `ajar`, neither on nor off");
    assert_eq!(reason(json!({ "format": "number" }), "t", "x"), "the payload is `x`, not a number");
    assert_eq!(reason(auto, "t", b"a\xFF"), "bytes that are not UTF-8 at byte 2");
}

#[test]
fn the_one_json_form() {
    let line = r#"{"time":"2026-11-21T01:02:03.000004Z","source":"north/air","value":21.5,"unit":"°C","labels":{"room":"kitchen"},"score":0.3,"count":4}"#;
    let shown = line.replace("north/air", "mqtt:north/air");
    assert_eq!(readings(json!({}), "news", line), [shown]);
    let short = "{\n  \"value\": 5,\n  \"unit\": \"percent\"\n}";
    assert_eq!(
        readings(json!({}), "a/b", short),
        [r#"{"source":"mqtt:a/b","value":5,"unit":"%"}"#],
        "without a source it is the topic, and a payload may have lines"
    );
    let whole = line.replace("north/air", "air:north");
    let as_it_is = readings(json!({ "whole_sources": true }), "news", &whole);
    assert_eq!(as_it_is, std::slice::from_ref(&whole));
    assert_eq!(readings(json!({}), "news", &whole), [whole.replace("air:north", "mqtt:air:north")]);
    assert_eq!(reason(json!({}), "t", r#"{"value":1,"count":0}"#), "`count` is no count");
}

#[test]
fn a_value_lies_where_the_settings_say() {
    let settings = json!({ "value": "state.t", "time": "at", "time_format": "ms", "type": "number",
        "topic_labels": { "room": 2, "none": 9 } });
    assert_eq!(
        readings(settings.clone(), "home/hall", r#"{"at":1763719200000,"state":{"t":"3.5"}}"#),
        [
            r#"{"time":"2025-11-21T10:00:00Z","source":"mqtt:home/hall","value":3.5,"labels":{"room":"hall"}}"#
        ]
    );
    assert_eq!(reason(settings.clone(), "t", r#"{"state":{}}"#), "no `state.t`");
    assert_eq!(
        reason(settings.clone(), "t", r#"{"at":"noon","state":{"t":1}}"#),
        "`at`: not a time: `noon`"
    );
    assert_eq!(
        reason(settings, "t", r#"{"state":{"t":"nan"}}"#),
        "the value is `nan`, not a finite number"
    );
    let into_array = json!({ "value": "a.1" });
    assert_eq!(
        readings(into_array.clone(), "t", r#"{"a":[1,2],"b":3}"#),
        [r#"{"source":"mqtt:t","value":2}"#]
    );
    assert_eq!(reason(into_array, "t", r#"{"a":[1,{"x":2}],"b":3}"#), "no `a.1`");
}

#[test]
fn entries_of_arrays_are_messages_of_their_own() {
    let each = json!({ "each": "sensors", "id": "{site}/{name}", "fields": { "t": "°C" } });
    let payload = r#"{"site":"barn","time":1763719200,"sensors":[{"name":"a","t":1},{"name":"b","t":2,"time":1763719201}]}"#;
    assert_eq!(
        readings(each.clone(), "x", payload),
        [
            r#"{"time":"2025-11-21T10:00:00Z","source":"mqtt:barn/a/t","value":1,"unit":"°C"}"#,
            r#"{"time":"2025-11-21T10:00:01Z","source":"mqtt:barn/b/t","value":2,"unit":"°C"}"#,
        ]
    );
    assert_eq!(reason(each, "x", r#"{"sensors":3}"#), "no array `sensors`");
    assert_eq!(
        readings(json!({}), "x", r#"[21.5, {"t": 1}, {"value": 2, "source": "s"}, [true]]"#),
        [
            r#"{"source":"mqtt:x/0","value":21.5}"#,
            r#"{"source":"mqtt:x/1/t","value":1}"#,
            r#"{"source":"mqtt:s","value":2}"#,
            r#"{"source":"mqtt:x/3/0","value":true}"#,
        ]
    );
    assert_eq!(
        readings(json!({}), "x", r#"[{"ts":1763719200,"t":1},{"ts":1763719260,"t":2}]"#),
        [
            r#"{"time":"2025-11-21T10:00:00Z","source":"mqtt:x/t","value":1}"#,
            r#"{"time":"2025-11-21T10:01:00Z","source":"mqtt:x/t","value":2}"#,
        ],
        "times tell them apart"
    );
}

#[test]
fn the_originals_edge_payload() {
    let payload = r#"{"node": "jetson", "timestamp": 1795222923.5, "readings": [
        {"source": "system:cpu_temp", "value": 48.2, "unit": "celsius", "ts": "2026-11-21T02:02:03.25+01:00"},
        {"source": "system:mem_percent", "value": 41, "unit": "percent", "ts": "2026-11-21T01:02:03"},
        {"source": "gpio:17", "value": null, "unit": "boolean"},
        {"source": "mqtt:door/front", "value": "open", "unit": null}
    ]}"#;
    let expected = [
        r#"{"time":"2026-11-21T01:02:03.250Z","source":"alpaca1:system:cpu_temp","value":48.2,"unit":"°C"}"#,
        r#"{"time":"2026-11-21T01:02:03Z","source":"alpaca1:system:mem_percent","value":41,"unit":"%"}"#,
        r#"{"time":"2026-11-21T01:02:03.500Z","source":"alpaca1:mqtt:door/front","value":"open"}"#,
    ];
    assert_eq!(readings(json!({}), "smollama/alpaca1/readings", payload), expected);
    let edge = json!({ "format": "edge" });
    let own_name = expected.map(|line| line.replace("alpaca1", "jetson"));
    assert_eq!(readings(edge.clone(), "elsewhere", payload), own_name, "the topic says no host");
    assert_eq!(readings(json!({}), "a/readings", payload), own_name, "nor does this one");
    assert_eq!(
        readings(json!({}), "a/b/readings", r#"{"level":3}"#),
        [r#"{"source":"mqtt:a/b/readings/level","value":3}"#],
        "what lies there need not be the original's"
    );
    let host_less = r#"{"readings":[{"source":"a:b","value":1}]}"#;
    assert_eq!(
        reason(edge.clone(), "x", host_less),
        "neither the topic nor `node` says which host it is from"
    );
    assert_eq!(reason(edge, "x", "{}"), "no array `readings`, as the original sends it");
    let mut bench = Bench::new(json!({}));
    bench.decode("s/n/readings", r#"{"readings":[{"value":1},{"source":"a:b","value":2}]}"#);
    assert_eq!(bench.said(), [r#"{"source":"n:a:b","value":2}"#], "the others are taken");
    assert_eq!(bench.reasons(), ["reading 0: no `source`"]);
}

#[test]
fn cbor_means_what_json_means() {
    // {"temperature": 21.5, "humidity": 40, "time": 1(1763719200)}
    let payload =
        b"\xA3\x6Btemperature\xF9\x4D\x60\x68humidity\x18\x28\x64time\xC1\x1A\x69\x20\x38\x20";
    assert_eq!(
        readings(
            json!({ "format": "cbor", "fields": { "temperature": "°C", "humidity": "%" } }),
            "t",
            payload
        ),
        [
            r#"{"time":"2025-11-21T10:00:00Z","source":"mqtt:t/humidity","value":40,"unit":"%"}"#,
            r#"{"time":"2025-11-21T10:00:00Z","source":"mqtt:t/temperature","value":21.5,"unit":"°C"}"#,
        ]
    );
    assert_eq!(
        reason(json!({ "format": "cbor" }), "t", b"\xA1\x61a\xF9\x7E\x00"),
        "a number that is not finite at byte 7"
    );
}

#[test]
fn a_field_that_is_wrong_leaves_the_others() {
    let settings =
        json!({ "fields": { "a": { "type": "number" }, "b": { "type": "bool" }, "c": {} } });
    let mut bench = Bench::new(settings);
    bench.decode("t", r#"{"a":"unknown","b":7,"c":1}"#);
    assert_eq!(bench.said(), [r#"{"source":"mqtt:t/c","value":1}"#]);
    assert_eq!(bench.rejects[0].origin, "topic t");
    assert_eq!(bench.reasons(), ["`a` is `unknown`, not a number, and 1 more"]);
}

#[test]
fn messages_without_a_wanted_field_are_counted() {
    let mut bench = Bench::new(json!({ "fields": ["t"] }));
    bench.decode("bridge/info", r#"{"version":"2"}"#);
    bench.decode("a", r#"{"t":1}"#);
    bench.decode("a", "null");
    assert_eq!((bench.decoder.unmatched(), bench.said().len(), bench.rejects.len()), (1, 1, 0));
}
