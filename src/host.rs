//! The host this process is: its settings, its id, its data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use smollama_engine::config::host::{HostConfig, read_host};
use smollama_engine::config::load;
use smollama_engine::context::{Console, Discarded, Host};
use smollama_engine::diagnostic::{Diagnostics, Files};
use smollama_engine::disk::{RealDisk, create_dir_durably, write_atomically};
use smollama_engine::lease::Leases;
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
    let Read { config, diagnostics, files } = read(global);
    terminal::diagnostics(&diagnostics, &files)?;
    config.ok_or(Failure::BadInput)
}

/// What was found in the file of settings, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) config: Option<HostConfig>,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) files: Files,
}

/// Reads the file of settings that the user named, or the first one found; without one, all is as it is by default.
pub(crate) fn read(global: &Global) -> Read {
    let found = match &global.config {
        Some(path) => Some(path.clone()),
        None => candidates().into_iter().find(|path| path.is_file()),
    };
    let Some(path) = found else {
        let config = Some(HostConfig::default());
        return Read { config, diagnostics: Diagnostics::new(), files: Files::default() };
    };
    let mut loaded = load(&[&path], &variable);
    let mut diagnostics = std::mem::take(&mut loaded.diagnostics);
    let config = read_host(&loaded, &mut diagnostics);
    Read { config, diagnostics, files: loaded.files }
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
    let Read { config, diagnostics, files } = read(global);
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

fn home() -> Option<PathBuf> {
    variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// Where everything is kept: the flag or variable, the settings, or the user's data directory.
pub(crate) fn data_dir(global: &Global, config: &HostConfig) -> PathBuf {
    let given = global.data_dir.clone().or_else(|| config.data_dir.clone());
    let user = || {
        let data = variable("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let data = data.or_else(|| home().map(|home| home.join(".local/share")));
        data.map_or_else(|| PathBuf::from("/var/lib/smollama"), |data| data.join("smollama"))
    };
    let dir = given.unwrap_or_else(user);
    std::path::absolute(&dir).unwrap_or(dir)
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

fn host(config: HostConfig, data_dir: PathBuf, id: Uuid, console: Arc<dyn Console>) -> Host {
    let name = variable("SMOLLAMA_NODE_NAME").or(config.name).or(config.node.name);
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

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "smollama".into() } else { name.into() }
}
