//! Old settings as a tree that files can be laid over, and written down again.

use smollama_engine::config::{Node, Style, Value};
use smollama_engine::diagnostic::Span;

/// A value with its place.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Tree {
    /// Where its key stands, or it itself where it has none.
    pub(in super::super) span: Span,
    pub(in super::super) kind: Kind,
}

/// See [`Tree`].
#[derive(Debug, Clone)]
pub(in super::super) enum Kind {
    /// Keys in the order of the file.
    Map(Vec<(String, Tree)>),
    List(Vec<Tree>),
    Scalar {
        text: String,
        /// Without quotes: it may be a number, a yes or a no.
        is_plain: bool,
    },
}

impl Default for Kind {
    fn default() -> Kind {
        Kind::Map(Vec::new())
    }
}

impl Tree {
    pub(super) fn new(node: &Node) -> Tree {
        let kind = match &node.value {
            Value::Mapping(mapping) => Kind::Map(
                mapping
                    .entries()
                    .iter()
                    .map(|entry| {
                        let tree = Tree { span: entry.key.span, ..Tree::new(&entry.value) };
                        (entry.key.text.to_string(), tree)
                    })
                    .collect(),
            ),
            Value::Sequence(nodes) => Kind::List(nodes.iter().map(Tree::new).collect()),
            Value::Scalar(scalar) => Kind::Scalar {
                text: scalar.text().to_owned(),
                is_plain: scalar.style() == Style::Plain,
            },
            Value::Broken => Kind::Scalar { text: String::new(), is_plain: true },
        };
        Tree { span: node.span, kind }
    }

