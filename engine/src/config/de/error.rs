//! What can go wrong while serde reads a value.

use std::fmt;

use serde::de;

use crate::diagnostic::{Rule, all_of, nearest, quoted, rules};

/// An error on its way up to whoever knows its place.
#[derive(Debug)]
pub(super) enum Error {
    /// Raised by serde or a `Deserialize`, without a place yet.
    Raised { rule: &'static Rule, message: String, helps: Vec<String> },
    /// The value at hand is not what was expected.
    Unexpected { rule: &'static Rule, expected: String },
    /// A struct misses a key.
    Missing(&'static str),
    /// It has been reported; the nearest list or mapping leaves the value out.
    Reported,
    /// The value has been left out; the next attempt does without it.
    LeftOut,
}

impl Error {
    pub(super) fn raised(rule: &'static Rule, message: impl Into<String>) -> Self {
        Self::Raised { rule, message: message.into(), helps: Vec::new() }
    }

    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        match self {
            Self::Raised { rule, message, mut helps } => {
                helps.push(help.into());
                Self::Raised { rule, message, helps }
            }
            other => other,
        }
    }

    /// A word that is none of those there are.
    pub(super) fn unknown(rule: &'static Rule, what: &str, word: &str, known: &[&str]) -> Self {
        let error = Self::raised(rule, format!("{what} {}", quoted(word)));
        match nearest(word, known.iter().copied()) {
            Some(name) => error.with_help(format!("did you mean `{name}`?")),
            None => error.with_help(format!("known are {}", all_of(known.iter().copied()))),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raised { message, .. } => f.write_str(message),
            Self::Unexpected { expected, .. } => write!(f, "expected {expected}"),
            Self::Missing(key) => write!(f, "`{key}` is missing"),
            Self::Reported | Self::LeftOut => f.write_str("an error that has been reported"),
        }
    }
}

impl de::Error for Error {
    /// A message may name its rule, see [`Rule::says`].
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        let (rule, text) = match text.split_once(": ") {
            Some((id, rest)) => match Rule::by_id(id) {
                Some(rule) => (rule, rest),
                None => (&rules::BAD_VALUE, text.as_str()),
            },
            None => (&rules::BAD_VALUE, text.as_str()),
        };
        let (helps, lines): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("help: "));
        let helps = helps.iter().map(|help| help["help: ".len()..].to_owned()).collect();
        Self::Raised { rule, message: lines.join("\n"), helps }
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Unexpected { rule: &rules::WRONG_TYPE, expected: expected.to_string() }
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Unexpected { rule: &rules::BAD_VALUE, expected: expected.to_string() }
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::raised(&rules::BAD_VALUE, format!("expected {expected}, found {length} elements"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown(&rules::UNKNOWN_VALUE, "unknown word", variant, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown(&rules::UNKNOWN_KEY, "unknown key", field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::raised(
            &rules::DUPLICATE_KEY,
            format!("the key `{field}` stands here twice, under two names"),
        )
    }
}
