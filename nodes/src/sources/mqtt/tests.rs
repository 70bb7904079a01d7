//! The source before a real broker.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use smollama_engine::batch::Items;
use smollama_engine::context::{Context, Host};
use smollama_engine::node::{Position, Read, Receipt, Source, SourceBatch};
use smollama_engine::reading::Value;
use smollama_engine::time::Timestamp;
use tokio::time::timeout;

use super::source::Mqtt;
use crate::io::mqtt::tests::mosquitto::{KEEPS, Mosquitto};
use crate::io::mqtt::tests::{host, says};
use crate::io::mqtt::{Broker, Outgoing, Qos};

/// Nothing here takes as long, unless it never happens.
const WITHIN: Duration = Duration::from_secs(30);

/// A source on a host of its own, as after a restart of the program.
fn source(broker: &Mosquitto) -> (Mqtt, Arc<Host>) {
    let config = serde_json::from_value(json!({ "topic": "a/#", "qos": 2 })).unwrap();
    let host = Arc::new(host(broker, 1));
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

/// Messages reach the journal, and the program dies before it can say so: they come again.
async fn comes_again(kept: bool) -> Vec<i64> {
    let broker = Mosquitto::start(KEEPS);
    let mut out = speaker(&broker);
    let (mut first, host) = source(&broker);
    let subscribed = async {
        loop {
            publish(&mut out, -1..0).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (_, probe) = tokio::select! {
        _ = subscribed => unreachable!(),
        read = read(&mut first, 1) => read,
    };
    probe.receipt.into_iter().for_each(Receipt::kept);
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
