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

/// Numbers from one to another, both among them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Band {
    low: f64,
    high: f64,
}

impl Band {
    const ALL: Band = Band { low: f64::NEG_INFINITY, high: f64::INFINITY };
    const NONE: Band = Band { low: f64::INFINITY, high: f64::NEG_INFINITY };

    #[inline]
    pub(super) fn holds(self, x: f64) -> bool {
        self.low <= x && x <= self.high
    }
}

/// What a series does as long as nothing happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Steady {
    /// Something is under way: each reading matters.
    #[default]
    No,
    Quiet,
    Rings,
}

impl Steady {
    /// Whether it goes on with a value that says this.
    pub(super) fn goes_on(self, verdict: Verdict) -> bool {
        match self {
            Steady::No => false,
            Steady::Quiet => verdict != Verdict::Rings,
            Steady::Rings => verdict != Verdict::Clears,
        }
    }
}

/// Of each way to be steady, numbers with which it goes on: so quick to see that nearly all readings cost no more.
#[derive(Debug)]
pub(super) struct Bands([Band; 3]);

impl Bands {
    pub(super) fn new(level: &Level) -> Bands {
        // In the order of `Steady`.
        Bands([Band::NONE, level.quiet_within(), level.rings_within()])
    }

    #[inline]
    pub(super) fn of(&self, steady: Steady) -> Band {
        self.0[steady as usize]
    }
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

    /// Numbers that do not ring; all of them where these are numbers from one to another.
    fn quiet_within(&self) -> Band {
        match self {
            Level::Above { rings, .. } => Band { high: *rings, ..Band::ALL },
            Level::Below { rings, .. } => Band { low: *rings, ..Band::ALL },
            Level::Outside { rings: [low, high], .. } => Band { low: *low, high: *high },
            Level::Equals(_) | Level::Changed => Band::NONE,
            Level::Nothing => Band::ALL,
        }
    }

    /// Numbers that do not clear; all of them where these are numbers from one to another.
    fn rings_within(&self) -> Band {
        match self {
            Level::Above { rings, clears } => {
                let rings = rings.next_up();
                Band { low: clears.map_or(rings, |clears| clears.min(rings)), ..Band::ALL }
            }
            Level::Below { rings, clears } => {
                let rings = rings.next_down();
                Band { high: clears.map_or(rings, |clears| clears.max(rings)), ..Band::ALL }
            }
            Level::Outside { .. } | Level::Equals(_) | Level::Changed | Level::Nothing => {
                Band::NONE
            }
        }
    }

    /// What a value says, given the one before it. `None` where a number is asked for and it is none.
    #[inline]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn level() -> impl Strategy<Value = Level> {
        let number = || (-8i32..8).prop_map(|eighth| f64::from(eighth) / 8.0);
        prop_oneof![
            (number(), proptest::option::of(number()))
                .prop_map(|(rings, clears)| Level::Above { rings, clears }),
            (number(), proptest::option::of(number()))
                .prop_map(|(rings, clears)| Level::Below { rings, clears }),
            (number(), number(), number(), number())
                .prop_map(|(a, b, c, d)| Level::Outside { rings: [a, b], clears: [c, d] }),
            Just(Level::Changed),
            Just(Level::Nothing),
        ]
    }

    proptest! {
        #[test]
        fn a_number_within_a_band_changes_nothing(
            level in level(),
            x in -10i32..10,
            nudged in -1i32..=1,
            before in -10i32..10,
        ) {
            let x = f64::from(x) / 8.0;
            let x = if nudged < 0 { x.next_down() } else if nudged > 0 { x.next_up() } else { x };
            let before = Value::Float(f64::from(before) / 8.0);
            let verdict = level.judge(&Value::Float(x), &before).unwrap();
            let bands = Bands::new(&level);
            for steady in [Steady::No, Steady::Quiet, Steady::Rings] {
                let (within, goes_on) = (bands.of(steady).holds(x), steady.goes_on(verdict));
                prop_assert!(goes_on || !within, "{steady:?} {verdict:?} {x}");
                if matches!(level, Level::Above { .. } | Level::Below { .. }) {
                    prop_assert_eq!(within, goes_on, "{:?} {:?} {}", steady, verdict, x);
                }
            }
        }
    }
}
