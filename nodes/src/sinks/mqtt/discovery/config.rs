//! What can be said about entities.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use smollama_engine::diagnostic::nearest;
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::registry::Problem;
use smollama_engine::topic;

use super::classes::{BINARY_SENSOR_CLASSES, SENSOR_CLASSES, StateClass};
use super::state;
use crate::io::template::{self, Template};
use crate::sinks::mqtt::config::{MqttConfig, Payload};

/// What a topic may speak of, so that it stays the same for an entity.
pub(super) const FIELDS_OF_ENTITY: [&str; 7] =
    ["source", "unit", "labels", "monotonic", "host", "author", "kind"];

/// Whether entities are announced, and how.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Discovery(pub Option<DiscoveryConfig>);

/// How entities are announced to Home Assistant.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiscoveryConfig {
    /// The prefix of discovery topics, as Home Assistant is set up. Default: `homeassistant`.
    pub prefix: String,
    /// Only for these: patterns over sources such as `air:**`, and over the authors of observations such as `home/watcher`. Default: all.
    pub sources: OneOrMany<Glob>,
    /// What is known better than it can be guessed. The first entry whose pattern fits counts.
    pub overrides: Vec<EntityOverride>,
    /// After so long without a message an entity is unavailable, in whole seconds. Default: never.
    pub expire_after: Option<Duration>,
    /// Where Home Assistant finds the state in a payload, as a template of Home Assistant's: `"{{ value_json.reading.v }}"`. Needed only
    /// where a payload of your own (`payload.template`) does not show it.
    pub value_template: Option<String>,
    /// The device that the entities belong to.
    pub device: DeviceConfig,
    /// So many entities are made at most. Default: 1000.
    pub max_entities: usize,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        DiscoveryConfig {
            prefix: "homeassistant".into(),
            sources: OneOrMany::default(),
            overrides: Vec::new(),
            expire_after: None,
            value_template: None,
            device: DeviceConfig::default(),
            max_entities: 1000,
        }
    }
}

/// A device of Home Assistant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// Its name. With one of its own the entities of this sink are a device of their own. Default: the name of the host.
    pub name: Option<String>,
    /// The area that Home Assistant suggests for it. Default: none.
    pub area: Option<String>,
    /// Who made it. Default: none.
    pub manufacturer: Option<String>,
    /// Its model. Default: none.
    pub model: Option<String>,
}

/// What is known of some entities.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntityOverride {
    /// A pattern over sources, `air:**/humidity`, or over the authors of observations, `home/watcher`.
    #[serde(rename = "match")]
    pub pattern: Glob,
    /// Makes no entity.
    #[serde(default)]
    pub skip: bool,
    /// What it is called, or a template over `source`, `unit`, `labels` and `host`: `"{{ labels.room }} temperature"`. Default: the words of
    /// the source.
    #[serde(default)]
    pub name: Option<String>,
    /// The device class that Home Assistant knows: `temperature`, `problem`; `none` for none. Default: by the unit and the source.
    #[serde(default)]
    pub device_class: Option<String>,
    /// What kind of statistics Home Assistant keeps of a number. Default: `measurement`, and `total_increasing` for counters.
    #[serde(default)]
    pub state_class: Option<StateClass>,
    /// The unit that the values are in. Default: that of the readings.
    #[serde(default)]
    pub unit: Option<String>,
    /// An icon such as `mdi:thermometer`. Default: by the device class.
    #[serde(default)]
    pub icon: Option<String>,
    /// How many decimals Home Assistant shows. Default: as they come.
    #[serde(default)]
    pub precision: Option<u8>,
    /// Whether it tells of the health of a device rather than what the device is for. Default: false.
    #[serde(default)]
    pub diagnostic: bool,
    /// Instead of `expire_after` above.
    #[serde(default)]
    pub expire_after: Option<Duration>,
}

