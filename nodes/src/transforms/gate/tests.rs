use proptest::prelude::*;
use serde_json::json;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::node::{Node, Outputs};
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::series::SeriesId;
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;

use super::{DROPPED, GateConfig, MAIN};

fn config(settings: serde_json::Value) -> GateConfig {
    serde_json::from_value(settings).unwrap()
}

fn rig(settings: serde_json::Value) -> Rig<GateConfig> {
    let config = config(settings);
    assert_eq!(config.problems(), []);
    Rig::new(config)
}

/// Gives a value to port `gate`.
fn say(rig: &mut Rig<GateConfig>, seconds: f64, source: &str, value: impl Into<Value>) {
    let reading = rig.reading(seconds, source, value);
    rig.feed_port("gate", vec![reading]);
}

/// Which of these seconds is the gate open at?
fn open_at<const N: usize>(rig: &mut Rig<GateConfig>, seconds: [f64; N]) -> [bool; N] {
    seconds.map(|at| {
        rig.send(at, "t:main", 1.0);
        let (main, dropped) = (rig.readings("main").len(), rig.readings("dropped").len());
        assert_eq!(main + dropped, 1);
        main == 1
    })
}

#[test]
fn it_is_open_while_the_last_value_meets_the_condition() {
    let mut rig = rig(json!({ "open_when": { "above": 30 } }));
    assert_eq!(open_at(&mut rig, [0.0]), [false], "nothing is known");
    say(&mut rig, 1.0, "t:g", 31.0);
    assert_eq!(open_at(&mut rig, [1.0, 1e6]), [true, true]);
    rig.restart();
    assert_eq!(open_at(&mut rig, [1e6]), [true]);
    say(&mut rig, 1e6, "t:g", 30.0);
    assert_eq!(open_at(&mut rig, [1e6]), [false]);
    say(&mut rig, 1e6 + 1.0, "t:g", 31.0);
    say(&mut rig, 1e6 + 2.0, "t:g", Value::text("unavailable"));
    assert_eq!(open_at(&mut rig, [1e6 + 3.0]), [false], "that is not above 30");
}

#[test]
fn without_a_condition_true_opens() {
    let mut rig = rig(json!({}));
    for (at, value, open) in [(0.0, Value::Bool(true), true), (1.0, Value::Int(1), false)] {
        say(&mut rig, at, "t:g", value);
        assert_eq!(open_at(&mut rig, [at]), [open]);
    }
}

#[test]
fn it_opens_after_its_time_and_stays_open_for_a_while() {
    let mut rig = rig(json!({ "for": "10s", "hold": "1m" }));
    say(&mut rig, 0.0, "t:g", true);
    assert_eq!(open_at(&mut rig, [9.9]), [false]);
    say(&mut rig, 9.9, "t:g", false);
    say(&mut rig, 10.0, "t:g", true);
    assert_eq!(open_at(&mut rig, [19.9]), [false], "a break counts");
    rig.restart();
    assert_eq!(open_at(&mut rig, [20.0]), [true], "though nothing came");
    say(&mut rig, 30.0, "t:g", false);
    assert_eq!(open_at(&mut rig, [89.0]), [true]);
    say(&mut rig, 89.0, "t:g", true);
    say(&mut rig, 91.0, "t:g", false);
    assert_eq!(open_at(&mut rig, [95.0]), [true], "open all the while");
    rig.restart();
    assert_eq!(open_at(&mut rig, [150.9, 151.0]), [true, false]);
}

#[test]
fn before_the_first_value_and_after_the_last_it_is_as_unknown_says() {
    for open in [false, true] {
        let unknown = if open { "open" } else { "closed" };
        let mut rig = rig(json!({ "unknown": unknown, "stale_after": "1m" }));
        assert_eq!(open_at(&mut rig, [0.0]), [open]);
        say(&mut rig, 1.0, "t:g", !open);
        assert_eq!(open_at(&mut rig, [1.0]), [!open]);
        say(&mut rig, 31.0, "t:g", !open);
        rig.restart();
        assert_eq!(open_at(&mut rig, [61.0, 90.9, 91.0]), [!open, !open, open]);
        say(&mut rig, 92.0, "t:g", !open);
        assert_eq!(open_at(&mut rig, [92.0]), [!open]);
    }
}

