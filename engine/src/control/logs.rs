//! The log: what is said, and how much.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;
use crate::glob::Glob;
use crate::time::Timestamp;

/// How important a line is. Ordered: what is more important is less.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something did not work out.
    Error,
    /// Something may not.
    Warn,
    /// What a person wants to know.
    Info,
    /// What helps to find out why.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// The word for it: `warn`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// When.
    pub time: Timestamp,
    /// How important.
    pub level: Level,
    /// The address of the node it is about; absent when it is about the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What.
    pub message: String,
    /// What else is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// Which lines, and whether to wait for more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogRequest {
    /// Only those about nodes with such an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Glob>,
    /// Only those that are at least so important.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Whether to go on with lines as they are written.
    #[serde(default)]
    pub follow: bool,
    /// How many of the latest lines to begin with; without it, all that are still in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<usize>,
}

impl LogRequest {
    /// Whether it asks for a line.
    #[must_use]
    pub fn takes(&self, level: Level, node: Option<&str>) -> bool {
        self.level.is_none_or(|most| level <= most)
            && self.node.as_ref().is_none_or(|glob| node.is_some_and(|node| glob.matches(node)))
    }
}

/// How much is to be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LevelRequest {
    /// The address of a node; without it, the whole host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Everything that is at least so important.
    pub level: Level,
    /// For how long, such as `10m`; without it, until a restart.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub span: Option<Duration>,
}

/// How much is said now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LevelReply {
    /// Everything that is at least so important.
    pub level: Level,
    /// When it ends; absent for the next restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
