//! Every call to the disk fails once, in turn, or is the last before a crash: nothing is lost, nothing counts twice, nothing
//! half-written has a final name.

use std::path::Path;

use smollama_engine::disk::{Crash, Disk, Fault, SimulatedDisk};
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;

use super::super::{Error, Reader, Settings, Sources, Writer};

const FOLDER: &str = "/history";
const HOUR: i64 = 3_600_000_000;

fn now() -> Timestamp {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

/// Readings of one hour each, numbered by their value.
fn readings(table: &SeriesTable, numbers: std::ops::Range<i64>) -> Vec<Reading> {
    let series = table.intern(&Series::new(SourceKey::local("t", "a"))).unwrap();
    let start = now().as_micros() - 400 * 24 * HOUR;
    let reading = |n| Reading::new(Timestamp::from_micros(start + n * HOUR), series, n);
    numbers.map(reading).collect()
}

/// The numbers a reader finds.
fn found(disk: &SimulatedDisk) -> Vec<i64> {
    let table = SeriesTable::default();
    let reader = Reader::new(disk.shared(), Path::new(FOLDER));
    let rows = reader.readings(Timestamp::MIN..Timestamp::MAX, Sources::all(), &table).unwrap();
    let readings = rows.flat_map(|rows| rows.unwrap());
    let mut numbers: Vec<i64> =
        readings.map(|reading| reading.value.as_f64().unwrap() as i64).collect();
    numbers.sort_unstable();
    numbers
}

/// Writes 40 days in four turns, merging as it goes; a call that fails is repeated as the engine would. Gives how many readings were
/// finalized for sure.
fn work(disk: &SimulatedDisk, tries: usize) -> i64 {
    let table = SeriesTable::default();
    let retry = |step: &mut dyn FnMut() -> Result<(), Error>| (0..tries).any(|_| step().is_ok());
    let mut writer = None;
    let mut finalized = 0;
    let opened = retry(&mut || {
        writer = Some(open(disk)?);
        Ok(())
    });
    let Some(mut writer) = writer.filter(|_| opened) else { return 0 };
    for turn in 0..4 {
        let batch = readings(&table, turn * 240..(turn + 1) * 240);
        if !retry(&mut || writer.append_readings(&batch, &table))
            || !retry(&mut || writer.finalize())
        {
            break;
        }
        finalized = (turn + 1) * 240;
        let _ = writer.maintain(now());
    }
    while retry(&mut || match writer.maintain(now()) {
        Ok(false) => Err(Error::Full { path: "done".into(), needed: 0, limit: 0 }),
        more => more.map(drop),
    }) {}
    finalized
}

fn open(disk: &SimulatedDisk) -> Result<Writer, Error> {
    Writer::open(&disk.shared(), FOLDER.into(), Settings::default())
}

/// How many calls the work takes, those that read included.
fn calls() -> u64 {
    let disk = SimulatedDisk::new(0);
    disk.count_reads(true);
    work(&disk, 1);
    let calls = disk.calls();
    assert_eq!(found(&disk), (0..960).collect::<Vec<_>>());
    assert!(calls > 100, "{calls}");
    calls
}

#[test]
fn any_call_may_fail_once_and_nothing_is_lost_or_doubled() {
    for call in 0..calls() {
        let disk = SimulatedDisk::new(call);
        disk.count_reads(true);
        disk.fail_at(call, Fault::TornWrite);
        assert_eq!(work(&disk, 3), 960, "call {call}");
        assert_eq!(found(&disk), (0..960).collect::<Vec<_>>(), "call {call}");
        assert!(disk.violations().is_empty(), "call {call}: {:?}", disk.violations());
    }
}

#[test]
fn a_crash_at_any_call_leaves_what_was_finalized_once_and_whole() {
    for (call, how) in
        (0..calls()).flat_map(|call| [Crash::Kill, Crash::Power].map(|how| (call, how)))
    {
        let disk = SimulatedDisk::new(call);
        disk.count_reads(true);
        disk.fail_at(call, Fault::Crash(how));
        let finalized = work(&disk, 2);
        assert!(disk.has_crashed(), "call {call}");
        let disk = disk.restart();
        let before = found(&disk);
        // What was not confirmed may be there, as far as it goes: but nothing twice, and nothing missing.
        assert!(before.len() as i64 >= finalized, "call {call}, {how:?}");
        assert_eq!(before, (0..before.len() as i64).collect::<Vec<_>>(), "call {call}, {how:?}");

        let mut writer = open(&disk).unwrap();
        while writer.maintain(now()).unwrap() {}
        assert_eq!(found(&disk), before, "call {call}, {how:?}, after a new start");
        let names = disk.list(&Path::new(FOLDER).join("readings")).unwrap();
        assert!(names.iter().all(|entry| !entry.name.starts_with('.')), "call {call}: {names:?}");
        let bytes: u64 = names.iter().map(|entry| entry.len).sum();
        assert_eq!(bytes, writer.bytes(), "call {call}, {how:?}");
    }
}

#[test]
fn a_full_disk_is_named_with_its_file_and_the_rows_stay_for_the_next_try() {
    let disk = SimulatedDisk::new(0);
    let mut writer = open(&disk).unwrap();
    let table = SeriesTable::default();
    writer.append_readings(&readings(&table, 0..24), &table).unwrap();
    disk.capacity(Some(100));
    let error = writer.finalize().unwrap_err().to_string();
    let name = "/history/readings/20251017T000000Z_20251017T230000Z_0.parquet";
    assert_eq!(error, format!("cannot write `{name}`: no storage space"));
    assert_eq!(writer.rows_in_memory(), 24);
    assert_eq!(found(&disk), Vec::<i64>::new());
    assert_eq!(disk.list(&Path::new(FOLDER).join("readings")).unwrap(), []);
    disk.capacity(None);
    writer.finalize().unwrap();
    assert_eq!(writer.rows_in_memory(), 0);
    assert_eq!(found(&disk), (0..24).collect::<Vec<_>>());
}

#[test]
fn a_reader_overlooks_inputs_that_a_crash_left_beside_their_merged_file() {
    let disk = SimulatedDisk::new(0);
    let table = SeriesTable::default();
    let mut writer = open(&disk).unwrap();
    for half in [0..12, 12..24] {
        writer.append_readings(&readings(&table, half), &table).unwrap();
        writer.finalize().unwrap();
    }
    let inside = Path::new(FOLDER).join("readings");
    let paths = disk.list(&inside).unwrap().into_iter().map(|entry| inside.join(entry.name));
    let inputs: Vec<_> = paths.map(|path| (disk.read(&path).unwrap(), path)).collect();
    assert_eq!(inputs.len(), 2);
    assert!(writer.maintain(now()).unwrap());
    for (bytes, path) in &inputs {
        assert!(!disk.exists(path).unwrap());
        disk.create_new(path).unwrap().write_all(bytes).unwrap();
    }
    assert_eq!(found(&disk), (0..24).collect::<Vec<_>>());
    open(&disk).unwrap();
    assert_eq!(disk.list(&inside).unwrap().len(), 1);
}
