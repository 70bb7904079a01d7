//! What was written is what is read, and little else is looked at.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use smollama_engine::disk::{Disk, RealDisk, SimulatedDisk};
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Cause, Summary, Window};

use super::super::foreign::{Cell, ParquetFile};
use super::super::{Reader, Settings, Sources, Writer};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn open(folder: &Path) -> Writer {
    Writer::open(&RealDisk::shared(), folder.into(), Settings::default()).unwrap()
}

const ALWAYS: Range<Timestamp> = Timestamp::MIN..Timestamp::MAX;

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>().prop_filter_map("finite", Value::float),
        Just(Value::Float(-0.0)),
        Just(Value::Float(f64::MIN_POSITIVE / 8.0)),
        any::<i64>().prop_map(Value::Int),
        (-2i64..3).prop_map(|n| Value::Int((1 << 53) + n)),
        (-9i64..9).prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        ".*".prop_map(|text| Value::text(&text)),
        any::<i32>().prop_map(|n| Value::Json(Arc::new(serde_json::json!({"a": [n, null, "ü"]})))),
    ]
}

/// As text that tells apart what `==` does not: -0.0 and 0.0.
fn exactly(reading: &Reading, table: &SeriesTable) -> String {
    let mut value = Vec::new();
    reading.value.write_json(&mut value);
    format!(
        "{:?} {} {} {:?} {}",
        table.get(reading.series),
        reading.time.as_micros(),
        String::from_utf8(value).unwrap(),
        reading.score.to_bits(),
        reading.count
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn readings_come_back_bit_for_bit(
        rows in prop::collection::vec(
            (any::<i64>(), 0usize..4, values(), prop::option::of(0.0f64..9.0), 1u32..4), 1..80),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let table = SeriesTable::default();
        let kinds = [
            Series::new(SourceKey::local("t", "plain")),
            Series::new(SourceKey::local("t", "with:colon/and/slash")).with_unit("celsius"),
            Series::new(SourceKey::local("t", "ü")).with_label("room", "kitchen \"x\""),
            Series::new(SourceKey::local("t", "n")).counter(),
        ];
        let series: Vec<_> = kinds.iter().map(|kind| table.intern(kind).unwrap()).collect();
        let readings: Vec<_> = rows
            .iter()
            .map(|(time, which, value, score, count)| Reading {
                time: Timestamp::from_micros(*time),
                value: value.clone(),
                score: score.unwrap_or(f64::NAN),
                series: series[*which],
                count: *count,
            })
            .collect();
        let mut writer = open(folder.path());
        for some in readings.chunks(30) {
            writer.append_readings(some, &table).unwrap();
            writer.finalize().unwrap();
        }
        let read = |merged: &str| {
            let reader = Reader::new(RealDisk::shared(), folder.path());
            // The very last microsecond is outside of every half-open span.
            let rows = reader.readings(ALWAYS, Sources::all(), &table).unwrap();
            let mut lines: Vec<_> =
                rows.flat_map(|rows| rows.unwrap()).map(|one| exactly(&one, &table)).collect();
            lines.sort();
            let known = readings.iter().filter(|reading| reading.time < Timestamp::MAX);
            let mut expected: Vec<_> = known.map(|one| exactly(one, &table)).collect();
            expected.sort();
            assert_eq!(lines, expected, "{merged}");
        };
        read("as written");
        while writer.maintain(at("2026-11-21T00:00:00Z")).unwrap() {}
        read("merged");
    }
}

/// So that a query over `value` has all numbers.
#[test]
fn integers_are_doubles_too_where_that_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let series = table.intern(&Series::new(SourceKey::local("t", "n"))).unwrap();
    let whole = [7, -(1 << 53), (1 << 53) + 1, i64::MIN];
    let reading = |(second, value): (i64, i64)| {
        Reading::new(at("2026-01-01T00:00:00Z") + Duration::from_secs(second), series, value)
    };
    let readings: Vec<Reading> = (0..).zip(whole).map(reading).collect();
    let mut writer = open(folder.path());
    writer.append_readings(&readings, &table).unwrap();
    writer.finalize().unwrap();
    let inside = folder.path().join("readings");
    let path = inside.join(&RealDisk.list(&inside).unwrap()[0].name);
    let file = ParquetFile::open(&RealDisk, &path).unwrap();
    let cells = file.read(&["value", "value_int"], 0).unwrap().next().unwrap().unwrap();
    let border = -((1i64 << 53) as f64);
    let doubles = [Cell::Float(7.0), Cell::Float(border), Cell::Absent, Cell::Absent];
    assert_eq!(cells, [doubles.to_vec(), whole.map(Cell::Int).to_vec()]);
}

