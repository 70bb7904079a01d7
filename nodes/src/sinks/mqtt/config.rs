//! What can be said about what is published.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::config::mqtt::DEFAULT_BROKER;
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;
use smollama_engine::topic;

use super::discovery::Discovery;
use crate::io::mqtt::Qos;
use crate::io::template::{self, Template};

/// Publishes readings, windows and observations to an MQTT broker, each as a message of its own.
///
/// The broker is the one directly below `mqtt` in config.yaml, or one that `connection` names. With `qos` 1 or 2 an item counts as sent when the broker
/// has acknowledged it, with 0 when it is on its way. What cannot be sent now waits in a spool and goes out in order
/// when the broker is back; what was under way when a connection broke is sent again, so messages can come twice with `qos` 0 and 1. What the broker
/// refuses (a topic this user may not publish to, a message too large for it) goes to the dead letters, and so does what it ends five connections
/// for; a broker that speaks only MQTT 3.1.1 may drop such messages and say nothing.
///
/// Each message says which host it comes from in a user property `smollama-host` (MQTT 5), by which sources of this host leave it alone.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// The broker: a name below `mqtt.connections` in config.yaml. Default: the one directly below `mqtt`.
    #[serde(default)]
    pub connection: Option<String>,
    /// Where to: `greenhouse/news`, or a template that makes it of each item: `home/{{ labels.room }}/{{ source }}`. In what a template
    /// puts in, `+`, `#` and zero characters become `_`. A template knows the fields that `payload` knows.
    pub topic: String,
    /// What a message carries: `json` (the default), the item in the form that `replay` reads; `value`, only the value of a reading, or the text of
    /// an observation; `edge`, what the Python original sends: one message of all readings that come together, such as those of `latest`, for which
    /// the topic is `smollama/{{ host }}/readings`; or `{ template: "{{ value|round(1) }} {{ unit }}" }`. A template knows the fields of the JSON form, `host`, `item`, and `time_s`,
    /// `time_ms`, `time_us`, `time_ns`, the time since 1970.
    #[serde(default)]
    pub payload: Payload,
    /// How sure the delivery to the broker is: 0 at most once, 1 at least once (the default), 2 exactly once.
    #[serde(default)]
    pub qos: Qos,
    /// Whether the broker keeps the last message of each topic for those who subscribe later. Default: false.
    #[serde(default)]
    pub retain: bool,
    /// User properties by name (MQTT 5): `{ site: greenhouse }`.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// After this time the broker need not deliver a message any more (MQTT 5). Default: never.
    #[serde(default)]
    pub expiry: Option<Duration>,
    /// Makes entities in Home Assistant of the readings and observations that are published, each before its first message: `true`, or
    /// settings. Their device classes are guessed by unit and name. They are removed when this node is, when these settings make them no more,
    /// or when they are taken out of `sources`. Only in an engine that keeps running, not under `run --once`. Default: false.
    #[serde(default)]
    pub discovery: Discovery,
    /// Allows a topic that a source of this host subscribes to on the same broker. Default: false, since what is published then comes
    /// in again.
    #[serde(default)]
    pub allow_loop: bool,
}

/// What a message carries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The item as JSON.
    #[default]
    Json,
    /// The value of a reading, the text of an observation.
    Value,
    /// All readings that come together, as the Python original sends them.
    Edge,
    /// What this makes of each item.
    Template(String),
}

impl MqttConfig {
    /// The name of the broker.
    pub(super) fn broker(&self) -> &str {
        self.connection.as_deref().unwrap_or(DEFAULT_BROKER)
    }

    /// Whether the topic differs from item to item.
    pub(super) fn has_topic_template(&self) -> bool {
        self.topic.contains("{{") || self.topic.contains("{%")
    }

    /// A filter that matches all that this publishes to.
    pub(super) fn says(&self) -> String {
        if !self.has_topic_template() {
            return self.topic.clone();
        }
        // What a template makes can have several levels.
        let known = self.topic.split(['{']).next().unwrap_or_default();
        let whole = known.rfind('/').map_or("", |end| known.get(..=end).unwrap_or_default());
        format!("{whole}#")
    }

    pub(super) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.has_topic_template() {
            problems.extend(template::problems("topic", &self.topic));
        } else if let Err(why) = topic::check_topic(&self.topic) {
            problems.push(
                Problem::at("topic", format!("this is no topic to publish to: {why}"))
                    .help("write it like `greenhouse/news`"),
            );
        }
        if self.payload == Payload::Edge
            && self.has_topic_template()
            && Template::new("topic", &self.topic)
                .is_ok_and(|topic| !topic.speaks_only_of(&["host"]))
        {
            let message =
                "an `edge` message holds many readings, so its topic can only speak of `host`";
            let problem = Problem::at("topic", message);
            problems.push(problem.help("write `smollama/{{ host }}/readings`"));
        }
        if let Payload::Template(text) = &self.payload {
            problems.extend(template::problems("payload.template", text));
        }
        if self.expiry.is_some_and(|expiry| expiry.to_std().as_secs() == 0) {
            problems.push(
                Problem::at("expiry", "a message that expires at once reaches nobody")
                    .help("it is counted in seconds; leave it out for never"),
            );
        }
        if let Some(discovery) = &self.discovery.0 {
            problems.extend(discovery.problems(self));
        }
        problems
    }
}
