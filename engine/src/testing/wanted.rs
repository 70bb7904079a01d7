//! What a figure must be: exactly this, or within bounds.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{
    BoolDeserializer, F64Deserializer, I64Deserializer, MapAccessDeserializer, StrDeserializer,
    U64Deserializer,
};
use serde::de::{Error, IntoDeserializer, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::condition::Literal;
use crate::diagnostic::rules;
use crate::reading::Value;

/// Bounds of a number. All that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// More than this.
    pub above: Option<f64>,
    /// Less than this.
    pub below: Option<f64>,
    /// At least this.
    pub min: Option<f64>,
    /// At most this.
    pub max: Option<f64>,
    /// Not farther from this than `within`.
    pub near: Option<f64>,
    /// How far from `near` it may be.
    pub within: Option<f64>,
}

impl Bounds {
    fn hold(&self, number: f64) -> bool {
        !number.is_nan()
            && self.above.is_none_or(|bound| number > bound)
            && self.below.is_none_or(|bound| number < bound)
            && self.min.is_none_or(|bound| number >= bound)
            && self.max.is_none_or(|bound| number <= bound)
            && self.near.is_none_or(|near| (number - near).abs() <= self.within.unwrap_or_default())
    }

    /// What is wrong with them, with a way to mend it.
    fn problem(&self) -> Option<String> {
        if *self == Bounds::default() {
            return Some(
                "the bounds say nothing\nhelp: give one of above, below, min, max, near with within"
                    .into(),
            );
        }
        if self.near.is_some() != self.within.is_some() {
            return Some(
                "`near` and `within` belong together\nhelp: write `{ near: 21, within: 0.5 }`"
                    .into(),
            );
        }
        let low = self.min.into_iter().chain(self.above).fold(f64::NEG_INFINITY, f64::max);
        let high = self.max.into_iter().chain(self.below).fold(f64::INFINITY, f64::min);
        let open = self.above == Some(low) || self.below == Some(high);
        (low > high || low == high && open)
            .then(|| format!("nothing lies above {low} and below {high}\nhelp: swap the two"))
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut add = |bound: Option<f64>, words: &str| {
            parts.extend(bound.map(|bound| format!("{words} {bound}")));
        };
        add(self.above, "above");
        add(self.min, "at least");
        add(self.below, "below");
        add(self.max, "at most");
        if let (Some(near), Some(within)) = (self.near, self.within) {
            parts.push(format!("within {within} of {near}"));
        }
        f.write_str(&parts.join(" and "))
    }
}

/// Exactly this, written as a scalar, or bounds, written as a mapping.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted<T> {
    /// Exactly this.
    Exactly(T),
    /// Within these bounds.
    Bounds(Bounds),
}

impl Wanted<f64> {
    /// Whether a number is what is wanted; NaN never is.
    #[must_use]
    pub fn number(&self, number: f64) -> bool {
        match self {
            Wanted::Exactly(wanted) => *wanted == number,
            Wanted::Bounds(bounds) => bounds.hold(number),
        }
    }
}

impl Wanted<Literal> {
    /// Whether a value is what is wanted. On and off are 1 and 0 for bounds; texts and JSON lie within none.
    #[must_use]
    pub fn value(&self, value: &Value) -> bool {
        match self {
            Wanted::Exactly(wanted) => wanted.equals(value),
            Wanted::Bounds(bounds) => value.as_f64().is_some_and(|number| bounds.hold(number)),
        }
    }
}

impl fmt::Display for Wanted<f64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Exactly(number) => write!(f, "{number}"),
            Wanted::Bounds(bounds) => bounds.fmt(f),
        }
    }
}

impl fmt::Display for Wanted<Literal> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Exactly(Literal::Number(number)) => write!(f, "{number}"),
            Wanted::Exactly(Literal::Bool(on)) => write!(f, "{on}"),
            Wanted::Exactly(Literal::Text(text)) => write!(f, "{text:?}"),
            Wanted::Bounds(bounds) => bounds.fmt(f),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Wanted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms(PhantomData))
    }
}

struct Forms<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Forms<T> {
    type Value = Wanted<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or bounds such as `{ above: 20 }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let bounds = Bounds::deserialize(MapAccessDeserializer::new(map))?;
        match bounds.problem() {
            None => Ok(Wanted::Bounds(bounds)),
            Some(problem) => Err(A::Error::custom(rules::BAD_TEST.says(problem))),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let one: StrDeserializer<'_, E> = text.into_deserializer();
        let read = T::deserialize(one).map(Wanted::Exactly);
        read.map_err(|_| E::invalid_type(Unexpected::Str(text), &self))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        let one: BoolDeserializer<E> = value.into_deserializer();
        let read = T::deserialize(one).map(Wanted::Exactly);
        read.map_err(|_| E::invalid_type(Unexpected::Bool(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        let one: I64Deserializer<E> = value.into_deserializer();
        T::deserialize(one).map(Wanted::Exactly)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let one: U64Deserializer<E> = value.into_deserializer();
        T::deserialize(one).map(Wanted::Exactly)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        let one: F64Deserializer<E> = value.into_deserializer();
        T::deserialize(one).map(Wanted::Exactly)
    }
}

impl<T: JsonSchema> JsonSchema for Wanted<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Wanted_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let exact = generator.subschema_for::<T>();
        let bounds = generator.subschema_for::<Bounds>();
        json_schema!({ "anyOf": [exact, bounds] })
    }
}
