//! What is combined into one reading.

use std::sync::Arc;

use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::reading::Value;
use smollama_engine::series::SeriesId;
use smollama_engine::time::Timestamp;

use super::settings::{CombineConfig, Function};
use crate::transforms::expression::Expression;
use crate::transforms::made::Made;

/// The place of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The series it is of; `None` where there is none yet.
    pub(super) series: Option<SeriesId>,
    pub(super) value: f64,
    pub(super) heard: Timestamp,
}

impl Slot {
    pub(super) const EMPTY: Slot = Slot { series: None, value: 0.0, heard: Timestamp::MIN };
}

/// The series that are combined with each other.
#[derive(Debug)]
pub(super) struct Group {
    /// Under a function one for each series, in the order in which they came; under names one for each name.
    pub(super) slots: Vec<Slot>,
    /// Their unit, decided by the first.
    pub(super) unit: Option<Option<Arc<str>>>,
    pub(super) made: Made,
    /// Something came in since it came out last; with `every`.
    pub(super) pending: bool,
    /// The time of what came out last: nothing goes back behind it.
    pub(super) latest: Timestamp,
}

impl Group {
    pub(super) fn new(slots: usize) -> Group {
        Group {
            slots: vec![Slot::EMPTY; slots],
            unit: None,
            made: Made::New,
            pending: false,
            latest: Timestamp::MIN,
        }
    }

    /// Whether a series of that unit may be one of it.
    pub(super) fn fits(&self, unit: Option<&Arc<str>>) -> bool {
        self.unit.as_ref().is_none_or(|own| own.as_ref() == unit)
    }

    /// When it heard something last.
    pub(super) fn heard(&self) -> Timestamp {
        self.slots.iter().map(|slot| slot.heard).max().unwrap_or(Timestamp::MIN)
    }
}

/// What is made of the values.
#[derive(Debug)]
enum How {
    Function(Function),
    Expression(Expression),
}

/// The settings, ready to be used.
#[derive(Debug)]
pub(super) struct Recipe {
    how: How,
    /// The patterns for the sources. Under names one for each; otherwise none for all sources.
    patterns: Vec<Glob>,
    named: bool,
    at_least: usize,
    stale_after: Option<Duration>,
    numbers: Vec<f64>,
    stack: Vec<f64>,
}

impl Recipe {
    /// `None` where the settings do not say what to make.
    pub(super) fn new(config: &CombineConfig) -> Option<Recipe> {
        let (how, patterns, named) = match (config.function, config.parsed()) {
            (Some(function), _) => {
                (How::Function(function), config.sources.0.clone(), function.takes_two())
            }
            (None, Some(Ok(expression))) => {
                (How::Expression(expression), config.names.values().cloned().collect(), true)
            }
            (None, _) => return None,
        };
        Some(Recipe {
            how,
            patterns,
            named,
            at_least: config.at_least.map_or(1, |least| least as usize),
            stale_after: config.stale_after,
            numbers: Vec::new(),
            stack: Vec::new(),
        })
    }

    /// How many slots a group has from the beginning.
    pub(super) fn slots(&self) -> usize {
        if self.named { self.patterns.len() } else { 0 }
    }

    /// Whether each series takes the places of the names that it fits, and none of its own.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// The names that a source fits, a bit for each; without names a bit if it fits at all.
    pub(super) fn fits(&self, source: &str) -> u32 {
        if !self.named {
            let patterns = &self.patterns;
            return u32::from(
                patterns.is_empty() || patterns.iter().any(|one| one.matches(source)),
            );
        }
        let fit = self.patterns.iter().enumerate().filter(|(_, pattern)| pattern.matches(source));
        fit.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// A value as it is combined.
    #[inline]
    pub(super) fn number(&self, value: &Value) -> Option<f64> {
        match self.how {
            // Whoever speaks is counted, whatever it says.
            How::Function(Function::Count) => Some(1.0),
            _ => value.as_f64(),
        }
    }

    /// What a group makes at a time; `None` where it lacks a value, or makes no number. `common` stands in where a name has no value of
    /// the group's own.
    #[inline]
    pub(super) fn make(
        &mut self,
        group: &Group,
        common: &Group,
        clock: Timestamp,
    ) -> Option<Value> {
        let Recipe { how, named, at_least, stale_after, numbers, stack, .. } = self;
        // What was heard before this is stale.
        let fresh = stale_after.map_or(Timestamp::MIN, |span| {
            clock.saturating_sub(span).saturating_add(Duration::from_micros(1))
        });
        if !*named {
            let How::Function(function) = how else { return None };
            return of_all(*function, &group.slots, fresh, *at_least, numbers);
        }
        let fresh = |slot: &Slot| slot.series.is_some() && slot.heard >= fresh;
        numbers.clear();
        for (own, shared) in group.slots.iter().zip(&common.slots) {
            let slot = if fresh(own) { own } else { Some(shared).filter(|slot| fresh(slot))? };
            numbers.push(slot.value);
        }
        let made = match (how, numbers.as_slice()) {
            (How::Function(Function::Difference), [first, second]) => first - second,
            (How::Function(Function::Ratio), [first, second]) => first / second,
            (How::Expression(expression), numbers) => expression.evaluate(numbers, stack),
            _ => return None,
        };
        Value::float(made)
    }
}

/// What a function makes of the values that were heard at a time or after it, if these are enough.
#[inline]
fn of_all(
    function: Function,
    slots: &[Slot],
    fresh: Timestamp,
    at_least: usize,
    kept: &mut Vec<f64>,
) -> Option<Value> {
    // What a function does with each value is chosen once, and not for each.
    let mut count = 0usize;
    let values = slots.iter().filter(|slot| slot.heard >= fresh).map(|slot| slot.value);
    let values = values.inspect(|_| count += 1);
    let made = match function {
        Function::Mean | Function::Sum => values.fold(0.0, |sum, value| sum + value),
        Function::Min => values.fold(f64::INFINITY, f64::min),
        Function::Max => values.fold(f64::NEG_INFINITY, f64::max),
        Function::Any | Function::All => values.filter(|value| *value != 0.0).count() as f64,
        Function::Median => {
            kept.clear();
            kept.extend(values);
            middle(kept)
        }
        Function::Count | Function::Difference | Function::Ratio => values.count() as f64,
    };
    if count < at_least.max(1) {
        return None;
    }
    match function {
        Function::Mean => Value::float(made / count as f64),
        Function::Sum | Function::Min | Function::Max | Function::Median => Value::float(made),
        Function::Any => Some(Value::Bool(made > 0.0)),
        Function::All => Some(Value::Bool(made >= count as f64)),
        Function::Count => i64::try_from(count).ok().map(Value::Int),
        Function::Difference | Function::Ratio => None,
    }
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.len() % 2, values.get(half.wrapping_sub(1)), values.get(half)) {
        (1, _, Some(middle)) => *middle,
        (_, Some(below), Some(above)) => below + (above - below) / 2.0,
        _ => f64::NAN,
    }
}
