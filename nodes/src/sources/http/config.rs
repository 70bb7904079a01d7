//! What can be said about an address that is asked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::bytes::ByteSize;
use smollama_engine::config::Secret;
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

use crate::io::http::{self, Auth, Tls};
use crate::io::message::{BodyFormat, Fields, Settings, ValueType};

/// Asks a web server every so often, and makes readings of its answers.
///
/// How often is said by `every` beside `http` (default: `1m`); where many hosts ask the same server, each does so a little later than on the full
/// minute, by a time of its own. An answer becomes readings by its content: of a JSON object each number, text, true and false is a
/// reading, whose id is the field: `http:temperature`, with dots into nested objects and arrays: `http:current.wind`. `fields` says which ones, with their units;
/// `value` says where the only one lies; `each` names an array whose entries are objects of their own. An object with a `value` is one
/// reading in the form that this program writes itself. A number, or any other text, is one reading with the id `value`, unless `id` says another.
///
/// The server is asked for what is new only: an answer 304, where it sends `ETag` or `Last-Modified`, gives no readings. Answers may be
/// compressed with gzip. Redirects are followed five times at most, on the same host. While the server does not answer, or answers anything but
/// 200, `smollama status` says why; it is asked again after a pause that doubles up to 30 s, or after the time that `Retry-After` asks for (ten
/// minutes at most). An answer that cannot be understood goes to the dead letters.
///
/// Settings of the environment such as `HTTPS_PROXY` are ignored. The address is never shown beyond its host, and what is a secret never at all.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// What to ask: `http://plug.local/status`. An address that holds a token may be a secret: `secret://env/WEATHER_URL`.
    pub url: Secret,
    /// Headers by name: `{ x-api-key: secret://env/KEY }`.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// How the server knows who this is: `{ bearer: secret://env/TOKEN }` or `{ basic: { user: me, password: secret://env/PASSWORD } }`.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How long a request may take with the whole of its answer. Default: `10s`.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// What to trust beyond the system's authorities.
    #[serde(default)]
    pub tls: Tls,
    /// The largest answer, unpacked, `64MiB` at most. A larger one goes to the dead letters. Default: `1MiB`.
    #[serde(default = "max_size")]
    pub max_size: ByteSize,
    /// What an answer is: `json`, `json_lines` (a JSON text a line), `cbor`, `number`, `text`, or `auto`: by its first character. Default: `auto`.
    #[serde(default)]
    pub format: BodyFormat,
    /// The fields that become readings: `all`, a list such as `[temperature, humidity]`, or a map from field to unit, `skip`, or settings:
    /// `{ temperature: °C, humidity: { unit: "%", id: rh } }`. A dot leads into nested objects and arrays. Default: see above.
    #[serde(default)]
    pub fields: Option<Fields>,
    /// Takes the fields that `fields` does not name, too. Default: false.
    #[serde(default)]
    pub others: bool,
    /// The field with the only value. An answer without it is refused.
    #[serde(default)]
    pub value: Option<String>,
    /// What a plain answer or `value` is: `number`, `bool` (`ON`, `off`, `true`, `1` ...) or `text`. Default: as it stands in the answer.
    #[serde(default, rename = "type")]
    pub kind: Option<ValueType>,
    /// The field with an array whose entries are objects of their own.
    #[serde(default)]
    pub each: Option<String>,
    /// The field with the time. Default: `time`, `Time`, `timestamp` or `ts`, if it tells an instant since 2015, otherwise the time of the answer.
    #[serde(default)]
    pub time: Option<String>,
    /// How times are written: `s`, `ms`, `us` or `ns` since 1970, or a pattern such as `%d.%m.%Y %H:%M:%S`. Default: as
    /// RFC 3339 or `2026-11-21 01:02:03.5`, or a number since 1970, whose size tells its unit.
    #[serde(default)]
    pub time_format: Option<String>,
    /// The zone of times that do not say it, such as `Europe/Berlin`. Default: UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// What stands in ids before the fields' names: a text, or fields in braces: `"{station}"`; `{host}` is the server's name. Default: nothing.
    #[serde(default)]
    pub id: Option<String>,
    /// Takes a `source` with a type (`air:north/temperature`) as the whole name of what was measured, in place of an id below `as`. For servers
    /// that pass on what other hosts said. Default: false.
    #[serde(default)]
    pub whole_sources: bool,
}

const fn timeout() -> Duration {
    Duration::from_secs(10)
}

const fn max_size() -> ByteSize {
    ByteSize::mib(1)
}

const MAX_SIZE_MAX: ByteSize = ByteSize::mib(64);

impl HttpConfig {
    /// How answers are read.
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
            ..Settings::new("host", "")
        }
    }

    pub(super) fn largest(&self) -> usize {
        usize::try_from(self.max_size.0.min(MAX_SIZE_MAX.0)).unwrap_or(usize::MAX)
    }

    pub(super) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = http::problems(&self.url, &self.headers, self.auth.as_ref());
        if self.timeout.is_zero() {
            let problem = Problem::at("timeout", "no answer comes in no time");
            problems.push(problem.help("leave it out for ten seconds"));
        }
        if self.max_size.0 == 0 || self.max_size > MAX_SIZE_MAX {
            let message = format!("it must lie between 1B and {MAX_SIZE_MAX}");
            problems.push(Problem::at("max_size", message));
        }
        problems.extend(self.message().problems());
        problems
    }
}
