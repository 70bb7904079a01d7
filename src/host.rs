//! The host this process is: its settings, its id, its data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use smollama_engine::config::host::{HostConfig, read_host};
use smollama_engine::config::mqtt::MqttConfig;
use smollama_engine::config::{Node, Secret, Variable, load};
use smollama_engine::context::{Console, Discarded, Host};
use smollama_engine::diagnostic::{Diagnostic, Diagnostics, Files, Span, quoted, rules};
use smollama_engine::disk::{RealDisk, create_dir_durably, write_atomically};
use smollama_engine::lease::Leases;
use smollama_engine::plan::edge;
use smollama_engine::registry::Registry;
use smollama_engine::running::Running;
use smollama_engine::series::SeriesTable;
use uuid::Uuid;

use crate::cli::Global;
use crate::terminal::{self, Failure};

/// Looks up a variable of the environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The settings of the host, out of the file the user named or the first one found.
pub(crate) fn settings(global: &Global) -> Result<HostConfig, Failure> {
    let Read { config, diagnostics, files, .. } = read(global);
    terminal::diagnostics(&diagnostics, &files)?;
    config.ok_or(Failure::BadInput)
}

/// What was found in the file of settings, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) config: Option<HostConfig>,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) files: Files,
    /// The file; `None` where there is none.
    pub(crate) path: Option<PathBuf>,
    /// What stands in it.
    pub(crate) root: Option<Node>,
    /// The variables and secrets that it takes values from.
    pub(crate) variables: Vec<Variable>,
}

/// Reads the file of settings that the user named, or the first one found; without one, all is as it is by default.
pub(crate) fn read(global: &Global) -> Read {
    let path = match &global.config {
        Some(path) => Some(path.clone()),
        None => candidates().into_iter().find(|path| path.is_file()),
    };
    let mut read = match path {
        None => Read {
            config: Some(HostConfig::default()),
            diagnostics: Diagnostics::new(),
            files: Files::default(),
            path: None,
            root: None,
            variables: Vec::new(),
        },
        Some(path) => {
            let mut loaded = load(&[&path], &variable);
            let mut diagnostics = std::mem::take(&mut loaded.diagnostics);
            Read {
                config: read_host(&loaded, &mut diagnostics),
                diagnostics,
                path: Some(path),
                root: loaded.documents.into_iter().next().map(|document| document.root),
                variables: loaded.reads.into_values().flat_map(|file| file.variables).collect(),
                files: loaded.files,
            }
        }
    };
    if let Some(config) = &mut read.config {
        override_broker(&mut config.mqtt, &variable, &mut read.diagnostics);
    }
    read
}

/// The variables of the Python original win over what is written directly below `mqtt`. An empty one counts as none.
fn override_broker(
    mqtt: &mut MqttConfig,
    lookup: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Diagnostics,
) {
    let set = |name: &str| lookup(name).filter(|text| !text.is_empty());
    mqtt.broker = set("SMOLLAMA_MQTT_BROKER").or(mqtt.broker.take());
    if let Some(text) = set("SMOLLAMA_MQTT_PORT") {
        match text.trim().parse::<u16>() {
            Ok(port) if port > 0 => mqtt.port = Some(port),
            _ => {
                let message =
                    format!("`SMOLLAMA_MQTT_PORT` is {}, which is no port", quoted(&text));
                let error = Diagnostic::error(&rules::BAD_VALUE, Span::NOWHERE, message);
                diagnostics.push(error.help("set it to a number from 1 to 65535, such as 1883"));
            }
        }
    }
    mqtt.username = set("SMOLLAMA_MQTT_USERNAME").map(Secret::literal).or(mqtt.username.take());
    mqtt.password = set("SMOLLAMA_MQTT_PASSWORD").map(Secret::literal).or(mqtt.password.take());
}

/// All types of node, for the brokers and the role of this host.
pub(crate) fn registry(global: &Global) -> Registry {
    let config = read(global).config.unwrap_or_default();
    smollama_nodes::registry().with_brokers(&config.mqtt).with_edge(edge::interval(&config))
}

/// Where an engine is looked for.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) data_dir: PathBuf,
    /// The zone its times are shown in.
    pub(crate) zone: TimeZone,
}

/// Finds the data directory as an engine does, and makes nothing. Warnings about the settings are left to the engine.
pub(crate) fn locate(global: &Global) -> Result<Place, Failure> {
    let Read { config, diagnostics, files, .. } = read(global);
    let config = match config {
        Some(config) if !diagnostics.has_errors() => config,
        _ => {
            terminal::diagnostics(&diagnostics, &files)?;
            return Err(Failure::BadInput);
        }
    };
    let data_dir = data_dir(global, &config);
    is_folder(&data_dir)?;
    Ok(Place { data_dir, zone: config.timezone.map_or_else(TimeZone::system, |zone| zone.0) })
}

