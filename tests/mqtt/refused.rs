//! Publications that a broker answers by ending the connection: they must not be tried for ever, and nothing else may pay for them.

use serde_json::Value;

use super::client::Client;
use super::load::Observer;
use super::{broker, node, wait_for_subscription};
use crate::place::{Place, wait_until};

/// Both sinks that send share a connection; what is too large goes by one of them alone.
const PIPELINE: &str = "\
pipeline: p
sources:
  in: { as: s, mqtt: { topic: \"in/+\", id: \"{2}\" } }
  other: { as: o, mqtt: { topic: \"other/+\", id: \"{2}\" } }
sinks:
  sent: { inputs: [in], mqtt: { connection: far, topic: \"out/{{ source }}\", payload: value } }
  others: { inputs: [other], mqtt: { connection: far, topic: \"others/{{ source }}\", payload: value } }
";

/// What the broker takes, in bytes.
const TAKEN: usize = 2_000;

#[test]
fn what_ends_connections_goes_to_the_dead_letters_and_what_is_behind_it_goes_out() {
    for version in ["5", "3.1.1"] {
        let (near, far) = (broker(""), broker(&format!("max_packet_size {TAKEN}\n")));
        let place = Place::new();
        let far_one =
            format!("far: {{ broker: 127.0.0.1, port: {}, version: {version:?} }}", far.port);
        place.write(
            "config.yaml",
            &format!(
                "mqtt: {{ broker: 127.0.0.1, port: {}, connections: {{ {far_one} }} }}\n",
                near.port
            ),
        );
        let observer = Observer::start(far.port, "#");
        let _engine = place.engine(PIPELINE);
        wait_for_subscription(&near, "in/+");
        wait_for_subscription(&near, "other/+");
        let mut client = Client::connect(near.port, "publisher").expect("it runs");
        let large = "x".repeat(2 * TAKEN);
        let mut wanted = Vec::new();
        let mut say = |topic: &str, payload: &str| {
            client.say(topic, payload.as_bytes()).expect("it takes it");
            if payload.len() < TAKEN {
                wanted.push(payload.to_owned());
            }
        };
        for number in 0..60 {
            say("in/1", &format!("a{number}"));
            if number % 20 == 10 {
                say("in/1", &large);
            }
            say("other/1", &format!("b{number}"));
        }
        let came = |letter: char| {
            let payloads = observer.payloads();
            let texts =
                payloads.iter().map(|payload| String::from_utf8_lossy(payload).into_owned());
            texts.filter(|text| text.starts_with(letter) && text != "online").collect::<Vec<_>>()
        };
        let of = |letter: char| wanted.iter().filter(move |text| text.starts_with(letter)).cloned();
        wait_until("all others have gone out", || {
            let is_last = |letter| came(letter).last() == of(letter).next_back().as_ref();
            is_last('a') && is_last('b') && place.is_idle()
        });
        for letter in ['a', 'b'] {
            // What was under way when a connection ended came twice.
            let all = came(letter);
            let mut came = all.iter();
            for wanted in of(letter) {
                let is_there = came.any(|text| *text == wanted);
                assert!(is_there, "{version}: {wanted} did not come in its place: {all:?}");
            }
        }
        let (sent, others) = (node(&place, "sent"), node(&place, "others"));
        assert_eq!((&sent["rejected"], &others["rejected"]), (&3.into(), &0.into()), "{version}");
        assert_eq!((&sent["error"], &others["error"]), (&Value::Null, &Value::Null));
        let letters = place.json(&["dlq", "list"]);
        for letter in letters["letters"].as_array().expect("letters") {
            let reason = letter["reason"].as_str().expect("a reason");
            assert!(reason.starts_with("`out/s:1` was not taken: "), "{reason}");
            // The older version has no word for the largest message.
            let why = match version {
                "5" => "and the broker takes 2000",
                _ => "the broker ended 5 connections when it came",
            };
            assert!(reason.contains(why), "{reason}");
        }
        assert_eq!(letters["letters"].as_array().map(Vec::len), Some(3), "{letters}");
    }
}
