//! What a broker drops that was left as it comes: nobody can tell this host of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::load::{Publishing, Tally};
use super::{node, place, wait_for_subscription};
use crate::mosquitto::Mosquitto;
use crate::place::wait_until;

/// How many messages mosquitto keeps for a client that is away, unless it is told otherwise, and how many more it has under way.
const KEPT: usize = 1_000 + 20;

const PIPELINE: &str = "\
pipeline: p
sources:
  in: { as: s, mqtt: { topic: \"in/+\", id: \"{2}\" } }
sinks:
  out: { inputs: [in], file: { path: out.jsonl } }
";

#[test]
fn a_broker_with_its_defaults_drops_what_it_acknowledged_and_only_its_own_log_says_so() {
    let broker = Mosquitto::start(
        "allow_anonymous true\npersistence true\nlog_type all\nset_tcp_nodelay true\n",
    );
    let place = place(broker.port, "");
    let mut engine = place.engine(PIPELINE);
    wait_for_subscription(&broker, "in/+");
    engine.stop();
    let publishing = Publishing::start(broker.port, 1, 100, Duration::ZERO);
    wait_until("more than it keeps is published", || publishing.count() >= 3 * KEPT);
    let publisher = publishing.stop();
    let acknowledged = publisher.count.load(Ordering::Relaxed);

    let _engine = place.start(&["run", "--no-dashboard"]);
    let out = || place.read("data/out.jsonl");
    wait_until("what it kept has come", || out().lines().count() >= KEPT - 20);
    // Whatever is published now comes behind that.
    let mut client = super::client::Client::connect(broker.port, "last").expect("it runs");
    client.say("in/last", b"1").expect("it takes it");
    wait_until("the last has come", || out().contains("s:last"));
    let out = out();
    let came = out.lines().filter(|line| !line.contains("s:last")).map(str::as_bytes);
    let tally = Tally::of(&publisher, came);
    assert_eq!(tally.missing, acknowledged - (out.lines().count() - 1), "{tally:?}");
    assert!(tally.missing >= acknowledged - KEPT, "{} of {acknowledged}", tally.missing);

    assert!(broker.said().contains("Outgoing messages are being dropped for client smollama-"));
    let (status, logs) = (node(&place, "in"), place.says(&["logs"]));
    assert_eq!((&status["error"], &status["dropped"]), (&Value::Null, &0.into()));
    assert!(!logs.contains("WARN") && !logs.contains("warn"), "{logs}");
}
