//! Senders that mean ill, and bytes that mean nothing.

use allocation_counter::measure;
use proptest::prelude::*;

use super::*;
use crate::io::rows::REJECTED_BYTES;

fn formats() -> Vec<Json> {
    vec![
        json!({}),
        json!({ "format": "json", "fields": { "a": "°C", "a.b": {}, "0": {}, "c": { "type": "bool" } } }),
        json!({ "fields": { "a": { "type": "number" } }, "others": true, "time": "ts", "id": "{1}/{a}" }),
        json!({ "value": "a.b", "type": "text" }),
        json!({ "each": "a", "id": "{b}" }),
        json!({ "format": "cbor" }),
        json!({ "format": "edge" }),
        json!({ "format": "number" }),
        json!({ "format": "text" }),
        json!({ "type": "bool" }),
    ]
}

/// Bytes that look like something for a while.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let pieces = "([\\[\\]{},: ]|\"(a|b|a.b|0|c|value|source|time|ts|readings|node|s:t)\"(:)?|true|null|-?1|1e5|2026-11-21|\"\\\\u00e9\"|nan){0,24}";
    let object = "\\{(\"(a|b|value|source|time|ts|node)\":(1|-2.5|\"x\"|null|true|\\[1,\\{\"b\":2\\}\\]|\\{\"b\":\"y\"\\}),){0,6}\"c\":(1|\"on\")\\}";
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        pieces.prop_map(String::into_bytes),
        object.prop_map(String::into_bytes),
        object.prop_map(|object| format!(
            r#"{{"node":"n","readings":[{object},{object}],"a":[{object}]}}"#
        )
        .into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_readings_or_a_reject_or_counted(payloads in proptest::collection::vec((payload(), "[a-c]{1,2}(/readings)?"), 1..4)) {
        for settings in formats() {
            let mut bench = Bench::new(settings.clone());
            for (payload, topic) in &payloads {
                let unmatched = bench.decoder.unmatched();
                bench.decode(topic, payload);
                let (readings, rejects) = (bench.readings.len(), bench.rejects.len());
                let silent = payload.trim_ascii().is_empty() || is_null(payload);
                let counted = bench.decoder.unmatched() > unmatched;
                prop_assert!(readings > 0 || rejects == 1 || counted || silent, "{settings} {payload:?}");
                prop_assert!(rejects <= 1);
                for reading in &bench.readings {
                    prop_assert!(reading.value.as_f64().is_none_or(f64::is_finite));
                }
                bench.said();
                bench.reasons();
            }
        }
    }

    #[test]
    fn what_a_model_says_is_read(
        model in proptest::collection::btree_map("[a-z]{1,6}", (any::<i32>(), any::<bool>()), 1..8),
        pretty in any::<bool>(),
    ) {
        let model: Vec<_> = model.into_iter().filter(|(name, _)| !["time", "ts", "timestamp", "value"].contains(&name.as_str())).collect();
        prop_assume!(!model.is_empty());
        let number = |(int, exact): (i32, bool)| if exact { json!(int) } else { json!(f64::from(int) / 8.0) };
        let object: serde_json::Map<_, _> = model.iter().map(|(name, value)| (name.clone(), number(*value))).collect();
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let expected: Vec<String> = object.iter().map(|(name, value)| format!(r#"{{"source":"mqtt:t/{name}","value":{value}}}"#)).collect();
        prop_assert_eq!(readings(json!({}), "t", &text), expected.clone());
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        prop_assert_eq!(readings(json!({ "fields": names }), "t", &text), expected);
    }
}

#[test]
fn what_nobody_can_mean_goes_to_the_dead_letters() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
    for payload in [
        deep("[", "]"),
        deep("{\"a\":", "}"),
        r#"{"a":NaN}"#.into(),
        r#"{"a":1e999}"#.into(),
        r#"{"a":1"#.into(),
        r#"{"a":1} {"a":2}"#.into(),
        "{\"a\":\"b\nc\"}".into(),
        "[1,2".into(),
    ] {
        let mut bench = Bench::new(json!({}));
        bench.decode("t", &payload);
        assert!(bench.readings.is_empty(), "{payload:.60}");
        assert_eq!((bench.rejects.len(), &*bench.rejects[0].origin), (1, "topic t"));
        assert!(bench.rejects[0].bytes.len() <= REJECTED_BYTES);
    }
    assert_eq!(reason(json!({}), "t", b"{\"a\":\"\xFF\"}"), "bytes that are not UTF-8 at byte 7");
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(
        reason(json!({}), "t", long),
        "`a` has 70000 bytes, and a reading takes 65536 at most"
    );
}

#[test]
fn one_message_gives_so_many_readings_and_no_more() {
    let mut bench = Bench::new(json!({}));
    for (entry, readings, expected) in [
        (r#"{"source":"s","value":1}"#, 10_000, "more than 10000 readings in one message"),
        ("[]", 0, ""),
        (
            r#"{"source":"s","value":1,"count":0}"#,
            0,
            "entry 0: `count` is no count, and 10000 more",
        ),
    ] {
        bench.decode("t", format!("[{}]", vec![entry; 20_000].join(",")));
        assert_eq!(bench.readings.len(), readings);
        assert_eq!(bench.reasons().concat(), expected);
        bench.readings.clear();
    }
    bench.decode("t", format!("[{}]", vec!["1"; 50_000].join(",")));
    let reason = bench.reasons().concat();
    assert!(
        reason.starts_with("too many series") && reason.ends_with(", and 10000 more"),
        "{reason}"
    );
}

#[test]
fn a_million_topics_fill_the_cap_and_what_is_known_goes_on() {
    let mut bench = Bench::new(json!({}));
    for topic in 0..30_000 {
        bench.decode(&format!("flood/{topic}"), "1");
        assert!(bench.rejects.len() <= 1);
        if topic >= 10_000 {
            assert_eq!(bench.reasons(), ["too many series: the limit of 10000 is reached"]);
        }
    }
    assert_eq!((bench.readings.len(), bench.decoder.lacking_series()), (10_000, 20_000));
    bench.readings.clear();
    bench.decode("flood/17", r#"{"value":2}"#);
    bench.decode("flood/18", r#"{"new":3}"#);
    assert_eq!(bench.said(), [r#"{"source":"mqtt:flood/17","value":2}"#]);
    assert_eq!(bench.rejects.len(), 1);
}

/// What lies in what, as a sender may build it who means ill.
#[derive(Debug, Clone)]
enum Shape {
    /// Arrays or objects, so deep.
    Deep { objects: bool, depth: usize },
    /// An array of so many.
    Wide { entries: usize, of: &'static str },
    /// An object of so many fields, below a name of so many bytes.
    Named { name: usize, fields: usize },
    /// A text of so many bytes, as value, source, unit, label and host of many readings.
    Long { bytes: usize, readings: usize },
}

/// How many bytes a payload has at most.
const LARGEST: usize = 256 << 10;

impl Shape {
    fn json(&self) -> Json {
        let names = |fields: usize| (0..fields).map(|field| (field.to_string(), json!(field)));
        match self {
            Shape::Deep { objects, depth } => (0..*depth).fold(json!(1), |inner, _| {
                if *objects { json!({ "a": inner }) } else { json!([inner]) }
            }),
            Shape::Wide { entries, of } => {
                let of: Json = serde_json::from_str(of).unwrap();
                json!({ "a": vec![of.clone(); *entries], "readings": vec![of; *entries] })
            }
            Shape::Named { name, fields } => {
                let inner: serde_json::Map<_, _> = names(*fields).collect();
                json!({ "n".repeat(*name): inner })
            }
            Shape::Long { bytes, readings } => {
                let long = "x".repeat(*bytes);
                let one = json!({ "source": "a:b", "name": "c", "value": 1, "t": 2 });
                json!({
                    "value": long, "source": long, "unit": long, "labels": { "l": long }, "b": long,
                    "node": long, "a": vec![one.clone(); *readings], "readings": vec![one; *readings],
                })
            }
        }
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let of = prop::sample::select(vec![
        "1",
        "[]",
        "{}",
        "[[1]]",
        "\"\"",
        r#"{"value":1,"source":"s:t"}"#,
        r#"{"a":[1,{"b":2}]}"#,
        "\"\\u0000\\u0001\"",
    ]);
    prop_oneof![
        (any::<bool>(), 1usize..300).prop_map(|(objects, depth)| Shape::Deep { objects, depth }),
        (0usize..40_000, of).prop_map(|(entries, of)| Shape::Wide { entries, of }),
        (0usize..LARGEST, 0usize..20_000).prop_map(|(name, fields)| Shape::Named { name, fields }),
        (0usize..LARGEST / 8, 0usize..4_000)
            .prop_map(|(bytes, readings)| Shape::Long { bytes, readings }),
    ]
}

/// What a decoder may hold at most for one message: as many new series as there may be, each with the longest name, in the names, in what
/// finds them and while that grows; and trees of JSON, which are some times larger than their text.
fn bound(payload: &[u8]) -> u64 {
    (96 << 20) + 130 * payload.len() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_a_message_costs_has_a_bound_however_it_is_built(shape in shape(), cut in 0usize..4, topic in 1usize..40) {
        let json = shape.json();
        let mut text = serde_json::to_vec(&json).unwrap();
        let mut binary = Vec::new();
        cbor::tests::encode(&json, &mut binary);
        for payload in [&mut text, &mut binary] {
            payload.truncate(LARGEST);
            // Whole, or ending somewhere.
            payload.truncate(payload.len() - payload.len() * cut / 16);
        }
        let topic = "t".repeat(topic * topic * topic);
        let topics = [&*topic, "smollama/n/readings"];
        for settings in formats() {
            let payload = if settings["format"] == "cbor" { &binary } else { &text };
            let mut bench = Bench::new(settings.clone());
            let cost = measure(|| topics.iter().for_each(|topic| bench.decode(topic, payload)));
            prop_assert!(cost.bytes_max <= bound(payload), "{settings} {shape:?}: {cost:?}");
            prop_assert!(bench.readings.len() <= 2 * 10_000 && bench.rejects.len() <= 2);
            for reject in &bench.rejects {
                prop_assert!(reject.bytes.len() <= REJECTED_BYTES);
                prop_assert!(reject.reason.len() <= 4 << 10, "{:.200}", reject.reason);
            }
            for series in bench.host.series.all() {
                prop_assert!(series.source.name().len() <= 3 << 10, "{}", series.source.name().len());
            }
        }
    }
}

#[test]
fn a_series_with_a_name_beyond_all_measure_is_refused() {
    let long = "n".repeat(100_000);
    let inner: String = (0..9_999).map(|field| format!(r#""{field}":1,"#)).collect();
    let many = format!(r#"{{"{long}":{{{inner}"last":1}},"short":1}}"#);
    let mut bench = Bench::new(json!({}));
    let cost = measure(|| bench.decode("t", &many));
    assert_eq!(bench.said(), [r#"{"source":"mqtt:t/short","value":1}"#]);
    let reason = bench.reasons().concat();
    assert!(
        reason.starts_with("what names its series has 100004 bytes, and 2048 at most"),
        "{reason}"
    );
    assert!(cost.bytes_max < 4 << 20, "{cost:?}");
    for (settings, payload) in [
        (json!({}), format!(r#"{{"source":"{long}","value":1}}"#)),
        (json!({}), format!(r#"{{"value":1,"labels":{{"l":"{long}"}}}}"#)),
        (json!({ "id": "{a}" }), format!(r#"{{"a":"{long}","b":1}}"#)),
        (json!({ "each": "e", "id": "{a}" }), format!(r#"{{"a":"{long}","e":[{{"b":1}}]}}"#)),
        (json!({ "format": "edge" }), format!(r#"{{"node":"{long}","readings":[]}}"#)),
        (
            json!({ "format": "edge" }),
            format!(r#"{{"node":"n","readings":[{{"source":"{long}","value":1}}]}}"#),
        ),
    ] {
        let mut bench = Bench::new(settings);
        bench.decode("t", &payload);
        let reasons = bench.reasons().concat();
        assert!(reasons.contains("what names its series has 100"), "{payload:.60}: {reasons}");
        assert_eq!(bench.readings, []);
    }
    let mut bench = Bench::new(json!({}));
    bench.decode(&long, "1");
    assert!(bench.reasons().concat().contains("what names its series"), "a topic");
}

/// A flood of names in each of the three forms that name series.
#[test]
fn a_flood_of_names_meets_the_cap_and_slots_given_back_are_given_anew() {
    use smollama_engine::context::SERIES_PER_NODE_MAX;

    type Message = fn(usize) -> (String, String);
    let forms: [Message; 3] = [
        |name| (format!("t/{name}"), "1".into()),
        |name| ("t".into(), format!(r#"{{"source":"s{name}","value":1}}"#)),
        |name| {
            (
                "x/n/readings".into(),
                format!(r#"{{"readings":[{{"source":"a:{name}","value":1}}]}}"#),
            )
        },
    ];
    for message in forms {
        let mut bench = Bench::new(json!({}));
        let decode = |bench: &mut Bench, name| {
            let (topic, payload) = message(name);
            bench.decode(&topic, payload);
            let series = bench.readings.pop().map(|reading| reading.series);
            assert_eq!(series.is_none(), bench.rejects.pop().is_some());
            series
        };
        let first: Vec<_> =
            (0..SERIES_PER_NODE_MAX).map(|name| decode(&mut bench, name).unwrap()).collect();
        assert_eq!(decode(&mut bench, 1_000_000), None);
        assert_eq!(bench.decoder.lacking_series(), 1);
        let lacking = bench.host.series.lacking_since(0);
        assert_eq!((lacking.host, lacking.nodes), (false, vec!["p/in".into()]));
        assert_eq!(decode(&mut bench, 7), Some(first[7]), "what is known goes on");

        assert_eq!(bench.host.series.retire(&first[..10]), 10);
        let back = decode(&mut bench, 7).unwrap();
        assert!(!first.contains(&back) && bench.host.series.is_live(back), "another number");
        assert_eq!(decode(&mut bench, 7), Some(back));
        assert_eq!(decode(&mut bench, 10), Some(first[10]));
        for name in 1_000_000..1_000_009 {
            assert!(decode(&mut bench, name).is_some());
        }
        assert_eq!(decode(&mut bench, 1_000_009), None);
        assert_eq!(bench.host.series.len(), SERIES_PER_NODE_MAX);
    }
}
