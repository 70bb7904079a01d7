//! Old settings of the host as a `config.yaml` of ours.

use super::left::{self, Left};
use super::old::{Old, expanded, value};
use crate::commands::init::files::CONFIG_SCHEMA;
use crate::host;

/// Where the password of the broker is kept, below the folder.
pub(super) const PASSWORD: &str = "secrets/mqtt_password";

/// What the old program called itself where nobody said otherwise.
const NAME: &str = "smollama-node";

/// The settings of the host.
#[derive(Debug)]
pub(super) struct Settings {
    /// `config.yaml`.
    pub(super) text: String,
    /// The password of the broker, if there is one.
    pub(super) password: Option<String>,
    pub(super) left: Vec<Left>,
}

/// What role an old node had, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) is_edge: bool,
    /// How often an edge node publishes, in seconds.
    pub(super) every_s: u64,
    /// What stands before the topics it publishes to, if that is not `smollama/<name>`.
    pub(super) prefix: Option<String>,
}

impl Role {
    pub(super) fn of(old: &Old) -> Role {
        let name = old.text("node.name").unwrap_or_else(|| NAME.into());
        let prefix = old.text("mqtt.topics.publish_prefix");
        let usual = ["smollama".to_owned(), format!("smollama/{name}")];
        let prefix = prefix.map(|prefix| prefix.trim_matches('/').to_owned());
        Role {
            is_edge: old.text("agent.mode").as_deref() == Some("edge"),
            every_s: old
                .number("agent.edge_publish_interval_seconds")
                .unwrap_or(30)
                .clamp(1, 86_400),
            prefix: prefix.filter(|prefix| !prefix.is_empty() && !usual.contains(prefix)),
            name,
        }
    }
}

/// Writes them. `zone` is the zone of this machine, if it has a name.
pub(super) fn settings(
    old: &Old,
    role: &Role,
    zone: Option<&str>,
    topics: &[(String, String)],
) -> Settings {
    let mut refused: Vec<(String, String)> = topics.to_vec();
    let (mqtt, password) = mqtt(old, &mut refused);
    let mut text = head(old);
    let name = line("name", &value(&role.name), &old.origin("node.name"));
    text += &format!("\n# The name of this machine in what it sends and shows.\n{name}");
    text += &match zone {
        Some(zone) => format!(
            "\n# The zone for time of day and calendar days. The old program took it from the system.\ntimezone: {zone}\n"
        ),
        None => "\n# The zone for time of day and calendar days.\n# timezone: Europe/Berlin\n"
            .to_owned(),
    };
    if role.is_edge {
        text += "\n# It tells a hub what its sensors say, on the old program's topic and in its form.\n";
        text += &line("role", "edge", &old.origin("agent.mode"));
        let key = "agent.edge_publish_interval_seconds";
        text += &line("edge_publish_interval_seconds", &role.every_s.to_string(), &old.origin(key));
    }
    text += &mqtt;
    let left = left::left(old, &refused);
    if !left.is_empty() {
        text += "\n# What else stood in the old settings, each with why it has no place here. The old file is as it was.\n";
        for one in &left {
            text += &format!("#\n{}", one.comment());
        }
    }
    Settings { text, password, left }
}

fn head(old: &Old) -> String {
    let from: String = match &old.configs[..] {
        [] => "# a Python Smollama without settings of its own.\n".into(),
        configs => configs
            .iter()
            .map(|path| {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                format!("#   {}\n", crate::text::plain(&path.display().to_string()))
            })
            .collect(),
    };
    format!(
        "# yaml-language-server: $schema={CONFIG_SCHEMA}
#
# What belongs to this machine, not to a pipeline. Written by `smollama import` from
{from}#
# Behind each setting stands where it came from. `smollama config check` shows the value of every setting and where it comes
# from, `smollama explain config.SETTING` explains one, and `smollama doctor` tries them out.
"
    )
}

fn line(key: &str, value: &str, origin: &str) -> String {
    format!("{key}: {value}  # {}\n", crate::text::plain(origin))
}

/// The broker, and its password. `refused` takes what cannot be taken over, with the reason.
fn mqtt(old: &Old, refused: &mut Vec<(String, String)>) -> (String, Option<String>) {
    let mut lines = String::new();
    if let Some(broker) = old.text("mqtt.broker").filter(|broker| !broker.trim().is_empty()) {
        lines +=
            &format!("  {}", line("broker", &value(broker.trim()), &old.origin("mqtt.broker")));
    }
    match old.number("mqtt.port") {
        Some(port) if (1..=65_535).contains(&port) => {
            lines += &format!("  {}", line("port", &port.to_string(), &old.origin("mqtt.port")));
        }
        _ if old.get("mqtt.port").is_some() => {
            refused.push(("mqtt.port".into(), "it is no port, so that it is 1883".into()));
        }
        _ => {}
    }
    let [username, password] =
        ["mqtt.username", "mqtt.password"].map(|key| old.text(key).filter(|text| !text.is_empty()));
    let password = match (username, password) {
        (Some(username), Some(password)) => {
            let origin = old.origin("mqtt.username");
            lines += &format!("  {}", line("username", &value(&username), &origin));
            let reference = format!("secret://file/./{PASSWORD}");
            lines += &format!("  {}", line("password", &reference, &old.origin("mqtt.password")));
            Some(password)
        }
        (None, None) => None,
        (username, _) => {
            let (key, other) = match username {
                Some(_) => ("mqtt.username", "password"),
                None => ("mqtt.password", "username"),
            };
            refused.push((key.into(), format!("without a {other} the old program did not use it")));
            None
        }
    };
    if lines.is_empty() {
        return (lines, password);
    }
    (format!("\n# The broker this machine speaks MQTT with.\nmqtt:\n{lines}"), password)
}

/// A file of the old settings as an absolute path, for whoever does not know `~`.
pub(super) fn absolute(path: &str) -> std::path::PathBuf {
    let path = expanded(path, host::home().as_deref());
    std::path::absolute(&path).unwrap_or(path)
}
