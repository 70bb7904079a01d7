//! `smollama backtest` as a user runs it: over what a host recorded, and over files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use smollama_engine::config::Loader;
use smollama_engine::plan::plan_loaded;
use smollama_engine::schema;
use smollama_engine::testing::{self, Variation};

const HOME: &str = "\
pipeline: home
sources:
  air: { as: air, replay: { path: tape.csv } }
transforms:
  news: { inputs: [air], dedup: { deadband: 0.5 } }
  days: { inputs: [air], window: { length: 1h } }
sinks:
  history: { inputs: [air], parquet: {} }
  out: { inputs: [news, days], file: { path: out.jsonl } }
";

/// A folder with a data directory in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder for the test"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file for the test");
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smollama"));
        command.args(args).arg("--data-dir").arg(self.path("data")).current_dir(self.0.path());
        command.env_remove("SMOLLAMA_CONFIG").stdin(Stdio::null());
        command.output().expect("the binary runs")
    }

    /// What a command prints, which must succeed.
    fn says(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.says(&args)).expect("JSON")
    }

    /// A host that recorded a day of one room, a reading a minute, and rests.
    fn recorded() -> Place {
        let place = Place::new();
        let mut tape = String::from("time,hall\n");
        for minute in 0..1_440 {
            let (hour, value) = (minute / 60, 20 + minute / 30 % 4);
            tape += &format!("2026-11-20T{hour:02}:{:02}:00Z,{value}\n", minute % 60);
        }
        place.write("tape.csv", &tape);
        place.write("home.yaml", HOME);
        place.says(&["run", "home.yaml", "--no-dashboard"]);
        place
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const DAY: [&str; 4] = ["--since", "2026-11-20T00:00:00Z", "--until", "2026-11-21T00:00:00Z"];

fn backtest<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["backtest", "home.yaml"].into_iter().chain(DAY).chain(more.iter().copied()).collect()
}

#[test]
fn what_would_differ_is_shown_beside_what_runs() {
    let place = Place::recorded();
    let unchanged = place.json(&backtest(&[]));
    assert_eq!(
        (&unchanged["revision"], &unchanged["report"]["readings"]),
        (&1.into(), &1_440.into())
    );
    for sink in unchanged["report"]["sinks"].as_array().expect("rows") {
        let differ = ["missed", "gained", "changed"].map(|key| sink[key].as_u64());
        assert_eq!(differ, [Some(0); 3], "{sink}");
    }
    assert_eq!(unchanged["notes"], Value::Array(Vec::new()));

    place.write("home.yaml", &HOME.replace("deadband: 0.5", "deadband: 1"));
    let zone = ["--config", "config.yaml"];
    place.write("config.yaml", "timezone: UTC\n");
    let shown = place.says(&[&backtest(&["--diff=2"])[..], &zone].concat());
    let history = place.path("data/history").display().to_string();
    // What a row of Parquet takes depends on the compressor.
    let without_bytes = |line: &str| match line.split_once(" readings, ") {
        Some((before, _)) if line.contains(" parquet ") => format!("{before} readings\n"),
        _ => format!("{line}\n"),
    };
    let shown: String = shown.replace(&history, "HISTORY").lines().map(without_bytes).collect();
    assert_eq!(
        shown,
        "\
1440 readings of 1 series, 2026-11-20 00:00:00 to 2026-11-20 23:59:00, from HISTORY
RUNNING is revision 1.

                TYPE     RUNNING                          CANDIDATE                        DIFFERENCE
readings kept
  home/news     dedup    48 of 1440 (3.3%)                24 of 1440 (1.7%)
windows closed
  home/days     window   24: 24 time                      24: 24 time
calls due: none, there is no agent
sent to sinks
  home/history  parquet  1440 readings
  home/out      file     48 readings, 24 windows, 8.3KiB  24 readings, 24 windows, 6.5KiB  24 missed, 23 changed

home/out
- 2026-11-20 00:30:00.000  air:hall  21  ×30
- 2026-11-20 01:30:00.000  air:hall  23  ×30
  and 22 more missed
"
    );
}

