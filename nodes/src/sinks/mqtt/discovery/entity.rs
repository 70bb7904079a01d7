//! The message by which Home Assistant learns of an entity (`PREFIX/COMPONENT/HOST/ENTITY/config`).

use serde_json::{Map, Value as Json, json};
use smollama_engine::batch::Items;
use smollama_engine::context::Host;
use smollama_engine::series::SourceKey;

use super::classes::{self, Component, StateClass};
use super::config::{DiscoveryConfig, EntityOverride};
use super::state::State;
use crate::fnv::fnv1a;
use crate::io::template::{Template, fields};

/// What an entity is about, out of the item that came first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// The source as it is written, or the author of observations: what patterns are held against, and what payloads say.
    pub(super) of: String,
    /// What tells it from all other entities of this host.
    pub(super) key: String,
    /// How it is called unless the user has a name for it.
    name: String,
    unit: Option<String>,
    monotonic: bool,
    is_observation: bool,
}

impl Subject {
    /// What an item is about. `by_kind`: observations of one author are told apart by their kind.
    pub(super) fn of(items: &Items, host: &Host, by_kind: bool) -> Option<Subject> {
        match items {
            Items::Readings(readings) => {
                let series = host.series.get(readings.first()?.series);
                let of = written(&series.source);
                Some(Subject {
                    name: spaced(&of),
                    key: of.clone(),
                    of,
                    unit: series.unit.as_deref().map(ToOwned::to_owned),
                    monotonic: series.monotonic,
                    is_observation: false,
                })
            }
            Items::Observations(observations) => {
                let observation = observations.first()?;
                let author = observation.author.to_string();
                let kind = if by_kind { format!("/{}", observation.kind) } else { String::new() };
                Some(Subject {
                    name: spaced(&format!("{author}{kind}")),
                    key: format!("observation:{author}{kind}"),
                    of: author,
                    unit: None,
                    monotonic: false,
                    is_observation: true,
                })
            }
            Items::Windows(_) => None,
        }
    }
}

/// An entity: how it is told to Home Assistant.
#[derive(Debug, Clone)]
pub(super) struct Entity {
    /// What it is about.
    pub(super) subject: Subject,
    /// Where its states are published.
    pub(super) state_topic: String,
    /// How they are read.
    pub(super) state: State,
    /// Its name, where the user gave it one.
    pub(super) name: Option<String>,
}

/// What all entities of a sink have in common.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    host_id: String,
    host_name: String,
    /// Where it is said whether this host is there.
    availability: Option<String>,
}

impl Frame {
    pub(super) fn new(host: &Host, availability: Option<String>) -> Frame {
        Frame {
            host_id: format!("smollama_{}", host.id.simple()),
            host_name: host.name.clone(),
            availability,
        }
    }

    /// Where something is announced as one component or another.
    pub(super) fn topic(
        &self,
        config: &DiscoveryConfig,
        component: Component,
        subject: &Subject,
    ) -> String {
        let (prefix, component) = (&config.prefix, component.word());
        format!("{prefix}/{component}/{}/{}/config", self.host_id, id(&subject.key))
    }

    /// The message that announces it. `shares`: others publish on the same topic.
    pub(super) fn message(
        &self,
        config: &DiscoveryConfig,
        entity: &Entity,
        shares: bool,
    ) -> Vec<u8> {
        let Entity { subject, state, .. } = entity;
        let said = config.override_for(&subject.of);
        let id = id(&subject.key);
        let object_id = format!("{}_{id}", self.host_name).to_lowercase();
        let object_id = object_id.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let mut message = Map::new();
        let mut put = |key: &str, value: Json| drop(message.insert(key.to_owned(), value));
        put("unique_id", format!("{}_{id}", self.host_id).into());
        put("default_entity_id", format!("{}.{object_id}", state.component().word()).into());
        put("name", entity.name.as_ref().unwrap_or(&subject.name).as_str().into());
        put("state_topic", entity.state_topic.as_str().into());
        put("qos", 1.into());
        if let Some(template) = state.template(shares.then_some(subject.of.as_str())) {
            put("value_template", template.into());
        }
        if let Some((on, off)) = state.on_off() {
            put("payload_on", on.as_str().into());
            put("payload_off", off.as_str().into());
        }
        if subject.is_observation && state.is_json() && !shares {
            put("json_attributes_topic", entity.state_topic.as_str().into());
        }
        self.classes(entity, said, &mut put);
        let expire_after = said.and_then(|said| said.expire_after).or(config.expire_after);
        if let Some(span) = expire_after {
            put("expire_after", span.to_std().as_secs().into());
        }
        if let Some(said) = said {
            if let Some(icon) = &said.icon {
                put("icon", icon.as_str().into());
            }
            if let Some(precision) = said.precision {
                put("suggested_display_precision", precision.into());
            }
            if said.diagnostic {
                put("entity_category", "diagnostic".into());
            }
        }
        if let Some(topic) = &self.availability {
            put("availability", json!([{ "topic": topic }]));
        }
        put("device", self.device(config));
        put("origin", json!({ "name": "Smollama", "sw_version": env!("CARGO_PKG_VERSION") }));
        Json::Object(message).to_string().into_bytes()
    }

