//! What tests say when they run.

use proptest::prelude::*;

use super::{good, outcome, pipeline};
use crate::testing::{Variation, run, tests, trace};

#[test]
fn every_form_of_expectation_can_be_met() {
    let tests = r#"
  - name: a step is news
    given:
      - { node: air, source: "air:room", from: 0s, every: 1m, count: 60, value: 21.0, noise: 0.4 }
      - { node: air, source: "air:room", at: 61m, value: 35 }
      - { node: door, source: "door:front", values: [0, 5, 5], from: 30m, every: 10m, labels: { room: hall }, score: 0.5 }
    expect:
      - { node: news, at: 61m, reading: { source: "air:*", value: 35, unit: celsius, count: 60, score: 0.25 } }
      - { node: news, by: 0s, reading: { value: { near: 21, within: 0.4 } } }
      - { node: news, between: [40m, 40m], reading: { labels: { room: h* }, value: { above: 4, max: 5 } } }
      - { node: news, count: 4 }
      - { node: news.dropped, count: { min: 1, below: 61 }, reading: { score: { max: 0 } } , by: 0s, none: false }
      - { node: news, reading: { value: 99 }, none: true }
      - { node: home/news.silent, at: 10m, reading: { value: true } }
      - { node: hours, at: 1h, window: { cause: time, start: 0s, end: 1h, series: 2, source: "door:*", count: 2, last: 5, mean: 2.5, max: 5, min: 0, first: 0 } }
      - { node: hours, at: 2h, window: { cause: [time, urgent], series: 1, source: "air:room", count: 60 } }
      - { node: words, at: 1h, observation: { kind: status, text: 2 series, source: "door:**", confidence: 0.5 } }
      - { node: told, count: 2 }
      - { node: all, at: 61m, count: 2 }
      - { node: all, at: 30m, reading: { source: "door:*" }, none: true }
"#;
    // The fifth asks for a score where nobody scored, so it alone fails.
    let said = outcome(&pipeline(tests));
    assert_eq!(said.lines().filter(|line| line.starts_with("FAILED")).count(), 1, "{said}");
    assert_eq!(said.matches("`news.dropped` gives no reading").count(), 1, "{said}");
    assert_eq!(said.matches(": `").count(), 1, "{said}");
}

