//! Real files that grow, are renamed, copied, emptied and removed, read by a source whose clock stands still until it waits.

mod rotation;
mod whole;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use smollama_engine::batch::Items;
use smollama_engine::context::Host;
use smollama_engine::node::Reject;
use smollama_engine::reading::Reading;
use smollama_engine::testing::START;
use tempfile::TempDir;

use super::*;

/// A source that watches something in a folder of its own.
struct Bench {
    folder: TempDir,
    settings: Json,
    host: Arc<Host>,
    source: FileWatch,
    /// What the journal has: where the source goes on.
    position: Option<Position>,
}

/// What came in some batches.
#[derive(Default)]
struct Came {
    readings: Vec<Reading>,
    rejects: Vec<Reject>,
    dropped: u64,
}

fn config(settings: &Json) -> FileWatchConfig {
    let config: FileWatchConfig = serde_json::from_value(settings.clone()).unwrap();
    assert_eq!(config.problems(), []);
    config
}

fn source(folder: &TempDir, settings: &Json) -> (Arc<Host>, FileWatch) {
    let host = Arc::new(Host::for_tests(folder.path()));
    let mut context = Context::new(host.clone(), "p/in", "f");
    context.folder = folder.path().to_owned();
    let source = FileWatch::new(&config(settings), &context).unwrap();
    (host, source)
}

impl Bench {
    fn new(settings: Json) -> Bench {
        Bench::with(&[], settings)
    }

    /// With files that are there already.
    fn with(files: &[(&str, &str)], settings: Json) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (host, source) = source(&folder, &settings);
        Bench { folder, settings, host, source, position: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let file = OpenOptions::new().create(true).append(true).open(self.path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Takes batches until nothing comes for a while.
    async fn came(&mut self) -> Came {
        let mut came = Came::default();
        while let Some(batch) = self.batch().await {
            let Items::Readings(readings) = batch.items else { panic!("readings") };
            assert_eq!(batch.receipt.is_some(), !batch.rejects.is_empty());
            came.readings.extend(readings);
            came.rejects.extend(batch.rejects);
            came.dropped += batch.dropped;
        }
        came
    }

    /// The next batch, if there is one within a few looks. The source is dropped while it waits, which must lose nothing.
    async fn batch(&mut self) -> Option<SourceBatch> {
        let read = tokio::time::timeout(Duration::from_secs(3), self.source.read(START)).await;
        let Read::Batch(batch) = read.ok()?.unwrap() else { panic!("it never ends") };
        self.position.clone_from(&batch.position);
        assert!(self.position.is_some());
        Some(batch)
    }

    /// `id=value` of all that comes.
    async fn said(&mut self) -> Vec<String> {
        let came = self.came().await;
        assert_eq!(came.rejects, []);
        self.say(&came)
    }

    fn say(&self, came: &Came) -> Vec<String> {
        let said =
            |one: &Reading| format!("{}={}", self.host.series.get(one.series).source, one.value);
        came.readings.iter().map(said).collect()
    }

    /// The host dies, and begins anew with what the journal has.
    async fn restart(&mut self) {
        (self.host, self.source) = source(&self.folder, &self.settings);
        if let Some(position) = &self.position {
            self.source.resume(position).await.unwrap();
        }
    }

    fn trouble(&self) -> Option<String> {
        self.source.trouble.get()
    }
}

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| format!("{{\"v\":{number}}}\n")).collect()
}

