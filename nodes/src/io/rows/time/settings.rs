//! How settings say in which form and zone times are written.

use jiff::tz::TimeZone;
use smollama_engine::registry::Problem;

use super::{EpochUnit, TimeFormat};

/// What a setting `time_format` says: `s`, `ms`, `us`, `ns` since 1970, or a pattern.
#[must_use]
pub fn format(text: Option<&str>) -> TimeFormat {
    match text {
        None => TimeFormat::Auto,
        Some("s") => TimeFormat::Epoch(EpochUnit::Seconds),
        Some("ms") => TimeFormat::Epoch(EpochUnit::Milliseconds),
        Some("us") => TimeFormat::Epoch(EpochUnit::Microseconds),
        Some("ns") => TimeFormat::Epoch(EpochUnit::Nanoseconds),
        Some(pattern) => TimeFormat::Pattern(pattern.to_owned()),
    }
}

/// The zone that a setting `zone` names, UTC where it names none; `None` where there is no such zone.
#[must_use]
pub fn zone(name: Option<&str>) -> Option<TimeZone> {
    name.map_or(Some(TimeZone::UTC), |zone| TimeZone::get(zone).ok())
}

/// What is wrong with the settings `zone` and `time_format`.
#[must_use]
pub fn problems(name: Option<&str>, text: Option<&str>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if zone(name).is_none() {
        let message = format!("there is no zone `{}`", name.unwrap_or_default());
        problems.push(Problem::at("zone", message).help("write it as `Europe/Berlin` or `UTC`"));
    }
    problems.extend(problem_of_format(text));
    problems
}

fn problem_of_format(text: Option<&str>) -> Option<Problem> {
    let TimeFormat::Pattern(pattern) = format(text) else { return None };
    let help = "write `s`, `ms`, `us`, `ns`, or a pattern such as `%d.%m.%Y %H:%M:%S`";
    let bad = |why: &str| {
        Problem::at("time_format", format!("`{pattern}` is no time format{why}")).help(help)
    };
    if !pattern.contains('%') {
        return Some(bad(""));
    }
    let example = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let error = jiff::fmt::strtime::format(&pattern, &example).err()?;
    Some(bad(&format!(": {error}")))
}
