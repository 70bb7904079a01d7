//! What can be said about a socket.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use smollama_engine::bytes::ByteSize;
use smollama_engine::context::Context;
use smollama_engine::registry::Problem;

/// Takes readings from other programs over TCP or a Unix socket, a JSON object a line, and tells them what is kept.
///
/// A line is a reading in the form that the sinks `file` and `console` write: `{"source":"kitchen","value":21.5,"unit":"°C"}`. Needed are
/// `source` and `value`; `time` (RFC 3339, or a number since 1970, whose size tells its unit) is that of receipt where it is missing;
/// `unit`, `labels`, `monotonic`, `score` and `count` can be there; other fields are ignored. `source` is the id below the word
/// `as` of this node, which is `socket` unless you set it: `socket:kitchen`.
///
/// The lines of a connection are numbered from 1, all of them, empty ones too. Once lines are kept, as durably as the host's settings
/// say, the sender is told so on the same connection: `{"ack":200}` says that all lines up to the 200th are. One such line
/// answers for many: it comes at most once for each batch that was read, and where the sender reads them slowly, only the latest
/// matters. So a sender keeps what it sent until it is acknowledged, and after a broken connection sends again what was not, on a new
/// one, where the count begins anew. A line that cannot be understood goes to the dead letters; when it lies there,
/// it is answered `{"line":7,"error":"not a JSON object at byte 1"}` ahead of the acknowledgement that covers it. Where lines cannot be kept, the
/// sender is told `{"error":"..."}`, and the connection is closed.
///
/// While the host can keep nothing more, nothing is read: the sender's writes then wait. A last line without a line break counts if
/// it is whole; half a line at the end of a connection is discarded, and a warning says so. A sender that has no more to send can
/// close its side and still read its last acknowledgements.
///
/// Whoever reaches the socket can send, and there is no encryption: TCP addresses beyond this machine need `allow_remote: true`, which is
/// for networks where everyone is trusted. A changed node takes over the listening socket and all connections.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SocketConfig {
    /// Listens on this TCP address and port: `127.0.0.1:9000`, `[::1]:9000`. Either this or `unix` is needed.
    #[serde(default)]
    pub tcp: Option<String>,
    /// Listens on a Unix socket of this name. A relative path lies in the data directory; missing folders are made. A socket that a
    /// crash left behind is replaced; one that somebody listens on is an error.
    #[serde(default)]
    pub unix: Option<PathBuf>,
    /// Who may connect to the Unix socket, as the permissions of a file: `0600` (the default) is the user that runs this program, `0660`
    /// also the group, `0666` everybody.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Allows a TCP address that other machines can reach. Default: false.
    #[serde(default)]
    pub allow_remote: bool,
    /// Whether senders are told what is kept. `false` for senders that never read: nothing is written to them then, readings are
    /// dropped and counted when the host can keep nothing more, and nothing is promised. Default: true.
    #[serde(default = "yes")]
    pub ack: bool,
    /// Takes a `source` with a type (`mqtt:t/a`) as the whole name of what was measured, in place of an id below `as`. For senders that pass on
    /// what other hosts or recordings said; a sender can then write under the name of any source. Default: false.
    #[serde(default)]
    pub whole_sources: bool,
    /// How many connections there can be at once, 1024 at most. One more is told so and closed. Default: 64.
    #[serde(default = "connections")]
    pub connections: usize,
    /// The longest line, `1MiB` at most. A longer one is refused, and skipped to its end. Default: `64KiB`.
    #[serde(default = "max_line")]
    pub max_line: ByteSize,
}

const fn yes() -> bool {
    true
}

const fn connections() -> usize {
    64
}

const fn max_line() -> ByteSize {
    ByteSize::kib(64)
}

/// The permissions of a socket file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl Default for Mode {
    fn default() -> Mode {
        Mode(0o600)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
        let bad = || format!("`{text}` is no permission; write it like 0600 or 0660");
        mode.map(Mode).ok_or_else(|| serde::de::Error::custom(bad()))
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "The permissions of a file in octal, such as `0600`.",
            "pattern": "^0?[0-7]{3}$",
            "examples": ["0600", "0660"]
        })
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf, Mode),
}

const CONNECTIONS_MAX: usize = 1_024;
const LINE_MAX: ByteSize = ByteSize::mib(1);
const HOW_TO_LISTEN: &str = "write `tcp: 127.0.0.1:9000` or `unix: readings.sock`";

impl SocketConfig {
    /// Where to listen; `None` where the settings do not say it as they should.
    pub(super) fn address(&self, context: &Context) -> Option<Address> {
        match (&self.tcp, &self.unix) {
            (Some(tcp), _) => tcp.parse().ok().map(Address::Tcp),
            (None, Some(path)) => {
                Some(Address::Unix(context.output_path(path), self.mode.unwrap_or_default()))
            }
            (None, None) => None,
        }
    }

    pub(super) fn longest_line(&self) -> usize {
        usize::try_from(self.max_line.0).unwrap_or(usize::MAX)
    }

    pub(super) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match (&self.tcp, &self.unix) {
            (None, None) => {
                let problem = Problem::at("", "nothing says where to listen");
                problems.push(problem.help(HOW_TO_LISTEN));
            }
            (Some(_), Some(_)) => problems.push(
                Problem::at("unix", "`tcp` and `unix` are both set")
                    .help("a node listens in one place; make a second node for the other"),
            ),
            (Some(tcp), None) => problems.extend(self.problem_of_tcp(tcp)),
            (None, Some(path)) if path.file_name().is_none() => {
                let problem = Problem::at("unix", format!("`{}` names no file", path.display()));
                problems.push(problem.help("write a file name, such as readings.sock"));
            }
            (None, Some(_)) => {}
        }
        if self.mode.is_some() && self.unix.is_none() {
            let problem = Problem::at("mode", "a TCP port has no permissions");
            problems.push(problem.help("take `mode` away, or listen on `unix`"));
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            let message = format!("it must lie between 1 and {CONNECTIONS_MAX}");
            problems.push(Problem::at("connections", message));
        }
        if self.max_line.0 == 0 || self.max_line > LINE_MAX {
            let message = format!("it must lie between 1B and {LINE_MAX}");
            problems.push(Problem::at("max_line", message));
        }
        problems
    }

    fn problem_of_tcp(&self, tcp: &str) -> Option<Problem> {
        let Ok(address) = tcp.parse::<SocketAddr>() else {
            let problem = Problem::at("tcp", format!("`{tcp}` is no address with a port"));
            return Some(problem.help("write it like `127.0.0.1:9000` or `[::1]:9000`"));
        };
        (!address.ip().is_loopback() && !self.allow_remote).then(|| {
            let message = format!("`{tcp}` can be reached from other machines, and whoever reaches it can send");
            let local = format!("127.0.0.1:{}", address.port());
            Problem::at("tcp", message).help(format!(
                "write `{local}`, or add `allow_remote: true` where everyone in the network is trusted"
            ))
        })
    }
}