    fn classes(
        &self,
        Entity { subject, state, .. }: &Entity,
        said: Option<&EntityOverride>,
        put: &mut impl FnMut(&str, Json),
    ) {
        let component = state.component();
        let unit = said.and_then(|said| said.unit.as_deref()).or(subject.unit.as_deref());
        let guessed = match component {
            Component::Number => unit.and_then(|unit| classes::of_number(unit, &subject.of)),
            Component::Binary => classes::of_switch(&subject.of),
            Component::Text => None,
        };
        let class = match said.and_then(|said| said.device_class.as_deref()) {
            Some("none") => None,
            Some(class) => Some(class),
            None => guessed,
        };
        // Home Assistant makes no entity at all of one with a class that is not for it.
        let class = class.filter(|class| component.takes(class));
        if let Some(class) = class {
            put("device_class", class.into());
        }
        if component != Component::Number {
            return;
        }
        if let Some(unit) = unit {
            put("unit_of_measurement", unit.into());
        }
        let kind = said.and_then(|said| said.state_class);
        let kind = kind.unwrap_or_else(|| classes::state_class(class, subject.monotonic));
        if kind != StateClass::None {
            // A word always serialises.
            put("state_class", serde_json::to_value(kind).unwrap_or_default());
        }
    }

    fn device(&self, config: &DiscoveryConfig) -> Json {
        let device = &config.device;
        let identifier = match &device.name {
            Some(name) => format!("{}_{}", self.host_id, id(name)),
            None => self.host_id.clone(),
        };
        let mut said = Map::new();
        let mut put = |key: &str, value: Option<&String>| {
            said.extend(value.map(|value| (key.to_owned(), value.as_str().into())));
        };
        put("name", device.name.as_ref().or(Some(&self.host_name)));
        put("suggested_area", device.area.as_ref());
        put("manufacturer", device.manufacturer.as_ref());
        put("model", device.model.as_ref());
        put("sw_version", Some(&format!("Smollama {}", env!("CARGO_PKG_VERSION"))));
        said.insert("identifiers".to_owned(), json!([identifier]));
        Json::Object(said)
    }
}

/// A source as payloads say it.
fn written(source: &SourceKey) -> String {
    match source.host() {
        None => source.name().to_owned(),
        Some(host) => format!("{host}:{}", source.name()),
    }
}

/// The name that the user gave an entity; its template is made of the item that came first.
pub(super) fn name(
    said: Option<&EntityOverride>,
    items: &Items,
    host: &Host,
) -> Result<Option<String>, String> {
    let Some(text) = said.and_then(|said| said.name.as_deref()) else { return Ok(None) };
    let template = Template::new("discovery.overrides", text).map_err(|problem| problem.message)?;
    let (mut form, mut out) = (Vec::new(), Vec::new());
    smollama_engine::json::write_item(items, 0, &host.series, &mut form);
    template.render(&fields(items, 0, &form, &host.name), &mut out)?;
    Ok(Some(String::from_utf8_lossy(&out).trim().to_owned()))
}

/// The words of a name with blanks between them.
fn spaced(name: &str) -> String {
    let words = name.split(['/', ':', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// A name in the characters that Home Assistant takes for ids, and no two alike. What needs more than they have gets a number.
fn id(name: &str) -> String {
    let mut id = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            ':' => id.push_str("--"),
            '/' => id.push('-'),
            c if c.is_ascii_alphanumeric() => id.push(c),
            _ => id.push('_'),
        }
    }
    let clean = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '_');
    let doubtful = name.contains("//") || name.contains("/:") || name.contains(":/");
    if !name.chars().all(clean) || doubtful {
        id.push_str(&format!("_{:08x}", fnv1a(name.as_bytes()) as u32));
    }
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_read_like_the_names_they_are_of() {
        assert_eq!(id("air:greenhouse/north"), "air--greenhouse-north");
        assert_eq!(id("system:cpu_percent"), "system--cpu_percent");
        assert_eq!(id("a:b-c"), format!("a--b_c_{:08x}", fnv1a(b"a:b-c") as u32));
        assert_eq!(spaced("home.news:air/north_side"), "home news air north side");
    }

    proptest! {
        #[test]
        fn no_two_names_have_one_id(one in "[ab:/_-]{0,6}", other in "[ab:/_-]{0,6}") {
            prop_assert_eq!(one == other, id(&one) == id(&other), "{} {}", id(&one), id(&other));
            prop_assert!(id(&one).chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        }
    }
}