/// What was before the first value holds until that has been so for long enough.
#[test]
fn a_series_begins_with_what_the_gate_was() {
    let settings = json!({ "unknown": "open", "for": "10s", "hold": "10s", "stale_after": "1m" });
    let mut rig = rig(settings);
    say(&mut rig, 0.0, "t:g", false);
    assert_eq!(open_at(&mut rig, [9.0, 10.0, 59.0, 60.0]), [true, false, false, true]);
    say(&mut rig, 70.0, "t:g", true);
    assert_eq!(open_at(&mut rig, [71.0]), [true]);
}

#[test]
fn of_several_series_any_is_enough_or_all_must() {
    for (needs, expected) in [("any", [true, true, false]), ("all", [false, true, false])] {
        let mut rig = rig(json!({ "needs": needs, "stale_after": "1m", "hold": "5s" }));
        say(&mut rig, 0.0, "t:a", true);
        say(&mut rig, 0.0, "t:b", false);
        let one = open_at(&mut rig, [5.0]);
        say(&mut rig, 6.0, "t:b", true);
        let both = open_at(&mut rig, [6.0]);
        say(&mut rig, 7.0, "t:a", false);
        say(&mut rig, 8.0, "t:b", false);
        let held = open_at(&mut rig, [11.9]);
        assert_eq!(held, [true], "{needs}");
        let none = open_at(&mut rig, [13.0]);
        assert_eq!([one, both, none].concat(), expected, "{needs}");
    }
    // One that says nothing any more has no say.
    let mut rig = rig(json!({ "needs": "all", "stale_after": "1m" }));
    say(&mut rig, 0.0, "t:a", false);
    say(&mut rig, 30.0, "t:b", true);
    assert_eq!(open_at(&mut rig, [59.0, 60.0, 90.0]), [false, true, false]);
}

#[test]
fn a_series_that_is_forgotten_has_no_say() {
    let mut rig = rig(json!({ "needs": "all", "hold": "1h", "stale_after": "1d" }));
    say(&mut rig, 0.0, "t:a", false);
    say(&mut rig, 0.0, "t:b", true);
    assert_eq!(open_at(&mut rig, [1.0]), [false]);
    assert_eq!(rig.forget(&["t:a", "t:main"]), []);
    assert_eq!((rig.remembered(), open_at(&mut rig, [2.0])), (vec!["t:b".into()], [true]));
    rig.restart();
    assert_eq!(open_at(&mut rig, [3.0]), [true]);
    rig.forget(&["t:b"]);
    assert_eq!((rig.remembered(), open_at(&mut rig, [4.0])), (vec![], [false]));
    assert_eq!(open_at(&mut rig, [1e6]), [false], "nothing of them is still to come");
}

#[test]
fn a_value_from_before_is_late_and_changes_nothing() {
    let mut rig = rig(json!({}));
    say(&mut rig, 10.0, "t:g", true);
    say(&mut rig, 5.0, "t:g", false);
    assert_eq!(rig.values("late"), [(5.0, "t:g".into(), Value::Bool(false))]);
    assert_eq!(open_at(&mut rig, [11.0]), [true]);
    assert_eq!(
        open_at(&mut rig, [3.0]),
        [true],
        "what is late on port main is judged when it comes"
    );
}

#[test]
fn any_kind_of_item_passes() {
    let config = config(json!({ "hold": "10s" }));
    let rig = Rig::new(config.clone());
    let Ok(Node::Transform(mut node)) = config.build(rig.context()) else { panic!() };
    let kinds = [ItemKind::Observations, ItemKind::Observations, ItemKind::Readings];
    let mut out = Outputs::new(kinds.map(|kind| (kind, true)));
    let told = |seconds: f64| Observation {
        id: uuid::Uuid::nil(),
        time: rig.reading(seconds, "t:a", 0.0).time,
        author: "p/n".into(),
        kind: ObservationKind::Status,
        text: "so it is".into(),
        confidence: 1.0,
        sources: Vec::new(),
        evidence: Evidence::default(),
        model: None,
        rung: Rung::Rule,
    };
    let gate = vec![rig.reading(0.0, "t:g", true), rig.reading(1.0, "t:g", false)];
    node.apply(START, 1, &Batch::new(Items::Readings(gate), START), &mut out).unwrap();
    let items = Items::Observations(vec![told(2.0), told(10.9), told(11.0)]);
    node.apply(START, 0, &Batch::new(items, START), &mut out).unwrap();
    let len = |port| out.items(port).map(Items::len);
    assert_eq!((len(MAIN), len(DROPPED)), (Some(2), Some(1)));
}

