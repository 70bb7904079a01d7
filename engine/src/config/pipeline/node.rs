//! One node: its engine words, and the one key that is its type.

use super::{EngineWord, NodeSpec, Section};
use crate::{
    config::{
        Spanned, Text,
        tree::{Entry, Key, Mapping, Node, Scalar, Value},
    },
    diagnostic::{Diagnostic, Diagnostics, all_of, nearest, quoted, rules},
};

/// Reads one node; nothing comes back when it has no type.
pub(in crate::config) fn read(
    entry: &Entry,
    section: Section,
    types: &[&str],
    diagnostics: &mut Diagnostics,
) -> Option<NodeSpec> {
    let name = Spanned::new(entry.key.text.clone(), entry.key.span);
    let mapping = mapping_of(entry, section, types, diagnostics)?;
    let (words, candidates) = split(mapping);
    let kind = choose_type(&name, section, types, candidates, diagnostics);
    let mut reader = Reader { section, diagnostics };
    let mut node = kind.map(|kind| blank(&name, section, entry, kind));
    for (word, entry) in words {
        if reader.allows(word, &entry.key) {
            // Words of a node without a type are read all the same, for their errors.
            reader.word(word, entry, &mut node);
        }
    }
    node
}

fn mapping_of<'a>(
    entry: &'a Entry,
    section: Section,
    types: &[&str],
    diagnostics: &mut Diagnostics,
) -> Option<&'a Mapping> {
    let name = quoted(&entry.key.text);
    match &entry.value.value {
        Value::Mapping(mapping) => return Some(mapping),
        Value::Broken => {}
        _ if entry.value.is_null() => {
            let message = format!("the {} {name} has no type", section.singular());
            let error = Diagnostic::error(&rules::NO_NODE_TYPE, entry.key.span, message);
            diagnostics.push(with_types(error, section, types));
        }
        _ => {
            let found = entry.value.describe();
            let message =
                format!("the {} {name} takes a mapping, found {found}", section.singular());
            let error = Diagnostic::error(&rules::WRONG_TYPE, entry.value.span, message);
            let text = entry.value.as_scalar().map(Scalar::text);
            let named = types.iter().find(|&&name| Some(name) == text);
            let example = named.or(types.first()).unwrap_or(&"type");
            diagnostics.push(error.help(format!(
                "write its type as a key: `{}: {{ {example}: {{}} }}`",
                entry.key.text
            )));
        }
    }
    None
}

fn with_types(error: Diagnostic, section: Section, types: &[&str]) -> Diagnostic {
    let error = match types {
        [] => error,
        _ => error.help(format!(
            "the types of {} are {}",
            section.key(),
            all_of(types.iter().copied())
        )),
    };
    let words = all_of(EngineWord::of(section).map(EngineWord::key));
    error.help(format!("besides its type a {} may have {words}", section.singular()))
}

/// Engine words, and the other keys.
fn split(mapping: &Mapping) -> (Vec<(EngineWord, &Entry)>, Vec<&Entry>) {
    let mut words = Vec::new();
    let mut candidates = Vec::new();
    for entry in mapping.entries() {
        match EngineWord::from_key(&entry.key.text) {
            Some(word) => words.push((word, entry)),
            None => candidates.push(entry),
        }
    }
    (words, candidates)
}

/// The one key that is the type, after complaining about all others.
fn choose_type<'a>(
    name: &Text,
    section: Section,
    types: &[&str],
    candidates: Vec<&'a Entry>,
    diagnostics: &mut Diagnostics,
) -> Option<&'a Entry> {
    let is_type = |entry: &&Entry| types.contains(&&*entry.key.text);
    let known = candidates.iter().filter(|entry| is_type(entry)).count();
    let chosen = match candidates.as_slice() {
        [] => {
            let message = format!("the {} `{}` has no type", section.singular(), &**name);
            let error = Diagnostic::error(&rules::NO_NODE_TYPE, name.span, message);
            diagnostics.push(with_types(error, section, types));
            return None;
        }
        [only] => return Some(only),
        // A misspelt engine word is not a second type.
        several if known == 0 => several.iter().find(|e| near_word(&e.key.text, section).is_none()),
        several => several.iter().find(|entry| is_type(entry)),
    };
    let chosen = chosen.or(candidates.first()).copied()?;
    for other in candidates.iter().filter(|other| !std::ptr::eq(**other, chosen)) {
        diagnostics.push_error(|| surplus_key(chosen, other, section, is_type(other)));
    }
    Some(chosen)
}

fn near_word(key: &str, section: Section) -> Option<&'static str> {
    nearest(key, EngineWord::of(section).map(EngineWord::key))
}

/// A key that is neither an engine word nor the type.
fn surplus_key(chosen: &Entry, other: &Entry, section: Section, is_type: bool) -> Diagnostic {
    let (type_name, key) = (quoted(&chosen.key.text), quoted(&other.key.text));
    if is_type {
        let message = format!("{type_name} and {key} are both types, a node has one");
        return Diagnostic::error(&rules::TWO_NODE_TYPES, other.key.span, message)
            .label("a second type")
            .also(chosen.key.span, "the first")
            .help("write two nodes, each with a name of its own");
    }
    let message = format!("unknown key {key} beside the type {type_name}");
    let error = Diagnostic::error(&rules::UNKNOWN_KEY, other.key.span, message)
        .also(chosen.key.span, "the type");
    match near_word(&other.key.text, section) {
        Some(word) => error.help(format!("did you mean `{word}`?")),
        None => error.help(format!("if it is a setting of {type_name}, write it under that key")),
    }
}

