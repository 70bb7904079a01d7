//! `gen LINES SERIES SEED OUT`: sensor readings as JSON lines, the benchmark's input.
//!
//! Every series has one reading a second, from 2026-01-01 on. About 70 % of the readings repeat the one before; a
//! changed value moves by 0.06 to 0.60, so "equal to the last" and "within 0.05 of the last that passed" keep exactly
//! the same readings, and programs that only know equality stay comparable.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};

/// 2026-01-01T00:00:00Z in milliseconds.
const START: u64 = 1_767_225_600_000;
const METRICS: [&str; 4] = ["temp_c", "humidity_pct", "pressure_hpa", "co2_ppm"];
/// Where a metric's series begin, in hundredths.
const BASES: [i64; 4] = [2_150, 4_500, 101_300, 61_000];

/// Marsaglia's xorshift64 (2003), shifts 13, 7, 17.
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next value of a walk in hundredths; a step down is not taken below 2.00.
    fn step(&mut self, from: i64) -> i64 {
        let size = 6 + (self.next() % 55) as i64;
        let up = self.next() & 1 == 0 || from < 200;
        if up { from + size } else { from - size }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [lines, series, seed, out] = arguments.as_slice() else {
        return Err("usage: gen LINES SERIES SEED OUT".into());
    };
    let (lines, series): (usize, usize) = (lines.parse()?, series.parse()?);
    let mut random = XorShift(seed.parse()?);
    let mut values: Vec<i64> = (0..series).map(|i| BASES[i % 4] + i as i64 % 97).collect();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(out)?);
    let mut news = series.min(lines);
    for line in 0..lines {
        let i = line % series;
        let time = START + (line / series) as u64 * 1_000 + (i % 1_000) as u64;
        if line >= series && random.next() % 100 >= 70 {
            values[i] = random.step(values[i]);
            news += 1;
        }
        let (source, metric, value) = (i / 4, METRICS[i % 4], values[i]);
        writeln!(
            out,
            r#"{{"ts":{time},"source":"node-{source}","metric":"{metric}","value":{}.{:02}}}"#,
            value / 100,
            value % 100
        )?;
    }
    out.flush()?;
    eprintln!("lines {lines} kept_after_dedup {news}");
    Ok(())
}
