//! Items as lines for people.

use std::io::Write;

use jiff::tz::TimeZone;
use smollama_engine::batch::Items;
use smollama_engine::observation::Observation;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesTable};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Summary, Window};

/// Writes lines, and remembers the second it last wrote: most lines of a batch share it.
pub(super) struct Lines {
    zone: TimeZone,
    colour: bool,
    second: Option<(i64, String)>,
}

const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

impl Lines {
    pub(super) fn new(zone: TimeZone, colour: bool) -> Lines {
        Lines { zone, colour, second: None }
    }

    /// Appends one item, with line breaks.
    pub(super) fn write(
        &mut self,
        items: &Items,
        index: usize,
        table: &SeriesTable,
        out: &mut Vec<u8>,
    ) {
        match items {
            Items::Readings(items) => {
                if let Some(reading) = items.get(index) {
                    self.reading(reading, &table.get(reading.series), out);
                }
            }
            Items::Windows(items) => {
                if let Some(window) = items.get(index) {
                    self.window(window, table, out);
                }
            }
            Items::Observations(items) => {
                if let Some(observation) = items.get(index) {
                    self.observation(observation, out);
                }
            }
        }
    }

    fn reading(&mut self, reading: &Reading, series: &Series, out: &mut Vec<u8>) {
        self.time(reading.time, out);
        text(series.source.name(), out);
        out.extend_from_slice(b"  ");
        value(&reading.value, series, out);
        self.score(reading.score, out);
        if reading.count > 1 {
            put(out, format_args!("  ×{}", reading.count));
        }
        out.push(b'\n');
    }

    fn window(&mut self, window: &Window, table: &SeriesTable, out: &mut Vec<u8>) {
        self.time(window.end, out);
        let readings: u64 = window.summaries.iter().map(|summary| summary.count).sum();
        put(
            out,
            format_args!(
                "window {}  {}  {} series, {readings} readings\n",
                window.cause,
                window.end.since(window.start).rounded(),
                window.summaries.len()
            ),
        );
        for summary in &window.summaries {
            self.summary(summary, &table.get(summary.series), out);
        }
    }

    fn summary(&mut self, summary: &Summary, series: &Series, out: &mut Vec<u8>) {
        out.extend_from_slice(b"  ");
        text(series.source.name(), out);
        out.extend_from_slice(b"  ");
        value(&summary.last, series, out);
        if summary.mean.is_finite() && summary.count > 1 {
            put(
                out,
                format_args!(
                    "  mean {}, {} to {}",
                    short(summary.mean),
                    short(summary.min),
                    short(summary.max)
                ),
            );
        }
        self.score(summary.score, out);
        put(out, format_args!("  ×{}\n", summary.count));
    }

    fn observation(&mut self, observation: &Observation, out: &mut Vec<u8>) {
        self.time(observation.time, out);
        self.emphasis(BOLD, out);
        put(out, format_args!("{}", observation.kind));
        self.emphasis(PLAIN, out);
        out.extend_from_slice(b"  ");
        text(&observation.text, out);
        out.extend_from_slice(b"  ");
        self.emphasis(DIM, out);
        out.push(b'(');
        text(&observation.author, out);
        out.push(b')');
        self.emphasis(PLAIN, out);
        out.push(b'\n');
    }

    /// The time in the host's zone, to the millisecond.
    fn time(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        let second = time.as_micros().div_euclid(1_000_000);
        let written = match &mut self.second {
            Some((known, written)) if *known == second => written,
            remembered => {
                let zoned = time.to_jiff().to_zoned(self.zone.clone());
                let written = zoned.strftime("%Y-%m-%d %H:%M:%S").to_string();
                &mut remembered.insert((second, written)).1
            }
        };
        if self.colour {
            out.extend_from_slice(DIM.as_bytes());
        }
        put(out, format_args!("{written}.{:03}", time.as_micros().rem_euclid(1_000_000) / 1000));
        self.emphasis(PLAIN, out);
        out.extend_from_slice(b"  ");
    }

    /// The mark of what is news.
    fn score(&self, score: f64, out: &mut Vec<u8>) {
        if score >= 1.0 {
            out.extend_from_slice(b"  ");
            self.emphasis(BOLD, out);
            put(out, format_args!("news {score:.1}"));
            self.emphasis(PLAIN, out);
        }
    }

    fn emphasis(&self, code: &str, out: &mut Vec<u8>) {
        if self.colour {
            out.extend_from_slice(code.as_bytes());
        }
    }
}

fn put(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    drop(out.write_fmt(arguments));
}

fn value(value: &Value, series: &Series, out: &mut Vec<u8>) {
    match value {
        Value::Text(content) => text(content, out),
        other => put(out, format_args!("{other}")),
    }
    if let Some(unit) = &series.unit {
        out.push(b' ');
        text(unit, out);
    }
}

/// Four significant decimals at most: summaries are for the eye.
fn short(value: f64) -> f64 {
    if value.abs() >= 1e6 { value } else { (value * 1e4).round() / 1e4 }
}

/// A text with its control characters escaped, so that it stays on its line and cannot steer the terminal.
fn text(content: &str, out: &mut Vec<u8>) {
    if !content.chars().any(char::is_control) {
        out.extend_from_slice(content.as_bytes());
        return;
    }
    for c in content.chars() {
        if c.is_control() {
            put(out, format_args!("{}", c.escape_default()));
        } else {
            put(out, format_args!("{c}"));
        }
    }
}