#[test]
fn other_settings_judge_the_last_values() {
    let start = || {
        let mut rig = rig(json!({ "open_when": { "above": 30 }, "hold": "1m" }));
        say(&mut rig, 0.0, "t:g", 25.0);
        say(&mut rig, 1.0, "t:h", 5.0);
        assert_eq!(open_at(&mut rig, [10.0]), [false]);
        rig
    };
    let mut lower = start();
    lower.restart_as(config(json!({ "open_when": { "above": 20 } }))).unwrap();
    assert_eq!(open_at(&mut lower, [10.0]), [true]);
    let mut both = start();
    both.restart_as(config(json!({ "open_when": { "above": 20 }, "needs": "all" }))).unwrap();
    assert_eq!(open_at(&mut both, [10.0]), [false]);
    let mut stale = start();
    let settings = json!({ "open_when": { "above": 20 }, "stale_after": "5s" });
    stale.restart_as(config(settings)).unwrap();
    assert_eq!(open_at(&mut stale, [10.0]), [false]);
}

#[test]
fn absurd_times_do_no_harm() {
    let mut rig = rig(json!({ "for": "1h", "hold": "1000d", "stale_after": "1000d" }));
    for (time, value) in [
        (Timestamp::MIN, true),
        (Timestamp::EPOCH, false),
        (START, true),
        (Timestamp::MAX, false),
        (Timestamp::MAX, true),
        (Timestamp::MIN, false),
    ] {
        let reading = Reading { time, ..rig.reading(0.0, "t:g", value) };
        rig.feed_port("gate", vec![reading]);
        rig.restart();
        let reading = Reading { time, ..rig.reading(0.0, "t:main", 1.0) };
        rig.feed(vec![reading]);
    }
    assert_eq!(rig.readings("late").len(), 1);
    assert_eq!(rig.readings("main").len() + rig.readings("dropped").len(), 6);
}

/// A hundred thousand series on port `gate`, each with a deadline, cost no more than a look at the next one.
#[test]
fn at_the_cap_of_series_it_still_knows_what_to_do() {
    let mut rig = rig(json!({ "needs": "all", "stale_after": "1h" }));
    let cap = rig.context().host.series.cap();
    let ids: Vec<SeriesId> = (0..cap).map(|one| rig.series(&format!("t:{one}"))).collect();
    let all = |value: bool| ids.iter().map(|id| Reading::new(START, *id, value)).collect();
    rig.feed_port("gate", all(true));
    rig.feed(all(true));
    assert_eq!(rig.readings("main").len(), cap);
    rig.feed_port("gate", vec![Reading::new(START, ids[7], false)]);
    rig.feed(all(true));
    assert_eq!((rig.readings("main").len(), rig.readings("dropped").len()), (0, cap));
}

#[test]
fn bad_settings_say_what_to_write() {
    for (settings, field, text) in [
        (json!({ "open_when": {} }), "open_when", "give one of above"),
        (json!({ "open_when": { "outside": [8, 2] } }), "open_when.outside", "swap them"),
        (json!({ "open_when": { "above": 2, "of": "mean" } }), "open_when.of", "leave out `of`"),
        (json!({ "stale_after": "0s" }), "stale_after", "a few times"),
    ] {
        let problems = config(settings.clone()).problems();
        let [one] = problems.as_slice() else { panic!("{settings}: {problems:?}") };
        let said = format!("{}; {}", one.message, one.help.clone().unwrap_or_default());
        assert!(one.field == field && said.contains(text), "{settings}: {}: {said}", one.field);
    }
    let error = serde_json::from_value::<GateConfig>(json!({ "when": true })).unwrap_err();
    assert!(error.to_string().contains("unknown field `when`"), "{error}");
}

/// What a naive gate knows of its settings, in seconds.
#[derive(Debug, Clone)]
struct Settings {
    hold_off: i32,
    hold: i32,
    stale: Option<i32>,
    all: bool,
    unknown: bool,
}

