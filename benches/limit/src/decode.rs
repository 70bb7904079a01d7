//! The two ways to read a line: a typed serde_json loop, and a scanner that knows the layout by heart.

use serde::Deserialize;

/// One line of the input, borrowed from its chunk.
pub struct Reading<'a> {
    pub time: u64,
    pub source: &'a [u8],
    pub metric: &'a [u8],
    pub value: f64,
}

#[derive(Deserialize)]
struct Line<'a> {
    ts: u64,
    #[serde(borrow)]
    source: &'a str,
    #[serde(borrow)]
    metric: &'a str,
    value: f64,
}

/// What a program does that names its fields in a struct.
#[inline]
pub fn serde(line: &[u8]) -> Option<Reading<'_>> {
    let Line { ts, source, metric, value } = serde_json::from_slice(line).ok()?;
    Some(Reading { time: ts, source: source.as_bytes(), metric: metric.as_bytes(), value })
}

/// Exactly `{"ts":D,"source":"S","metric":"M","value":F}`, and nothing is checked: the floor, not a parser.
#[inline]
pub fn hand(line: &[u8]) -> Option<Reading<'_>> {
    let rest = line.get(br#"{"ts":"#.len()..)?;
    let mut time = 0;
    let mut digits = 0;
    while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
        time = time * 10 + u64::from(digit - b'0');
        digits += 1;
    }
    let rest = rest.get(digits + br#","source":""#.len()..)?;
    let (source, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
    let rest = rest.get(br#"","metric":""#.len()..)?;
    let (metric, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
    let number = rest.get(br#"","value":"#.len()..rest.len().checked_sub(1)?)?;
    Some(Reading { time, source, metric, value: fast_float2::parse(number).ok()? })
}
