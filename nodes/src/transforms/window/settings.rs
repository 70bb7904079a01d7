//! The settings of `window` that take more than one form, and which of them fit together.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

use super::spans::can_be_local;
use super::{OPEN_PER_SERIES_MAX, WindowConfig};

/// How far apart windows begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So long.
    Time(Duration),
    /// So many readings.
    Count(u32),
}

/// Where windows begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// At multiples of the step since 1970 in UTC.
    Utc,
    /// At midnight in the host's time zone, and at multiples of the step after it.
    Local,
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepVisitor)
    }
}

struct StepVisitor;

impl Visitor<'_> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time such as 10s, or a number of readings")
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Step, E> {
        let wrong = || E::custom(format!("`{value}` is more readings than a window can hold"));
        u32::try_from(value).map(Step::Count).map_err(|_| wrong())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Step, E> {
        let wrong = || E::custom(format!("`{value}` is not a number of readings"));
        u64::try_from(value).map_err(|_| wrong()).and_then(|value| self.visit_u64(value))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Step, E> {
        match text.trim().parse::<u32>() {
            Ok(count) => Ok(Step::Count(count)),
            Err(_) => text.parse().map(Step::Time).map_err(E::custom),
        }
    }
}

impl JsonSchema for Step {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Duration>();
        json_schema!({
            "anyOf": [span, { "type": "integer", "minimum": 1 }],
            "examples": ["10s", 10]
        })
    }
}

pub(super) fn nothing_given() -> Problem {
    Problem::at("", "it is not said what a window is")
        .help("give `length: 1m`, `gap: 5m` or `count: 100`")
}

/// What is wrong with settings whose fields are each fine.
pub(super) fn problems(config: &WindowConfig) -> Vec<Problem> {
    let given = [
        ("length", config.length.is_some()),
        ("gap", config.gap.is_some()),
        ("count", config.count.is_some()),
    ];
    let mut given = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
    let Some(shape) = given.next() else { return vec![nothing_given()] };
    if let Some(second) = given.next() {
        let message = format!("`{shape}` and `{second}` both say what a window is");
        return vec![Problem::at(second, message).help("keep one of them, or use two nodes")];
    }
    let mut problems = strangers(config, shape);
    match shape {
        "length" => of_length(config, &mut problems),
        "gap" => of_gap(config, &mut problems),
        _ => of_count(config, &mut problems),
    }
    problems
}

/// Settings that belong to another shape of window.
fn strangers(config: &WindowConfig, shape: &str) -> Vec<Problem> {
    let settings: [(&str, bool, &[&str]); 6] = [
        ("step", config.step.is_some(), &["length", "count"]),
        ("align", config.align.is_some(), &["length"]),
        ("group", config.group.is_some(), &["length"]),
        ("max_length", config.max_length.is_some(), &["gap"]),
        ("lateness", !config.lateness.is_zero(), &["length", "gap"]),
        ("idle", config.idle.is_some(), &["length", "gap"]),
    ];
    let strange = settings.iter().filter(|(_, given, of)| *given && !of.contains(&shape));
    strange
        .map(|(name, _, of)| {
            let of: Vec<String> = of.iter().map(|one| format!("`{one}`")).collect();
            let of = of.join(" and ");
            Problem::at(*name, format!("`{name}` goes with {of}, not with `{shape}`"))
                .help(format!("remove `{name}`"))
        })
        .collect()
}

fn of_length(config: &WindowConfig, problems: &mut Vec<Problem>) {
    let length = config.length.unwrap_or_default();
    if length.is_zero() {
        problems.push(Problem::at("length", "a window of no length holds nothing"));
        return;
    }
    let step = match config.step {
        None => length,
        Some(Step::Time(step)) if step.is_zero() => {
            problems.push(Problem::at("step", "windows no time apart never end"));
            return;
        }
        Some(Step::Time(step)) => step,
        Some(Step::Count(count)) => {
            problems.push(
                Problem::at("step", format!("{count} is a number of readings, `length` a time"))
                    .help("write it like 10s"),
            );
            return;
        }
    };
    if step > length {
        problems.push(
            Problem::at("step", format!("{step} is longer than `length`, {length}: what lies between two windows would be in neither"))
                .help("make it shorter, or leave it out for windows that follow one another"),
        );
    }
    if config.align == Some(Align::Local) && !can_be_local(step) {
        problems.push(
            Problem::at("align", format!("{step} neither divides a day nor is whole days"))
                .help("use a step such as 15m, 1h, 6h, 1d or 7d, or `align: utc`"),
        );
    }
    let span = length.as_micros().saturating_add(config.lateness.as_micros());
    too_many_open("lateness", span / step.as_micros(), problems);
}

fn of_gap(config: &WindowConfig, problems: &mut Vec<Problem>) {
    let gap = config.gap.unwrap_or_default();
    if gap.is_zero() {
        problems.push(Problem::at("gap", "every reading comes after a pause of no length"));
        return;
    }
    if config.max_length.is_some_and(Duration::is_zero) {
        problems.push(Problem::at("max_length", "a window of no length holds nothing"));
    }
    let shortest = config.max_length.map_or(gap, |longest| longest.min(gap));
    too_many_open("lateness", config.lateness.as_micros() / shortest.as_micros().max(1), problems);
}

fn of_count(config: &WindowConfig, problems: &mut Vec<Problem>) {
    let count = config.count.unwrap_or_default();
    if count == 0 {
        problems.push(Problem::at("count", "a window of no readings never comes"));
    }
    match config.step {
        None => {}
        Some(Step::Time(step)) => problems.push(
            Problem::at("step", format!("{step} is a time, `count` a number of readings"))
                .help("write it like 10"),
        ),
        Some(Step::Count(0)) => {
            problems.push(Problem::at("step", "windows no reading apart never end"));
        }
        Some(Step::Count(step)) if step > count => problems.push(
            Problem::at("step", format!("{step} is more than `count`, {count}: what lies between two windows would be in neither"))
                .help("make it smaller, or leave it out for windows that follow one another"),
        ),
        Some(Step::Count(step)) => too_many_open("step", i64::from(count / step), problems),
    }
}

fn too_many_open(field: &str, open: i64, problems: &mut Vec<Problem>) {
    if open > OPEN_PER_SERIES_MAX {
        problems.push(
            Problem::at(field, format!("each series would have {open} windows open at a time; the most is {OPEN_PER_SERIES_MAX}"))
                .help("make `step` longer, or `lateness` shorter"),
        );
    }
}
