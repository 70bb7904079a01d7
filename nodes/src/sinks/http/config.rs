//! What can be said about a receiver.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::config::Secret;
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

use crate::io::http::{self, Auth, Tls};
use crate::io::outbound::{BatchSpec, Body};

/// Sends readings, windows and observations to a web server, several in one request.
///
/// The body is a JSON object a line, a JSON array, or whatever a template makes of each item. What the receiver cannot take now waits in
/// a spool and goes out in order when it can.
///
/// What an answer means: 2xx, it was taken. 408, 425, 429 and 5xx, a connection that fails and an answer that does not come in time: the same
/// is sent again later, not before the time that `Retry-After` asks for (ten minutes at most). 401, 403, 407 and redirects: the same, and
/// `status` shows it, since it is not the items that are wrong. Any other 4xx: the items go to the dead letters; after 400, 413 and 422 the
/// request is split first, so that an item that is wrong does not take its neighbours along. A redirect that keeps method and body (307, 308) is
/// followed, five times at most, on the same host.
///
/// Requests can come twice: where the answer was lost, or after a crash. Each has a header `idempotency-key` with the stream's id
/// and the numbers of its first and its last item: `9f0c7f3e58f14f3c8d5e1f3f0a1b2c3d-501-1000`. Items are counted from 1 since the stream
/// began, whatever is sent of them. The count goes on over restarts, behind a gap: what was sent just before a crash may not be known any more,
/// and no number is given twice. A receiver that remembers the last number of a stream knows what it has already, however requests are cut. Without a data directory to count in (`run --once`) there is no such header.
///
/// Settings of the environment such as `HTTPS_PROXY` are ignored. The address is never shown beyond its host, and what is a secret never at all.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Where to: `https://example.org/readings`. An address that holds a token may be a secret: `secret://env/HOOK`.
    pub url: Secret,
    /// `POST` (the default) or `PUT`.
    #[serde(default)]
    pub method: Method,
    /// Headers by name: `{ x-api-key: secret://env/KEY }`. `content-type` replaces that of the body.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// `json_lines` (the default): each item in the form that `replay` reads, a line for each. `json`: an array of such. Or `{ template: "..." }`:
    /// what it makes of each item, a line for each.
    #[serde(default)]
    pub body: Body,
    /// How much goes into a request.
    #[serde(default)]
    pub batch: BatchSpec,
    /// How long a request may take with its answer. Default: 10s.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// How the receiver knows who this is: `{ bearer: secret://env/TOKEN }` or `{ basic: { user: me, password: secret://env/PASSWORD } }`.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// `gzip`, for receivers that know it, or `none` (the default).
    #[serde(default)]
    pub compression: Compression,
    /// What to trust beyond the system's authorities.
    #[serde(default)]
    pub tls: Tls,
}

/// The verb of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// The usual one.
    #[default]
    Post,
    /// For receivers that want it.
    Put,
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// With `content-encoding: gzip`.
    Gzip,
}

const fn timeout() -> Duration {
    Duration::from_secs(10)
}

impl HttpConfig {
    pub(super) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = http::problems(&self.url, &self.headers, self.auth.as_ref());
        problems.extend(self.body.problems());
        problems.extend(self.batch.problems());
        if self.timeout.is_zero() {
            let problem = Problem::at("timeout", "no answer comes in no time");
            problems.push(problem.help("leave it out for ten seconds"));
        }
        problems
    }
}
