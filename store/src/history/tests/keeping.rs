//! How much is kept, and for how long.

use std::path::Path;

use proptest::prelude::*;
use smollama_engine::disk::{Disk, RealDisk};
use smollama_engine::duration::Duration;
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;

use super::super::{Error, Reader, Settings, Sources, Writer};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Values that no encoding makes small.
fn noise(table: &SeriesTable, start: Timestamp, step: Duration, count: u32) -> Vec<Reading> {
    let series = table.intern(&Series::new(SourceKey::local("t", "noise"))).unwrap();
    let mut state = start.as_micros() as u64 | 1;
    let mut time = start;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        time = time + step;
        Reading::new(time, series, f64::from_bits(state >> 12 | 0x3ff0_0000_0000_0000))
    };
    (0..count).map(|_| next()).collect()
}

fn bytes_on_disk(folder: &Path) -> u64 {
    let sets = ["readings", "windows", "observations"].map(|set| folder.join(set));
    let entries = sets.iter().flat_map(|set| RealDisk.list(set).unwrap());
    entries.map(|entry| entry.len).sum()
}

fn first_and_last(folder: &Path) -> (Timestamp, Timestamp) {
    let table = SeriesTable::default();
    let reader = Reader::new(RealDisk::shared(), folder);
    let rows = reader.readings(Timestamp::MIN..Timestamp::MAX, Sources::all(), &table).unwrap();
    let times: Vec<_> = rows.flat_map(|rows| rows.unwrap()).map(|reading| reading.time).collect();
    (*times.iter().min().unwrap(), *times.iter().max().unwrap())
}

#[test]
fn the_oldest_files_go_before_the_limit_is_passed() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let limit = 1_500_000;
    let settings = Settings { bytes_max: limit, ..Settings::default() };
    let mut writer = Writer::open(&RealDisk::shared(), folder.path().into(), settings).unwrap();
    let mut start = at("2026-01-01T00:00:00Z");
    for _ in 0..40 {
        writer
            .append_readings(&noise(&table, start, Duration::from_secs(10), 8_640), &table)
            .unwrap();
        writer.finalize().unwrap();
        assert!(bytes_on_disk(folder.path()) <= limit);
        start = start + Duration::from_days(1);
        while writer.maintain(start).unwrap() {
            assert!(bytes_on_disk(folder.path()) <= limit);
        }
    }
    assert_eq!(bytes_on_disk(folder.path()), writer.bytes());
    assert!(writer.bytes() > limit * 3 / 4, "{}", writer.bytes());
    let (first, last) = first_and_last(folder.path());
    assert!(first > at("2026-01-10T00:00:00Z"), "{first}");
    assert_eq!(last, at("2026-02-10T00:00:00Z"));
}

#[test]
fn rows_that_fit_no_limit_are_refused_and_nothing_is_removed_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let settings = Settings { bytes_max: 1 << 20, rows_max: 1_000_000, keep: None };
    let mut writer = Writer::open(&RealDisk::shared(), folder.path().into(), settings).unwrap();
    let start = at("2026-01-01T00:00:00Z");
    writer.append_readings(&noise(&table, start, Duration::from_secs(1), 100), &table).unwrap();
    writer.finalize().unwrap();
    let before = writer.bytes();
    let much = noise(&table, start, Duration::from_micros(1), 300_000);
    writer.append_readings(&much, &table).unwrap();
    let error = writer.finalize().unwrap_err();
    assert!(matches!(error, Error::Full { limit: 917_504, .. }), "{error}");
    assert_eq!(writer.bytes(), before);
    assert_eq!(writer.rows_in_memory(), 300_000);
}

#[test]
fn what_is_older_than_it_may_be_goes_and_no_file_spans_more_than_retention_can_cut() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let settings = Settings { keep: Some(Duration::from_days(30)), ..Settings::default() };
    let mut writer = Writer::open(&RealDisk::shared(), folder.path().into(), settings).unwrap();
    let start = at("2026-01-01T00:00:00Z");
    let year = noise(&table, start, Duration::from_hours(1), 365 * 24);
    writer.append_readings(&year, &table).unwrap();
    writer.finalize().unwrap();
    while writer.maintain(at("2026-06-01T12:00:00Z")).unwrap() {}
    let (first, _) = first_and_last(folder.path());
    assert_eq!(first, at("2026-05-02T00:00:00Z"), "the day that holds the limit stays whole");
    let files = RealDisk.list(&folder.path().join("readings")).unwrap();
    assert!(files.iter().all(|file| file.name[..8] == file.name[17..25]), "{files:?}");
}

