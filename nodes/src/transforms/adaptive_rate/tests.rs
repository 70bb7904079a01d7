use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;
use smollama_engine::duration::Duration;
use smollama_engine::reading::Value;
use smollama_engine::testing::{Rig, START};

use super::*;
use crate::transforms::novelty::NoveltyConfig;
use crate::transforms::recordings::{RECORDINGS, rows, time};

type Pace = Rig<AdaptiveRateConfig>;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;

fn rig(settings: serde_json::Value) -> Pace {
    let rig: Pace = Rig::json(settings.clone());
    let config: AdaptiveRateConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    rig
}

fn scored(rig: &Pace, seconds: f64, source: &str, value: f64, score: f64) -> Reading {
    let mut reading = rig.reading(seconds, source, value);
    reading.score = score;
    reading
}

/// A reading every minute of `from..to`, in minutes, with one score.
fn run(rig: &mut Pace, from: i32, to: i32, score: f64) {
    for minute in from..to {
        let reading = scored(rig, f64::from(minute) * MINUTE, "a:x", f64::from(minute), score);
        rig.feed(vec![reading]);
    }
}

/// The windows that lie on `main`, as (minute of the end, cause).
fn windows(rig: &mut Pace) -> Vec<(f64, Cause)> {
    let minute = |time: Timestamp| (time.as_micros() - START.as_micros()) as f64 / 6e7;
    rig.windows("main").into_iter().map(|one| (minute(one.end), one.cause)).collect()
}

#[test]
fn heartbeats_stretch_while_calm_up_to_the_longest() {
    let mut rig = rig(json!({ "start": "1h", "max": "3h" }));
    run(&mut rig, 0, 800, 0.0);
    let beat = |minute| (minute, Cause::Heartbeat);
    // 60, 90, 135, then 180 and no more.
    assert_eq!(windows(&mut rig), [60.0, 150.0, 285.0, 465.0, 645.0].map(beat));
}

#[test]
fn heartbeats_shrink_while_volatile_down_to_the_shortest() {
    let mut rig = rig(json!({ "min": "20m", "urgent": false }));
    run(&mut rig, 0, 160, 2.0);
    let beat = |minute| (minute, Cause::Heartbeat);
    assert_eq!(windows(&mut rig), [60.0, 90.0, 110.0, 130.0, 150.0].map(beat));
}

#[test]
fn between_calm_and_volatile_and_without_scores_the_pace_stays() {
    for score in [0.7, f64::NAN] {
        let mut rig = rig(json!({}));
        run(&mut rig, 0, 200, score);
        let beat = |minute| (minute, Cause::Heartbeat);
        assert_eq!(windows(&mut rig), [60.0, 120.0, 180.0].map(beat));
    }
}

#[test]
fn the_pace_changes_after_as_many_periods_as_hysteresis_says() {
    let mut rig = rig(json!({ "hysteresis": 2 }));
    run(&mut rig, 0, 60, 0.0);
    run(&mut rig, 60, 120, 0.7);
    run(&mut rig, 120, 700, 0.0);
    let beat = |minute| (minute, Cause::Heartbeat);
    // Calm, neither, calm, calm: stretched to 90; calm, calm: to 135.
    assert_eq!(
        windows(&mut rig),
        [60.0, 120.0, 180.0, 240.0, 330.0, 420.0, 555.0, 690.0].map(beat)
    );
}

#[test]
fn news_closes_the_window_that_holds_it_at_once() {
    let mut rig = rig(json!({}));
    run(&mut rig, 0, 10, 0.0);
    let [news, same] = [1.0, 0.0].map(|score| scored(&rig, 10.0 * MINUTE, "a:x", 50.0, score));
    rig.feed(vec![news, same]);
    let closed = rig.windows("main");
    assert_eq!(closed.len(), 1);
    let window = &closed[0];
    assert_eq!((window.start, window.cause), (START, Cause::Urgent));
    assert_eq!(window.end, START + Duration::from_mins(10));
    let summary = &window.summaries[0];
    assert_eq!((summary.count, summary.max, summary.score), (11, 50.0, 1.0));
    assert_eq!(summary.last, Value::Float(50.0));
    // The period held news, so the next heartbeat is due after half an hour, not an hour.
    rig.wait_until(2.0 * HOUR);
    assert_eq!(windows(&mut rig), [(40.0, Cause::Heartbeat)]);
}

