//! The shape of a template: its keys, its nodes, and what they refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    INPUT, Template, Templates,
    arguments::{self, Param},
    fill::{narrowed, references, whole},
};
use crate::config::{
    pipeline::{Address, EngineWord, Section, check_name, is_name, node_text},
    spanned::{Spanned, Text},
    tree::{Entry, Node, Scalar, Style, Value},
};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Span, nearest, quoted, rules};

/// Keys of a template.
const KEYS: [&str; 8] =
    ["description", "params", "sources", "transforms", "agents", "sinks", "out", "tests"];

impl Templates {
    /// Reads what stands under `templates:`.
    pub(super) fn read_all(&mut self, entry: &Entry, file: FileId, diagnostics: &mut Diagnostics) {
        let mapping = match &entry.value.value {
            Value::Mapping(mapping) => mapping,
            Value::Broken => return,
            _ if entry.value.is_null() => return,
            _ => {
                let message =
                    format!("`templates` takes a mapping, found {}", entry.value.describe());
                let error = Diagnostic::error(&rules::WRONG_TYPE, entry.value.span, message);
                diagnostics.push(error.help("write each template as `name: { ..., out: node }`"));
                return;
            }
        };
        for entry in mapping.entries() {
            let template = template(entry, file, diagnostics);
            let Some(first) = self.by_name.get(&entry.key.text) else {
                self.by_name.insert(entry.key.text.clone(), template);
                continue;
            };
            let message = format!("two templates are named {}", quoted(&entry.key.text));
            let error = Diagnostic::error(&rules::DUPLICATE_TEMPLATE, entry.key.span, message);
            let error = error.label("again here").also(first.name.span, "first here");
            diagnostics
                .push(error.help("a template is known in all files that are applied; rename one"));
        }
    }
}

fn template(entry: &Entry, file: FileId, diagnostics: &mut Diagnostics) -> Template {
    let errors_before = diagnostics.errors();
    let name: Text = Spanned::new(entry.key.text.clone(), entry.key.span);
    check_name("template", &name, name.span, diagnostics);
    let mut template = Template {
        name,
        file,
        params: Vec::new(),
        nodes: Vec::new(),
        out: "".into(),
        section: Section::Sources,
        ports: BTreeMap::new(),
        tests: None,
        broken: false,
    };
    let mut out = None;
    match entry.value.as_mapping() {
        Some(mapping) => {
            for entry in mapping.entries() {
                match &*entry.key.text {
                    "description" => drop(node_text(entry, diagnostics)),
                    "params" => template.params = arguments::params(entry, diagnostics),
                    "out" => out = node_text(entry, diagnostics),
                    "tests" => template.tests = Some(entry.value.clone()),
                    key => match Section::from_key(key) {
                        Some(section) => template.section(section, entry, diagnostics),
                        None => diagnostics.push(unknown_key(entry)),
                    },
                }
            }
            let is_whole = diagnostics.errors() == errors_before;
            template.find_out(out, mapping.get("out").is_some(), is_whole, diagnostics);
        }
        None => {
            let (found, span) = (entry.value.describe(), template.name.span);
            let message = format!("the template {} is no mapping: {found}", quoted(&template.name));
            if !matches!(entry.value.value, Value::Broken) {
                let error = Diagnostic::error(&rules::BAD_TEMPLATE, span, message);
                diagnostics.push(error.help(format!(
                    "write `{}: {{ transforms: ..., out: node }}`",
                    &**template.name
                )));
            }
            template.broken = true;
        }
    }
    let mut checker = Checker { template: &mut template, diagnostics };
    checker.nodes();
    template.broken |= diagnostics.errors() > errors_before;
    template
}

fn unknown_key(entry: &Entry) -> Diagnostic {
    let key = &entry.key;
    let message = format!("a template has no key {}", quoted(&key.text));
    let error = Diagnostic::error(&rules::BAD_TEMPLATE, key.span, message);
    match nearest(&key.text, KEYS) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help(
            "a template has `params`, nodes under `sources`, `transforms`, `agents` and `sinks`, `out` and `tests`",
        ),
    }
}

