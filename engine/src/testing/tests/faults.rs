//! Tests with faults: a host that is disturbed, and what is said about it.

use super::{outcome, planned};

/// A source that promises and one that does not, and a sink of each kind.
fn home(tests: &str) -> String {
    format!(
        "\
pipeline: home
sources:
  air: {{ as: air, mouth: {{ promises: true }} }}
  door: {{ as: door, mouth: {{}} }}
transforms:
  news: {{ inputs: [air], steps: {{ band: 1, silence: 10m }} }}
  hours: {{ inputs: [news], gather: {{ every: 1h }} }}
sinks:
  vault: {{ inputs: [news, hours, door], ear: {{ delivery: kept, positioned: true }} }}
  file: {{ inputs: [air], ear: {{ delivery: kept }} }}
  post: {{ inputs: [news], ear: {{ delivery: sent }} }}
tests:
{tests}"
    )
}

/// Two hours, a reading a minute, each of them news; and a door that moves once a minute.
const GIVEN: &str = r#"
    given:
      - { node: air, from: 0s, every: 2m, count: 60, value: 20 }
      - { node: air, from: 1m, every: 2m, count: 60, value: 25 }
      - { node: door, from: 30s, every: 1m, count: 120, value: 1 }
"#;

fn disturbed(faults: &str, expect: &str) -> String {
    outcome(&home(&format!("  - name: test{GIVEN}    faults: {faults}\n    expect: {expect}\n")))
}

const OK: &str = "ok test\n";

/// What comes out of a whole host is what comes out of the islands alone.
const ALL_OF_IT: &str = "[
      { node: news, count: 120 }, { node: news, at: 1h1m, reading: { value: 25 } },
      { node: hours, count: 2 }, { node: hours, at: 1h, window: { cause: time, count: 60 } },
      { node: vault, count: 242 }, { node: file, count: 120 }, { node: post, count: 120 },
      { node: vault, lost: 0 }, { node: vault, doubled: 0 }, { node: file, lost: 0 },
      { node: post, lost: 0 }, { node: news, dead: 0 } ]";

#[test]
fn what_does_no_harm_changes_nothing() {
    assert_eq!(
        outcome(&home(&format!(
            "  - name: test{GIVEN}    expect: [{{ node: news, count: 120 }}, {{ node: hours, count: 2 }}, {{ node: vault, count: 242 }}]\n"
        ))),
        OK
    );
    for faults in [
        "[{ clock: +0s, at: 10m }]",
        "[{ restart: stop, at: 30m10s }]",
        "[{ restart: stop, at: 30m10s }, { restart: stop, at: 1h30m10s }]",
        "[{ restart: kill, at: 30m10s }]",
        "[{ restart: kill, at: 4m10s }, { restart: kill, at: 30m }, { restart: kill, at: 1h0m1s }]",
        "[{ sink: post, down: 10m, at: 20m }]",
        "[{ sink: vault, down: 3m, at: 20m }, { restart: kill, at: 21m10s }]",
        "[{ sink: post, down: 30m, at: 20m }, { restart: stop, at: 40m10s }]",
    ] {
        let expect = match faults.contains("kill") && !faults.contains("vault") {
            // What does not keep its position may get a little of it twice.
            true => ALL_OF_IT
                .replace("{ node: file, count: 120 }", "{ node: file, count: { min: 120 } }")
                .replace("{ node: post, count: 120 }", "{ node: post, count: { min: 120 } }"),
            false => {
                ALL_OF_IT.replace("{ node: file, count: 120 }, { node: post, count: 120 },", "")
            }
        };
        assert_eq!(disturbed(faults, &expect), OK, "{faults}");
    }
}

/// What was not synced is gone where nobody was promised anything; what was acknowledged is not.
#[test]
fn a_power_cut_loses_nothing_that_was_promised() {
    let expect = "[{ node: file, lost: 0 }, { node: post, lost: 0 }, { node: vault, lost: { max: 2 } }, { node: vault, doubled: 0 }]";
    for at in ["30m10s", "1h0m1s", "45m35s"] {
        assert_eq!(disturbed(&format!("[{{ restart: power_cut, at: {at} }}]"), expect), OK, "{at}");
    }
}