#[test]
fn what_is_not_met_is_told_with_what_was_there_instead() {
    let tests = r#"
  - name: nothing as it should be
    given:
      - { node: air, source: "air:room", from: 0s, every: 1m, values: [1, 3, 5, 5.5, 7, 9, 11] }
    expect:
      - { node: news, at: 3m, reading: { value: 5 } }
      - { node: news, count: 5 }
      - { node: news.dropped, none: true }
      - { node: hours, by: 30m, window: { cause: heartbeat, mean: { above: 9 } } }
      - { node: words, observation: { kind: anomaly, text: fire, confidence: { above: 0.9 } } }
      - { node: told, between: [0s, 1m] }
      - { node: news.silent }
"#;
    insta::assert_snapshot!(outcome(&pipeline(tests)), @r#"
FAILED nothing as it should be
18: `news` gives no reading with value 5 at 3m
    0s: air:room = 1 °C, score 0.25  (not at 3m; the value is not 5)
    1m: air:room = 3 °C, score 0.25  (not at 3m; the value is not 5)
    2m: air:room = 5 °C, score 0.25  (not at 3m)
    4m: air:room = 7 °C, score 0.25, count 2  (not at 3m; the value is not 5)
    5m: air:room = 9 °C, score 0.25  (not at 3m; the value is not 5)
    and 1 more
19: `news` gives 6 items, expected 5
    0s: air:room = 1 °C, score 0.25
    1m: air:room = 3 °C, score 0.25
    2m: air:room = 5 °C, score 0.25
    4m: air:room = 7 °C, score 0.25, count 2
    5m: air:room = 9 °C, score 0.25
    and 1 more
20: `news.dropped` gives 1 item, expected none
    3m: air:room = 5.5 °C
21: `hours` gives no window with cause heartbeat and mean above 9 by 30m
    1h: window of cause end since 0s, air:room: 7 readings, mean 6, 1 to 11  (not by 30m; the cause is not heartbeat; no series has mean above 9)
22: `words` gives no observation with kind anomaly and text "fire" and confidence above 0.9
    1h: status "1 series moved"  (the kind is not anomaly; the text does not contain "fire"; the confidence 0.5 is not above 0.9)
23: `told` gets no item between 0s and 1m
    1h: status "1 series moved"  (not between 0s and 1m)
"#);
}

#[test]
fn a_test_of_one_pipeline_sees_what_becomes_of_it_in_another() {
    let yaml = "\
pipeline: house
sources: { air: { as: air, mouth: {} } }
transforms: { news: { inputs: [air], steps: { band: 1, silence: 1h } } }
---
pipeline: town
sources: { rain: { as: rain, mouth: {} } }
transforms:
  all: { inputs: [house/news, rain], gather: { every: 1h } }
sinks: { out: { inputs: [all], ear: {} } }
tests:
  - name: both come together
    given:
      - { node: house/air, at: 1m, value: 20 }
      - { node: rain, source: rain:mm, at: 2m, value: 1.5 }
    expect:
      - { node: house/news, at: 1m, reading: { source: air:value } }
      - { node: all, at: 1h, window: { cause: time, series: 2 } }
      - { node: out, count: 1 }
";
    assert_eq!(outcome(yaml), "ok both come together\n");
}

#[test]
fn nodes_that_fail_fail_the_test_with_their_reason() {
    let tests = r"
  - name: nothing is expected to break
    given: [{ node: air, from: 0s, every: 1s, values: [1, 5, 9, 5, 13, 5] }]
    expect: [{ node: news }]
";
    let yaml = pipeline(tests).replace("band: 1,", "band: 1, reject_at: 5,");
    insta::assert_snapshot!(outcome(&yaml), @r#"
FAILED nothing is expected to break
6: `news` failed 3 times, first: 5 is not for me
"#);
    let yaml = pipeline(tests).replace("band: 1,", "band: 1, panic_at: 9,");
    insta::assert_snapshot!(outcome(&yaml), @r#"
FAILED nothing is expected to break
6: `news` failed: it panicked: 9 is too much
"#);
}

#[test]
fn time_goes_on_until_it_is_told_to_stop() {
    let tests = r"
  - name: as far as something is expected
    given: [{ node: air, at: 0s, value: 1 }]
    expect:
      - { node: news.silent, at: 10m }
      - { node: hours, window: { cause: end } }
  - name: as far as it is told
    until: 3h
    given: [{ node: air, at: 0s, value: 1 }]
    expect:
      - { node: news.silent, count: 1 }
      - { node: hours, window: { cause: time } }
  - name: no further than the last reading
    given: [{ node: air, at: 0s, value: 1 }]
    expect:
      - { node: news.silent, none: true }
";
    let said = outcome(&pipeline(tests));
    assert_eq!(said.matches("ok ").count(), 3, "{said}");
}

#[test]
fn a_late_reading_arrives_later_and_keeps_its_time() {
    let tests = r#"
  - name: late
    given:
      - { node: air, at: 1m, arrives: 20m, value: 5 }
      - { node: air, at: 15m, value: 1 }
    expect:
      - { node: news, at: 1m, reading: { value: 5 } }
      - { node: news.silent, at: 30m }
      - { node: news.silent, by: 29m, none: true }
"#;
    assert_eq!(outcome(&pipeline(tests)), "ok late\n");
}

#[test]
fn a_recording_is_read_beside_the_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "\
{\"time\":\"2026-05-01T10:00:00Z\",\"source\":\"air:room\",\"value\":1.5,\"unit\":\"K\"}

{\"time\":\"2026-05-01T10:05:00Z\",\"source\":\"air:room\",\"value\":7,\"count\":3}
";
    std::fs::write(folder.path().join("readings.jsonl"), lines).unwrap();
    std::fs::write(folder.path().join("bad.jsonl"), "{\"time\":\"2026-05-01T10:00:00Z\"}").unwrap();
    let yaml = pipeline(
        r#"
  - name: moved
    given: [{ node: air, file: readings.jsonl, from: 1h }]
    expect: [{ node: air, at: 1h, reading: { value: 1.5, unit: K } }, { node: air, at: 65m, reading: { count: 3 } }]
  - name: as recorded
    start: 2026-05-01T12:00:00+02:00
    given: [{ node: air, file: readings.jsonl }]
    expect: [{ node: air, at: 5m, reading: { value: 7 } }]
  - name: too early
    start: 2026-05-01T10:01:00Z
    given: [{ node: air, file: readings.jsonl }]
    expect: [{ node: air, count: 2 }]
  - name: broken
    given: [{ node: air, file: bad.jsonl }]
    expect: [{ node: air, none: true }]
  - name: missing
    given: [{ node: air, file: nowhere.jsonl }]
    expect: [{ node: air, none: true }]
"#,
    );
    let path = folder.path().join("home.yaml");
    std::fs::write(&path, yaml).unwrap();
    let planned = crate::plan::plan(&[&path], &|_| None, &super::registry());
    let graph = planned.graph.unwrap();
    let mut said = String::new();
    for case in tests(&graph) {
        let failures = run(&graph, &case);
        said +=
            &format!("{}: {}\n", case.name(), if failures.is_empty() { "ok" } else { "FAILED" });
        for failure in failures {
            said += &format!("  {}\n", failure.message);
        }
    }
    let said = said.replace(&folder.path().display().to_string(), "FOLDER");
    insta::assert_snapshot!(said, @r#"
moved: ok
as recorded: ok
too early: FAILED
  the first reading is of 2026-05-01T10:00:00Z, before the start of the test: set `start`, or `from`
  `air` gives no item, expected 2
broken: FAILED
  FOLDER/bad.jsonl:1: missing field `source` at line 1 column 31
missing: FAILED
  cannot read `FOLDER/nowhere.jsonl`: No such file or directory (os error 2)
"#);
}

#[test]
fn noise_is_the_same_each_time_and_stays_in_its_bounds() {
    let tests = |seed: u64| {
        pipeline(&format!(
            "
  - name: noisy
    seed: {seed}
    given:
      - {{ node: air, from: 0s, every: 1s, count: 500, value: 10, noise: 2 }}
      - {{ node: door, from: 0s, every: 1s, count: 500, value: 10, noise: 2 }}
    expect:
      - {{ node: air, count: 500, reading: {{ value: {{ near: 10, within: 2 }} }} }}
      - {{ node: air, reading: {{ value: {{ above: 11.8 }} }} }}
      - {{ node: air, reading: {{ value: {{ below: 8.2 }} }} }}
"
        ))
    };
    let traced = |seed| {
        let (graph, cases, _) = good(&tests(seed));
        assert_eq!(run(&graph, &cases[0]), []);
        String::from_utf8(trace(&graph, &cases[0], Variation::default())).unwrap()
    };
    let (one, two) = (traced(1), traced(2));
    assert_eq!(one, traced(1));
    assert_ne!(one, two);
    let of = |node: &str| -> Vec<String> {
        let lines = one.lines().filter(|line| line.starts_with(node));
        let value =
            |line: &str| line.split_once("\"value\":")?.1.split(',').next().map(String::from);
        lines.filter_map(value).collect()
    };
    assert_ne!(of("home/air "), of("home/door "), "each entry has noise of its own");
}

#[test]
fn the_trace_of_a_test_is_the_one_written_down() {
    let tests = r#"
  - name: golden
    given:
      - { node: air, source: "air:room", from: 0s, every: 10m, values: [21.5, 21.0, 24] , noise: 0.1 }
      - { node: door, source: "door:front", at: 20m, value: true }
    expect: [{ node: news }]
"#;
    let (graph, cases, _) = good(&pipeline(tests));
    let trace = trace(&graph, &cases[0], Variation::default());
    insta::assert_snapshot!(String::from_utf8(trace).unwrap(), @r#"
home/air {"time":"2026-01-01T00:00:00Z","source":"air:room","value":21.4676104908391,"unit":"°C","count":1}
home/air {"time":"2026-01-01T00:10:00Z","source":"air:room","value":20.95382605424528,"unit":"°C","count":1}
home/air {"time":"2026-01-01T00:20:00Z","source":"air:room","value":23.954313321939356,"unit":"°C","count":1}
home/all {"time":"2026-01-01T00:00:00Z","source":"air:room","value":21.4676104908391,"unit":"°C","count":1}
home/all {"time":"2026-01-01T00:00:00Z","source":"air:room","value":21.4676104908391,"unit":"°C","score":0.25,"count":1}
home/all {"time":"2026-01-01T00:10:00Z","source":"air:room","value":20.95382605424528,"unit":"°C","count":1}
home/all {"time":"2026-01-01T00:20:00Z","source":"air:room","value":23.954313321939356,"unit":"°C","count":1}
home/all {"time":"2026-01-01T00:20:00Z","source":"air:room","value":23.954313321939356,"unit":"°C","score":0.25,"count":2}
home/all {"time":"2026-01-01T00:20:00Z","source":"door:front","value":true,"score":0.25,"count":1}
home/door {"time":"2026-01-01T00:20:00Z","source":"door:front","value":true,"count":1}
home/hours {"start":"2026-01-01T00:00:00Z","end":"2026-01-01T01:00:00Z","cause":"end","summaries":[{"source":"air:room","unit":"°C","count":3,"min":21.4676104908391,"max":23.954313321939356,"mean":22.71096190638923,"stddev":1.758364434666776,"first":21.4676104908391,"last":23.954313321939356,"score":0.25},{"source":"door:front","count":1,"min":1.0,"max":1.0,"mean":1.0,"stddev":0.0,"first":true,"last":true,"score":0.25}]}
home/news {"time":"2026-01-01T00:00:00Z","source":"air:room","value":21.4676104908391,"unit":"°C","score":0.25,"count":1}
home/news {"time":"2026-01-01T00:20:00Z","source":"air:room","value":23.954313321939356,"unit":"°C","score":0.25,"count":2}
home/news {"time":"2026-01-01T00:20:00Z","source":"door:front","value":true,"score":0.25,"count":1}
home/news.dropped {"time":"2026-01-01T00:10:00Z","source":"air:room","value":20.95382605424528,"unit":"°C","count":1}
home/news.silent {"time":"2026-01-01T00:10:00Z","source":"home.news:silent","value":true,"count":1}
home/told {"id":"00000000-0000-0000-0000-000000000000","time":"2026-01-01T01:00:00Z","author":"home/words","kind":"status","text":"2 series moved","confidence":0.5,"sources":["air:room","door:front"],"evidence":{"from":"1970-01-01T00:00:00Z","to":"1970-01-01T00:00:00Z"},"rung":"rule"}
home/words {"id":"00000000-0000-0000-0000-000000000000","time":"2026-01-01T01:00:00Z","author":"home/words","kind":"status","text":"2 series moved","confidence":0.5,"sources":["air:room","door:front"],"evidence":{"from":"1970-01-01T00:00:00Z","to":"1970-01-01T00:00:00Z"},"rung":"rule"}
"#);
}

#[test]
fn a_node_that_forgets_at_a_restart_is_found_out() {
    let tests = "
  - name: the second reading is held back
    given: [{ node: air, from: 0s, every: 1s, values: [1, 1] }]
    expect: [{ node: news, count: 1 }]
";
    let yaml = pipeline(tests).replace("band: 1,", "band: 1, forgets: true,");
    let (graph, cases, _) = good(&yaml);
    let plain = trace(&graph, &cases[0], Variation::default());
    let restarted = Variation { batch_max: 1, restart_every: Some(1) };
    assert_ne!(plain, trace(&graph, &cases[0], restarted));
    assert_eq!(plain, trace(&graph, &cases[0], Variation { restart_every: None, ..restarted }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn neither_batches_nor_restarts_change_what_comes_out(
        air in proptest::collection::vec(-4i32..4, 1..40),
        door in proptest::collection::vec(-4i32..4, 1..40),
        every in 1u32..1000,
        noise in 0u32..3,
        batch_max in 1usize..20,
        restart_every in 1usize..10,
    ) {
        let yaml = pipeline(&format!(
            "
  - name: any
    until: 5h
    given:
      - {{ node: air, from: 0s, every: {every}s, values: {air:?}, noise: {noise} }}
      - {{ node: door, from: 3s, every: 60s, values: {door:?} }}
      - {{ node: air, at: 30s, arrives: 5m, value: 3 }}
    expect: [{{ node: news }}]
"
        ));
        let (graph, cases, _) = good(&yaml);
        let plain = trace(&graph, &cases[0], Variation::default());
        prop_assert_eq!(&plain, &trace(&graph, &cases[0], Variation::default()));
        for restart_every in [None, Some(restart_every)] {
            let varied = trace(&graph, &cases[0], Variation { batch_max, restart_every });
            prop_assert_eq!(
                String::from_utf8_lossy(&plain), String::from_utf8_lossy(&varied)
            );
        }
    }
}
