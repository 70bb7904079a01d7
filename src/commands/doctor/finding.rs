//! What was found, and what to do about it.

use serde::Serialize;
use serde_json::{Map, Value};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It works, and something can be lost, or seen by whom it does not concern.
    Warning,
    /// It does not work.
    Error,
}

impl Level {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Finding {
    /// What was looked at, the same in every release: `disk.space`.
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// What was found.
    pub(super) text: String,
    /// What to do about it: never missing where something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
    /// What was measured, by name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) facts: Map<String, Value>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Finding {
        let (text, facts) = (text.into(), Map::new());
        Finding { check, level: Level::Ok, text, fix: None, facts }
    }

    pub(super) fn note(check: &'static str, text: impl Into<String>) -> Finding {
        Finding { level: Level::Note, ..Finding::ok(check, text) }
    }

    pub(super) fn warning(
        check: &'static str,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding { level: Level::Warning, ..Finding::ok(check, text) }.fix(fix)
    }

    pub(super) fn error(
        check: &'static str,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding { level: Level::Error, ..Finding::ok(check, text) }.fix(fix)
    }

    /// What to do about it.
    pub(super) fn fix(self, fix: impl Into<String>) -> Finding {
        Finding { fix: Some(fix.into()), ..self }
    }

    /// Adds what was measured.
    pub(super) fn fact(mut self, name: &str, value: impl Into<Value>) -> Finding {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

/// Findings about one thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Section {
    /// `disk`, `mqtt garden`.
    pub(super) name: String,
    pub(super) findings: Vec<Finding>,
}