#[test]
fn a_newer_format_is_refused_by_name_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let disk = RealDisk::shared();
    let open = || Writer::open(&disk, folder.path().into(), Settings::default());
    let mut writer = open().unwrap();
    let start = at("2026-01-01T00:00:00Z");
    writer.append_readings(&noise(&table, start, Duration::from_secs(1), 10), &table).unwrap();
    writer.finalize().unwrap();
    drop(writer);
    let inside = folder.path().join("readings");
    let name = &RealDisk.list(&inside).unwrap()[0].name;
    let path = inside.join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    let key = b"smollama.format\x18\x011";
    let place = bytes.windows(key.len()).position(|part| part == key).unwrap();
    bytes[place + key.len() - 1] = b'2';
    std::fs::write(&path, &bytes).unwrap();
    let expected = format!(
        "`{}` has history format 2, written by smollama version {}; this version reads formats up to 1: \
         update smollama, or move the file elsewhere",
        path.display(),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(open().unwrap_err().to_string(), expected);
    let reader = Reader::new(disk.clone(), folder.path());
    let mut rows = reader.readings(start..Timestamp::MAX, Sources::all(), &table).unwrap();
    assert_eq!(rows.next().unwrap().unwrap_err().to_string(), expected);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_damaged_file_is_named_and_left_alone_and_the_others_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let mut writer =
        Writer::open(&RealDisk::shared(), folder.path().into(), Settings::default()).unwrap();
    let start = at("2026-01-01T00:00:00Z");
    for hour in 0..3 {
        let start = start + Duration::from_hours(hour);
        writer.append_readings(&noise(&table, start, Duration::from_secs(1), 10), &table).unwrap();
        writer.finalize().unwrap();
    }
    let inside = folder.path().join("readings");
    let damaged = inside.join(&RealDisk.list(&inside).unwrap()[1].name);
    std::fs::write(&damaged, b"PAR1 but no more").unwrap();
    let now = at("2026-11-21T00:00:00Z");
    let error = writer.maintain(now).unwrap_err().to_string();
    assert!(error.starts_with(&format!("`{}` cannot be read", damaged.display())), "{error}");
    while writer.maintain(now).unwrap() {}
    let left = RealDisk.list(&inside).unwrap();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(std::fs::read(&damaged).unwrap(), b"PAR1 but no more");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However rows come and are cut into files, merging changes neither which rows there are nor the order of those that tie.
    #[test]
    fn merging_keeps_every_row(
        batches in prop::collection::vec(
            prop::collection::vec((0i64..400, 0usize..3), 1..30), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let table = SeriesTable::default();
        let series: Vec<_> = (0..3)
            .map(|n| table.intern(&Series::new(SourceKey::local("t", &n.to_string()))).unwrap())
            .collect();
        let mut writer =
            Writer::open(&RealDisk::shared(), folder.path().into(), Settings::default()).unwrap();
        let start = at("2025-01-01T00:00:00Z");
        let mut expected = Vec::new();
        for batch in &batches {
            let readings: Vec<_> = batch
                .iter()
                .map(|&(day, which)| {
                    let number = expected.len() as i64;
                    expected.push((which, start + Duration::from_days(day), number));
                    Reading::new(start + Duration::from_days(day), series[which], number)
                })
                .collect();
            writer.append_readings(&readings, &table).unwrap();
            writer.finalize().unwrap();
        }
        while writer.maintain(at("2030-01-01T00:00:00Z")).unwrap() {}
        let files = RealDisk.list(&folder.path().join("readings")).unwrap();
        prop_assert!(files.len() <= 2, "{:?}", files);
        let reader = Reader::new(RealDisk::shared(), folder.path());
        let rows = reader.readings(Timestamp::MIN..Timestamp::MAX, Sources::all(), &table).unwrap();
        let mut read: Vec<_> = rows
            .flat_map(|rows| rows.unwrap())
            .map(|reading| {
                let number = reading.value.as_f64().unwrap() as i64;
                (reading.series.index(), reading.time, number)
            })
            .collect();
        read.sort();
        expected.sort();
        prop_assert_eq!(read, expected);
    }
}