/// What is looked at is left as it is, and an engine at work does not mind.
#[test]
fn a_backtest_only_reads() {
    let place = Place::recorded();
    let files = || {
        let mut all = Vec::new();
        let mut folders = vec![place.path("data")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path => all.push((path.clone(), fs::read(path).expect("a file"))),
                }
            }
        }
        all.sort();
        all
    };
    fs::write(place.path("data/checkpoints/.9.ckpt.tmp"), "half written").expect("a file");
    fs::write(place.path("data/revisions/.9.tmp"), "half written").expect("a file");
    let before = files();
    place.says(&backtest(&[]));
    assert!(before == files(), "something was changed");
    let elsewhere = Place::new();
    elsewhere.write("home.yaml", HOME);
    fs::copy(place.path("tape.csv"), elsewhere.path("tape.csv")).expect("a copy");
    elsewhere.says(&["backtest", "home.yaml", "--from", "tape.csv"]);
    assert!(!elsewhere.path("data").exists(), "a data directory was made");
}

#[test]
fn a_backtest_works_beside_an_engine() {
    let place = Place::recorded();
    let beat = "pipeline: beat\nsources: { beat: { as: beat, every: 20ms, simulate: {} } }\nsinks: { gone: { inputs: [beat], discard: {} } }\n";
    place.write("beat.yaml", beat);
    let mut command = Command::new(env!("CARGO_BIN_EXE_smollama"));
    command.args(["run", "home.yaml", "beat.yaml", "--no-dashboard", "--data-dir"]);
    command.arg(place.path("data")).current_dir(place.path(".")).stdin(Stdio::null());
    let engine = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut engine = Engine(engine.expect("the binary runs"));
    let began = std::time::Instant::now();
    while !place.run(&["status"]).status.success() {
        let ended = engine.0.try_wait().expect("its state");
        assert!(ended.is_none() && began.elapsed().as_secs() < 60, "the engine answers");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let outcome = place.json(&backtest(&[]));
    assert_eq!((&outcome["revision"], &outcome["report"]["readings"]), (&2.into(), &1_440.into()));
    // Only what the paths speak for is run.
    let sinks = outcome["report"]["sinks"].as_array().expect("rows").iter();
    let sinks: Vec<&str> = sinks.filter_map(|row| row["address"].as_str()).collect();
    assert_eq!(sinks, ["home/history", "home/out"]);
    assert!(engine.0.try_wait().expect("its state").is_none(), "it runs on");
}

/// An engine that ends with the test.
struct Engine(std::process::Child);

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn what_cannot_be_known_is_said() {
    let place = Place::recorded();
    let behind = HOME
        .replace("inputs: [air], parquet", "inputs: [news], parquet")
        .replace("sources:\n", "sources:\n  cellar: { as: cellar, simulate: {} }\n")
        .replace("news: { inputs: [air]", "news: { inputs: [air, cellar]");
    place.write("home.yaml", &behind);
    let notes = place.json(&backtest(&[]))["notes"].clone();
    assert_eq!(notes, serde_json::json!(["nothing is recorded of `home/cellar`"]));
    // Once that runs, only what the deadband let through is recorded.
    place.write("home.yaml", &behind.replace("simulate: {}", "simulate: { count: 1 }"));
    place.says(&["run", "home.yaml", "--no-dashboard"]);
    let notes = place.json(&backtest(&[]))["notes"].to_string();
    assert!(
        notes.contains("are recorded behind `home/news`: what that did not let through"),
        "{notes}"
    );
    place.write(
        "home.yaml",
        &HOME.replace("as: air, replay: { path: tape.csv }", "as: wind, simulate: {}"),
    );
    let notes = place.json(&backtest(&["--from", "data/history"]))["notes"].to_string();
    assert!(notes.contains("no source of the candidate gives `air:hall`"), "{notes}");
}

#[test]
fn a_failure_has_an_exit_code_and_a_way_out() {
    let place = Place::new();
    place.write("home.yaml", HOME);
    place.write("bad.yaml", &HOME.replace("dedup", "dedupe"));
    place.write("tape.csv", "time,hall\n2026-11-20T00:00:00Z,20\n");
    for (args, code, says) in [
        (&["backtest", "bad.yaml"][..], 2, "did you mean `dedup`?"),
        (&["backtest", "home.yaml"], 1, "help: a sink `parquet` records readings"),
        (&["backtest", "home.yaml", "--from", "none.csv"], 2, "none.csv"),
        (&["backtest", "home.yaml", "--from", "soil=tape.csv"], 2, "the sources are home/air"),
        (
            &["backtest", "home.yaml", "--from", "tape.csv", "--since", "1h"],
            1,
            "looks further back",
        ),
        (&["backtest", "home.yaml", "--since", "yesterday"], 2, "how long ago it is"),
    ] {
        let ran = place.run(args);
        let said = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
        assert_eq!(text(&ran.stdout), "", "{args:?}");
    }
    let ran = place.run(&["backtest", "home.yaml", "--from", "air=tape.csv"]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
}

#[test]
fn json_is_as_its_schema_says() {
    let validator = jsonschema::draft202012::new(&schema::backtest_schema()).expect("a schema");
    let place = Place::recorded();
    place.write("home.yaml", &HOME.replace("deadband: 0.5", "deadband: 1"));
    for args in [&backtest(&["--diff"])[..], &["backtest", "home.yaml", "--from", "tape.csv"]] {
        let outcome = place.json(args);
        let wrong: Vec<_> = validator.iter_errors(&outcome).map(|one| one.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?} in {outcome:#}");
    }
}

/// P6: the same recording gives the same bytes in `run --once`, in a test, and in a backtest.
#[test]
fn p6_run_test_and_backtest_give_the_same_bytes() {
    let place = Place::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/recordings");
    // First a recording in the JSON form, which a test can read too; some of it late.
    place.write(
        "record.yaml",
        &format!(
            "pipeline: record\nsources:\n  office: {{ as: office, replay: {{ path: {0}/office_temperature.csv }} }}\n  road: {{ as: road, replay: {{ path: {0}/road_occupancy.csv }} }}\nsinks:\n  o: {{ inputs: [office], file: {{ path: office.jsonl }} }}\n  r: {{ inputs: [road], file: {{ path: road.jsonl }} }}\n",
            data.display()
        ),
    );
    place.says(&["run", "--once", "--speed", "max", "record.yaml"]);
    for name in ["office", "road"] {
        let mut lines: Vec<String> = fs::read_to_string(place.path(&format!("data/{name}.jsonl")))
            .expect("a recording")
            .lines()
            .map(str::to_owned)
            .collect();
        let late = lines.remove(100);
        lines.insert(110, late);
        place.write(&format!("{name}.jsonl"), &(lines.join("\n") + "\n"));
    }
    place.write(
        "p.yaml",
        "
pipeline: p
sources:
  office: { as: office, replay: { path: office.jsonl } }
  road: { as: road, replay: { path: road.jsonl } }
transforms:
  scored: { inputs: [office, road], novelty: {} }
  news: { inputs: [scored], dedup: { deadband: 1, heartbeat: 1d } }
  pace: { inputs: [scored], adaptive_rate: {} }
  days: { inputs: [scored], window: { length: 1d } }
sinks:
  out: { inputs: [news, pace, days, scored], file: { path: out.jsonl } }
tests:
  - name: all of it
    start: 2013-01-01T00:00:00Z
    given: [{ node: office, file: office.jsonl }, { node: road, file: road.jsonl }]
    expect: [{ node: out, count: { min: 9000 } }]
",
    );
    place.says(&["run", "--once", "--speed", "max", "p.yaml"]);
    let ran = fs::read_to_string(place.path("data/out.jsonl")).expect("what was written");
    assert!(ran.lines().count() > 9_000);

    let outcome = place.json(&[
        "backtest",
        "p.yaml",
        "--from",
        "office.jsonl",
        "road.jsonl",
        "--diff=1000000",
    ]);
    let sink = &outcome["report"]["sinks"][0];
    let gained = sink["gained_items"].as_array().expect("items").iter();
    let gained: String = gained.map(|item| format!("{item}\n")).collect();
    assert!(gained == ran, "a backtest differs: {}", first_difference(&ran, &gained));
    assert_eq!(sink["sent"]["candidate"]["bytes"].as_u64(), Some(ran.len() as u64));

    let nothing = |_: &str| None;
    let mut loader = Loader::new(&nothing);
    loader.path(&place.path("p.yaml"));
    let graph = plan_loaded(loader.finish(), &smollama_nodes::registry()).graph.expect("a graph");
    let trace = testing::trace(&graph, &testing::tests(&graph)[0], Variation::default());
    let trace = text(&trace);
    let tested = trace.lines().filter_map(|line| line.strip_prefix("p/out "));
    let tested: String = tested.map(|line| format!("{line}\n")).collect();
    assert!(tested == ran, "a test differs: {}", first_difference(&ran, &tested));
    place.says(&["test", "p.yaml"]);
}

fn first_difference(one: &str, other: &str) -> String {
    let differ = one.lines().zip(other.lines()).enumerate().find(|(_, (one, other))| one != other);
    match differ {
        Some((line, (one, other))) => format!("line {line}: {one}\n  {other}"),
        None => format!("{} and {} lines", one.lines().count(), other.lines().count()),
    }
}
