//! The settings as rows: all that the reference knows, each with the value that holds.

use serde::Serialize;
use serde_json::Value as Json;
use smollama_engine::config::{Node, Scalar, Value};
use smollama_engine::reference::{self, Entry, Setting};
use smollama_engine::registry::Registry;

use crate::cli::Global;
use crate::host::{self, Read};

/// Settings over which a variable of the environment wins.
const OVERRIDES: [(&str, &str); 6] = [
    ("name", "SMOLLAMA_NODE_NAME"),
    ("data_dir", "SMOLLAMA_DATA_DIR"),
    ("mqtt.broker", "SMOLLAMA_MQTT_BROKER"),
    ("mqtt.port", "SMOLLAMA_MQTT_PORT"),
    ("mqtt.username", "SMOLLAMA_MQTT_USERNAME"),
    ("mqtt.password", "SMOLLAMA_MQTT_PASSWORD"),
];
/// A place in a path where the user names the key.
const ANY_KEY: &str = "NAME";
/// What is shown of a secret that stands somewhere as plain text.
const HIDDEN: &str = "(hidden)";

/// A setting, and what it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// `mqtt.connections.garden.port`.
    pub(super) setting: String,
    /// The value that holds; of a secret its reference. `null` where there is none.
    pub(super) value: Json,
    /// Where that comes from.
    pub(super) from: Origin,
    /// What would hold without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) over: Option<Origin>,
    /// The value as a person reads it.
    #[serde(skip)]
    pub(super) shown: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Origin {
    /// Nobody set it.
    Default,
    /// Nobody set it, and so it is what the system says.
    System {
        /// Where.
        what: &'static str,
    },
    /// A line of the file.
    File {
        /// As it was named.
        file: String,
        /// From 1.
        line: u32,
        /// In characters, from 1.
        column: u32,
        /// What stands there, where variables were put into it.
        #[serde(skip_serializing_if = "Option::is_none")]
        written: Option<String>,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: &'static str,
    },
    /// An option of this command.
    Flag {
        /// As it is written.
        flag: &'static str,
    },
}

impl Row {
    /// Whether a secret stands in the file itself.
    pub(super) fn is_plain_secret(&self) -> bool {
        let file = self.over.as_ref().unwrap_or(&self.from);
        self.value == HIDDEN && matches!(file, Origin::File { written: None, .. })
    }

    /// Where it comes from, for a person.
    pub(super) fn where_from(&self) -> String {
        match &self.over {
            Some(over) => format!("{}, over {}", self.from.text(), over.text()),
            None => self.from.text(),
        }
    }
}

impl Origin {
    fn text(&self) -> String {
        match self {
            Origin::Default => "default".into(),
            Origin::System { what } => (*what).into(),
            Origin::File { file, line, written: None, .. } => format!("{file}:{line}"),
            Origin::File { file, line, written: Some(written), .. } => {
                format!("{file}:{line}, {written}")
            }
            Origin::Environment { variable } => (*variable).into(),
            Origin::Flag { flag } => (*flag).into(),
        }
    }
}

/// All settings, in the order of the reference.
pub(super) fn rows(global: &Global, read: &Read) -> Vec<Row> {
    let all = all();
    let has_children = |setting: &Setting| {
        let below = format!("{}.", setting.path);
        all.iter().any(|other| other.path.starts_with(&below))
    };
    let leaves: Vec<&Setting> = all.iter().filter(|setting| !has_children(setting)).collect();
    let mut rows: Vec<Row> = Vec::new();
    for setting in leaves.iter().filter(|setting| !setting.path.contains(ANY_KEY)) {
        if setting.path != "node.name" {
            rows.push(row(setting, &setting.path, global, read));
        }
    }
    // What is below names of the user's own, name by name.
    for setting in all.iter().filter(|setting| setting.path.ends_with(".connections")) {
        let names = at(read.root.as_ref(), &setting.path).and_then(Node::as_mapping);
        for entry in names.map_or(&[][..], |names| names.entries()) {
            let any = format!("{}.{ANY_KEY}.", setting.path);
            for leaf in &leaves {
                if let Some(rest) = leaf.path.strip_prefix(&any) {
                    let path = format!("{}.{}.{rest}", setting.path, entry.key.text);
                    rows.push(row(leaf, &path, global, read));
                }
            }
        }
    }
    rows
}

/// Every setting of `config.yaml`, as the reference has it.
fn all() -> Vec<Setting> {
    match reference::explain(&Registry::new(), "config").map(|mut found| found.pop()) {
        Ok(Some(Entry::Topic { settings, .. })) => settings,
        _ => Vec::new(),
    }
}

