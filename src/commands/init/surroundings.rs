//! What there is on this machine that a host could use. Nothing of it is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;
use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::config::host::ORIGINAL_SECTIONS;
use smollama_engine::config::mqtt::{MqttBroker, MqttVersion};
use smollama_engine::config::{Node, load};
use smollama_engine::context::{Context, Host};
use smollama_engine::node;
use smollama_engine::registry::NodeConfig;
use smollama_nodes::io::mqtt::{Client, Qos, Reason, greet};
use smollama_nodes::io::tls;
use smollama_nodes::sources::system::SystemConfig;
use tokio::time::timeout;

use crate::cli::setup::HostPort;
use crate::host;

/// How long anybody has to answer.
const WITHIN: Duration = Duration::from_secs(2);
/// How long a broker has to say what it is.
const NAME_WITHIN: Duration = Duration::from_millis(500);
/// The largest answer of an Ollama that is read.
const ANSWER_MAX: usize = 1 << 20;

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Surroundings {
    /// The sources that this machine's own sensors give, such as `system:cpu_temp`; none where it has no `/proc`.
    pub(super) sensors: Vec<String>,
    pub(super) broker: Broker,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ollama: Option<Ollama>,
    /// Settings and data of a Python Smollama.
    pub(super) original: Vec<PathBuf>,
}

/// What answers where a broker would.
#[derive(Debug, Serialize)]
pub(super) struct Broker {
    /// Where it was looked for.
    pub(super) place: String,
    #[serde(flatten)]
    pub(super) found: Found,
}

/// See [`Broker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Found {
    /// A broker that takes whoever comes, or knows the user of the settings.
    Open {
        /// The version of the protocol.
        mqtt: &'static str,
        /// What it calls itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// A broker that wants to know who comes.
    Locked,
    /// Something that is no broker, or one that cannot be spoken with.
    Strange {
        /// Why not.
        why: String,
    },
    /// Nothing.
    Nothing,
}

/// An Ollama.
#[derive(Debug, Serialize)]
pub(super) struct Ollama {
    pub(super) place: String,
    pub(super) version: String,
    pub(super) models: Vec<String>,
}

/// Looks around. `settings` are those of the broker.
pub(super) async fn look(
    settings: &MqttBroker,
    place: &HostPort,
    ollama: &HostPort,
    folder: &Path,
) -> Surroundings {
    let (sensors, found, ollama) =
        tokio::join!(sensors(host::nowhere()), broker(settings), self::ollama(ollama));
    Surroundings {
        sensors,
        broker: Broker { place: place.to_string(), found },
        ollama,
        original: original(folder, host::home().as_deref()),
    }
}

/// What the source `system` finds here.
async fn sensors(host: Host) -> Vec<String> {
    let host = Arc::new(host);
    let context = Context::new(host.clone(), "init/system", SystemConfig::TYPE);
    let Ok(node::Node::Source(mut source)) = SystemConfig::default().build(&context) else {
        return Vec::new();
    };
    // What it finds is in the table then, whatever it could read of it.
    let _ = source.read(SystemClock::default().now()).await;
    let mut found: Vec<String> =
        host.series.all().iter().map(|series| series.source.name().to_owned()).collect();
    found.sort();
    found
}

async fn broker(settings: &MqttBroker) -> Found {
    match greet(settings, WITHIN).await {
        Ok((greeting, client)) => Found::Open {
            mqtt: if greeting.version == MqttVersion::V3 { "3.1.1" } else { "5" },
            name: timeout(NAME_WITHIN, name(client)).await.ok().flatten(),
        },
        Err(why) => match why.reason {
            Reason::Refused => Found::Locked,
            Reason::Nobody => Found::Nothing,
            _ => Found::Strange { why: why.text },
        },
    }
}

/// What a broker calls itself, where it does.
async fn name(mut client: Client) -> Option<String> {
    client.subscribe("$SYS/broker/version", Qos::AtMostOnce).await.ok()?;
    let said = client.next().await.ok()?;
    client.close().await;
    Some(String::from_utf8_lossy(&said.payload).replace(" version", ""))
}

async fn ollama(place: &HostPort) -> Option<Ollama> {
    tls::install_provider();
    let client = reqwest::Client::builder().no_proxy().timeout(WITHIN).build().ok()?;
    let ask = async |path: &str| -> Option<Json> {
        let mut answer = client.get(format!("http://{place}/api/{path}")).send().await.ok()?;
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.ok()? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_MAX {
                return None;
            }
        }
        serde_json::from_slice(&body).ok()
    };
    let version = ask("version").await?.get("version")?.as_str()?.to_owned();
    let tags = ask("tags").await.unwrap_or_default();
    let models = tags.get("models").and_then(Json::as_array).into_iter().flatten();
    let models = models.filter_map(|model| model.get("name")?.as_str().map(ToOwned::to_owned));
    Some(Ollama { place: place.to_string(), version, models: models.collect() })
}

/// Settings and data of a Python Smollama: in the folder, and in its own below the user's.
fn original(folder: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let own = home.map(|home| home.join(".smollama"));
    let configs = [Some(folder), own.as_deref()].into_iter().flatten().flat_map(|folder| {
        ["config.yaml", "config.yml", "config.local.yaml"].map(|name| folder.join(name))
    });
    let mut found = Vec::new();
    let mut data: Vec<PathBuf> = Vec::new();
    for path in configs.filter(|path| path.is_file()) {
        let loaded = load(&[&path], &host::variable);
        let root = loaded.documents.first().map(|document| &document.root);
        let Some(mapping) = root.and_then(Node::as_mapping) else { continue };
        if !mapping.entries().iter().any(|one| ORIGINAL_SECTIONS.contains(&&*one.key.text)) {
            continue;
        }
        found.push(path);
        let kept_at = [("memory", "db_path"), ("sync", "crdt_db_path")];
        data.extend(kept_at.into_iter().filter_map(|(section, key)| {
            let section = mapping.get(section)?.value.as_mapping()?;
            let text = section.get(key)?.value.as_scalar()?.text();
            Some(match (text.strip_prefix("~/"), home) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => PathBuf::from(text),
            })
        }));
    }
    let usual = ["memory.db", "sync.db", "mqtt_bridge_cache.json", "plugins"];
    data.extend(own.iter().flat_map(|own| usual.map(|name| own.join(name))));
    for path in data.into_iter().filter(|path| path.exists()) {
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_original_is_known_by_its_sections_and_its_data() {
        let home = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let look = || original(folder.path(), Some(home.path()));
        assert_eq!(look(), Vec::<PathBuf>::new());
        write(folder.path().join("config.yaml"), "name: pi\nmqtt: { broker: here }\n");
        assert_eq!(look(), Vec::<PathBuf>::new(), "that one is ours");

        let own = home.path().join(".smollama");
        let text = "ollama: { model: llama }\nmemory: { db_path: ~/elsewhere.db }\n";
        let config = write(own.join("config.yaml"), text);
        let elsewhere = write(home.path().join("elsewhere.db"), "");
        let cache = write(own.join("mqtt_bridge_cache.json"), "{}");
        assert_eq!(look(), [config, elsewhere, cache]);
    }

    #[tokio::test]
    async fn this_machine_has_sensors() {
        let found = sensors(host::nowhere()).await;
        assert!(found.iter().any(|source| source == "system:mem_percent"), "{found:?}");
    }
}