#[test]
fn a_used_up_budget_lets_news_wait_and_no_longer_than_it_must() {
    let mut rig = rig(json!({ "max": "1h", "budget": { "per_hour": 2, "per_day": 100 } }));
    run(&mut rig, 0, 5, 1.0);
    run(&mut rig, 5, 100, 0.0);
    let urgent = |minute| (minute, Cause::Urgent);
    // At 0 and 1 the budget is spent; the news of 2, 3 and 4 waits until 0 is an hour ago. The heartbeat due at 75 (a quarter
    // of an hour after 60) waits as well, until 1 and then 60 are far enough back.
    let closed = windows(&mut rig);
    assert_eq!(closed[..3], [0.0, 1.0, 60.0].map(urgent));
    assert_eq!(closed[3].1, Cause::Heartbeat);
    assert!(closed[3].0 >= 61.0);

    let mut rig = self::rig(json!({ "max": "6h", "budget": { "per_hour": 3, "per_day": 6 } }));
    run(&mut rig, 0, 1441, 1.0);
    let closed = windows(&mut rig);
    assert_eq!(closed, [0.0, 1.0, 2.0, 60.0, 61.0, 62.0, 1440.0].map(urgent));
}

#[test]
fn news_that_waits_does_not_wait_for_the_heartbeat() {
    let mut rig = rig(json!({ "start": "6h", "budget": { "per_hour": 1 } }));
    run(&mut rig, 0, 2, 1.0);
    run(&mut rig, 2, 100, 0.0);
    let urgent = |minute| (minute, Cause::Urgent);
    // The heartbeat would be due after three hours.
    assert_eq!(windows(&mut rig), [0.0, 60.0].map(urgent));
}

#[test]
fn heartbeats_leave_a_quarter_of_the_budget_to_news() {
    let mut rig = rig(json!({
        "start": "5m", "max": "20m", "hysteresis": 99, "budget": { "per_hour": 8, "per_day": 999 }
    }));
    run(&mut rig, 0, 40, 0.0);
    assert_eq!(windows(&mut rig).len(), 6, "5 to 30; of 35 and later the hour has had its six");
    run(&mut rig, 40, 42, 1.0);
    assert_eq!(windows(&mut rig), [(40.0, Cause::Urgent), (41.0, Cause::Urgent)]);
}

#[test]
fn periods_without_readings_pass_in_their_rhythm() {
    let mut rig = rig(json!({}));
    rig.send(0.0, "a:x", 1.0);
    rig.wait_until(10.5 * HOUR);
    assert_eq!(windows(&mut rig), [(60.0, Cause::Heartbeat)]);
    rig.send(10.5 * HOUR, "a:x", 1.0);
    rig.wait_until(20.0 * HOUR);
    let window = rig.windows("main").pop().unwrap();
    assert_eq!(window.start, START + Duration::from_hours(10));
    assert_eq!(window.end, START + Duration::from_hours(11));
}

#[test]
fn tick_and_reading_of_one_instant_come_to_the_same() {
    let [mut ticked, mut read] = [rig(json!({})), rig(json!({}))];
    for rig in [&mut ticked, &mut read] {
        rig.send(0.0, "a:x", 1.0);
    }
    ticked.wait_until(HOUR);
    ticked.send(HOUR, "a:x", 2.0);
    // Within one batch nothing ticks before the second reading.
    let both = [30.0 * MINUTE, HOUR].map(|at| read.reading(at, "a:x", 2.0));
    read.feed(both.to_vec());
    let (ticked, read) = (ticked.windows("main"), read.windows("main"));
    assert_eq!((ticked.len(), read.len()), (1, 1));
    assert_eq!((ticked[0].end, ticked[0].cause), (read[0].end, read[0].cause));
    assert_eq!(ticked[0].summaries[0].last, Value::Float(1.0));
}

