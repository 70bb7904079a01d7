use serde_json::json;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::time::Timestamp;

use super::{late, rig, windows};

#[test]
fn a_span_is_emitted_when_all_its_series_are_past_it() {
    let mut rig = rig(json!({ "length": "1m" }));
    rig.send(0.0, "t:a", 1.0);
    rig.send(1.0, "t:b", 10.0);
    rig.send(59.0, "t:a", 3.0);
    rig.send(60.0, "t:a", 5.0);
    assert_eq!(windows(&mut rig), [""; 0], "b may still have something to say");
    rig.send(60.5, "t:b", 20.0);
    assert_eq!(windows(&mut rig), ["0..60 time a:2@2 b:1@10"]);
    rig.finish();
    assert_eq!(windows(&mut rig), ["60..120 end a:1@5 b:1@20"]);
}

#[test]
fn a_silent_series_holds_a_span_back_only_for_idle() {
    let mut rig = rig(json!({ "length": "1m", "idle": "20s" }));
    rig.send(0.0, "t:a", 1.0);
    rig.send(55.0, "t:b", 2.0);
    rig.send(61.0, "t:b", 3.0);
    rig.restart();
    rig.wait_until(74.9);
    assert_eq!(windows(&mut rig), [""; 0]);
    rig.wait_until(75.0);
    assert_eq!(windows(&mut rig), ["0..60 time a:1@1 b:1@2"]);
    rig.wait_until(500.0);
    assert_eq!(windows(&mut rig), ["60..120 time b:1@3"]);
}

#[test]
fn a_reading_for_a_span_its_series_is_past_is_late() {
    let mut rig = rig(json!({ "length": "1m", "lateness": "10s", "idle": "1d" }));
    let all = [(30.0, 1.0), (69.0, 2.0), (59.0, 3.0), (70.0, 4.0), (59.0, 5.0), (65.0, 6.0)];
    let all = all.map(|(at, value)| rig.reading(at, "t:a", value));
    rig.feed(all.to_vec());
    assert_eq!(windows(&mut rig), ["0..60 time a:2@2"]);
    assert_eq!(late(&mut rig), [(59.0, Value::Float(5.0))]);
    rig.finish();
    assert_eq!(windows(&mut rig), ["60..120 end a:3@4"]);
}

#[test]
fn a_recording_sorted_by_series_opens_old_spans_again() {
    let mut rig = rig(json!({ "length": "1m", "idle": "1d" }));
    for source in ["t:a", "t:b"] {
        let all = [10.0, 70.0, 130.0].map(|at| rig.reading(at, source, at));
        rig.feed(all.to_vec());
    }
    rig.finish();
    assert_eq!(
        windows(&mut rig),
        [
            "0..60 time a:1@10",
            "60..120 time a:1@70",
            "0..60 time b:1@10",
            "60..120 time b:1@70",
            "120..180 end a:1@130 b:1@130"
        ]
    );
    assert_eq!(late(&mut rig), []);
}

#[test]
fn ungrouped_windows_come_as_soon_as_their_series_is_past() {
    let mut rig = rig(json!({ "length": "1m", "group": false, "idle": "20s" }));
    rig.send(50.0, "t:a", 1.0);
    rig.send(55.0, "t:b", 2.0);
    rig.send(60.0, "t:a", 3.0);
    assert_eq!(windows(&mut rig), ["0..60 time a:1@1"]);
    rig.wait_until(75.0);
    assert_eq!(windows(&mut rig), ["0..60 time b:1@2"]);
    rig.finish();
    assert_eq!(windows(&mut rig), ["60..120 end a:1@3"]);
}

#[test]
fn sliding_windows_overlap() {
    let mut rig = rig(json!({ "length": "20s", "step": "10s" }));
    for (at, value) in [(5.0, 1.0), (12.0, 2.0), (15.0, 3.0), (30.0, 4.0)] {
        rig.send(at, "t:a", value);
    }
    assert_eq!(
        windows(&mut rig),
        ["-10..10 time a:1@1", "0..20 time a:3@2", "10..30 time a:2@2.5"]
    );
    rig.finish();
    assert_eq!(windows(&mut rig), ["20..40 end a:1@4", "30..50 end a:1@4"]);
}

#[test]
fn a_session_ends_with_a_pause() {
    let mut rig = rig(json!({ "gap": "30s", "max_length": "100s" }));
    for at in [0.0, 20.0, 49.0, 80.0, 100.0] {
        rig.send(at, "t:a", at);
    }
    rig.send(81.0, "t:b", 5.0);
    assert_eq!(windows(&mut rig), ["0..79 session a:3@23"]);
    rig.restart();
    rig.wait_until(111.0);
    assert_eq!(windows(&mut rig), ["81..111 session b:1@5"], "by the clock");
    rig.restart();
    for at in [120.0, 140.0, 160.0, 179.0, 180.0] {
        rig.send(at, "t:a", at);
    }
    assert_eq!(windows(&mut rig), ["80..180 time a:6@129.83333333333334"], "long enough");
    rig.finish();
    assert_eq!(windows(&mut rig), ["180..210 end a:1@180"]);
}

#[test]
fn a_reading_between_two_sessions_joins_them() {
    let mut rig = rig(json!({ "gap": "10s", "lateness": "1m", "idle": "1d" }));
    let all = [0.0, 15.0, 8.0, 100.0, 8.0, 95.0, 60.0];
    let all = all.map(|at| rig.reading(at, "t:a", at));
    rig.feed(all.to_vec());
    assert_eq!(windows(&mut rig), ["0..25 session a:3@7.666666666666666"]);
    assert_eq!(late(&mut rig), [(8.0, Value::Float(8.0))]);
    rig.finish();
    assert_eq!(windows(&mut rig), ["60..70 end a:1@60", "95..110 end a:2@97.5"]);
}