/// Refuses a data directory that is something else.
fn is_folder(data_dir: &Path) -> Result<(), Failure> {
    match std::fs::metadata(data_dir) {
        Ok(found) if !found.is_dir() => Err(Failure::Failed(format!(
            "the data directory {} is a file\n  help: choose a folder with `--data-dir DIR`",
            data_dir.display()
        ))),
        _ => Ok(()),
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("config.yaml"), PathBuf::from("config.yml")];
    if let Some(home) = home() {
        paths.push(home.join(".smollama/config.yaml"));
        paths.push(home.join(".smollama/config.yml"));
    }
    paths
}

/// The user's own folder.
pub(crate) fn home() -> Option<PathBuf> {
    variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// Where everything is kept: the flag or variable, the settings, or the user's data directory.
pub(crate) fn data_dir(global: &Global, config: &HostConfig) -> PathBuf {
    let given = global.data_dir.clone().or_else(|| config.data_dir.clone());
    let dir = given.unwrap_or_else(usual_data_dir);
    std::path::absolute(&dir).unwrap_or(dir)
}

/// Where everything is kept if nobody says otherwise: in the user's data directory.
fn usual_data_dir() -> PathBuf {
    let data = variable("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let data = data.or_else(|| home().map(|home| home.join(".local/share")));
    data.map_or_else(|| PathBuf::from("/var/lib/smollama"), |data| data.join("smollama"))
}

/// Opens the host: makes its data directory and, at first start, its id.
pub(crate) fn open(global: &Global, console: Arc<dyn Console>) -> Result<Host, Failure> {
    let config = settings(global)?;
    let data_dir = data_dir(global, &config);
    let failed = |what: &str, error: std::io::Error| {
        let path = data_dir.display();
        Failure::Failed(format!(
            "cannot {what} in the data directory {path}: {error}\n  help: choose another one with `--data-dir DIR`"
        ))
    };
    is_folder(&data_dir)?;
    create_dir_durably(&RealDisk, &data_dir).map_err(|error| failed("make a folder", error))?;
    let id = host_id(&data_dir).map_err(|error| failed("keep the host's id", error))?;
    Ok(host(config, data_dir, id, console))
}

/// The host as far as it is known, for whoever only looks: nothing is made.
pub(crate) fn look(global: &Global) -> Result<Host, Failure> {
    let data_dir = locate(global)?.data_dir;
    let config = read(global).config.unwrap_or_default();
    let id = std::fs::read_to_string(data_dir.join("host_id")).ok();
    let id = id.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    Ok(host(config, data_dir, id, Arc::new(Discarded)))
}

/// A host that keeps nothing, to try a node on.
pub(crate) fn nowhere() -> Host {
    host(HostConfig::default(), PathBuf::new(), Uuid::nil(), Arc::new(Discarded))
}

fn host(config: HostConfig, data_dir: PathBuf, id: Uuid, console: Arc<dyn Console>) -> Host {
    let set = variable("SMOLLAMA_NODE_NAME").filter(|name| !name.is_empty());
    let name = set.or(config.name).or(config.node.name);
    Host {
        name: name.unwrap_or_else(host_name),
        id,
        timezone: config.timezone.map_or_else(TimeZone::system, |zone| zone.0),
        disk: RealDisk::shared(),
        console,
        series: SeriesTable::new(config.limits.series),
        aliases: config.aliases,
        mqtt: config.mqtt,
        leases: Leases::default(),
        running: Running::default(),
        data_dir,
    }
}

fn host_id(data_dir: &Path) -> std::io::Result<Uuid> {
    let path = data_dir.join("host_id");
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            let message = format!("{} holds no id; remove it to get a new one", path.display());
            std::io::Error::new(std::io::ErrorKind::InvalidData, message)
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            write_atomically(&RealDisk, &path, format!("{id}\n").as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

/// What the system calls this machine.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "smollama".into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_win_over_the_broker_of_the_file() {
        let mut mqtt = MqttConfig {
            broker: Some("there".into()),
            username: Some(Secret::literal("pi")),
            ..MqttConfig::default()
        };
        let mut found = Diagnostics::new();
        let variables = |name: &str| match name {
            "SMOLLAMA_MQTT_BROKER" => Some("here".to_owned()),
            "SMOLLAMA_MQTT_PORT" => Some("1999".to_owned()),
            "SMOLLAMA_MQTT_USERNAME" => Some(String::new()),
            "SMOLLAMA_MQTT_PASSWORD" => Some("raspberry".to_owned()),
            _ => None,
        };
        override_broker(&mut mqtt, &variables, &mut found);
        assert!(found.is_empty());
        assert_eq!((mqtt.broker.as_deref(), mqtt.port), (Some("here"), Some(1999)));
        assert_eq!(mqtt.username.as_ref().map(Secret::expose), Some("pi"), "an empty one is none");
        assert_eq!(mqtt.password.as_ref().map(Secret::expose), Some("raspberry"));

        for bad in ["0", "65536", "mqtt"] {
            let mut found = Diagnostics::new();
            let port = |name: &str| (name == "SMOLLAMA_MQTT_PORT").then(|| bad.to_owned());
            override_broker(&mut mqtt, &port, &mut found);
            assert!(found.has_errors(), "{bad}");
            assert_eq!(mqtt.port, Some(1999));
        }
    }
}
