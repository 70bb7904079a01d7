//! Takes readings from an MQTT broker: its settings, and what becomes of a payload.

mod config;
mod decode;

pub use config::{Field, Fields, Format, MqttConfig, Retained, Subscription, Topic, ValueType};
pub use decode::Decoder;
