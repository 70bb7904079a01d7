//! Diagnostics for programs: the list behind `smollama validate --json`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Diagnostics, Files};

/// One entry of `smollama validate --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JsonDiagnostic {
    /// The stable id, `SM0012`.
    pub rule: Cow<'static, str>,
    /// What is wrong.
    pub message: String,
    /// The path as it was given; absent when no file is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What to do, and where a template is used that is at fault, one line each; absent when there is nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostics {
    /// Everything that was kept, by file and place.
    pub fn to_json(&self, files: &Files) -> Vec<JsonDiagnostic> {
        let entry = |d: &super::Diagnostic| {
            let span = d.primary.span;
            let position = files.position(span.file, span.start);
            let used = d.uses.iter().map(|used| {
                let at = files.position(used.file, used.start);
                format!("used in {}:{}:{}", files.path(used.file).display(), at.line, at.column)
            });
            let helps: Vec<String> = d.helps.iter().cloned().chain(used).collect();
            JsonDiagnostic {
                rule: d.rule.id.into(),
                message: d.message.clone(),
                file: span.is_somewhere().then(|| files.path(span.file).display().to_string()),
                line: position.line,
                column: position.column,
                help: (!helps.is_empty()).then(|| helps.join("\n")),
            }
        };
        self.sorted().into_iter().map(entry).collect()
    }
}
