//! After news, only what is newer still passes for a while: one event makes one piece of news.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;

/// How long news is held: a number of readings, or a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldFor {
    /// So many readings of the series.
    Readings(u32),
    /// So long, by the readings' times.
    Span(Duration),
}

impl<'de> Deserialize<'de> for HoldFor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = HoldFor;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of readings such as 75, or a duration such as 6h")
            }
            fn visit_u64<E: Error>(self, readings: u64) -> Result<HoldFor, E> {
                u32::try_from(readings)
                    .map(HoldFor::Readings)
                    .map_err(|_| E::custom(format!("`{readings}` readings are too many to count")))
            }
            fn visit_i64<E: Error>(self, readings: i64) -> Result<HoldFor, E> {
                let readings = u64::try_from(readings);
                self.visit_u64(readings.map_err(|_| E::custom("readings cannot be negative"))?)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<HoldFor, E> {
                if let Ok(readings) = text.trim().parse::<u32>() {
                    return Ok(HoldFor::Readings(readings));
                }
                text.parse().map(HoldFor::Span).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl Serialize for HoldFor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            HoldFor::Readings(readings) => serializer.serialize_u32(*readings),
            HoldFor::Span(span) => serializer.collect_str(span),
        }
    }
}

impl JsonSchema for HoldFor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HoldFor".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Duration>();
        json_schema!({
            "description": "A number of readings such as `75`, or a span of time such as `6h`.",
            "anyOf": [{ "type": "integer", "minimum": 0, "maximum": u32::MAX }, span]
        })
    }
}

/// The last news of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hold {
    level: f64,
    readings: u32,
    time: Timestamp,
}

impl Default for Hold {
    fn default() -> Self {
        Hold { level: 0.0, readings: 0, time: Timestamp::EPOCH }
    }
}

impl Hold {
    /// Lets a surprise pass that is greater than what is held, and holds that instead; anything else becomes 0.
    #[inline]
    pub(super) fn pass(&mut self, surprise: f64, time: Timestamp, hold: HoldFor) -> f64 {
        self.readings = self.readings.saturating_add(1);
        let over = match hold {
            HoldFor::Readings(readings) => self.readings > readings,
            HoldFor::Span(span) => time.since(self.time) > span,
        };
        if over {
            self.level = 0.0;
        }
        if surprise > self.level {
            *self = Hold { level: surprise, readings: 0, time };
            surprise
        } else {
            0.0
        }
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(super) fn is_whole(&self) -> bool {
        self.level >= 0.0
    }
}
