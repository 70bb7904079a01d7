//! What is said about tests that cannot run.

use super::{pipeline, planned};

fn said(tests: &str) -> String {
    let planned = planned(&pipeline(tests));
    let found = planned.diagnostics.to_json(&planned.files);
    assert!(planned.graph.is_none() || found.is_empty());
    let mut text = String::new();
    for one in found {
        let help = one.help.unwrap_or_default();
        text += &format!("{} {}:{} {} | {help}\n", one.rule, one.line, one.column, one.message);
    }
    text
}

#[test]
fn names_that_do_not_exist_are_told_with_the_nearest() {
    let tests = r#"
  - name: names
    given:
      - { node: ari, at: 1s, value: 1 }
      - { node: news, at: 1s, value: 1 }
      - { node: air.main, at: 1s, value: 1 }
      - { node: weather/air, at: 1s, value: 1 }
      - { node: air, source: "aire:room", at: 1s, value: 1 }
      - { node: air, source: room, at: 1s, value: 1 }
    expect:
      - { node: newz }
      - { node: news.droped }
      - { node: news.x }
      - { node: all.main }
      - { node: "News" }
      - { node: hours, reading: { value: 1 } }
      - { node: all, observation: { kind: fact } }
      - { node: told, window: { cause: end } }
"#;
    insta::assert_snapshot!(said(tests), @r#"
SM0061 16:17 there is no node `ari` in this pipeline | did you mean `air`?
SM0061 17:17 `news` is a transform, but only sources can say something | name a source of the pipeline
SM0061 18:17 a source has no port `main` | write `air`
SM0061 19:17 there is no node `air` in pipeline `weather` | name the file that holds it on the command line too
SM0060 20:30 `air` gives sources of type `air`, not `aire` | write `air:room`, or give the node `as: aire`
SM0060 21:30 `room` is not a source such as `type:id` | write `air:room`
SM0061 23:17 there is no node `newz` in this pipeline | did you mean `news`?
SM0061 24:17 `news` has no port `droped` | did you mean `news.dropped`?
SM0061 25:17 `news` has no port `x` | its ports are main, dropped, silent
SM0061 26:17 `all` has no port `main` | write `all`: what arrives at the sink is meant
SM0057 27:17 `News` cannot be the name of a node | write it like `node`, `node.port` or `pipeline/node.port`
SM0060 28:17 `hours` gives windows, so no reading can be expected there | expect windows, or name another port
SM0060 29:17 `all` gets readings, so no observation can be expected there | expect readings, or name another port
SM0060 30:17 `told` gets observations, so no window can be expected there | expect observations, or name another port
"#);
}

#[test]
fn what_says_nothing_or_two_things_is_told() {
    let tests = r#"
  - name: forms
    given:
      - { node: air }
      - { node: air, at: 1s }
      - { node: air, at: 1s, every: 1s, value: 1 }
      - { node: air, at: 10s, arrives: 1s, value: 1 }
      - { node: air, from: 1s, value: 1 }
      - { node: air, every: 1s, value: 1 }
      - { node: air, every: 0s, value: 1, count: 2 }
      - { node: air, every: 1s, values: [1], count: 2 }
      - { node: air, every: 1s, count: 3, value: "on", noise: 1 }
      - { node: air, every: 1s, count: 3, value: 1, noise: -1 }
      - { node: air, every: 1s, count: 3000000, value: 1 }
      - { node: air, every: 4w, count: 300000, value: 1 }
      - { node: air, file: a.jsonl, unit: K }
    expect:
      - { node: news, at: 1s, by: 2s }
      - { node: news, between: [2s, 1s] }
      - { node: news, reading: {}, window: {} }
      - { node: news, count: 1, none: true }
      - { node: news, reading: { value: { near: 1 } } }
      - { node: news, reading: { value: {} } }
      - { node: news, reading: { score: { above: 2, below: 1 } } }
"#;
    insta::assert_snapshot!(said(tests), @r#"
SM0060 34:41 `near` and `within` belong together | write `{ near: 21, within: 0.5 }`
SM0060 35:41 the bounds say nothing | give one of above, below, min, max, near with within
SM0060 36:41 nothing lies above 2 and below 1 | swap the two
"#);
    // Forms and expectations are looked at once the test as a whole reads.
    let tests = tests.split("      - { node: news, reading: { value: { near").next().unwrap();
    insta::assert_snapshot!(said(tests), @r#"
SM0060 16:9 nothing says when the source speaks | write `at: 1m`, or `from: 0s, every: 1m, count: 10`
SM0060 17:9 the key `value` is missing | add `value: 21.5`
SM0060 18:9 `every` has no meaning beside `at` | remove one of the two; a test gives one reading (`at`), a run (`from`, `every`, `count`, or `values`), or a `file`
SM0060 19:9 the reading of 10s arrives before it is measured, at 1s | let it arrive at or after `at`
SM0060 20:9 a run of readings needs the time between them | add `every: 1m`
SM0060 21:9 the key `count` is missing | add `count: 10`
SM0060 22:9 a run of readings needs the time between them | add `every: 1m`
SM0060 23:9 `count` has no meaning beside `values` | remove one of the two; a test gives one reading (`at`), a run (`from`, `every`, `count`, or `values`), or a `file`
SM0060 24:9 `on` is not a number, so there can be no noise on it | remove `noise`
SM0060 25:9 `noise` is -1, less than 0 | write it without sign
SM0060 26:9 3000000 readings are more than a test may give | give 1000000 at most
SM0060 27:9 the readings go on for more than 100 years | shorten `every`
SM0060 28:9 `unit` has no meaning beside `file` | remove one of the two; a test gives one reading (`at`), a run (`from`, `every`, `count`, or `values`), or a `file`
SM0060 30:9 `at` and `by` are both given | remove one, or write two expectations
SM0060 31:9 2s is after 1s, so nothing lies between them | swap the two
SM0060 32:9 `reading` and `window` are both given | remove one, or write two expectations
SM0060 32:17 `news` gives readings, so no window can be expected there | expect readings, or name another port
SM0060 33:9 `count` and `none` are both given | remove one, or write two expectations
"#);
}

#[test]
fn what_cannot_be_read_is_told_at_its_place_and_hides_no_other_test() {
    let tests = r#"
  - name: typing
    start: yesterday
    until: soon
    given:
      - { nod: air, at: 1s, value: .nan }
    expect:
      - { node: news, reading: { vlaue: 1 } }
      - { node: hours, window: { cause: urgentt, mean: warm } }
  - expect: []
  - name: twice
    expect: []
  - name: twice
    expect: [{ node: nwes }]
  - name: "two\nlines"
    expect: [{ node: news }]
  - 5
"#;
    insta::assert_snapshot!(said(tests), @r#"
SM0033 15:12 `yesterday` is not a time such as 2026-11-21T01:02:03Z | 
SM0035 16:12 `soon` is not a duration; write it like 10s, 5m, 1h30m or 250ms | 
SM0031 18:9 the key `node` is missing in an element of `given` | add `node: ...`
SM0030 18:11 an element of `given` has no key `nod` | did you mean `node`?
SM0033 18:36 `value` takes a finite number, found `.nan` | 
SM0030 20:34 `reading` has no key `vlaue` | did you mean `value`?
SM0034 21:41 unknown word `urgentt` | did you mean `urgent`?
SM0032 21:56 `mean` takes a number, or bounds such as `{ above: 20 }`, found the text `warm` | 
SM0031 22:5 the key `name` is missing in the test | add `name: ...`
SM0060 23:5 the test `twice` expects nothing | say what must come out: `expect: [...]`
SM0060 25:11 two tests have the name `twice` | rename one
SM0061 26:22 there is no node `nwes` in this pipeline | did you mean `news`?
SM0060 27:11 the name of a test is one line of text | write what it shows
SM0032 29:5 the test takes a mapping, found the number `5` |
"#);
    insta::assert_snapshot!(said("  name: a mapping\n"), @r#"SM0032 13:3 `tests` takes a list, found a mapping | write each test as `- name: ...`"#);
    assert_eq!(said(""), "");
}
