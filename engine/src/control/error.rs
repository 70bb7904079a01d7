//! Why something asked of an engine was not done.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::JsonDiagnostic;

/// What kind of no it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// What was given is wrong; it will be wrong the next time, too.
    BadInput,
    /// There is no such thing.
    NotFound,
    /// Not now: another revision runs than was expected, another change is under way.
    Refused,
    /// Not by this caller.
    Denied,
    /// No engine answers.
    Unreachable,
    /// It was tried and did not work out.
    Failed,
}

/// Why something was not done, for a person and for a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ControlError {
    /// What kind of no it is.
    pub kind: ErrorKind,
    /// One sentence: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What is wrong with the pipelines, as `validate` shows it in a terminal without colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The same, as `validate --json` lists it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<JsonDiagnostic>,
}

impl ControlError {
    /// An error with nothing but a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ControlError {
        ControlError { kind, message: message.into(), help: None, text: None, diagnostics: vec![] }
    }

    /// It was tried and did not work out.
    pub fn failed(message: impl Into<String>) -> ControlError {
        ControlError::new(ErrorKind::Failed, message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> ControlError {
        ControlError::new(ErrorKind::NotFound, message)
    }

    /// Not now.
    pub fn refused(message: impl Into<String>) -> ControlError {
        ControlError::new(ErrorKind::Refused, message)
    }

    /// What was given is wrong.
    pub fn bad_input(message: impl Into<String>) -> ControlError {
        ControlError::new(ErrorKind::BadInput, message)
    }

    /// The pipelines are wrong: what was found, as text and as a list.
    pub fn bad_pipelines(
        message: impl Into<String>,
        text: String,
        diagnostics: Vec<JsonDiagnostic>,
    ) -> ControlError {
        ControlError { text: Some(text), diagnostics, ..ControlError::bad_input(message) }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> ControlError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ControlError {}
