//! Very many topics: of somebody who publishes to ever new ones, and of a large site.

use std::collections::BTreeSet;
use std::fmt::Write;
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

/// Publishes messages with QoS 1, and waits until the broker has them.
fn say_all(client: &mut Client, messages: impl Iterator<Item = (String, String)>) {
    let (mut bytes, mut many) = (Vec::new(), 0);
    for (topic, payload) in messages {
        client.compose(&topic, payload.as_bytes(), 1, &mut bytes);
        many += 1;
    }
    client.send(&bytes).expect("it takes it");
    for _ in 0..many {
        while !matches!(client.next().expect("it answers"), Packet::Taken(_)) {}
    }
}

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
        let burst = first..(first + BURST).min(topics);
        say_all(&mut client, burst.map(|topic| (format!("flood/{topic}"), "1".to_owned())));
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
    let readings = &status["readings"];
    assert_eq!(readings["at_series_cap"], serde_json::json!(["p/flood"]), "{readings}");
    assert!(readings["series_refused"].as_u64() > Some(0), "{readings}");
    let shown = place.says(&["status"]);
    assert!(shown.contains("! p/flood holds as many series as a source may; refused"), "{shown}");
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

/// How many topics a large site has unless `SMOLLAMA_KILLS` says otherwise: `scripts/soak.sh 100000 site`.
const SITE: usize = 10_000;
/// How often each topic speaks.
const ROUNDS: usize = 2;

#[test]
fn the_topics_of_a_large_site_all_arrive_by_several_sources() {
    let topics = number_of("SMOLLAMA_KILLS").unwrap_or(SITE);
    // As many as each source may have; half a dozen where there are fewer.
    let sources = topics.div_ceil(CAP as usize).max(5);
    let each = topics / sources;
    let broker = broker("log_type none\nlog_type subscribe\n");
    let place = place(broker.port, "");
    let mut yaml = "pipeline: p\nsources:\n".to_owned();
    for source in 0..sources {
        let settings = format!("topic: \"site/{source}/+/value\", id: \"{{3}}\"");
        writeln!(yaml, "  s{source}: {{ as: s{source}, mqtt: {{ {settings} }} }}").expect("text");
    }
    let all: Vec<String> = (0..sources).map(|source| format!("s{source}")).collect();
    let all = all.join(", ");
    write!(yaml, "sinks:\n  out: {{ inputs: [{all}], file: {{ path: out.jsonl }} }}\n")
        .expect("text");
    let mut engine = place.engine(&yaml);
    for source in 0..sources {
        wait_for_subscription(&broker, &format!("site/{source}/+/value"));
    }
    let mut client = Client::connect(broker.port, "site").expect("it runs");
    for round in 0..ROUNDS {
        let mut rest = (0..each * sources).peekable();
        while rest.peek().is_some() {
            engine.check_alive();
            let burst = rest.by_ref().take(BURST).map(|number| {
                let (source, sensor) = (number % sources, number / sources);
                (format!("site/{source}/{sensor}/value"), (number * ROUNDS + round).to_string())
            });
            say_all(&mut client, burst);
        }
    }
    let sent = each * sources * ROUNDS;
    let lines = || fs::read_to_string(place.path("data/out.jsonl")).unwrap_or_default();
    let limit = std::time::Duration::from_secs(60 + sent as u64 / 500);
    wait_long_until(limit, "all have come", || {
        engine.check_alive();
        place.is_idle() && lines().lines().count() >= sent
    });
    let came: BTreeSet<(String, u64)> = lines()
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).expect("JSON");
            let source = row["source"].as_str().expect("a source").to_owned();
            (source, row["value"].as_u64().expect("a number"))
        })
        .collect();
    let wanted = (0..each * sources).flat_map(|number| {
        let source = format!("s{}:{}", number % sources, number / sources);
        (0..ROUNDS).map(move |round| (source.clone(), (number * ROUNDS + round) as u64))
    });
    assert_eq!(came, wanted.collect());
    let status = place.json(&["status"]);
    let memory = status["host"]["rss_bytes"].as_u64().expect("bytes");
    println!("| mqtt, site | {} | {sent} | 0 | {memory} bytes of memory | |", each * sources);
    let readings = &status["readings"];
    assert_eq!(readings["series"], each * sources, "{readings:.200}");
    assert_eq!(readings["source_count"], each * sources);
    assert_eq!(readings["source_types"].as_array().map(Vec::len), Some(sources));
    for source in 0..sources {
        let node = node(&place, &format!("s{source}"));
        assert_eq!(node["emitted"]["main"], each * ROUNDS, "{node}");
        assert_eq!((&node["rejected"], &node["dropped"]), (&0.into(), &0.into()), "{node}");
        assert_eq!((&node["error"], &node["warnings"]), (&Value::Null, &Value::Null), "{node}");
    }
    // Unoptimised, with everything.
    let most = (72 << 20) + 1_024 * (each * sources) as u64;
    assert!(memory < most, "{memory} bytes");
    engine.stop();
}
