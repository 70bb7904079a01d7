//! How many bytes a reading costs, everything counted.

use std::path::Path;

use smollama_engine::disk::RealDisk;
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;

use super::super::{Reader, Settings, Sources, Writer};

const RECORDINGS: [&str; 3] = ["office_temperature", "road_occupancy", "server_cpu"];

fn recordings(table: &SeriesTable) -> Vec<Reading> {
    let mut readings = Vec::new();
    for name in RECORDINGS {
        let series = table.intern(&Series::new(SourceKey::local("csv", name))).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings");
        let text = std::fs::read_to_string(folder.join(name).with_extension("csv")).unwrap();
        readings.extend(text.lines().skip(1).map(|line| {
            let (time, value) = line.split_once(',').unwrap();
            let time: Timestamp = format!("{}Z", time.replace(' ', "T")).parse().unwrap();
            Reading::new(time, series, value.parse::<f64>().unwrap())
        }));
    }
    readings
}

fn key(reading: &Reading) -> (usize, i64, u64) {
    let bits = reading.value.as_f64().unwrap().to_bits();
    (reading.series.index(), reading.time.as_micros(), bits)
}

#[test]
fn the_three_recordings_cost_at_most_5_5_bytes_a_reading_and_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::shared();
    let table = SeriesTable::default();
    let mut readings = recordings(&table);
    assert_eq!(readings.len(), 13_679);
    let mut writer = Writer::open(&disk, folder.path().into(), Settings::default()).unwrap();
    for some in readings.chunks(1_000) {
        writer.append_readings(some, &table).unwrap();
        writer.finalize().unwrap();
    }
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    while writer.maintain(now).unwrap() {}

    let per_reading = writer.bytes() as f64 / readings.len() as f64;
    println!("three recordings: {} bytes, {per_reading:.3} per reading", writer.bytes());
    assert!(per_reading <= 5.5, "{per_reading}");
    let entries = disk.list(&folder.path().join("readings")).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.len).sum::<u64>(), writer.bytes());
    for entry in &entries {
        println!("  {} {}", entry.len, entry.name);
    }
    let reader = Reader::new(disk, folder.path());
    let all = reader.readings(Timestamp::MIN..Timestamp::MAX, Sources::all(), &table).unwrap();
    let mut read: Vec<Reading> = all.flat_map(|batch| batch.unwrap()).collect();
    read.sort_by_key(key);
    readings.sort_by_key(key);
    assert_eq!(read.len(), readings.len());
    assert!(read.iter().zip(&readings).all(|(a, b)| key(a) == key(b)));
}
