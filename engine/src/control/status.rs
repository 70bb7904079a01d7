//! What a running engine says about itself. Numbers have their unit at the end of their name: `_s` is seconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::Fill;
use crate::time::Timestamp;

/// How many sources [`ReadingsStatus::sources`] names.
pub const SOURCES_SHOWN: usize = 1_000;

/// An engine is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The time of the host.
    pub timestamp: Timestamp,
    /// The name of the host.
    pub node_name: String,
}

/// Whether everything that was applied runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// Whether it does.
    pub ready: bool,
    /// What does not, in a line each. Left out for callers that may not see the status.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// All there is to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// When this was so.
    pub timestamp: Timestamp,
    /// The machine and the process.
    pub host: HostStatus,
    /// The name of the host again, where the Python original had it.
    pub node: NodeName,
    /// The revision that runs; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The pipelines, by name.
    pub pipelines: Vec<PipelineStatus>,
    /// The nodes of all pipelines, in the order of the graph.
    pub nodes: Vec<NodeStatus>,
    /// What is measured.
    pub readings: ReadingsStatus,
    /// The journal; absent where nothing is journaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalStatus>,
    /// The last checkpoint; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// The node that holds up the next checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// What was refused.
    pub dead_letters: DeadLetterStatus,
}

/// The machine and the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Its id, which never changes.
    pub id: String,
    /// Its role, where it has one: `llama`, `alpaca` or `edge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The release of Smollama.
    pub version: String,
    /// Where everything that is kept lies.
    pub data_dir: String,
    /// The number of the process.
    pub pid: u32,
    /// When the process began.
    pub started: Timestamp,
    /// How long ago that is, in seconds.
    pub uptime_s: f64,
    /// The memory of the process, in bytes; absent where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
}

/// The name of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeName {
    /// Its name.
    pub name: String,
}

/// A pipeline that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineStatus {
    /// Its name.
    pub name: String,
    /// The file it was applied from.
    pub file: String,
    /// How many nodes it has.
    pub nodes: usize,
    /// The state of the node that is worst off.
    pub state: NodeState,
}

/// How a node is, from well to ill.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Its source has ended, and it has done all it had to.
    Ended,
    /// It does what it should.
    Running,
    /// It does not keep up: it works on what entered a while ago.
    Lagging,
    /// The other side does not answer; it is tried again.
    Retrying,
    /// It was given up.
    Failed,
}

impl NodeState {
    /// All, from well to ill.
    pub const ALL: [NodeState; 5] = [
        NodeState::Ended,
        NodeState::Running,
        NodeState::Lagging,
        NodeState::Retrying,
        NodeState::Failed,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            NodeState::Ended => "ended",
            NodeState::Running => "running",
            NodeState::Lagging => "lagging",
            NodeState::Retrying => "retrying",
            NodeState::Failed => "failed",
        }
    }
}

/// A node that runs. What it counted, it counted since the process began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// `pipeline/node`.
    pub address: String,
    /// What it is: `source`, `transform`, `agent` or `sink`.
    pub section: String,
    /// Its type, such as `dedup`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// How it is.
    pub state: NodeState,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What somebody should know though it works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// How many items came in.
    pub received: u64,
    /// How many items left, by port.
    pub emitted: BTreeMap<String, u64>,
    /// How many items went to the dead letters.
    pub rejected: u64,
    /// How many items were dropped by a policy that the user wrote.
    pub dropped: u64,
    /// How many calls failed.
    pub errors: u64,
    /// How many readings had an absurd time and took that of their receipt.
    pub corrected: u64,
    /// Items that came in per second, over the last ten seconds or so.
    pub received_per_s: f64,
    /// Items that left per second by all ports together, over the last ten seconds or so.
    pub emitted_per_s: f64,
    /// What waits before it in memory; absent where nothing can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
    /// What waits before it on disk; absent where nothing can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<SpoolStatus>,
    /// How old the last durable snapshot of its state is, in seconds; absent where it has no state, or no snapshot yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_age_s: Option<f64>,
    /// What it cost the disk.
    pub disk: DiskCost,
}

