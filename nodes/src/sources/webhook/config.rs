//! What can be said about a webhook.

use std::net::SocketAddr;

use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::bytes::ByteSize;
use smollama_engine::config::Secret;
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

use crate::io::message::{BodyFormat, Fields, Settings, ValueType};

/// Takes readings that other programs send with HTTP, and answers when they are kept.
///
/// A request is a `POST` or a `PUT`; its body is a JSON object, an array of them, or one a line (`format: json_lines`, or a content type such as
/// `application/x-ndjson`). An object with a `value` is one reading in the form that the sinks `file` and `console` write; of any other object each number,
/// text, true and false is a reading. `fields` says which ones, with their units. The id begins with what stands behind `path` in the
/// address: a request to `/kitchen` with `{"temperature":21.5}` is `webhook:kitchen/temperature`.
///
/// What an answer means: 200, all that was understood is kept, as durably as the host's settings say, and the rest lies in the dead
/// letters: `{"readings":3}`, with `"refused"` and why. 400: nothing of it was understood; it lies in the dead letters. 401: the token or the
/// signature is missing or wrong. 404: another path. 405: another method. 408: the request did not come in time. 413: the body is too large. 415: it is compressed. 429: too much waits
/// already. 503: it is not kept in time, or the host stops. After the last two and no answer at all, the sender has to send it again. It is
/// not known again: what was kept and not answered in time is there twice then.
///
/// There is no encryption. Where others can reach the address, put a server that has it in front, or use `hmac`, which
/// keeps a body from being changed or made up, but not from being read.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Listens on this TCP address and port: `127.0.0.1:8088`, `[::1]:8088`, `0.0.0.0:8088`.
    pub listen: String,
    /// Allows an address that other machines can reach without `auth`. Default: false.
    #[serde(default)]
    pub allow_remote: bool,
    /// The path of requests; what stands behind it begins their ids. Default: `/`.
    #[serde(default = "path")]
    pub path: String,
    /// How senders show who they are: `{ bearer: secret://env/TOKEN }`, or `{ hmac: { secret: secret://env/KEY } }` for a signature of the body as
    /// GitHub makes it. Default: not at all.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// The largest body, `16MiB` at most. Default: `1MiB`.
    #[serde(default = "max_size")]
    pub max_size: ByteSize,
    /// How many connections there can be at once, 4096 at most; more wait to be accepted. Default: 256.
    #[serde(default = "connections")]
    pub connections: usize,
    /// How long a request may take to come, and how long it waits to be kept. Default: `10s`.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// What a body is: `json`, `json_lines`, `cbor`, `number`, `text`, or `auto`: by its first character and its content type. Default: `auto`.
    #[serde(default)]
    pub format: BodyFormat,
    /// The fields that become readings: `all`, a list such as `[temperature, humidity]`, or a map from field to unit, `skip`, or settings:
    /// `{ temperature: °C, humidity: { unit: "%", id: rh } }`. A dot leads into nested objects and arrays. Default: see above.
    #[serde(default)]
    pub fields: Option<Fields>,
    /// Takes the fields that `fields` does not name, too. Default: false.
    #[serde(default)]
    pub others: bool,
    /// The field with the only value. A body without it is refused.
    #[serde(default)]
    pub value: Option<String>,
    /// What a plain body or `value` is: `number`, `bool` (`ON`, `off`, `true`, `1` ...) or `text`. Default: as it stands in the body.
    #[serde(default, rename = "type")]
    pub kind: Option<ValueType>,
    /// The field with an array whose entries are objects of their own.
    #[serde(default)]
    pub each: Option<String>,
    /// The field with the time. Default: `time`, `Time`, `timestamp` or `ts`, if it tells an instant since 2015, otherwise the time of receipt.
    #[serde(default)]
    pub time: Option<String>,
    /// How times are written: `s`, `ms`, `us` or `ns` since 1970, or a pattern such as `%d.%m.%Y %H:%M:%S`. Default: as
    /// RFC 3339 or `2026-11-21 01:02:03.5`, or a number since 1970, whose size tells its unit.
    #[serde(default)]
    pub time_format: Option<String>,
    /// The zone of times that do not say it, such as `Europe/Berlin`. Default: UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// What stands in ids before the fields' names, composed of the rest of the path, its parts counted from 1, and fields: `"{path}"`, `"{2}"`,
    /// `"{device.serial}"`. Default: `"{path}"`.
    #[serde(default)]
    pub id: Option<String>,
    /// Takes a `source` with a type (`air:north/temperature`) as the whole name of what was measured, in place of an id below `as`. For senders
    /// that pass on what other hosts said; a sender can then write under the name of any source. Default: false.
    #[serde(default)]
    pub whole_sources: bool,
}

