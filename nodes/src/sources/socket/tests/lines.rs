//! What becomes of the bytes of a connection.

use std::collections::BTreeMap;

use proptest::prelude::*;
use smollama_engine::reading::Value;
use smollama_engine::series::Series;

use super::*;

async fn one(settings: serde_json::Value, line: &str) -> (Series, Reading) {
    let mut bench = Bench::new(settings);
    let mut client = bench.connect().await;
    client.send(&format!("{line}\n")).await;
    let taken = bench.take(1).await;
    assert_eq!(taken.rejects, [], "{line}");
    let reading = taken.readings[0].clone();
    ((*bench.host.series.get(reading.series)).clone(), reading)
}

fn tcp() -> serde_json::Value {
    json!({ "tcp": "127.0.0.1:0" })
}

#[tokio::test]
async fn a_line_has_the_one_json_form() {
    let line = r#"{"time":"2026-11-21T01:02:03.000004Z","source":"t/a","value":21.5,"unit":"celsius","labels":{"room":"kitchen"},"monotonic":true,"score":0.3,"count":4,"rssi":-70}"#;
    let (series, reading) = one(tcp(), line).await;
    let labels = BTreeMap::from([("room".into(), "kitchen".into())]);
    assert_eq!((series.source.name(), series.unit.as_deref()), ("socket:t/a", Some("°C")));
    assert_eq!((series.labels, series.monotonic), (labels, true));
    assert_eq!(reading.time, Timestamp::from_micros(1_795_222_923_000_004));
    assert_eq!((reading.value, reading.score, reading.count), (21.5.into(), 0.3, 4));
}

