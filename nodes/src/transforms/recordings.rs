//! The real recordings of `data/`, for tests.

use smollama_engine::time::Timestamp;

/// The names of the recordings, and their text.
pub(super) const RECORDINGS: [(&str, &str); 3] = [
    ("office_temperature.csv", include_str!("../../../data/recordings/office_temperature.csv")),
    ("road_occupancy.csv", include_str!("../../../data/recordings/road_occupancy.csv")),
    ("server_cpu.csv", include_str!("../../../data/recordings/server_cpu.csv")),
];

/// A time as the recordings write it.
pub(super) fn time(text: &str) -> Timestamp {
    format!("{}Z", text.replacen(' ', "T", 1)).parse().unwrap()
}

/// The rows of a recording: time and the numbers after it.
pub(super) fn rows(text: &str) -> impl Iterator<Item = (Timestamp, Vec<f64>)> {
    text.lines().skip(1).map(|line| {
        let mut fields = line.split(',');
        let at = time(fields.next().unwrap());
        (at, fields.map(|field| field.parse().unwrap()).collect())
    })
}
