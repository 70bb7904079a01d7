//! What can be said about messages and what becomes of them.

mod check;
mod ids;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::one_or_many::OneOrMany;

use crate::io::message::{Fields, Format, Settings, ValueType};
use crate::io::mqtt::{Qos, Subscription};

pub use topic::Topic;

/// Takes readings from an MQTT broker.
///
/// A message becomes readings by its payload. A number, `true`, `false` or any other text is one reading, whose id is the topic:
/// `mqtt:greenhouse/north`. A JSON object with a `value` is one reading in the form that this program writes itself, with `time`,
/// `source`, `unit`, `labels`, `monotonic`, `score` and `count` as far as they are there; a `source` is then the id in place of the topic. Of any other
/// object each number, text, true and false is a reading, whose id is the topic and the field:
/// `mqtt:zigbee2mqtt/window/temperature`, with dots into nested objects and arrays: `mqtt:tele/plug/SENSOR/ENERGY.Power`. `fields` says which ones, with
/// their units; `value` says where the only one lies. The entries of an array are messages of their own; where they have neither an `id` nor a
/// time of their own, their place in the array is put behind the topic.
///
/// What the Python original sends on `smollama/<node>/readings` is understood as it is: such a reading is the other host's
/// source, `<node>:<type>:<id>`.
///
/// A message that cannot be understood (broken JSON or UTF-8, NaN or an infinity, nested too deeply, no number where one must stand, more than 2 KiB to name a series) goes to
/// the dead letters with its topic. An empty payload, which clears a retained message, and JSON's `null` are no readings. A message in
/// which none of the wanted fields stands is counted, and a warning says so once a minute at most.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// The name of a broker below `mqtt: { connections: ... }` in config.yaml. Default: the one that stands directly below `mqtt`.
    #[serde(default)]
    pub connection: Option<String>,
    /// The topics to take: `greenhouse/+/air`. `+` stands for one level, `#` at the end for all that are left.
    #[serde(default)]
    pub topic: Option<String>,
    /// Several topic filters, in place of `topic`: a list of filters, or of filters with a `qos` of their own:
    /// `[a/#, { topic: b, qos: 0 }]`.
    #[serde(default)]
    pub topics: OneOrMany<Topic>,
    /// 0: a message that is under way when a connection breaks is lost. 1: it comes again, sometimes twice. 2: it comes exactly once, at
    /// the price of more messages. With 1 and 2 a message is acknowledged once it is kept. Default: 1.
    #[serde(default)]
    pub qos: Qos,
    /// The name of a group of hosts that share the messages: the broker gives each to one of them (`$share/NAME/...`).
    #[serde(default)]
    pub share: Option<String>,
    /// What a payload is: `json`, `cbor`, `number`, `text`, `edge` (what the Python original sends), or `auto`: by its first character and by the
    /// topic, as said above. CBOR means what JSON with the same content means; its tags are ignored. Default: `auto`.
    #[serde(default)]
    pub format: Format,
    /// The fields that become readings: `all` (of an object with a `value`, too), a list such as `[temperature, humidity]`, or a map from field to unit, `skip`, or settings:
    /// `{ temperature: °C, humidity: { unit: "%", id: rh }, linkquality: skip }`. A dot leads into nested objects and arrays:
    /// `ENERGY.Power`, `sensors.0.value`; a dot that is part of a name is written `\.`. A field need not be in every message. Default: see above.
    #[serde(default)]
    pub fields: Option<Fields>,
    /// Takes the fields that `fields` does not name, too. Default: false.
    #[serde(default)]
    pub others: bool,
    /// The field with the only value; the id gets nothing appended. A message without it is refused.
    #[serde(default)]
    pub value: Option<String>,
    /// What a plain payload or `value` is: `number`, `bool` (`ON`, `off`, `true`, `1` ...) or `text`. Default: as it stands in the message; `ON`
    /// is a text then.
    #[serde(default, rename = "type")]
    pub kind: Option<ValueType>,
    /// The field with an array whose entries are messages of their own, with fields, `time` and `id` of their own. What an entry lacks of
    /// `time` and `id` is taken from the message around it.
    #[serde(default)]
    pub each: Option<String>,
    /// The field with the time. A message without it has the time of its receipt; one that cannot be read refuses the message. Default: `time`,
    /// `Time`, `timestamp` or `ts`, if it tells an instant since 2015: a number since 1970, or a text with an offset (without one, only if `zone` is set). These fields are no
    /// readings unless `fields` names them.
    #[serde(default)]
    pub time: Option<String>,
    /// How times are written: `s`, `ms`, `us` or `ns` since 1970, or a pattern such as `%d.%m.%Y %H:%M:%S`. Default: as
    /// RFC 3339 or `2026-11-21 01:02:03.5`, or a number since 1970, whose size tells its unit.
    #[serde(default)]
    pub time_format: Option<String>,
    /// The zone of times that do not say it, such as `Europe/Berlin`. Default: UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// The id of the readings, composed of the topic, its levels counted from 1, and fields: `"{topic}"`, `"{2}"`, `"{1}/{3}"`,
    /// `"{device.serial}"`. Default: `"{topic}"`.
    #[serde(default)]
    pub id: Option<String>,
    /// Labels from levels of the topic, counted from 1: `{ room: 2 }`.
    #[serde(default)]
    pub topic_labels: BTreeMap<String, usize>,
    /// Takes a `source` with a type (`air:north/temperature`) as the whole name of what was measured, in place of an id below `as`. For messages
    /// that pass on what other hosts said; who can publish them can then write under the name of any source. Default: false.
    #[serde(default)]
    pub whole_sources: bool,
    /// What a retained message is, which the broker kept and sends when this host subscribes: it may be as old as it likes. `value`: the last
    /// value of a series that has none yet, and no reading. `gate` knows by it whether it is open, and `combine` what else there is; `dedup` and an alarm for `changed` compare the first reading with it; it is not counted, goes to no
    /// sink, and rings no alarm. One that cannot be understood is left out. `reading`: a reading like any other. `ignore`: nothing. Default: `value`.
    #[serde(default)]
    pub retained: Retained,
}

