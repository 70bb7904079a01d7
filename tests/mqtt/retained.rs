//! What a broker had kept before this host listened: last values, and no readings.

use serde_json::Value;

use super::{broker, node, place, wait_for_subscription};
use crate::place::wait_until;

const PIPELINE: &str = "\
pipeline: p
sources:
  in: { as: s, mqtt: { topic: \"in/#\", id: \"{2}\" } }
transforms:
  warm: { inputs: [in], filter: { value: { above: 0 } } }
  news: { inputs: [warm], dedup: { deadband: 0.2, heartbeat: never } }
sinks:
  raw: { inputs: [in], file: { path: raw.jsonl } }
  out: { inputs: [news], file: { path: out.jsonl } }
";

#[test]
fn a_retained_message_is_the_last_value_that_the_first_reading_is_compared_with_and_in_no_file() {
    let broker = broker("");
    let place = place(broker.port, "");
    let publish = |topic: &str, value: &str, more: &[&str]| {
        place.says(&[&["mqtt", "pub", topic, value, "--qos", "1"][..], more].concat());
    };
    publish("in/a", "21.5", &["--retain"]);
    let mut engine = place.engine(PIPELINE);
    wait_for_subscription(&broker, "in/#");
    wait_until("it is acknowledged, so it is kept", || {
        let said = broker.said();
        said.lines().any(|line| line.contains("Received PUBACK from smollama-"))
    });
    wait_until("the series is known", || {
        let status = place.json(&["status"]);
        status["readings"]["sources"].as_array().is_some_and(|all| all.contains(&"s:a".into()))
    });
    assert_eq!(node(&place, "in")["emitted"]["main"], 0, "it is no reading");
    // From here on only the journal knows of it.
    engine.kill();
    publish("in/a", "", &["--retain"]);
    let mut engine = place.start(&["run", "--no-dashboard"]);
    for (topic, value) in [("in/a", "21.6"), ("in/b", "5"), ("in/a", "22"), ("in/end", "1")] {
        publish(topic, value, &[]);
    }
    wait_until("all have come", || place.read("data/out.jsonl").contains("s:end"));
    engine.stop();
    let rows = |file: &str| -> Vec<(String, f64, u64)> {
        let text = place.read(file);
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let row = |row: Value| {
            let source = row["source"].as_str().unwrap().to_owned();
            (source, row["value"].as_f64().unwrap(), row["count"].as_u64().unwrap())
        };
        rows.map(row).collect()
    };
    let row = |source: &str, value, count| (source.to_owned(), value, count);
    assert_eq!(
        rows("data/raw.jsonl"),
        [row("s:a", 21.6, 1), row("s:b", 5.0, 1), row("s:a", 22.0, 1), row("s:end", 1.0, 1)]
    );
    assert_eq!(
        rows("data/out.jsonl"),
        [row("s:b", 5.0, 1), row("s:a", 22.0, 2), row("s:end", 1.0, 1)]
    );
}
