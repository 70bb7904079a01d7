//! The source before a real broker.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use smollama_engine::batch::Items;
use smollama_engine::config::mqtt::MqttVersion;
use smollama_engine::context::{Context, Host};
use smollama_engine::node::{Position, Read, Receipt, Source, SourceBatch};
use smollama_engine::reading::Value;
use smollama_engine::time::Timestamp;
use tokio::time::timeout;

use super::source::Mqtt;
use crate::io::mqtt::tests::mosquitto::{KEEPS, Mosquitto};
use crate::io::mqtt::tests::{host, says};
use crate::io::mqtt::{Broker, Outgoing, Publication, Qos};

/// Nothing here takes as long, unless it never happens.
const WITHIN: Duration = Duration::from_secs(30);

/// A source on a host of its own, as after a restart of the program.
fn source(broker: &Mosquitto) -> (Mqtt, Arc<Host>) {
    source_on(host(broker, 1))
}

fn source_on(host: Host) -> (Mqtt, Arc<Host>) {
    let config = serde_json::from_value(json!({ "topic": "a/#", "qos": 2 })).unwrap();
    let host = Arc::new(host);
    let context = Context::new(host.clone(), "p/in", "mqtt");
    (Mqtt::new(&config, &context).unwrap(), host)
}

fn speaker(broker: &Mosquitto) -> Outgoing<()> {
    let says_it: Host = host(broker, 2);
    Broker::lease(None, &says_it).unwrap().outgoing()
}

async fn batch(source: &mut Mqtt) -> SourceBatch {
    match timeout(WITHIN, source.read(Timestamp::MIN)).await {
        Ok(Ok(Read::Batch(batch))) => batch,
        other => panic!("{other:?}"),
    }
}

/// Reads until so many readings came; keeps all but the last batch, which it gives.
async fn read(source: &mut Mqtt, many: usize) -> (Vec<i64>, SourceBatch) {
    let mut numbers = Vec::new();
    loop {
        let mut batch = batch(source).await;
        let Items::Readings(readings) = &batch.items else { panic!("{:?}", batch.items) };
        numbers.extend(readings.iter().map(|reading| match reading.value {
            Value::Int(number) => number,
            ref other => panic!("{other:?}"),
        }));
        if numbers.len() >= many {
            return (numbers, batch);
        }
        batch.receipt.take().into_iter().for_each(Receipt::kept);
    }
}

async fn publish(out: &mut Outgoing<()>, numbers: std::ops::Range<i64>) {
    for number in numbers {
        out.push(says("a/b", &number.to_string(), Qos::ExactlyOnce), ());
    }
    timeout(WITHIN, out.settle(0)).await.unwrap();
}

