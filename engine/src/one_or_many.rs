//! A setting that takes one entry or a list of them: `kind: anomaly` and `kind: [anomaly, pattern]`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{
    BoolDeserializer, F64Deserializer, I64Deserializer, SeqAccessDeserializer, StrDeserializer,
    U64Deserializer,
};
use serde::de::{Error, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// One or more of something that is written as a single scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entries(PhantomData))
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one entry or a list of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let one: StrDeserializer<'_, E> = text.into_deserializer();
        T::deserialize(one).map(|one| OneOrMany(vec![one]))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        let one: BoolDeserializer<E> = value.into_deserializer();
        T::deserialize(one).map(|one| OneOrMany(vec![one]))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        let one: I64Deserializer<E> = value.into_deserializer();
        T::deserialize(one).map(|one| OneOrMany(vec![one]))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let one: U64Deserializer<E> = value.into_deserializer();
        T::deserialize(one).map(|one| OneOrMany(vec![one]))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        let one: F64Deserializer<E> = value.into_deserializer();
        T::deserialize(one).map(|one| OneOrMany(vec![one]))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Cause;

    #[test]
    fn takes_one_and_many_and_names_what_is_wrong() {
        let read = |json: &str| serde_json::from_str::<OneOrMany<Cause>>(json);
        assert_eq!(read(r#""end""#).unwrap().0, [Cause::End]);
        assert_eq!(read(r#"["end", "time"]"#).unwrap().0, [Cause::End, Cause::Time]);
        assert!(read(r#""never""#).unwrap_err().to_string().contains("`heartbeat`"));
        assert!(read("{}").unwrap_err().to_string().contains("one entry or a list"));
        assert_eq!(serde_json::from_str::<OneOrMany<f64>>("5").unwrap().0, [5.0]);
    }
}