/// What time alone brings about is journaled for nobody who waits, and nothing else comes before the power is cut.
#[test]
fn a_power_cut_right_after_news_does_not_tell_it_again() {
    // The first is told that it arrived; to the second nobody answers, and it is journaled for another's sake.
    let sinks = [
        "post: { inputs: [words], ear: { delivery: sent } }",
        "post: { inputs: [words], ear: {} }\n  file: { inputs: [door], ear: { delivery: kept } }",
    ];
    for (sinks, at) in sinks.iter().flat_map(|sinks| {
        ["1h0m0.001s", "1h0m0.2s", "1h0m1s", "1h0m4s", "1h0m20s"].map(|at| (sinks, at))
    }) {
        let said = outcome(&format!(
            "\
pipeline: home
sources:
  door: {{ as: door, mouth: {{}} }}
transforms:
  hours: {{ inputs: [door], gather: {{ every: 1h }} }}
  words: {{ inputs: [hours], tell: {{}} }}
sinks:
  {sinks}
tests:
  - name: test
    given: [{{ node: door, from: 30s, every: 1m, count: 120, value: 1 }}]
    faults: [{{ restart: power_cut, at: {at} }}]
    expect:
      - {{ node: words, at: 1h, count: 1 }}
      - {{ node: words, count: 2 }}
      - {{ node: post, lost: 0 }}
      - {{ node: post, doubled: 0 }}
      - {{ node: post, count: 2 }}
"
        ));
        assert_eq!(said, OK, "{at}: {sinks}");
    }
}

/// A full journal acknowledges nothing, so a sender that is promised something sends it again; what comes otherwise is gone.
#[test]
fn a_full_disk_loses_only_what_nobody_promised() {
    let faults = "[{ disk: full, at: 20m10s, for: 5m }]";
    let expect = "[{ node: file, lost: 0 }, { node: post, lost: 0 }, { node: vault, lost: 0 }]";
    let said = disturbed(faults, expect);
    assert!(said.starts_with("FAILED test\n19: `vault` lost 5 items, expected 0\n"), "{said}");
    assert!(said.contains("\"source\":\"door:value\""), "{said}");
    assert!(!said.contains("\"source\":\"air:value\""), "{said}");
}

#[test]
fn a_node_that_breaks_is_made_anew() {
    for kind in ["error", "panic"] {
        let faults = format!("[{{ node: news, at: 30m30s, {kind}: 1 }}]");
        // It forgets what it saw since the last checkpoint, and so lets through something else for a while.
        assert_eq!(
            disturbed(&faults, "[{ node: news, dead: 0 }, { node: post, lost: { max: 2 } }]"),
            OK
        );
        // Twice is too much for the batch that it was called with.
        let faults = format!("[{{ node: news, at: 30m30s, {kind}: 2 }}]");
        let expect = "[{ node: news, dead: 1 }, { node: post, lost: { min: 1 } }]";
        assert_eq!(disturbed(&faults, expect), OK);
        let said = disturbed(&faults, "[{ node: post, count: { min: 1 } }]");
        assert!(said.contains("`home/news` refused 1 item: "), "{said}");
        // And breaks alike in the replay of a crash.
        let faults =
            format!("[{{ node: news, at: 30m30s, {kind}: 2 }}, {{ restart: kill, at: 31m30s }}]");
        let expect = "[{ node: news, dead: { min: 1 } }, { node: vault, doubled: 0 }]";
        assert_eq!(disturbed(&faults, expect), OK);
        // Sources and sinks break too.
        for node in ["air", "vault", "post"] {
            let faults = format!("[{{ node: {node}, at: 30m30s, {kind}: 1 }}]");
            let expect =
                "[{ node: vault, lost: 0 }, { node: post, lost: 0 }, { node: file, lost: 0 }]";
            assert_eq!(disturbed(&faults, expect), OK, "{node}");
        }
    }
}

/// A source that dates its readings itself goes by the clock of the host.
#[test]
fn a_clock_that_jumps_moves_what_is_dated_by_it() {
    let faults = "[{ clock: +1h, at: 1h }]";
    let expect = "[{ node: door, at: 59m30s }, { node: door, at: 2h0m30s }, { node: door, between: [1h, 1h59m], none: true }]";
    assert_eq!(disturbed(faults, expect), OK);
    // A clock never runs backwards: it stands until the jump is made up for.
    let back = disturbed(
        "[{ clock: -10m, at: 1h }]",
        "[{ node: door, count: 120 }, { node: door, between: [59m30s, 1h9m30s], count: { min: 10 } }]",
    );
    assert_eq!(back, OK);
}

