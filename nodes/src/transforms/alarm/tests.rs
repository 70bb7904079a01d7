mod properties;

use serde_json::json;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, Outputs};
use smollama_engine::observation::{ObservationKind, Rung};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::series::{Series, SeriesId, SourceKey};
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;

use super::AlarmConfig;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;

fn config(settings: serde_json::Value) -> AlarmConfig {
    serde_json::from_value(settings).unwrap()
}

fn rig(settings: serde_json::Value) -> Rig<AlarmConfig> {
    let config = config(settings);
    assert_eq!(config.problems(), []);
    Rig::new(config)
}

fn seconds(time: Timestamp) -> f64 {
    (time.as_micros() - START.as_micros()) as f64 / 1e6
}

/// What port `main` said, as seconds and on or off.
fn shown(rig: &mut Rig<AlarmConfig>) -> Vec<(f64, bool)> {
    let values = rig.values("main").into_iter();
    values.map(|(at, _, value)| (at, value == Value::Bool(true))).collect()
}

/// What port `news` said, as seconds and text without the source.
fn told(rig: &mut Rig<AlarmConfig>) -> Vec<(f64, String)> {
    let news = rig.observations("news").into_iter();
    news.map(|one| (seconds(one.time), one.text.replace("t:a ", ""))).collect()
}

fn says<const N: usize>(lines: [(f64, &str); N]) -> Vec<(f64, String)> {
    lines.map(|(at, text)| (at, text.to_owned())).to_vec()
}

fn send_all(rig: &mut Rig<AlarmConfig>, readings: &[(f64, f64)]) {
    readings.iter().for_each(|&(at, value)| rig.send(at, "t:a", value));
}

#[test]
fn a_change_is_one_against_the_last_value_that_was_known() {
    for (first, rings) in [(5.0, false), (6.0, true)] {
        for restarts in [false, true] {
            let mut rig = rig(json!({ "changed": true }));
            rig.prime(10.0, "t:a", 5.0);
            rig.prime(11.0, "t:a", 6.0);
            assert_eq!((shown(&mut rig), told(&mut rig)), (vec![], vec![]));
            if restarts {
                rig.restart();
            }
            // It is of no time that a reading could be older than.
            rig.send(9.0, "t:a", first);
            assert_eq!(shown(&mut rig), [(9.0, rings)]);
            assert_eq!(rig.readings("late"), []);
        }
    }
}

#[test]
fn a_last_value_rings_nothing_and_is_no_sign_of_life() {
    for restarts in [None, Some(3), Some(2)] {
        let settings =
            |above: i64| json!({ "above": above, "missing_after": "10m", "remind": "1h" });
        let mut rig = rig(settings(3));
        rig.prime(0.0, "t:a", 5.0);
        if let Some(above) = restarts {
            // Also under other settings, by which all that is known is judged anew.
            rig.restart_as(config(settings(above))).unwrap();
        }
        rig.wait_until(5.0 * HOUR);
        assert_eq!((shown(&mut rig), told(&mut rig)), (vec![], vec![]), "{restarts:?}");
        // A reading of the same value does.
        rig.send(5.0 * HOUR, "t:a", 5.0);
        assert_eq!(shown(&mut rig), [(5.0 * HOUR, true)]);
        assert_eq!(told(&mut rig).len(), 1);
        // A source that is watched is silent all the same.
        rig.prime(5.0 * HOUR + 9.0 * MINUTE, "t:a", 2.0);
        rig.wait_until(5.0 * HOUR + 11.0 * MINUTE);
        assert_eq!(told(&mut rig).len(), 1, "it is missing");
    }
}

#[test]
fn the_pause_after_a_last_value_is_not_learned() {
    let mut rig = rig(json!({ "missing_after": "learned" }));
    rig.prime(0.0, "t:a", 5.0);
    (0..12).for_each(|n| rig.send(10.0 * HOUR + f64::from(n) * MINUTE, "t:a", 5.0));
    rig.wait_until(11.0 * HOUR);
    assert_eq!(told(&mut rig).len(), 1, "three minutes are long for it");
}