/// How senders show who they are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// A token: `authorization: Bearer ...`.
    Bearer(Secret),
    /// A signature of the body.
    Hmac(Hmac),
}

/// A signature of the body: HMAC with SHA-256, in hexadecimal digits, with or without `sha256=` before them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hmac {
    /// The key that both sides know.
    pub secret: Secret,
    /// The header with the signature. Default: `x-hub-signature-256`, as GitHub sends it.
    #[serde(default = "header")]
    pub header: String,
}

fn path() -> String {
    "/".into()
}

fn header() -> String {
    "x-hub-signature-256".into()
}

const fn max_size() -> ByteSize {
    ByteSize::mib(1)
}

const fn connections() -> usize {
    256
}

const fn timeout() -> Duration {
    Duration::from_secs(10)
}

const MAX_SIZE_MAX: ByteSize = ByteSize::mib(16);
const CONNECTIONS_MAX: usize = 4_096;

impl WebhookConfig {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    pub(super) fn largest(&self) -> usize {
        usize::try_from(self.max_size.0.min(MAX_SIZE_MAX.0)).unwrap_or(usize::MAX)
    }

    /// How bodies are read.
    pub(super) fn message(&self) -> Settings {
        Settings {
            format: self.format.of_message(),
            fields: self.fields.clone(),
            others: self.others,
            value: self.value.clone(),
            kind: self.kind,
            each: self.each.clone(),
            time: self.time.clone(),
            time_format: self.time_format.clone(),
            zone: self.zone.clone(),
            id: self.id.clone(),
            whole_sources: self.whole_sources,
            ..Settings::new("path", "{path}")
        }
    }

    pub(super) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let listen = &self.listen;
        match self.address() {
            None => problems.push(
                Problem::at("listen", format!("`{listen}` is no address and port"))
                    .help("write it like `127.0.0.1:8088`"),
            ),
            Some(address)
                if !address.ip().is_loopback() && self.auth.is_none() && !self.allow_remote =>
            {
                let message =
                    format!("other machines can reach `{listen}`, and whoever does can send");
                let help = "set `auth`, or `allow_remote: true` where everyone is trusted";
                problems.push(Problem::at("listen", message).help(help));
            }
            Some(_) => {}
        }
        if !self.path.starts_with('/') || self.path.contains(['?', '#', ' ']) {
            let message = format!("`{}` is no path", self.path);
            problems.push(Problem::at("path", message).help("write it like `/readings`"));
        }
        match &self.auth {
            Some(Auth::Bearer(token)) if token.expose().is_empty() => {
                problems.push(Problem::at("auth.bearer", "it is empty"));
            }
            Some(Auth::Hmac(hmac)) => {
                if hmac.secret.expose().is_empty() {
                    problems.push(Problem::at("auth.hmac.secret", "it is empty"));
                }
                if HeaderName::from_bytes(hmac.header.as_bytes()).is_err() {
                    let message = format!("`{}` is no name of a header", hmac.header);
                    problems.push(Problem::at("auth.hmac.header", message));
                }
            }
            _ => {}
        }
        if self.max_size.0 == 0 || self.max_size > MAX_SIZE_MAX {
            let message = format!("it must lie between 1B and {MAX_SIZE_MAX}");
            problems.push(Problem::at("max_size", message));
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            let message = format!("it must lie between 1 and {CONNECTIONS_MAX}");
            problems.push(Problem::at("connections", message));
        }
        if self.timeout.is_zero() {
            problems.push(Problem::at("timeout", "no request comes in no time"));
        }
        problems.extend(self.message().problems());
        problems
    }
}
