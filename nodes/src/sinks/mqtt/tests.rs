//! What messages look like, and the sink before a real broker.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use smollama_engine::context::Host;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::testing::START;
use smollama_engine::window::{Cause, Window};
use uuid::Uuid;

use super::*;
use crate::io::mqtt::tests::host;
use crate::io::mqtt::tests::mosquitto::{FORGETS, KEEPS, Mosquitto};
use crate::io::mqtt::{Claim, Delivery, Inbox, Message, Publication, Qos, Subscription};

/// Nothing here takes as long, unless it never happens.
const WITHIN: StdDuration = StdDuration::from_secs(30);

fn config(settings: serde_json::Value) -> MqttConfig {
    let config: MqttConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    config
}

/// Readings of one thing in a room.
fn readings(host: &Host, source: &str, room: &str, values: &[f64]) -> Items {
    let series = Series::new(SourceKey::parse(source)).with_unit("°C").with_label("room", room);
    let series = host.series.intern(&series).unwrap();
    let reading = |(second, value): (usize, &f64)| {
        Reading::new(START + Duration::from_secs(second as i64), series, *value)
    };
    Items::Readings(values.iter().enumerate().map(reading).collect())
}

fn observation() -> Items {
    Items::Observations(vec![Observation {
        id: Uuid::from_u128(1),
        time: START,
        author: "home/frost".into(),
        kind: ObservationKind::Anomaly,
        text: "It freezes.".into(),
        confidence: 1.0,
        sources: Vec::new(),
        evidence: Evidence { from: START, to: START, sources: Vec::new() },
        model: None,
        rung: Rung::Rule,
    }])
}

fn window() -> Items {
    let (start, cause) = (START, Cause::Time);
    let end = START + Duration::from_secs(60);
    Items::Windows(vec![Window { start, end, cause, summaries: Vec::new() }])
}

/// What a sink with these settings makes of items.
fn composed(
    settings: serde_json::Value,
    items: &Items,
    host: Host,
) -> Vec<Result<Publication, String>> {
    let mut composer = Composer::new(&config(settings), Arc::new(host)).unwrap();
    (0..items.len()).map(|index| composer.compose(items, index..index + 1)).collect()
}

fn lonely() -> Host {
    Host::for_tests(Path::new("/nowhere"))
}

fn texts(publications: &[Result<Publication, String>]) -> Vec<(&str, &str)> {
    let all = publications.iter().map(|one| one.as_ref().unwrap());
    all.map(|one| (&*one.topic, std::str::from_utf8(&one.payload).unwrap())).collect()
}

#[test]
fn an_item_is_its_json_its_value_or_what_a_template_makes_of_it() {
    let host = lonely();
    let items = readings(&host, "t:a/air", "hall", &[20.5, 21.0]);
    let json = composed(json!({ "topic": "a" }), &items, host);
    assert_eq!(
        texts(&json[..1]),
        [(
            "a",
            r#"{"time":"2026-01-01T00:00:00Z","source":"t:a/air","value":20.5,"unit":"°C","labels":{"room":"hall"},"count":1}"#
        )]
    );
    let host = lonely();
    let items = readings(&host, "t:a/air", "hall", &[20.5, 21.0]);
    let value = composed(json!({ "topic": "a", "payload": "value" }), &items, host);
    assert_eq!(texts(&value), [("a", "20.5"), ("a", "21.0")]);
    let host = lonely();
    let items = readings(&host, "t:a/air", "hall", &[20.56]);
    let template = "{{ host }}: {{ value|round(1) }} {{ unit }}";
    let made = composed(json!({ "topic": "a", "payload": { "template": template } }), &items, host);
    assert_eq!(texts(&made), [("a", "test: 20.6 °C")]);
    let text = composed(json!({ "topic": "a", "payload": "value" }), &observation(), lonely());
    assert_eq!(texts(&text), [("a", "It freezes.")]);
    let none = composed(json!({ "topic": "a", "payload": "value" }), &window(), lonely());
    assert_eq!(none, [Err("a window has no single value; use `payload: json`".to_owned())]);
}

#[test]
fn a_topic_is_made_of_each_series_or_item_and_has_no_wildcards() {
    let topic = "home/{{ labels.room }}/{{ source }}";
    let host = lonely();
    let items = readings(&host, "t:a/air", "hall #1+", &[1.0, 2.0]);
    let made = composed(json!({ "topic": topic, "payload": "value" }), &items, host);
    assert_eq!(texts(&made), [("home/hall _1_/t:a/air", "1.0"), ("home/hall _1_/t:a/air", "2.0")]);
    let host = lonely();
    let items = readings(&host, "t:a/air", "hall", &[1.0, 2.0]);
    let made = composed(json!({ "topic": "a/{{ value }}", "payload": "value" }), &items, host);
    assert_eq!(texts(&made), [("a/1.0", "1.0"), ("a/2.0", "2.0")]);
    let host = lonely();
    let items = readings(&host, "t:a/air", "hall", &[1.0]);
    let none = composed(json!({ "topic": "{{ labels.floor }}" }), &items, host);
    assert!(none[0].is_err(), "{none:?}");
}

#[test]
fn what_goes_with_every_message() {
    let settings = json!({
        "topic": "a", "qos": 2, "retain": true, "expiry": "90s", "properties": { "site": "north" },
    });
    let host = lonely();
    let items = readings(&host, "t:a/air", "hall", &[1.0]);
    let made = composed(settings, &items, host).remove(0).unwrap();
    let properties = vec![("site".to_owned(), "north".to_owned())];
    assert_eq!(
        (made.qos, made.retain, made.expiry, made.properties),
        (Qos::ExactlyOnce, true, Some(90), properties)
    );
}