#[test]
fn it_rings_above_and_clears_below_its_own_level() {
    let mut rig = rig(json!({ "above": -15, "clear_below": -16 }));
    send_all(
        &mut rig,
        &[(0.0, -18.0), (1.0, -15.0), (2.0, -14.9), (3.0, -15.5), (4.0, -16.0), (5.0, -16.1)],
    );
    assert_eq!(shown(&mut rig), [(0.0, false), (2.0, true), (5.0, false)]);
    let expected = says([(2.0, "is at -14.9, above -15"), (5.0, "is at -16.1 again, after 3s")]);
    assert_eq!(told(&mut rig), expected);
}

#[test]
fn each_condition_rings_and_clears() {
    let run = |settings: serde_json::Value, values: &[Value]| -> Vec<bool> {
        let mut rig = rig(settings);
        let mut on = false;
        (0..)
            .zip(values)
            .map(|(at, value)| {
                rig.send(f64::from(at), "t:a", value.clone());
                on = shown(&mut rig).last().map_or(on, |(_, on)| *on);
                on
            })
            .collect()
    };
    let numbers = |all: &[f64]| all.iter().map(|&one| Value::Float(one)).collect::<Vec<_>>();
    let below = numbers(&[2.0, 1.9, 2.5, 3.0, 3.1]);
    assert_eq!(run(json!({ "below": 2 }), &below), [false, true, false, false, false]);
    let apart = json!({ "below": 2, "clear_above": 3 });
    assert_eq!(run(apart, &below), [false, true, true, true, false]);
    let outside = numbers(&[2.0, 8.0, 8.1, 7.5, 7.0, 1.9]);
    let settings = json!({ "outside": [2, 8] });
    assert_eq!(run(settings, &outside), [false, false, true, false, false, true]);
    let settings = json!({ "outside": [2, 8], "clear_inside": [3, 7] });
    assert_eq!(run(settings, &outside), [false, false, true, true, false, true]);
    let states = ["shut", "open", "ajar", "shut"].map(Value::text);
    assert_eq!(run(json!({ "equals": "open" }), &states), [false, true, false, false]);
    assert_eq!(run(json!({ "equals": ["open", "ajar"] }), &states), [false, true, true, false]);
    let leak = [Value::Bool(false), Value::Bool(true), Value::Int(1), Value::Bool(false)];
    assert_eq!(run(json!({ "equals": true }), &leak), [false, true, false, false]);
}

#[test]
fn a_change_rings_until_the_value_has_stayed_the_same() {
    let mut rig = rig(json!({ "changed": true, "clear_for": "10s" }));
    for (at, value) in [
        (0.0, Value::Int(1)),
        (5.0, Value::Float(1.0)),
        (6.0, Value::Int(2)),
        (12.0, Value::Int(3)),
    ] {
        rig.send(at, "t:a", value);
    }
    rig.send(15.0, "t:a", 3.0);
    rig.wait_until(60.0);
    assert_eq!(shown(&mut rig), [(0.0, false), (6.0, true), (22.0, false)]);
    let expected = says([(6.0, "changed to 2"), (22.0, "is 3 again, after 16s")]);
    assert_eq!(told(&mut rig), expected);
}

#[test]
fn the_condition_must_hold_without_a_break_and_the_last_value_holds() {
    let mut rig = rig(json!({ "above": 8, "for": "10m", "clear_for": "2m" }));
    send_all(&mut rig, &[(0.0, 9.0), (5.0 * MINUTE, 8.0), (6.0 * MINUTE, 9.0)]);
    rig.wait_until(15.9 * MINUTE);
    assert_eq!(shown(&mut rig), [(0.0, false)], "the break counts");
    rig.restart();
    rig.wait_until(20.0 * MINUTE);
    assert_eq!(shown(&mut rig), [(16.0 * MINUTE, true)], "though nothing came");
    send_all(&mut rig, &[(21.0 * MINUTE, 7.0), (22.0 * MINUTE, 9.0), (23.0 * MINUTE, 7.0)]);
    rig.restart();
    rig.wait_until(1.0 * HOUR);
    assert_eq!(shown(&mut rig), [(25.0 * MINUTE, false)]);
    let expected = says([
        (16.0 * MINUTE, "is at 9, above 8 for 10m"),
        (25.0 * MINUTE, "is at 7 again, after 9m"),
    ]);
    assert_eq!(told(&mut rig), expected);
}

