use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::testing::Rig;
use smollama_engine::time::Timestamp;

use super::SampleConfig;

fn rig(settings: serde_json::Value) -> Rig<SampleConfig> {
    Rig::json(settings)
}

/// What lies on a port: seconds and counts.
fn taken(rig: &mut Rig<SampleConfig>, port: &str) -> Vec<(f64, u32)> {
    let seconds = |time: Timestamp| time.since(smollama_engine::testing::START).as_secs_f64();
    rig.readings(port).into_iter().map(|one| (seconds(one.time), one.count)).collect()
}

fn send_all(rig: &mut Rig<SampleConfig>, times: &[f64]) {
    times.iter().for_each(|&at| rig.send(at, "t:a", at));
}

#[test]
fn one_in_so_many_of_each_series_passes_and_stands_for_the_others() {
    let mut rig = rig(json!({ "one_in": 3 }));
    send_all(&mut rig, &[0.0, 1.0]);
    rig.send(1.5, "t:b", 1.0);
    rig.restart();
    send_all(&mut rig, &[2.0, 3.0, 4.0, 1.0]);
    assert_eq!(taken(&mut rig, "main"), [(0.0, 1), (1.5, 1), (3.0, 3)]);
    assert_eq!(taken(&mut rig, "dropped"), [(1.0, 1), (2.0, 1), (4.0, 1)]);
    assert_eq!(taken(&mut rig, "late"), [(1.0, 1)]);
}

#[test]
fn the_first_of_each_span_passes_at_once() {
    let mut rig = rig(json!({ "per": "10s" }));
    send_all(&mut rig, &[3.0, 9.0, 10.0, 11.0, 45.0]);
    assert_eq!(taken(&mut rig, "main"), [(3.0, 1), (10.0, 2), (45.0, 2)]);
}

#[test]
fn the_last_of_each_span_passes_when_it_is_over_and_no_second_one_ever_does() {
    let mut rig = rig(json!({ "per": "10s", "keep": "last" }));
    send_all(&mut rig, &[3.0, 9.0]);
    assert_eq!(taken(&mut rig, "main"), []);
    rig.restart();
    rig.wait_until(10.0);
    assert_eq!(taken(&mut rig, "main"), [(9.0, 2)]);
    // It comes when its span has been told of.
    rig.send(9.5, "t:a", 1.0);
    send_all(&mut rig, &[11.0, 12.0]);
    rig.finish();
    assert_eq!(taken(&mut rig, "main"), [(12.0, 3)]);
    assert_eq!(taken(&mut rig, "dropped"), [(3.0, 1), (9.5, 1), (11.0, 1)]);
}

#[test]
fn what_is_held_passes_also_under_other_settings_and_when_its_series_goes() {
    let mut rig = rig(json!({ "per": "10s", "keep": "last" }));
    send_all(&mut rig, &[3.0, 9.0]);
    rig.restart_as(serde_json::from_value(json!({ "one_in": 2 })).unwrap()).unwrap();
    rig.wait_until(20.0);
    assert_eq!(taken(&mut rig, "main"), [(9.0, 2)]);
    let mut rig = self::rig(json!({ "per": "10s", "keep": "last" }));
    send_all(&mut rig, &[3.0]);
    rig.send(3.0, "t:b", 1.0);
    assert_eq!(rig.forget(&["t:a"]), []);
    assert_eq!(
        (taken(&mut rig, "main"), rig.remembered()),
        (vec![(3.0, 1)], vec!["t:b".to_owned()])
    );
}