/// Publishes until the first of it comes: the broker has granted the subscription.
async fn begin(source: &mut Mqtt, out: &mut Outgoing<()>) {
    let probes = async {
        loop {
            publish(out, -1..0).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (_, probe) = tokio::select! {
        () = probes => unreachable!(),
        read = read(source, 1) => read,
    };
    probe.receipt.into_iter().for_each(Receipt::kept);
}

/// Messages reach the journal, and the program dies before it can say so: they come again.
async fn comes_again(kept: bool) -> Vec<i64> {
    let broker = Mosquitto::start(KEEPS);
    let mut out = speaker(&broker);
    let (mut first, host) = source(&broker);
    begin(&mut first, &mut out).await;
    publish(&mut out, 0..5).await;
    let mut last: Option<Position> = None;
    let mut unsaid = Vec::new();
    let mut came = Vec::new();
    while came.iter().filter(|number| **number >= 0).count() < 5 {
        let (numbers, batch) = read(&mut first, 1).await;
        came.extend(numbers);
        last = batch.position;
        unsaid.push(batch.receipt);
    }
    // It ends before anything is said.
    host.leases.stopping().cancel();
    drop(first);
    drop(unsaid);

    let (mut second, _host) = source(&broker);
    if kept {
        second.resume(&last.unwrap()).await.unwrap();
    }
    publish(&mut out, 100..101).await;
    let mut came = Vec::new();
    while came.last() != Some(&100) {
        let (numbers, batch) = read(&mut second, 1).await;
        came.extend(numbers);
        batch.receipt.into_iter().for_each(Receipt::kept);
    }
    came.retain(|number| *number >= 0);
    came
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_qos_2_what_the_journal_has_is_not_taken_again_after_a_crash() {
    assert_eq!(comes_again(true).await, [100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_qos_2_what_the_journal_does_not_have_comes_again_after_a_crash() {
    assert_eq!(comes_again(false).await, [0, 1, 2, 3, 4, 100]);
}

/// A host that speaks MQTT 3.1.1, in which nobody can tell the broker how large a message may be.
fn older(broker: &Mosquitto, id: u128) -> Host {
    let mut host = host(broker, id);
    host.mqtt.version = MqttVersion::V3;
    host
}

fn says_much(bytes: usize) -> Publication {
    Publication { payload: vec![b'x'; bytes].into(), ..says("a/large", "", Qos::AtLeastOnce) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_is_put_aside_with_its_topic_and_holds_up_nothing() {
    let broker = Mosquitto::start(KEEPS);
    let mut out = speaker(&broker);
    let (mut source, _host) = source_on(older(&broker, 1));
    begin(&mut source, &mut out).await;
    out.push(says_much(2 << 20), ());
    publish(&mut out, 7..8).await;
    let (mut came, mut rejects) = (0, Vec::new());
    while came < 1 || rejects.is_empty() {
        let batch = batch(&mut source).await;
        came += batch.items.len();
        rejects.extend(batch.rejects);
        batch.receipt.into_iter().for_each(Receipt::kept);
    }
    let [reject] = &rejects[..] else { panic!("{rejects:?}") };
    assert_eq!(reject.origin, "topic a/large");
    assert!(reject.reason.contains("2097159 bytes are more than `max_packet`"), "{reject:?}");
    assert!(reject.bytes.len() < 8 << 10);
    assert_eq!(source.trouble().unwrap().get(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nobody_can_read_is_named_for_as_long_as_it_comes() {
    let broker = Mosquitto::start(KEEPS);
    let mut out = speaker(&broker);
    let (mut source, _host) = source_on(older(&broker, 1));
    begin(&mut source, &mut out).await;
    out.push(says_much(17 << 20), ());
    let told = source.trouble().unwrap();
    let said = async {
        let is_named = |text: &str| text.contains("17825") && text.contains("raise `max_packet`");
        while !told.get().is_some_and(|text| is_named(&text)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::select! {
        () = said => true,
        // What it began with may come more than once.
        () = async { loop { drop(source.read(Timestamp::MIN).await); } } => unreachable!(),
        () = async { out.settle(0).await; std::future::pending().await } => unreachable!(),
        () = tokio::time::sleep(WITHIN) => false,
    };
    assert!(ended, "{:?}", told.get());
}

/// What a source with this setting makes of two retained messages, one of which nobody can read, and of the first that is none: whether it is a last
/// value, and which; and how many it refuses.
async fn around_retained(retained: &str) -> (Vec<(bool, i64)>, usize) {
    let broker = Mosquitto::start(KEEPS);
    let mut out = speaker(&broker);
    for (topic, payload) in [("a/b", "5"), ("a/torn", "{")] {
        let publication = says(topic, payload, Qos::AtLeastOnce);
        out.push(Publication { retain: true, ..publication }, ());
    }
    timeout(WITHIN, out.settle(0)).await.unwrap();
    let config = json!({ "topic": "a/#", "retained": retained });
    let host = Arc::new(host(&broker, 1));
    let context = Context::new(host, "p/in", "mqtt");
    let mut source = Mqtt::new(&serde_json::from_value(config).unwrap(), &context).unwrap();
    // The broker sends what it retains when it grants the subscription, and what is published then behind that.
    let probes = async {
        loop {
            publish(&mut out, 6..7).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (mut came, mut rejects) = (Vec::new(), 0);
    let reads = async {
        while !came.contains(&(false, 6)) {
            let batch = batch(&mut source).await;
            let Items::Readings(readings) = &batch.items else { panic!("{:?}", batch.items) };
            came.extend(readings.iter().map(|one| match one.value {
                Value::Int(number) => (batch.retained, number),
                ref other => panic!("{other:?}"),
            }));
            rejects += batch.rejects.len();
            batch.receipt.expect("a message is acknowledged, whatever it is").kept();
        }
    };
    tokio::select! {
        () = probes => unreachable!(),
        () = reads => {}
    }
    came.dedup();
    (came, rejects)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retained_message_is_a_last_value_a_reading_or_nothing() {
    assert_eq!(around_retained("value").await, (vec![(true, 5), (false, 6)], 0));
    assert_eq!(around_retained("reading").await, (vec![(false, 5), (false, 6)], 1));
    assert_eq!(around_retained("ignore").await, (vec![(false, 6)], 0));
}
