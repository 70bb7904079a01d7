//! What is done with a reading: A writes it, B writes it if it is news, C writes statistics of each minute.

use crate::decode::Reading;
use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;
use std::io::Write;

/// A value this close to the last that passed is no news.
const DEADBAND: f64 = 0.05;
const WINDOW_MS: u64 = 60_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Decode and write.
    All,
    /// Decode, deadband per series, write.
    Dedup,
    /// Decode, statistics of each minute per series, write.
    Windows,
}

/// A job, the state of its series, and what it wrote since it was last emptied.
pub struct Work {
    job: Job,
    table: HashTable<usize>,
    series: Vec<Series>,
    pub out: Vec<u8>,
}

#[derive(Default)]
struct Series {
    hash: u64,
    source: Box<[u8]>,
    metric: Box<[u8]>,
    last: Option<f64>,
    window: Window,
}

/// Count, mean and sum of squared distances as Welford (1962) updates them.
#[derive(Default)]
struct Window {
    number: u64,
    count: u64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Work {
    pub fn new(job: Job) -> Self {
        let out = Vec::with_capacity(1 << 19);
        Self { job, table: HashTable::with_capacity(2_048), series: Vec::new(), out }
    }

    #[inline]
    pub fn take(&mut self, reading: &Reading<'_>) {
        match self.job {
            Job::All => write_reading(&mut self.out, reading),
            Job::Dedup => {
                let series = find(&mut self.table, &mut self.series, reading);
                if series.last.is_none_or(|last| (reading.value - last).abs() > DEADBAND) {
                    series.last = Some(reading.value);
                    write_reading(&mut self.out, reading);
                }
            }
            Job::Windows => {
                let number = reading.time / WINDOW_MS;
                let series = find(&mut self.table, &mut self.series, reading);
                if series.window.count > 0 && series.window.number != number {
                    write_window(&mut self.out, series);
                    series.window.count = 0;
                }
                series.window.take(number, reading.value);
            }
        }
    }

    /// Writes the windows that are still open.
    pub fn end(&mut self) {
        if self.job == Job::Windows {
            self.series.iter().for_each(|series| write_window(&mut self.out, series));
        }
    }
}

impl Window {
    #[inline]
    fn take(&mut self, number: u64, value: f64) {
        if self.count == 0 {
            *self = Self { number, min: value, max: value, ..Self::default() };
        }
        self.count += 1;
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn stddev(&self) -> f64 {
        if self.count > 1 { (self.squares / (self.count - 1) as f64).sqrt() } else { 0.0 }
    }
}

#[inline]
fn find<'s>(
    table: &mut HashTable<usize>,
    all: &'s mut Vec<Series>,
    reading: &Reading<'_>,
) -> &'s mut Series {
    let mut hasher = FxHasher::default();
    hasher.write(reading.source);
    hasher.write(reading.metric);
    let hash = hasher.finish();
    let same = |&i: &usize| *all[i].source == *reading.source && *all[i].metric == *reading.metric;
    let index = if let Some(&index) = table.find(hash, same) {
        index
    } else {
        let (source, metric) = (reading.source.into(), reading.metric.into());
        all.push(Series { hash, source, metric, ..Series::default() });
        table.insert_unique(hash, all.len() - 1, |&i| all[i].hash);
        all.len() - 1
    };
    &mut all[index]
}

#[inline]
fn write_reading(out: &mut Vec<u8>, reading: &Reading<'_>) {
    out.extend_from_slice(br#"{"ts":"#);
    out.extend_from_slice(itoa::Buffer::new().format(reading.time).as_bytes());
    out.extend_from_slice(br#","source":""#);
    out.extend_from_slice(reading.source);
    out.extend_from_slice(br#"","metric":""#);
    out.extend_from_slice(reading.metric);
    out.extend_from_slice(br#"","value":"#);
    out.extend_from_slice(zmij::Buffer::new().format(reading.value).as_bytes());
    out.extend_from_slice(b"}\n");
}

fn write_window(out: &mut Vec<u8>, series: &Series) {
    let Series { source, metric, window, .. } = series;
    out.extend_from_slice(br#"{"window_start":"#);
    out.extend_from_slice(itoa::Buffer::new().format(window.number * WINDOW_MS).as_bytes());
    out.extend_from_slice(br#","source":""#);
    out.extend_from_slice(source);
    out.extend_from_slice(br#"","metric":""#);
    out.extend_from_slice(metric);
    // Writing to a vector cannot fail.
    let _ = write!(out, r#"","n":{}"#, window.count);
    let statistics = [
        ("mean", window.mean),
        ("min", window.min),
        ("max", window.max),
        ("stddev", window.stddev()),
    ];
    for (name, value) in statistics {
        let _ = write!(out, r#","{name}":"#);
        out.extend_from_slice(zmij::Buffer::new().format(value).as_bytes());
    }
    out.extend_from_slice(b"}\n");
}
