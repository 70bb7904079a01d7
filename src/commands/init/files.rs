//! The files that are written, and what stands in them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use smollama_engine::config::pipelines_in;
use smollama_engine::disk::{RealDisk, write_atomically};
use smollama_engine::schema;

use super::surroundings::{Found, Surroundings};
use crate::cli::setup::HostPort;
use crate::host;
use crate::text::Tone;

/// A file to write.
#[derive(Debug)]
pub(in crate::commands) struct Draft {
    /// Below the folder.
    pub(in crate::commands) path: &'static str,
    pub(in crate::commands) text: String,
    /// Whether nobody else may read it.
    pub(in crate::commands) is_secret: bool,
}

impl Draft {
    pub(in crate::commands) fn new(path: &'static str, text: String) -> Draft {
        Draft { path, text, is_secret: false }
    }
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::commands) enum Outcome {
    /// It was not there.
    Written,
    /// It was there, and is another one now.
    Replaced,
    /// It is there, with these very contents.
    Same,
    /// It is there with other contents, and was left alone.
    Kept,
    /// It would be written.
    Planned,
    /// There are pipelines already, so that a first one is not needed.
    NotNeeded,
}

impl Outcome {
    /// The word for it, and how that is meant.
    pub(in crate::commands) fn word(self) -> (Tone, &'static str) {
        match self {
            Outcome::Written => (Tone::Good, "written"),
            Outcome::Replaced => (Tone::Good, "replaced"),
            Outcome::Planned => (Tone::Plain, "new"),
            Outcome::Same => (Tone::Faint, "as it is"),
            Outcome::Kept => (Tone::Doubtful, "kept"),
            Outcome::NotNeeded => (Tone::Faint, "left out"),
        }
    }
}

/// What is said of a file.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct FileReport {
    pub(in crate::commands) path: &'static str,
    pub(in crate::commands) outcome: Outcome,
    /// What stands in it, or would: with `--dry-run`, and not of a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) text: Option<String>,
}

pub(in crate::commands) const CONFIG: &str = "config.yaml";
pub(in crate::commands) const PIPELINE: &str = "pipelines/home.yaml";
pub(in crate::commands) const CONFIG_SCHEMA: &str = "schema/config.schema.json";
pub(in crate::commands) const PIPELINE_SCHEMA: &str = "schema/pipeline.schema.json";

/// The files for what was found. `place` is where a broker was looked for.
pub(super) fn drafts(found: &Surroundings, place: &HostPort) -> Vec<Draft> {
    let [config_schema, pipeline_schema] = schemas();
    vec![
        Draft::new(CONFIG, config(found, place)),
        Draft::new(PIPELINE, pipeline(found)),
        config_schema,
        pipeline_schema,
    ]
}

/// What makes an editor check both kinds of file.
pub(in crate::commands) fn schemas() -> [Draft; 2] {
    let registry = smollama_nodes::registry();
    let json = |schema: &serde_json::Value| format!("{schema:#}\n");
    [
        Draft::new(CONFIG_SCHEMA, json(&schema::config_schema())),
        Draft::new(PIPELINE_SCHEMA, json(&schema::pipeline_schema(&registry))),
    ]
}

/// Writes a file, unless it is there: then only by force. `plan_only`: says what would become of it.
///
/// # Errors
/// Whatever the file system says.
pub(in crate::commands) fn write(
    folder: &Path,
    draft: &Draft,
    force: bool,
    plan_only: bool,
) -> io::Result<Outcome> {
    let path = folder.join(draft.path);
    let is_there = match fs::symlink_metadata(&path) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if is_there && fs::read(&path).is_ok_and(|bytes| bytes == draft.text.as_bytes()) {
        return Ok(Outcome::Same);
    }
    if is_there && !force {
        return Ok(Outcome::Kept);
    }
    if plan_only {
        return Ok(Outcome::Planned);
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if is_there && !draft.is_secret {
        write_atomically(&RealDisk, &path, draft.text.as_bytes())?;
        return Ok(Outcome::Replaced);
    }
    if is_there {
        // Made anew: whoever had the old one open does not see what comes.
        fs::remove_file(&path)?;
    }
    // Whoever makes it at this very moment keeps it.
    let mut options = File::options();
    options.write(true).create_new(true);
    if draft.is_secret {
        options.mode(0o600);
    }
    let mut file = match options.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Outcome::Kept),
        file => file?,
    };
    let written = file.write_all(draft.text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file would be kept the next time.
        let _ = fs::remove_file(&path);
    }
    written.map(|()| if is_there { Outcome::Replaced } else { Outcome::Written })
}

