//! What a backtest found.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::time::Timestamp;

/// What `smollama backtest --json` prints.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Outcome {
    /// The revision that runs; absent where there is none, or its graph cannot be built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Where the readings come from: folders of histories, or files.
    pub recorded: Vec<String>,
    /// From when on readings were looked for; absent for all there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Up to when; absent for all there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What cannot be known, a sentence each.
    pub notes: Vec<String>,
    /// What was found.
    pub report: Report,
}

/// What changed pipelines would have made of recorded readings, beside what those make of them that run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// The time of the first reading.
    pub from: Option<Timestamp>,
    /// The time of the last reading.
    pub to: Option<Timestamp>,
    /// How many readings there were.
    pub readings: u64,
    /// How many series they are of.
    pub series: u64,
    /// Whether there was a running graph to compare with. Without one, all that the candidate sends counts as gained.
    pub compared: bool,
    /// What each source node was given in place of what it reads.
    pub sources: Vec<SourceRow>,
    /// What each transform did.
    pub transforms: Vec<TransformRow>,
    /// How often each agent would have been asked. What it would have answered is not known, and does not go on.
    pub agents: Vec<Asked>,
    /// What each sink would have been sent.
    pub sinks: Vec<SinkRow>,
    /// Recorded sources that no source node of the candidate takes.
    pub unused: Vec<UnusedRow>,
}

/// The same thing on both sides; absent where the node is not part of that graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Both<T> {
    /// Of the graph that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<T>,
    /// Of the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<T>,
}

impl<T> Both<T> {
    /// Something else of each side.
    pub fn map<U>(self, make: impl Fn(T) -> U) -> Both<U> {
        Both { running: self.running.map(&make), candidate: self.candidate.map(make) }
    }
}

/// A source node.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SourceRow {
    /// Its address.
    pub address: Arc<str>,
    /// How many recorded readings it was given.
    pub readings: Both<u64>,
}

/// A transform.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TransformRow {
    /// Its address.
    pub address: Arc<str>,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: Arc<str>,
    /// Whether it makes windows.
    pub makes_windows: bool,
    /// What it did.
    pub done: Both<Done>,
}

/// What a transform did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Done {
    /// How many items came in.
    pub received: u64,
    /// How many items left by the port `main`.
    pub kept: u64,
    /// How many windows closed on any port, by cause.
    pub windows: BTreeMap<&'static str, u64>,
    /// How many items it refused or broke on.
    pub refused: u64,
    /// Why the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An agent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Asked {
    /// Its address.
    pub address: Arc<str>,
    /// How often it would have been asked: once about all that reaches it at one instant.
    pub calls: Both<u64>,
}

/// A sink.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SinkRow {
    /// Its address.
    pub address: Arc<str>,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: Arc<str>,
    /// What would have been sent there.
    pub sent: Both<Sent>,
    /// Items that both sent.
    pub same: u64,
    /// Items that both sent, with another score, count or content: a reading is the same by source, time and value, a window by start,
    /// end, cause and sources, an observation by time, author, kind and text.
    pub changed: u64,
    /// Items that only the running graph sent.
    pub missed: u64,
    /// Items that only the candidate sent.
    pub gained: u64,
    /// The first of those missed, as JSON items, as many as were asked for.
    pub missed_items: Vec<Value>,
    /// The first of those gained.
    pub gained_items: Vec<Value>,
}

/// What went to a sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sent {
    /// Readings.
    pub readings: u64,
    /// Windows.
    pub windows: u64,
    /// Summaries of series in these windows.
    pub summaries: u64,
    /// Observations.
    pub observations: u64,
    /// The bytes that the sink would have written: in the JSON form, or estimated where the sink writes another one. Absent where nothing is
    /// written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Sent {
    /// All items.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.readings + self.windows + self.observations
    }
}

/// A recorded source that nobody takes.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UnusedRow {
    /// `type:id`.
    pub source: String,
    /// Whether a transform makes it: it is made again.
    pub derived: bool,
}
