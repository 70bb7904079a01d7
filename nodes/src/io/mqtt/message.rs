//! What goes over a connection, in the words of no version of the protocol.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// How sure the delivery of a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// At most once: it can be lost.
    AtMostOnce,
    /// At least once: it can come twice.
    #[default]
    AtLeastOnce,
    /// Once, as far as the protocol can.
    ExactlyOnce,
}

impl Qos {
    /// The number in the protocol.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// By its number in the protocol.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Qos> {
        match number {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Qos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Qos, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Qos::from_number(number)
            .ok_or_else(|| serde::de::Error::custom(format!("`{number}` is not 0, 1 or 2")))
    }
}

impl JsonSchema for Qos {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Qos".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer",
            "description": "How sure the delivery is: 0 at most once, 1 at least once, 2 exactly once.",
            "enum": [0, 1, 2]
        })
    }
}

/// A message as the broker sent it.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    pub(super) qos: Qos,
    /// It was kept by the broker, and is as old as it may be.
    pub(super) retained: bool,
    /// The broker sends it again, and does not know whether it arrived before.
    pub(super) again: bool,
    /// Its number while it is under way; 0 with QoS 0.
    pub(super) number: u16,
    /// The subscriptions it came by, as they were numbered (MQTT 5).
    pub(super) by: Vec<usize>,
    /// Who published it, where it was a host of this kind (MQTT 5).
    pub(super) host: Option<String>,
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Where to: no wildcards.
    pub topic: String,
    /// What it carries.
    pub payload: Bytes,
    /// How sure.
    pub qos: Qos,
    /// Whether the broker keeps it for those who subscribe later.
    pub retain: bool,
    /// Names and values beside it; MQTT 3.1.1 has no place for them.
    pub properties: Vec<(String, String)>,
    /// After so many seconds the broker need not deliver it any more (MQTT 5).
    pub expiry: Option<u32>,
}

/// The user property by which a host finds what it published itself.
pub(super) const HOST_PROPERTY: &str = "smollama-host";