fn blank(name: &Text, section: Section, node: &Entry, kind: &Entry) -> NodeSpec {
    NodeSpec {
        name: name.clone(),
        section,
        span: node.value.span,
        type_name: Spanned::new(kind.key.text.clone(), kind.key.span),
        settings: kind.value.clone(),
        inputs: Vec::new(),
        inputs_span: name.span,
        inputs_broken: false,
        as_type: None,
        unit: None,
        labels: Vec::new(),
        labels_from: None,
        renamed_from: None,
        every: None,
        when: None,
        queue: None,
        retry: None,
    }
}

pub(super) struct Reader<'a> {
    section: Section,
    pub(super) diagnostics: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn allows(&mut self, word: EngineWord, key: &Key) -> bool {
        if word.sections().contains(&self.section) {
            return true;
        }
        let message = format!("{} has no `{}`", self.section.with_article(), word.key());
        let owners = all_of(word.sections().iter().map(|section| section.key())).replace('`', "");
        let error = Diagnostic::error(&rules::MISPLACED_WORD, key.span, message)
            .help(format!("only {owners} have it"));
        self.diagnostics.push(error);
        false
    }

    fn word(&mut self, word: EngineWord, entry: &Entry, node: &mut Option<NodeSpec>) {
        let value = &entry.value;
        let tree = || {
            let empty = value.span.start == value.span.end;
            let span = if empty { entry.key.span } else { value.span };
            let whole = !matches!(value.value, Value::Broken);
            whole.then(|| Node { span, value: value.value.clone() })
        };
        match word {
            EngineWord::Inputs => {
                let before = self.diagnostics.errors();
                let inputs = self.inputs(value);
                let broken = self.diagnostics.errors() > before || has_broken(value);
                if let Some(node) = node {
                    node.inputs = inputs;
                    node.inputs_span = if value.is_null() { entry.key.span } else { value.span };
                    node.inputs_broken = broken;
                }
            }
            EngineWord::Labels => {
                let labels = self.labels(value);
                if let Some(node) = node {
                    node.labels = labels;
                }
            }
            EngineWord::As
            | EngineWord::Unit
            | EngineWord::LabelsFrom
            | EngineWord::RenamedFrom => {
                let text = self.text(word.key(), entry);
                if let Some(node) = node {
                    match word {
                        EngineWord::As => node.as_type = text,
                        EngineWord::Unit => node.unit = text,
                        EngineWord::LabelsFrom => node.labels_from = text,
                        _ => node.renamed_from = text,
                    }
                }
            }
            EngineWord::Every | EngineWord::When | EngineWord::Queue | EngineWord::Retry => {
                if let Some(node) = node {
                    match word {
                        EngineWord::Every => node.every = tree(),
                        EngineWord::When => node.when = tree(),
                        EngineWord::Queue => node.queue = tree(),
                        _ => node.retry = tree(),
                    }
                }
            }
            // What a template has put in its place is read here.
            EngineWord::Use => {}
        }
    }

    fn text(&mut self, what: &str, entry: &Entry) -> Option<Text> {
        text(&format!("`{what}`"), &entry.key, &entry.value, self.diagnostics)
    }

    fn labels(&mut self, value: &Node) -> Vec<(Text, Text)> {
        let Some(mapping) = value.as_mapping() else {
            self.expected(
                "labels",
                "a mapping from names to texts",
                "labels: { room: kitchen }",
                value,
            );
            return Vec::new();
        };
        let label = |entry: &Entry| {
            let text = self.text(&entry.key.text, entry)?;
            Some((Spanned::new(entry.key.text.clone(), entry.key.span), text))
        };
        mapping.entries().iter().filter_map(label).collect()
    }

    pub(super) fn expected(&mut self, key: &str, expected: &str, example: &str, value: &Node) {
        if !matches!(value.value, Value::Broken) {
            let message = format!("`{key}` takes {expected}, found {}", value.describe());
            let error = Diagnostic::error(&rules::WRONG_TYPE, value.span, message)
                .help(format!("write `{example}`"));
            self.diagnostics.push(error);
        }
    }
}

fn has_broken(node: &Node) -> bool {
    match &node.value {
        Value::Broken => true,
        Value::Sequence(nodes) => nodes.iter().any(has_broken),
        Value::Mapping(mapping) => mapping.entries().iter().any(|entry| has_broken(&entry.value)),
        Value::Scalar(_) => false,
    }
}

/// The value of an entry that has to be text.
pub(in crate::config) fn text_of(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Text> {
    text(&format!("`{}`", entry.key.text), &entry.key, &entry.value, diagnostics)
}

/// A value that has to be text.
pub(super) fn text(
    what: &str,
    key: &Key,
    value: &Node,
    diagnostics: &mut Diagnostics,
) -> Option<Text> {
    let error = match &value.value {
        Value::Broken => return None,
        Value::Scalar(scalar) if scalar.secret().is_some() => {
            let message = format!("{what} is shown in plans and logs and cannot hold a secret");
            Diagnostic::error(&rules::SECRET_SHOWN, value.span, message)
                .help("use `${NAME}` if the value is no secret")
        }
        Value::Scalar(scalar) if !scalar.is_null() => {
            return Some(Spanned::new(scalar.text.clone(), value.span));
        }
        _ => {
            let span = if value.span.start == value.span.end { key.span } else { value.span };
            let message = format!("{what} takes text, found {}", value.describe());
            Diagnostic::error(&rules::WRONG_TYPE, span, message)
        }
    };
    diagnostics.push(error);
    None
}