#[tokio::test]
async fn a_line_without_a_time_takes_that_of_receipt_and_numbers_are_times_too() {
    let time =
        async |time: &str| one(tcp(), &format!(r#"{{{time}"source":"a","value":1}}"#)).await.1.time;
    assert_eq!(time("").await, Timestamp::ON_RECEIPT);
    assert_eq!(time(r#""time":null,"#).await, Timestamp::ON_RECEIPT);
    for text in ["1795222923", "1795222923000", "\"2026-11-21 01:02:03\""] {
        let at = time(&format!("\"time\":{text},")).await;
        assert_eq!(at, Timestamp::from_micros(1_795_222_923_000_000), "{text}");
    }
}

#[tokio::test]
async fn values_keep_their_types() {
    for (text, value) in [
        ("5", Value::Int(5)),
        ("5.0", Value::Float(5.0)),
        ("false", Value::Bool(false)),
        (r#""5""#, Value::text("5")),
        (r#""a\n\u00e9""#, Value::text("a\né")),
        (r#"{"x":[1]}"#, Value::Json(Arc::new(json!({ "x": [1] })))),
    ] {
        let line = format!(r#"{{"source":"a","value":{text}}}"#);
        assert_eq!(one(tcp(), &line).await.1.value, value);
    }
}

#[tokio::test]
async fn sources_lie_below_the_node_unless_it_takes_whole_ones() {
    let name = async |whole: bool, source: &str| {
        let settings = json!({ "tcp": "127.0.0.1:0", "whole_sources": whole });
        let line = format!(r#"{{"source":"{source}","value":1}}"#);
        one(settings, &line).await.0.source.name().to_owned()
    };
    assert_eq!(name(false, "kitchen").await, "socket:kitchen");
    assert_eq!(name(false, "socket:kitchen").await, "socket:kitchen");
    assert_eq!(name(false, "a4:c1:38").await, "socket:a4:c1:38");
    assert_eq!(name(true, "mqtt:t/a").await, "mqtt:t/a");
    assert_eq!(name(true, "kitchen").await, "socket:kitchen");
}

#[tokio::test]
async fn what_cannot_be_understood_is_answered_once_it_lies_in_the_dead_letters() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    let lines = [
        "hello",
        r#"{"source":"a","value":1}"#,
        "",
        r#"{"source":"a"}"#,
        r#"{"value":1}"#,
        r#"{"source":"a","value":null}"#,
        r#"{"source":7,"value":1}"#,
        r#"{"source":"","value":1}"#,
        r#"{"source":"b","value":1,"unit":3}"#,
        r#"{"source":"b","value":1,"labels":"x"}"#,
        r#"{"source":"a","value":1,"time":"noon"}"#,
        r#"{"source":"a","value":1,"count":0}"#,
        r#"{"source":"a","value":1,"score":"high"}"#,
        r#"{"source":"b","value":1,"monotonic":1}"#,
    ];
    client.send(&(lines.join("\n") + "\n")).await;
    let taken = bench.take(lines.len() - 1).await;
    assert_eq!(bench.said(&taken), ["socket:a=1"]);
    assert!(taken.rejects[0].origin.ends_with(" line 1"), "{}", taken.rejects[0].origin);
    assert!(taken.rejects[1].origin.ends_with(" line 4"));
    assert_eq!(
        (&*taken.rejects[0].bytes, &*taken.rejects[1].bytes),
        (&b"hello"[..], lines[3].as_bytes())
    );
    assert!(client.is_silent().await);
    taken.keep();
    let mut answers = Vec::new();
    while answers.last().is_none_or(|last: &String| !last.contains("ack")) {
        answers.push(client.line().await);
    }
    let expected = [
        r#"{"line":1,"error":"not a JSON object at byte 1"}"#,
        r#"{"line":4,"error":"no `value`"}"#,
        r#"{"line":5,"error":"no `source`"}"#,
        r#"{"line":6,"error":"`value` is null"}"#,
        r#"{"line":7,"error":"`source` is no text"}"#,
        r#"{"line":8,"error":"`source` is empty"}"#,
        r#"{"line":9,"error":"`unit` is no text"}"#,
        r#"{"line":10,"error":"`labels` is no object"}"#,
        r#"{"line":11,"error":"`time`: not a time: `noon`"}"#,
        r#"{"line":12,"error":"`count` is no count"}"#,
        r#"{"line":13,"error":"`score` is no number"}"#,
        r#"{"line":14,"error":"`monotonic` is neither true nor false"}"#,
        r#"{"ack":14}"#,
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn empty_lines_are_counted_and_acknowledged() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    client.send("\n \n").await;
    bench.settle().await;
    assert_eq!(client.line().await, r#"{"ack":2}"#);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_once_and_skipped_to_its_end() {
    for piece in [100, 2_000, 100_000] {
        let mut bench = Bench::new(json!({ "tcp": "127.0.0.1:0", "max_line": "1KiB" }));
        let mut client = bench.connect().await;
        let text = format!(
            "{{\"source\":\"a\",\"value\":1}}\n{}\n{{\"source\":\"a\",\"value\":2}}\n{{\"source\":\"a\",\"value\":\"{}\"}}\n",
            "x".repeat(5_000),
            "y".repeat(2_000),
        );
        let (mut taken, mut rest) = (Taken::default(), text.as_str());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            client.send(now).await;
            rest = later;
            tokio::select! {
                biased;
                () = yield_often() => {}
                batch = bench.batch() => {
                    let Items::Readings(readings) = batch.items else { unreachable!() };
                    taken.readings.extend(readings);
                    taken.rejects.extend(batch.rejects);
                    batch.receipt.unwrap().kept();
                }
            }
        }
        let missing = 4 - taken.readings.len() - taken.rejects.len();
        let rest = bench.take(missing).await;
        taken.readings.extend(rest.readings.iter().cloned());
        taken.rejects.extend(rest.rejects.iter().cloned());
        rest.keep();
        assert_eq!(bench.said(&taken), ["socket:a=1", "socket:a=2"], "{piece}");
        let reasons: Vec<_> = taken.rejects.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(reasons, ["longer than `max_line` (1024 bytes)"; 2], "{piece}");
        let mut answers = String::new();
        while !answers.ends_with(r#"{"ack":4}"#) {
            answers += &client.line().await;
        }
        assert!(answers.contains(r#"{"line":2,"#) && answers.contains(r#"{"line":4,"#));
    }
}

#[tokio::test]
async fn more_answers_than_a_sender_reads_are_only_counted() {
    let mut bench = Bench::new(json!({ "unix": "in.sock" }));
    let mut client = bench.connect().await;
    let mut taken = Vec::new();
    for _ in 0..20 {
        client.send(&"what?\n".repeat(256)).await;
        taken.push(bench.take(256).await);
    }
    // Nothing is told before the first is kept: all of it waits for that.
    taken.into_iter().rev().for_each(Taken::keep);
    let (mut answers, mut omitted) = (0, 0);
    loop {
        let line: serde_json::Value = serde_json::from_str(&client.line().await).unwrap();
        match (line["line"].as_u64(), line["ack"].as_u64(), line["error"].as_str()) {
            (Some(_), ..) => answers += 1,
            (_, Some(ack), _) => break assert_eq!(ack, 5_120),
            (.., error) => {
                let number = error.unwrap().split(' ').next().unwrap();
                omitted += number.parse::<u64>().unwrap();
            }
        }
    }
    assert!(omitted > 1_000 && answers + omitted == 5_120, "{answers} {omitted}");
}

#[tokio::test]
async fn too_many_series_refuse_their_lines() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    let text: String =
        (0..10_002).map(|id| format!("{{\"source\":\"{id}\",\"value\":1}}\n")).collect();
    let (sent, taken) = tokio::join!(client.send(&text), bench.take(10_002));
    let () = sent;
    assert_eq!((taken.readings.len(), taken.rejects.len()), (10_000, 2));
    assert!(taken.rejects[0].reason.starts_with("too many series"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the bytes arrive, and however they are cut into batches, the readings and the numbers are those of the lines.
    #[test]
    fn any_cutting_gives_the_same(
        kinds in prop::collection::vec(0u8..10, 1..400),
        cuts in prop::collection::vec(1usize..3_000, 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::tcp();
            let mut client = bench.connect().await;
            let (mut text, mut wanted, mut refused) = (String::new(), Vec::new(), Vec::new());
            for (place, kind) in kinds.iter().enumerate() {
                match kind {
                    0 => text += "\n",
                    1 => {
                        text += "{\"source\":\n";
                        refused.push(place + 1);
                    }
                    kind => {
                        text += &format!("{{\"source\":\"s{kind}\",\"value\":{place}}}\n");
                        wanted.push(format!("socket:s{kind}={place}"));
                    }
                }
            }
            let items = wanted.len() + refused.len();
            let sending = async {
                let (mut rest, mut cuts) = (text.as_str(), cuts.iter().cycle());
                while !rest.is_empty() {
                    let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                    client.send(now).await;
                    tokio::task::yield_now().await;
                    rest = later;
                }
            };
            let ((), taken) = tokio::join!(sending, bench.take(items));
            assert_eq!(bench.said(&taken), wanted);
            let lines = taken.rejects.iter().map(|one| one.origin.rsplit(' ').next().unwrap().parse().unwrap());
            assert_eq!(lines.collect::<Vec<usize>>(), refused);
            taken.keep();
            bench.settle().await;
            let last = format!("{{\"ack\":{}}}", kinds.len());
            while client.line().await != last {}
        });
    }
}