#[test]
fn a_session_does_not_grow_back_into_the_one_before() {
    let mut rig = rig(json!({ "gap": "10s", "max_length": "20s", "idle": "1d" }));
    let all = [0.0, 8.0, 16.0, 20.0, 19.0, 25.0].map(|at| rig.reading(at, "t:a", at));
    rig.feed(all.to_vec());
    rig.finish();
    assert_eq!(windows(&mut rig), ["0..20 time a:3@8", "20..35 end a:2@22.5"]);
    assert_eq!(late(&mut rig), [(19.0, Value::Float(19.0))]);
}

#[test]
fn a_count_is_a_count() {
    let mut rig = rig(json!({ "count": 3 }));
    for at in 0..7 {
        rig.send(f64::from(at), "t:a", f64::from(at));
    }
    rig.send(2.0, "t:a", 9.0);
    assert_eq!(windows(&mut rig), ["0..2.000001 count a:3@1", "3..5.000001 count a:3@4"]);
    assert_eq!(late(&mut rig).len(), 1);
    rig.restart();
    rig.finish();
    assert_eq!(windows(&mut rig), ["6..6.000001 end a:1@6"]);
    rig.send(7.0, "t:a", 7.0);
    rig.finish();
    assert_eq!(windows(&mut rig), ["7..7.000001 end a:1@7"]);
}

#[test]
fn counts_slide_too() {
    let mut rig = rig(json!({ "count": 4, "step": 2 }));
    for at in 0..8 {
        rig.send(f64::from(at), "t:a", f64::from(at));
    }
    let expected =
        ["0..3.000001 count a:4@1.5", "2..5.000001 count a:4@3.5", "4..7.000001 count a:4@5.5"];
    assert_eq!(windows(&mut rig), expected);
    rig.finish();
    assert_eq!(windows(&mut rig), ["6..7.000001 end a:2@6.5"]);
}

#[test]
fn figures_come_as_readings_of_their_own_series() {
    let mut rig = rig(json!({ "length": "1m", "values": ["mean", "count", "last"] }));
    let series = Series::new(SourceKey::parse("air:north")).with_unit("°C").with_label("room", "x");
    let id = rig.series_like(series);
    let at = |time: f64, value: f64| Reading::new(rig.reading(time, "t:z", 0.0).time, id, value);
    rig.feed(vec![at(1.0, 20.0), at(2.0, 21.0), at(60.0, 5.0)]);
    let made = rig.readings("values");
    let made: Vec<String> = made
        .iter()
        .map(|one| {
            let series = rig.context().series(one.series);
            let unit = series.unit.as_deref().unwrap_or("-");
            let labels: Vec<_> = series.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!(
                "{} {} {} {} {}",
                super::seconds(one.time),
                series.source,
                one.value,
                unit,
                labels.join(",")
            )
        })
        .collect();
    assert_eq!(
        made,
        [
            "60 test.node:air/north 20.5 °C room=x,stat=mean",
            "60 test.node:air/north 2 - room=x,stat=count",
            "60 test.node:air/north 21 °C room=x,stat=last",
        ]
    );
}

#[test]
fn texts_are_counted_and_have_no_mean() {
    let mut rig = rig(json!({ "length": "1m", "values": ["mean", "last"] }));
    rig.send(0.0, "t:a", Value::text("on"));
    rig.send(1.0, "t:a", Value::text("off"));
    rig.send(2.0, "t:b", true);
    rig.send(3.0, "t:b", false);
    rig.finish();
    assert_eq!(windows(&mut rig), ["0..60 end a:2@NaN b:2@0.5"]);
    let values: Vec<Value> = rig.values("values").into_iter().map(|(.., value)| value).collect();
    assert_eq!(values, [Value::text("off"), Value::Float(0.5), Value::Bool(false)]);
}

#[test]
fn absurd_times_do_no_harm() {
    for settings in [
        json!({ "length": "1m" }),
        json!({ "length": "1d", "align": "local" }),
        json!({ "length": "1h", "step": "10m", "group": false }),
        json!({ "gap": "1m", "max_length": "2m" }),
        json!({ "count": 2 }),
    ] {
        let mut rig = rig(settings.clone());
        let now = rig.reading(0.0, "t:a", 1.0);
        let far = [Timestamp::MIN, Timestamp::MAX, Timestamp::EPOCH, Timestamp::FAR_FUTURE];
        let all = far.map(|time| Reading { time, ..now.clone() });
        rig.feed([vec![now.clone()], all.to_vec(), vec![now]].concat());
        rig.finish();
        let counted: u64 =
            rig.windows("main").iter().flat_map(|one| &one.summaries).map(|one| one.count).sum();
        let late = late(&mut rig).len() as u64;
        assert!(late >= 3, "{settings}: the two beyond the calendar, and what came back: {late}");
        if settings.get("step").is_none() {
            assert_eq!(counted + late, 6, "{settings}");
        }
    }
}

#[test]
fn counts_of_suppressed_readings_are_summed() {
    let mut rig = rig(json!({ "length": "1m" }));
    let one = Reading { count: 10, score: 0.7, ..rig.reading(0.0, "t:a", 1.0) };
    let two = Reading { count: 3, ..rig.reading(1.0, "t:a", 2.0) };
    rig.feed(vec![one, two]);
    rig.finish();
    let windows = rig.windows("main");
    assert_eq!((windows[0].summaries[0].count, windows[0].summaries[0].score), (13, 0.7));
    assert_eq!(windows[0].summaries[0].mean, 1.5, "of the readings received");
}
