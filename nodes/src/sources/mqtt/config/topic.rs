//! A subscription, which has a short form.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::io::mqtt::Qos;

/// A topic filter with its quality of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// The filter, with `+` and `#`.
    pub topic: String,
    /// The quality of service, where it is not that of the node.
    pub qos: Option<Qos>,
}

/// A topic filter with settings of its own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongTopic {
    /// The filter: `+` stands for one level, `#` at the end for all that are left.
    topic: String,
    /// 0, 1 or 2. Default: `qos` of the node.
    #[serde(default)]
    qos: Option<Qos>,
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Topic, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Topic;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a topic filter, or one with `topic` and `qos`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Topic, E> {
                Ok(Topic { topic: text.to_owned(), qos: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Topic, A::Error> {
                let LongTopic { topic, qos } =
                    LongTopic::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Topic { topic, qos })
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl JsonSchema for Topic {
    fn schema_name() -> Cow<'static, str> {
        "Topic".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<LongTopic>();
        json_schema!({
            "description": "A topic filter, or one with its own quality of service.",
            "anyOf": [{ "type": "string", "examples": ["greenhouse/+/air"] }, long]
        })
    }
}
