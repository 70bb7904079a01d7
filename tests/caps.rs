//! Every transform there is, with a million series before it: the source holds them back at its cap, and what is known goes on.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use serde_json::{Value, json};
use smollama_engine::config::Section;

use crate::place::{Engine, Place, wait_long_until};

/// How many series there are, and how many of them a source may give readings to.
const SERIES: u64 = 1_000_000;
const CAP: u64 = 10_000;
/// How often each of those that are known speaks again when all have come.
const AGAIN: u64 = 3;
/// What all transforms together may take in memory, unoptimised, with ten thousand series each.
const MEMORY_MAX: u64 = 384 << 20;
/// How much more that may be after nine hundred thousand refused series than after the first hundred thousand.
const FLOOD_MAX: u64 = 32 << 20;

/// What is known of a transform here: its inputs, its settings, and its ports beside `main`.
type Settings = (&'static str, &'static str, &'static str, &'static [&'static str]);

const IN: &str = "[in]";

/// Each transform, remembering of each series what it can.
const TRANSFORMS: &[Settings] = &[
    ("adaptive_rate", IN, "{ start: 1h, min: 5m, max: 6h }", &["late"]),
    (
        "alarm",
        IN,
        "{ above: 8, for: 10m, remind: 1h, missing_after: 30m }",
        &["news", "dropped", "late"],
    ),
    ("combine", IN, "{ function: mean, by: room, stale_after: 15m }", &["dropped", "late"]),
    ("dedup", IN, "{ deadband: 0.2, heartbeat: 10m }", &["dropped", "late"]),
    ("derive", IN, "{ time_in: { above: 3 }, period: 1h }", &["dropped", "late"]),
    ("fill", IN, "{ step: 1m, max_gap: 5m }", &["gaps", "late"]),
    ("filter", IN, "{ value: { above: 3 } }", &["dropped"]),
    (
        "gate",
        "{ main: [in], gate: [in] }",
        "{ open_when: { above: 3 }, for: 1m, stale_after: 1h }",
        &["dropped", "late"],
    ),
    (
        "join",
        "{ left: [in], right: [in] }",
        "{ tolerance: 1h, wait: 10s, by: room }",
        &["dropped", "late"],
    ),
    ("latest", IN, "{ every: 30s }", &[]),
    ("map", IN, "{ id: \"x/{{ id }}\", scale: 2 }", &[]),
    ("merge", IN, "{ by: room, stale_after: 10m }", &["dropped", "late"]),
    ("novelty", IN, "{}", &["late"]),
    ("rate_limit", IN, "{ limit: 1, per: 1m, each: source }", &["dropped"]),
    ("route", IN, "{ routes: [{ port: high, if: { value: { above: 3 } } }] }", &["high"]),
    ("sample", IN, "{ per: 1m, keep: last }", &["dropped", "late"]),
    ("volatility", IN, "{ samples: 10, high: 0.5, low: 0.1 }", &["values", "changes", "late"]),
    (
        "watchdog",
        IN,
        "{ silent_after: 10m, stuck_after: 2h, jump: 5, possible: { min: -40, max: 60 } }",
        &["news", "dropped", "late"],
    ),
    ("window", IN, "{ length: 1m, values: [mean, max] }", &["values", "late"]),
];

/// A pipeline in which each of them takes what one source gives; and another one, so that the engine does not end with the recording.
fn pipeline() -> String {
    let mut yaml = "pipeline: p\nsources:\n  in: { as: a, replay: { path: rows.csv, source: \"{id}\", \
                    value: value, labels: room } }\n  other: { as: b, every: 1h, system: {} }\ntransforms:\n"
        .to_owned();
    let mut ends = Vec::new();
    for (name, inputs, settings, ports) in TRANSFORMS {
        writeln!(yaml, "  {name}: {{ inputs: {inputs}, {name}: {settings} }}").expect("text");
        ends.push((*name).to_owned());
        ends.extend(ports.iter().map(|port| format!("{name}.{port}")));
    }
    let ends = ends.join(", ");
    write!(yaml, "sinks:\n  out: {{ inputs: [{ends}], discard: {{}} }}\n  else: {{ inputs: [other], discard: {{}} }}\n")
        .expect("text");
    yaml
}

/// A row of each series, a second for a thousand of them; then those that came first speak again, every half an hour.
fn write_rows(place: &Place, series: u64) {
    let file = File::create(place.path("rows.csv")).expect("a file");
    let mut rows = BufWriter::new(file);
    writeln!(rows, "time,id,room,value").expect("it is written");
    let start = 1_767_225_600;
    let mut row = |time: u64, id: u64| {
        writeln!(rows, "{},{id},r{id},{}", start + time, id % 7).expect("it is written");
    };
    (0..series).for_each(|id| row(id / 1_000, id));
    for round in 1..=AGAIN {
        (0..CAP).for_each(|id| row(series / 1_000 + round * 1_800, id));
    }
    rows.flush().expect("it is written");
}

/// The most memory a process had so far, in bytes.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number");
    kib << 10
}

/// How many ports of a transform take what the source gives.
fn inputs(name: &str) -> u64 {
    let (_, inputs, ..) = TRANSFORMS.iter().find(|one| one.0 == name).expect("it is there");
    inputs.matches("[in]").count() as u64
}

/// What the status says of a node.
fn node<'s>(status: &'s Value, name: &str) -> &'s Value {
    let is_it = |node: &&Value| node["address"] == format!("p/{name}");
    status["nodes"].as_array().expect("nodes").iter().find(is_it).expect("it is there")
}