#[test]
fn windows_come_back_one_a_series() {
    let folder = tempfile::tempdir().unwrap();
    let table = SeriesTable::default();
    let summary = |id: &str, value: Value, number: f64| Summary {
        series: table.intern(&Series::new(SourceKey::local("t", id)).with_unit("W")).unwrap(),
        count: 3,
        min: number,
        max: number,
        mean: number,
        stddev: 0.0,
        first: value.clone(),
        last: value,
        score: 0.5,
    };
    let window = Window {
        start: at("2026-01-01T00:00:00Z"),
        end: at("2026-01-01T00:01:00Z"),
        cause: Cause::Urgent,
        summaries: vec![
            summary("a", Value::Float(0.1), 0.1),
            summary("b", Value::Int(7), 7.0),
            summary("c", Value::Bool(true), 1.0),
        ],
    };
    let mut writer = open(folder.path());
    writer.append_windows(std::slice::from_ref(&window), &table).unwrap();
    writer.finalize().unwrap();
    let reader = Reader::new(RealDisk::shared(), folder.path());
    let read: Vec<Window> =
        reader.windows(ALWAYS, Sources::all(), &table).unwrap().flat_map(|w| w.unwrap()).collect();
    let expected: Vec<Window> = window
        .summaries
        .iter()
        .map(|summary| Window { summaries: vec![summary.clone()], ..window.clone() })
        .collect();
    assert_eq!(read, expected);
}

#[test]
fn observations_come_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let full = Observation {
        id: uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
        time: at("2026-01-01T00:00:00Z"),
        author: "greenhouse/watcher".into(),
        kind: ObservationKind::Anomaly,
        text: "the vent is stuck".into(),
        confidence: 0.9,
        sources: vec!["air:a".into(), "air:b".into()],
        evidence: Evidence {
            from: at("2025-12-31T23:00:00Z"),
            to: at("2026-01-01T00:00:00Z"),
            sources: vec!["air:a".into()],
        },
        model: Some("llama3.2:1b".into()),
        rung: Rung::LocalModel,
    };
    let bare = Observation {
        id: uuid::Uuid::from_u128(2),
        time: at("2026-01-02T00:00:00Z"),
        sources: Vec::new(),
        evidence: Evidence::default(),
        model: None,
        rung: Rung::Rule,
        ..full.clone()
    };
    let mut writer = open(folder.path());
    writer.append_observations(&[bare.clone(), full.clone()]).unwrap();
    writer.finalize().unwrap();
    let read = |times: Range<Timestamp>| -> Vec<Observation> {
        let reader = Reader::new(RealDisk::shared(), folder.path());
        reader.observations(times).unwrap().flat_map(|rows| rows.unwrap()).collect()
    };
    assert_eq!(read(ALWAYS), [full, bare.clone()]);
    assert_eq!(read(bare.time..Timestamp::MAX), [bare]);
}

/// A year of two large sources and many small ones, in one file.
fn year(disk: &SimulatedDisk, folder: &Path) {
    let table = &SeriesTable::default();
    let mut writer = Writer::open(&disk.shared(), folder.into(), Settings::default()).unwrap();
    let start = at("2025-01-01T00:00:00Z");
    for (id, every) in [("large/a", 10), ("large/b", 10), ("small/c", 720), ("small/d", 720)] {
        let series = table.intern(&Series::new(SourceKey::local("t", id))).unwrap();
        let minutes = (0..365 * 1_440_i64).step_by(every);
        let reading =
            |m| Reading::new(start + Duration::from_mins(m), series, (m as f64 * 0.001).sin());
        let readings: Vec<_> = minutes.map(reading).collect();
        writer.append_readings(&readings, table).unwrap();
        writer.finalize().unwrap();
    }
    while writer.maintain(at("2026-11-21T00:00:00Z")).unwrap() {}
}

fn count(disk: Arc<dyn Disk>, folder: &Path, times: Range<Timestamp>, sources: Sources) -> usize {
    let table = SeriesTable::default();
    let rows = Reader::new(disk, folder).readings(times, sources, &table).unwrap();
    rows.map(|rows| rows.unwrap().len()).sum()
}

#[test]
fn spans_and_patterns_choose_rows_and_spare_the_rest_of_the_file() {
    let (disk, folder) = (SimulatedDisk::new(0), Path::new("/history"));
    year(&disk, folder);
    assert_eq!(disk.list(&folder.join("readings")).unwrap().len(), 1);
    disk.count_reads(true);
    let glob = |text: &str| Sources::glob(Glob::new(text).unwrap());
    let calls = |times: Range<Timestamp>, sources: Sources, expected: usize| {
        let before = disk.calls();
        assert_eq!(count(disk.shared(), folder, times, sources), expected);
        disk.calls() - before
    };
    let day = at("2025-06-01T00:00:00Z")..at("2025-06-02T00:00:00Z");
    let all = calls(ALWAYS, Sources::all(), 2 * 52_560 + 2 * 730);
    let small = calls(ALWAYS, glob("t:small/*"), 2 * 730);
    let one_day = calls(day.clone(), Sources::all(), 2 * 144 + 2 * 2);
    let one_of_one = calls(day, glob("t:large/b"), 144);
    let none = calls(ALWAYS, glob("u:**"), 0);
    assert!(small < all && one_day < all, "{small} {one_day} {all}");
    assert!(one_of_one < one_day && none < one_of_one, "{none} {one_of_one} {one_day}");
    let outside = at("2024-01-01T00:00:00Z")..at("2025-01-01T00:00:00Z");
    assert_eq!(calls(outside, Sources::all(), 0), 1, "only the folder is listed");
}

#[test]
fn a_history_that_is_not_there_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    assert_eq!(count(RealDisk::shared(), &nowhere, ALWAYS, Sources::all()), 0);
}
