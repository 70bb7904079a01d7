use proptest::prelude::*;
use serde_json::json;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::node::{Node, Outputs};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Cause, Window};

use super::RouteConfig;

fn rig(settings: serde_json::Value) -> Rig<RouteConfig> {
    Rig::json(settings)
}

fn config(settings: serde_json::Value) -> RouteConfig {
    serde_json::from_value(settings).unwrap()
}

fn by_heat(all: bool) -> serde_json::Value {
    json!({ "all": all, "routes": [
        { "port": "hot", "if": { "value": { "above": 30 } } },
        { "port": "warm", "if": { "value": { "above": 20 } } },
        { "port": "hot", "if": { "sources": "oven:**" } },
    ] })
}

fn numbers(rig: &mut Rig<RouteConfig>, port: &str) -> Vec<f64> {
    rig.readings(port).iter().filter_map(|one| one.value.as_f64()).collect()
}

#[test]
fn the_first_condition_that_is_met_counts_and_main_has_the_rest() {
    let mut rig = rig(by_heat(false));
    for (at, source, value) in
        [(0.0, "t:a", 35.0), (1.0, "t:a", 25.0), (2.0, "oven:a", 1.0), (3.0, "t:a", 2.0)]
    {
        rig.send(at, source, value);
        rig.restart();
    }
    assert_eq!(numbers(&mut rig, "hot"), [35.0, 1.0]);
    assert_eq!(numbers(&mut rig, "warm"), [25.0]);
    assert_eq!(numbers(&mut rig, "main"), [2.0]);
}

#[test]
fn with_all_an_item_goes_to_each_port_once() {
    let mut rig = rig(by_heat(true));
    for (at, source, value) in [(0.0, "oven:a", 35.0), (1.0, "oven:a", 25.0), (3.0, "t:a", 2.0)] {
        rig.send(at, source, value);
    }
    assert_eq!(numbers(&mut rig, "hot"), [35.0, 25.0]);
    assert_eq!(numbers(&mut rig, "warm"), [35.0, 25.0]);
    assert_eq!(numbers(&mut rig, "main"), [2.0]);
}

#[test]
fn windows_go_by_what_windows_have() {
    let config = config(json!({ "routes": [{ "port": "urgent", "if": { "cause": "urgent" } }] }));
    assert_eq!(config.profile().inputs[0].accepts, [ItemKind::Windows]);
    let rig = Rig::new(config.clone());
    let Ok(Node::Transform(mut node)) = config.build(rig.context()) else { panic!("no transform") };
    let window = |cause| Window { start: START, end: START, cause, summaries: Vec::new() };
    let items = Items::Windows(vec![window(Cause::Urgent), window(Cause::End)]);
    let mut out = Outputs::new([(ItemKind::Windows, true), (ItemKind::Windows, true)]);
    node.apply(START, 0, &Batch::new(items, START), &mut out).unwrap();
    assert_eq!(out.items(0), Some(&Items::Windows(vec![window(Cause::End)])));
    assert_eq!(out.items(1), Some(&Items::Windows(vec![window(Cause::Urgent)])));
}

#[test]
fn what_was_decided_of_a_series_goes_with_it_and_nothing_is_made() {
    let mut rig = rig(by_heat(false));
    rig.send(0.0, "oven:a", 1.0);
    assert_eq!(rig.forget(&["oven:a"]), []);
    rig.send(1.0, "oven:a", 1.0);
    assert_eq!(numbers(&mut rig, "hot"), [1.0, 1.0]);
}

#[test]
fn bad_settings_say_what_to_write() {
    let said = |settings: serde_json::Value| -> Vec<String> {
        let problems = config(settings).problems().into_iter();
        problems.map(|one| format!("{}: {}", one.field, one.message)).collect()
    };
    assert_eq!(said(json!({ "routes": [] })), ["routes: there is nowhere to go but `main`"]);
    assert_eq!(
        said(json!({ "routes": [
            { "port": "main", "if": { "sources": "a:*" } },
            { "port": "Hot!", "if": { "value": {} } },
            { "port": "cold", "if": {} },
        ] })),
        [
            "routes.0.port: `main` is for what meets no condition",
            "routes.1.port: `Hot!` is no name of a port",
            "routes.1.if.value: says nothing about the value",
            "routes.2.if: asks for nothing, so everything meets it",
        ]
    );
    let both = json!({ "routes": [
        { "port": "a", "if": { "cause": "urgent" } }, { "port": "b", "if": { "kind": "anomaly" } },
    ] });
    assert_eq!(said(both), ["routes: no kind of item has what all these conditions ask for"]);
    assert_eq!(said(by_heat(false)), [""; 0]);
}

proptest! {
    /// No reading is lost or doubled, whatever it is like, and each port keeps the order.
    #[test]
    fn each_reading_leaves_by_one_port(
        values in prop::collection::vec((0u8..2, -10i64..60, any::<i64>()), 0..60), cut in 1usize..10,
    ) {
        let (mut whole, mut parts) = (rig(by_heat(false)), rig(by_heat(false)));
        let make = |rig: &Rig<RouteConfig>| -> Vec<Reading> {
            let of = |(source, value, time): &(u8, i64, i64)| {
                let source = if *source == 0 { "t:a" } else { "oven:a" };
                let time = Timestamp::from_micros(*time);
                Reading { time, ..rig.reading(0.0, source, Value::Int(*value)) }
            };
            values.iter().map(of).collect()
        };
        let all = make(&whole);
        whole.feed(all.clone());
        for part in make(&parts).chunks(cut) {
            parts.feed(part.to_vec());
        }
        let mut left = 0;
        for port in ["main", "hot", "warm"] {
            let passed = whole.readings(port);
            left += passed.len();
            // A score of NaN equals none.
            let key = |one: &Reading| (one.time, one.series, one.value.clone());
            let mut from = all.iter().map(key);
            let in_order = passed.iter().all(|one| from.any(|other| other == key(one)));
            prop_assert!(in_order, "{}", port);
            prop_assert_eq!(format!("{:?}", passed), format!("{:?}", parts.readings(port)));
        }
        prop_assert_eq!(left, values.len());
    }
}