/// Whether a first pipeline is not needed, since there are others.
pub(super) fn has_pipelines(folder: &Path) -> bool {
    let path = folder.join(PIPELINE);
    let others = path.parent().and_then(|folder| pipelines_in(folder).ok()).unwrap_or_default();
    !others.is_empty() && !others.contains(&path)
}

fn config(found: &Surroundings, place: &HostPort) -> String {
    let name = host::host_name();
    let zone = jiff::tz::TimeZone::system();
    let zone = match zone.iana_name() {
        Some(zone) => format!("timezone: {zone}"),
        None => "# timezone: Europe/Berlin".into(),
    };
    let mqtt = mqtt(&found.broker.found, place);
    format!(
        "# yaml-language-server: $schema={CONFIG_SCHEMA}
#
# What belongs to this machine, not to a pipeline. Every key may be left out; what stands behind a # is the default, or
# what could stand there. `smollama config check` shows the value of every setting and where it comes from,
# `smollama explain config.SETTING` explains one, and `smollama doctor` tries them out.

# The name of this machine in what it sends and shows. Default: the system's host name.
# name: {name}

# The zone for time of day and calendar days.
{zone}

# Where everything that is kept lies.
# data_dir: ~/.local/share/smollama

# What is acknowledged to a sender survives a power cut (`power`), or the end of the process (`process`: fewer writes, for SD cards).
# journal: {{ durability: power, flush: 5s, size: 64MiB }}

# The API. Any address beyond this machine needs a token of your own.
# http: {{ host: 127.0.0.1, port: 8080 }}

{mqtt}"
    )
}

fn mqtt(found: &Found, place: &HostPort) -> String {
    let HostPort { host, port } = place;
    // Quoted where YAML would read something else.
    let host = if host.contains(':') { format!("\"{host}\"") } else { host.clone() };
    let port = match port {
        1883 => "# 1883, and 8883 with tls.\n  # port: 1883".to_owned(),
        other => format!("port: {other}"),
    };
    let rest =
        "  # Files as PEM, relative to this one. `tls: {}` trusts the authorities of the system.
  # tls: { ca: certs/ca.pem }
  # More brokers, for nodes that say `connection: garden`.
  # connections: { garden: { broker: 10.0.0.7 } }
";
    match found {
        Found::Open { .. } => format!(
            "# The broker this machine speaks MQTT with. It answered when this was written, and asked for no password.
mqtt:
  broker: {host}
  {port}
  # username: smollama
  # password: secret://env/MQTT_PASSWORD
{rest}"
        ),
        Found::Locked => format!(
            "# The broker this machine speaks MQTT with. It wants a user name and a password: write them here, and into the environment.
mqtt:
  broker: {host}
  {port}
  # username: smollama
  # password: secret://env/MQTT_PASSWORD
{rest}"
        ),
        Found::Nothing => {
            format!(
                "# No broker answered when this was written, so this program is one: for this machine, or with `broker: 0.0.0.0`, a username and
# a password for others, too. It is made for a handful of devices; for more, run mosquitto and leave `embedded` out.
mqtt:
  embedded: true
  {port}
  # broker: 0.0.0.0
  # username: smollama
  # password: secret://env/MQTT_PASSWORD
"
            )
        }
        Found::Strange { .. } => "# The broker this machine speaks MQTT with.
# mqtt:
#   broker: localhost
#   username: smollama
#   password: secret://env/MQTT_PASSWORD
"
        .to_owned(),
    }
}

const BOARD: &str = "  \
  # This machine: CPU, temperatures, memory, disks, network. `smollama nodes system` says what there is.
  board:
    every: 10s
    system: {}
";

const MADE_UP: &str = "  \
  # Made up, since this machine has no sensors that can be read. Others: `smollama nodes`.
  board:
    every: 10s
    simulate: { base: 21, noise: 0.1, unit: °C }
";

