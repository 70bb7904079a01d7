use serde_json::json;
use smollama_engine::duration::Duration;
use smollama_engine::reading::Value;
use smollama_engine::registry::NodeConfig;
use smollama_engine::testing::Rig;

use super::LatestConfig;

fn rig(every: &str) -> Rig<LatestConfig> {
    Rig::json(json!({ "every": every }))
}

/// What came: value and count, in order.
fn taken(rig: &mut Rig<LatestConfig>) -> Vec<(Value, u32)> {
    rig.readings("main").into_iter().map(|one| (one.value, one.count)).collect()
}

fn number(value: f64, count: u32) -> (Value, u32) {
    (Value::Float(value), count)
}

#[test]
fn the_last_by_its_own_time_comes_when_it_is_due_and_not_again() {
    let mut rig = rig("30s");
    rig.send(1.0, "t:b", 1.0);
    rig.send(2.0, "t:a", 2.0);
    rig.send(20.0, "t:b", 3.0);
    rig.send(19.0, "t:b", 4.0);
    assert_eq!(taken(&mut rig), []);
    rig.wait_until(30.0);
    assert_eq!(taken(&mut rig), [number(3.0, 3), number(2.0, 1)]);
    rig.wait_until(90.0);
    assert_eq!(taken(&mut rig), []);
    rig.send(91.0, "t:a", 5.0);
    rig.wait_until(120.0);
    assert_eq!(taken(&mut rig), [number(5.0, 1)]);
}

#[test]
fn a_last_value_is_passed_on_at_once_and_does_not_come_again() {
    let mut rig = rig("30s");
    rig.prime(1.0, "t:a", 2.0);
    assert_eq!(taken(&mut rig), [number(2.0, 1)]);
    rig.wait_until(90.0);
    assert_eq!(taken(&mut rig), []);
}

#[test]
fn what_waits_is_kept_in_its_order_over_a_restart() {
    let mut rig = rig("30s");
    for (at, source) in [(1.0, "t:c"), (2.0, "t:a"), (3.0, "t:b"), (4.0, "t:c")] {
        rig.send(at, source, at);
    }
    rig.restart();
    rig.wait_until(30.0);
    assert_eq!(taken(&mut rig), [number(4.0, 2), number(2.0, 1), number(3.0, 1)]);
}

#[test]
fn what_waits_comes_at_the_next_multiple_of_a_changed_setting() {
    let mut rig = rig("30s");
    rig.send(1.0, "t:a", 1.0);
    rig.restart_as(LatestConfig { every: Duration::from_secs(20) }).unwrap();
    rig.wait_until(39.0);
    assert_eq!(taken(&mut rig), []);
    rig.wait_until(40.0);
    assert_eq!(taken(&mut rig), [number(1.0, 1)]);
}

#[test]
fn the_end_waits_for_nothing() {
    let mut rig = rig("1h");
    rig.send(1.0, "t:a", 1.0);
    rig.finish();
    assert_eq!(taken(&mut rig), [number(1.0, 1)]);
}

#[test]
fn nothing_is_no_time_between() {
    let config: LatestConfig = serde_json::from_value(json!({ "every": "0s" })).unwrap();
    assert_eq!(config.problems().len(), 1);
}
