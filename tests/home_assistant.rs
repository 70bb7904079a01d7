//! Entities of Home Assistant, from a pipeline file to a real broker and back.

use serde_json::Value;

use crate::mosquitto::{FORGETS, KEEPS, Mosquitto};
use crate::place::{Place, text, wait_until};

const HOME: &str = "\
pipeline: home
sources:
  air: { as: air, every: 100ms, simulate: { base: 20, noise: 1, unit: °C } }
sinks:
  ha: { inputs: [air], mqtt: { topic: \"home/{{ source }}\", discovery: true } }
";
/// The same without that sink.
const WITHOUT: &str = "\
pipeline: home
sources:
  air: { as: air, every: 100ms, simulate: { base: 20, noise: 1, unit: °C } }
sinks:
  gone: { inputs: [air], discard: {} }
";

/// A place whose host `shed` has this broker.
fn place(broker: &Mosquitto) -> Place {
    let place = Place::new();
    let config = format!("name: shed\nmqtt: {{ broker: 127.0.0.1, port: {} }}\n", broker.port);
    place.write("config.yaml", &config);
    place
}

/// What Home Assistant finds when it begins: the next retained announcement, or nothing. A message that comes last tells that there is none.
fn retained(place: &Place) -> Option<Value> {
    place.says(&["mqtt", "pub", "end", "1", "--retain", "--qos", "1"]);
    let args = ["mqtt", "sub", "homeassistant/+/+/+/config", "end", "-C", "1", "--qos", "1"];
    let message = place.json(&args);
    let topic = message["topic"].as_str()?;
    let said = message["payload"].as_str().and_then(|text| serde_json::from_str(text).ok());
    if topic == "end" { None } else { said.or(Some(message["payload"].clone())) }
}

fn wait_for_entity(place: &Place) -> Value {
    let mut found = None;
    wait_until("the entity is announced", || {
        found = retained(place);
        found.is_some()
    });
    found.expect("it was found")
}

#[test]
fn an_entity_comes_with_its_sink_and_goes_with_it() {
    let broker = Mosquitto::start(KEEPS);
    let place = place(&broker);
    let mut engine = place.engine(HOME);
    let entity = wait_for_entity(&place);
    assert_eq!(entity["device_class"], "temperature");
    assert_eq!(entity["state_topic"], "home/air:value");
    assert_eq!(entity["availability"][0]["topic"], "smollama/shed/status");
    assert_eq!(place.says(&["mqtt", "sub", "smollama/shed/status", "-C", "1"]), "online\n");

    place.write("home.yaml", WITHOUT);
    let planned = text(&place.run(&["plan", "home.yaml"]).stdout);
    assert!(planned.contains("its entities in Home Assistant are removed (1)"), "{planned}");
    place.says(&["apply", "home.yaml"]);
    wait_until("the entity is removed", || retained(&place).is_none());

    place.write("home.yaml", HOME);
    place.says(&["apply", "home.yaml"]);
    wait_for_entity(&place);
    engine.stop();
    assert!(retained(&place).is_some(), "a host that stops keeps its entities");
    assert_eq!(place.says(&["mqtt", "sub", "smollama/shed/status", "-C", "1"]), "offline\n");
    place.write("home.yaml", WITHOUT);
    let planned = text(&place.run(&["plan", "home.yaml"]).stdout);
    assert!(planned.contains("its entities in Home Assistant are removed"), "{planned}");
}

#[test]
fn what_is_removed_while_the_broker_is_away_goes_after_a_crash_of_the_host() {
    let mut broker = Mosquitto::start(KEEPS);
    let place = place(&broker);
    let mut engine = place.engine(HOME);
    wait_for_entity(&place);
    broker.end(true);
    place.write("home.yaml", WITHOUT);
    place.says(&["apply", "home.yaml"]);
    engine.kill();
    broker.go_on();
    assert!(retained(&place).is_some(), "nobody has taken it back yet");
    let _engine = place.start(&["run", "home.yaml", "--no-dashboard"]);
    wait_until("the entity is removed", || retained(&place).is_none());
}

/// What it says only when somebody speaks.
const SILENT: &str = "\
pipeline: home
sources:
  in: { as: s, mqtt: { topic: \"in/+\", id: \"{2}\" } }
sinks:
  ha: { inputs: [in], mqtt: { topic: \"home/{{ source }}\", discovery: { max_entities: 1 } } }
";

#[test]
fn an_entity_of_what_is_silent_is_announced_again_after_a_restart_of_both_sides() {
    let mut broker = Mosquitto::start(FORGETS);
    let place = place(&broker);
    let mut engine = place.engine(SILENT);
    let say = |topic: &str, value: &str| place.says(&["mqtt", "pub", topic, value]);
    let mut before = None;
    wait_until("the entity is announced", || {
        say("in/1", "1");
        before = retained(&place);
        before.is_some()
    });
    engine.stop();
    broker.end(true);
    broker.go_on();
    assert_eq!(retained(&place), None, "the broker has forgotten it");
    let mut engine = place.start(&["run", "--no-dashboard"]);
    assert_eq!(Some(wait_for_entity(&place)), before);
    // A node that is gone takes it back, though it said nothing in this run.
    place.write("home.yaml", &SILENT.replace(", discovery: { max_entities: 1 }", ""));
    place.says(&["apply", "home.yaml"]);
    wait_until("the entity is removed", || retained(&place).is_none());
    engine.stop();
}

#[test]
fn that_there_are_as_many_entities_as_may_be_is_told_in_the_status() {
    let broker = Mosquitto::start(KEEPS);
    let place = place(&broker);
    let _engine = place.engine(SILENT);
    let node = || place.json(&["status", "home/ha"]);
    let say = |topic: &str| place.says(&["mqtt", "pub", topic, "1"]);
    wait_until("the entity is announced", || {
        say("in/1");
        retained(&place).is_some()
    });
    assert_eq!(node()["warnings"], Value::Null);
    let warned = |what: &str| node()["warnings"][0]["text"].to_string().contains(what);
    say("in/2");
    wait_until("that is told", || warned("1 thing has no entity"));
    say("in/3");
    wait_until("that is told", || warned("2 things have no entity"));
    let first = "the first of them is `s:2`: there are 1 already";
    assert!(warned(first) && warned("max_entities"), "{}", node());
    assert_eq!(node()["error"], Value::Null);
    let shown = place.says(&["status"]);
    assert!(shown.contains(": 2 things have no entity"), "{shown}");
}

#[test]
fn what_runs_once_announces_nothing_since_nobody_would_take_it_back() {
    let broker = Mosquitto::start(KEEPS);
    let place = place(&broker);
    place.write("home.yaml", &HOME.replace("discovery: true", "discovery: true, retain: true"));
    let run = place.run(&["run", "--once", "home.yaml"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    place.says(&["mqtt", "sub", "home/air:value", "-C", "1"]);
    assert_eq!(retained(&place), None);
    assert!(!place.path("data/mqtt").exists());
}

#[test]
fn what_cannot_work_is_refused_where_it_stands() {
    let place = Place::new();
    place.write(
        "home.yaml",
        "\
pipeline: home
sources:
  air: { as: air, every: 100ms, simulate: { base: 20, noise: 1, unit: °C } }
transforms:
  w: { inputs: [air], window: { length: 1m } }
sinks:
  moving: { inputs: [air], mqtt: { topic: \"home/{{ time_s }}\", discovery: true } }
  hidden:
    inputs: [air]
    mqtt:
      topic: home/hidden
      payload: { template: \"{{ value }} {{ unit }}\" }
      discovery: true
  misspelt:
    inputs: [air]
    mqtt:
      topic: home/misspelt
      discovery: { overrides: [{ match: \"air:**\", device_class: temprature }] }
  edge: { inputs: [air], mqtt: { topic: home/edge, payload: edge, discovery: true } }
  windows: { inputs: [w], mqtt: { topic: home/w, discovery: true } }
",
    );
    let refused = place.run(&["validate", "home.yaml"]);
    let said = text(&refused.stderr) + &text(&refused.stdout);
    assert!(!refused.status.success(), "{said}");
    for wanted in [
        "home.yaml:7:",
        "`time_s` differs from message to message",
        "home.yaml:12:",
        "cannot find a state in what this makes, such as `21.5 °C`",
        "say where it is with `discovery.value_template`",
        "knows no device class `temprature`",
        "did you mean `temperature`?",
        "home.yaml:19:",
        "an `edge` message holds many readings",
        "windows",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
