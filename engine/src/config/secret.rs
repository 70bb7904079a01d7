//! Values that are never printed.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, de};

/// The name by which `config::de` recognises a field that may hold a secret.
pub(super) const NEWTYPE: &str = "$smollama::Secret";

/// A value that no output shows: `Debug` and `Display` give its reference, and it cannot be serialised.
///
/// As the type of a settings field it takes `secret://file/...`, `secret://env/...` or plain text; plain text is
/// hidden in the same way.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    reference: Arc<str>,
    value: Arc<str>,
}

impl Secret {
    pub(super) fn new(reference: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self { reference: reference.into(), value: value.into() }
    }

    /// A secret that was written out in the file, without a reference to show.
    pub fn literal(value: impl Into<Arc<str>>) -> Self {
        Self::new("(hidden)", value)
    }

    /// The value itself. Hand it to what needs it and to nothing else.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// What may be shown: `secret://...`, or `(hidden)`.
    pub fn reference(&self) -> &str {
        &self.reference
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reference)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reference)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a secret such as `secret://env/NAME`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::literal(text))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Secret, D::Error> {
                String::deserialize(d).map(Secret::literal)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut parts: A) -> Result<Secret, A::Error> {
                match (parts.next_element::<String>()?, parts.next_element::<String>()?) {
                    (Some(reference), Some(value)) => Ok(Secret::new(reference, value)),
                    _ => Err(de::Error::custom("a reference and a value")),
                }
            }
        }
        deserializer.deserialize_newtype_struct(NEWTYPE, Visitor)
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "number"],
            "description": "A secret: `secret://env/NAME` or `secret://file/PATH`. It is never printed.",
        })
    }
}
