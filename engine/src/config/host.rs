//! `config.yaml`: what belongs to the host, not to a graph.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::http::HttpConfig;
use super::load::Loaded;
use super::mqtt::MqttConfig;
use super::tree::{Entry, Mapping, Node, Value};
use super::{Spanned, read};
use crate::bytes::ByteSize;
use crate::diagnostic::{Diagnostic, Diagnostics, Span, rules};
use crate::duration::Duration;
use crate::series::SeriesTable;

/// The settings of a host. Every key may be left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// The name of this machine in what it sends and shows. Default: the system's host name. `SMOLLAMA_NODE_NAME` wins over it.
    pub name: Option<String>,
    /// The name as the Python original wrote it: `node: { name: kitchen }`.
    pub node: NodeSection,
    /// `edge`: each pipeline publishes the state of its sources every `edge_publish_interval_seconds`, to the broker directly below `mqtt`, on
    /// `smollama/<name>/readings`, as an edge node of the Python original does.
    pub role: Option<Role>,
    /// How often an edge host publishes. Default 30.
    pub edge_publish_interval_seconds: Option<NonZeroU32>,
    /// Where everything that is kept lies. Default `~/.local/share/smollama`; `--data-dir` and `SMOLLAMA_DATA_DIR` win over it.
    pub data_dir: Option<PathBuf>,
    /// The zone for time of day and calendar, by its IANA name such as `Europe/Berlin`. Default: the system's.
    pub timezone: Option<Timezone>,
    /// Old ids of sources and what they are called now, such as `{ "mqtt:kitchen": "air:kitchen" }`: for state and history to go on.
    pub aliases: std::collections::BTreeMap<String, String>,
    /// Bounds on what a stranger can grow.
    pub limits: Limits,
    /// The API and the dashboard over TCP.
    pub http: HttpConfig,
    /// What enters is kept here until it has taken effect.
    pub journal: JournalConfig,
    /// The brokers this host speaks MQTT with.
    pub mqtt: MqttConfig,
}

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It has sensors, and tells a hub what they say.
    Edge,
}

/// How what enters is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// What an acknowledged reading survives. Default `power`.
    pub durability: DurabilityWord,
    /// How long at most what was written waits for a sync, where no sender waits for one. Default `5s`.
    pub flush: Duration,
    /// How many bytes it may take. A full journal acknowledges nothing more until there is room. Default `64MiB`, at least `64KiB`.
    pub size: ByteSize,
}

impl Default for JournalConfig {
    fn default() -> Self {
        JournalConfig {
            durability: DurabilityWord::Power,
            flush: Duration::from_secs(5),
            size: ByteSize::mib(64),
        }
    }
}

/// What an acknowledged reading survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityWord {
    /// A power cut: a sender is told after a sync.
    #[default]
    Power,
    /// The end of the process: a sender is told after the write. A power cut takes at most what came since the last `flush`.
    Process,
}

/// `node` of the Python original.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSection {
    /// The name of this machine.
    pub name: Option<String>,
}

/// Bounds of a host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many series the host may hold. When it holds as many, those that were silent for a day make room. Default 100000.
    pub series: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { series: SeriesTable::DEFAULT_CAP }
    }
}

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timezone(pub jiff::tz::TimeZone);

impl<'de> Deserialize<'de> for Timezone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let zone = jiff::tz::TimeZone::get(&name).map_err(|_| {
            let message =
                format!("there is no time zone `{name}`\nhelp: write it like Europe/Berlin or UTC");
            serde::de::Error::custom(rules::BAD_VALUE.says(message))
        })?;
        Ok(Timezone(zone))
    }
}

impl JsonSchema for Timezone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timezone".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "The IANA name of a time zone.",
            "examples": ["Europe/Berlin", "UTC"]
        })
    }
}

/// Sections that the Python original knew and that mean nothing to this version.
pub const ORIGINAL_SECTIONS: [&str; 9] =
    ["ollama", "gpio", "agent", "memory", "sync", "mem0", "discovery", "plugins", "cluster"];

/// Reads the settings of a host out of a loaded `config.yaml`. Sections of the Python original that mean nothing yet are a warning
/// each.
pub fn read_host(loaded: &Loaded, diagnostics: &mut Diagnostics) -> Option<HostConfig> {
    let Some(document) = loaded.documents.first() else { return Some(HostConfig::default()) };
    let root = without_original_sections(&document.root, diagnostics);
    let config: Spanned<HostConfig> =
        read(&root, Span::file(document.file), "`config.yaml`", diagnostics)?;
    let mut config = config.into_inner();
    if let Some(tree) = root.as_mapping().and_then(|root| root.get("mqtt")) {
        super::mqtt::check(&config.mqtt, &tree.value, diagnostics);
    }
    let folder = loaded.files.path(document.file).parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    config.mqtt.resolve_paths(folder.unwrap_or(Path::new(".")));
    Some(config)
}

fn without_original_sections(root: &Node, diagnostics: &mut Diagnostics) -> Node {
    let Value::Mapping(mapping) = &root.value else { return root.clone() };
    let mut kept = Vec::new();
    for entry in mapping.entries() {
        if ORIGINAL_SECTIONS.contains(&&*entry.key.text) {
            let message = format!("`{}` means nothing to this version", entry.key.text);
            diagnostics.push(Diagnostic::warning(&rules::UNKNOWN_KEY, entry.key.span, message));
        } else if &*entry.key.text == "mqtt" {
            let value = super::mqtt::without_topics(&entry.value, diagnostics);
            kept.push(Entry { key: entry.key.clone(), value });
        } else {
            kept.push(entry.clone());
        }
    }
    Node { span: root.span, value: Value::Mapping(Mapping::new(kept)) }
}
