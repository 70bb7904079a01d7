//! figures

use super::columns::Columns;
use super::encode::{Effort, TableWriter};
use super::readings::{self, READINGS, SeriesWriter};
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;

fn recording(name: &str) -> Vec<(i64, f64)> {
    let path = format!("{}/../data/recordings/{name}.csv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let (time, value) = line.split_once(',').unwrap();
        let time: Timestamp = format!("{}Z", time.replace(' ', "T")).parse().unwrap();
        (time.as_micros(), value.parse().unwrap())
    });
    rows.collect()
}

#[test]
fn spike() {
    let table = SeriesTable::new(100);
    let mut total = 0;
    for years in [2013..2014, 2014..2015, 2015..2016] {
        let mut rows = Columns::new(&READINGS);
        let mut writer = SeriesWriter::default();
        for name in ["office_temperature", "road_occupancy", "server_cpu"] {
            let id = table.intern(&Series::new(SourceKey::local("csv", name))).unwrap();
            for (time, value) in recording(name) {
                let t = Timestamp::from_micros(time);
                let y: i32 = t.to_string()[..4].parse().unwrap();
                if years.contains(&y) {
                    readings::push(&mut rows, &Reading::new(t, id, value), &mut writer, &table);
                }
            }
        }
        let all = (0..rows.rows()).collect();
        let rows = rows.sorted(all);
        let mut out = TableWriter::new(Vec::new(), &READINGS, rows.present(), String::new(), Effort::Best).unwrap();
        out.write_all(&rows).unwrap();
        let bytes = out.finish().unwrap();
        println!("{years:?} {} rows {} bytes", rows.rows(), bytes.len());
        std::fs::write(format!("/tmp/h-{}.parquet", years.start), &bytes).unwrap();
        total += bytes.len();
    }
    println!("total {total} per reading {}", total as f64 / 13679.0);
}