#[test]
fn late_readings_go_aside_and_slightly_late_ones_into_the_next_window() {
    let mut rig = rig(json!({ "lateness": "10s" }));
    let news = scored(&rig, 100.0, "a:x", 1.0, 2.0);
    rig.feed(vec![news]);
    for (seconds, source) in [(99.0, "a:x"), (95.0, "a:z"), (89.0, "a:y"), (90.0, "a:y")] {
        rig.send(seconds, source, 1.0);
    }
    let late: Vec<_> = rig.values("late").into_iter().map(|one| (one.0, one.1)).collect();
    assert_eq!(late, [(99.0, "a:x".to_owned()), (89.0, "a:y".to_owned())]);
    rig.finish();
    let closed = rig.windows("main");
    assert_eq!((closed[1].cause, closed[1].end), (Cause::End, START + Duration::from_secs(100)));
    let names: Vec<_> = closed[1].summaries.iter().map(|one| rig.name(one.series)).collect();
    assert_eq!(names, ["a:y", "a:z"], "by name");
}

#[test]
fn series_are_taken_together_by_weight() {
    // Scores 1.2 (weight 1) and 0.3 (weight 3), urgent off: what does the second period look like?
    let second = |settings: serde_json::Value| {
        let mut rig = rig(settings);
        for (source, score) in [("a:x", 1.2), ("b:y", 0.3)] {
            let reading = scored(&rig, 0.0, source, 1.0, score);
            rig.feed(vec![reading]);
        }
        rig.wait_until(HOUR);
        rig.send(HOUR, "a:x", 1.0);
        rig.wait_until(9.0 * HOUR);
        windows(&mut rig)[1].0 - 60.0
    };
    let weights = json!([{ "match": "b:*", "weight": 3 }]);
    let with =
        |aggregate: &str| json!({ "urgent": false, "aggregate": aggregate, "weights": weights });
    assert_eq!(second(with("max")), 30.0, "1.2 is volatile");
    assert_eq!(second(with("mean")), 60.0, "2.1 over 4 is neither");
    assert_eq!(second(with("share")), 60.0, "a quarter is neither");
    let ignored = json!([{ "match": "a:*", "weight": 0 }]);
    assert_eq!(second(json!({ "weights": ignored })), 90.0, "no say, so no urgent window either");
}

#[test]
fn the_original_plan_is_one_setting() {
    let mut steady = rig(json!({ "plan": "original" }));
    let mut toggled = rig(json!({ "plan": "original" }));
    for minute in 0..600 {
        let at = f64::from(minute) * MINUTE;
        steady.send(at, "system:cpu_temp", 50.0 + f64::from(minute % 3) * 0.1);
        toggled.send(at, "gpio:17", minute % 2 == 0);
        let news = scored(&toggled, at, "gpio:18", 1.0, 9.0);
        toggled.feed(vec![news]);
    }
    let ends = |rig: &mut Pace| -> Vec<f64> {
        windows(rig)
            .into_iter()
            .map(|(end, cause)| {
                assert_eq!(cause, Cause::Heartbeat);
                end
            })
            .collect()
    };
    let steady = ends(&mut steady);
    // Thrice 15 minutes, thrice 22.5, thrice 33.75, thrice 50.625, then an hour each.
    assert_eq!(steady[..6], [15.0, 30.0, 45.0, 67.5, 90.0, 112.5]);
    assert_eq!(steady[11..14], [365.625, 425.625, 485.625]);
    let toggled = ends(&mut toggled);
    // Thrice 15 minutes, thrice 7.5, then 5 each.
    assert_eq!(toggled[..8], [15.0, 30.0, 45.0, 52.5, 60.0, 67.5, 72.5, 77.5]);
    assert_eq!(toggled.last(), Some(&597.5));
}

/// The pipeline of the design's own test: `novelty`, then `adaptive_rate`.
fn scored_by_novelty(readings: impl Fn(&Rig<NoveltyConfig>) -> Vec<Reading>) -> Vec<Reading> {
    let mut novelty: Rig<NoveltyConfig> = Rig::json(json!({}));
    let readings = readings(&novelty);
    novelty.feed(readings);
    novelty.readings("main")
}

