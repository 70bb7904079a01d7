use proptest::prelude::*;
use serde_json::json;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, Outputs, Transform};
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::Reading;
use smollama_engine::registry::NodeConfig;
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Accumulator, Cause, Window};

use super::RateLimitConfig;

fn rig(settings: serde_json::Value) -> Rig<RateLimitConfig> {
    Rig::json(settings)
}

fn times(rig: &mut Rig<RateLimitConfig>, port: &str) -> Vec<f64> {
    rig.values(port).into_iter().map(|(at, ..)| at).collect()
}

#[test]
fn as_many_as_the_burst_pass_at_once_and_then_they_come_back_one_by_one() {
    let mut rig = rig(json!({ "limit": 6, "per": "1m", "burst": 2 }));
    for at in [0.0, 0.0, 0.0, 9.9, 10.0, 10.0, 40.0, 40.0, 40.0] {
        rig.send(at, "t:a", at);
        rig.restart();
    }
    assert_eq!(times(&mut rig, "main"), [0.0, 0.0, 10.0, 40.0, 40.0]);
    assert_eq!(times(&mut rig, "dropped"), [0.0, 9.9, 10.0, 40.0]);
}

#[test]
fn each_source_has_a_bucket_or_all_have_one() {
    for (each, expected) in [("source", 2), ("all", 1)] {
        let mut rig = rig(json!({ "limit": 1, "per": "1h", "each": each }));
        for source in ["t:a", "t:b", "t:a"] {
            rig.send(0.0, source, 1.0);
        }
        assert_eq!(times(&mut rig, "main").len(), expected);
    }
}

