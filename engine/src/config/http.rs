//! `http` of `config.yaml`: where the API and the dashboard are served, and who may use them.

use core::net::{IpAddr, Ipv4Addr};
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::secret::Secret;
use crate::diagnostic::rules;

/// The API and the dashboard over TCP. The command line does not need them: it uses a socket in the data directory.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Whether they are served. Default true.
    pub enabled: bool,
    /// The address to listen on. Default `127.0.0.1`: this machine only. Any address beyond loopback needs a `token`.
    pub host: ListenHost,
    /// The port to listen on; 0 takes a free one. Default 8080.
    pub port: u16,
    /// The token for everything, at least 16 characters, such as `secret://file/token`. Default: one that is made at first start, in
    /// the file `token` of the data directory; it is good on this machine only.
    pub token: Option<Secret>,
    /// A token for looking, at least 16 characters: status, history, taps, logs and dead letters, but no changes. Default: none.
    pub read_token: Option<Secret>,
    /// Names by which browsers may call this machine, besides `localhost` and addresses, such as `greenhouse-pi.local`.
    pub hosts: Vec<String>,
}

impl HttpConfig {
    /// The port without a word of the user.
    pub const PORT: u16 = 8080;
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            enabled: true,
            host: ListenHost::default(),
            port: HttpConfig::PORT,
            token: None,
            read_token: None,
            hosts: Vec::new(),
        }
    }
}

/// An address to listen on: that of an interface, all of them, or `localhost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenHost(pub IpAddr);

impl Default for ListenHost {
    fn default() -> Self {
        ListenHost(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address to listen on")]
pub struct BadListenHost(String);

impl std::str::FromStr for ListenHost {
    type Err = BadListenHost;

    fn from_str(text: &str) -> Result<Self, BadListenHost> {
        if text.eq_ignore_ascii_case("localhost") {
            return Ok(ListenHost::default());
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        bare.parse().map(ListenHost).map_err(|_| BadListenHost(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ListenHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| {
            let message =
                format!("{error}\nhelp: write it like 127.0.0.1, 192.168.1.5, 0.0.0.0 or ::1");
            serde::de::Error::custom(rules::BAD_VALUE.says(message))
        })
    }
}

impl JsonSchema for ListenHost {
    fn schema_name() -> Cow<'static, str> {
        "ListenHost".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An address to listen on.",
            "examples": ["127.0.0.1", "0.0.0.0", "::1"]
        })
    }
}
