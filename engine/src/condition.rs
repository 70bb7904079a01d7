//! Conditions over items: what `when:` asks of what enters a node, and `filter` of what passes it. [`Condition`] is what a user
//! writes; [`Predicate`] is the same, ready to be asked: whatever depends on the series alone is decided once per series.

mod calendar;
mod predicate;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::calendar::{Days, TimeOfDay};
pub use self::predicate::Predicate;
pub use self::value::{Literal, ValueCondition, ValueTest};
use crate::batch::ItemKind;
use crate::glob::Glob;
use crate::observation::ObservationKind;
use crate::one_or_many::OneOrMany;
use crate::registry::Problem;
use crate::window::Cause;

/// What an item must be like. All that is given must hold.
///
/// A window meets `sources`, `labels`, `value` and `score` when one of its series meets them together. An observation meets
/// `sources` when one of the sources it is about does. What an item does not have, it does not meet: a reading that nobody
/// scored is neither above nor below any score.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// The source fits one of these patterns: `system:**`. `*` stops at `/` and `:`, `**` does not. Default: all sources.
    pub sources: OneOrMany<Glob>,
    /// The source fits none of these patterns, whatever `sources` says.
    pub exclude: OneOrMany<Glob>,
    /// The series has each of these labels, with a value that fits the pattern: `{ room: kitchen }`.
    pub labels: BTreeMap<String, Glob>,
    /// What the value is like: `{ above: 30 }`, `{ equals: "on" }`.
    pub value: Option<ValueCondition>,
    /// How newsworthy it is: `{ min: 1 }` is news. Of a window, the highest score in it.
    pub score: Option<Range>,
    /// The observation is of one of these kinds.
    pub kind: OneOrMany<ObservationKind>,
    /// How sure the author of the observation is, from 0 to 1.
    pub confidence: Option<Range>,
    /// The window closed for one of these causes.
    pub cause: OneOrMany<Cause>,
    /// Its time lies in one of these spans of the day, in the host's time zone: `"22:00-06:00"`. A window's time is its last
    /// instant.
    pub time_of_day: OneOrMany<TimeOfDay>,
    /// Its time lies on one of these days of the week, in the host's time zone: `mon-fri`, `[sat, sun]`. A span of
    /// `time_of_day` that goes over midnight belongs to the day on which it begins.
    pub days: OneOrMany<Days>,
    /// Turns the whole condition round: what would pass does not, and the other way. Default: `false`.
    pub not: bool,
}

/// A range of numbers, both ends included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    /// At least this.
    pub min: Option<f64>,
    /// At most this.
    pub max: Option<f64>,
}

impl Range {
    /// Whether a number lies in it; NaN never does.
    #[inline]
    #[must_use]
    pub fn holds(&self, number: f64) -> bool {
        !number.is_nan()
            && self.min.is_none_or(|min| number >= min)
            && self.max.is_none_or(|max| number <= max)
    }

    fn problems(&self, field: &str) -> Option<Problem> {
        match (self.min, self.max) {
            (Some(min), Some(max)) if min > max => Some(
                Problem::at(format!("{field}.min"), format!("{min} is more than `max`, {max}"))
                    .help("swap them"),
            ),
            (None, None) => {
                Some(Problem::at(field, "says nothing").help("give `min`, `max` or both"))
            }
            _ => None,
        }
    }
}

impl Condition {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Condition { not: self.not, ..Condition::default() }
    }

    /// The kinds of item that have what is asked for. No reading is ever of `kind: anomaly`.
    #[must_use]
    pub fn accepts(&self) -> Vec<ItemKind> {
        ItemKind::ALL.into_iter().filter(|&kind| self.foreign(kind).is_none()).collect()
    }

    /// The first setting that items of a kind do not have.
    #[must_use]
    pub fn foreign(&self, kind: ItemKind) -> Option<&'static str> {
        let observation =
            [("kind", !self.kind.is_empty()), ("confidence", self.confidence.is_some())];
        let window = [("cause", !self.cause.is_empty())];
        let series = [
            ("labels", !self.labels.is_empty()),
            ("value", self.value.is_some()),
            ("score", self.score.is_some()),
        ];
        let foreign: &[&[(&'static str, bool)]] = match kind {
            ItemKind::Readings => &[&observation, &window],
            ItemKind::Windows => &[&observation],
            ItemKind::Observations => &[&window, &series],
        };
        let mut given = foreign.iter().flat_map(|group| group.iter()).filter(|(_, given)| *given);
        given.next().map(|(name, _)| *name)
    }

    /// What is wrong with settings whose fields are each fine.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(self.value.iter().flat_map(|value| value.problems("value")));
        problems.extend(self.score.iter().filter_map(|range| range.problems("score")));
        problems.extend(self.confidence.iter().filter_map(|range| range.problems("confidence")));
        if self.accepts().is_empty()
            && let Some(field) = self.foreign(ItemKind::Windows)
        {
            let other = self.foreign(ItemKind::Observations).unwrap_or_default();
            problems.push(
                Problem::at(
                    field,
                    format!("`{field}` is asked of observations and `{other}` is not"),
                )
                .help("nothing can meet both; use two filters"),
            );
        }
        if self.is_empty() {
            problems.push(
                Problem::at("", "asks for nothing, so everything meets it")
                    .help("give at least one of sources, exclude, labels, value, score, kind, confidence, cause, time_of_day, days"),
            );
        }
        problems
    }
}
