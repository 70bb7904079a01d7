//! The settings of `dedup` that take more than one form.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

/// How far a number must be from the last passed one: so many units (`0.2`), or a share of the last passed value (`5%`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deadband {
    /// In the unit of the series.
    Absolute(f64),
    /// As a share of the last passed value: 0.05 is five percent.
    Relative(f64),
}

impl Default for Deadband {
    fn default() -> Self {
        Deadband::Absolute(0.0)
    }
}

/// After how long a reading passes though it is no different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// After this long.
    After(Duration),
    /// However long it takes.
    Never,
}

impl Default for Heartbeat {
    /// On, so that nothing is hidden for ever by somebody who did not think of it; and rare, so that it costs nothing.
    fn default() -> Self {
        Heartbeat::After(Duration::from_hours(1))
    }
}

impl Heartbeat {
    pub(super) fn span(self) -> Option<Duration> {
        match self {
            Heartbeat::After(span) => Some(span),
            Heartbeat::Never => None,
        }
    }

    pub(super) fn problem(&self, field: &str) -> Option<Problem> {
        (*self == Heartbeat::After(Duration::ZERO)).then(|| {
            Problem::at(field, "after no time at all every reading would pass")
                .help("write `never` for none")
        })
    }
}

/// Which readings of a run of equal ones pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first.
    #[default]
    First,
    /// The first and the last.
    Last,
}

/// What to do with a reading that a scoring node calls news.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum News {
    /// It passes at once.
    #[default]
    Pass,
    /// The score changes nothing.
    Ignore,
    /// It passes from this score on.
    From(f64),
}

impl News {
    /// The score from which on a reading passes; NaN, which no score reaches, for none.
    pub(super) fn threshold(self) -> f64 {
        match self {
            News::Pass => 1.0,
            News::Ignore => f64::NAN,
            News::From(score) => score,
        }
    }
}

/// Reads a number or a text.
struct NumberOrText<T> {
    expecting: &'static str,
    number: fn(f64) -> Option<T>,
    text: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for NumberOrText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        let wrong = || E::custom(format!("`{value}` is not {}", self.expecting));
        (self.number)(value).ok_or_else(wrong)
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.visit_f64(value as f64)
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.visit_f64(value as f64)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let wrong = || E::custom(format!("`{text}` is not {}", self.expecting));
        (self.text)(text.trim()).ok_or_else(wrong)
    }
}

fn not_negative(value: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then_some(value)
}

impl<'de> Deserialize<'de> for Deadband {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText {
            expecting: "a deadband: a number such as 0.2, or a share such as 5%",
            number: |value| not_negative(value).map(Deadband::Absolute),
            text: |text| match text.strip_suffix('%') {
                Some(share) => {
                    let share = not_negative(share.trim_end().parse().ok()?)?;
                    Some(Deadband::Relative(share / 100.0))
                }
                None => not_negative(text.parse().ok()?).map(Deadband::Absolute),
            },
        })
    }
}

impl<'de> Deserialize<'de> for Heartbeat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        if text == "never" {
            return Ok(Heartbeat::Never);
        }
        let span = text.parse::<Duration>();
        span.map(Heartbeat::After).map_err(|error| D::Error::custom(format!("{error}, or `never`")))
    }
}

impl<'de> Deserialize<'de> for News {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText {
            expecting: "`pass`, `ignore` or a score such as 0.8",
            number: |value| not_negative(value).map(News::From),
            text: |text| match text {
                "pass" => Some(News::Pass),
                "ignore" => Some(News::Ignore),
                other => not_negative(other.parse().ok()?).map(News::From),
            },
        })
    }
}

impl JsonSchema for Deadband {
    fn schema_name() -> Cow<'static, str> {
        "Deadband".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number in the series' unit, or a share of the last passed value such as `5%`.",
            "anyOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": r"^\s*[0-9.]+\s*%?\s*$" }
            ],
            "default": 0,
            "examples": [0.2, "5%"]
        })
    }
}

impl JsonSchema for Heartbeat {
    fn schema_name() -> Cow<'static, str> {
        "Heartbeat".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Duration>();
        json_schema!({ "anyOf": [span, { "const": "never" }], "examples": ["10m", "never"] })
    }
}

impl JsonSchema for News {
    fn schema_name() -> Cow<'static, str> {
        "News".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "enum": ["pass", "ignore"] }, { "type": "number", "minimum": 0 }],
            "examples": ["pass", "ignore", 0.8]
        })
    }
}