/// A host that was offline hands over an afternoon at once: what happened in it is told by its own times.
#[test]
fn what_comes_late_is_judged_by_its_own_times() {
    let mut rig = rig(json!({ "above": 8, "for": "10m" }));
    rig.send(10.0 * HOUR, "t:clock", 1.0);
    let at = |minute: f64| 2.0 * HOUR + minute * MINUTE;
    send_all(&mut rig, &[(at(0.0), 9.0), (at(5.0), 7.0), (at(6.0), 9.0), (at(30.0), 7.0)]);
    rig.wait_until(20.0 * HOUR);
    let texts = told(&mut rig);
    let times: Vec<f64> = texts.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [at(16.0), at(30.0)], "{texts:?}");
}

#[test]
fn it_reminds_while_it_rings_and_no_longer() {
    let mut rig = rig(json!({ "above": 8, "remind": "1h" }));
    send_all(&mut rig, &[(0.0, 9.0), (0.5 * HOUR, 10.0)]);
    rig.restart();
    send_all(&mut rig, &[(1.5 * HOUR, 11.0), (2.5 * HOUR, 7.0)]);
    rig.wait_until(10.0 * HOUR);
    let expected = says([
        (0.0, "is at 9, above 8"),
        (HOUR, "is still at 10, ringing for 1h"),
        (2.0 * HOUR, "is still at 11, ringing for 2h"),
        (2.5 * HOUR, "is at 7 again, after 2h30m"),
    ]);
    assert_eq!(told(&mut rig), expected);
}

#[test]
fn a_series_that_says_nothing_rings_until_it_speaks() {
    let mut rig = rig(json!({ "missing_after": "30m", "remind": "1h" }));
    send_all(&mut rig, &[(0.0, 5.0), (10.0 * MINUTE, 6.0)]);
    rig.wait_until(39.9 * MINUTE);
    rig.restart();
    assert_eq!(told(&mut rig), []);
    rig.wait_until(110.0 * MINUTE);
    rig.send(120.0 * MINUTE, "t:a", 7.0);
    let expected = says([
        (40.0 * MINUTE, "is silent for 30m; it was 6"),
        (100.0 * MINUTE, "is still silent, for 1h30m"),
        (120.0 * MINUTE, "speaks again, and is 7"),
    ]);
    assert_eq!(told(&mut rig), expected);
    let expected = [(0.0, false), (40.0 * MINUTE, true), (120.0 * MINUTE, false)];
    assert_eq!(shown(&mut rig), expected);
}

#[test]
fn what_was_ringing_when_it_fell_silent_clears_with_one_word() {
    let mut rig = rig(json!({ "above": 8, "missing_after": "30m" }));
    send_all(&mut rig, &[(0.0, 9.0), (HOUR, 9.5), (HOUR + 2.0 * HOUR, 7.0)]);
    let texts: Vec<String> = told(&mut rig).into_iter().map(|(_, text)| text).collect();
    let expected = [
        "is at 9, above 8",
        "is silent for 30m; it was at 9",
        "speaks again, and is at 9.5",
        "is silent for 30m; it was at 9.5",
        "is at 7 again, after 3h",
    ];
    assert_eq!(texts, expected);
    assert_eq!(shown(&mut rig), [(0.0, true), (3.0 * HOUR, false)], "on all the while");
}

#[test]
fn silence_is_learnt_from_each_series() {
    let mut rig = rig(json!({ "missing_after": "learned" }));
    for minute in 0..20 {
        rig.send(f64::from(minute) * MINUTE, "t:a", 1.0);
        rig.send(f64::from(minute) * MINUTE, "t:slow", 1.0);
    }
    rig.restart();
    for minute in 20..30 {
        rig.send(f64::from(minute) * MINUTE, "t:slow", 1.0);
    }
    assert_eq!(told(&mut rig), says([(22.0 * MINUTE, "is silent for 3m; it was 1")]));
}

#[test]
fn what_is_no_number_is_no_sign_of_life() {
    let mut rig = rig(json!({ "above": 8, "missing_after": "30m" }));
    rig.send(0.0, "t:a", 5.0);
    for minute in [10.0, 20.0, 30.0, 40.0] {
        rig.send(minute * MINUTE, "t:a", Value::text("unavailable"));
    }
    assert_eq!(rig.readings("dropped").len(), 4);
    assert_eq!(told(&mut rig), says([(30.0 * MINUTE, "is silent for 30m; it was at 5")]));
}

