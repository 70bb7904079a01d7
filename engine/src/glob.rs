//! Patterns over sources: `*` stops at `/` and `:`, `**` does not, `?` is one character that is neither.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::diagnostic::rules;

/// A compiled pattern.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Literal(String),
    One,
    Some,
    Any,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a pattern: {why}")]
pub struct BadGlob {
    text: String,
    why: &'static str,
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The text is empty, or has more than two `*` in a row.
    pub fn new(text: &str) -> Result<Glob, BadGlob> {
        let bad = |why| BadGlob { text: text.to_owned(), why };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.contains("***") {
            return Err(bad("`*` stops at `/` and `:`, `**` does not; there is no `***`"));
        }
        let mut parts: Vec<Part> = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let part = match c {
                '*' if chars.next_if_eq(&'*').is_some() => Part::Any,
                '*' => Part::Some,
                '?' => Part::One,
                c => {
                    if let Some(Part::Literal(literal)) = parts.last_mut() {
                        literal.push(c);
                    } else {
                        parts.push(Part::Literal(c.to_string()));
                    }
                    continue;
                }
            };
            parts.push(part);
        }
        Ok(Glob { text: text.to_owned(), parts })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has no wildcard.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Literal(_)])
    }

    /// Whether the whole of `text` fits. Takes time in proportion to the product of both lengths at most.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        // Two places to come back to: the last `*` and the last `**`. A `*` that meets a separator gives up to the `**` before it.
        let (mut part, mut rest) = (0, text);
        let mut some: Option<(usize, &str)> = None;
        let mut any: Option<(usize, &str)> = None;
        loop {
            let fits = match self.parts.get(part) {
                None if rest.is_empty() => return true,
                None => false,
                Some(Part::Any) => {
                    (any, some) = (Some((part + 1, rest)), None);
                    true
                }
                Some(Part::Some) => {
                    some = Some((part + 1, rest));
                    true
                }
                Some(Part::One) => match rest.chars().next() {
                    Some(c) if !is_separator(c) => {
                        rest = &rest[c.len_utf8()..];
                        true
                    }
                    _ => false,
                },
                Some(Part::Literal(literal)) => match rest.strip_prefix(literal.as_str()) {
                    Some(after) => {
                        rest = after;
                        true
                    }
                    None => false,
                },
            };
            if fits {
                part += 1;
                continue;
            }
            if let Some((next, from)) = some
                && let Some(c) = from.chars().next().filter(|&c| !is_separator(c))
            {
                let from = &from[c.len_utf8()..];
                (some, part, rest) = (Some((next, from)), next, from);
            } else if let Some((next, from)) = any
                && let Some(c) = from.chars().next()
            {
                let from = &from[c.len_utf8()..];
                (any, some, part, rest) = (Some((next, from)), None, next, from);
            } else {
                return false;
            }
        }
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, '/' | ':')
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Glob::new(&text).map_err(|error| serde::de::Error::custom(rules::BAD_GLOB.says(error)))
    }
}

impl JsonSchema for Glob {
    fn schema_name() -> Cow<'static, str> {
        "Glob".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "A pattern over sources: `*` stops at `/` and `:`, `**` does not.",
            "examples": ["system:**", "air:*/humidity"]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Glob::new(pattern).unwrap().matches(text)
    }

    #[test]
    fn one_star_stops_at_separators_and_two_do_not() {
        assert!(fits("air:**/humidity", "air:greenhouse/north/air/humidity"));
        assert!(!fits("air:*/humidity", "air:greenhouse/north/humidity"));
        assert!(fits("air:*/humidity", "air:north/humidity"));
        assert!(!fits("*", "air:north"));
        assert!(fits("**", "air:north") && fits("**", ""));
        assert!(fits("*:cpu_?", "system:cpu_1") && !fits("*:cpu_?", "system:cpu_/"));
        assert!(fits("a**b*c", "a/x/b:b_c") && !fits("a**b*c", "a/x/b/c"));
        assert!(!fits("abc", "abcd") && !fits("abcd", "abc"));
    }

    /// The definition, word for word, exponential in time.
    fn slow(parts: &[Part], text: &str) -> bool {
        match parts.split_first() {
            None => text.is_empty(),
            Some((Part::Literal(literal), rest)) => {
                text.strip_prefix(literal.as_str()).is_some_and(|after| slow(rest, after))
            }
            Some((Part::One, rest)) => text
                .chars()
                .next()
                .is_some_and(|c| !is_separator(c) && slow(rest, &text[c.len_utf8()..])),
            Some((part, rest)) => {
                slow(rest, text)
                    || text.chars().next().is_some_and(|c| {
                        (*part == Part::Any || !is_separator(c))
                            && slow(parts, &text[c.len_utf8()..])
                    })
            }
        }
    }

    proptest! {
        #[test]
        fn matches_as_defined(pattern in "([ab/:?]|\\*){1,8}", text in "[ab/:]{0,10}") {
            if let Ok(glob) = Glob::new(&pattern) {
                prop_assert_eq!(glob.matches(&text), slow(&glob.parts, &text), "{} {}", pattern, text);
            }
        }
    }
}