/// A sink on a host of its own.
struct Bench {
    host: Arc<Host>,
    sink: Box<dyn Sink>,
    end: u64,
}

impl Bench {
    fn new(broker: &Mosquitto, settings: serde_json::Value) -> Bench {
        let host = Arc::new(host(broker, 2));
        let context = Context::new(host.clone(), "p/out", "mqtt");
        let Ok(Node::Sink(sink)) = config(settings).build(&context) else { panic!("no sink") };
        Bench { host, sink, end: 0 }
    }

    async fn write(&mut self, source: &str, values: &[f64]) {
        let items = readings(&self.host, source, "hall", values);
        self.end += items.len() as u64;
        let batch = Batch { end: self.end, ..Batch::new(items, START) };
        timeout(WITHIN, self.sink.write(&batch)).await.unwrap().unwrap();
    }

    async fn flush(&mut self) -> Result<(), NodeError> {
        timeout(WITHIN, self.sink.flush(START)).await.unwrap()
    }
}

fn hears(broker: &Mosquitto) -> Inbox {
    let filter = Subscription { filter: "a/#".into(), qos: Qos::ExactlyOnce };
    let broker = Broker::lease(None, &host(broker, 1)).unwrap();
    broker.inbox(&"p/in".into(), [filter].into())
}

/// What comes beside probes, until there are so many.
async fn take(inbox: &mut Inbox, many: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < many {
        let mut came = Vec::new();
        timeout(WITHIN, inbox.take(1, &mut came)).await.unwrap();
        texts.extend(came.into_iter().filter_map(kept).filter(|text| !text.contains("probe")));
    }
    texts
}

/// What a message says; it is kept.
fn kept(delivery: Delivery) -> Option<String> {
    let Delivery::Message(Message { topic, payload, claim, .. }) = delivery else { return None };
    claim.into_iter().for_each(Claim::kept);
    let [topic, text] = [topic, payload].map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    Some(format!("{topic}={text}"))
}

/// Waits until the broker gives what is published to whoever hears.
async fn begin(bench: &mut Bench, inbox: &mut Inbox) {
    let mut came = Vec::new();
    while came.is_empty() {
        bench.write("t:probe/air", &[0.0]).await;
        let _ = bench.flush().await;
        let _ = timeout(StdDuration::from_millis(100), inbox.take(1, &mut came)).await;
    }
    came.into_iter().filter_map(kept).for_each(drop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_arrive_in_order_also_those_that_were_written_while_the_broker_was_away() {
    let mut broker = Mosquitto::start(KEEPS);
    let mut inbox = hears(&broker);
    let settings = json!({ "topic": "a/{{ source }}", "payload": "value", "qos": 2 });
    let mut bench = Bench::new(&broker, settings);
    begin(&mut bench, &mut inbox).await;
    bench.write("t:a/air", &[1.0, 2.0]).await;
    assert_eq!(bench.flush().await, Ok(()));
    assert_eq!(take(&mut inbox, 2).await, ["a/t:a/air=1.0", "a/t:a/air=2.0"]);
    broker.end(true);
    bench.write("t:a/air", &[3.0]).await;
    let away = bench.flush().await;
    assert!(
        matches!(&away, Err(NodeError::Retry(why)) if why.contains("cannot be reached")),
        "{away:?}"
    );
    bench.write("t:a/air", &[4.0]).await;
    broker.go_on();
    bench.write("t:a/air", &[5.0]).await;
    while bench.flush().await.is_err() {}
    let came = take(&mut inbox, 3).await;
    assert_eq!(came, ["a/t:a/air=3.0", "a/t:a/air=4.0", "a/t:a/air=5.0"]);
    assert!(bench.sink.take_refused().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_refuses_is_given_back_with_its_topic_and_the_rest_goes_out() {
    let folder = tempfile::TempDir::new().unwrap();
    let rules = folder.path().join("acl");
    let allowed =
        ["readwrite smollama/#", "readwrite a/t:open/#", "readwrite a/t:probe/#", "read a/#"];
    std::fs::write(&rules, allowed.map(|rule| format!("topic {rule}\n")).concat()).unwrap();
    let broker = Mosquitto::start(&format!("{FORGETS}acl_file {}\n", rules.display()));
    let mut inbox = hears(&broker);
    let settings = json!({ "topic": "a/{{ source }}", "payload": "value" });
    let mut bench = Bench::new(&broker, settings);
    begin(&mut bench, &mut inbox).await;
    bench.write("t:closed/air", &[1.0, 2.0]).await;
    bench.write("t:open/air", &[3.0]).await;
    // mosquitto 2.0.11 ends the connection behind such an answer. Where that is noticed first, the answer is lost, and it is asked again.
    let flushed = timeout(WITHIN, async { while bench.flush().await.is_err() {} });
    assert!(flushed.await.is_ok(), "{}", broker.said());
    let refused = bench.sink.take_refused();
    let reasons: Vec<_> = refused.iter().map(|one| (one.items.len(), &*one.reason)).collect();
    let reason = "`a/t:closed/air` was not taken: this user may not publish to it";
    assert_eq!(reasons, [(1, reason), (1, reason)]);
    assert_eq!(take(&mut inbox, 1).await, ["a/t:open/air=3.0"]);
}
