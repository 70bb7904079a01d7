//! When a value rings, and when it clears.

use crate::transforms::amount::Suffix;
use smollama_engine::condition::Literal;
use smollama_engine::reading::Value;

use super::settings::AlarmConfig;

/// What a value says of the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is where it should not be.
    Rings,
    /// It is between the levels.
    Between,
    /// It is past the clear level.
    Clears,
}

/// The condition, with its clear level.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Level {
    Above {
        rings: f64,
        clears: Option<f64>,
    },
    Below {
        rings: f64,
        clears: Option<f64>,
    },
    Outside {
        rings: [f64; 2],
        clears: [f64; 2],
    },
    Equals(Vec<Literal>),
    Changed,
    /// Only silence rings.
    Nothing,
}

impl Level {
    pub(super) fn new(config: &AlarmConfig) -> Level {
        if let Some(rings) = config.above {
            Level::Above { rings, clears: config.clear_below }
        } else if let Some(rings) = config.below {
            Level::Below { rings, clears: config.clear_above }
        } else if let Some(rings) = config.outside {
            Level::Outside { rings, clears: config.clear_inside.unwrap_or(rings) }
        } else if !config.equals.is_empty() {
            Level::Equals(config.equals.0.clone())
        } else if config.changed {
            Level::Changed
        } else {
            Level::Nothing
        }
    }

    /// What a value says, given the one before it. `None` where a number is asked for and it is none.
    #[inline(always)]
    pub(super) fn judge(&self, value: &Value, before: &Value) -> Option<Verdict> {
        let of = |rings: bool, clears: bool| match (rings, clears) {
            (true, _) => Verdict::Rings,
            (_, true) => Verdict::Clears,
            _ => Verdict::Between,
        };
        Some(match self {
            Level::Above { rings, clears } => {
                let x = value.as_f64()?;
                of(x > *rings, clears.is_none_or(|clears| x < clears))
            }
            Level::Below { rings, clears } => {
                let x = value.as_f64()?;
                of(x < *rings, clears.is_none_or(|clears| x > clears))
            }
            Level::Outside { rings: [low, high], clears: [clear_low, clear_high] } => {
                let x = value.as_f64()?;
                of(x < *low || x > *high, *clear_low <= x && x <= *clear_high)
            }
            Level::Equals(wanted) => of(wanted.iter().any(|one| one.equals(value)), true),
            Level::Changed => of(!same(value, before), true),
            Level::Nothing => Verdict::Clears,
        })
    }

    /// The condition in words: `above -15 °C`.
    pub(super) fn in_words(&self, unit: Suffix<'_>) -> String {
        match self {
            Level::Above { rings, .. } => format!("above {rings}{unit}"),
            Level::Below { rings, .. } => format!("below {rings}{unit}"),
            Level::Outside { rings: [low, high], .. } => format!("outside {low} to {high}{unit}"),
            Level::Equals(_) | Level::Changed | Level::Nothing => String::new(),
        }
    }
}

/// Whether two values are one. A sensor that says `5` and then `5.0` has not changed.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float(_), Value::Int(_)) | (Value::Int(_), Value::Float(_)) => {
            one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}
