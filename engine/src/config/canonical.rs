//! Trees without their form: equal when they say the same, whatever the spans, comments, quotes and order of keys; and as one line.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::{
    secret::Secret,
    tree::{Entry, Mapping, Node, Origin, Scalar, Style, Value},
};
use crate::diagnostic::Span;

impl Node {
    /// Whether both say the same after interpolation. Secrets are compared with their values.
    ///
    /// What only a typed reading knows to be equal (`60s` and `1m`, a default that is written out) differs here.
    pub fn says_the_same(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(a), Value::Scalar(b)) => a.says_the_same(b),
            (Value::Sequence(a), Value::Sequence(b)) => {
                a.len() == b.len() && a.iter().zip(&**b).all(|(a, b)| a.says_the_same(b))
            }
            (Value::Mapping(a), Value::Mapping(b)) => {
                let found = |entry: &Entry| b.get(&entry.key.text).map(|other| &other.value);
                let mut pairs = a.entries().iter().map(|entry| (&entry.value, found(entry)));
                a.len() == b.len()
                    && pairs.all(|(a, b)| b.is_some_and(|other| a.says_the_same(other)))
            }
            (Value::Broken, Value::Broken) => true,
            _ => false,
        }
    }

    /// The same with the scalars that stand at `secrets` marked as secrets.
    pub(super) fn with_secrets(&self, secrets: &BTreeSet<Span>) -> Node {
        if secrets.is_empty() {
            return self.clone();
        }
        let value = match &self.value {
            Value::Scalar(scalar) if secrets.contains(&self.span) => {
                let [reference, value] = scalar.as_secret();
                let secret = Secret::new(reference, value);
                Value::Scalar(Scalar {
                    text: reference.into(),
                    style: scalar.style,
                    origin: Some(Arc::new(Origin::Secret(secret))),
                })
            }
            Value::Sequence(nodes) => {
                Value::Sequence(nodes.iter().map(|node| node.with_secrets(secrets)).collect())
            }
            Value::Mapping(mapping) => {
                let entries = mapping.entries().iter().map(|entry| Entry {
                    key: entry.key.clone(),
                    value: entry.value.with_secrets(secrets),
                });
                Value::Mapping(Mapping::new(entries.collect()))
            }
            other => other.clone(),
        };
        Node { span: self.span, value }
    }
}

impl Scalar {
    fn says_the_same(&self, other: &Scalar) -> bool {
        if let (Some(a), Some(b)) = (self.secret(), other.secret()) {
            return a == b;
        }
        let kind = |scalar: &Scalar| (scalar.secret().is_some(), scalar.is_text());
        (self.is_null() && other.is_null())
            || (self.text() == other.text() && kind(self) == kind(other))
    }

    /// Whether a reader that takes anything reads it as text.
    fn is_text(&self) -> bool {
        let unquoted = self.unquoted();
        let it = unquoted.as_ref().unwrap_or(self);
        it.style() == Style::Text
            || !(it.is_null() || it.as_bool().is_some() || it.as_float().is_some())
    }
}

/// One line of YAML, keys sorted, secrets as their references: `{ match: air/**, topics: [a, b] }`.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Scalar(scalar) => scalar.fmt(f),
            Value::Sequence(nodes) => {
                f.write_str("[")?;
                for (index, node) in nodes.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    node.fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Mapping(mapping) if mapping.is_empty() => f.write_str("{}"),
            Value::Mapping(mapping) => {
                let mut entries: Vec<&Entry> = mapping.entries().iter().collect();
                entries.sort_by(|a, b| a.key.text.cmp(&b.key.text));
                for (index, entry) in entries.into_iter().enumerate() {
                    f.write_str(if index == 0 { "{ " } else { ", " })?;
                    write!(f, "{}: {}", entry.key.text, entry.value)?;
                }
                f.write_str(" }")
            }
            Value::Broken => f.write_str("?"),
        }
    }
}

/// As it could be written: text in quotes where it would be read as something else, or has characters that are not shown.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() {
            return f.write_str("null");
        }
        let plain = Scalar::new(self.text(), Style::Plain);
        let odd = |c: char| c.is_control() || matches!(c, ',' | '[' | ']' | '{' | '}' | '"' | '#');
        let misread = (self.is_text() && !plain.is_text())
            || self.text().contains(odd)
            || self.text().trim() != self.text();
        let quotes = misread && self.secret().is_none();
        if quotes { write!(f, "{:?}", self.text()) } else { f.write_str(self.text()) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Loader, read_showable};
    use crate::diagnostic::Diagnostics;

    fn tree(yaml: &str) -> Node {
        let lookup = |name: &str| Some(format!("value of {name}"));
        let mut loader = Loader::new(&lookup);
        loader.text(Path::new("a.yaml"), yaml);
        let loaded = loader.finish();
        assert!(!loaded.diagnostics.has_errors());
        loaded.documents[0].root.clone()
    }

    #[test]
    fn form_does_not_matter_and_content_does() {
        let same = |a: &str, b: &str| tree(a).says_the_same(&tree(b));
        assert!(same("{ a: 1, b: [x, y] }", "# why\nb:\n- x\n- 'y'\na: 1\n"));
        assert!(same("a: ~", "a:"));
        assert!(same("a: ${A}", "a: value of A"));
        assert!(same("{ a: \"${A}\" }", "a: ${A}"));
        assert!(same("a: secret://env/A", "a: secret://env/A"));
        for (a, b) in [
            ("a: 1", "a: '1'"),
            ("a: 1", "a: 2"),
            ("a: 1", "b: 1"),
            ("a: 1", "a: 1\nb: 1"),
            ("a: [x]", "a: [x, y]"),
            ("a: [x, y]", "a: [y, x]"),
            ("a: x", "a: [x]"),
            ("a: secret://env/A", "a: secret://env/B"),
            ("a: secret://env/A", "a: value of A"),
        ] {
            assert!(!same(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn one_line_reads_back_as_the_same() {
        let yaml = "z: [1, '1', 'a, b', \"two\\nlines\", ~]\na: { b: on, c: 'true' }\n";
        let line = tree(yaml).to_string();
        assert_eq!(line, r#"{ a: { b: on, c: "true" }, z: [1, "1", "a, b", "two\nlines", null] }"#);
        assert!(tree(&line).says_the_same(&tree(yaml)));
    }

    #[test]
    fn what_was_read_as_a_secret_is_not_shown_however_it_was_written() {
        #[derive(serde::Deserialize)]
        struct Settings {
            open: String,
            secrets: Vec<Secret>,
        }
        let root = tree("{ open: seen, secrets: [hunter2, \"${PW}\", secret://env/PW] }");
        let mut diagnostics = Diagnostics::new();
        let (read, shown): (Settings, Node) =
            read_showable(&root, root.span, "it", &mut diagnostics).unwrap();
        assert_eq!(read.secrets[0].expose(), "hunter2");
        assert_eq!(read.open, "seen");
        assert_eq!(
            shown.to_string(),
            r#"{ open: seen, secrets: [(hidden), ${PW}, secret://env/PW] }"#
        );
        let other = tree("{ open: seen, secrets: [hunter3, \"${PW}\", secret://env/PW] }");
        let (_, other) =
            read_showable::<Settings>(&other, other.span, "it", &mut diagnostics).unwrap();
        assert!(!shown.says_the_same(&other), "another secret is another tree");
    }
}