const DEVICES_TEST: &str = "  \
  - name: what a device says again and again is kept once
    given:
      - { node: devices, source: \"mqtt:sensors/kitchen/temperature\", from: 0s, every: 1m, count: 30, value: 21.5 }
      - { node: devices, source: \"mqtt:sensors/kitchen/temperature\", at: 30m, value: 24 }
    expect:
      - { node: changes, count: 2 }
      - { node: changes, at: 30m, reading: { source: \"mqtt:sensors/kitchen/temperature\", value: 24 } }
";

const TRANSFORMS_AND_SINKS: &str = "  \
  # A value that barely moved is not worth writing down again, but once an hour it is, so that silence means something.
  changes:
    inputs: [scored]
    dedup: { deadband: 2%, heartbeat: 1h }
  news:
    inputs: [scored]
    filter: { score: { min: 1 } }

sinks:
  screen:
    inputs: [news]
    console: {}
  # Any Parquet reader opens it: in the data directory, below `history`.
  history:
    inputs: [changes]
    parquet: { keep: 365d }
  # Entities in Home Assistant, and a topic for each source.
  # out:
  #   inputs: [changes]
  #   mqtt: { topic: \"smollama/home/{{ source }}\", retain: true, discovery: true }
";

fn pipeline(found: &Surroundings) -> String {
    let (board, values) = match found.sensors.is_empty() {
        false => (BOARD, "system:cpu_percent"),
        true => (MADE_UP, "simulate:value"),
    };
    // Nothing is to wait for a broker that lets nobody in.
    let speaks = matches!(found.broker.found, Found::Open { .. } | Found::Nothing);
    let (mark, scored, devices_test) = match speaks {
        true => ("", "[board, devices]", DEVICES_TEST),
        false => ("# ", "[board]", ""),
    };
    format!(
        "# yaml-language-server: $schema=../{PIPELINE_SCHEMA}
#
# A first pipeline. `smollama apply pipelines/` runs it, and after a change shows what that changes; `smollama test pipelines/`
# runs the tests below; `smollama nodes` lists what else there is.
pipeline: home
description: What is unlike the last days is shown, and what changed is kept

sources:
{board}  # What devices publish, as JSON or plain numbers: smollama mqtt pub sensors/kitchen '{{\"temperature\": 21.5}}'
  {mark}devices:
  {mark}  mqtt: {{ topic: \"sensors/#\" }}

transforms:
  # How unlike anything seen lately is it? 1 and more is news. The first hundred readings of each source only teach.
  scored:
    inputs: {scored}
    novelty: {{}}
{TRANSFORMS_AND_SINKS}
tests:
  - name: a steady value is quiet, and a sudden one is news at once
    given:
      - {{ node: board, source: \"{values}\", from: 0s, every: 10s, count: 360, value: 12, noise: 1 }}
      - {{ node: board, source: \"{values}\", at: 1h1m, value: 97 }}
    expect:
      - {{ node: news, at: 1h1m, reading: {{ source: \"{values}\", value: 97 }} }}
{devices_test}"
    )
}

#[cfg(test)]
mod tests {
    use smollama_engine::config::Loader;
    use smollama_engine::config::host::read_host;

    use super::super::surroundings::Broker;
    use super::*;

    /// That both texts are right, whatever was found, and what they say.
    fn written(found: Found, sensors: &[&str]) -> (String, String) {
        let broker = Broker { place: "there".into(), found };
        let sensors = sensors.iter().map(|&name| name.to_owned()).collect();
        let found = Surroundings { sensors, broker, ollama: None, original: Vec::new() };
        let place = HostPort { host: "::1".into(), port: 1884 };
        let (config, pipeline) = (config(&found, &place), pipeline(&found));
        let nothing = |_: &str| None;
        let mut loader = Loader::new(&nothing);
        loader.text(Path::new(CONFIG), &config);
        let mut loaded = loader.finish();
        let mut said = std::mem::take(&mut loaded.diagnostics);
        assert!(read_host(&loaded, &mut said).is_some() && said.is_empty(), "{config}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home.yaml");
        fs::write(&path, &pipeline).unwrap();
        let planned = smollama_engine::plan::plan(&[path], &nothing, &smollama_nodes::registry());
        let said = planned.diagnostics.render(&planned.files, false);
        assert!(planned.diagnostics.is_empty(), "{said}\n{pipeline}");
        (config, pipeline)
    }

    #[test]
    fn what_is_written_is_right_whatever_was_found() {
        let open = Found::Open { mqtt: "5", name: None };
        let (config, pipeline) = written(open, &["system:cpu_temp"]);
        assert!(config.contains("\n  broker: \"::1\"\n  port: 1884\n"), "{config}");
        assert!(pipeline.contains("\n    system: {}\n") && pipeline.contains("\n  devices:\n"));
        let (config, pipeline) = written(Found::Nothing, &[]);
        assert!(config.contains("\n  embedded: true\n"), "{config}");
        assert!(pipeline.contains("simulate: {") && pipeline.contains("\n  devices:\n"));
        let (config, pipeline) = written(Found::Locked, &[]);
        assert!(config.contains("\n  broker: ") && pipeline.contains("\n  # devices:\n"));
        let (config, pipeline) = written(Found::Strange { why: "x".into() }, &[]);
        assert!(config.contains("\n# mqtt:\n") && pipeline.contains("\n  # devices:\n"));
    }
}
