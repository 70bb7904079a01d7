//! From what a test gives to readings.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::spec::GivenSpec;
use crate::context::Context;
use crate::duration::Duration;
use crate::json::parse_reading;
use crate::reading::{Reading, Value};
use crate::registry::Pace;
use crate::series::{SeriesId, SourceKey};
use crate::time::Timestamp;

/// Readings that one test may give.
pub(super) const READINGS_MAX: u64 = 1_000_000;
/// How long after its start a test may end.
const SPAN_MAX: Duration = Duration::from_days(36_525);

/// What is wrong with something in a test, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: String,
}

pub(super) fn wrong(message: impl Into<String>, help: impl Into<String>) -> Wrong {
    Wrong { message: message.into(), help: help.into() }
}

/// What is given, by its form.
#[derive(Debug)]
pub(super) enum Supply<'a> {
    /// One reading.
    One { at: Duration, arrives: Duration, value: &'a Value },
    /// A run of one value.
    Same { from: Duration, every: Duration, count: u64, value: &'a Value },
    /// A run of values.
    Listed { from: Duration, every: Duration, values: &'a [Value] },
    /// A recording.
    File { path: &'a Path, from: Option<Duration> },
}

impl<'a> Supply<'a> {
    /// Finds out which form was written.
    pub(super) fn new(given: &'a GivenSpec) -> Result<Supply<'a>, Wrong> {
        let supply = match (&given.file, given.at) {
            (Some(path), _) => {
                alone(given, "file", &["file", "from"])?;
                Supply::File { path, from: given.from }
            }
            (None, Some(at)) => {
                alone(given, "at", ONE)?;
                let value = needed(given.value.as_ref(), "value", "value: 21.5")?;
                let arrives = given.arrives.unwrap_or(at);
                if arrives < at {
                    return Err(wrong(
                        format!("the reading of {at} arrives before it is measured, at {arrives}"),
                        "let it arrive at or after `at`",
                    ));
                }
                Supply::One { at, arrives, value }
            }
            (None, None) => Supply::run(given)?,
        };
        supply.check(given)?;
        Ok(supply)
    }

    fn run(given: &'a GivenSpec) -> Result<Supply<'a>, Wrong> {
        let example = "write `at: 1m`, or `from: 0s, every: 1m, count: 10`";
        if given.from.is_none() && given.every.is_none() && given.count.is_none() {
            return Err(wrong("nothing says when the source speaks", example));
        }
        let from = given.from.unwrap_or_default();
        let Some(every) = given.every.filter(|every| !every.is_zero()) else {
            return Err(wrong("a run of readings needs the time between them", "add `every: 1m`"));
        };
        match &given.values {
            Some(values) => {
                alone(given, "values", LISTED)?;
                Ok(Supply::Listed { from, every, values })
            }
            None => {
                alone(given, "every", RUN)?;
                let value = needed(given.value.as_ref(), "value", "value: 21.5")?;
                let count = needed(given.count, "count", "count: 10")?;
                Ok(Supply::Same { from, every, count, value })
            }
        }
    }

    /// How many readings there are, as far as that is known without opening a file.
    pub(super) fn count(&self) -> u64 {
        match self {
            Supply::One { .. } => 1,
            Supply::Same { count, .. } => *count,
            Supply::Listed { values, .. } => values.len() as u64,
            Supply::File { .. } => 0,
        }
    }

    fn check(&self, given: &GivenSpec) -> Result<(), Wrong> {
        let noise = given.noise.unwrap_or_default();
        if noise < 0.0 {
            return Err(wrong(format!("`noise` is {noise}, less than 0"), "write it without sign"));
        }
        let number = |value: &Value| matches!(value, Value::Float(_) | Value::Int(_));
        let values = match self {
            Supply::One { value, .. } | Supply::Same { value, .. } => std::slice::from_ref(*value),
            Supply::Listed { values, .. } => values,
            Supply::File { .. } => &[],
        };
        if let Some(value) = values.iter().find(|value| noise > 0.0 && !number(value)) {
            return Err(wrong(
                format!("`{value}` is not a number, so there can be no noise on it"),
                "remove `noise`",
            ));
        }
        if self.count() > READINGS_MAX {
            return Err(wrong(
                format!("{} readings are more than a test may give", self.count()),
                format!("give {READINGS_MAX} at most"),
            ));
        }
        let (from, every) = match self {
            Supply::One { arrives, .. } => (*arrives, Duration::ZERO),
            Supply::Same { from, every, .. } | Supply::Listed { from, every, .. } => {
                (*from, *every)
            }
            Supply::File { from, .. } => (from.unwrap_or_default(), Duration::ZERO),
        };
        let steps = i64::try_from(self.count()).unwrap_or(i64::MAX);
        let span = from.as_micros().saturating_add(every.as_micros().saturating_mul(steps));
        if span > SPAN_MAX.as_micros() {
            return Err(wrong("the readings go on for more than 100 years", "shorten `every`"));
        }
        Ok(())
    }
}

/// The keys of each form, beside those that go with all of them.
const ONE: &[&str] = &["at", "arrives", "value", "noise", DESCRIBED];
const RUN: &[&str] = &["from", "every", "count", "value", "noise", DESCRIBED];
const LISTED: &[&str] = &["from", "every", "values", "noise", DESCRIBED];
/// Stands for all keys that say what the series is.
const DESCRIBED: &str = "source";

/// That no key stands there which has no meaning in this form.
fn alone(given: &GivenSpec, form: &str, takes: &[&str]) -> Result<(), Wrong> {
    let keys = [
        ("at", given.at.is_some(), "at"),
        ("arrives", given.arrives.is_some(), "arrives"),
        ("from", given.from.is_some(), "from"),
        ("every", given.every.is_some(), "every"),
        ("count", given.count.is_some(), "count"),
        ("value", given.value.is_some(), "value"),
        ("values", given.values.is_some(), "values"),
        ("noise", given.noise.is_some(), "noise"),
        ("file", given.file.is_some(), "file"),
        ("source", given.source.is_some(), DESCRIBED),
        ("unit", given.unit.is_some(), DESCRIBED),
        ("labels", !given.labels.is_empty(), DESCRIBED),
        ("monotonic", given.monotonic, DESCRIBED),
        ("score", given.score.is_some(), DESCRIBED),
    ];
    match keys.iter().find(|(_, there, group)| *there && !takes.contains(group)) {
        None => Ok(()),
        Some((key, ..)) => Err(wrong(
            format!("`{key}` has no meaning beside `{form}`"),
            "remove one of the two; a test gives one reading (`at`), a run (`from`, `every`, `count`, or `values`), or a `file`",
        )),
    }
}

fn needed<T>(value: Option<T>, key: &str, example: &str) -> Result<T, Wrong> {
    value.ok_or_else(|| wrong(format!("the key `{key}` is missing"), format!("add `{example}`")))
}

/// The source that is meant: what is written, or the only one there is.
pub(super) fn source_of(given: &GivenSpec, type_part: &str, only_id: Option<&str>) -> SourceKey {
    match &given.source {
        Some(written) => SourceKey::parse(written),
        None => SourceKey::local(type_part, only_id.unwrap_or("value")),
    }
}

/// A reading on its way, with when it arrives.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrival {
    pub(super) at: Timestamp,
    pub(super) reading: Reading,
}

/// The readings of one entry of `given`.
pub(super) fn readings(
    given: &GivenSpec,
    start: Timestamp,
    noise: &mut Noise,
    context: &Context,
    profile: &crate::registry::Profile,
) -> Result<Vec<Arrival>, String> {
    let supply = Supply::new(given).map_err(|wrong| wrong.message)?;
    if let Supply::File { path, from } = supply {
        return recording(&context.input_path(path), from.map(|from| start + from), context);
    }
    let series = series(given, context, profile)?;
    let mut make = |after: Duration, arrives: Duration, value: &Value| {
        let value = noise.on(value, given.noise.unwrap_or_default());
        let mut reading = Reading::new(start + after, series, value);
        reading.score = given.score.unwrap_or(f64::NAN);
        Arrival { at: start + arrives, reading }
    };
    let step = |from: Duration, every: Duration, index: usize| {
        let steps = i64::try_from(index).unwrap_or(i64::MAX);
        Duration::from_micros(from.as_micros() + every.as_micros().saturating_mul(steps))
    };
    Ok(match supply {
        Supply::One { at, arrives, value } => vec![make(at, arrives, value)],
        Supply::Same { from, every, count, value } => (0..usize::try_from(count).unwrap_or(0))
            .map(|index| step(from, every, index))
            .map(|time| make(time, time, value))
            .collect(),
        Supply::Listed { from, every, values } => values
            .iter()
            .enumerate()
            .map(|(index, value)| (step(from, every, index), value))
            .map(|(time, value)| make(time, time, value))
            .collect(),
        Supply::File { .. } => Vec::new(),
    })
}

fn series(
    given: &GivenSpec,
    context: &Context,
    profile: &crate::registry::Profile,
) -> Result<SeriesId, String> {
    let source = source_of(given, &context.type_part, only_id(profile));
    let describe = |mut series: crate::series::Series| {
        if let Some(unit) = &given.unit {
            series = series.with_unit(unit);
        }
        for (name, value) in &given.labels {
            series = series.with_label(name, value);
        }
        if given.monotonic { series.counter() } else { series }
    };
    let made = if profile.pace == Some(Pace::Recorded) {
        context.recorded_series(source, describe)
    } else {
        context.source_series(source.id(), describe)
    };
    made.map_err(|error| error.to_string())
}

/// The id of a source that is known to have one only.
pub(super) fn only_id(profile: &crate::registry::Profile) -> Option<&str> {
    match profile.ids.as_deref() {
        Some([only]) if only.is_literal() => Some(only.as_str()),
        _ => None,
    }
}

/// Reads a recording in the JSON form, a reading a line.
fn recording(
    path: &Path,
    begin: Option<Timestamp>,
    context: &Context,
) -> Result<Vec<Arrival>, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
    let mut arrivals: Vec<Arrival> = Vec::new();
    let mut shift = None;
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| format!("cannot read `{shown}`: {error}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let number = index + 1;
        let named =
            parse_reading(line.as_bytes()).map_err(|error| format!("{shown}:{number}: {error}"))?;
        if arrivals.len() as u64 >= READINGS_MAX {
            return Err(format!(
                "`{shown}` has more than the {READINGS_MAX} readings that a test may give"
            ));
        }
        let series =
            context.host.series.intern(&named.series).map_err(|error| error.to_string())?;
        let first = *shift.get_or_insert(named.time);
        let time = match begin {
            None => named.time,
            Some(begin) if named.time >= first => begin + named.time.since(first),
            Some(begin) => begin - first.since(named.time),
        };
        let mut reading = Reading::new(time, series, named.value);
        (reading.score, reading.count) = (named.score, named.count);
        // A recording keeps its order: what was late then is late now.
        let at = arrivals.last().map_or(time, |last| last.at.max(time));
        arrivals.push(Arrival { at, reading });
    }
    Ok(arrivals)
}

/// Even noise out of a seed, the same on every machine: `SplitMix64` of G. L. Steele, D. Lea and C. H. Flood, "Fast Splittable
/// Pseudorandom Number Generators" (2014).
#[derive(Debug, Clone)]
pub(super) struct Noise(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Noise {
    /// For one entry of a test.
    pub(super) fn new(seed: u64, entry: usize) -> Noise {
        Noise(mix(seed.wrapping_add(mix((entry as u64).wrapping_add(GOLDEN)))))
    }

    fn on(&mut self, value: &Value, noise: f64) -> Value {
        match value.as_f64().filter(|_| noise > 0.0) {
            None => value.clone(),
            Some(number) => Value::from(number + noise * (2.0 * self.unit() - 1.0)),
        }
    }

    /// From 0 to 1, with 53 bits.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        (mix(self.0) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
