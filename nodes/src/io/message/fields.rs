//! Which fields of a message become readings, as a setting that has short forms.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Which fields of a message become readings.
#[derive(Debug, Clone, PartialEq)]
pub enum Fields {
    /// Every one.
    All,
    /// These, by name or path.
    Named(BTreeMap<String, Field>),
}

/// What is said about a field.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "LongField")]
pub struct Field {
    /// The unit, such as `°C`.
    pub unit: Option<String>,
    /// What stands in the id in place of the field's name.
    pub id: Option<String>,
    /// Labels of the reading, by name.
    pub labels: BTreeMap<String, String>,
    /// What the value is: `number`, `bool` or `text`. Default: as it stands in the message.
    #[serde(rename = "type")]
    pub kind: Option<ValueType>,
    /// Whether it only ever grows, but for restarts: a counter.
    pub counter: bool,
    /// Leaves the field out.
    pub skip: bool,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// A number; texts that are numbers become numbers, and anything else is refused.
    Number,
    /// On or off: `true`, `on`, `yes`, `open`, `online`, 1 and their opposites, in any case; anything else is refused.
    Bool,
    /// A text, whatever stands there.
    Text,
}

struct Short(Field);

impl<'de> Deserialize<'de> for Short {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Short, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Short;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a unit, `skip`, or settings of the field such as `unit`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Short, E> {
                let skip = text == "skip";
                let unit = (!skip).then(|| text.to_owned());
                Ok(Short(Field { unit, skip, ..Field::default() }))
            }
            fn visit_unit<E: Error>(self) -> Result<Short, E> {
                Ok(Short(Field::default()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Short, A::Error> {
                Field::deserialize(MapAccessDeserializer::new(map)).map(Short)
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`all`, a list of fields, or a map from field to unit or settings")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Fields, E> {
                if text == "all" {
                    return Ok(Fields::All);
                }
                Err(E::custom(format!("`{text}` is neither `all` nor a list; write `[{text}]`")))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Fields, A::Error> {
                let names = Vec::<String>::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Fields::Named(names.into_iter().map(|name| (name, Field::default())).collect()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields, A::Error> {
                let fields =
                    BTreeMap::<String, Short>::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Fields::Named(fields.into_iter().map(|(name, field)| (name, field.0)).collect()))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl JsonSchema for Fields {
    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Field>();
        json_schema!({
            "description": "Which fields become readings: `all`, a list of names or paths, or a map from name to unit, `skip` or settings.",
            "anyOf": [
                { "const": "all" },
                { "type": "array", "items": { "type": "string" } },
                {
                    "type": "object",
                    "additionalProperties": { "anyOf": [{ "type": "string" }, { "type": "null" }, long] }
                }
            ],
            "examples": [{ "temperature": "°C", "humidity": { "unit": "%" }, "linkquality": "skip" }]
        })
    }
}
