//! What is wrong with what a user wrote, said so that they can mend it.
//!
//! Every stage from YAML to graph reports into one [`Diagnostics`]; nothing stops at the first error. A [`Diagnostic`]
//! names a [`Rule`] with a stable id, points at the text with [`Span`]s, and is shown by [`Diagnostics::render`]
//! (source line, caret, help) or [`Diagnostics::to_json`]. No stage prints anything itself.

mod collect;
mod files;
mod json;
mod nearest;
mod render;
pub mod rules;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use collect::Diagnostics;
pub(crate) use collect::KEPT_MAX;
pub use files::{FileId, Files, Position, Span};
pub use json::JsonDiagnostic;
pub use nearest::{all_of, nearest, one_of, quoted, shortened};
pub use rules::Rule;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The pipelines cannot run like this.
    Error,
    /// They can run, and probably do something else than what was meant.
    Warning,
}

/// A place in a file and what to say there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// Shown beside the caret; may be empty.
    pub text: Cow<'static, str>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which check found it.
    pub rule: &'static Rule,
    /// Error or warning.
    pub severity: Severity,
    /// One sentence: lower case, no full stop, what the user wrote in backticks.
    pub message: String,
    /// The place that has to change.
    pub primary: Label,
    /// Other places that matter, for instance the first of two equal names.
    pub secondary: Vec<Label>,
    /// The uses of templates that made what is at fault, the nearest first.
    pub uses: Vec<Span>,
    /// What to do about it, one line each.
    pub helps: Vec<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(rule: &'static Rule, span: Span, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: Severity::Error,
            message: message.into(),
            primary: Label { span, text: Cow::Borrowed("") },
            secondary: Vec::new(),
            uses: Vec::new(),
            helps: Vec::new(),
        }
    }

    /// A warning at `span`.
    pub fn warning(rule: &'static Rule, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(rule, span, message) }
    }

    /// Says something beside the caret of the primary place.
    #[must_use]
    pub fn label(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// Shows another place too.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<Cow<'static, str>>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Adds a help line.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(text.into());
        self
    }

    /// Adds "did you mean" with the candidate nearest to `word`, if one is near enough.
    #[must_use]
    pub fn did_you_mean<'a>(
        self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match nearest(word, candidates) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}