#[test]
fn a_share_is_about_that_share_and_always_the_same_readings() {
    let mut rig = rig(json!({ "share": 0.1 }));
    let times: Vec<f64> = (0..20_000).map(f64::from).collect();
    let all = |rig: &Rig<SampleConfig>| {
        times.iter().map(|&at| rig.reading(at, "t:a", at)).collect::<Vec<_>>()
    };
    rig.feed(all(&rig));
    let passed = taken(&mut rig, "main");
    assert!((1_850..2_150).contains(&passed.len()), "{}", passed.len());
    let mut again = self::rig(json!({ "share": 0.1 }));
    let half = all(&again).split_off(10_000);
    again.feed(half);
    let second = taken(&mut again, "main");
    let late: Vec<f64> = passed.iter().map(|(at, _)| *at).filter(|at| *at >= 10_000.0).collect();
    assert_eq!(second.iter().map(|(at, _)| *at).collect::<Vec<_>>(), late);
    for (share, expected) in [(1.0, 1000), (0.0, 0)] {
        let mut rig = self::rig(json!({ "share": share }));
        rig.feed((0..1000).map(|at| rig.reading(f64::from(at), "t:a", 1.0)).collect());
        assert_eq!(rig.readings("main").len(), expected);
    }
}

#[test]
fn absurd_times_do_no_harm() {
    for settings in
        [json!({ "per": "1s", "keep": "last" }), json!({ "per": "1s" }), json!({ "share": 0.5 })]
    {
        let mut rig = rig(settings);
        let times =
            [Timestamp::MIN, Timestamp::EPOCH, Timestamp::MAX, Timestamp::MAX, Timestamp::MIN];
        let all = times.map(|time| Reading { time, ..rig.reading(0.0, "t:a", Value::text("x")) });
        rig.feed(all.to_vec());
        rig.restart();
        rig.finish();
        let left = ["main", "dropped", "late"].map(|port| rig.readings(port).len());
        assert_eq!((left.iter().sum::<usize>(), left[2]), (5, 1));
    }
}

#[test]
fn bad_settings_say_what_to_write() {
    let said = |settings: serde_json::Value| -> Vec<String> {
        let config: SampleConfig = serde_json::from_value(settings).unwrap();
        config.problems().into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    };
    assert_eq!(said(json!({})), [": leaves nothing out"]);
    assert_eq!(
        said(json!({ "one_in": 2, "per": "1m" })),
        ["per: `one_in` and `per` are two ways to choose"]
    );
    assert_eq!(said(json!({ "one_in": 1 })), ["one_in: nothing would be left out"]);
    assert_eq!(said(json!({ "per": "0s" })), ["per: it is longer than nothing"]);
    assert_eq!(said(json!({ "share": 10 })), ["share: 10 is no share; it must be from 0 to 1"]);
    assert_eq!(said(json!({ "share": 0.5, "keep": "last" })), ["keep: it is a setting of `per`"]);
}

fn settings() -> impl Strategy<Value = serde_json::Value> {
    prop::sample::select(vec![
        json!({ "one_in": 3 }),
        json!({ "per": "20s" }),
        json!({ "per": "20s", "keep": "last" }),
        json!({ "share": 0.3 }),
    ])
}

proptest! {
    #[test]
    fn nothing_is_lost_and_cuts_and_restarts_change_nothing(
        traffic in prop::collection::vec((0u8..3, -5i32..30), 0..80), cut in 1usize..10, settings in settings(),
    ) {
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings.clone()));
        let make = |rig: &Rig<SampleConfig>| -> Vec<Reading> {
            let mut now = 0;
            let of = |&(series, step): &(u8, i32)| {
                now = (now + step).max(0);
                rig.reading(f64::from(now), &format!("t:{series}"), f64::from(now))
            };
            traffic.iter().map(of).collect()
        };
        whole.feed(make(&whole));
        for part in make(&parts).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        whole.finish();
        parts.finish();
        let main = whole.readings("main");
        let (dropped, late) = (whole.readings("dropped").len(), whole.readings("late").len());
        prop_assert_eq!(main.len() + dropped + late, traffic.len());
        let counted: usize = main.iter().map(|one| one.count as usize).sum();
        prop_assert!(counted <= traffic.len() - late);
        prop_assert_eq!(format!("{:?}", &main), format!("{:?}", parts.readings("main")));
        if settings.get("per").is_some() {
            let mut steps = HashMap::new();
            for one in &main {
                let step = one.time.floor_to("20s".parse().unwrap());
                prop_assert!(steps.insert((one.series, step), ()).is_none(), "two of one span");
            }
        }
    }
}
