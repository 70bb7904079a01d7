//! Every call to the disk fails once, in turn: nothing is lost, nothing counts twice, nothing half-written has a final name.

use std::path::Path;
use std::sync::Arc;

use smollama_engine::disk::{Disk, RealDisk};
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;

use super::super::{Error, Reader, Settings, Sources, Writer};
use super::failing::FailingDisk;

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
fn found(folder: &Path) -> Vec<i64> {
    let table = SeriesTable::default();
    let reader = Reader::new(RealDisk::shared(), folder);
    let rows = reader.readings(Timestamp::MIN..Timestamp::MAX, Sources::all(), &table).unwrap();
    let readings = rows.flat_map(|rows| rows.unwrap());
    let mut numbers: Vec<i64> =
        readings.map(|reading| reading.value.as_f64().unwrap() as i64).collect();
    numbers.sort_unstable();
    numbers
}

/// Writes 40 days in four turns, merging as it goes; a call that fails is repeated as the engine would. Gives how many readings were
/// finalized for sure.
fn work(disk: &Arc<dyn Disk>, folder: &Path, tries: usize) -> i64 {
    let table = SeriesTable::default();
    let retry = |step: &mut dyn FnMut() -> Result<(), Error>| (0..tries).any(|_| step().is_ok());
    let mut writer = None;
    let mut finalized = 0;
    let opened = retry(&mut || {
        writer = Some(Writer::open(disk, folder.into(), Settings::default())?);
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

#[test]
fn any_call_may_fail_once_and_nothing_is_lost_or_doubled() {
    let counted = tempfile::tempdir().unwrap();
    let disk = Arc::new(FailingDisk::new(u64::MAX, false));
    work(&(disk.clone() as Arc<dyn Disk>), counted.path(), 1);
    assert_eq!(found(counted.path()), (0..960).collect::<Vec<_>>());
    assert!(disk.calls() > 100, "{}", disk.calls());
    for call in 0..disk.calls() {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(FailingDisk::new(call, false));
        assert_eq!(work(&disk, folder.path(), 3), 960, "call {call}");
        assert_eq!(found(folder.path()), (0..960).collect::<Vec<_>>(), "call {call}");
    }
}

#[test]
fn a_disk_that_dies_at_any_call_leaves_what_was_finalized_once_and_whole() {
    let counted = tempfile::tempdir().unwrap();
    let disk = Arc::new(FailingDisk::new(u64::MAX, false));
    work(&(disk.clone() as Arc<dyn Disk>), counted.path(), 1);
    for call in 0..disk.calls() {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(FailingDisk::new(call, true));
        let finalized = work(&disk, folder.path(), 2);
        let before = found(folder.path());
        // What was not confirmed may be there, as far as it goes: but nothing twice, and nothing missing.
        assert!(before.len() as i64 >= finalized, "call {call}");
        assert_eq!(before, (0..before.len() as i64).collect::<Vec<_>>(), "call {call}");

        let mut writer =
            Writer::open(&RealDisk::shared(), folder.path().into(), Settings::default()).unwrap();
        while writer.maintain(now()).unwrap() {}
        assert_eq!(found(folder.path()), before, "call {call}, after a new start");
        let names = RealDisk.list(&folder.path().join("readings")).unwrap();
        assert!(names.iter().all(|entry| !entry.name.starts_with('.')), "call {call}: {names:?}");
        let bytes: u64 = names.iter().map(|entry| entry.len).sum();
        assert_eq!(bytes, writer.bytes(), "call {call}");
    }
}

#[test]
fn a_full_disk_is_named_with_its_file_and_the_rows_stay_for_the_next_try() {
    let folder = tempfile::tempdir().unwrap();
    let probe = Arc::new(FailingDisk::new(u64::MAX, false));
    let open = |disk: Arc<FailingDisk>, folder: &Path| {
        Writer::open(&(disk as Arc<dyn Disk>), folder.into(), Settings::default())
    };
    drop(open(Arc::new(FailingDisk::new(u64::MAX, false)), folder.path()).unwrap());
    drop(open(probe.clone(), folder.path()).unwrap());
    // After opening, a write is: remove the temporary file, make it, write it.
    let disk = Arc::new(FailingDisk::new(probe.calls() + 2, false));
    let mut writer = open(disk, folder.path()).unwrap();
    let table = SeriesTable::default();
    writer.append_readings(&readings(&table, 0..24), &table).unwrap();
    let error = writer.finalize().unwrap_err().to_string().replace('\\', "/");
    let name = "readings/20251017T000000Z_20251017T230000Z_0.parquet";
    let expected =
        format!("cannot write `{}`: no space left on device", folder.path().join(name).display());
    assert_eq!(error, expected);
    assert_eq!(writer.rows_in_memory(), 24);
    assert_eq!(found(folder.path()), Vec::<i64>::new());
    assert_eq!(RealDisk.list(&folder.path().join("readings")).unwrap(), []);
    writer.finalize().unwrap();
    assert_eq!(writer.rows_in_memory(), 0);
    assert_eq!(found(folder.path()), (0..24).collect::<Vec<_>>());
}

#[test]
fn a_reader_overlooks_inputs_that_a_crash_left_beside_their_merged_file() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let disk = RealDisk::shared();
    let mut writer = Writer::open(&disk, folder.path().into(), Settings::default()).unwrap();
    for half in [0..12, 12..24] {
        writer.append_readings(&readings(&table, half), &table).unwrap();
        writer.finalize().unwrap();
    }
    let inside = folder.path().join("readings");
    let inputs: Vec<_> = std::fs::read_dir(&inside)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    assert_eq!(inputs.len(), 2);
    assert!(writer.maintain(now()).unwrap());
    for (path, bytes) in &inputs {
        assert!(!path.exists());
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(found(folder.path()), (0..24).collect::<Vec<_>>());
    Writer::open(&disk, folder.path().into(), Settings::default()).unwrap();
    assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 1);
}