fn ids(file: &str, numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|number| format!("f:{file}/v={number}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_file_is_followed_line_by_line_and_half_a_line_waits() {
    let mut bench = Bench::with(&[("a.jsonl", "{\"v\":1}\n{\"v\"")], json!({ "path": "a.jsonl" }));
    assert_eq!(bench.said().await, ["f:a/v=1"]);
    assert_eq!(bench.said().await, [""; 0]);
    bench.append("a.jsonl", ":2}");
    assert_eq!(bench.said().await, [""; 0], "its end has not come yet");
    bench.append("a.jsonl", "\r\n\n{\"source\":\"b\",\"value\":3,\"unit\":\"W\"}\n");
    assert_eq!(bench.said().await, ["f:a/v=2", "f:b=3"]);
    assert_eq!(bench.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_not_read_again_and_half_a_line_is_not_lost_over_a_restart() {
    let mut bench = Bench::with(&[("a.jsonl", &lines(0..3_000))], json!({ "path": "a.jsonl" }));
    bench.append("a.jsonl", "{\"v\":");
    let mut said = Vec::new();
    // Each batch but the last is followed by a crash, before which the next one was read and not kept.
    while let Some(batch) = bench.batch().await {
        let Items::Readings(readings) = batch.items else { panic!("readings") };
        assert!(readings.len() <= 1_024);
        said.extend(bench.say(&Came { readings, ..Came::default() }));
        let kept = bench.position.clone();
        bench.batch().await;
        bench.position = kept;
        bench.restart().await;
    }
    assert!(said == ids("a", 0..3_000), "{} lines", said.len());
    bench.append("a.jsonl", "7}\n");
    assert_eq!(bench.said().await, ["f:a/v=7"]);
}

#[tokio::test(start_paused = true)]
async fn lines_that_cannot_be_read_go_to_the_dead_letters_and_hold_up_nothing() {
    let long = format!("{{\"v\":1}}\nnonsense\n{}\n{{\"v\":2}}\n", "x".repeat(700_000));
    let settings = json!({ "path": "a.jsonl", "max_line": "1KiB" });
    let mut bench = Bench::with(&[("a.jsonl", &long)], settings);
    let came = bench.came().await;
    assert_eq!(bench.say(&came), ["f:a/v=1", "f:a/v=2"]);
    let letters: Vec<(&str, &str)> =
        came.rejects.iter().map(|one| (&*one.origin, &*one.reason)).collect();
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert_eq!(letters[0].0, "a.jsonl:2");
    assert_eq!(letters[1], ("a.jsonl:3", "longer than `max_line` (1024 bytes)"));
    assert_eq!(came.rejects[0].bytes, b"nonsense");
    assert_eq!(came.rejects[1].bytes.len(), 4_096);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_is_skipped_to_its_end_however_late_that_comes() {
    let mut bench = Bench::new(json!({ "path": "a.jsonl", "max_line": "1KiB" }));
    for _ in 0..3 {
        bench.append("a.jsonl", &"x".repeat(2_000));
        bench.came().await;
    }
    bench.restart().await;
    bench.append("a.jsonl", "\n{\"v\":1}\n");
    let came = bench.came().await;
    assert_eq!(bench.say(&came), ["f:a/v=1"]);
    assert_eq!(came.rejects.len(), 1, "what was refused before the crash may come again");
    assert_eq!(came.rejects[0].origin, "a.jsonl:1");
}

#[tokio::test(start_paused = true)]
async fn rows_are_read_as_replay_reads_them_and_the_header_counts_after_a_restart() {
    let text = "time,temp,hum,note\n2026-11-21T00:00:00Z,21.5,40,x\n";
    let settings =
        json!({ "path": "a.csv", "columns": { "temp": { "unit": "°C" }, "hum": { "id": "rh" } } });
    let mut bench = Bench::with(&[("a.csv", text)], settings);
    assert_eq!(bench.said().await, ["f:a/rh=40", "f:a/temp=21.5"]);
    bench.restart().await;
    bench.append("a.csv", "2026-11-21T00:01:00Z,22,41,\"a\nb\"\nbroken\n");
    let came = bench.came().await;
    assert_eq!(bench.say(&came), ["f:a/rh=41", "f:a/temp=22"]);
    assert_eq!(came.rejects[0].reason, "1 fields where the header has 4");
    assert_eq!(came.rejects[0].origin, "a.csv:5");
    assert_eq!(bench.host.series.get(came.readings[1].series).unit.as_deref(), Some("°C"));
}

#[tokio::test(start_paused = true)]
async fn the_columns_with_numbers_are_found_in_the_first_row_whenever_it_comes() {
    let mut bench = Bench::with(&[("a.csv", "time,t,n")], json!({ "path": "*.csv" }));
    assert_eq!(bench.said().await, [""; 0]);
    bench.append("a.csv", "\n");
    assert_eq!(bench.said().await, [""; 0]);
    bench.append("a.csv", "2026-11-21T00:00:00Z,1,dry\n");
    assert_eq!(bench.said().await, ["f:a/t=1"]);
    bench.append("a.csv", "2026-11-21T00:00:01Z,2,7\n");
    assert_eq!(bench.said().await, ["f:a/t=2"]);
    bench.restart().await;
    bench.append("a.csv", "2026-11-21T00:00:02Z,3,7\n");
    assert_eq!(bench.said().await, ["f:a/t=3"]);
    bench.append("b.csv", "time,source,value,unit\n2026-11-21T00:00:02Z,f:x,3,W\n");
    assert_eq!(bench.said().await, ["f:x=3"]);
    bench.append("c.csv", "time,value\n2026-11-21T00:00:02Z,9\n");
    assert_eq!(bench.said().await, ["f:c=9"]);
}

#[tokio::test(start_paused = true)]
async fn a_header_without_a_column_that_is_wanted_shows_until_another_file_takes_its_place() {
    let settings = json!({ "path": "a.csv", "columns": { "temp": {} } });
    let mut bench = Bench::with(&[("a.csv", "time,t\n2026-11-21T00:00:00Z,1\n")], settings);
    assert_eq!(bench.said().await, [""; 0]);
    let said = bench.trouble().unwrap();
    assert!(said.starts_with("`a.csv`: the file has no column `temp`"), "{said}");
    fs::write(bench.path("a.csv"), "time,temp\n2026-11-21T00:00:00Z,1\n").unwrap();
    assert_eq!(bench.said().await, ["f:a/temp=1"]);
    assert_eq!(bench.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn lines_of_text_are_texts_or_what_the_settings_say() {
    let mut bench = Bench::with(&[("door", "ON\n12\n")], json!({ "path": "door" }));
    assert_eq!(bench.said().await, ["f:door=ON", "f:door=12"]);
    let came = Bench::with(&[("door", "ON\n12\n")], json!({ "path": "door", "type": "bool" }));
    let mut bench = came;
    let came = bench.came().await;
    assert_eq!(bench.say(&came), ["f:door=true"]);
    assert_eq!(came.rejects[0].reason, "the payload is `12`, neither on nor off");
    let mut bench =
        Bench::with(&[("w", "12\n")], json!({ "path": "w", "type": "number", "id": "x/{file}" }));
    assert_eq!(bench.said().await, ["f:x/w=12"]);
}

#[tokio::test(start_paused = true)]
async fn a_folder_and_a_pattern_take_files_that_come_later() {
    let mut bench = Bench::with(&[("a.jsonl", "{\"v\":1}\n")], json!({ "path": "." }));
    bench.append(".hidden.jsonl", "{\"v\":9}\n");
    bench.append("unknown", "{\"v\":9}\n");
    assert_eq!(bench.said().await, ["f:a/v=1"]);
    bench.append("b.log", "hello\n");
    assert_eq!(bench.said().await, ["f:b=hello"]);
    fs::create_dir(bench.path("sub")).unwrap();
    let mut deep = Bench::new(json!({ "path": "**/*.jsonl" }));
    fs::create_dir(deep.path("sub")).unwrap();
    deep.append("sub/a.jsonl", "{\"v\":1}\n");
    assert_eq!(deep.said().await, ["f:sub/a/v=1"]);
}

#[tokio::test(start_paused = true)]
async fn what_lies_there_at_first_can_be_left_out() {
    let settings = json!({ "path": "*.jsonl", "begin": "end" });
    let mut bench = Bench::with(&[("a.jsonl", "{\"v\":1}\n{\"v\":2}\n{\"v\"")], settings);
    assert_eq!(bench.said().await, [""; 0]);
    // Where it began is kept before anything came: a crash does not begin with another end.
    bench.append("a.jsonl", ":3}\n");
    bench.restart().await;
    bench.append("b.jsonl", "{\"v\":4}\n");
    assert_eq!(bench.said().await, ["f:a/v=3", "f:b/v=4"]);
}

#[test]
fn says_what_is_wrong_with_the_settings() {
    let problems = |settings: Json| {
        let config: FileWatchConfig = serde_json::from_value(settings).unwrap();
        let shown = config.problems().into_iter();
        shown.map(|one| format!("{}: {}", one.field, one.message)).collect::<Vec<_>>()
    };
    assert_eq!(
        problems(json!({ "path": "", "poll": "1ms", "max_line": "0B" })),
        [
            "path: it is empty",
            "poll: it is shorter than 10ms",
            "max_line: it must lie between 1B and 64MiB"
        ]
    );
    assert_eq!(
        problems(
            json!({ "path": "a.csv", "fields": ["x"], "type": "number", "max_age": "1m", "id": "{" })
        ),
        [
            "fields: it means nothing in CSV",
            "type: it means nothing in CSV",
            "max_age: it is for `format: json` and `format: jetson`",
            "id: a `{` is not closed",
        ]
    );
    assert_eq!(
        problems(json!({ "path": "a.jsonl", "columns": {}, "value": "v", "fields": ["w"] })),
        ["columns: it is for CSV", "fields: `value` and `fields` are both set"]
    );
    assert_eq!(
        problems(json!({ "path": "a.json", "format": "jetson", "time": "ts" })),
        ["time: the file of a camera says this itself"]
    );
    assert_eq!(
        problems(json!({ "path": "logs", "zone": "Mars" })),
        ["zone: there is no zone `Mars`"]
    );
}
