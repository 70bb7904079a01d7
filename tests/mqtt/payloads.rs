//! Messages that cannot be understood, or are too large.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use super::load::{Observer, Publishing, Tally};
use super::{broker, node, place, wait_for_subscription};
use crate::place::{Place, wait_until};

const PIPELINE: &str = "\
pipeline: p
sources:
  in: { as: s, mqtt: { topic: \"in/+\", id: \"{2}\" } }
sinks:
  out: { inputs: [in], file: { path: out.jsonl } }
  sent: { inputs: [in], mqtt: { topic: \"out/{{ source }}\" } }
";

/// What nobody can understand, and a part of the reason that is given for it.
fn bad() -> Vec<(Vec<u8>, &'static str)> {
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    vec![
        (b"{\"value\":1".to_vec(), "behind a value"),
        (b"{\"value\":1} {\"value\":2}".to_vec(), "more than one JSON value"),
        (b"{\"value\":\"\xff\"}".to_vec(), "UTF-8"),
        (b"\xff\xfe".to_vec(), "UTF-8"),
        (deep.into_bytes(), "nested"),
        (b"{\"value\":NaN}".to_vec(), "no value where one must stand"),
        (b"{\"value\":1e999}".to_vec(), "too large for any type"),
    ]
}

/// All dead letters with all that is kept of them, each as JSON.
fn letters(place: &Place) -> Vec<Value> {
    let page = place.json(&["dlq", "list", "--limit", "1000"]);
    let ids = page["letters"].as_array().expect("letters").iter();
    ids.map(|one| place.json(&["dlq", "show", one["id"].as_str().expect("an id")])).collect()
}

#[test]
fn what_cannot_be_understood_lies_in_the_dead_letters_and_stops_nothing() {
    let broker = broker("");
    let place = place(broker.port, "");
    let observer = Observer::start(broker.port, "out/#");
    let _engine = place.engine(PIPELINE);
    wait_for_subscription(&broker, "in/+");
    let publishing = Publishing::start(broker.port, 1, 10, Duration::from_millis(5));
    let mut client = Client::connect(broker.port, "hostile").expect("it runs");
    let many = 5 * bad().len();
    for (payload, _) in (0..5).flat_map(|_| bad()) {
        client.say("in/bad", &payload).expect("it takes it");
    }
    let publisher = publishing.stop();
    wait_until("everything is where it belongs", || {
        place.is_idle()
            && observer.is_over(&publisher)
            && node(&place, "in")["rejected"].as_u64() >= Some(many as u64)
    });
    observer.tally(&publisher).check("sent");
    assert_eq!(node(&place, "in")["rejected"], many);
    let letters = letters(&place);
    assert_eq!(letters.len(), many);
    assert!(letters.iter().all(|letter| letter["origin"] == "topic in/bad"), "{letters:?}");
    for (payload, why) in bad() {
        let says = |letter: &&Value| letter["letter"]["reason"].to_string().contains(why);
        assert!(
            letters.iter().filter(says).count() >= 5,
            "{}: {why}: {letters:?}",
            payload.escape_ascii()
        );
    }
}

/// How often the engine is killed as soon as it has acknowledged.
const KILLS: usize = 5;

#[test]
fn what_cannot_be_understood_is_acknowledged_when_its_dead_letter_lies_on_disk() {
    let broker = broker("");
    let place = place(broker.port, "");
    let mut engine = place.engine(PIPELINE);
    wait_for_subscription(&broker, "in/+");
    let mut client = Client::connect(broker.port, "hostile").expect("it runs");
    let acknowledged = |before: usize| {
        let said = broker.said();
        let of_it = |line: &str| line.contains("PUBACK from smollama-") && line.contains("-sub");
        said[before..].lines().any(of_it)
    };
    let mut published = BTreeSet::new();
    for kill in 0..KILLS {
        let before = broker.said().len();
        let payload = format!("{{\"number {kill}");
        // At first a folder lies where the letters are to lie, so the disk takes none.
        let in_the_way = place.path("data/dead_letters/letters.jsonl");
        if kill == 0 {
            fs::create_dir(&in_the_way).expect("there is no letter yet");
        }
        client.say("in/bad", payload.as_bytes()).expect("it takes it");
        published.insert(payload);
        if kill == 0 {
            wait_until("the disk refuses the letter", || {
                place.says(&["logs"]).contains("a dead letter is not kept yet")
            });
            assert!(!acknowledged(before), "acknowledged, and in memory alone");
            engine.kill();
            fs::remove_dir(&in_the_way).expect("it lies there");
            engine = place.start(&["run", "--no-dashboard"]);
        }
        wait_until("the engine acknowledges it", || acknowledged(before));
        engine.kill();
        let known: Vec<String> = letters(&place).iter().map(Value::to_string).collect();
        for number in 0..=kill {
            let is_known = known.iter().any(|letter| letter.contains(&format!("number {number}")));
            assert!(is_known, "number {number} was acknowledged, and is not in {known:?}");
        }
        engine = place.start(&["run", "--no-dashboard"]);
    }
    assert_eq!(published.len(), KILLS);
}

#[test]
fn what_is_larger_than_is_taken_is_withheld_by_a_broker_of_mqtt_5_and_nobody_knows() {
    let broker = broker("");
    let place = place(broker.port, ", version: \"5\", max_packet: 64KiB");
    let observer = Observer::start(broker.port, "out/#");
    let mut engine = place.engine(PIPELINE);
    wait_for_subscription(&broker, "in/+");
    let publishing = Publishing::start(broker.port, 1, 10, Duration::from_millis(5));
    let mut client = Client::connect(broker.port, "hostile").expect("it runs");
    let large = format!("{{\"value\":\"{}\"}}", "x".repeat(200 << 10));
    for _ in 0..5 {
        client.say("in/large", large.as_bytes()).expect("it takes it");
    }
    wait_until("messages go through", || publishing.count() > 500);
    let publisher = publishing.stop();
    wait_until("everything is where it belongs", || {
        place.is_idle() && observer.is_over(&publisher)
    });
    let sent = observer.tally(&publisher).check("sent");
    assert_eq!(sent.doubled, 0, "a connection broke");
    let status = node(&place, "in");
    assert_eq!((&status["rejected"], &status["dropped"]), (&0.into(), &0.into()));
    assert!(!place.says(&["logs"]).contains("warn"), "nobody can know");
    engine.stop();
    let out = place.read("data/out.jsonl");
    let out = Tally::of(&publisher, out.lines().map(str::as_bytes)).check("out");
    assert_eq!(out.doubled, 0);
}
