//! `role: edge`: a host that tells a hub what its sensors say, as an edge node of the Python original does.

use serde_json::Value;

use crate::mosquitto::{FORGETS, Mosquitto};
use crate::place::{Place, wait_until};

const SENSORS: &str = "\
pipeline: sensors
sources:
  air: { as: air, every: 100ms, simulate: { base: 20, noise: 1, unit: °C } }
  soil: { as: soil, every: 100ms, simulate: { base: 40, noise: 1, unit: \"%\" } }
";

fn place(broker: &Mosquitto, name: &str, role: &str) -> Place {
    let place = Place::new();
    let broker = format!("mqtt: {{ broker: 127.0.0.1, port: {} }}", broker.port);
    place.write("config.yaml", &format!("name: {name}\n{broker}\n{role}"));
    place
}

#[test]
fn an_edge_host_publishes_the_state_of_its_sources_and_a_hub_takes_it() {
    let broker = Mosquitto::start(FORGETS);
    let (attic, hub) = (
        place(&broker, "attic", "role: edge\nedge_publish_interval_seconds: 1\n"),
        place(&broker, "hub", ""),
    );
    let kept = hub.path("kept.jsonl");
    let pipeline = format!(
        "pipeline: hub\nsources:\n  edges: {{ mqtt: {{ topic: smollama/+/readings }} }}\nsinks:\n  kept: {{ inputs: [edges], file: {{ path: {} }} }}\n",
        kept.display()
    );
    let _hub = hub.engine(&pipeline);
    let _attic = attic.engine(SENSORS);
    let message = attic.json(&["mqtt", "sub", "smollama/attic/readings", "-C", "1"]);
    let text = message["payload"].as_str().expect("a text");
    let payload: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(payload["node"], "attic");
    assert!(payload["timestamp"].is_f64());
    let readings = payload["readings"].as_array().expect("a list");
    let mut sources: Vec<_> = readings.iter().map(|one| one["source"].as_str()).collect();
    sources.sort_unstable();
    assert_eq!(sources, [Some("air:value"), Some("soil:value")]);
    assert!(readings.iter().all(|one| one["value"].is_f64() && one["ts"].is_string()), "{text}");

    wait_until("the hub has a reading of each", || {
        let kept = std::fs::read_to_string(&kept).unwrap_or_default();
        kept.contains("attic:air:value") && kept.contains("attic:soil:value")
    });
}