impl NodeStatus {
    /// The pipeline and the node of the address.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        self.address.split_once('/').unwrap_or(("", &self.address))
    }
}

/// What somebody should know of a node though it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Since when it is so.
    pub since: Timestamp,
    /// What is so, what that means and what helps.
    pub text: String,
}

/// A queue in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueStatus {
    /// Bytes that wait.
    pub bytes: u64,
    /// Bytes that may wait.
    pub size: u64,
}

/// A queue on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpoolStatus {
    /// Bytes that wait.
    pub bytes: u64,
    /// Bytes that may wait.
    pub cap: u64,
    /// Items that wait.
    pub items: u64,
    /// In how many hours it will be full if it goes on like this; absent when it does not fill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours_left: Option<f64>,
}

/// What something cost the disk since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiskCost {
    /// Bytes written.
    pub written_bytes: u64,
    /// Syncs.
    pub syncs: u64,
}

/// What is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadingsStatus {
    /// Whether anything is.
    pub available: bool,
    /// The type parts of the sources.
    pub source_types: Vec<String>,
    /// How many sources there are.
    pub source_count: u64,
    /// The first thousand of them.
    pub sources: Vec<String>,
    /// How many series there are: sources with their unit and labels.
    pub series: u64,
    /// How many series there may be.
    pub series_cap: u64,
    /// How many series gave their slots back since the process began: they were silent for a day, and slots were lacking.
    #[serde(default)]
    pub series_given_back: u64,
    /// How often something of a new series was refused since the process began, as there was no slot for it.
    #[serde(default)]
    pub series_refused: u64,
    /// The source nodes that hold as many series as one may.
    #[serde(default)]
    pub at_series_cap: Vec<String>,
}

/// The journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JournalStatus {
    /// `power` or `process`: what an acknowledged reading survives.
    pub durability: String,
    /// Bytes it holds.
    pub bytes: u64,
    /// Bytes it may hold.
    pub cap: u64,
    /// Bytes written since the process began.
    pub written_bytes: u64,
    /// Syncs since the process began.
    pub syncs: u64,
    /// Segments that were damaged, and put aside.
    pub quarantined: u64,
    /// What keeps it from being written; absent while it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JournalFailure>,
    /// Bytes it writes in a day, if it goes on like this.
    pub written_bytes_per_day: u64,
    /// Syncs in a day, if it goes on like this.
    pub syncs_per_day: u64,
}

impl JournalStatus {
    /// From what a journal says, for a process that has run for so many seconds.
    #[must_use]
    pub fn new(durability: &str, fill: Fill, uptime_s: f64) -> JournalStatus {
        let per_day = |count: u64| (count as f64 * 86_400.0 / uptime_s.max(1.0)).round() as u64;
        JournalStatus {
            durability: durability.to_owned(),
            bytes: fill.bytes,
            cap: fill.cap,
            written_bytes: fill.written,
            syncs: fill.syncs,
            quarantined: fill.quarantined,
            failure: None,
            written_bytes_per_day: per_day(fill.written),
            syncs_per_day: per_day(fill.syncs),
        }
    }

    /// The same, with what keeps it from being written.
    #[must_use]
    pub fn with_failure(self, failure: Option<JournalFailure>) -> JournalStatus {
        JournalStatus { failure, ..self }
    }
}

/// The disk does not take what the journal writes. What entered waits in memory, and nothing is acknowledged until it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalFailure {
    /// When that was seen first.
    pub since: Timestamp,
    /// What the disk said last.
    pub error: String,
}

/// A checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointStatus {
    /// Its number.
    pub number: u64,
    /// How old it is, in seconds.
    pub age_s: f64,
    /// How large it is.
    pub bytes: u64,
}

/// What was refused and is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterStatus {
    /// How many letters there are.
    pub letters: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

/// In how many hours something that fills at so many bytes per second will be full; `None` when it does not fill.
#[must_use]
pub fn hours_left(bytes: u64, cap: u64, bytes_per_second: f64) -> Option<f64> {
    (bytes_per_second > 0.0).then(|| cap.saturating_sub(bytes) as f64 / bytes_per_second / 3600.0)
}