fn row(setting: &Setting, path: &str, global: &Global, read: &Read) -> Row {
    let is_secret = setting.takes == "secret";
    let node = at(read.root.as_ref(), path).filter(|node| !node.is_null());
    // The name has an older way to be written.
    let node = node.or_else(|| at(read.root.as_ref(), "node.name").filter(|_| path == "name"));
    let (mut value, from) = match node {
        Some(node) => (of_node(node, is_secret), in_file(node, read)),
        None => unset(setting, path, read),
    };
    let config = read.config.clone().unwrap_or_default();
    if path == "data_dir" {
        value = host::data_dir(global, &config).display().to_string().into();
    }
    let Some((overriding, origin)) = overriding(path, global) else {
        return made(path, value, from, None);
    };
    let value = match path {
        "data_dir" => value,
        _ if is_secret => HIDDEN.into(),
        _ => of_text(&overriding),
    };
    let over = matches!(from, Origin::File { .. }).then_some(from);
    made(path, value, origin, over)
}

fn made(path: &str, value: Json, from: Origin, over: Option<Origin>) -> Row {
    let shown = match &value {
        Json::Null => "none".into(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    Row { setting: path.to_owned(), value, from, over, shown }
}

/// What wins over the file.
fn overriding(path: &str, global: &Global) -> Option<(String, Origin)> {
    let variable = OVERRIDES.iter().find(|(setting, _)| *setting == path).map(|(_, name)| *name);
    let set = variable.and_then(|name| {
        let text = host::variable(name).filter(|text| !text.is_empty())?;
        Some((text, Origin::Environment { variable: name }))
    });
    if path != "data_dir" {
        return set;
    }
    // The option and its variable are one to whoever reads them.
    let given = global.data_dir.as_ref()?.display().to_string();
    match set {
        Some((text, origin)) if text == given => Some((text, origin)),
        _ => Some((given, Origin::Flag { flag: "--data-dir" })),
    }
}

/// What holds where nobody set anything.
fn unset(setting: &Setting, path: &str, read: &Read) -> (Json, Origin) {
    let (above, _) = path.rsplit_once('.').unwrap_or_default();
    match path {
        "name" => (host::host_name().into(), Origin::System { what: "the system's host name" }),
        "timezone" => {
            let zone = jiff::tz::TimeZone::system();
            let name = zone.iana_name().unwrap_or("UTC").to_owned();
            (name.into(), Origin::System { what: "the system's zone" })
        }
        "http.token" => ("in `token` of the data directory".into(), Origin::Default),
        path if path.starts_with("mqtt") && path.ends_with(".port") => {
            let has_tls = at(read.root.as_ref(), &format!("{above}.tls")).is_some();
            ((if has_tls { 8883 } else { 1883 }).into(), Origin::Default)
        }
        // Without encryption nobody is trusted.
        _ if above.ends_with(".tls") && at(read.root.as_ref(), above).is_none() => {
            (Json::Null, Origin::Default)
        }
        _ => (setting.default.as_deref().map_or(Json::Null, of_text), Origin::Default),
    }
}

/// The node at a path of keys.
fn at<'a>(root: Option<&'a Node>, path: &str) -> Option<&'a Node> {
    path.split('.').try_fold(root?, |node, key| Some(&node.as_mapping()?.get(key)?.value))
}

fn in_file(node: &Node, read: &Read) -> Origin {
    let position = read.files.position(node.span.file, node.span.start);
    Origin::File {
        file: read.files.path(node.span.file).display().to_string(),
        line: position.line,
        column: position.column,
        written: node.as_scalar().and_then(Scalar::written).map(ToOwned::to_owned),
    }
}

/// A value as it was written. What may be a secret and is none by its form is hidden.
fn of_node(node: &Node, is_secret: bool) -> Json {
    match &node.value {
        Value::Scalar(scalar) if is_secret && scalar.secret().is_none() => HIDDEN.into(),
        // Quotes around a variable say nothing about its type.
        Value::Scalar(scalar) if scalar.written().is_some() => of_text(scalar.text()),
        Value::Scalar(scalar) => {
            let number = || serde_json::Number::from_f64(scalar.as_float()?).map(Json::Number);
            let integer = || Some(Json::from(i64::try_from(scalar.as_integer()?).ok()?));
            let boolean = scalar.as_bool().map(Json::Bool);
            boolean.or_else(integer).or_else(number).unwrap_or_else(|| scalar.text().into())
        }
        Value::Sequence(nodes) => nodes.iter().map(|node| of_node(node, is_secret)).collect(),
        Value::Mapping(mapping) => {
            let entries = mapping.entries().iter();
            Json::Object(
                entries
                    .map(|entry| (entry.key.text.to_string(), of_node(&entry.value, is_secret)))
                    .collect(),
            )
        }
        Value::Broken => Json::Null,
    }
}

/// A text outside of the file: a bool or a number where it is one. The reference says more of some defaults than what they are.
fn of_text(text: &str) -> Json {
    let text = text.strip_prefix('`').and_then(|rest| rest.split('`').next()).unwrap_or(text);
    match text.parse::<Json>() {
        Ok(value @ (Json::Bool(_) | Json::Number(_))) => value,
        _ => text.into(),
    }
}