#[test]
fn a_stuck_vent_is_news() {
    let source = "air:greenhouse/north/air/temperature";
    for seed in 1..40u64 {
        let readings = scored_by_novelty(|rig| {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut noise = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((state >> 33) as f64 / f64::from(1u32 << 31) - 0.5) * 0.2
            };
            let mut readings: Vec<Reading> = (0..200)
                .map(|minute| rig.reading(f64::from(minute) * MINUTE, source, 21.0 + noise()))
                .collect();
            readings.push(rig.reading(201.0 * MINUTE, source, 35.0));
            readings
        });
        let mut pace = rig(json!({ "start": "1h", "min": "5m", "max": "6h" }));
        assert_eq!(pace.name(pace.series(source)), source);
        pace.feed_each(readings);
        assert_eq!(windows(&mut pace).last(), Some(&(201.0, Cause::Urgent)), "seed {seed}");
    }
}

#[test]
fn the_recordings_are_looked_at_where_people_saw_something() {
    let labels: serde_json::Value =
        serde_json::from_str(include_str!("../../../../data/recordings/labelled_windows.json"))
            .unwrap();
    let mut report = String::new();
    for (name, text) in RECORDINGS {
        let readings = scored_by_novelty(|rig| {
            let series = rig.series("replay:value");
            rows(text).map(|(time, row)| Reading::new(time, series, row[0])).collect()
        });
        let mut pace = rig(json!({}));
        assert_eq!(pace.name(pace.series("replay:value")), "replay:value");
        pace.feed(readings);
        pace.finish();
        let closed = pace.windows("main");
        let count = |cause| closed.iter().filter(|one| one.cause == cause).count();
        let spans: Vec<bool> = labels[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|span| [0, 1].map(|end| time(span[end].as_str().unwrap())))
            .map(|[from, to]| {
                let within = |one: &&Window| (from..=to).contains(&one.end);
                closed.iter().filter(|one| one.cause == Cause::Urgent).any(|one| within(&one))
            })
            .collect();
        let (urgent, heartbeat) = (count(Cause::Urgent), count(Cause::Heartbeat));
        writeln!(report, "{name}: {urgent} urgent, {heartbeat} heartbeats, labelled: {spans:?}")
            .unwrap();
    }
    println!("{report}");
    // What came out with the default settings, which were not fitted to these recordings.
    let golden = "\
        office_temperature.csv: 13 urgent, 1225 heartbeats, labelled: [true, true]\n\
        road_occupancy.csv: 2 urgent, 54 heartbeats, labelled: [true]\n\
        server_cpu.csv: 8 urgent, 64 heartbeats, labelled: [true, true]\n";
    assert_eq!(report, golden);
}

#[test]
fn wrong_settings_are_named() {
    let problems = |settings: serde_json::Value| -> Vec<String> {
        let config: AdaptiveRateConfig = serde_json::from_value(settings).unwrap();
        config.problems().into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
    };
    assert!(problems(json!({ "plan": "original" })).is_empty());
    assert!(problems(json!({ "max": "30m" })).is_empty(), "`start` gives way");
    assert_eq!(
        problems(json!({ "min": "2h", "max": "1h" })),
        ["min: `min` (2h) is longer than `max` (1h)"]
    );
    assert_eq!(
        problems(json!({ "start": "8h", "max": "6h", "calm": 2, "stretch": 0.5 })),
        [
            "start: `start` (8h) is not between `min` (5m) and `max` (6h)",
            "stretch: `stretch` is 0.5; it must be from 1 to 100",
            "calm: `calm` (2) must not be above `volatile` (1)"
        ]
    );
    assert_eq!(
        problems(json!({ "max": "10m" })),
        ["budget.per_day: a heartbeat at least every 10m (`max`) needs 144 windows; \
          `budget.per_day` leaves 75 for heartbeats"]
    );
    assert_eq!(
        problems(json!({ "budget": { "per_hour": 0 } })),
        ["budget.per_hour: `budget.per_hour` is 0; it must be from 1 to 10000"]
    );
}

fn config(settings: serde_json::Value) -> AdaptiveRateConfig {
    serde_json::from_value(settings).unwrap()
}

