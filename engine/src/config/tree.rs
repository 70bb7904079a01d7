//! YAML as a tree in which every key and value knows where it was written.
//!
//! Aliases share what they stand for: cloning a [`Node`] never copies what lies under it.

use std::{fmt, sync::Arc};

use super::secret::Secret;
use crate::diagnostic::{Span, quoted};

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// From its first to its last character.
    pub span: Span,
    /// What stands there.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text, a number, a bool or nothing; which of them is decided by what its field expects.
    Scalar(Scalar),
    /// A list.
    Sequence(Arc<[Node]>),
    /// Keys with values, in the order of the file, no key twice.
    Mapping(Mapping),
    /// Something that has been reported already. Whoever meets it stays silent.
    Broken,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: its type is what its field expects.
    Plain,
    /// In quotes or as a block (`|`, `>`): always text.
    Text,
}

/// A scalar after interpolation.
#[derive(Clone)]
pub struct Scalar {
    /// The text; of a secret its reference.
    pub(super) text: Arc<str>,
    pub(super) style: Style,
    pub(super) origin: Option<Arc<Origin>>,
}

/// Where the text of a scalar came from, if not from the file alone.
pub(super) enum Origin {
    /// `${...}` was replaced.
    Variables {
        /// The text as it stands in the file.
        written: Arc<str>,
        /// Where in the result a `$(` begins that stands in the file, and was not in the value of a variable.
        parameters: Box<[usize]>,
    },
    /// `secret://...`
    Secret(Secret),
}

/// Keys with values.
#[derive(Clone, Debug, Default)]
pub struct Mapping(Arc<[Entry]>);

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Node,
}

/// A key with its place.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key without quotes. Keys are not interpolated.
    pub text: Arc<str>,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// The entries, if it is a mapping.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// Whether nothing stands there (`key:`, `~` or `null`).
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(Scalar::is_null)
    }

    /// What stands there, in words that follow "found".
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.describe(),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Broken => "something unreadable".to_owned(),
        }
    }
}

impl Scalar {
    pub(super) fn new(text: &str, style: Style) -> Self {
        Self { text: text.into(), style, origin: None }
    }

    /// The text after interpolation; of a secret its reference, never its value.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it was written.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The secret, if it is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self.origin.as_deref() {
            Some(Origin::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    /// What may be shown of it as a secret, and the value.
    pub(super) fn as_secret(&self) -> [&str; 2] {
        match self.secret() {
            Some(secret) => [secret.reference(), secret.expose()],
            None => [self.written().unwrap_or("(hidden)"), self.text()],
        }
    }

    /// The text as it stands in the file, if a variable was put into it.
    pub fn written(&self) -> Option<&str> {
        match self.origin.as_deref() {
            Some(Origin::Variables { written, .. }) => Some(written),
            _ => None,
        }
    }

    /// Whether it is nothing: empty, `~` or `null` without quotes.
    pub fn is_null(&self) -> bool {
        self.plain().is_some_and(|text| matches!(text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// As a bool, by the core schema.
    pub fn as_bool(&self) -> Option<bool> {
        match self.plain()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// As a whole number, by the core schema: decimal, `0x` or `0o`.
    pub fn as_integer(&self) -> Option<i128> {
        let text = self.plain()?;
        let radix = |digits: &str, radix| {
            let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            plain.then(|| i128::from_str_radix(digits, radix).ok()).flatten()
        };
        match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
            (Some(digits), _) => radix(digits, 16),
            (_, Some(digits)) => radix(digits, 8),
            _ => text.parse().ok(),
        }
    }

    /// As a number, by the core schema; whole numbers included.
    pub fn as_float(&self) -> Option<f64> {
        if let Some(integer) = self.as_integer() {
            // Rounding to the nearest double is what a reader of a float field expects.
            #[expect(clippy::cast_precision_loss, reason = "as YAML and JSON readers do")]
            return Some(integer as f64);
        }
        let text = self.plain()?;
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        match rest {
            ".inf" | ".Inf" | ".INF" => {
                Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY })
            }
            ".nan" | ".NaN" | ".NAN" if rest.len() == text.len() => Some(f64::NAN),
            _ if rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') => text.parse().ok(),
            _ => None,
        }
    }

    /// What it is, in words that follow "found".
    pub fn describe(&self) -> String {
        if self.secret().is_some() {
            return format!("the secret {}", quoted(&self.text));
        }
        let what = match self.style {
            Style::Text => format!("the text {} in quotes", quoted(&self.text)),
            Style::Plain if self.is_null() => "nothing".to_owned(),
            Style::Plain if self.as_bool().is_some() => self.text.to_string(),
            Style::Plain if self.as_float().is_some() => {
                format!("the number {}", quoted(&self.text))
            }
            Style::Plain => format!("the text {}", quoted(&self.text)),
        };
        match self.written() {
            Some(_) => format!("{what} (after interpolation)"),
            None => what,
        }
    }

    /// The same without its quotes, if all of it is one `"${NAME}"`: inside `{ }` and `[ ]` YAML demands quotes there,
    /// and they say nothing about the type.
    pub(super) fn unquoted(&self) -> Option<Self> {
        let written = self.written().filter(|_| self.style == Style::Text)?;
        let one = written.starts_with("${")
            && written.ends_with('}')
            && written.matches("${").count() == 1;
        one.then(|| Self { style: Style::Plain, ..self.clone() })
    }

    fn plain(&self) -> Option<&str> {
        (self.style == Style::Plain && self.secret().is_none()).then_some(&*self.text)
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Mapping {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self(entries.into())
    }

    /// The entries in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| &*entry.key.text == key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
