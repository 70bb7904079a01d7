//! Readings in the order of time, however they lie in files.

use std::path::Path;

use proptest::prelude::*;
use smollama_engine::disk::RealDisk;
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SeriesId, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;

use super::super::{Reader, Settings, Timeline, Writer};

fn open(folder: &Path) -> Writer {
    Writer::open(&RealDisk::shared(), folder.into(), Settings::default()).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_795_219_200_000_000 + seconds * 1_000_000)
}

fn series(table: &SeriesTable, count: usize) -> Vec<SeriesId> {
    let one = |index| Series::new(SourceKey::local("air", &format!("room{index}")));
    (0..count).map(|index| table.intern(&one(index)).unwrap()).collect()
}

fn timeline<'a>(folder: &Path, from: i64, to: i64, table: &'a SeriesTable) -> Timeline<'a> {
    Timeline::new(RealDisk::shared(), &[folder], at(from)..at(to), table).unwrap()
}

fn key(reading: &Reading, table: &SeriesTable) -> (i64, String, String, u32) {
    let source = table.get(reading.series).source.name().to_owned();
    (reading.time.as_micros(), source, reading.value.to_string(), reading.count)
}

/// What must come out: by time and source, and what is the same as the one before only once.
fn expected(
    kept: &[Reading],
    from: i64,
    to: i64,
    table: &SeriesTable,
) -> Vec<(i64, String, String, u32)> {
    let within = |reading: &&Reading| (at(from)..at(to)).contains(&reading.time);
    let mut all: Vec<_> = kept.iter().filter(within).map(|one| key(one, table)).collect();
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let mut once: Vec<(i64, String, String, u32)> = Vec::new();
    for one in all {
        match once.last_mut() {
            Some(last) if (last.0, &last.1, &last.2) == (one.0, &one.1, &one.2) => {
                last.3 = last.3.min(one.3);
            }
            _ => once.push(one),
        }
    }
    once
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_lies_where_it_comes_in_the_order_of_time(
        rows in prop::collection::vec((0i64..200_000, 0usize..5, 0i64..3, 1u32..3), 0..600),
        cuts in 1usize..200,
        merged in any::<bool>(),
        from in 0i64..100_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let table = SeriesTable::default();
        let ids = series(&table, 5);
        let kept: Vec<Reading> = rows.iter().map(|&(time, source, value, count)| {
            let mut reading = Reading::new(at(time), ids[source], value);
            reading.count = count;
            reading
        }).collect();
        let mut writer = open(folder.path());
        for some in kept.chunks(cuts) {
            writer.append_readings(some, &table).unwrap();
            writer.finalize().unwrap();
        }
        if merged {
            while writer.maintain(at(40 * 86_400)).unwrap() {}
        }
        let read: Vec<_> = timeline(folder.path(), from, 190_000, &table)
            .map(|one| key(&one.unwrap(), &table))
            .collect();
        // Of one instant and source the order of values is that in which they were kept; where they are not next to each other, the same
        // value may stand twice, and so it may in what is expected.
        let mut read_sorted = read.clone();
        read_sorted.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        prop_assert_eq!(&read, &read_sorted);
        let set = |rows: &[(i64, String, String, u32)]| -> std::collections::BTreeSet<(i64, String, String)> {
            rows.iter().map(|one| (one.0, one.1.clone(), one.2.clone())).collect()
        };
        prop_assert_eq!(set(&read), set(&expected(&kept, from, 190_000, &table)));
    }
}

#[test]
fn what_two_sinks_kept_comes_once_and_stands_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let ids = series(&table, 2);
    let mut kept = Vec::new();
    for second in 0..100 {
        kept.push(Reading::new(at(second), ids[0], second));
        if second % 10 == 0 {
            let mut news = Reading::new(at(second), ids[0], second);
            (news.count, news.score) = (10, 1.5);
            kept.push(news);
        }
    }
    let mut writer = open(folder.path());
    writer.append_readings(&kept, &table).unwrap();
    writer.finalize().unwrap();
    let read: Vec<Reading> =
        timeline(folder.path(), 0, 100, &table).map(|one| one.unwrap()).collect();
    assert_eq!(read.len(), 100);
    assert!(read.iter().all(|one| one.count == 1));
}

#[test]
fn large_sources_and_many_small_ones_are_read_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let ids = series(&table, 400);
    let mut writer = open(folder.path());
    let mut kept = Vec::new();
    // One source of 70,000 rows: three row groups; the others share some.
    for second in 0..70_000 {
        kept.push(Reading::new(at(second), ids[0], second));
    }
    for step in 0..30 {
        kept.extend(ids[1..].iter().map(|&id| Reading::new(at(step * 2_000), id, step)));
    }
    kept.sort_by_key(|one| one.time);
    for some in kept.chunks(20_000) {
        writer.append_readings(some, &table).unwrap();
        writer.finalize().unwrap();
    }
    while writer.maintain(at(40 * 86_400)).unwrap() {}
    let line = timeline(folder.path(), 0, 70_000, &table);
    let read: Vec<_> = line.map(|one| key(&one.unwrap(), &table)).collect();
    assert_eq!(read, expected(&kept, 0, 70_000, &table));
    let row = Reader::new(RealDisk::shared(), folder.path()).row_bytes().unwrap();
    let bytes = writer.bytes() as f64 / kept.len() as f64;
    assert!((row.readings.unwrap() - bytes).abs() < 0.001 && row.windows.is_none());
}

#[test]
fn files_that_are_merged_meanwhile_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let ids = series(&table, 3);
    let mut writer = open(folder.path());
    let mut kept = Vec::new();
    for hour in 0..48 {
        let of_hour = (0..60).flat_map(|minute| {
            let time = at(hour * 3_600 + minute * 60);
            ids.iter().map(move |&id| Reading::new(time, id, minute))
        });
        let of_hour: Vec<Reading> = of_hour.collect();
        writer.append_readings(&of_hour, &table).unwrap();
        writer.finalize().unwrap();
        kept.extend(of_hour);
    }
    let mut line = timeline(folder.path(), 0, 48 * 3_600, &table);
    let mut read: Vec<Reading> = line.by_ref().take(1_000).map(|one| one.unwrap()).collect();
    while writer.maintain(at(40 * 86_400)).unwrap() {}
    read.extend(line.map(|one| one.unwrap()));
    let read: Vec<_> = read.iter().map(|one| key(one, &table)).collect();
    assert_eq!(read, expected(&kept, 0, 48 * 3_600, &table));
}

#[test]
fn a_folder_that_is_not_there_has_no_readings() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    assert_eq!(timeline(&folder.path().join("none"), 0, 10, &table).count(), 0);
}