#[test]
fn tries_that_end_leave_dead_letters() {
    let yaml = |expect: &str| {
        home(&format!("  - name: test{GIVEN}    faults: [{{ sink: post, down: 20m, at: 20m }}]\n    expect: [{expect}]\n"))
            .replace("post: { inputs: [news],", "post: { inputs: [news], retry: { attempts: 3 },")
    };
    assert_eq!(
        outcome(&yaml(
            "{ node: post, dead: { min: 18, max: 21 } }, { node: post, lost: { min: 18, max: 21 } }"
        )),
        OK
    );
    let said = outcome(&yaml("{ node: post, lost: 0 }"));
    assert!(
        said.contains("`home/post` refused 20 items: the test says that its other side is down"),
        "{said}"
    );
}

/// Everything that is wrong with faults, by rule, place, message and help.
fn said(faults: &str, expect: &str) -> String {
    let tests = format!(
        "  - name: test\n    given: [{{ node: air, at: 1s, value: 1 }}]\n    faults:\n{faults}    expect: [{expect}]\n"
    );
    let planned = planned(&home(&tests));
    let mut text = String::new();
    for one in planned.diagnostics.to_json(&planned.files) {
        let (line, column) = (one.line, one.column);
        let help = one.help.unwrap_or_default();
        text += &format!("{} {line}:{column} {} | {help}\n", one.rule, one.message);
    }
    text
}

#[test]
fn what_is_wrong_with_faults_is_told_at_its_place() {
    let faults = r"      - { at: 1s }
      - { at: 1s, sink: post, disk: full }
      - { at: 1s, sink: post }
      - { at: 1s, sink: post, down: 0s }
      - { at: 1s, sink: posst, down: 1s }
      - { at: 1s, sink: news, down: 1s }
      - { at: 1s, node: news.dropped, error: 1 }
      - { at: 1s, node: news, error: 1, panic: 1 }
      - { at: 1s, node: news, panic: 0 }
      - { at: 1s, clock: +1h, for: 1s }
";
    insta::assert_snapshot!(said(faults, "{ node: news, lost: 0 }, { node: post, lost: 0, count: 1 }"), @r#"
SM0062 16:9 nothing says what goes wrong | write one of `{ sink: alerts, at: 10m, down: 30s }`, `{ disk: full, at: 10m, for: 1m }`, `{ clock: +1h, at: 10m }`, `{ node: news, at: 10m, panic: 1 }`, `{ restart: power_cut, at: 10m }`
SM0062 17:9 `sink` and `disk` are both given | write one of `{ sink: alerts, at: 10m, down: 30s }`, `{ disk: full, at: 10m, for: 1m }`, `{ clock: +1h, at: 10m }`, `{ node: news, at: 10m, panic: 1 }`, `{ restart: power_cut, at: 10m }`
SM0062 18:9 the key `down` is missing | write it like `{ sink: alerts, at: 10m, down: 30s }`
SM0062 19:9 `down` is 0, so nothing goes wrong | write a span
SM0061 20:25 there is no node `posst` in this pipeline | did you mean `post`?
SM0062 21:25 `news` is a transform, and has no other side | name a sink, or write `node` in place of `sink`
SM0062 22:25 a fault is of a node, not of its port `dropped` | write `news`
SM0062 23:9 `error` and `panic` are both given | remove one, or write two faults
SM0062 24:9 it breaks in 0 calls, so nothing goes wrong | write 1 or more
SM0062 25:9 `for` has no meaning beside `clock` | write it like `{ clock: +1h, at: 10m }`
SM0062 26:22 `news` is no sink: nothing is lost or doubled there | name a sink
SM0062 26:39 `lost` is about all items, not only about some | write an expectation of its own for each
"#);
    let unreadable = r"      - { sink: post, down: 1s }
      - { at: 1s, clock: 1h }
      - { at: 1s, restart: crash }
      - { at: 1s, disk: fll, for: 1s }
";
    insta::assert_snapshot!(said(unreadable, "{ node: post, lost: 0 }"), @r#"
SM0031 16:9 the key `at` is missing in an element of `faults` | add `at: ...`
SM0033 17:26 `1h` has no sign; write `+1h` or `-10m` | 
SM0034 18:28 `restart` takes `stop`, `kill` or `power_cut`, found `crash` | 
SM0034 19:25 `disk` takes `full`, found `fll` | did you mean `full`?
"#);
    let none = home("  - { name: test, expect: [{ node: post, lost: 0 }] }\n");
    let planned = planned(&none);
    let found = planned.diagnostics.to_json(&planned.files);
    assert_eq!(
        (&*found[0].rule, &*found[0].message),
        ("SM0062", "`lost` is expected, and nothing goes wrong")
    );
}