/// What a retained message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retained {
    /// The last value of a series that has none yet, and no reading.
    #[default]
    Value,
    /// A reading.
    Reading,
    /// Nothing.
    Ignore,
}

/// Whether the topic of an edge's readings can match a filter.
fn may_be_of_an_edge(filter: &str) -> bool {
    matches!(filter.rsplit('/').next(), Some("readings" | "+" | "#"))
}

impl MqttConfig {
    /// What is asked of the broker.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Subscription> {
        let filter = |topic: &str| match &self.share {
            Some(group) => format!("$share/{group}/{topic}"),
            None => topic.to_owned(),
        };
        self.filters().map(|(topic, qos)| Subscription { filter: filter(topic), qos }).collect()
    }

    /// The filters as the user wrote them, with their quality of service.
    fn filters(&self) -> impl Iterator<Item = (&str, Qos)> {
        let many = self.topics.iter().map(|one| (one.topic.as_str(), one.qos.unwrap_or(self.qos)));
        self.topic.iter().map(|topic| (topic.as_str(), self.qos)).chain(many)
    }

    /// What of it concerns messages.
    #[must_use]
    pub fn message(&self) -> Settings {
        Settings {
            looks_for_edge: self.filters().any(|(filter, _)| may_be_of_an_edge(filter)),
            format: self.format,
            fields: self.fields.clone(),
            others: self.others,
            value: self.value.clone(),
            kind: self.kind,
            each: self.each.clone(),
            time: self.time.clone(),
            time_format: self.time_format.clone(),
            zone: self.zone.clone(),
            id: self.id.clone(),
            topic_labels: self.topic_labels.clone(),
            whole_sources: self.whole_sources,
            ..Settings::new("topic", "{topic}")
        }
    }
}
