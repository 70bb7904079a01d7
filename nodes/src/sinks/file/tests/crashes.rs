//! What a kill or a power cut leaves of a file.

use std::path::Path;

use proptest::prelude::*;
use serde_json::json;
use smollama_engine::disk::{Crash, Fault, SimulatedDisk};

use super::*;

/// A sink on a simulated disk, as one process has it.
struct Life {
    host: Arc<Host>,
    sink: Option<Box<dyn Sink>>,
}

impl Life {
    fn begin(disk: &SimulatedDisk, settings: &serde_json::Value) -> Life {
        let host = Arc::new(Host { disk: disk.shared(), ..Host::for_tests(Path::new("/data")) });
        let config: FileConfig = serde_json::from_value(settings.clone()).unwrap();
        let sink = match config.build(&Context::new(host.clone(), "p/f", "f")) {
            Ok(Node::Sink(sink)) => Some(sink),
            _ => None,
        };
        Life { host, sink }
    }

    /// Rows of a second each, from one number to another.
    fn write(&mut self, numbers: std::ops::Range<i64>) -> Result<(), NodeError> {
        let series = Series::new(SourceKey::parse("t:a"));
        let series = self.host.series.intern(&series).unwrap();
        let reading = |n| Reading::new(START + Duration::from_secs(n), series, n);
        let batch = Batch::new(Items::Readings(numbers.map(reading).collect()), START);
        self.call(|sink| Box::pin(async move { sink.write(&batch).await }))
    }

    fn checkpoint(&mut self) -> Result<(), NodeError> {
        self.call(|sink| Box::pin(sink.checkpoint(START)))
    }

    fn flush(&mut self) -> Result<(), NodeError> {
        self.call(|sink| Box::pin(sink.flush(START)))
    }

    fn call(
        &mut self,
        call: impl for<'a> FnOnce(
            &'a mut dyn Sink,
        ) -> std::pin::Pin<
            Box<dyn Future<Output = Result<(), NodeError>> + Send + 'a>,
        >,
    ) -> Result<(), NodeError> {
        let Some(sink) = &mut self.sink else { return Err(NodeError::Retry("dead".into())) };
        block_on(call(&mut **sink))
    }
}

/// The numbers in all files, in the order of the rows; every line must be one.
fn numbers(disk: &SimulatedDisk, csv: bool) -> Vec<i64> {
    let mut files = disk.list(Path::new("/data/logs")).unwrap();
    files.retain(|file| !file.name.starts_with('.'));
    // The file that is being written sorts before those put aside; it is the newest.
    files.sort_by_key(|file| (!file.name.contains('-'), file.name.len(), file.name.clone()));
    let mut numbers = Vec::new();
    for file in files {
        let text = disk.read(&Path::new("/data/logs").join(&file.name)).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        for line in text.lines().skip(usize::from(csv)) {
            let number = if csv {
                line.split_once(',').unwrap().1.parse().unwrap()
            } else {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["value"].as_i64().unwrap()
            };
            numbers.push(number);
        }
    }
    numbers
}

/// Writes and takes checkpoints until something fails for good. Gives how many rows the last checkpoint has.
fn live(disk: &SimulatedDisk, settings: &serde_json::Value, from: i64, upto: i64) -> i64 {
    let mut checkpoint = from;
    let mut life = Life::begin(disk, settings);
    for step in 0..(upto - from) / 10 {
        let next = from + step * 10;
        let written = life.write(next..next + 10).or_else(|_| life.write(next..next + 10));
        if written.is_err() {
            return checkpoint;
        }
        match step % 3 {
            0 => drop(life.flush()),
            1 if life.checkpoint().is_ok() => checkpoint = next + 10,
            _ => {}
        }
    }
    checkpoint
}

fn settings(csv: bool, sync: &str, rotate: bool) -> serde_json::Value {
    let path = if csv { "logs/x.csv" } else { "logs/x.jsonl" };
    let mut settings = json!({ "path": path, "sync": sync });
    if csv {
        settings["fields"] = json!(["time", "value"]);
    }
    if rotate {
        settings["rotate"] = json!({ "size": "1KiB" });
    }
    settings
}

