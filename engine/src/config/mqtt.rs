//! `mqtt` of `config.yaml`: the brokers this host speaks with, by name.

mod check;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use self::check::{check, without_topics};
use super::secret::Secret;
use crate::bytes::ByteSize;
use crate::duration::Duration;

/// The name of the broker whose settings stand directly below `mqtt`.
pub const DEFAULT_BROKER: &str = "default";

/// The brokers of a host: one directly below `mqtt`, which nodes use unless they name another, and more by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MqttConfig {
    /// This program is the broker, for a host that has none. It listens on `broker` (127.0.0.1; 0.0.0.0 for all, which needs a `username` and a
    /// `password`) and `port`. Default false.
    pub embedded: bool,
    /// The host name or address of the broker. Default `localhost`.
    pub broker: Option<String>,
    /// Its port. Default 1883, with TLS 8883.
    pub port: Option<u16>,
    /// The user name that the broker knows.
    pub username: Option<Secret>,
    /// The password, such as `secret://env/MQTT_PASSWORD`.
    pub password: Option<Secret>,
    /// Encryption. Default: none.
    pub tls: Option<MqttTls>,
    /// Which MQTT to speak: `auto` (5, and 3.1.1 where the broker refuses that), `5` or `3.1.1`. Default `auto`.
    pub version: MqttVersion,
    /// How often at least something is sent, so that a dead connection is noticed. Default `30s`.
    pub keep_alive: Option<Duration>,
    /// How long the broker keeps what it has for this host while it is away. Default `7d`.
    pub session_expiry: Option<Duration>,
    /// How many messages the broker may send before the first of them is acknowledged (MQTT 5), at most 65535. Default 1000.
    pub receive_maximum: Option<u16>,
    /// The largest message that is taken. A broker that speaks MQTT 5 withholds larger ones, and nobody here hears of them. Over MQTT 3.1.1
    /// they come: up to 16 MiB they go to the dead letters, beyond that the connection has to end. Default `1MiB`.
    pub max_packet: Option<ByteSize>,
    /// Says whether this host is there, on `smollama/<host>/status`. Default true.
    pub announce: Option<bool>,
    /// Further brokers by name, for nodes that say `connection: NAME`.
    pub connections: BTreeMap<String, MqttBroker>,
}

/// A broker with a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MqttBroker {
    /// Only for the broker directly below `mqtt`.
    #[serde(skip)]
    pub embedded: bool,
    /// The host name or address of the broker. Default `localhost`.
    pub broker: Option<String>,
    /// Its port. Default 1883, with TLS 8883.
    pub port: Option<u16>,
    /// The user name that the broker knows.
    pub username: Option<Secret>,
    /// The password, such as `secret://env/MQTT_PASSWORD`.
    pub password: Option<Secret>,
    /// Encryption. Default: none.
    pub tls: Option<MqttTls>,
    /// Which MQTT to speak: `auto` (5, and 3.1.1 where the broker refuses that), `5` or `3.1.1`. Default `auto`.
    pub version: MqttVersion,
    /// How often at least something is sent, so that a dead connection is noticed. Default `30s`.
    pub keep_alive: Option<Duration>,
    /// How long the broker keeps what it has for this host while it is away. Default `7d`.
    pub session_expiry: Option<Duration>,
    /// How many messages the broker may send before the first of them is acknowledged (MQTT 5), at most 65535. Default 1000.
    pub receive_maximum: Option<u16>,
    /// The largest message that is taken. A broker that speaks MQTT 5 withholds larger ones, and nobody here hears of them. Over MQTT 3.1.1
    /// they come: up to 16 MiB they go to the dead letters, beyond that the connection has to end. Default `1MiB`.
    pub max_packet: Option<ByteSize>,
    /// Says whether this host is there, on `smollama/<host>/status`. Default true.
    pub announce: Option<bool>,
}

/// How a broker is known for sure, and how it knows this host. Read from `config.yaml`, its paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MqttTls {
    /// A file (PEM) with the authorities to trust, such as one of your own. Relative to `config.yaml`. Default: those of the system.
    pub ca: Option<PathBuf>,
    /// A file (PEM) with the certificate by which the broker knows this host.
    pub cert: Option<PathBuf>,
    /// A file (PEM) with the key of that certificate.
    pub key: Option<PathBuf>,
}

/// Which MQTT to speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum MqttVersion {
    /// MQTT 5, and 3.1.1 where the broker refuses that.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// MQTT 5 only.
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1 only.
    #[serde(rename = "3.1.1")]
    V3,
}

impl MqttConfig {
    /// The names that nodes can say, [`DEFAULT_BROKER`] first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(DEFAULT_BROKER).chain(self.connections.keys().map(String::as_str))
    }

    /// Files are named relative to `config.yaml`, and opened by nodes that do not know where that lies.
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let named = self.connections.values_mut().map(|broker| &mut broker.tls);
        for tls in std::iter::once(&mut self.tls).chain(named).flatten() {
            for path in [&mut tls.ca, &mut tls.cert, &mut tls.key].into_iter().flatten() {
                *path = folder.join(&*path);
            }
        }
    }

    /// The settings of a broker by its name; `None` where no such one is named.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<MqttBroker> {
        if name != DEFAULT_BROKER {
            return self.connections.get(name).cloned();
        }
        Some(MqttBroker {
            embedded: self.embedded,
            broker: self.broker.clone(),
            port: self.port,
            username: self.username.clone(),
            password: self.password.clone(),
            tls: self.tls.clone(),
            version: self.version,
            keep_alive: self.keep_alive,
            session_expiry: self.session_expiry,
            receive_maximum: self.receive_maximum,
            max_packet: self.max_packet,
            announce: self.announce,
        })
    }
}
