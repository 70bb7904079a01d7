use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;

use super::FillConfig;

fn rig(settings: serde_json::Value) -> Rig<FillConfig> {
    Rig::json(settings)
}

/// What lies on `main`: seconds, values and counts.
fn taken(rig: &mut Rig<FillConfig>) -> Vec<(f64, f64, u32)> {
    let seconds = |time: Timestamp| time.since(START).as_secs_f64();
    let all = rig.readings("main").into_iter();
    all.map(|one| (seconds(one.time), one.value.as_f64().unwrap(), one.count)).collect()
}

fn send_all(rig: &mut Rig<FillConfig>, readings: &[(f64, f64)]) {
    readings.iter().for_each(|&(at, value)| rig.send(at, "t:a", value));
}

#[test]
fn an_empty_step_has_the_last_value_at_its_beginning_up_to_the_gap() {
    let mut rig = rig(json!({ "step": "10s", "max_gap": "30s" }));
    send_all(&mut rig, &[(5.0, 1.0), (12.0, 2.0)]);
    rig.wait_until(25.0);
    assert_eq!(taken(&mut rig), [(5.0, 1.0, 1), (12.0, 2.0, 1)], "the step goes on");
    rig.restart();
    rig.wait_until(1000.0);
    assert_eq!(taken(&mut rig), [(20.0, 2.0, 0), (30.0, 2.0, 0), (40.0, 2.0, 0)]);
    send_all(&mut rig, &[(1001.0, 3.0), (1009.0, 4.0), (1025.0, 5.0)]);
    let expected = [(1001.0, 3.0, 1), (1009.0, 4.0, 1), (1010.0, 4.0, 0), (1025.0, 5.0, 1)];
    assert_eq!(taken(&mut rig), expected);
}

#[test]
fn marks_say_of_each_series_which_steps_are_empty() {
    let mut rig = rig(json!({ "step": "10s", "with": "nothing" }));
    rig.send(5.0, "t:b", Value::text("on"));
    rig.send(6.0, "t:a", 1.0);
    rig.send(15.0, "t:a", 1.0);
    rig.wait_until(30.0);
    let marks = rig.values("gaps");
    let expected = [(10.0, "b"), (20.0, "a"), (20.0, "b")];
    let expected = expected.map(|(at, of)| (at, format!("test.node:t/{of}"), Value::Bool(true)));
    assert_eq!(marks, expected);
    assert_eq!(rig.readings("main").len(), 3);
}

#[test]
fn what_comes_from_before_what_was_made_up_is_late() {
    let mut rig = rig(json!({ "step": "10s" }));
    send_all(&mut rig, &[(5.0, 1.0)]);
    rig.wait_until(21.0);
    send_all(&mut rig, &[(9.0, 2.0), (12.0, 3.0)]);
    assert_eq!(taken(&mut rig), [(5.0, 1.0, 1), (10.0, 1.0, 0), (12.0, 3.0, 1)]);
    assert_eq!(rig.readings("late").len(), 1);
}

#[test]
fn a_series_goes_with_its_marks() {
    let mut rig = rig(json!({ "step": "10s" }));
    rig.send(5.0, "t:a", 1.0);
    rig.send(5.0, "t:b", 1.0);
    rig.wait_until(20.0);
    let made: Vec<_> = rig.readings("gaps").iter().map(|one| one.series).collect();
    rig.restart();
    assert_eq!((rig.forget(&["t:a"]), rig.remembered()), (vec![made[0]], vec!["t:b".to_owned()]));
    rig.forget(&["t:b"]);
    taken(&mut rig);
    rig.wait_until(100.0);
    assert_eq!(taken(&mut rig), []);
}

#[test]
fn other_steps_begin_after_the_one_that_went_on() {
    let mut rig = rig(json!({ "step": "10s" }));
    send_all(&mut rig, &[(5.0, 1.0)]);
    rig.restart_as(serde_json::from_value(json!({ "step": "1m" })).unwrap()).unwrap();
    rig.wait_until(121.0);
    assert_eq!(taken(&mut rig), [(5.0, 1.0, 1), (60.0, 1.0, 0)]);
}

#[test]
fn absurd_times_do_no_harm() {
    let mut rig = rig(json!({ "step": "100ms", "max_gap": "10s" }));
    let all = [Timestamp::MIN, Timestamp::EPOCH, Timestamp::MAX, Timestamp::MAX, Timestamp::EPOCH];
    for time in all {
        let reading = Reading { time, ..rig.reading(0.0, "t:a", 1.0) };
        rig.feed(vec![reading]);
        rig.restart();
    }
    assert_eq!(rig.readings("late").len(), 1);
}

#[test]
fn bad_settings_say_what_to_write() {
    let said = |settings: serde_json::Value| -> Vec<String> {
        let config: FillConfig = serde_json::from_value(settings).unwrap();
        config.problems().into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    };
    assert_eq!(said(json!({ "step": "1ms" })), ["step: 1ms is shorter than 100ms"]);
    let short = json!({ "step": "1m", "max_gap": "10s" });
    assert_eq!(said(short), ["max_gap: 10s is shorter than a step, so nothing is ever filled"]);
    assert_eq!(said(json!({ "step": "1m", "max_gap": "1m" })), [""; 0]);
}

proptest! {
    /// Against a table of steps that is filled in when all is known, and however the input is cut.
    #[test]
    fn equals_a_table_of_steps(
        pauses in prop::collection::vec((0u8..3, 0u32..45), 1..60), cut in 1usize..9, gap in 1u32..6,
    ) {
        let settings = json!({ "step": "10s", "max_gap": format!("{}s", gap * 10) });
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        let mut now = 0;
        let traffic: Vec<(u8, u32)> =
            pauses.iter().map(|&(of, pause)| { now += pause; (of, now) }).collect();
        let make = |rig: &Rig<FillConfig>| -> Vec<Reading> {
            traffic.iter().map(|&(of, at)| rig.reading(f64::from(at), &format!("t:{of}"), f64::from(at))).collect()
        };
        whole.feed(make(&whole));
        for part in make(&parts).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        let end = f64::from(now) + 300.0;
        whole.wait_until(end);
        parts.wait_until(end);
        let filled = |rig: &mut Rig<FillConfig>| rig.readings("main").into_iter().map(|one| {
            (rig.name(one.series), one.time.since(START).as_secs_f64(), one.value.as_f64().unwrap(), one.count)
        }).collect::<Vec<_>>();
        let main = filled(&mut whole);
        prop_assert_eq!(&main, &filled(&mut parts));
        let mut model = BTreeMap::new();
        for of in 0..3u8 {
            let own: Vec<u32> = traffic.iter().filter(|(series, _)| *series == of).map(|one| one.1).collect();
            for start in (0..now + 300).step_by(10) {
                let Some(last) = own.iter().rfind(|at| **at < start) else { continue };
                let empty = !own.iter().any(|at| (start..start + 10).contains(at));
                if empty && start - last <= gap * 10 && f64::from(start) + 10.0 <= end {
                    model.insert((format!("t:{of}"), start), f64::from(*last));
                }
            }
        }
        let made_up: BTreeMap<(String, u32), f64> = main
            .iter()
            .filter(|(.., count)| *count == 0)
            .map(|(name, at, value, _)| ((name.clone(), *at as u32), *value))
            .collect();
        prop_assert_eq!(made_up, model);
        prop_assert_eq!(main.iter().filter(|(.., count)| *count == 1).count(), traffic.len());
    }
}