#[test]
fn in_quiet_hours_nothing_is_told_and_afterwards_what_still_rings() {
    // The tests begin at midnight.
    let mut rig = rig(json!({ "above": 8, "quiet": "22:00-07:00", "remind": "2h" }));
    for (source, readings) in
        [("t:over", [(1.0, 9.0), (2.0, 5.0)]), ("t:rings", [(3.0, 5.0), (4.0, 9.0)])]
    {
        readings.iter().for_each(|(hour, value)| rig.send(hour * HOUR, source, *value));
        rig.restart();
    }
    let on = shown(&mut rig).into_iter().filter(|(_, on)| *on).count();
    assert_eq!(on, 2, "port main knows no quiet");
    rig.wait_until(12.0 * HOUR);
    let expected = says([
        (7.0 * HOUR, "t:rings is at 9, above 8"),
        (9.0 * HOUR, "t:rings is still at 9, ringing for 5h"),
        (11.0 * HOUR, "t:rings is still at 9, ringing for 7h"),
    ]);
    assert_eq!(told(&mut rig), expected);
    rig.send(23.0 * HOUR, "t:rings", 5.0);
    rig.wait_until(40.0 * HOUR);
    let texts = told(&mut rig);
    let cleared = (31.0 * HOUR, "t:rings is at 5 again, after 19h".to_owned());
    assert_eq!(texts.last(), Some(&cleared));
    assert!(!texts.iter().any(|(at, _)| (22.0 * HOUR..31.0 * HOUR).contains(at)), "{texts:?}");
}

#[test]
fn flapping_is_told_once_and_held_until_it_is_calm() {
    let mut rig = rig(json!({ "above": 8, "flapping": { "changes": 4, "within": "10m" } }));
    for minute in 0..20 {
        rig.send(f64::from(minute) * MINUTE, "t:a", if minute % 2 == 0 { 9.0 } else { 7.0 });
        if minute == 10 {
            rig.restart();
        }
    }
    rig.wait_until(HOUR);
    let on = [(0.0, true), (1.0, false), (2.0, true), (29.0, false)];
    assert_eq!(shown(&mut rig), on.map(|(minute, on)| (minute * MINUTE, on)));
    let texts: Vec<(f64, String)> = told(&mut rig);
    let times: Vec<f64> = texts.iter().map(|(at, _)| at / MINUTE).collect();
    assert_eq!(times, [0.0, 1.0, 2.0, 3.0, 29.0], "{texts:?}");
    let expected =
        "went on and off 4 times in 10m, and is at 7; it counts as ringing until it is calm";
    assert_eq!(texts[3].1, expected);
}

#[test]
fn observations_say_who_wrote_them_and_what_about() {
    let mut rig = rig(
        json!({ "above": 8, "text": "{{ labels.room }} {{ value|round }} {{ unit }} {{ event }} {{ kind }} {{ alarm }}" }),
    );
    let series = Series::new(SourceKey::parse("t:a")).with_unit("°C").with_label("room", "cellar");
    let id = rig.series_like(series);
    let read = |at: f64, value: f64| {
        Reading::new(Timestamp::from_micros(START.as_micros() + (at * 1e6) as i64), id, value)
    };
    rig.feed(vec![read(0.0, 9.2), read(60.0, 3.0)]);
    let news = rig.observations("news");
    let [rang, cleared] = news.as_slice() else { panic!("{news:?}") };
    assert_eq!(&*rang.text, "cellar 9.0 °C ring anomaly test/node");
    assert_eq!((rang.kind, rang.rung), (ObservationKind::Anomaly, Rung::Rule));
    assert_eq!((cleared.kind, &*cleared.author), (ObservationKind::Status, "test/node"));
    assert_eq!(cleared.sources, ["t:a".into()]);
    assert_eq!((cleared.evidence.from, cleared.evidence.to), (START, cleared.time));
    assert!(rang.id < cleared.id && rang.id.get_version_num() == 7);
    let main = rig.readings("main");
    let made = rig.context().series(main[0].series);
    assert_eq!((made.source.name(), made.unit.as_deref()), ("test.node:t/a", None));
    assert_eq!(made.labels.get("room").map(|room| &**room), Some("cellar"));
}

#[test]
fn a_text_that_fails_still_tells() {
    let mut rig = rig(json!({ "equals": "open", "text": "{{ value|round }}" }));
    rig.send(0.0, "t:a", Value::text("open"));
    assert_eq!(told(&mut rig), says([(0.0, "is open")]));
}

