//! Which difference between two files is a change, and what it says.

use super::*;
use crate::plan::test_nodes::try_graph;

#[test]
fn form_and_defaults_written_out_are_no_change() {
    for (from, to) in [
        ("smooth: {}", "smooth: { band: 0.2 }"),
        ("smooth: {}", "smooth: { over: 60s }"),
        ("smooth: {}", "smooth:"),
        ("[air, soil]", "[soil, air]"),
        ("smooth: {}", "when: { sources: \"**\" }, smooth: {}"),
        ("sinks:\n", "# a comment\nsinks:\n"),
        ("inputs: [pass], post: { to: broker }", "post: { to: \"broker\" }, inputs: [ pass ]"),
        (
            "post: { to: broker }",
            "queue: { size: 2MiB }, retry: { max: 30s }, post: { to: broker }",
        ),
        ("{ topic: soil }, as: soil", "{ topic: soil }, as: soil, labels: {}"),
        ("feed: { topic: air }", "as: feed, feed: { topic: air }"),
    ] {
        let lines = changed(from, to);
        // A `when` is a condition more; the others are nothing.
        if to.contains("when") {
            assert_eq!(lines, ["~ home/news when.sources: - -> ** | Keeps"]);
        } else {
            assert_eq!(lines, [""; 0], "{to}");
        }
    }
}

#[test]
fn each_setting_says_what_it_was_and_what_becomes_of_the_state() {
    for (from, to, line) in [
        ("smooth: {}", "smooth: { band: 0.5 }", "~ home/news smooth.band: - -> 0.5 | Keeps"),
        (
            "smooth: {}",
            "smooth: { memory: 9 }",
            "~ home/news smooth.memory: - -> 9 | Resets { why: \"another memory\" }",
        ),
        (
            "smooth: {}",
            "smooth: { overrides: [{ of: a, band: 1 }] }",
            "~ home/news smooth.overrides: - -> [{ band: 1, of: a }] | Keeps",
        ),
        ("pass: {}", "pass: { label: x }", "~ home/pass pass.label: - -> x | Stateless"),
        ("to: broker", "to: \"7\"", "~ home/alerts post.to: broker -> \"7\" | Stateless"),
        (
            "to: broker",
            "to: broker, topics: [a, b]",
            "~ home/alerts post.topics: - -> [a, b] | Stateless",
        ),
        ("as: soil", "as: earth", "~ home/soil as: soil -> earth | Stateless"),
        ("as: soil", "as: soil, unit: °C", "~ home/soil unit: - -> °C | Stateless"),
        (
            "as: soil",
            "as: soil, labels: { room: shed }",
            "~ home/soil labels.room: - -> shed | Stateless",
        ),
        (
            "post: { to: broker }",
            "queue: { size: 4MiB, when_full: drop_oldest, spool: 1GiB }, post: { to: broker }",
            "~ home/alerts queue.size: 2MiB -> 4MiB queue.when_full: block -> drop_oldest \
             queue.spool: 64MiB -> 1GiB | Stateless",
        ),
        (
            "post: { to: broker }",
            "retry: { initial: 1s, attempts: 3 }, post: { to: broker }",
            "~ home/alerts retry.initial: 200ms -> 1s retry.attempts: 0 -> 3 | Stateless",
        ),
        (
            "inputs: [news], pass",
            "inputs: [news], when: { score: { min: 1 } }, pass",
            "~ home/pass when.score.min: - -> 1 | Stateless",
        ),
        ("[air, soil]", "[air]", "= home/news inputs: air, soil -> air"),
        ("[air, soil]", "{ main: [air, soil] }", ""),
    ] {
        let lines = changed(from, to);
        let wanted: Vec<&str> = if line.is_empty() { vec![] } else { vec![line] };
        assert_eq!(lines, wanted, "{to}");
    }
}

#[test]
fn a_kind_that_comes_in_reaches_what_lets_it_through() {
    assert_eq!(
        changed("inputs: [news], pass", "inputs: [news.windows], pass"),
        ["~ home/pass inputs: news -> news.windows carries: readings -> windows | Stateless"]
    );
}

#[test]
fn another_type_under_the_same_name_begins_with_nothing() {
    let old =
        HOME.replace("  late: { inputs: [news.late], post: { to: disk, delivery: kept } }\n", "");
    let changes = compare(&old, &old.replace("smooth: {}", "pass: { label: x }"));
    assert_eq!(
        lines(&changes),
        ["~ home/news type: smooth -> pass | Resets { why: \"it was of type smooth\" }"]
    );
}

