//! The real binary as a service, and the commands that look into it and change it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::{Place, signal, text, wait_until};

const HOME: &str = "\
pipeline: home
sources:
  air: { every: 50ms, simulate: { noise: 0.5 } }
transforms:
  news: { inputs: [air], dedup: { deadband: 0.1 } }
sinks:
  out: { inputs: [news], file: { path: air.jsonl } }
";

#[test]
fn without_an_engine_every_command_says_so_and_fails() {
    let place = Place::new();
    for args in [
        &["status"][..],
        &["tap", "home/air"],
        &["logs"],
        &["rollback"],
        &["dlq", "replay", "--all"],
    ] {
        let output = place.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
        assert!(text(&output.stderr).contains("no engine runs"), "{args:?}");
    }
    assert!(!place.path("data").exists(), "nothing was made");
    assert_eq!(place.run(&["dlq", "list"]).status.code(), Some(0));
    assert_eq!(place.run(&["history"]).status.code(), Some(0));
    assert!(!place.path("data").exists(), "nothing was made");
}

#[test]
fn a_data_directory_that_is_a_file_is_named() {
    let place = Place::new();
    place.write("data", "");
    place.write("home.yaml", HOME);
    for args in [&["status"][..], &["run", "home.yaml"], &["plan", "home.yaml"], &["history"]] {
        let output = place.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains("data is a file"), "{}", text(&output.stderr));
    }
}

