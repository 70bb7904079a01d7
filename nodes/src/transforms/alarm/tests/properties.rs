//! What holds of any readings and any settings.

use proptest::prelude::*;
use serde_json::json;
use smollama_engine::observation::Observation;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::testing::Rig;
use smollama_engine::time::Timestamp;

use super::{AlarmConfig, config, rig};

fn traffic() -> impl Strategy<Value = Vec<(u8, i32, u8)>> {
    prop::collection::vec((0u8..3, -30i32..600, 0u8..12), 1..60)
}

fn settings() -> impl Strategy<Value = serde_json::Value> {
    let condition = prop_oneof![
        Just(json!({ "above": 8, "clear_below": 6 })),
        Just(json!({ "outside": [3, 9] })),
        Just(json!({ "equals": 5 })),
        Just(json!({ "changed": true })),
    ];
    let more = prop_oneof![
        Just(json!({})),
        Just(json!({ "remind": "7m", "missing_after": "20m" })),
        Just(json!({ "missing_after": "learned", "clear_for": "90s" })),
        Just(json!({ "quiet": ["00:10-01:30", "02:00-03:00"], "remind": "5m" })),
        Just(json!({ "flapping": { "changes": 4, "within": "15m" }, "missing_after": "9m" })),
    ];
    (condition, more, any::<bool>()).prop_map(|(condition, more, hold)| {
        let mut all = condition;
        let changed = all.get("changed").is_some();
        let map = all.as_object_mut().unwrap();
        map.extend(more.as_object().unwrap().clone());
        if hold && !changed {
            map.insert("for".into(), json!("3m"));
        }
        all
    })
}

fn readings(rig: &Rig<AlarmConfig>, traffic: &[(u8, i32, u8)]) -> Vec<Reading> {
    let mut now = 0;
    let of = |&(series, step, value): &(u8, i32, u8)| {
        now = (now + step).max(0);
        rig.reading(f64::from(now), &format!("t:{series}"), f64::from(value))
    };
    traffic.iter().map(of).collect()
}

/// What readings are, by seconds, source and value.
type Said = Vec<(f64, String, Value)>;

fn everything(rig: &mut Rig<AlarmConfig>) -> (Said, Vec<Observation>, Said) {
    rig.wait_until(1e6);
    (rig.values("main"), rig.observations("news"), rig.values("late"))
}

proptest! {
    #[test]
    fn the_cut_into_batches_and_restarts_change_nothing(
        traffic in traffic(), cut in 1usize..10, settings in settings(),
    ) {
        let (mut whole, mut parts) = (rig(settings.clone()), rig(settings));
        whole.feed(readings(&whole, &traffic));
        for part in readings(&parts, &traffic).chunks(cut) {
            parts.feed(part.to_vec());
            parts.restart();
        }
        prop_assert_eq!(everything(&mut whole), everything(&mut parts));
    }

    /// Whatever the settings become: on and off still take turns on port `main`, and both ports agree in the end.
    #[test]
    fn any_settings_may_follow_any(
        traffic in traffic(), cut in 0usize..60, before in settings(), after in settings(),
    ) {
        let mut rig = rig(before);
        let readings = readings(&rig, &traffic);
        let cut = cut.min(readings.len());
        rig.feed(readings[..cut].to_vec());
        let mut main = rig.values("main");
        let mut after = after;
        after["missing_after"] = json!("1h");
        rig.restart_as(config(after)).unwrap();
        rig.feed(readings[cut..].to_vec());
        rig.wait_until(1e6);
        main.extend(rig.values("main"));
        let mut last = std::collections::HashMap::new();
        for (at, of, value) in main {
            let before = last.insert(of, (at, value.clone()));
            prop_assert!(before.is_none_or(|(then, was)| then <= at && was != value));
        }
        prop_assert!(last.values().all(|(_, value)| *value == Value::Bool(true)), "all are silent");
    }

    /// On and off take turns on port `main`, never back in time; every `ring` on `news` is followed by a `clear` before the next; no
    /// text comes in quiet hours.
    #[test]
    fn what_is_said_is_in_order(traffic in traffic(), settings in settings()) {
        let mut settings = settings;
        settings["text"] = json!("{{ event }}");
        let mut rig = rig(settings.clone());
        rig.feed(readings(&rig, &traffic));
        let (main, news, _) = everything(&mut rig);
        for series in ["t:0", "t:1", "t:2"] {
            let made = format!("test.node:{}", series.replace(':', "/"));
            let own: Vec<_> = main.iter().filter(|(_, of, _)| *of == made).collect();
            for pair in own.windows(2) {
                prop_assert!(pair[0].0 <= pair[1].0 && pair[0].2 != pair[1].2, "{:?}", pair);
            }
            let (mut rings, mut last) = (false, Timestamp::MIN);
            for one in news.iter().filter(|one| *one.sources[0] == *series) {
                prop_assert!(one.time >= last);
                last = one.time;
                match &*one.text {
                    "ring" => prop_assert!(!std::mem::replace(&mut rings, true)),
                    "flapping" => rings = true,
                    "clear" => prop_assert!(std::mem::replace(&mut rings, false)),
                    _ => {}
                }
            }
            if let Some((_, _, value)) = own.last() && settings.get("missing_after").is_none() {
                prop_assert_eq!(value, &Value::Bool(rings), "both ports agree in the end");
            }
        }
        let mut ids: Vec<_> = news.iter().map(|one| one.id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), news.len(), "each text has an id of its own");
    }
}
