use serde_json::json;
use smollama_engine::registry::NodeConfig;

use crate::transforms::window::WindowConfig;

fn problems(settings: serde_json::Value) -> Vec<String> {
    let config: WindowConfig = serde_json::from_value(settings).unwrap();
    config.problems().into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
}

#[test]
fn good_settings_have_no_problems() {
    for settings in [
        json!({ "length": "1m" }),
        json!({ "length": "1h", "step": "10s", "lateness": "5m", "group": false }),
        json!({ "length": "6h", "align": "local" }),
        json!({ "length": "7d", "step": "1d", "align": "local", "values": "mean" }),
        json!({ "gap": "5m", "max_length": "1d", "idle": "1m" }),
        json!({ "count": 100, "step": 10 }),
    ] {
        assert_eq!(problems(settings.clone()), [""; 0], "{settings}");
    }
}

#[test]
fn contradictions_are_named() {
    for (settings, expected) in [
        (json!({}), ": it is not said what a window is"),
        (
            json!({ "length": "1m", "gap": "1m" }),
            "gap: `length` and `gap` both say what a window is",
        ),
        (json!({ "length": "0s" }), "length: a window of no length holds nothing"),
        (
            json!({ "length": "1m", "step": "2m" }),
            "step: 2m is longer than `length`, 1m: what lies between two windows would be in neither",
        ),
        (json!({ "length": "1m", "step": 5 }), "step: 5 is a number of readings, `length` a time"),
        (
            json!({ "length": "7m", "align": "local" }),
            "align: 7m neither divides a day nor is whole days",
        ),
        (
            json!({ "length": "1h", "step": "1s" }),
            "lateness: each series would have 3600 windows open at a time; the most is 1000",
        ),
        (
            json!({ "gap": "1m", "step": "10s" }),
            "step: `step` goes with `length` and `count`, not with `gap`",
        ),
        (
            json!({ "count": 5, "lateness": "10s" }),
            "lateness: `lateness` goes with `length` and `gap`, not with `count`",
        ),
        (json!({ "count": 0 }), "count: a window of no readings never comes"),
        (
            json!({ "count": 5, "step": 6 }),
            "step: 6 is more than `count`, 5: what lies between two windows would be in neither",
        ),
    ] {
        assert_eq!(problems(settings.clone()), [expected], "{settings}");
    }
}

#[test]
fn bad_entries_say_how_to_write_them() {
    let error =
        |settings| serde_json::from_value::<WindowConfig>(settings).unwrap_err().to_string();
    assert!(error(json!({ "step": "5x" })).contains("write it like 10s"));
    assert!(error(json!({ "step": true })).contains("a span of time such as 10s, or a number"));
    assert!(error(json!({ "step": -1 })).contains("`-1` is not a number of readings"));
    assert!(error(json!({ "values": "median" })).contains("`stddev`"));
}