#[test]
fn under_other_settings_the_pace_is_kept_within_the_new_bounds() {
    let beat = |minute| (minute, Cause::Heartbeat);
    // Stretched to 90 minutes at 60, so due at 150.
    let calm = || {
        let mut rig = rig(json!({}));
        run(&mut rig, 0, 80, 0.0);
        assert_eq!(windows(&mut rig), [beat(60.0)]);
        rig
    };
    for (settings, due) in [
        (json!({ "start": "10m", "stretch": 2 }), 150.0),
        (json!({ "max": "45m", "start": "20m" }), 105.0),
        (json!({ "min": "2h", "start": "2h" }), 180.0),
        // The latest reading is of minute 79, and no window ends before its last reading.
        (json!({ "max": "15m", "start": "10m" }), 79.0),
    ] {
        let mut rig = calm();
        rig.restart_as(config(settings.clone())).unwrap();
        rig.wait_until(200.0 * MINUTE);
        let closed = rig.windows("main");
        assert_eq!(closed[0].summaries[0].count, 20, "it keeps its readings");
        assert_eq!(closed[0].end, START + Duration::from_micros((due * 6e7) as i64), "{settings}");
    }
}

#[test]
fn news_that_waited_closes_its_window_when_it_may() {
    let urgent = |minute| (minute, Cause::Urgent);
    let tight = json!({ "max": "1h", "budget": { "per_hour": 2, "per_day": 100 } });
    let mut waiting = rig(tight.clone());
    run(&mut waiting, 0, 5, 1.0);
    assert_eq!(windows(&mut waiting), [urgent(0.0), urgent(1.0)]);
    waiting.restart_as(config(json!({ "max": "1h", "budget": { "per_hour": 6 } }))).unwrap();
    waiting.wait_until(10.0 * MINUTE);
    assert_eq!(windows(&mut waiting), [urgent(4.0)], "not before its last reading");

    let mut off = rig(json!({ "urgent": false }));
    run(&mut off, 0, 5, 1.0);
    off.restart_as(config(json!({}))).unwrap();
    off.wait_until(10.0 * MINUTE);
    assert_eq!(windows(&mut off), [urgent(4.0)]);

    let mut on = rig(tight);
    run(&mut on, 0, 5, 1.0);
    windows(&mut on);
    on.restart_as(config(json!({ "weights": [{ "match": "a:*", "weight": 0 }] }))).unwrap();
    on.wait_until(10.0 * HOUR);
    assert_eq!(windows(&mut on)[0].1, Cause::Heartbeat, "its source has no say any more");
}

#[test]
fn periods_that_would_be_judged_otherwise_no_longer_count() {
    for (calm, next) in [(0.5, 90.0), (0.6, 60.0)] {
        let mut rig = rig(json!({ "hysteresis": 2 }));
        run(&mut rig, 0, 61, 0.0);
        rig.restart_as(config(json!({ "hysteresis": 2, "calm": calm }))).unwrap();
        run(&mut rig, 61, 300, 0.0);
        let ends: Vec<f64> = windows(&mut rig).into_iter().map(|(end, _)| end).collect();
        assert_eq!(ends[..3], [60.0, 120.0, 120.0 + next]);
    }
}

/// Readings of three series, not quite in order, some scored, with pauses.
fn given() -> impl Strategy<Value = Vec<(usize, i64, f64, f64)>> {
    let step = prop_oneof![6 => 0i64..900, 2 => -90i64..0, 1 => 0i64..90_000];
    let score = prop_oneof![4 => Just(0.0), 2 => 0.0..1.5f64, 1 => Just(f64::NAN)];
    prop::collection::vec((0usize..3, step, -5.0..5.0f64, score), 1..150)
}

fn readings(rig: &Pace, given: &[(usize, i64, f64, f64)]) -> Vec<Reading> {
    let mut time = 0;
    given
        .iter()
        .map(|&(which, step, value, score)| {
            time += step;
            scored(rig, time as f64, ["a:x", "b:y", "c:z"][which], value, score)
        })
        .collect()
}