#[test]
fn lists_of_mappings_are_compared_entry_by_entry() {
    let with = |band: &str| {
        home(
            "smooth: {}",
            &format!("smooth: {{ overrides: [{{ of: a, band: 1 }}, {{ of: b, band: {band} }}] }}"),
        )
    };
    let changes = compare(&with("2"), &with("3"));
    assert_eq!(lines(&changes), ["~ home/news smooth.overrides.1.band: 2 -> 3 | Keeps"]);
}

#[test]
fn every_is_a_setting_of_the_source() {
    let polled = home("topic: air }", "topic: air, polled: 10s }");
    let slower = polled.replace("polled: 10s }", "polled: 10s }, every: 1m");
    assert_eq!(lines(&compare(&polled, &slower)), ["~ home/air every: - -> 1m | Stateless"]);
}

#[test]
fn a_file_that_moved_changes_those_who_read_beside_it() {
    let at = |folder: &str, path: &str| {
        let yaml = home("topic: air", &format!("path: {path}"));
        try_graph(&format!("{folder}/home.yaml"), &yaml, &|_| None).unwrap()
    };
    let moved = |path: &str| {
        let changes = diff(&at("/etc", path), &at("/srv", path), &judge);
        lines(&changes)
    };
    assert_eq!(moved("rooms.jsonl"), ["~ home/air folder: /etc -> /srv | Keeps"]);
    assert_eq!(moved("/data/rooms.jsonl"), [""; 0]);
}

/// P9: no secret is ever printed, and yet another secret is a change.
#[test]
fn p9_secrets_are_compared_and_never_shown() {
    let with = |password: &str, value: &str| {
        let yaml = home("to: broker", &format!("to: broker, password: {password}"));
        let value = value.to_owned();
        try_graph("/etc/home.yaml", &yaml, &move |_| Some(value.clone())).unwrap()
    };
    let env = "secret://env/PW";
    for (old, new, line) in [
        ((env, "hunter2"), (env, "hunter2"), None),
        (
            (env, "hunter2"),
            (env, "hunter3"),
            Some("secret://env/PW -> secret://env/PW, another value"),
        ),
        (("hunter2", ""), (env, "hunter3"), Some("(hidden) -> secret://env/PW")),
        (("hunter2", ""), ("hunter2", ""), None),
        (("hunter2", ""), ("hunter3", ""), Some("(hidden) -> (hidden), another value")),
        (("\"${PW}\"", "hunter2"), ("\"${PW}\"", "hunter3"), Some("${PW} -> ${PW}, another value")),
    ] {
        let changes = diff(&with(old.0, old.1), &with(new.0, new.1), &judge);
        let lines = lines(&changes);
        match line {
            Some(line) => {
                assert_eq!(lines, [format!("~ home/alerts post.password: {line} | Stateless")]);
            }
            None => assert!(lines.is_empty(), "{lines:?}"),
        }
        assert!(!format!("{changes:?} {lines:?}").contains("hunter"));
    }
}

#[test]
fn what_is_put_in_counts_and_not_how() {
    let with = |written: &str, value: &str| {
        let yaml = home("smooth: {}", &format!("smooth: {{ band: {written} }}"));
        let value = value.to_owned();
        try_graph("/etc/home.yaml", &yaml, &move |_| Some(value.clone())).unwrap()
    };
    let compare = |old: &Graph, new: &Graph| lines(&diff(old, new, &judge));
    let band = with("\"${BAND}\"", "0.5");
    assert_eq!(compare(&band, &with("0.5", "")), [""; 0]);
    assert_eq!(
        compare(&band, &with("\"${BAND}\"", "0.7")),
        ["~ home/news smooth.band: 0.5 -> 0.7 | Keeps"]
    );
}

#[test]
fn a_spool_belongs_to_a_sink_that_sends() {
    let with = |delivery: &str| {
        let queue = format!("queue: {{ spool: 0B }}, post: {{ delivery: {delivery}, to: broker }}");
        try_graph("/etc/home.yaml", &home("post: { to: broker }", &queue), &|_| None)
    };
    let graph = with("sent").unwrap();
    let alerts = &graph.dag[graph.find("home/alerts").unwrap()];
    assert_eq!(alerts.queue.spool_cap(), None);
    for delivery in ["kept", "shown"] {
        let said = with(delivery).unwrap_err();
        assert!(said.contains("SM0056") && said.contains("remove `spool`"), "{said}");
    }
}
