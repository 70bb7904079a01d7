//! Programs that the real binary starts: what they write and are given, and that none of them survives it.

use std::fs;

use crate::place::{Place, signal, text, wait_until};

/// Whether a process runs; one that has ended and that nobody has asked after does not.
fn is_alive(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, behind)| behind.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// A source and a sink, each of which starts something in its turn, and notes who they are.
const ALL: &str = r#"
pipeline: home
sources:
  in: { exec: { shell: "echo $$$$ >> ids; sleep 1000 & echo $! >> ids; n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done" } }
sinks:
  out: { inputs: [in], exec: { shell: "echo $$$$ >> ids; sleep 1000 & echo $! >> ids; while read -r line; do echo \"$line\" >> out; done", body: { template: "{{ value }}" } } }
"#;

/// An engine in which both run, and the four processes.
fn engine(place: &Place) -> (crate::place::Engine, Vec<String>) {
    let engine = place.engine(ALL);
    wait_until("readings went through", || place.read("out").lines().count() >= 3);
    let ids: Vec<String> = place.read("ids").lines().map(str::to_owned).collect();
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| is_alive(id)), "{ids:?}");
    (engine, ids)
}

#[test]
fn once_runs_from_the_first_program_through_the_last() {
    let place = Place::new();
    let run = |restart: &str, script: &str| {
        let yaml = format!(
            "pipeline: p\nsources:\n  in: {{ exec: {{ command: [sh, -c, {script:?}, zero, 7], restart: {restart} }} }}\n  now: {{ as: now, every: 1h, exec: {{ shell: \"echo 5\" }} }}\nsinks:\n  out: {{ inputs: [in, now], exec: {{ shell: \"cat >> out\", ack: exit, body: {{ template: \"{{{{ source }}}}={{{{ value }}}}\" }} }} }}\n"
        );
        place.write("p.yaml", &yaml);
        let ended = place.run(&["run", "--once", "p.yaml"]);
        (ended.status.code(), text(&ended.stderr))
    };
    let (code, said) = run("on_failure", "echo $1; printf 8");
    assert_eq!(code, Some(0), "{said}");
    let mut lines: Vec<_> = place.read("out").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["exec:value=7", "exec:value=8", "now:value=5"], "{said}");
    let (code, said) = run("never", "echo why >&2; exit 3");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("`p/in` failed: `sh` ended with exit code 3: why"), "{said}");
}

#[test]
fn a_program_that_runs_on_has_no_end() {
    let place = Place::new();
    place.write("p.yaml", ALL);
    let ended = place.run(&["run", "--once", "p.yaml"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("`home/in` never ends"), "{}", text(&ended.stderr));
    assert_eq!(place.read("ids"), "");
}

#[test]
fn nothing_is_left_of_them_after_ctrl_c() {
    let place = Place::new();
    let (mut engine, ids) = engine(&place);
    signal(&engine.process, "INT");
    assert!(engine.ends().success(), "{}", place.read("engine.log"));
    let left: Vec<_> = ids.iter().filter(|id| is_alive(id)).collect();
    assert_eq!(left, Vec::<&String>::new());
}

#[test]
fn those_who_watch_their_pipes_end_when_the_engine_is_killed() {
    let place = Place::new();
    let mut engine = place.engine(
        "pipeline: p\nsources:\n  in: { exec: { shell: \"echo $$$$ >> ids; echo 1; cat\" } }\nsinks:\n  out: { inputs: [in], exec: { shell: \"echo $$$$ >> ids; exec cat > /dev/null\" } }\n",
    );
    wait_until("both run", || place.read("ids").lines().count() == 2);
    engine.kill();
    let ids = place.read("ids");
    wait_until("both have ended", || !ids.lines().any(is_alive));
}

#[test]
fn one_that_is_killed_is_started_again_and_an_apply_ends_one_that_is_changed() {
    let place = Place::new();
    let mut engine = place.engine(
        "pipeline: p\nsources:\n  in: { exec: { shell: \"echo $$$$ >> ids; echo 1; read wait\" } }\nsinks:\n  out: { inputs: [in], discard: {} }\n",
    );
    let ids = |count: usize| {
        wait_until("it runs", || place.read("ids").lines().count() == count);
        place.read("ids").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let killed = std::process::Command::new("kill").args(["-9", &ids(1)[0]]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let second = ids(2)[1].clone();
    wait_until("the log says why", || {
        place.read("engine.log").contains("`sh` was ended by signal 9")
    });
    let changed = place.read("home.yaml").replace("echo 1", "echo 2");
    place.write("home.yaml", &changed);
    place.says(&["apply", "home.yaml", "-y"]);
    assert!(!is_alive(&second), "the one before is gone before the apply is done");
    let third = ids(3)[2].clone();
    engine.stop();
    assert!(!is_alive(&third));
}

#[test]
fn a_test_starts_nothing_and_what_is_missing_is_a_warning() {
    let place = Place::new();
    place.write(
        "p.yaml",
        "pipeline: p
sources:
  in: { as: in, exec: { command: [touch, started] } }
  at: { as: at, every: 1m, exec: { command: [./not-here] } }
sinks:
  out: { inputs: [in, at], exec: { command: [touch, started] } }
tests:
  - name: nothing is started
    given: [{ node: in, source: \"in:a\", at: 0s, value: 1 }]
    expect: [{ node: in, count: 1 }]
",
    );
    place.says(&["test", "p.yaml"]);
    assert!(!place.path("started").exists());
    let checked = place.run(&["validate", "p.yaml"]);
    let said = text(&checked.stderr) + &text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(0), "{said}");
    assert!(said.contains("[SM0091]: there is no program `./not-here`"), "{said}");
}