fn settings() -> impl Strategy<Value = serde_json::Value> {
    let plan = prop::sample::select(vec!["news", "original"]);
    let aggregate = prop::sample::select(vec!["max", "mean", "share"]);
    (plan, aggregate, 1u32..4, 1u32..9, any::<bool>()).prop_map(
        |(plan, aggregate, hysteresis, per_hour, urgent)| {
            json!({
                "plan": plan, "aggregate": aggregate, "hysteresis": hysteresis, "urgent": urgent,
                "max": "6h", "budget": { "per_hour": per_hour, "per_day": 20 }, "lateness": "30s",
                "weights": [{ "match": "b:*", "weight": 2 }, { "match": "c:*", "weight": 0.5 }],
            })
        },
    )
}

proptest! {
    #[test]
    fn neither_batches_nor_a_restart_change_a_window(
        given in given(), settings in settings(), cut in 0usize..150,
    ) {
        let [mut whole, mut single] = [rig(settings.clone()), rig(settings)];
        whole.feed(readings(&whole, &given));
        for (at, reading) in readings(&single, &given).into_iter().enumerate() {
            single.feed(vec![reading]);
            if at == cut {
                single.restart();
            }
        }
        for rig in [&mut whole, &mut single] {
            rig.wait_until(1e6);
            rig.finish();
        }
        // As text: a score may be NaN, which is not equal to itself.
        let text = |rig: &mut Pace| format!("{:?} {:?}", rig.windows("main"), rig.readings("late"));
        prop_assert_eq!(text(&mut whole), text(&mut single));
    }

    #[test]
    fn other_settings_lose_no_reading_and_keep_the_new_budget(
        given in given(), all in prop::array::uniform2(settings()), cut in 0usize..150,
    ) {
        let [before, after] = all;
        let mut rig = rig(before);
        let readings = readings(&rig, &given);
        let cut = cut.min(readings.len());
        rig.feed_each(readings[..cut].to_vec());
        let mut closed = rig.windows("main");
        let changed = closed.len();
        rig.restart_as(config(after.clone())).unwrap();
        rig.feed_each(readings[cut..].to_vec());
        rig.wait_until(1e6);
        rig.finish();
        closed.extend(rig.windows("main"));
        for (span, limit) in [(HOUR, "per_hour"), (24.0 * HOUR, "per_day")] {
            let limit = after["budget"][limit].as_u64().unwrap() as usize;
            let span = Duration::from_micros((span * 1e6) as i64);
            for at in limit.max(changed)..closed.len() {
                let apart = closed[at].end.since(closed[at - limit].end);
                prop_assert!(closed[at].cause == Cause::End || apart >= span);
            }
        }
        let taken: u64 = closed.iter().flat_map(|one| &one.summaries).map(|one| one.count).sum();
        prop_assert_eq!(taken as usize + rig.readings("late").len(), readings.len());
        for pair in closed.windows(2) {
            prop_assert!(pair[0].end <= pair[1].start && pair[1].start <= pair[1].end);
        }
    }

    #[test]
    fn the_budget_holds_and_no_reading_is_lost(given in given(), settings in settings()) {
        let mut rig = rig(settings.clone());
        let readings = readings(&rig, &given);
        rig.feed_each(readings.clone());
        rig.wait_until(1e6);
        rig.finish();
        let closed = rig.windows("main");
        let budget = &settings["budget"];
        for (span, limit) in [(HOUR, "per_hour"), (24.0 * HOUR, "per_day")] {
            let limit = budget[limit].as_u64().unwrap() as usize;
            let span = Duration::from_micros((span * 1e6) as i64);
            for some in closed.windows(limit + 1).filter(|some| some[limit].cause != Cause::End) {
                prop_assert!(some[limit].end.since(some[0].end) >= span);
            }
        }
        let taken: u64 = closed.iter().flat_map(|one| &one.summaries).map(|one| one.count).sum();
        prop_assert_eq!(taken as usize + rig.readings("late").len(), readings.len());
        for pair in closed.windows(2) {
            prop_assert!(pair[0].end <= pair[1].start && pair[1].start <= pair[1].end);
        }
        for window in &closed {
            let news = window.summaries.iter().any(|one| one.score >= 1.0);
            let urgent = settings["urgent"] == json!(true) && news;
            prop_assert_eq!(window.cause == Cause::Urgent, urgent && window.cause != Cause::End);
        }
    }
}
