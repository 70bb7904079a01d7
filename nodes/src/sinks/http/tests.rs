//! The sink against a server on a real socket. What answers mean lies in `answers`, bodies in `bodies`, who is trusted in `trust`.

mod answers;
mod bodies;
mod trust;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use smollama_engine::batch::{Batch, Items};
use smollama_engine::context::Host;
use smollama_engine::duration::Duration;
use smollama_engine::node::{NodeError, Sink};
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::testing::START;
use smollama_engine::time::Timestamp;
use uuid::Uuid;

use super::*;
use crate::io::http::server::{Reply, Request, Server};

/// A sink that sends to a server.
struct Bench {
    host: Arc<Host>,
    sink: Http,
    /// How many items its stream had so far.
    end: u64,
}

const STREAM: Uuid = Uuid::from_u128(0xab);

fn config(settings: serde_json::Value) -> HttpConfig {
    let config: HttpConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    config
}

impl Bench {
    fn new(url: &str, mut settings: serde_json::Value) -> Bench {
        settings["url"] = url.into();
        let host = Arc::new(Host::for_tests(std::path::Path::new("/nonexistent")));
        let context = Context::new(host.clone(), "p/out", "http");
        let mut sink = sink(&config(settings), &context).unwrap();
        for kind in ItemKind::ALL {
            assert_eq!(sink.position(STREAM, kind), None);
        }
        Bench { host, sink, end: 0 }
    }

    fn readings(&self, values: impl IntoIterator<Item = i64>) -> Items {
        let series = Series::new(SourceKey::parse("t:a")).with_unit("°C");
        let series = self.host.series.intern(&series).unwrap();
        let reading = |value| Reading::new(START + Duration::from_secs(value), series, value);
        Items::Readings(values.into_iter().map(reading).collect())
    }

    fn observation(&self, text: &str) -> Items {
        Items::Observations(vec![Observation {
            id: Uuid::from_u128(1),
            time: START,
            author: "home/frost".into(),
            kind: ObservationKind::Anomaly,
            text: text.into(),
            confidence: 1.0,
            sources: Vec::new(),
            evidence: Evidence { from: START, to: START, sources: Vec::new() },
            model: None,
            rung: Rung::Rule,
        }])
    }

    /// The next batch of its stream.
    fn batch(&mut self, items: Items) -> Batch {
        self.end += items.len() as u64;
        Batch { end: self.end, ..Batch::new(items, START) }
    }

    async fn write(&mut self, items: Items) -> Result<(), NodeError> {
        let batch = self.batch(items);
        self.sink.write(&batch).await
    }

    async fn values(&mut self, values: impl IntoIterator<Item = i64>) -> Result<(), NodeError> {
        let items = self.readings(values);
        self.write(items).await
    }

    /// The values of the items that were refused, and why.
    fn refused(&mut self) -> Vec<(Vec<i64>, String)> {
        let refused = self.sink.take_refused().into_iter();
        refused.map(|one| (values_of(&one.items), one.reason)).collect()
    }
}

fn values_of(items: &Items) -> Vec<i64> {
    let Items::Readings(readings) = items else { panic!("{items:?}") };
    readings.iter().map(|one| one.value.as_f64().unwrap() as i64).collect()
}

/// The values in a body of JSON lines.
fn values_in(request: &Request) -> Vec<i64> {
    let value =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["value"].as_i64();
    request.text().lines().map(|line| value(line).unwrap()).collect()
}

