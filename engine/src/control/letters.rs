//! Dead letters: what a node refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::glob::Glob;
use crate::time::Timestamp;

/// Which dead letters; all that every given key takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LetterFilter {
    /// Addresses of nodes, such as `greenhouse/**`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Glob>,
    /// Refused at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Refused before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
}

impl LetterFilter {
    /// Whether it takes a letter.
    #[must_use]
    pub fn takes(&self, address: &str, time: Timestamp) -> bool {
        self.address.as_ref().is_none_or(|glob| glob.matches(address))
            && self.since.is_none_or(|since| time >= since)
            && self.before.is_none_or(|before| time < before)
    }
}

/// A dead letter in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LetterRow {
    /// What it is called by.
    pub id: String,
    /// When it was refused.
    pub time: Timestamp,
    /// The address of the node that refused it.
    pub address: String,
    /// Why.
    pub reason: String,
    /// What it holds: `readings`, `windows`, `observations`, or `bytes` that a source could not understand.
    pub kind: String,
    /// How many items it stands for.
    pub items: u64,
}

/// Dead letters, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LetterPage {
    /// Those that were asked for, up to the limit.
    pub letters: Vec<LetterRow>,
    /// How many there are with those that are beyond the limit.
    pub total: u64,
}

/// A dead letter with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Letter {
    /// The row that stands for it in a list.
    pub letter: LetterRow,
    /// Where it came from, such as `soil.csv:17`; for what a source could not understand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The bytes as they came, as text; for what a source could not understand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// The items in the one JSON form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<serde_json::Value>,
}

/// Which dead letters something is done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// These.
    Ids(Vec<String>),
    /// All that the filter takes.
    Filter(LetterFilter),
}

/// What was done with dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LettersDone {
    /// How many letters.
    pub letters: u64,
    /// How many items they stood for.
    pub items: u64,
    /// How many letters were refused again, and stay.
    pub refused: u64,
}