#[test]
fn a_reading_from_before_is_late_and_changes_nothing() {
    let mut rig = rig(json!({ "above": 8 }));
    send_all(&mut rig, &[(10.0, 5.0), (5.0, 99.0), (10.0, 9.0)]);
    assert_eq!(rig.readings("late").len(), 1);
    assert_eq!(shown(&mut rig), [(10.0, false), (10.0, true)]);
}

#[test]
fn absurd_times_and_values_do_no_harm() {
    let mut rig = rig(json!({
        "above": 8, "for": "1h", "clear_for": "1h", "missing_after": "learned", "remind": "1m",
        "quiet": "22:00-07:00", "flapping": { "changes": 3, "within": "1000d" },
    }));
    let at = |rig: &Rig<AlarmConfig>, time, value: f64| Reading {
        time,
        ..rig.reading(0.0, "t:a", value)
    };
    for (time, value) in [
        (Timestamp::MIN, f64::MAX),
        (Timestamp::EPOCH, f64::MIN),
        (START, f64::MAX),
        (Timestamp::MAX, f64::MAX),
        (Timestamp::MAX, 0.0),
        (Timestamp::MIN, 0.0),
    ] {
        let reading = at(&rig, time, value);
        rig.feed(vec![reading]);
        rig.restart();
    }
    assert_eq!(rig.readings("late").len(), 1);
}

#[test]
fn it_does_not_remind_for_ever() {
    let mut rig = rig(json!({ "above": 8, "remind": "1s" }));
    rig.send(0.0, "t:a", 9.0);
    rig.wait_until(1e9);
    assert_eq!(told(&mut rig).len(), 1 + 1000);
}

/// What port `main` says takes no slots from sources.
#[test]
fn at_the_cap_of_series_it_rings_too() {
    let mut rig = rig(json!({ "above": 8, "missing_after": "1h" }));
    let cap = rig.context().host.series.cap();
    let ids: Vec<SeriesId> = (0..cap).map(|one| rig.series(&format!("t:{one}"))).collect();
    let readings = ids.iter().rev().take(1000).map(|&id| Reading::new(START, id, 9.0));
    rig.feed(readings.collect());
    assert_eq!((rig.readings("main").len(), rig.observations("news").len()), (1000, 1000));
    rig.wait_until(HOUR);
    assert_eq!((rig.readings("main").len(), rig.observations("news").len()), (0, 1000));
}

/// A host that was off does not know who was silent meanwhile. What was to ring by then rings when it is back.
#[test]
fn after_a_host_was_away_silence_counts_anew() {
    let rig = rig(json!({ "above": 8, "for": "10m", "missing_after": "30m" }));
    let settings = json!({ "above": 8, "for": "10m", "missing_after": "30m" });
    let Ok(Node::Transform(mut node)) = config(settings).build(rig.context()) else { panic!() };
    let ports =
        [ItemKind::Readings, ItemKind::Observations, ItemKind::Readings, ItemKind::Readings];
    let mut out = Outputs::new(ports.map(|kind| (kind, true)));
    let readings = vec![rig.reading(0.0, "t:calm", 5.0), rig.reading(0.0, "t:warm", 9.0)];
    let items = Items::Readings(readings);
    let batch = Batch { items, received: START, seq: 1, end: 0 };
    node.apply(START, 0, &batch, &mut out).unwrap();
    let mut tick = |at: Timestamp| {
        node.tick(at, &mut out).unwrap();
        match out.swap(1, Items::none(ItemKind::Observations)) {
            Some(Items::Observations(news)) => news,
            _ => Vec::new(),
        }
    };
    let back = START + Duration::from_hours(5);
    let news = tick(back);
    let texts: Vec<(Timestamp, &str)> = news.iter().map(|one| (one.time, &*one.text)).collect();
    assert_eq!(texts, [(back, "t:warm is at 9, above 8 for 10m")]);
    assert_eq!(tick(back + Duration::from_mins(29)), []);
    assert_eq!(tick(back + Duration::from_mins(30)).len(), 2, "both are silent now");
}