impl Template {
    fn section(&mut self, section: Section, entry: &Entry, diagnostics: &mut Diagnostics) {
        let mapping = match &entry.value.value {
            Value::Mapping(mapping) => mapping,
            Value::Broken => return,
            _ if entry.value.is_null() => return,
            _ => {
                let found = entry.value.describe();
                let message = format!("`{}` takes a mapping, found {found}", section.key());
                let error = Diagnostic::error(&rules::WRONG_TYPE, entry.value.span, message);
                diagnostics.push(error.help("write each node as `name: { type: {} }`"));
                return;
            }
        };
        for entry in mapping.entries() {
            let key = &entry.key;
            check_name(section.singular(), &key.text, key.span, diagnostics);
            if *key.text == *INPUT {
                let message = format!("a node of a template cannot be called `{INPUT}`");
                let error = Diagnostic::error(&rules::BAD_TEMPLATE, key.span, message);
                diagnostics.push(error.help(format!(
                    "`$({INPUT})` stands for what is given to a use; rename the node"
                )));
            }
            match self.nodes.iter().find(|(_, other)| other.key.text == key.text) {
                None => self.nodes.push((section, entry.clone())),
                Some((_, first)) => {
                    let message = format!("two nodes have the name {}", quoted(&key.text));
                    let error = Diagnostic::error(&rules::DUPLICATE_NAME, key.span, message)
                        .label("again here")
                        .also(first.key.span, "first here")
                        .help("names are unique over all four sections; rename one");
                    diagnostics.push(error);
                }
            }
        }
    }

    fn find_out(
        &mut self,
        out: Option<Text>,
        is_written: bool,
        is_whole: bool,
        diagnostics: &mut Diagnostics,
    ) {
        let names = || self.nodes.iter().map(|(_, entry)| &*entry.key.text);
        let Some(out) = out else {
            if !is_written {
                let message = format!("the template {} has no `out`", quoted(&self.name));
                let error = Diagnostic::error(&rules::BAD_TEMPLATE, self.name.span, message);
                let last = names().next_back().unwrap_or("node");
                diagnostics.push(error.help(format!(
                    "name the node that stands for the whole where it is used: `out: {last}`"
                )));
            }
            return;
        };
        let found = self.nodes.iter().find(|(_, entry)| entry.key.text == out.value);
        if let Some((section, entry)) = found {
            self.section = *section;
            self.out = entry.key.text.clone();
        } else if is_whole {
            let message =
                format!("the template {} has no node {}", quoted(&self.name), quoted(&out));
            let error = Diagnostic::error(&rules::BAD_TEMPLATE, out.span, message);
            let known: Vec<&str> = names().collect();
            diagnostics.push(match nearest(&out, known.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None if known.is_empty() => error.help("add nodes under `transforms:`"),
                None => error.help(format!("its nodes are {}", known.join(", "))),
            });
        }
    }

    /// Whether one of its nodes has this name.
    pub(super) fn has(&self, node: &str) -> bool {
        self.nodes.iter().any(|(_, entry)| *entry.key.text == *node)
    }
}

/// The port that a name in `$( )` stands for, if it stands for one: `in`, or `in.port`.
pub(super) fn port(name: &str) -> Option<&str> {
    match name.strip_prefix(INPUT)? {
        "" => Some("main"),
        rest => rest.strip_prefix('.').filter(|port| is_name(port)),
    }
}

/// Looks through the nodes of a template for what they refer to.
struct Checker<'a> {
    template: &'a mut Template,
    diagnostics: &'a mut Diagnostics,
}

