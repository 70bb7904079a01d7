//! The plan as a person and as a program reads it.

use super::*;
use crate::bytes::ByteSize;
use crate::config::host::JournalConfig;
use crate::plan::cost;

/// What runs.
const OLD: &str = "\
pipeline: home
description: All of it
sources:
  air: { feed: { topic: air, promises: true } }
  soil: { feed: { topic: soil }, as: soil }
  tape: { feed: { path: tape.csv }, as: tape }
transforms:
  news: { inputs: [air, soil], smooth: {} }
  calm: { inputs: [air], smooth: { memory: 20 } }
  old: { inputs: [soil], smooth: {} }
  pass: { inputs: [news, calm], pass: {} }
sinks:
  alerts: { inputs: [pass], post: { to: broker, password: hunter2 } }
  mail: { inputs: [pass], post: { to: mail } }
  show: { inputs: [old, tape], post: { delivery: shown } }
---
pipeline: shed
sources:
  door: { feed: { topic: door }, as: door }
sinks:
  log: { inputs: [door], post: { to: log } }
---
pipeline: yard
sources:
  gate: { feed: { topic: gate }, as: gate }
sinks:
  file: { inputs: [gate], post: { to: file } }
";

/// What is to run.
const NEW: &str = "\
pipeline: home
description: \"All of it,\\e[31m and more\"
sources:
  air: { feed: { topic: air, promises: true } }
  soil: { feed: { topic: soil }, as: soil }
  tape: { feed: { path: tape.csv }, as: tape }
  rain: { feed: { topic: rain, polled: 10s }, as: rain }
transforms:
  fresh: { inputs: [air, soil], smooth: { band: 0.5, overrides: [{ of: air, band: 1 }] }, renamed_from: news }
  calm: { inputs: [air], smooth: { memory: 9 } }
  pass: { inputs: [fresh, calm, rain], pass: {} }
sinks:
  alerts: { inputs: [pass], queue: { when_full: drop_oldest }, post: { to: broker, password: hunter3 } }
  show: { inputs: [soil, tape], post: { delivery: shown } }
---
pipeline: hut
sources:
  door: { feed: { topic: door }, as: door }
sinks:
  log: { inputs: [door], post: { to: log } }
---
pipeline: garden
sources:
  pond: { feed: { topic: pond }, as: pond }
sinks:
  all: { inputs: [pond, home/fresh.late], post: { to: all } }
";

fn plan(judge: &Judge<'_>) -> Plan {
    let (old, new) = (graph(OLD), graph(NEW));
    let backlog = |sink: &str| match sink {
        "home/mail" => Some(37),
        "home/alerts" => Some(1),
        "shed/log" => Some(0),
        _ => None,
    };
    let plan = diff(&old, &new, judge).plan(&old, &new, &backlog);
    plan.with_cost(cost(&new, &JournalConfig::default(), ByteSize::mib(8)))
}

#[test]
fn a_person_reads_a_line_for_each_node_that_changes() {
    insta::assert_snapshot!(plan(&judge).text(false));
}

#[test]
fn colours_are_wanted_or_not() {
    let coloured = plan(&judge).text(true);
    for code in ["\x1b[32m+\x1b[0m", "\x1b[31m-", "\x1b[33m~", "\x1b[36m>", "\x1b[1mhome"] {
        assert!(coloured.contains(code), "{code:?}");
    }
    let mut bare = coloured;
    for code in ["\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[36m", "\x1b[1m", "\x1b[0m"] {
        bare = bare.replace(code, "");
    }
    assert_eq!(bare, plan(&judge).text(false));
}

#[test]
fn offline_nobody_knows_whether_a_state_fits() {
    let text = plan(&nobody_asked).text(false);
    assert!(text.contains("band: not set -> 0.5"), "{text}");
    assert!(text.contains("memory: 20 -> 9  state kept if it fits"), "{text}");
}

#[test]
fn a_program_reads_the_same() {
    let plan = plan(&judge);
    let json = serde_json::to_value(&plan).unwrap();
    let row = |address: &str| {
        let rows = json["changes"].as_array().unwrap();
        rows.iter().find(|row| row["address"] == address).unwrap().clone()
    };
    assert_eq!(
        row("home/calm"),
        serde_json::json!({
            "address": "home/calm", "section": "transform", "type": "smooth", "change": "change",
            "state": "reset", "why": "another memory", "detail": "from air",
            "settings": [{ "path": "smooth.memory", "from": "20", "to": "9" }],
        })
    );
    assert_eq!(row("home/air")["change"], "keep");
    assert_eq!(row("home/tape")["state"], "kept");
    assert_eq!(row("home/fresh")["renamed_from"], "home/news");
    assert_eq!(row("home/rain")["state"], "none");
    assert_eq!(row("home/mail")["waiting"], serde_json::json!({ "items": 37, "inherited": false }));
    assert_eq!(
        json["summary"],
        serde_json::json!({ "add": 3, "change": 4, "remove": 4, "rename": 3, "keep": 3 })
    );
    assert_eq!(json["cost"]["disk"]["journal"], 64 << 20);
    let back: Plan = serde_json::from_value(json).unwrap();
    assert_eq!(back, plan);
    assert_eq!(back.text(false), plan.text(false));
}

/// P9: no secret is ever printed.
#[test]
fn p9_a_plan_shows_no_secret() {
    let plan = plan(&judge);
    assert!(plan.text(false).contains("password: (hidden) -> (hidden), another value"));
    let all = format!("{plan:?} {} {}", plan.text(true), serde_json::to_string(&plan).unwrap());
    assert!(!all.contains("hunter"), "{all}");
}

#[test]
fn a_plan_of_nothing_says_so() {
    let graph = graph(HOME);
    let plan = diff(&graph, &graph, &judge).plan(&graph, &graph, &|_| None);
    assert!(plan.is_empty());
    assert_eq!(plan.text(false), "Nothing to change: 6 nodes run as they should\n");
}

#[test]
fn what_a_node_left_elsewhere_is_taken_back_when_it_goes_or_leaves_it_in_another_place() {
    let sinks = |sinks: &str| {
        graph(&format!("pipeline: home\nsources: {{ air: {{ feed: {{}} }} }}\nsinks:\n{sinks}"))
    };
    let one = |name: &str, leaves: &str| {
        format!("  {name}: {{ inputs: [air], post: {{ to: {name}{leaves} }} }}\n")
    };
    let old = ["goes", "moves", "stops", "stays"].map(|name| one(name, ", leaves: here"));
    let new = [
        one("moves", ", leaves: there"),
        one("stops", ""),
        one("stays", ", leaves: here, port: 1"),
        one("begins", ", leaves: here"),
    ];
    let (old, new) = (sinks(&old.concat()), sinks(&new.concat()));
    let plan = diff(&old, &new, &nobody_asked).plan(&old, &new, &|_| None);
    let said: Vec<_> = plan
        .changes
        .iter()
        .filter_map(|row| Some((row.address.as_str(), row.undone.as_ref()?.what.as_str())))
        .collect();
    let what = "entities in Home Assistant";
    assert_eq!(said, [("home/moves", what), ("home/stops", what), ("home/goes", what)]);
    let text = plan.text(false);
    assert_eq!(text.matches("its entities in Home Assistant are removed").count(), 3, "{text}");
    let left = |address: &str| match address {
        "home/goes" => Some(3),
        "home/stops" => Some(0),
        _ => None,
    };
    let text = plan.with_left(&left).text(false);
    assert_eq!(text.matches("are removed (3)").count(), 1, "{text}");
    assert_eq!(text.matches("are removed").count(), 2, "nothing was there to remove: {text}");
}