#[test]
fn other_settings_keep_what_still_holds() {
    let settings = json!({ "above": 8, "remind": "1h", "missing_after": "1d" });
    let start = |values: &[(f64, f64)]| {
        let mut rig = rig(settings.clone());
        send_all(&mut rig, values);
        told(&mut rig);
        shown(&mut rig);
        rig
    };
    let mut lower = start(&[(0.0, 9.0)]);
    lower.restart_as(config(json!({ "above": 7, "remind": "2h" }))).unwrap();
    lower.wait_until(1.5 * HOUR);
    assert_eq!(
        told(&mut lower).len(),
        1,
        "it rings and is not told anew; the next reminder was due"
    );
    assert_eq!(shown(&mut lower), []);

    let mut higher = start(&[(0.0, 9.0)]);
    higher.restart_as(config(json!({ "above": 10 }))).unwrap();
    higher.wait_until(HOUR);
    assert_eq!(told(&mut higher).len(), 1);
    assert_eq!(shown(&mut higher).last().map(|(_, on)| *on), Some(false), "9 rings no more");

    let mut silent = start(&[(0.0, 5.0)]);
    silent.wait_until(30.0 * HOUR);
    assert_eq!(shown(&mut silent), [(24.0 * HOUR, true)]);
    silent.restart_as(config(json!({ "above": 8 }))).unwrap();
    silent.wait_until(31.0 * HOUR);
    assert_eq!(shown(&mut silent).len(), 1, "silence is not asked for any more");

    let mut rings = start(&[(0.0, 5.0)]);
    rings.restart_as(config(json!({ "above": 4, "for": "10m" }))).unwrap();
    rings.wait_until(HOUR);
    assert_eq!(shown(&mut rings), [(10.0 * MINUTE, true)], "by the last value");
}

#[test]
fn bad_settings_say_what_to_write() {
    let found = |settings| -> Vec<(String, String)> {
        let problems = config(settings).problems().into_iter();
        problems
            .map(|one| (one.field, format!("{}; {}", one.message, one.help.unwrap_or_default())))
            .collect()
    };
    for (settings, field, text) in [
        (json!({}), "", "give one of above"),
        (json!({ "above": 8, "below": 2 }), "below", "`outside: [2, 8]`"),
        (json!({ "above": 8, "equals": 2 }), "equals", "make two alarms"),
        (json!({ "above": 8, "clear_below": 9 }), "clear_below", "it would ring and clear"),
        (json!({ "below": 8, "clear_above": 7 }), "clear_above", "it would ring and clear"),
        (json!({ "above": 8, "clear_above": 9 }), "clear_above", "give `below` too"),
        (json!({ "outside": [8, 2] }), "outside", "swap them"),
        (json!({ "outside": [2, 8], "clear_inside": [1, 7] }), "clear_inside", "stay from 2 to 8"),
        (json!({ "changed": true, "for": "1m" }), "for", "`clear_for`"),
        (json!({ "changed": true, "clear_for": "0s" }), "clear_for", "such as 1m"),
        (json!({ "missing_after": "1h", "for": "1m" }), "for", "no condition"),
        (json!({ "above": 8, "remind": "0s" }), "remind", "1h"),
        (json!({ "missing_after": "0s" }), "missing_after", "`learned`"),
        (json!({ "above": 8, "quiet": "00:00-24:00" }), "quiet", "the whole day"),
        (
            json!({ "above": 8, "flapping": { "changes": 2, "within": "1h" } }),
            "flapping.changes",
            "3 to 1000",
        ),
        (
            json!({ "above": 8, "flapping": { "changes": 3, "within": "0s" } }),
            "flapping.within",
            "no time",
        ),
        (json!({ "above": 8, "text": "{{ valeu }}" }), "text", "did you mean `value`?"),
        (json!({ "above": 8, "text": "{{ value" }), "text", "the template fails"),
    ] {
        let problems = found(settings.clone());
        let [(at, said)] = problems.as_slice() else { panic!("{settings}: {problems:?}") };
        assert!(at == field && said.contains(text), "{settings}: {at}: {said}");
    }
    let error = |settings| serde_json::from_value::<AlarmConfig>(settings).unwrap_err().to_string();
    let wrong = error(json!({ "missing_after": "learnt" }));
    assert!(wrong.contains("write it like 10s, 5m, 1h30m or 250ms, or `learned`"), "{wrong}");
    assert!(error(json!({ "quiet": "22-7" })).contains("22:00-06:00"));
    assert!(error(json!({ "clear_under": 3 })).contains("clear_under"));
}