/// Whenever it happens: every line is whole, what a checkpoint had is there in order, and with what is repeated from there on,
/// nothing is missing.
fn crashes(seed: u64, lives: &[(u64, u8)], csv: bool, rotate: bool, sync: &str) {
    let settings = settings(csv, sync, rotate);
    let mut disk = SimulatedDisk::new(seed);
    let mut checkpoint = 0;
    for &(call, what) in lives {
        let fault = match what {
            0 => Fault::Crash(Crash::Kill),
            1 => Fault::Crash(Crash::Power),
            2 => Fault::TornWrite,
            _ => Fault::Error(io::ErrorKind::Other),
        };
        disk.fail_at(call, fault);
        checkpoint = live(&disk, &settings, checkpoint, checkpoint + 90);
        disk.crash(Crash::Power);
        disk = disk.restart();
        drop(Life::begin(&disk, &settings));
        let there = numbers(&disk, csv);
        for number in 0..checkpoint {
            assert!(there.contains(&number), "{number} of {checkpoint} is not in {there:?}");
        }
        assert_eq!(disk.violations(), [""; 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_crash_leaves_whole_lines_and_all_that_a_checkpoint_had(
        seed: u64, lives in prop::collection::vec((0u64..60, 0u8..4), 1..4), csv: bool, rotate: bool,
        sync in prop::sample::select(vec!["on_flush", "on_checkpoint"]),
    ) {
        crashes(seed, &lives, csv, rotate, sync);
    }
}

/// It was put aside; the power cut then left zeros in it, which only the file in use was looked at for.
#[test]
fn a_file_that_could_not_be_synced_has_whole_lines_after_a_power_cut_too() {
    crashes(3268764988154117283, &[(11, 1), (21, 1), (6, 2)], true, true, "on_checkpoint");
}

#[test]
fn a_checkpoint_is_durable_and_a_flush_is_if_so_wished() {
    for (sync, flush, durable) in [
        ("on_flush", true, true),
        ("on_checkpoint", true, false),
        ("on_checkpoint", false, true),
        ("never", false, false),
    ] {
        let kept = |seed: u64| {
            let disk = SimulatedDisk::new(seed);
            let settings = settings(false, sync, false);
            let mut life = Life::begin(&disk, &settings);
            life.write(0..10).unwrap();
            if flush { life.flush() } else { life.checkpoint() }.unwrap();
            disk.crash(Crash::Power);
            let disk = disk.restart();
            drop(Life::begin(&disk, &settings));
            numbers(&disk, false).len() == 10
        };
        // What is not synced may be lost, by the seed.
        assert_eq!((0..32).all(kept), durable, "{sync}");
    }
}

/// Rows that a killed process left in the page cache are its successor's to make durable.
#[test]
fn what_was_found_is_durable_at_the_first_checkpoint() {
    for seed in 0..32 {
        let disk = SimulatedDisk::new(seed);
        let settings = settings(false, "on_checkpoint", false);
        let mut life = Life::begin(&disk, &settings);
        life.write(0..10).unwrap();
        life.flush().unwrap();
        let disk = disk.restart();
        Life::begin(&disk, &settings).checkpoint().unwrap();
        disk.crash(Crash::Power);
        assert_eq!(numbers(&disk.restart(), false).len(), 10);
    }
}

#[test]
fn a_sync_that_failed_is_not_tried_again_on_that_file() {
    let disk = SimulatedDisk::new(0);
    let settings = settings(false, "on_flush", false);
    let mut life = Life::begin(&disk, &settings);
    life.write(0..10).unwrap();
    // The first call writes, the second syncs.
    disk.fail_at(1, Fault::Error(io::ErrorKind::Other));
    assert!(matches!(life.flush(), Err(NodeError::Fatal(_))));
    assert!(matches!(life.checkpoint(), Err(NodeError::Fatal(_))));
    assert!(life.write(10..20).is_ok());
    assert!(matches!(life.checkpoint(), Err(NodeError::Fatal(_))));
    assert_eq!(disk.violations(), [""; 0]);
}

#[test]
fn what_a_failed_sync_may_have_lost_comes_again_into_a_new_file() {
    let disk = SimulatedDisk::new(0);
    let settings = settings(false, "on_flush", false);
    let mut life = Life::begin(&disk, &settings);
    life.write(0..10).unwrap();
    life.flush().unwrap();
    life.write(10..20).unwrap();
    // Behind the write the sync fails; then, for a while, everything.
    disk.fail_at(1, Fault::Error(io::ErrorKind::Other));
    disk.fail_at(2, Fault::Error(io::ErrorKind::Other));
    assert!(matches!(life.flush(), Err(NodeError::Retry(_))), "it cannot be put aside yet");
    assert!(matches!(life.flush(), Err(NodeError::Fatal(_))));
    // The host makes the sink anew, and gives again what was not durable.
    let mut life = Life::begin(&disk, &settings);
    life.write(10..20).unwrap();
    life.checkpoint().unwrap();
    disk.crash(Crash::Power);
    let disk = disk.restart();
    drop(Life::begin(&disk, &settings));
    let text = disk.read(Path::new("/data/logs/x.jsonl")).unwrap();
    assert_eq!(String::from_utf8(text).unwrap().lines().count(), 10);
    assert_eq!(disk.list(Path::new("/data/logs")).unwrap().len(), 2);
    assert_eq!(disk.violations(), [""; 0]);
}

#[test]
fn zeros_in_place_of_rows_are_cut_off_with_what_is_behind_them() {
    let row = r#"{"time":"2026-01-01T00:00:00Z","source":"t:a","value":1,"count":1}"#;
    for (csv, found, kept) in [
        (false, format!("{row}\n\0\0\0\0{row}\n{row}\n"), format!("{row}\n")),
        (false, format!("{row}\n{}\0\0", &row[..9]), format!("{row}\n")),
        (false, "\0".repeat(100), String::new()),
        (true, "time,value\na,1\n\0\0\0b,2\n".into(), "time,value\na,1\n".into()),
        (true, "time,value\na,\"x\0y\"\n".into(), "time,value\na,\"x\0y\"\n".into()),
    ] {
        let disk = SimulatedDisk::new(0);
        let settings = settings(csv, "on_flush", false);
        let path = Path::new(if csv { "/data/logs/x.csv" } else { "/data/logs/x.jsonl" });
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        disk.create_new(path).unwrap().write_all(found.as_bytes()).unwrap();
        drop(Life::begin(&disk, &settings));
        assert_eq!(String::from_utf8(disk.read(path).unwrap()).unwrap(), kept, "{found:?}");
    }
}