impl Checker<'_> {
    fn nodes(&mut self) {
        for (_, node) in self.template.nodes.clone() {
            let Some(words) = node.value.as_mapping() else {
                self.values(&node.value);
                continue;
            };
            for word in words.entries() {
                match EngineWord::from_key(&word.key.text) {
                    Some(EngineWord::Inputs) => self.inputs(&word.value),
                    _ => {
                        self.key(&word.key.text, word.key.span);
                        self.values(&word.value);
                    }
                }
            }
        }
        // What is given on a port comes in tests from a source of that name.
        let taken = |port: &&Arc<str>| self.template.has(&format!("{INPUT}-{port}"));
        if let Some(port) = self.template.ports.keys().find(taken) {
            let message = format!("a node of this template cannot be called `{INPUT}-{port}`");
            let error = Diagnostic::error(&rules::BAD_TEMPLATE, self.template.name.span, message);
            self.diagnostics.push(error.help(format!(
                "in its tests that is what is given to `$({INPUT}.{port})`; rename the node"
            )));
        }
    }

    fn key(&mut self, key: &str, span: Span) {
        if references(&Scalar::new(key, Style::Plain))
            .iter()
            .any(|reference| reference.name.is_some())
        {
            let message = format!("{} is a key: parameters stand only in values", quoted(key));
            let error = Diagnostic::error(&rules::UNKNOWN_PARAMETER, span, message);
            self.diagnostics.push(error.help("write the key out, or one node for each"));
        }
    }

    fn values(&mut self, node: &Node) {
        match &node.value {
            Value::Scalar(scalar) => self.scalar(scalar, node.span, false),
            Value::Sequence(nodes) => nodes.iter().for_each(|node| self.values(node)),
            Value::Mapping(mapping) => {
                for entry in mapping.entries() {
                    self.key(&entry.key.text, entry.key.span);
                    self.values(&entry.value);
                }
            }
            Value::Broken => {}
        }
    }

    fn inputs(&mut self, node: &Node) {
        match &node.value {
            Value::Scalar(scalar) => {
                self.scalar(scalar, node.span, true);
                self.address(scalar, node.span);
            }
            Value::Sequence(nodes) => nodes.iter().for_each(|node| self.inputs(node)),
            Value::Mapping(ports) => {
                ports.entries().iter().for_each(|port| self.inputs(&port.value));
            }
            Value::Broken => {}
        }
    }

    /// An address that is written out names a node of the template, or of another pipeline.
    fn address(&mut self, scalar: &Scalar, span: Span) {
        if !references(scalar).is_empty() {
            return;
        }
        // What is no address at all is told where it is read.
        let Ok(address) = Address::parse(scalar.text()) else { return };
        let head = address.head();
        if address.pipeline.is_some() || self.template.has(head) {
            return;
        }
        let message =
            format!("the template {} has no node {}", quoted(&self.template.name), quoted(head));
        let error = Diagnostic::error(&rules::DANGLING_INPUT, span, message);
        let known = self.template.nodes.iter().map(|(_, entry)| &*entry.key.text);
        self.diagnostics.push(match nearest(head, known) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(format!(
                "a template reads from its own nodes, from `pipeline/node`, or from what is given to a use: `$({INPUT})`"
            )),
        });
    }

    fn scalar(&mut self, scalar: &Scalar, span: Span, in_inputs: bool) {
        for reference in references(scalar) {
            let at = narrowed(scalar, span, &reference.range);
            let Some(name) = reference.name else {
                let error = Diagnostic::error(
                    &rules::UNKNOWN_PARAMETER,
                    at,
                    "`$(` is not closed by `)`".to_owned(),
                );
                self.diagnostics
                    .push(error.help("write a dollar sign that is meant as such as `$$`"));
                continue;
            };
            match port(name) {
                Some(port) if in_inputs && whole(scalar).is_some() => {
                    self.template.ports.entry(port.into()).or_insert(at);
                }
                Some(_) => {
                    let message = format!("`$({name})` stands alone, and only under `inputs`");
                    let error = Diagnostic::error(&rules::UNKNOWN_PARAMETER, at, message);
                    self.diagnostics.push(error.help(format!("write `inputs: [$({name})]`")));
                }
                None => self.parameter(name, at, whole(scalar).is_some()),
            }
        }
    }

    fn parameter(&mut self, name: &str, at: Span, stands_alone: bool) {
        let template = &self.template;
        let Some(param) = template.params.iter().find(|param| **param.name == *name) else {
            let message = format!(
                "the template {} has no parameter {}",
                quoted(&template.name),
                quoted(name)
            );
            let error = Diagnostic::error(&rules::UNKNOWN_PARAMETER, at, message);
            let known: Vec<&str> = template.params.iter().map(|param| &**param.name).collect();
            self.diagnostics.push(match nearest(name, known.iter().copied()) {
                Some(near) => error.help(format!("did you mean `$({near})`?")),
                None if known.is_empty() => {
                    error.help(format!("declare it: `params: {{ {name}: {{ type: text }} }}`"))
                }
                None => error
                    .help(format!("its parameters are {}", known.join(", ")))
                    .help("write a dollar sign that is meant as such as `$$`"),
            });
            return;
        };
        if !stands_alone && param.is_list() {
            let message = format!("`$({name})` is a list and cannot stand inside other text");
            let error = Diagnostic::error(&rules::UNKNOWN_PARAMETER, at, message);
            let error = error.also(param.name.span, "declared here");
            self.diagnostics.push(error.help("let it stand alone, in place of a whole list"));
        }
    }
}

impl Param {
    fn is_list(&self) -> bool {
        self.kind == arguments::ParamType::List
    }
}

/// A word as text, for templates.
pub(super) fn scalar_node(text: impl Into<Arc<str>>, span: Span) -> Node {
    let text: Arc<str> = text.into();
    Node { span, value: Value::Scalar(Scalar::new(&text, Style::Text)) }
}