    /// With another laid over it: mappings key by key, anything else as a whole.
    pub(super) fn under(self, over: Tree) -> Tree {
        match (self.kind, over.kind) {
            (Kind::Map(mut below), Kind::Map(above)) => {
                for (key, tree) in above {
                    match below.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, old)) => *old = std::mem::take(old).under(tree),
                        None => below.push((key, tree)),
                    }
                }
                let span = if self.span.is_somewhere() { self.span } else { over.span };
                Tree { span, kind: Kind::Map(below) }
            }
            (_, kind) => Tree { span: over.span, kind },
        }
    }

    pub(in super::super) fn as_map(&self) -> Option<&[(String, Tree)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The elements of a list; a scalar counts as a list of one.
    pub(in super::super) fn elements(&self) -> &[Tree] {
        match &self.kind {
            Kind::List(elements) => elements,
            Kind::Scalar { .. } => std::slice::from_ref(self),
            Kind::Map(_) => &[],
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.as_map().unwrap_or_default().iter().map(|(key, _)| key.as_str())
    }

    pub(in super::super) fn get(&self, key: &str) -> Option<&Tree> {
        self.as_map()?.iter().find(|(name, _)| name == key).map(|(_, tree)| tree)
    }

    pub(in super::super) fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A yes or a no, in the words of YAML 1.1, which the old program reads.
    pub(in super::super) fn as_bool(&self) -> Option<bool> {
        match self.as_text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    pub(in super::super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, is_plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Without some of its keys; `None` where nothing is left of it.
    pub(in super::super) fn without(&self, keys: &[&str]) -> Option<Tree> {
        let Kind::Map(entries) = &self.kind else { return Some(self.clone()) };
        let mut kept = Vec::new();
        for (key, tree) in entries {
            let below: Vec<&str> = keys
                .iter()
                .filter_map(|path| path.strip_prefix(key.as_str())?.strip_prefix('.'))
                .collect();
            if keys.contains(&key.as_str()) {
                continue;
            }
            let left = if below.is_empty() { Some(tree.clone()) } else { tree.without(&below) };
            kept.extend(left.map(|tree| (key.clone(), tree)));
        }
        (!kept.is_empty() || entries.is_empty())
            .then_some(Tree { span: self.span, kind: Kind::Map(kept) })
    }

    /// As YAML. What a key says is secret is not shown.
    pub(in super::super) fn yaml(&self, key: &str) -> String {
        let mut out = String::new();
        self.write(Some(key), 0, &mut out);
        out
    }

    fn write(&self, key: Option<&str>, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        let head = match key {
            Some(key) => format!("{indent}{}:", scalar(key, true)),
            None => format!("{indent}-"),
        };
        match &self.kind {
            Kind::Map(entries) if entries.is_empty() => *out += &format!("{head} {{}}\n"),
            Kind::List(elements) if elements.is_empty() => *out += &format!("{head} []\n"),
            Kind::Map(entries) => {
                *out += &format!("{head}\n");
                for (key, tree) in entries {
                    tree.write(Some(key), depth + 1, out);
                }
            }
            Kind::List(elements) => {
                *out += &format!("{head}\n");
                for tree in elements {
                    tree.write(None, depth + 1, out);
                }
            }
            Kind::Scalar { text, is_plain } => {
                let hidden = key.is_some_and(is_secret) && !text.is_empty();
                let shown = match hidden {
                    true => "\"(hidden; it is in the old file)\"".to_owned(),
                    false => scalar(text, *is_plain),
                };
                *out += format!("{head} {shown}").trim_end();
                *out += "\n";
            }
        }
    }
}

/// Whether what stands under a key is nobody's business.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "api_key", "apikey"]
        .iter()
        .any(|word| key.contains(word))
}

/// A scalar as YAML: as it is where that is what it was, otherwise in quotes.
fn scalar(text: &str, is_plain: bool) -> String {
    let fits = is_plain
        && !text.contains(['\n', '#', '"', '\\'])
        && !text.contains(": ")
        && !text.ends_with(':');
    if fits { text.to_owned() } else { quoted(text) }
}

/// A text in quotes that YAML and JSON both read.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text in quotes for a file of ours, in which a dollar sign would begin a variable.
pub(in super::super) fn value(text: &str) -> String {
    quoted(text).replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use smollama_engine::config::Loader;

    use super::*;

    fn tree(text: &str) -> Tree {
        let nothing = |_: &str| None;
        let mut loader = Loader::new(&nothing);
        loader.text(Path::new("old.yaml"), text);
        Tree::new(&loader.finish().documents[0].root)
    }

    #[test]
    fn a_file_is_laid_over_another_key_by_key_and_lists_as_a_whole() {
        let base = tree("mqtt: { broker: a, port: 1883 }\nlist: [1, 2]\nnode: { name: x }\n");
        let merged = base.under(tree("mqtt: { broker: b }\nlist: [3]\nnode: plain\nmore: yes\n"));
        assert_eq!(
            merged.yaml("all"),
            "all:\n  mqtt:\n    broker: b\n    port: 1883\n  list:\n    - 3\n  node: plain\n  more: yes\n"
        );
    }

    #[test]
    fn what_is_written_down_is_what_was_read() {
        let text = "prompt: |\n  two\n  lines: \"quoted\"\npins:\n  - pin: 17\n    name: door\nempty: {}\nnone:\nurl: \"http://a\"\n";
        let first = tree(text);
        let again = tree(&first.yaml("all"));
        assert_eq!(again.get("all").unwrap().yaml("all"), first.yaml("all"));
        assert_eq!(first.get("prompt").unwrap().as_text(), Some("two\nlines: \"quoted\"\n"));
    }

    #[test]
    fn secrets_are_not_written_down_and_used_keys_are_left_out() {
        let tree = tree("a: { api_key: x, b: { c: 1, d: 2 }, e: 3 }\n");
        let left = tree.get("a").unwrap().without(&["b.c", "e"]).unwrap();
        assert_eq!(
            left.yaml("a"),
            "a:\n  api_key: \"(hidden; it is in the old file)\"\n  b:\n    d: 2\n"
        );
        assert!(left.without(&["api_key", "b.d"]).is_none());
    }
}
