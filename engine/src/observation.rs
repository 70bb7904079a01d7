//! Observations: timestamped texts about readings.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// A text about readings, written by an agent or an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Globally unique, and ordered by time (UUID version 7).
    pub id: Uuid,
    /// When it was made.
    pub time: Timestamp,
    /// The address of the node that wrote it.
    pub author: Arc<str>,
    /// What sort of text it is.
    pub kind: ObservationKind,
    /// The text.
    pub text: Arc<str>,
    /// How sure its author is, from 0 to 1.
    pub confidence: f64,
    /// What it is about, as written (`type:id`).
    #[serde(default)]
    pub sources: Vec<Arc<str>>,
    /// What it was made from.
    pub evidence: Evidence,
    /// The model that wrote it, if one did.
    #[serde(default)]
    pub model: Option<Arc<str>>,
    /// Who wrote it.
    pub rung: Rung,
}

/// What sort of text an observation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObservationKind {
    /// Something that repeats.
    Pattern,
    /// Something that should not be.
    Anomaly,
    /// How things are.
    Status,
    /// Anything else.
    General,
    /// Several observations in one.
    Summary,
    /// Something that holds for good.
    Fact,
}

impl fmt::Display for ObservationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ObservationKind::Pattern => "pattern",
            ObservationKind::Anomaly => "anomaly",
            ObservationKind::Status => "status",
            ObservationKind::General => "general",
            ObservationKind::Summary => "summary",
            ObservationKind::Fact => "fact",
        })
    }
}

/// Who wrote an observation, from the dearest to the plainest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// A model on this host.
    LocalModel,
    /// A model elsewhere.
    RemoteModel,
    /// Arithmetic over the readings.
    Statistics,
    /// A rule the user wrote.
    Rule,
}

/// The readings an observation was made from.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The time of the first.
    pub from: Timestamp,
    /// The time of the last.
    pub to: Timestamp,
    /// Where they came from.
    #[serde(default)]
    pub sources: Vec<Arc<str>>,
}