fn why(error: Result<(), NodeError>) -> String {
    match error {
        Err(NodeError::Retry(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_batch_goes_out_at_once_as_lines_of_json() {
    let server = Server::always(200).await;
    let mut bench = Bench::new(&format!("{}/in/a?b=c", server.url()), json!({}));
    bench.values([1, 2]).await.unwrap();
    bench.sink.flush(START).await.unwrap();
    let [request] = &server.requests()[..] else { panic!() };
    assert_eq!((&*request.method, &*request.path), ("POST", "/in/a?b=c"));
    assert_eq!(request.header("content-type"), "application/x-ndjson");
    assert!(request.header("user-agent").starts_with("smollama/"));
    assert_eq!(request.header("idempotency-key"), "000000000000000000000000000000ab-1-2");
    let line = |value: i64| {
        let mut line = Vec::new();
        smollama_engine::json::write_item(
            &bench.readings([value]),
            0,
            &bench.host.series,
            &mut line,
        );
        String::from_utf8(line).unwrap() + "\n"
    };
    assert_eq!(request.text(), line(1) + &line(2));
    assert_eq!(bench.refused(), []);
}

#[tokio::test]
async fn a_request_holds_so_many_items_and_bytes() {
    let server = Server::always(204).await;
    let mut bench = Bench::new(&server.url(), json!({ "batch": { "items": 3 } }));
    bench.values(0..8).await.unwrap();
    let sent: Vec<_> = server.requests().iter().map(values_in).collect();
    assert_eq!(sent, [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
    let keys: Vec<_> = server
        .requests()
        .iter()
        .map(|one| one.header("idempotency-key")[33..].to_owned())
        .collect();
    assert_eq!(keys, ["1-3", "4-6", "7-8"]);

    let server = Server::always(200).await;
    let mut bench = Bench::new(&server.url(), json!({ "batch": { "bytes": "200B" } }));
    bench.values(0..3).await.unwrap();
    let long = "x".repeat(1_000);
    let items = bench.observation(&long);
    bench.write(items).await.unwrap();
    let lengths: Vec<_> = server.requests().iter().map(|one| one.body.len()).collect();
    assert!(lengths[..2].iter().all(|length| *length <= 200), "{lengths:?}");
    assert_eq!(lengths.len(), 3);
    assert!(lengths[2] > 1_000, "one that is too long goes alone");
}

#[tokio::test]
async fn items_wait_for_more_where_the_user_wants_it() {
    let server = Server::always(200).await;
    let mut bench = Bench::new(&server.url(), json!({ "batch": { "items": 4, "wait": "2s" } }));
    assert_eq!(bench.sink.linger(), Duration::from_secs(2));
    bench.values([1]).await.unwrap();
    bench.values([2, 3]).await.unwrap();
    assert_eq!(server.requests().len(), 0);
    bench.values([4, 5]).await.unwrap();
    assert_eq!(values_in(&server.requests()[0]), [1, 2, 3, 4], "what is full goes");
    bench.sink.flush(START).await.unwrap();
    assert_eq!(values_in(&server.requests()[1]), [5]);
    assert_eq!(&server.requests()[1].header("idempotency-key")[33..], "5-5");
    bench.sink.flush(START).await.unwrap();
    bench.sink.close(START).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_request_holds_items_of_one_kind() {
    let server = Server::always(200).await;
    let mut bench = Bench::new(&server.url(), json!({ "batch": { "wait": "1s" } }));
    bench.values([1]).await.unwrap();
    let items = bench.observation("cold");
    bench.write(items).await.unwrap();
    assert_eq!(values_in(&server.requests()[0]), [1]);
    bench.values([2]).await.unwrap();
    assert!(server.requests()[1].text().contains("\"text\":\"cold\""));
    bench.sink.close(START).await.unwrap();
    assert_eq!(values_in(&server.requests()[2]), [2]);
}

#[tokio::test]
async fn what_went_out_of_a_batch_does_not_go_out_again() {
    let server = Server::script([Reply::status(200), Reply::status(503), Reply::status(200)]).await;
    let mut bench = Bench::new(&server.url(), json!({ "batch": { "items": 2 } }));
    let items = bench.readings(0..5);
    let batch = bench.batch(items);
    why(bench.sink.write(&batch).await);
    bench.sink.write(&batch).await.unwrap();
    let sent: Vec<_> = server.requests().iter().map(values_in).collect();
    assert_eq!(sent, [vec![0, 1], vec![2, 3], vec![2, 3], vec![4]]);
}

#[tokio::test]
async fn a_batch_that_was_given_up_says_nothing_about_the_next() {
    let server = Server::script([Reply::status(200), Reply::status(503)]).await;
    let mut bench = Bench::new(&server.url(), json!({ "batch": { "items": 2 } }));
    why(bench.values(0..4).await);
    bench.values(4..8).await.unwrap();
    let sent: Vec<_> = server.requests().iter().map(values_in).collect();
    assert_eq!(sent, [vec![0, 1], vec![2, 3], vec![4, 5], vec![6, 7]]);
}

#[tokio::test]
async fn nothing_of_a_batch_that_failed_stays_with_the_sink() {
    let server = Server::script([Reply::status(503)]).await;
    let mut bench = Bench::new(&server.url(), json!({ "batch": { "items": 3, "wait": "1s" } }));
    bench.values([1, 2]).await.unwrap();
    let (first, second) = (bench.readings([3, 4]), bench.readings([5]));
    why(bench.write(first).await);
    // It went to the dead letters, or to another sink.
    bench.write(second).await.unwrap();
    assert_eq!(values_in(server.requests().last().unwrap()), [1, 2, 5]);
    bench.sink.close(START).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the server says, and however the items come: what it takes is every right item once and in order, and what is refused is
    /// what it called wrong.
    #[test]
    fn every_item_is_taken_once_or_refused(
        batches in prop::collection::vec(0usize..9, 1..12),
        limit in 1usize..6, waits: bool,
        wrong in prop::collection::btree_set(0i64..60, 0..8),
        moods in prop::collection::vec(0u8..8, 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (bad, mut moods) = (wrong.clone(), moods.into_iter());
            let server = Server::new(move |request| {
                match moods.next() {
                    Some(0) => return Reply::status(503),
                    Some(1) => return Reply::Close,
                    Some(2) => return Reply::status(429),
                    _ => {}
                }
                let values = values_in(request);
                Reply::status(if values.iter().any(|one| bad.contains(one)) { 422 } else { 200 })
            })
            .await;
            let wait = if waits { "1s" } else { "0s" };
            let mut bench = Bench::new(&server.url(), json!({ "batch": { "items": limit, "wait": wait } }));
            let (mut next, mut refused) = (0, Vec::new());
            for size in batches {
                let items = bench.readings(next..next + size as i64);
                next += size as i64;
                let batch = bench.batch(items);
                while bench.sink.write(&batch).await.is_err() {
                    refused.extend(bench.refused());
                }
                refused.extend(bench.refused());
            }
            while bench.sink.close(START).await.is_err() {}
            refused.extend(bench.refused());
            let taken = server.answered(200).iter().flat_map(values_in).collect::<Vec<_>>();
            let wanted: Vec<i64> = (0..next).filter(|one| !wrong.contains(one)).collect();
            assert_eq!(taken, wanted);
            let refused: Vec<i64> = refused.into_iter().flat_map(|(values, _)| values).collect();
            let wanted: Vec<i64> = wrong.into_iter().filter(|one| *one < next).collect();
            assert_eq!(refused, wanted);
        });
    }
}
