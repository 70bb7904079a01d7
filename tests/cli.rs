//! The real binary, as a user runs it: exit codes, what goes where, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder of its own, with a data directory in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder for the test"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file for the test");
        path
    }

    fn data(&self, name: &str) -> String {
        fs::read_to_string(self.path("data").join(name)).unwrap_or_default()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smollama"));
        command.args(args).arg("--data-dir").arg(self.path("data")).current_dir(self.0.path());
        command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits for a condition; the time-out only bounds how long a failing test hangs.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal was sent");
}

const LIVE: &str = "
pipeline: live
sources:
  air: { every: 120ms, simulate: { noise: 0.5 } }
transforms:
  news: { inputs: [air], dedup: {} }
sinks:
  out: { inputs: [news], file: { path: air.jsonl } }
  screen: { inputs: [air], console: { format: json } }
";

#[test]
fn validate_says_fine_or_what_is_wrong_and_exits_so() {
    let place = Place::new();
    place.write("good.yaml", LIVE);
    place.write("bad.yaml", &LIVE.replace("dedup", "dedupe"));
    let good = place.run(&["validate", "good.yaml"]);
    assert_eq!(
        (good.status.code(), text(&good.stdout).as_str()),
        (Some(0), "1 pipeline with 4 nodes is fine\n")
    );
    let bad = place.run(&["validate", "bad.yaml"]);
    assert_eq!((bad.status.code(), text(&bad.stdout).as_str()), (Some(2), ""));
    assert!(text(&bad.stderr).contains("bad.yaml:6:26"), "{}", text(&bad.stderr));
    assert!(text(&bad.stderr).contains("did you mean `dedup`?"));
    let json = place.run(&["validate", "--json", "bad.yaml"]);
    assert_eq!(json.status.code(), Some(2));
    let found: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(found[0]["rule"], "SM0070");
    assert_eq!((found[0]["line"].as_u64(), found[0]["column"].as_u64()), (Some(6), Some(26)));
    assert!(found[0]["file"].as_str().is_some_and(|file| file.ends_with("bad.yaml")));
}

/// P4, its first half: a bad apply changes nothing.
#[test]
fn p4_a_bad_apply_changes_nothing() {
    let place = Place::new();
    place.write("good.yaml", LIVE);
    place.write(
        "bad.yaml",
        &LIVE.replace("pipeline: live", "pipeline: other").replace("[air], dedup", "[airs], dedup"),
    );
    let applied = place.run(&["apply", "good.yaml", "bad.yaml"]);
    assert_eq!(applied.status.code(), Some(2));
    assert!(!place.path("data").exists(), "nothing was made");
}

#[test]
fn a_dry_run_shows_the_plan_and_starts_nothing() {
    let place = Place::new();
    place.write("live.yaml", LIVE);
    let planned = place.run(&["apply", "--dry-run", "live.yaml"]);
    assert_eq!(planned.status.code(), Some(0));
    let plan = text(&planned.stdout);
    assert!(plan.contains("+ news    transform  dedup     from air"), "{plan}");
    assert!(plan.contains("    journal  1 of 1 source, at most"), "{plan}");
    assert!(plan.ends_with("Plan: 4 to add, 0 to change, 0 to remove, 0 kept\n"), "{plan}");
    let planned = place.run(&["apply", "--dry-run", "--json", "live.yaml"]);
    let plan: serde_json::Value = serde_json::from_slice(&planned.stdout).expect("JSON");
    assert_eq!(plan["summary"]["add"], 4);
    assert_eq!(plan["changes"][1]["address"], "live/news");
    assert!(!place.path("data").exists());
}

