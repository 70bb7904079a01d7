use proptest::prelude::*;
use serde_json::json;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::context::{Context, Host};
use smollama_engine::node::{MAIN, Node, Outputs};
use smollama_engine::reading::Value;
use smollama_engine::registry::NodeConfig;
use smollama_engine::testing::{Rig, START};
use smollama_engine::window::{Accumulator, Cause, Window};

use super::{DROPPED, FilterConfig};

fn rig(settings: serde_json::Value) -> Rig<FilterConfig> {
    Rig::json(settings)
}

#[test]
fn what_meets_the_condition_passes_and_the_rest_is_dropped() {
    let mut rig = rig(json!({ "sources": "room:**", "value": { "above": 30 } }));
    rig.send(1.0, "room:a", 31.0);
    rig.send(2.0, "room:a", 30.0);
    rig.restart();
    rig.send(3.0, "yard:a", 40.0);
    rig.send(4.0, "room:b", Value::text("hot"));
    rig.send(0.5, "room:a", 99i64);
    assert_eq!(
        rig.values("main"),
        [(1.0, "room:a".into(), Value::Float(31.0)), (0.5, "room:a".into(), Value::Int(99))]
    );
    assert_eq!(rig.values("dropped").len(), 3);
}

#[test]
fn last_values_go_the_way_of_readings() {
    let mut rig = rig(json!({ "value": { "above": 30 } }));
    rig.prime(1.0, "t:a", 31.0);
    rig.prime(2.0, "t:a", 30.0);
    assert_eq!(rig.values("main"), [(1.0, "t:a".into(), Value::Float(31.0))]);
    assert_eq!(rig.values("dropped"), [(2.0, "t:a".into(), Value::Float(30.0))]);
}

#[test]
fn a_scored_reading_keeps_score_and_count() {
    let mut rig = rig(json!({ "score": { "min": 1 } }));
    let mut news = rig.reading(1.0, "t:a", 5.0);
    (news.score, news.count) = (1.5, 7);
    rig.feed(vec![news.clone(), rig.reading(2.0, "t:a", 5.0)]);
    assert_eq!(rig.readings("main"), [news]);
    assert_eq!(rig.readings("dropped").len(), 1);
}

#[test]
fn windows_pass_by_cause() {
    let config: FilterConfig = serde_json::from_value(json!({ "cause": ["urgent"] })).unwrap();
    assert_eq!(config.profile().inputs[0].accepts, [ItemKind::Windows]);
    let host = std::sync::Arc::new(Host::for_tests(&std::env::temp_dir()));
    let Ok(Node::Transform(mut node)) = config.build(&Context::new(host, "p/n", "p.n")) else {
        panic!("no transform");
    };
    let window = |cause| Window { start: START, end: START, cause, summaries: Vec::new() };
    let (urgent, end) = (window(Cause::Urgent), window(Cause::End));
    let items = Items::Windows(vec![urgent.clone(), end.clone()]);
    let mut out = Outputs::new([(ItemKind::Windows, true), (ItemKind::Windows, true)]);
    node.apply(START, 0, &Batch::new(items, START), &mut out).unwrap();
    assert_eq!(out.items(MAIN), Some(&Items::Windows(vec![urgent])));
    assert_eq!(out.items(DROPPED), Some(&Items::Windows(vec![end])));
}

#[test]
fn a_window_s_figure_can_be_asked_for() {
    let config: FilterConfig =
        serde_json::from_value(json!({ "value": { "of": "mean", "above": 2 } })).unwrap();
    let rig = Rig::new(config.clone());
    let mut sum = Accumulator::new(&rig.reading(0.0, "t:a", 5.0));
    sum.add(&rig.reading(1.0, "t:a", 0.0));
    let Ok(Node::Transform(mut node)) = config.build(rig.context()) else {
        panic!("no transform");
    };
    let summaries = vec![sum.summary(rig.series("t:a"))];
    let window = Window { start: START, end: START, cause: Cause::Time, summaries };
    let mut out = Outputs::new([(ItemKind::Windows, true), (ItemKind::Windows, true)]);
    let items = Items::Windows(vec![window]);
    node.apply(START, 0, &Batch::new(items, START), &mut out).unwrap();
    assert_eq!(out.items(MAIN).map(Items::len), Some(1), "the mean is 2.5, the last value 0");
}

#[test]
fn settings_that_ask_for_nothing_are_a_mistake() {
    let config: FilterConfig = serde_json::from_value(json!({})).unwrap();
    assert_eq!(config.problems().len(), 1);
    let error = serde_json::from_value::<FilterConfig>(json!({ "source": "a" })).unwrap_err();
    assert!(error.to_string().contains("unknown field `source`"), "{error}");
}

proptest! {
    #[test]
    fn each_reading_leaves_by_one_port_however_the_input_is_cut(
        values in prop::collection::vec((0u8..4, -3i64..3), 0..60),
        cut in 1usize..20,
    ) {
        let settings = json!({ "sources": ["t:0", "t:1"], "value": { "min": 0 } });
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        let make = |rig: &Rig<FilterConfig>| -> Vec<_> {
            let all = values.iter().enumerate();
            all.map(|(at, (of, value))| rig.reading(at as f64, &format!("t:{of}"), *value)).collect()
        };
        whole.feed(make(&whole));
        for part in make(&parts).chunks(cut) {
            parts.feed(part.to_vec());
        }
        let (main, dropped) = (whole.values("main"), whole.values("dropped"));
        prop_assert_eq!(main.len() + dropped.len(), values.len());
        prop_assert_eq!(main, parts.values("main"));
        prop_assert_eq!(dropped, parts.values("dropped"));
    }
}
