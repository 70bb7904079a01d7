//! A broker that ends and comes back: with what it kept, or with nothing.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::load::{Observer, Publishing, Tally};
use super::{broker, node, place, redelivered, wait_for_subscription};
use crate::place::{Place, wait_until};

const PIPELINE: &str = "\
pipeline: p
sources:
  in: { as: s, mqtt: { topic: \"in/+\", id: \"{2}\" } }
sinks:
  out: { inputs: [in], file: { path: out.jsonl } }
  sent: { inputs: [in], mqtt: { topic: \"out/{{ source }}\" } }
";

/// How many messages the broker has under way to a client.
const INFLIGHT: usize = 20;
/// How many restarts there are.
const RESTARTS: usize = 3;

#[test]
fn a_broker_that_comes_back_with_its_sessions_costs_nothing_that_it_acknowledged() {
    for version in ["5", "3.1.1"] {
        let mut broker = broker(&format!("max_inflight_messages {INFLIGHT}\n"));
        let more = format!(", version: {version:?}, receive_maximum: {INFLIGHT}");
        let place = place(broker.port, &more);
        let observer = Observer::start(broker.port, "out/#");
        let mut engine = place.engine(PIPELINE);
        wait_for_subscription(&broker, "in/+");
        let publishing = Publishing::start(broker.port, 1, 20, Duration::from_millis(2));
        for _ in 0..RESTARTS {
            let (before, seen) = (publishing.count(), observer.count());
            wait_until("messages go through", || {
                publishing.count() > before + 500 && observer.count() > seen + 500
            });
            broker.end(true);
            wait_until("`status` says that it is away", || {
                let why = |name| node(&place, name)["error"].to_string();
                ["in", "sent"].into_iter().all(|name| why(name).contains("cannot be reached"))
            });
            broker.go_on();
        }
        let publisher = publishing.stop();
        wait_until("everything is where it belongs", || {
            place.is_idle() && observer.is_over(&publisher)
        });
        let said = place.says(&["logs"]);
        engine.stop();
        observer.tally(&publisher).check("sent");
        let out = place.read("data/out.jsonl");
        let out = Tally::of(&publisher, out.lines().map(str::as_bytes)).check("out");
        // What comes again is known within a run. Twice is what was published twice, by a publisher that had no answer; and what was
        // acknowledged to a broker that ended before it read that: it may have given the number to another message.
        let repeated = publisher.repeated.load(Ordering::Relaxed);
        let redelivered = redelivered(&broker);
        let most = repeated + redelivered;
        assert!(out.doubled <= most, "{out:?}, {repeated} and {redelivered}");
        assert!(!said.contains("forgotten the session"), "it had not: {said}");
    }
}

#[test]
fn a_broker_that_comes_back_empty_is_subscribed_to_again_and_that_is_told() {
    let mut broker = broker("");
    let place = place(broker.port, "");
    let observer = Observer::start(broker.port, "out/#");
    let mut engine = place.engine(PIPELINE);
    wait_for_subscription(&broker, "in/+");
    // What it acknowledged and had not passed on when it died is lost, and nobody else can know of it: so it is idle when it dies.
    let before = Publishing::start(broker.port, 1, 20, Duration::ZERO);
    wait_until("messages go through", || before.count() > 2_000);
    let before = before.stop();
    wait_until("all have come", || observer.is_over(&before));
    broker.end(false);
    wait_until("it is away", || node(&place, "in")["error"] != Value::Null);
    // It may not have come to write any.
    let _ = fs::remove_file(broker.folder.path().join("mosquitto.db"));
    fs::remove_file(broker.folder.path().join("log")).expect("it had said something");
    let seen = observer.count();
    broker.go_on();
    wait_for_subscription(&broker, "in/+");
    wait_for_subscription(&broker, "out/#");
    wait_until("all is well", || place.is_idle());
    let after = Publishing::start(broker.port, 1, 20, Duration::ZERO);
    wait_until("messages go through", || after.count() > 2_000);
    let after = after.stop();
    wait_until("all have come", || {
        place.is_idle() && observer.count() >= seen + after.count.load(Ordering::Relaxed)
    });
    let payloads = observer.payloads();
    let (first, second) = payloads.split_at(seen);
    Tally::of(&before, first.iter().map(Vec::as_slice)).check("before");
    let second = Tally::of(&after, second.iter().map(Vec::as_slice)).check("after");
    assert_eq!(second.doubled, 0);
    let logs = place.says(&["logs"]);
    assert!(logs.contains("had forgotten the session"), "{logs}");
    let warned = |name| node(&place, name)["warnings"][0]["text"].to_string();
    let text = warned("in");
    for part in ["since the connection ended at", "is lost here", "`persistence true`", "(7d)"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(node(&place, "sent")["warnings"], Value::Null, "it has no session");
    let shown = place.says(&["status", "p/in"]);
    assert!(shown.contains("warning     since 20") && shown.contains("session"), "{shown}");
    engine.stop();
    // Nobody is there when it forgets everything once more.
    broker.end(false);
    let _ = fs::remove_file(broker.folder.path().join("mosquitto.db"));
    broker.go_on();
    let mut engine = place.start(&["run", "--no-dashboard"]);
    wait_until("that is told", || warned("in").contains("while this program did not run"));
    engine.stop();
    let _engine = place.start(&["run", "--no-dashboard"]);
    wait_until("it is connected", || {
        place.says(&["logs"]).matches("connected to the broker").count() > 0 && place.is_idle()
    });
    assert_eq!(node(&place, "in")["warnings"], Value::Null, "it kept the session");
}

/// How many messages there are for a broker that is away.
const BACKLOG: usize = 20_000;

#[test]
fn what_a_broker_misses_waits_in_the_spool_and_goes_out_in_order() {
    let (near, mut far) = (broker(""), broker(""));
    let place = Place::new();
    let config = format!(
        "mqtt: {{ broker: 127.0.0.1, port: {}, connections: {{ far: {{ broker: 127.0.0.1, port: {} }} }} }}\n",
        near.port, far.port
    );
    place.write("config.yaml", &config);
    let yaml = PIPELINE.replace("mqtt: { topic: \"out", "mqtt: { connection: far, topic: \"out");
    let yaml = yaml.replace("inputs: [in], mqtt", "inputs: [in], queue: { size: 64KiB }, mqtt");
    let observer = Observer::start(far.port, "out/#");
    let mut engine = place.engine(&yaml);
    wait_for_subscription(&near, "in/+");
    let publishing = Publishing::start(near.port, 1, 100, Duration::ZERO);
    wait_until("messages go through", || observer.count() > 500);
    far.end(true);
    let before = publishing.count();
    wait_until("a backlog has grown", || publishing.count() > before + BACKLOG);
    let publisher = publishing.stop();
    wait_until("it lies in the spool", || {
        let out = place.read("data/out.jsonl").lines().count();
        let sent = node(&place, "sent");
        out >= publisher.count.load(Ordering::Relaxed)
            && sent["spool"]["items"].as_u64() > Some(BACKLOG as u64 / 2)
            && sent["error"].as_str().is_some_and(|why| why.contains("nothing listens there"))
    });
    // A restart of this host finds it again.
    engine.kill();
    engine = place.start(&["run", "--no-dashboard"]);
    far.go_on();
    wait_until("everything has gone out", || place.is_idle() && observer.is_over(&publisher));
    engine.stop();
    let sent = observer.tally(&publisher).check("sent");
    // What was under way when the broker ended is in doubt.
    assert!(sent.doubled <= 5_000, "{sent:?}");
}