/// Ctrl-C and SIGTERM: everything that was read is written, and the last line says where.
#[test]
fn a_signal_stops_cleanly_with_everything_flushed() {
    for name in ["INT", "TERM"] {
        let place = Place::new();
        place.write("live.yaml", LIVE);
        let mut child = place
            .command(&["apply", "live.yaml"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        wait_until("readings are written", || place.data("air.jsonl").lines().count() > 5);
        signal(&child, name);
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{said}");
        let written = place.data("air.jsonl");
        assert!(written.ends_with('\n'), "no line is torn");
        let stands_for: u64 = written
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line"))
            .map(|line| line["count"].as_u64().expect("a count"))
            .sum();
        let read: u64 = said
            .split("Done: ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .expect("the summary");
        // Readings that dedup holds back when it ends are counted by no line.
        assert!(stands_for <= read && stands_for + 100 > read, "{stands_for} of {read}");
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(last, format!("The data lie in {}", place.path("data").display()));
    }
}

/// `smollama run ... | head -1`: the reader goes away, and that is the end, not an error.
#[test]
fn a_closed_pipe_ends_it_quietly() {
    let place = Place::new();
    place.write("live.yaml", LIVE);
    let mut child = place
        .command(&["run", "live.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    out.read_line(&mut line).expect("a line");
    assert!(line.contains("\"source\":\"simulate:value\""), "{line}");
    drop(out);
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{said}");
    assert!(!said.contains("panicked") && !said.contains("error"), "{said}");
}

#[test]
fn a_broken_row_is_counted_named_and_kept_and_the_rest_goes_on() {
    let place = Place::new();
    place.write(
        "in.csv",
        "time,value\n2026-01-01 00:00:00,1\n2026-01-01 00:00:10,oops\nnever,2\n2026-01-01 00:00:20,NaN\n\
         2026-01-01 00:00:30,4,5\n2026-01-01 00:00:40,inf\n1890-01-01 00:00:00,3\n2026-01-01 00:00:50,6\n",
    );
    place.write(
        "p.yaml",
        "pipeline: p\nsources:\n  rows: { replay: { path: in.csv } }\nsinks:\n  out: { inputs: [rows], file: { path: out.jsonl, fields: { v: value } } }\n",
    );
    let ran = place.run(&["run", "--once", "p.yaml"]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    assert_eq!(place.data("out.jsonl"), "{\"v\":1}\n{\"v\":6}\n");
    let letters = place.data("dead_letters/letters.jsonl");
    let lines: Vec<u64> = letters
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a letter"))
        .map(|letter| {
            letter["origin"]
                .as_str()
                .and_then(|at| at.rsplit(':').next()?.parse().ok())
                .expect("a line number")
        })
        .collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8]);
    assert!(
        text(&ran.stderr).contains("2 readings, 6 to the dead letters"),
        "{}",
        text(&ran.stderr)
    );
}

/// P6: the same input gives the same bytes.
#[test]
fn p6_the_same_recording_gives_the_same_bytes() {
    let yaml = format!(
        "
pipeline: p
sources:
  office: {{ as: office, replay: {{ path: {0}/office_temperature.csv }} }}
  road: {{ as: road, replay: {{ path: {0}/road_occupancy.csv }} }}
transforms:
  scored: {{ inputs: [office, road], novelty: {{}} }}
  news: {{ inputs: [scored], dedup: {{ deadband: 1, heartbeat: 1d }} }}
  pace: {{ inputs: [scored], adaptive_rate: {{}} }}
  days: {{ inputs: [scored], window: {{ length: 1d }} }}
sinks:
  out: {{ inputs: [news, pace, days, scored], file: {{ path: out.jsonl }} }}
",
        Path::new(env!("CARGO_MANIFEST_DIR")).join("data/recordings").display()
    );
    let outputs: Vec<String> = (0..2)
        .map(|_| {
            let place = Place::new();
            place.write("p.yaml", &yaml);
            let ran = place.run(&["run", "--once", "--speed", "max", "p.yaml"]);
            assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
            place.data("out.jsonl")
        })
        .collect();
    assert!(outputs[0].lines().count() > 9_000);
    assert!(outputs[0] == outputs[1], "two runs differ");
}

/// P9, its part that concerns files: a secret is never printed, not even in the message that refuses it.
#[test]
fn p9_a_secret_is_never_printed() {
    let place = Place::new();
    place.write(
        "p.yaml",
        "pipeline: p\nsources:\n  air: { simulate: {} }\nsinks:\n  out: { inputs: [air], file: { path: \"secret://env/SMOLLAMA_TEST_SECRET\" } }\n",
    );
    for command in ["validate", "apply", "run"] {
        let ran = place
            .command(&[command, "p.yaml"])
            .env("SMOLLAMA_TEST_SECRET", "correct-horse")
            .output()
            .expect("the binary runs");
        assert_eq!(ran.status.code(), Some(2));
        let said = text(&ran.stderr) + &text(&ran.stdout);
        assert!(
            said.contains("secret://env/SMOLLAMA_TEST_SECRET") && !said.contains("correct-horse"),
            "{said}"
        );
    }
}

#[test]
fn what_cannot_be_opened_is_said_before_anything_starts() {
    let place = Place::new();
    place.write(
        "p.yaml",
        "pipeline: p\nsources:\n  rows: { replay: { path: missing.csv } }\nsinks:\n  out: { inputs: [rows], discard: {} }\n",
    );
    let ran = place.run(&["run", "--once", "p.yaml"]);
    assert_eq!(ran.status.code(), Some(2));
    assert!(text(&ran.stderr).contains("missing.csv"), "{}", text(&ran.stderr));
}

#[test]
fn the_example_config_is_understood_and_a_wrong_one_is_told() {
    let place = Place::new();
    place.write("p.yaml", "pipeline: p\nsources:\n  air: { simulate: { count: 1 } }\nsinks:\n  out: { inputs: [air], discard: {} }\n");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yaml");
    let ran = place.run(&["run", "--once", "p.yaml", "--config", &example.to_string_lossy()]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    assert!(!text(&ran.stderr).contains("warning"), "{}", text(&ran.stderr));
    place.write("config.yaml", "nmae: pi\ntimezone: Europe/Berlim\nollama: { host: localhost }\n");
    let ran = place.run(&["run", "--once", "p.yaml"]);
    assert_eq!(ran.status.code(), Some(2));
    let said = text(&ran.stderr);
    assert!(said.contains("config.yaml:1:1") && said.contains("did you mean `name`?"), "{said}");
    assert!(said.contains("there is no time zone `Europe/Berlim`"), "{said}");
    assert!(said.contains("`ollama` means nothing to this version"), "{said}");
}

/// Where a pattern of ids is unknown beforehand, two nodes that give one id are told at run time.
#[test]
fn two_nodes_that_give_one_id_are_told_at_run_time() {
    let place = Place::new();
    let line = "{\"time\":\"2026-01-01T00:00:00Z\",\"source\":\"t:a\",\"value\":1}\n";
    place.write("a.jsonl", line);
    place.write("b.jsonl", line);
    place.write(
        "p.yaml",
        "pipeline: p\nsources:\n  a: { replay: { path: a.jsonl } }\n  b: { replay: { path: b.jsonl } }\nsinks:\n  out: { inputs: [a, b], discard: {} }\n",
    );
    let ran = place.run(&["run", "--once", "p.yaml"]);
    assert_eq!(ran.status.code(), Some(1));
    let said = text(&ran.stderr);
    assert!(
        said.contains("warning[SM0084]") && said.contains("`t:a` also comes from `p/"),
        "{said}"
    );
}

/// A recording beside a live source is played at the speed of life, dated as if it had begun now; at any other speed the two would
/// never meet, and that is told beforehand.
#[test]
fn a_recording_meets_a_live_source_only_at_the_speed_of_life() {
    let place = Place::new();
    let rows: String = (0..5).map(|n| format!("2014-01-01T00:00:00.{}00Z,{n}\n", 2 * n)).collect();
    place.write("r.csv", &format!("time,value\n{rows}"));
    place.write(
        "p.yaml",
        "pipeline: p\nsources:\n  old: { as: old, replay: { path: r.csv } }\n  board: { every: 100ms, system: { metrics: [memory] } }\nsinks:\n  out: { inputs: [old, board], file: { path: out.jsonl } }\n",
    );
    let refused = place.run(&["run", "p.yaml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("SM0083"), "{}", text(&refused.stderr));
    let mut child = place
        .command(&["run", "--speed", "1", "p.yaml"])
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let times = || -> Vec<i64> {
        let written = place.data("out.jsonl");
        let whole =
            written.lines().filter(|line| line.ends_with('}') && line.contains("\"old:r\""));
        let rows = whole.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let time = |row: serde_json::Value| row["time"].as_str()?.parse::<jiff::Timestamp>().ok();
        rows.filter_map(time).map(|time| time.as_microsecond()).collect()
    };
    wait_until("the recording was played", || times().len() == 5);
    signal(&child, "INT");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let steps: Vec<i64> = times().windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps, [200_000; 4], "the steps of the recording");
    assert!(times()[0] > 1_700_000_000_000_000, "dated now, not in 2014");
}

/// It is read ahead of its time; what was only read ahead when it is stopped is not done.
#[test]
fn a_recording_that_is_stopped_early_counts_what_was_played() {
    let place = Place::new();
    let row =
        |n: u32| format!("2026-01-01T{:02}:{:02}:{:02}Z,{n}\n", n / 3600, n / 60 % 60, n % 60);
    let rows: String = (0..20_000).map(row).collect();
    place.write("r.csv", &format!("time,value\n{rows}"));
    let yaml = "pipeline: p\nsources:\n  r: { replay: { path: r.csv } }\n\
        sinks:\n  out: { inputs: [r], file: { path: out.jsonl } }\n";
    place.write("p.yaml", yaml);
    let child = place
        .command(&["run", "--once", "--speed", "40", "p.yaml"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    wait_until("some of it was played", || place.data("out.jsonl").lines().count() > 5);
    signal(&child, "INT");
    let ended = child.wait_with_output().expect("it ends");
    let (said, written) = (text(&ended.stderr), place.data("out.jsonl").lines().count());
    assert!(said.contains(&format!("Done: {written} readings.")), "{written} rows: {said}");
    assert!(written < 20_000, "it was stopped too late");
}

/// The pipeline file is named without its folder, so patterns begin in the folder the command was started in.
#[test]
fn a_pattern_of_recordings_begins_beside_the_pipeline() {
    let place = Place::new();
    place.write("a.csv", "time,value\n2026-01-01T00:00:00Z,1\n");
    let yaml = |path: &str| {
        format!(
            "pipeline: p\nsources:\n  a: {{ replay: {{ path: \"{path}\" }} }}\nsinks:\n  c: {{ inputs: [a], console: {{}} }}\n"
        )
    };
    for pattern in ["*.csv", "**/*.csv", "."] {
        place.write("p.yaml", &yaml(pattern));
        let ran = place.run(&["run", "--once", "--speed", "max", "p.yaml"]);
        assert_eq!(ran.status.code(), Some(0), "{pattern}: {}", text(&ran.stderr));
        assert!(text(&ran.stderr).contains("Done: 1 reading."), "{pattern}: {}", text(&ran.stderr));
    }
    place.write("p.yaml", &yaml("no*.csv"));
    let ran = place.run(&["run", "--once", "p.yaml"]);
    assert!(
        text(&ran.stderr).contains("there is no recording in `no*.csv`"),
        "{}",
        text(&ran.stderr)
    );
}

#[test]
fn a_log_level_that_there_is_not_is_refused() {
    let place = Place::new();
    for (level, code) in [
        ("loud", 2),
        ("info,worn", 2),
        ("smollama_engine=loud", 2),
        ("debug", 0),
        ("smollama_engine=debug,warn", 0),
    ] {
        let ran = place.run(&["nodes", "--log-level", level]);
        assert_eq!(ran.status.code(), Some(code), "{level}: {}", text(&ran.stderr));
    }
    let said = text(&place.run(&["nodes", "--log-level", "loud"]).stderr);
    assert!(said.contains("there is no level `loud`") && said.contains("`debug`"), "{said}");
}
