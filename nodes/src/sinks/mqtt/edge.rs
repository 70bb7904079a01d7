//! What the Python original sends from an edge node, and its hubs understand, on `smollama/<node>/readings`:
//! `{"node": "attic", "timestamp": 1795222923.5, "readings": [{"source": "system:cpu_temp", "value": 48.2, "unit": "°C",
//! "ts": "2026-11-21T02:02:03.25+01:00"}]}`. Its `timestamp` is in seconds since 1970, `ts` has the offset of the host's zone.

#[cfg(test)]
mod tests;

use std::io::Write;

use jiff::tz::TimeZone;
use smollama_engine::context::Host;
use smollama_engine::reading::Reading;

/// Appends the message that these readings make. Labels have no place in it.
///
/// # Errors
/// A text cannot be written as JSON.
pub(super) fn write(readings: &[Reading], host: &Host, out: &mut Vec<u8>) -> Result<(), String> {
    append(readings, host, out).map_err(|error| error.to_string())
}

fn append(readings: &[Reading], host: &Host, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let latest = readings.iter().map(|reading| reading.time).max();
    out.extend_from_slice(br#"{"node":"#);
    serde_json::to_writer(&mut *out, &host.name)?;
    out.extend_from_slice(br#","timestamp":"#);
    serde_json::to_writer(&mut *out, &latest.map_or(0.0, |time| time.as_micros() as f64 / 1e6))?;
    out.extend_from_slice(br#","readings":["#);
    for (index, reading) in readings.iter().enumerate() {
        let series = host.series.get(reading.series);
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"source":"#);
        serde_json::to_writer(&mut *out, series.source.name())?;
        out.extend_from_slice(br#","value":"#);
        reading.value.write_json(out);
        out.extend_from_slice(br#","unit":"#);
        serde_json::to_writer(&mut *out, &series.unit.as_deref())?;
        // To a vector all can be written.
        let _ = write!(out, r#","ts":"{}"}}"#, with_offset(reading.time.to_jiff(), &host.timezone));
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

/// As Python's `fromisoformat` reads it: `Z` it knows only since 3.11.
fn with_offset(time: jiff::Timestamp, zone: &TimeZone) -> impl std::fmt::Display {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()
}
