//! Plans, applies, revisions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::JsonDiagnostic;
use crate::time::Timestamp;

/// Which pipelines, and with what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// Files and folders, absolute: the engine reads them itself.
    pub paths: Vec<PathBuf>,
    /// Whether the paths are the whole set: what lies elsewhere is removed.
    #[serde(default)]
    pub all: bool,
    /// What the variables that the files name are on the side of whoever asks. One that is missing here is looked up in the
    /// engine's own environment.
    #[serde(default)]
    pub variables: Variables,
}

/// Values of variables by name. Some may be secrets, so no output shows a value.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Variables(pub BTreeMap<String, String>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What an apply or a rollback would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanReply {
    /// Whether there is anything to change.
    pub pending: bool,
    /// The revision that runs; absent before the first. Given back as `expect`, it makes sure that what is applied is what was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The changes, as `plan --json` gives them.
    pub changes: serde_json::Value,
    /// The same for a person, without colour.
    pub text: String,
    /// Warnings about the pipelines, as `validate --json` lists them.
    #[serde(default)]
    pub diagnostics: Vec<JsonDiagnostic>,
}

/// What to apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Which pipelines, and with what.
    pub plan: PlanRequest,
    /// The revision the plan was made against. When another one runs by now, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u64>,
    /// What the history says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What was applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyReply {
    /// The revision that runs now. That of before, when there was nothing to change.
    pub revision: u64,
    /// The changes that were made, as `plan --json` gives them.
    pub changes: serde_json::Value,
    /// The same for a person, without colour.
    pub text: String,
    /// Warnings about the pipelines.
    #[serde(default)]
    pub diagnostics: Vec<JsonDiagnostic>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// How long of that was waiting for the disk, in milliseconds.
    pub sync_ms: f64,
}

/// An applied set of pipelines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionRow {
    /// Its number, from 1.
    pub number: u64,
    /// When it was applied.
    pub time: Timestamp,
    /// Who applied it.
    pub actor: String,
    /// What it changed, in a line, or what whoever applied it said.
    pub message: String,
    /// Whether it is the one that runs.
    pub current: bool,
}

/// Where to go back to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackPlanRequest {
    /// The revision; without it, the one before the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// Where to go back to, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The revision; without it, the one before the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The revision that is left. When another one runs by now, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u64>,
}
