//! What a value must be like.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::one_or_many::OneOrMany;
use crate::reading::Value;
use crate::registry::Problem;
use crate::window::{Statistic, Summary};

/// What a value must be like. All that is given must hold. Texts and JSON are neither above nor below anything; on and off
/// count as 1 and 0 there.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValueCondition {
    /// Of a window: which figure of a series is looked at. Default: `last`. A reading has only its value.
    pub of: Option<Statistic>,
    /// More than this.
    pub above: Option<f64>,
    /// Less than this.
    pub below: Option<f64>,
    /// At least this.
    pub min: Option<f64>,
    /// At most this.
    pub max: Option<f64>,
    /// From the first number to the second, both included.
    pub between: Option<[f64; 2]>,
    /// Less than the first number or more than the second.
    pub outside: Option<[f64; 2]>,
    /// Exactly this number, text, `true` or `false`.
    pub equals: Option<Literal>,
    /// One of these numbers, texts, `true` or `false`.
    #[serde(rename = "in")]
    pub one_of: OneOrMany<Literal>,
}

/// A number, a text, `true` or `false`, as a user writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A number: equals whole numbers and decimals alike.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A text.
    Text(Box<str>),
}

impl Literal {
    /// Whether a value is this one. Numbers, texts, and on and off are never one another.
    #[must_use]
    pub fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Literal::Number(own), Value::Float(value)) => own == value,
            (Literal::Number(own), Value::Int(value)) => *own == *value as f64,
            (Literal::Bool(own), Value::Bool(value)) => own == value,
            (Literal::Text(own), Value::Text(value)) => **own == ***value,
            _ => false,
        }
    }
}

impl ValueCondition {
    /// What is wrong with it, below the setting `field`.
    #[must_use]
    pub fn problems(&self, field: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut at = |name: &str, message: String| {
            problems.push(Problem::at(format!("{field}.{name}"), message));
        };
        if let Some([from, to]) = self.between
            && from.partial_cmp(&to).is_none_or(std::cmp::Ordering::is_gt)
        {
            at("between", format!("{from} is more than {to}, so nothing lies between them"));
        }
        if let Some([from, to]) = self.outside
            && from.partial_cmp(&to).is_none_or(std::cmp::Ordering::is_gt)
        {
            at("outside", format!("{from} is more than {to}; swap them"));
        }
        let low = self.min.into_iter().chain(self.above).fold(f64::NEG_INFINITY, f64::max);
        let high = self.max.into_iter().chain(self.below).fold(f64::INFINITY, f64::min);
        let open = self.above == Some(low) || self.below == Some(high);
        if low > high || low == high && open {
            let name = if self.above == Some(low) { "above" } else { "min" };
            at(name, format!("nothing is above {low} and below {high}"));
        }
        if *self == ValueCondition::default() {
            problems.push(
                Problem::at(field, "says nothing about the value")
                    .help("give one of above, below, min, max, between, outside, equals, in"),
            );
        }
        problems
    }

    /// Ready to be asked, with `between` folded into `min` and `max`.
    #[must_use]
    pub fn compiled(&self) -> ValueTest {
        let [from, to] = self.between.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        let mut literals = self.one_of.0.clone();
        let listed = !literals.is_empty();
        if let Some(only) = &self.equals {
            // Both given: what is in the list and is equal too.
            literals.retain(|one| one == only);
            if !listed {
                literals.push(only.clone());
            }
        }
        ValueTest {
            of: self.of.unwrap_or(Statistic::Last),
            above: self.above.unwrap_or(f64::NEG_INFINITY),
            below: self.below.unwrap_or(f64::INFINITY),
            min: self.min.unwrap_or(f64::NEG_INFINITY).max(from),
            max: self.max.unwrap_or(f64::INFINITY).min(to),
            outside: self.outside,
            ranged: [self.above, self.below, self.min, self.max].iter().any(Option::is_some)
                || self.between.is_some()
                || self.outside.is_some(),
            literals: (listed || self.equals.is_some()).then_some(literals),
        }
    }
}

/// A [`ValueCondition`], ready to be asked.
#[derive(Debug, Clone)]
pub struct ValueTest {
    of: Statistic,
    above: f64,
    below: f64,
    min: f64,
    max: f64,
    outside: Option<[f64; 2]>,
    ranged: bool,
    literals: Option<Vec<Literal>>,
}

impl ValueTest {
    /// Whether a value is like that.
    #[inline]
    #[must_use]
    pub fn value(&self, value: &Value) -> bool {
        if self.ranged && !value.as_f64().is_some_and(|number| self.number(number)) {
            return false;
        }
        match &self.literals {
            None => true,
            Some(literals) => literals.iter().any(|literal| literal.equals(value)),
        }
    }

    fn number(&self, number: f64) -> bool {
        number > self.above
            && number < self.below
            && number >= self.min
            && number <= self.max
            && self.outside.is_none_or(|[from, to]| number < from || number > to)
    }

    pub(super) fn summary(&self, summary: &Summary) -> bool {
        match self.of {
            Statistic::Last => self.value(&summary.last),
            Statistic::First => self.value(&summary.first),
            of => summary.statistic(of).is_some_and(|value| self.value(&value)),
        }
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LiteralVisitor)
    }
}

struct LiteralVisitor;

impl Visitor<'_> for LiteralVisitor {
    type Value = Literal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, `true` or `false`")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Literal, E> {
        Ok(Literal::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Literal, E> {
        Ok(Literal::Number(value as f64))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Literal, E> {
        Ok(Literal::Number(value as f64))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Literal, E> {
        Ok(Literal::Number(value))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Literal, E> {
        Ok(Literal::Text(text.into()))
    }
}

impl JsonSchema for Literal {
    fn schema_name() -> Cow<'static, str> {
        "Literal".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string", "boolean"] })
    }
}
