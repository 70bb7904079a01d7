//! What a day of a machine's own sensors costs.

use std::path::Path;

use smollama_engine::disk::{Disk, RealDisk, SimulatedDisk};
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;

use super::super::{Settings, Writer};

/// What a sensor of a machine does: where it lies, how far it strays, how finely it is measured.
const SENSORS: [(&str, &str, f64, f64, f64); 14] = [
    ("cpu/total", "%", 7.0, 3.0, 0.0),
    ("cpu/0", "%", 7.0, 5.0, 0.0),
    ("cpu/1", "%", 7.0, 5.0, 0.0),
    ("cpu/2", "%", 7.0, 5.0, 0.0),
    ("cpu/3", "%", 7.0, 5.0, 0.0),
    ("temperature/cpu", "°C", 48.0, 0.6, 0.5),
    ("temperature/disk", "°C", 36.0, 0.1, 1.0),
    ("frequency/cpu", "MHz", 1_500.0, 200.0, 100.0),
    ("load/1", "", 0.4, 0.05, 0.01),
    ("load/5", "", 0.4, 0.02, 0.01),
    ("load/15", "", 0.4, 0.01, 0.01),
    ("memory/used", "%", 41.0, 0.05, 0.0),
    ("swap/used", "%", 2.0, 0.0, 0.0),
    ("disk/used", "%", 63.0, 0.0001, 0.0),
];

/// Counters, and how much they grow in ten seconds.
const COUNTERS: [(&str, &str, f64); 6] = [
    ("uptime", "s", 10.0),
    ("network/received", "B", 40_000.0),
    ("network/sent", "B", 9_000.0),
    ("disk/read", "B", 2_000.0),
    ("disk/written", "B", 60_000.0),
    ("processes", "", 0.02),
];

/// A seeded source of numbers that are about normal.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        let uniform = |state: &mut u64| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            (*state >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..12).map(|_| uniform(&mut self.0)).sum::<f64>() - 6.0
    }
}

fn day(table: &SeriesTable, jitter_micros: f64) -> Vec<Reading> {
    let start: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let intern = |id: &str, unit: &str| {
        let series = Series::new(SourceKey::local("system", id)).with_unit(unit);
        table.intern(&series).unwrap()
    };
    let sensors = SENSORS.map(|(id, unit, ..)| intern(id, unit));
    let counters = COUNTERS.map(|(id, unit, _)| {
        let series = Series::new(SourceKey::local("system", id)).with_unit(unit).counter();
        table.intern(&series).unwrap()
    });
    let mut states = SENSORS.map(|(_, _, mean, ..)| mean);
    let mut counts = [1_000_000.0; COUNTERS.len()];
    let mut readings = Vec::new();
    for tick in 0..8_640 {
        let jitter = (jitter_micros * noise.next().abs()) as i64;
        let time = start + Duration::from_secs(10 * tick) + Duration::from_micros(jitter);
        for (at, (_, _, mean, spread, step)) in SENSORS.into_iter().enumerate() {
            let state = &mut states[at];
            *state += 0.05 * (mean - *state) + spread * 0.3 * noise.next();
            let value = if step > 0.0 { (*state / step).round() * step } else { *state };
            readings.push(Reading::new(time, sensors[at], Value::Float(value.max(0.0))));
        }
        for (at, (_, _, growth)) in COUNTERS.into_iter().enumerate() {
            let stray = if growth == 10.0 { 1.0 } else { (1.0 + 0.5 * noise.next()).max(0.0) };
            counts[at] += growth * stray;
            readings.push(Reading::new(time, counters[at], Value::Int(counts[at] as i64)));
        }
    }
    readings
}

#[test]
fn a_day_of_a_machines_sensors_is_small() {
    for (name, jitter, most) in [("on the second", 0.0, 3.5), ("with jitter", 800.0, 5.0)] {
        let folder = tempfile::tempdir().unwrap();
        let table = SeriesTable::default();
        let readings = day(&table, jitter);
        let disk = RealDisk::shared();
        let mut writer = Writer::open(&disk, folder.path().into(), Settings::default()).unwrap();
        for five_minutes in readings.chunks(20 * 30) {
            writer.append_readings(five_minutes, &table).unwrap();
            writer.finalize().unwrap();
        }
        let small = writer.bytes() as f64 / readings.len() as f64;
        while writer.maintain("2026-11-21T01:00:00Z".parse().unwrap()).unwrap() {}
        let merged = writer.bytes() as f64 / readings.len() as f64;
        println!(
            "a day of 20 sensors every 10 s, {name}: {} readings, {} bytes, {merged:.3} per reading \
             ({small:.3} before the merge)",
            readings.len(),
            writer.bytes()
        );
        assert!(merged <= most, "{merged}");
    }
}

/// Hours as the host lives them: a checkpoint every so many seconds, and maintenance every minute. Gives how often a byte that stays
/// was written, and the most files there were.
fn wear(checkpoint: Duration, hours: i64) -> (f64, usize) {
    let folder = Path::new("/history");
    let table = SeriesTable::default();
    let disk = SimulatedDisk::new(1);
    let shared = disk.shared();
    let mut writer = Writer::open(&shared, folder.into(), Settings::default()).unwrap();
    let readings = day(&table, 800.0);
    let start = readings[0].time;
    let end = start + Duration::from_hours(hours);
    let (mut finalized, mut maintained, mut most) = (start, start, 0);
    for tick in readings.chunks(20).take_while(|tick| tick[0].time < end) {
        let now = tick[0].time.floor_to(Duration::from_secs(10));
        writer.append_readings(tick, &table).unwrap();
        if now.since(finalized) >= checkpoint {
            writer.finalize().unwrap();
            finalized = now;
            most = most.max(disk.list(&folder.join("readings")).unwrap().len());
        }
        if now.since(maintained) >= Duration::from_mins(1) {
            while writer.maintain(now).unwrap() {}
            maintained = now;
        }
    }
    writer.finalize().unwrap();
    while writer.maintain(start + Duration::from_days(2)).unwrap() {}
    (disk.written() as f64 / writer.bytes() as f64, most)
}

#[test]
fn checkpoints_neither_pile_up_files_nor_wear_out_the_disk() {
    let (times, most) = wear(Duration::from_mins(5), 24);
    println!(
        "a checkpoint every 5 min, a day: each byte written {times:.2} times, at most {most} files"
    );
    assert!(times <= 3.5 && most <= 64, "{times}, {most}");
    // A host does so only where a megabyte comes meanwhile. Here it is 20 readings, so that what every file has counts most.
    let (times, most) = wear(Duration::from_secs(10), 2);
    println!(
        "a checkpoint every 10 s, two hours: each byte written {times:.2} times, at most {most} files"
    );
    assert!(most <= 48, "{most}");
}