#[test]
fn status_shows_what_runs() {
    let place = Place::new();
    let _engine = place.engine(HOME);
    wait_until("readings go through", || {
        place.json(&["status", "home/news"])["received"].as_u64() > Some(3)
    });
    let status = place.json(&["status"]);
    assert_eq!((&status["revision"], &status["pipelines"][0]["name"]), (&1.into(), &"home".into()));
    // What the Python original gave, where this one has it.
    for key in ["timestamp", "node", "readings"] {
        assert!(status.get(key).is_some(), "{key}");
    }
    assert_eq!(status["readings"]["sources"][0], "simulate:value");
    let shown = place.says(&["status"]);
    for line in
        ["  air   simulate  running", "  news  dedup     running", "  out   file      running"]
    {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(place.says(&["status", "home/news"]).contains("home/news  transform  dedup"));
    let wrong = place.run(&["status", "home/new"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("did you mean `home/news`?"));
}

/// The exit codes are a contract: 0 nothing to do, 2 changes, 1 any error.
#[test]
fn plan_apply_history_and_rollback_go_round() {
    let place = Place::new();
    place.write("home.yaml", HOME);
    let new = place.run(&["plan", "home.yaml"]);
    assert_eq!(new.status.code(), Some(2), "everything is new");
    assert!(text(&new.stdout).contains("Plan: 3 to add"), "{}", text(&new.stdout));
    assert!(!place.path("data").exists(), "a plan makes nothing");

    let mut engine = place.engine(HOME);
    assert_eq!(place.run(&["plan", "home.yaml"]).status.code(), Some(0));
    place.write("home.yaml", &HOME.replace("0.1", "0.2"));
    let changed = place.run(&["plan", "home.yaml", "--json"]);
    assert_eq!(changed.status.code(), Some(2));
    let plan: Value = serde_json::from_slice(&changed.stdout).expect("JSON");
    assert_eq!((&plan["pending"], &plan["revision"]), (&true.into(), &1.into()));
    assert_eq!(plan["summary"]["change"], 1);
    place.write(
        "bad.yaml",
        &HOME.replace("dedup", "dedupe").replace("pipeline: home", "pipeline: bad"),
    );
    assert_eq!(place.run(&["plan", "bad.yaml"]).status.code(), Some(1), "2 means changes here");
    assert_eq!(place.run(&["apply", "bad.yaml"]).status.code(), Some(2));

    let planned = place.says(&["apply", "home.yaml", "--dry-run"]);
    assert!(planned.contains("deadband: 0.1 -> 0.2"), "{planned}");
    assert_eq!(place.json(&["status"])["revision"], 1);
    let applied = place.says(&["apply", "home.yaml", "-m", "calmer"]);
    assert!(applied.contains("Revision 2 runs."), "{applied}");
    place.says(&["apply", "home.yaml"]);
    assert_eq!(place.json(&["status"])["revision"], 2, "nothing to change is no revision");

    let history = place.json(&["history"]);
    assert_eq!((&history[0]["message"], &history[0]["current"]), (&"calmer".into(), &true.into()));
    assert!(place.says(&["rollback", "--dry-run"]).contains("deadband: 0.2 -> 0.1"));
    assert_eq!(place.json(&["rollback", "1"])["revision"], 3);
    assert_eq!(place.run(&["rollback", "99"]).status.code(), Some(1));

    // Without an engine, what ran last is what is compared.
    engine.stop();
    let later = place.run(&["plan", "home.yaml"]);
    assert_eq!(later.status.code(), Some(2));
    assert!(text(&later.stdout).contains("deadband: 0.1 -> 0.2"), "{}", text(&later.stdout));
    assert!(place.says(&["history"]).contains("*         3"));
}

#[test]
fn a_pipeline_may_read_from_one_that_runs_from_another_file() {
    let place = Place::new();
    let _engine = place.engine(HOME);
    let other = "pipeline: other\nsinks: { gone: { inputs: [home/news], discard: {} } }\n";
    place.write("other.yaml", other);
    let applied = place.says(&["apply", "other.yaml"]);
    assert!(applied.contains("+ gone"), "{applied}");
    place.write("other.yaml", &other.replace("home/news", "home/olds"));
    let wrong = place.run(&["apply", "other.yaml"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("`home/olds`") || text(&wrong.stderr).contains("`olds`"));
    place.write("other.yaml", other);
    let alone = place.says(&["apply", "other.yaml", "home.yaml", "--all"]);
    assert!(alone.contains("Nothing to change"), "{alone}");
}

#[test]
fn variables_are_those_of_whoever_applies() {
    let place = Place::new();
    let yaml = HOME.replace("deadband: 0.1", "deadband: \"${BAND:-0.1}\"");
    let _engine = place.engine(&yaml);
    let applied = place.command(&["apply", "home.yaml"]).env("BAND", "0.7").output();
    let applied = applied.expect("the binary runs");
    assert!(text(&applied.stdout).contains("deadband: 0.1 -> 0.7"), "{}", text(&applied.stdout));
    assert_eq!(place.json(&["status"])["revision"], 2);
}

#[test]
fn a_tap_gives_what_replay_reads() {
    let place = Place::new();
    let _engine = place.engine(HOME);
    let lines = place.says(&["tap", "home/news", "--count", "3", "--save", "saved.jsonl"]);
    assert_eq!(lines.lines().count(), 3);
    assert_eq!(fs::read_to_string(place.path("saved.jsonl")).expect("it was saved"), lines);
    let again = "\
pipeline: again
sources: { saved: { replay: { path: saved.jsonl } } }
sinks: { out: { inputs: [saved], file: { path: again.jsonl } } }
";
    place.write("again.yaml", again);
    let args = ["run", "--once", "--json", "again.yaml", "--data-dir", "other"];
    let replayed = Command::new(env!("CARGO_BIN_EXE_smollama"))
        .args(args)
        .current_dir(place.folder())
        .output()
        .expect("the binary runs");
    let summary: Value = serde_json::from_slice(&replayed.stdout).expect("a summary in JSON");
    assert_eq!(summary["readings"], 3, "{}", text(&replayed.stderr));
    let written = fs::read_to_string(place.path("other/again.jsonl")).expect("it was written");
    assert_eq!(written, lines);
}

#[test]
fn a_tap_ends_when_it_is_told_to_and_says_how_much_it_saw() {
    let place = Place::new();
    let _engine = place.engine(HOME);
    let mut tap = place.command(&["tap", "home/air"]);
    let mut tap = tap.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(tap.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert!(first.contains("\"source\":\"simulate:value\""), "{first}");
    signal(&tap, "INT");
    let mut said = String::new();
    tap.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(tap.wait().expect("it ends").success());
    assert!(said.contains("none missed"), "{said}");
    let wrong = place.run(&["tap", "home/airs"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("`home/air`"), "{}", text(&wrong.stderr));
}

#[test]
fn a_saved_file_is_applied_by_whoever_watches_it() {
    let place = Place::new();
    let _engine = place.engine(HOME);
    let mut watching = place.command(&["apply", "home.yaml", "--watch"]);
    let watching = watching.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut watching = watching.spawn().expect("it starts");
    let mut said = BufReader::new(watching.stderr.take().expect("piped")).lines();
    let mut until = |what: &str| {
        let said = said.by_ref().map(|line| line.expect("text"));
        let found = said.take_while(|line| !line.contains(what)).count();
        assert!(found < 100, "it never said `{what}`");
    };
    until("Watching");
    place.write("home.yaml", &HOME.replace("0.1", "oops"));
    until("What ran before runs on");
    assert_eq!(place.json(&["status"])["revision"], 1);
    place.write("home.yaml", &HOME.replace("0.1", "0.3"));
    wait_until("it is applied", || place.json(&["status"])["revision"] == 2);
    signal(&watching, "INT");
    assert!(watching.wait().expect("it ends").success());
    assert_eq!(place.json(&["status"])["revision"], 2, "the engine runs on");
}

#[test]
fn an_engine_in_the_foreground_watches_its_files() {
    let place = Place::new();
    place.write("home.yaml", HOME);
    let _engine = place.start(&["apply", "home.yaml", "--watch", "--no-dashboard", "-m", "first"]);
    assert_eq!(place.json(&["history"])[0]["message"], "first");
    place.write("home.yaml", &HOME.replace("0.1", "0.3"));
    wait_until("it is applied", || place.json(&["status"])["revision"] == 2);
}

const REFUSED: &str = "\
pipeline: home
sources: { soil: { as: soil, replay: { path: soil.csv } } }
sinks: { out: { inputs: [soil], file: { path: soil.jsonl } } }
";

#[test]
fn dead_letters_are_listed_shown_and_dropped_with_and_without_an_engine() {
    let place = Place::new();
    place.write("soil.csv", "time,value\n2026-01-01T00:00:00Z,1\nyesterday,2\ntomorrow,3\n");
    place.write("home.yaml", REFUSED);
    let ran = place.run(&["run", "home.yaml", "--no-dashboard"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let page = place.json(&["dlq", "list", "--node", "home"]);
    assert_eq!(page["total"], 2, "{page}");
    assert_eq!(place.json(&["dlq", "list", "--node", "shed"])["total"], 0);
    let id = page["letters"][0]["id"].as_str().expect("an id");
    let shown = place.says(&["dlq", "show", id]);
    assert!(shown.contains("soil.csv:4") && shown.contains("tomorrow,3"), "{shown}");
    assert_eq!(place.run(&["dlq", "show", "nothing"]).status.code(), Some(2));
    assert_eq!(place.run(&["dlq", "drop"]).status.code(), Some(2), "which ones?");
    assert_eq!(place.says(&["dlq", "drop", id]), "1 letter dropped\n");
    assert_eq!(place.json(&["dlq", "list"])["total"], 1);

    let _engine = place.engine(HOME);
    let page = place.json(&["dlq", "list", "--since", "1h"]);
    let id = page["letters"][0]["id"].as_str().expect("an id");
    assert!(place.says(&["dlq", "show", id]).contains("yesterday,2"));
    assert_eq!(place.json(&["dlq", "drop", "--all"])["letters"], 1);
    assert_eq!(place.json(&["dlq", "list"])["total"], 0);
}

#[test]
fn the_log_can_be_read_and_made_to_say_more() {
    let place = Place::new();
    let _engine = place.engine(HOME);
    let logs = place.says(&["logs", "--level", "info", "--json"]);
    let applied = logs.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert!(applied.clone().any(|line| line["fields"]["revision"] == 1), "{logs}");
    let said = place.says(&["log-level", "debug", "home/news", "--for", "10m"]);
    assert!(said.starts_with("`home/news` logs at level debug until "), "{said}");
    assert_eq!(place.run(&["log-level", "debug", "home/new"]).status.code(), Some(2));
}

#[test]
fn top_is_for_terminals() {
    let output = Place::new().run(&["top"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("needs a terminal"));
}

#[test]
fn validate_reads_the_settings_too() {
    let place = Place::new();
    place.write("home.yaml", HOME);
    place.write("config.yaml", "name: kitchen\ntimezone: Europe/Nowhere\n");
    let checked = place.run(&["validate", "home.yaml"]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(text(&checked.stderr).contains("config.yaml:2"), "{}", text(&checked.stderr));
    place.write("other.yaml", "colour: red\n");
    let json = place.run(&["validate", "home.yaml", "--json", "-c", "other.yaml"]);
    let found: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&found[0]["file"], &found[0]["line"]), (&"other.yaml".into(), &1.into()));
    assert_eq!(json.status.code(), Some(2));
}

#[test]
fn completions_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.says(&["completions", shell]);
        for command in crate::reference::commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
}

/// Where many filters stand behind one source, each is given what it picks; what shows is as if it were given everything.
#[test]
fn many_filters_on_one_source_each_get_and_count_theirs() {
    use std::fmt::Write as _;
    let place = Place::new();
    let graph = |first: &str| {
        let mut yaml = format!(
            "pipeline: home\nsources:\n  in: {{ as: t, socket: {{ unix: in.sock, ack: true }} }}\ntransforms:\n  \
             p0: {{ inputs: [in], filter: {{ sources: \"{first}\" }} }}\n"
        );
        for n in 1..20 {
            writeln!(yaml, "  p{n}: {{ inputs: [in], filter: {{ sources: \"t:{n}\" }} }}")
                .expect("text");
        }
        yaml.push_str("sinks:\n");
        for n in 0..20 {
            writeln!(yaml, "  s{n}: {{ inputs: [p{n}], file: {{ path: s{n}.ndjson }} }}")
                .expect("text");
        }
        yaml
    };
    let mut engine = place.engine(&graph("t:0"));
    let send = |value: u32| {
        let mut sender = UnixStream::connect(place.path("data/in.sock")).expect("it listens");
        let mut lines = BufReader::new(sender.try_clone().expect("two ends")).lines();
        for n in 0..20 {
            writeln!(sender, "{{\"source\":\"t:{n}\",\"value\":{value}}}").expect("sent");
            lines.next().expect("an answer").expect("text");
        }
    };
    let counts = |address: &str, key: &str| place.json(&["status", address])[key].as_u64();
    let rows = |n: u32| place.read(&format!("data/s{n}.ndjson")).lines().count();
    send(1);
    wait_until("every filter has received all", || {
        (0..20).all(|n| counts(&format!("home/p{n}"), "received") == Some(20))
    });
    wait_until("each has written its own", || (0..20).all(|n| rows(n) == 1));

    // Whoever looks at what a filter drops sees it, and only as long.
    let mut tap = place.command(&["tap", "home/p3.dropped", "--count", "19"]);
    let mut tap = tap.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut sent = 1;
    wait_until("it has seen enough", || {
        sent += 1;
        send(2);
        tap.try_wait().expect("its state").is_some()
    });
    let mut seen = String::new();
    tap.stdout.take().expect("piped").read_to_string(&mut seen).expect("text");
    assert_eq!(seen.lines().count(), 19, "{seen}");
    assert!(!seen.contains("\"t:3\"") && seen.contains("\"t:4\""), "{seen}");

    // Another choice is another filter; the others go on counting.
    place.write("home.yaml", &graph("t:1*"));
    place.says(&["apply", "home.yaml"]);
    send(3);
    wait_until("all have received all", || {
        (1..20).all(|n| counts(&format!("home/p{n}"), "received") == Some(20 * (sent + 1)))
    });
    let sent = usize::try_from(sent).expect("few");
    wait_until("each has written its own", || (1..20).all(|n| rows(n) == sent + 1));
    wait_until("the first one picks by its pattern", || rows(0) == sent + 11);
    engine.stop();
}