impl<'de> Deserialize<'de> for Discovery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Discovery, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Discovery;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false`, or settings such as `prefix`")
            }
            fn visit_bool<E: Error>(self, on: bool) -> Result<Discovery, E> {
                Ok(Discovery(on.then(DiscoveryConfig::default)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Discovery, A::Error> {
                let settings = DiscoveryConfig::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Discovery(Some(settings)))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl JsonSchema for Discovery {
    fn schema_name() -> Cow<'static, str> {
        "Discovery".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<DiscoveryConfig>();
        json_schema!({
            "description": "Whether entities of Home Assistant are made, and how.",
            "anyOf": [{ "type": "boolean" }, settings]
        })
    }
}

impl DiscoveryConfig {
    /// What is said of an entity by its source, or by the author of an observation.
    pub(super) fn override_for(&self, of: &str) -> Option<&EntityOverride> {
        self.overrides.iter().find(|one| one.pattern.matches(of))
    }

    /// Whether there is to be an entity for a source or an author.
    pub(super) fn chooses(&self, of: &str) -> bool {
        let listed = self.sources.is_empty() || self.sources.iter().any(|one| one.matches(of));
        listed && !self.override_for(of).is_some_and(|one| one.skip)
    }

    /// What is wrong with it in a sink with these settings.
    pub(in crate::sinks::mqtt) fn problems(&self, sink: &MqttConfig) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(why) = topic::check_topic(&self.prefix) {
            problems.push(
                Problem::at("discovery.prefix", format!("this is no prefix of topics: {why}"))
                    .help("write it as Home Assistant has it; by default that is `homeassistant`"),
            );
        }
        if self.max_entities == 0 {
            problems.push(
                Problem::at("discovery.max_entities", "there would be no entity at all")
                    .help("write `discovery: false`, or leave it out"),
            );
        }
        problems.extend(whole_seconds("discovery.expire_after", self.expire_after));
        for (index, one) in self.overrides.iter().enumerate() {
            one.check(&format!("discovery.overrides.{index}"), &mut problems);
        }
        if sink.payload == Payload::Edge {
            let message = "with `edge` one message has the states of many entities";
            problems.push(Problem::at("payload", message).help("take `json` or `value`"));
        }
        if sink.has_topic_template() {
            problems.extend(topic_that_changes(&sink.topic));
        }
        if sink.payload == Payload::Edge {
            let message =
                "an `edge` message holds many readings, and Home Assistant finds no state in it";
            let problem = Problem::at("payload", message);
            problems.push(problem.help("give Home Assistant a sink of its own, with `payload: value` and `{{ source }}` in its topic"));
        }
        if let (Payload::Template(text), None) = (&sink.payload, &self.value_template)
            && let Ok(template) = Template::new("payload.template", text)
            && let Err(made) = state::found_in(&template)
        {
            problems.push(
                Problem::at(
                    "payload.template",
                    format!("Home Assistant cannot find a state in what this makes, such as `{made}`"),
                )
                .help("make it the value alone, or JSON with a `value`, or say where it is with `discovery.value_template`"),
            );
        }
        problems
    }
}

/// An entity has one topic; one that differs from message to message leads nowhere.
fn topic_that_changes(topic: &str) -> Option<Problem> {
    let template = Template::new("topic", topic).ok()?;
    let changing = template.first_but(&FIELDS_OF_ENTITY)?;
    let message = format!(
        "with `discovery` an entity has one topic, and `{changing}` differs from message to message"
    );
    Some(Problem::at("topic", message).help(
        "make it of `source`, `labels`, `unit` and `host`, for observations of `author` and `kind`",
    ))
}

/// Whether a topic tells observations apart by kind.
pub(super) fn speaks_of_kinds(topic: &str) -> bool {
    let others = FIELDS_OF_ENTITY.map(|field| if field == "kind" { "" } else { field });
    let template = Template::new("topic", topic);
    template.is_ok_and(|template| template.first_but(&others).is_some())
}

fn whole_seconds(field: &str, span: Option<Duration>) -> Option<Problem> {
    span.filter(|span| span.to_std().as_secs() == 0).map(|_| {
        Problem::at(field, "it would expire at once")
            .help("it is counted in seconds; leave it out for never")
    })
}

impl EntityOverride {
    fn check(&self, field: &str, problems: &mut Vec<Problem>) {
        let EntityOverride { name, device_class, expire_after, .. } = self;
        let says_more = name.is_some()
            || device_class.is_some()
            || self.state_class.is_some()
            || self.unit.is_some()
            || self.icon.is_some()
            || self.precision.is_some()
            || self.diagnostic
            || expire_after.is_some();
        match (self.skip, says_more) {
            (false, false) => problems.push(
                Problem::at(field, "an override that changes nothing")
                    .help("give `name`, `device_class`, `unit` or another one, or `skip: true`"),
            ),
            (true, true) => problems.push(
                Problem::at(field, "what is skipped has no use for other settings")
                    .help("take away `skip`, or all the others"),
            ),
            _ => {}
        }
        if let Some(name) = name {
            let field = format!("{field}.name");
            let wrong = template::problems(&field, name);
            let template = Template::new(&field, name).ok().filter(|_| wrong.is_empty());
            problems.extend(wrong);
            if let Some(changing) = template.and_then(|one| one.first_but(&FIELDS_OF_ENTITY)) {
                let message = format!("`{changing}` differs from message to message");
                let help = "make it of `source`, `labels`, `unit` and `host`";
                problems.push(Problem::at(field, message).help(help));
            }
        }
        if let Some(class) = device_class.as_deref().filter(|class| *class != "none") {
            let known = || SENSOR_CLASSES.iter().chain(&BINARY_SENSOR_CLASSES).copied();
            if !known().any(|one| one == class) {
                let problem = Problem::at(
                    format!("{field}.device_class"),
                    format!("Home Assistant knows no device class `{class}` of sensors"),
                );
                problems.push(match nearest(class, known()) {
                    Some(known) => problem.help(format!("did you mean `{known}`?")),
                    None => problem.help("they are listed at https://www.home-assistant.io/integrations/sensor and /binary_sensor"),
                });
            }
        }
        problems.extend(whole_seconds(&format!("{field}.expire_after"), *expire_after));
    }
}
