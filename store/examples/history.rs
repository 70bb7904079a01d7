//! The history from outside, for checks with other readers of Parquet (`scripts/check-parquet.py`).
//!
//! `history write DIR` keeps the recordings, every kind of value, a window and an observation in DIR, and merges. `history cells FILE COLUMN...`
//! prints the cells of a Parquet file from elsewhere, a line each.

use std::path::Path;

use smollama_engine::disk::RealDisk;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Accumulator, Cause, Window};
use smollama_store::history::foreign::ParquetFile;
use smollama_store::history::{Settings, Writer};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", folder] => write(Path::new(folder)),
        ["cells", file, ref columns @ ..] => cells(Path::new(file), columns),
        _ => Err("usage: history write DIR | history cells FILE COLUMN...".into()),
    }
}

fn write(folder: &Path) -> Result<(), Failure> {
    let table = SeriesTable::default();
    let mut writer = Writer::open(&RealDisk::shared(), folder.to_owned(), Settings::default())?;
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings");
    for name in ["office_temperature", "road_occupancy", "server_cpu"] {
        let series = table.intern(&Series::new(SourceKey::local("csv", name)))?;
        let text = std::fs::read_to_string(recordings.join(name).with_extension("csv"))?;
        for line in text.lines().skip(1) {
            let (time, value) = line.split_once(',').ok_or("a row without a comma")?;
            let time: Timestamp = format!("{}Z", time.replace(' ', "T")).parse()?;
            let reading = Reading::new(time, series, value.parse::<f64>()?);
            writer.append_readings(&[reading], &table)?;
        }
        writer.finalize()?;
    }
    let kinds = Series::new(SourceKey::local("kinds", "all"))
        .with_unit("°C")
        .with_label("room", "kitchen")
        .counter();
    let series = table.intern(&kinds)?;
    let values = [
        Value::Float(-0.0),
        Value::Int(i64::MAX),
        Value::Bool(true),
        Value::text("ü"),
        Value::Json(std::sync::Arc::new(serde_json::json!({"a": [1, null]}))),
    ];
    let start: Timestamp = "2026-11-21T00:00:00.000001Z".parse()?;
    let mut readings: Vec<Reading> =
        values.into_iter().map(|value| Reading::new(start, series, value)).collect();
    if let Some(first) = readings.first_mut() {
        (first.score, first.count) = (1.5, 3);
    }
    let whole = table.intern(&Series::new(SourceKey::local("kinds", "whole")))?;
    readings.extend([2, 1 << 53].map(|value| Reading::new(start, whole, value)));
    writer.append_readings(&readings, &table)?;
    if let Some(first) = readings.first() {
        let summaries = vec![Accumulator::new(first).summary(series)];
        let window = Window { start, end: start, cause: Cause::Time, summaries };
        writer.append_windows(&[window], &table)?;
    }
    writer.append_observations(&[observation(start)])?;
    writer.finalize()?;
    while writer.maintain("2030-01-01T00:00:00Z".parse()?)? {}
    println!("{}", writer.bytes());
    Ok(())
}

fn observation(time: Timestamp) -> Observation {
    Observation {
        id: uuid::Uuid::nil(),
        time,
        author: "p/watcher".into(),
        kind: ObservationKind::Anomaly,
        text: "it is cold".into(),
        confidence: 0.5,
        sources: vec!["kinds:all".into()],
        evidence: Evidence::default(),
        model: None,
        rung: Rung::Rule,
    }
}

fn cells(file: &Path, columns: &[&str]) -> Result<(), Failure> {
    for batch in ParquetFile::open(&RealDisk, file)?.read(columns, 0)? {
        for (column, cells) in columns.iter().zip(batch?) {
            for cell in cells {
                println!("{column} {cell:?}");
            }
        }
    }
    Ok(())
}
