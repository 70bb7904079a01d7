//! What requests carry.

use std::io::Read;

use smollama_engine::reading::Value;
use smollama_engine::window::{Accumulator, Cause, Window};

use super::*;

async fn sent(settings: serde_json::Value, items: impl FnOnce(&Bench) -> Items) -> Request {
    let server = Server::always(200).await;
    let mut bench = Bench::new(&server.url(), settings);
    let items = items(&bench);
    bench.write(items).await.unwrap();
    assert_eq!(bench.sink.take_refused(), []);
    server.requests().remove(0)
}

fn template(text: &str) -> serde_json::Value {
    json!({ "body": { "template": text } })
}

fn two(bench: &Bench) -> Items {
    bench.readings([7, 8])
}

#[tokio::test]
async fn a_json_array() {
    let request = sent(json!({ "body": "json", "method": "PUT" }), two).await;
    assert_eq!((&*request.method, &*request.header("content-type")), ("PUT", "application/json"));
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    let values: Vec<_> = body.as_array().unwrap().iter().map(|one| &one["value"]).collect();
    assert_eq!(values, [7, 8]);
    assert_eq!(body[0]["unit"], "°C");
}

#[tokio::test]
async fn a_template_speaks_of_the_fields_of_an_item() {
    let text = "{{ source }} {{ value * 2 }}{{ unit }} {{ count }} {{ score }}|{{ labels.room }}|{{ host }} {{ time }} {{ time_s }} {{ time_ms }} {{ time_us }} {{ time_ns }} {{ item.value }}";
    let request = sent(template(text), two).await;
    assert_eq!(request.header("content-type"), "text/plain; charset=utf-8");
    let micros = START.as_micros() + 7_000_000;
    let mut time = Vec::new();
    Timestamp::from_micros(micros).write_rfc3339(&mut time);
    let time = String::from_utf8(time).unwrap();
    let seconds = micros / 1_000_000;
    let first = format!("t:a 14°C 1 ||test {time} {seconds} {seconds}000 {micros} {micros}000 7");
    let body = request.text();
    let lines: Vec<_> = body.split('\n').collect();
    assert_eq!((lines.len(), lines[0]), (2, &*first));
    assert!(lines[1].starts_with("t:a 16°C"));
}

#[tokio::test]
async fn a_template_makes_json_of_texts_that_are_none() {
    let text = r#"{"text": {{ ("It is \"" ~ text ~ "\"")|tojson }}, "by": {{ author|tojson }}, "kind": {{ kind|tojson }} }"#;
    let settings =
        json!({ "body": { "template": text }, "headers": { "Content-Type": "application/json" } });
    let request = sent(settings, |bench| bench.observation("co\nld")).await;
    assert_eq!(request.header("content-type"), "application/json");
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({ "text": "It is \"co\nld\"", "by": "home/frost", "kind": "anomaly" }));
}

#[tokio::test]
async fn a_template_goes_through_a_window() {
    let text = "{{ cause }}{% for one in summaries %} {{ one.source }}={{ one.mean|round(1) }}{% endfor %}";
    let request = sent(template(text), |bench| {
        let Items::Readings(readings) = two(bench) else { unreachable!() };
        let mut numbers = Accumulator::new(&readings[0]);
        numbers.add(&readings[1]);
        let summaries = vec![numbers.summary(readings[0].series)];
        let end = START + Duration::from_secs(60);
        Items::Windows(vec![Window { start: START, end, cause: Cause::Time, summaries }])
    });
    assert_eq!(request.await.text(), "time t:a=7.5");
}

#[tokio::test]
async fn an_item_that_a_template_fails_on_is_refused_and_its_neighbours_go() {
    let server = Server::script([Reply::status(503)]).await;
    let mut bench = Bench::new(&server.url(), template("{{ 10 // value }}"));
    let items = bench.readings([5, 0, 2]);
    let batch = bench.batch(items);
    why(bench.sink.write(&batch).await);
    assert_eq!(bench.refused(), [], "nothing is settled yet");
    bench.sink.write(&batch).await.unwrap();
    assert_eq!(server.requests()[1].text(), "2\n5");
    let [(values, why)] = &bench.refused()[..] else { panic!() };
    assert_eq!(values, &[0]);
    assert!(why.starts_with("the template fails in line 1: "), "{why}");

    let endless = "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}";
    let server = Server::always(200).await;
    let mut bench = Bench::new(&server.url(), template(endless));
    bench.values([1]).await.unwrap();
    assert!(bench.refused()[0].1.contains("fuel"));
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn gzip_says_so_and_unpacks_to_the_same() {
    let plain = sent(json!({}), two).await;
    let packed = sent(json!({ "compression": "gzip" }), two).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(plain.header("content-encoding"), "");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text());
}

#[tokio::test]
async fn without_a_stream_there_is_no_key() {
    let server = Server::always(200).await;
    let mut bench = Bench::new(&server.url(), json!({}));
    bench.sink.stream = None;
    bench.values([1]).await.unwrap();
    assert_eq!(server.requests()[0].header("idempotency-key"), "");
}

#[tokio::test]
async fn values_of_all_types_go_out() {
    let request = sent(json!({}), |bench| {
        let Items::Readings(mut readings) = bench.readings([1, 2, 3]) else { unreachable!() };
        readings[0].value = Value::text("a\"b");
        readings[1].value = Value::Bool(true);
        readings[2].value = Value::Json(Arc::new(json!({ "x": [1] })));
        Items::Readings(readings)
    });
    let text = request.await.text();
    for value in [r#""value":"a\"b""#, r#""value":true"#, r#""value":{"x":[1]}"#] {
        assert!(text.contains(value), "{text}");
    }
}