#[test]
fn what_is_refused_stays_what_it_is_and_time_does_not_go_back() {
    let mut rig = rig(json!({ "limit": 1, "per": "1m" }));
    rig.send(100.0, "t:a", 1.0);
    rig.send(10.0, "t:a", 1.0);
    rig.send(160.0, "t:a", 1.0);
    let passed = rig.readings("main");
    assert_eq!(passed.iter().map(|one| one.count).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(times(&mut rig, "dropped"), [10.0]);
}

#[test]
fn a_bucket_goes_with_its_series_and_a_smaller_one_holds_less() {
    let mut rig = rig(json!({ "limit": 1, "per": "1h" }));
    rig.send(0.0, "t:a", 1.0);
    rig.send(0.0, "t:b", 1.0);
    assert_eq!((rig.forget(&["t:a"]), rig.remembered()), (vec![], vec!["t:b".to_owned()]));
    let config = serde_json::from_value(json!({ "limit": 60, "per": "1h" })).unwrap();
    rig.restart_as(config).unwrap();
    rig.readings("main");
    rig.send(1.0, "t:b", 1.0);
    assert_eq!(times(&mut rig, "main").len(), 0, "what was taken is still lacking");
    rig.send(62.0, "t:b", 1.0);
    assert_eq!(times(&mut rig, "main").len(), 1);
}

/// A node that is given other items than readings.
fn node(
    settings: serde_json::Value,
    kind: ItemKind,
) -> (Box<dyn Transform>, Outputs, Rig<RateLimitConfig>) {
    let config: RateLimitConfig = serde_json::from_value(settings).unwrap();
    let rig = Rig::new(config.clone());
    let Ok(Node::Transform(node)) = config.build(rig.context()) else { panic!("no transform") };
    (node, Outputs::new([(kind, true), (kind, true)]), rig)
}

#[test]
fn windows_and_observations_go_by_what_they_are_about() {
    let settings = json!({ "limit": 1, "per": "1h" });
    let (mut by, mut out, rig) = node(settings.clone(), ItemKind::Windows);
    let of = |sources: &[&str]| {
        let summary = |source: &&str| {
            Accumulator::new(&rig.reading(0.0, source, 1.0)).summary(rig.series(source))
        };
        Window {
            start: START,
            end: START,
            cause: Cause::Time,
            summaries: sources.iter().map(summary).collect(),
        }
    };
    let items = Items::Windows(vec![of(&["t:a", "t:b"]), of(&["t:b", "t:a"]), of(&["t:a"])]);
    by.apply(START, 0, &Batch::new(items, START), &mut out).unwrap();
    assert_eq!((out.items(0).map(Items::len), out.items(1).map(Items::len)), (Some(2), Some(1)));

    let settings = json!({ "limit": 1, "per": "1m" });
    let (mut by, mut out, _) = node(settings, ItemKind::Observations);
    let of = |number: u64, source: &str| Observation {
        id: uuid::Uuid::from_u64_pair(0, number),
        time: START + Duration::from_secs(i64::try_from(number).unwrap()),
        author: "p/n".into(),
        kind: ObservationKind::Anomaly,
        text: "it rings".into(),
        confidence: 1.0,
        sources: vec![source.into()],
        evidence: Evidence::default(),
        model: None,
        rung: Rung::Rule,
    };
    // Far more sources than are kept, each of them once.
    for number in 0..10_000 {
        let items = Items::Observations(vec![of(number, &format!("t:{number}"))]);
        by.apply(START, 0, &Batch::new(items, START), &mut out).unwrap();
    }
    assert_eq!(
        (out.items(0).map(Items::len), out.items(1).map(Items::len)),
        (Some(10_000), Some(0))
    );
    let bytes = by.snapshot().unwrap().body.len();
    assert!(bytes < 2 * 1024 * 20, "calm ones are not kept, and these are {bytes} bytes");
}

#[test]
fn bad_settings_say_what_to_write() {
    let said = |settings: serde_json::Value| -> Vec<String> {
        let config: RateLimitConfig = serde_json::from_value(settings).unwrap();
        config.problems().into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    };
    assert_eq!(
        said(json!({ "limit": 0, "per": "0s", "burst": 0 })),
        [
            "limit: it must be from 1 to 1000000",
            "burst: it must be from 1 to 1000000",
            "per: it is longer than nothing"
        ]
    );
    assert_eq!(said(json!({ "limit": 1, "per": "1s" })), [""; 0]);
}

proptest! {
    /// A bucket counted in fractions of tokens, as it is described.
    #[test]
    fn equals_a_bucket_of_tokens(
        pauses in prop::collection::vec(0i64..40, 0..120), limit in 1u32..6, burst in 1u32..5, cut in 1usize..9,
    ) {
        let settings = json!({ "limit": limit, "per": "60s", "burst": burst });
        let (mut node, mut parts) = (rig(settings.clone()), rig(settings));
        let mut now = 0;
        let times_of: Vec<i64> = pauses.iter().map(|pause| { now += pause; now }).collect();
        let make = |rig: &Rig<RateLimitConfig>| -> Vec<Reading> {
            times_of.iter().map(|&at| rig.reading(at as f64, "t:a", at as f64)).collect()
        };
        node.feed(make(&node));
        for part in make(&parts).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        // In whole sixtieths of a token, so that the model does not round either.
        let (mut tokens, mut last) = (i64::from(burst) * 60, 0);
        let mut passed = Vec::new();
        for &at in &times_of {
            tokens = (tokens + (at - last) * i64::from(limit)).min(i64::from(burst) * 60);
            last = at;
            if tokens >= 60 {
                tokens -= 60;
                passed.push(at as f64);
            }
        }
        let main = times(&mut node, "main");
        prop_assert_eq!(&main, &times(&mut parts, "main"));
        prop_assert_eq!(main, passed);
    }

    #[test]
    fn absurd_times_do_no_harm(all in prop::collection::vec(any::<i64>(), 0..20)) {
        let mut rig = rig(json!({ "limit": 1_000_000, "per": "1000d", "burst": 1_000_000 }));
        let readings = all.iter().map(|&time| Reading {
            time: Timestamp::from_micros(time), ..rig.reading(0.0, "t:a", 1.0)
        });
        let readings = readings.collect();
        rig.feed(readings);
        prop_assert_eq!(rig.readings("main").len() + rig.readings("dropped").len(), all.len());
    }
}
