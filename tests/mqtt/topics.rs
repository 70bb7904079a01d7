//! Somebody who publishes to ever new topics.

use std::fs;

use serde_json::Value;

use super::client::{Client, Packet};
use super::{broker, node, place, wait_for_subscription};
use crate::kill::number_of;
use crate::place::{wait_long_until, wait_until};

/// How many topics there are unless `SMOLLAMA_KILLS` says otherwise: `scripts/soak.sh 1000000 topics`.
const TOPICS: usize = 30_000;
/// How many series a source node may have.
const CAP: u64 = 10_000;
/// How many messages are under way.
const BURST: usize = 500;

const PIPELINE: &str = "\
pipeline: p
sources:
  flood: { as: f, mqtt: { topic: \"flood/#\" } }
  good: { as: g, mqtt: { topic: \"good/#\" } }
transforms:
  news: { inputs: [flood, good], dedup: { deadband: 0, heartbeat: never } }
sinks:
  out: { inputs: [news], file: { path: out.jsonl } }
  sent: { inputs: [news], mqtt: { topic: \"out/{{ source }}\" } }
";

#[test]
fn a_flood_of_topics_meets_a_cap_that_is_told_and_stops_nobody_else() {
    let broker = broker("log_type none\nlog_type subscribe\n");
    let place = place(broker.port, "");
    let mut engine = place.engine(PIPELINE);
    wait_for_subscription(&broker, "flood/#");
    wait_for_subscription(&broker, "good/#");
    let mut client = Client::connect(broker.port, "hostile").expect("it runs");
    let topics = number_of("SMOLLAMA_KILLS").unwrap_or(TOPICS);
    let mut most_memory = 0;
    for first in (0..topics).step_by(BURST) {
        let mut bytes = Vec::new();
        for topic in first..(first + BURST).min(topics) {
            client.compose(&format!("flood/{topic}"), b"1", 1, &mut bytes);
        }
        client.send(&bytes).expect("it takes it");
        for _ in first..(first + BURST).min(topics) {
            while !matches!(client.next().expect("it answers"), Packet::Taken(_)) {}
        }
        if first % (20 * BURST) == 0 {
            engine.check_alive();
            let memory = place.json(&["status"])["host"]["rss_bytes"].as_u64();
            most_memory = memory.expect("bytes").max(most_memory);
        }
    }
    client.say("good/one", b"1").expect("it takes it");
    let known = |name: &str| {
        let out = fs::read_to_string(place.path("data/out.jsonl")).unwrap_or_default();
        out.lines().filter(|line| line.contains(&format!("\"source\":\"{name}"))).count()
    };
    wait_long_until(std::time::Duration::from_secs(600), "all was looked at", || {
        engine.check_alive();
        known("g:good/one") == 1 && place.is_idle()
    });
    assert_eq!(known("f:"), CAP as usize);
    let status = place.json(&["status"]);
    most_memory = status["host"]["rss_bytes"].as_u64().expect("bytes").max(most_memory);
    println!("| mqtt, topics | {topics} | | | {most_memory} bytes of memory | |");
    // Unoptimised, with everything.
    assert!(most_memory < 256 << 20, "{most_memory} bytes");
    let flood = node(&place, "flood");
    assert!(flood["rejected"].as_u64() > Some(0) && flood["error"] == Value::Null, "{flood}");
    let letters = place.says(&["dlq", "list"]);
    assert!(letters.contains("too many series: the limit of 10000 is reached"), "{letters}");
    let logs = place.says(&["logs"]);
    assert!(logs.contains("too many series"), "{logs}");
    // Who was known before goes on.
    client.say("flood/17", b"2").expect("it takes it");
    client.say("good/two", b"2").expect("it takes it");
    wait_until("both come", || known("f:flood/17\"") == 2 && known("g:good/two") == 1);
    engine.stop();
}