/// Waits until all was read and has come to its end. What the status says then.
fn wait_for_the_end(place: &Place, engine: &mut Engine, mut look: impl FnMut(&Value)) -> Value {
    let mut status = Value::Null;
    wait_long_until(Duration::from_secs(600), "all was read", || {
        engine.check_alive();
        std::thread::sleep(Duration::from_millis(200));
        status = place.json(&["status"]);
        look(&status);
        node(&status, "out")["state"] == "ended"
    });
    status
}

#[test]
fn every_transform_is_tried() {
    let there = smollama_nodes::registry().names(Section::Transforms);
    let tried: Vec<&str> = TRANSFORMS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(tried, there, "each needs a line in the table of tests/caps.rs");
}

#[test]
fn a_million_series_meet_the_cap_before_every_transform_and_what_is_known_goes_on() {
    let place = Place::new();
    write_rows(&place, SERIES);
    // What the transforms make of a series takes slots of the host, too: here it is the source that is full.
    place.write("config.yaml", "limits: { series: 1000000 }\n");
    let mut engine = place.engine(&pipeline());
    let process = engine.process.id();
    // What the flood took in memory, once the first of it had come.
    let mut flood = None;
    let given = CAP * (1 + AGAIN);
    let status = wait_for_the_end(&place, &mut engine, |status| {
        let (refused, peak) = (node(status, "in")["rejected"].as_u64(), peak_memory(process));
        if refused < Some(SERIES - CAP) && refused > Some(SERIES / 10) {
            let (_, most) = flood.get_or_insert((peak, peak));
            *most = peak;
        }
    });
    let (shown, letters) = (place.says(&["status"]), place.says(&["dlq", "list"]));
    let peak = peak_memory(process);
    engine.stop();
    println!("{} MiB at the most", peak >> 20);
    assert!(peak < MEMORY_MAX, "{} MiB", peak >> 20);
    if let Some((first, most)) = flood {
        assert!(most - first < FLOOD_MAX, "from {} to {} MiB", first >> 20, most >> 20);
    }
    let source = node(&status, "in");
    assert_eq!(source["emitted"]["main"], given, "{source}");
    assert_eq!(source["rejected"], SERIES - CAP, "{source}");
    for (name, ..) in TRANSFORMS {
        let node = node(&status, name);
        let emitted = node["emitted"].as_object().expect("ports").values();
        let emitted: u64 = emitted.filter_map(Value::as_u64).sum();
        assert!(emitted > 0, "{node}");
        assert_eq!(node["received"], given * inputs(name), "{node}");
        assert_eq!((&node["rejected"], &node["dropped"]), (&json!(0), &json!(0)), "{node}");
        assert_eq!((&node["error"], &node["state"]), (&Value::Null, &json!("ended")), "{node}");
    }
    let readings = &status["readings"];
    assert_eq!(readings["at_series_cap"], json!(["p/in"]), "{readings:.300}");
    assert_eq!(readings["series_refused"], SERIES - CAP);
    assert!(readings["series"].as_u64() > Some(2 * CAP), "what is made has series, too");
    assert!(shown.contains("p/in holds as many series as a source may; refused"), "{shown}");
    assert!(letters.contains("too many series: the limit of 10000 is reached"), "{letters}");
    let log = place.read("engine.log");
    assert!(!log.contains("panicked"), "{log}");
    let lines = log.lines().filter(|line| line.contains("rows.csv:")).count();
    assert_eq!(lines, 1, "the log gets the first, and how many more there were: {log}");
    let more =
        log.lines().filter_map(|line| line.split_once(" more like it")?.0.split(' ').next_back());
    let more: u64 = more.map(|more| more.parse::<u64>().expect("a number")).sum();
    assert_eq!(more, SERIES - CAP - 1, "{log}");
}

/// A host that is full refuses what a source gives, never what a node makes of what is in.
#[test]
fn a_host_that_is_full_refuses_new_series_and_all_that_is_in_goes_on_before_every_transform() {
    const SLOTS: u64 = 1_000;
    let place = Place::new();
    write_rows(&place, CAP);
    place.write("config.yaml", &format!("limits: {{ series: {SLOTS} }}\n"));
    let mut engine = place.engine(&pipeline());
    let rows = CAP * (1 + AGAIN);
    let status = wait_for_the_end(&place, &mut engine, |_| {});
    engine.stop();
    let source = node(&status, "in");
    let taken = source["emitted"]["main"].as_u64().expect("a number");
    // How many find room depends on how fast what is made of them takes it; each of them speaks as often.
    assert!(taken > 0 && taken <= SLOTS * (1 + AGAIN), "{source}");
    assert!(taken.is_multiple_of(1 + AGAIN), "{source}");
    assert_eq!(source["rejected"], rows - taken, "{source}");
    assert!(status["readings"]["series"].as_u64() > Some(SLOTS), "what is made is never refused");
    for (name, ..) in TRANSFORMS {
        let node = node(&status, name);
        assert_eq!(node["received"], taken * inputs(name), "{node}");
        assert_eq!((&node["rejected"], &node["error"]), (&json!(0), &Value::Null), "{node}");
    }
    assert!(!place.read("engine.log").contains("panicked"));
}