impl Settings {
    fn json(&self) -> serde_json::Value {
        let seconds = |span: i32| format!("{span}s");
        let mut all = json!({
            "for": seconds(self.hold_off), "hold": seconds(self.hold),
            "needs": if self.all { "all" } else { "any" },
            "unknown": if self.unknown { "open" } else { "closed" },
        });
        if let Some(span) = self.stale {
            all["stale_after"] = json!(seconds(span));
        }
        all
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    (0..20, 0..20, prop::option::of(1..40), any::<bool>(), any::<bool>()).prop_map(
        |(hold_off, hold, stale, all, unknown)| Settings { hold_off, hold, stale, all, unknown },
    )
}

/// A series of a naive gate: when it spoke, what it said, since when, and whether it held the gate open before.
type Known = (i32, bool, i32, bool);

/// A gate that goes through all that was said, each time anew.
fn naive(said: &[(i32, u8, bool)], settings: &Settings, at: i32) -> bool {
    let stale = |heard: i32, now: i32| settings.stale.is_some_and(|span| heard + span <= now);
    let open = |(_, meets, since, was): Known, now: i32| {
        let span = if meets { settings.hold_off } else { settings.hold };
        if since + span <= now { meets } else { was }
    };
    let of_series = |series: u8| -> Option<bool> {
        let mut known: Option<Known> = None;
        for &(time, _, value) in said.iter().filter(|(_, of, _)| *of == series) {
            known = Some(match known.filter(|one| !stale(one.0, time)) {
                None => (time, value, time, settings.unknown),
                Some((_, meets, since, was)) if meets == value => (time, meets, since, was),
                Some(one) => (time, value, time, open(one, time)),
            });
        }
        known.filter(|one| !stale(one.0, at)).map(|one| open(one, at))
    };
    let known: Vec<bool> = (0..3).filter_map(of_series).collect();
    match known.as_slice() {
        [] => settings.unknown,
        known if settings.all => known.iter().all(|open| *open),
        known => known.iter().any(|open| *open),
    }
}

proptest! {
    #[test]
    fn it_is_the_naive_gate_whatever_the_cuts_and_restarts(
        settings in settings(),
        traffic in prop::collection::vec((0i32..15, 0u8..5, any::<bool>()), 1..60),
        cut in 1usize..8,
    ) {
        let mut gate = rig(settings.json());
        let (mut now, mut said, mut expected) = (0, Vec::new(), Vec::new());
        let (mut waiting, mut passed) = (Vec::new(), Vec::new());
        for (step, series, value) in traffic {
            now += step;
            if series < 3 {
                gate.feed(std::mem::take(&mut waiting));
                say(&mut gate, f64::from(now), &format!("t:{series}"), value);
                said.push((now, series, value));
            } else {
                waiting.push(gate.reading(f64::from(now), "t:main", i64::from(now)));
                expected.push((now, naive(&said, &settings, now)));
                if waiting.len() >= cut {
                    gate.feed(std::mem::take(&mut waiting));
                }
            }
            if waiting.is_empty() {
                gate.restart();
            }
        }
        gate.feed(waiting);
        for (port, open) in [("main", true), ("dropped", false)] {
            passed.extend(gate.values(port).into_iter().map(|(at, ..)| (at as i32, open)));
        }
        expected.sort_unstable();
        passed.sort_unstable();
        prop_assert_eq!(passed, expected);
    }
}

/// As of a presence that a broker had kept.
#[test]
fn a_last_value_opens_where_there_is_none_and_readings_of_before_still_come() {
    let mut rig = rig(json!({}));
    rig.prime_port("gate", 5.0, "t:g", true);
    assert_eq!(open_at(&mut rig, [6.0]), [true]);
    rig.restart();
    assert_eq!(open_at(&mut rig, [6.0]), [true]);
    say(&mut rig, 1.0, "t:g", false);
    assert_eq!((rig.readings("late").len(), open_at(&mut rig, [7.0])), (0, [false]));
    rig.prime_port("gate", 8.0, "t:g", true);
    assert_eq!(open_at(&mut rig, [8.0]), [false], "a reading tells more");
    rig.prime(9.0, "t:main", 2.0);
    assert_eq!(rig.readings("dropped").len(), 1);
}
