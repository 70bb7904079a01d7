//! One document: its name, its sections, its nodes.

use std::{collections::BTreeMap, sync::Arc};

use super::{NodeSpec, PipelineSpec, Section, node};
use crate::{
    config::{
        Spanned, Text,
        load::Document,
        template::Templates,
        tree::{Entry, Mapping, Value},
    },
    diagnostic::{Diagnostic, Diagnostics, Files, Span, nearest, quoted, rules},
};

/// Keys at the top of a pipeline.
const TOP_KEYS: [&str; 8] =
    ["pipeline", "description", "sources", "transforms", "agents", "sinks", "tests", "templates"];

/// Reads one document; nothing comes back when it is no mapping.
///
/// `types` gives the node types of a section: they decide which of two keys is the type, and are listed in messages.
/// A type that is not among them is not an error here. Where a template is used, its nodes are put. A document that holds nothing but
/// templates is no pipeline.
pub fn parse(
    document: &Document,
    files: &mut Files,
    types: &dyn Fn(Section) -> Vec<&'static str>,
    templates: &mut Templates,
    diagnostics: &mut Diagnostics,
) -> Option<PipelineSpec> {
    let top = match &document.root.value {
        Value::Mapping(mapping) => mapping,
        Value::Broken => return None,
        _ => {
            let message = format!("a pipeline is a mapping, found {}", document.root.describe());
            let error = Diagnostic::error(&rules::NOT_A_PIPELINE, document.root.span, message)
                .help("begin with its name: `pipeline: home`");
            diagnostics.push(error);
            return None;
        }
    };
    let is_template = |entry: &Entry| matches!(&*entry.key.text, "templates" | "description");
    if top.get("templates").is_some() && top.entries().iter().all(is_template) {
        return None;
    }
    let mut pipeline = PipelineSpec {
        name: name(document, top, files, diagnostics),
        description: None,
        file: document.file,
        span: document.root.span,
        nodes: Vec::new(),
        unread: Vec::new(),
        tests: None,
    };
    let errors_before = diagnostics.errors();
    let mut names = BTreeMap::new();
    for entry in top.entries() {
        match &*entry.key.text {
            "pipeline" => {}
            "description" => {
                pipeline.description =
                    node::text("`description`", &entry.key, &entry.value, diagnostics);
            }
            "tests" => pipeline.tests = Some(entry.value.clone()),
            // They were read beforehand: a use may stand in another file.
            "templates" => {}
            key => match Section::from_key(key) {
                Some(section) => {
                    let mut reader = Reader {
                        section,
                        types,
                        files,
                        templates,
                        names: &mut names,
                        pipeline: &mut pipeline,
                    };
                    reader.section(entry, diagnostics);
                }
                None => diagnostics.push_error(|| unknown_section(entry, types)),
            },
        }
    }
    if names.is_empty() && diagnostics.errors() == errors_before {
        let message = format!("the pipeline `{}` has no nodes", &*pipeline.name.value);
        let error = Diagnostic::error(&rules::NO_NODES, pipeline.name.span, message)
            .help("add a source under `sources:`, such as `board: { system: {} }`");
        diagnostics.push(error);
    }
    Some(pipeline)
}

/// Whether `text` can be the name of a pipeline or node: `[a-z][a-z0-9_-]*`.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// A name made of what was meant as one, if anything is left of it.
fn as_name(text: &str) -> Option<String> {
    let text: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' })
        .collect();
    let text = text.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-');
    is_name(text).then(|| text.to_owned())
}

fn name(document: &Document, top: &Mapping, files: &Files, diagnostics: &mut Diagnostics) -> Text {
    let stem =
        files.path(document.file).file_stem().and_then(|stem| as_name(&stem.to_string_lossy()));
    let fallback = stem.unwrap_or_else(|| "pipeline".to_owned());
    let Some(entry) = top.get("pipeline") else {
        let start = top.entries().first().map_or(document.root.span, |first| first.key.span);
        let error = Diagnostic::error(&rules::MISSING_KEY, start, "the key `pipeline` is missing")
            .help(format!("name the pipeline: `pipeline: {fallback}`"));
        // A misspelt key is reported once, as the unknown key it is.
        if !top.entries().iter().any(|e| nearest(&e.key.text, ["pipeline"]).is_some()) {
            diagnostics.push(error);
        }
        return Spanned::new(fallback.into(), Span { end: start.start, ..start });
    };
    match node::text("`pipeline`", &entry.key, &entry.value, diagnostics) {
        Some(name) => {
            check_name("pipeline", &name.value, name.span, diagnostics);
            name
        }
        None => Spanned::new(fallback.into(), entry.key.span),
    }
}

/// Reports what cannot be a name.
pub(in crate::config) fn check_name(
    what: &str,
    name: &str,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> bool {
    if is_name(name) {
        return true;
    }
    let message = format!("{} cannot be the name of a {what}", quoted(name));
    let error = Diagnostic::error(&rules::INVALID_NAME, span, message)
        .help("names begin with a small letter and go on with small letters, digits, `_` and `-`");
    diagnostics.push(match as_name(name) {
        Some(better) => error.help(format!("for example `{better}`")),
        None => error,
    });
    false
}

/// Reads the nodes of one section.
struct Reader<'a> {
    section: Section,
    types: &'a dyn Fn(Section) -> Vec<&'static str>,
    files: &'a mut Files,
    templates: &'a mut Templates,
    names: &'a mut BTreeMap<Arc<str>, Span>,
    pipeline: &'a mut PipelineSpec,
}

impl Reader<'_> {
    fn section(&mut self, entry: &Entry, diagnostics: &mut Diagnostics) {
        let mapping = match &entry.value.value {
            Value::Mapping(mapping) => mapping,
            Value::Broken => return,
            // All nodes of a section commented out.
            _ if entry.value.is_null() => return,
            _ => {
                let found = entry.value.describe();
                let message = format!("`{}` takes a mapping, found {found}", self.section.key());
                let error = Diagnostic::error(&rules::WRONG_TYPE, entry.value.span, message)
                    .help("write each node as `name: { type: {} }`");
                diagnostics.push(error);
                return;
            }
        };
        let types = (self.types)(self.section);
        for entry in mapping.entries() {
            let key = &entry.key;
            check_name(self.section.singular(), &key.text, key.span, diagnostics);
            let nodes = self.nodes(entry, &types, diagnostics);
            match self.names.get(&key.text) {
                None => {
                    self.names.insert(key.text.clone(), key.span);
                    match nodes {
                        Some(nodes) => self.pipeline.nodes.extend(nodes),
                        None => self.pipeline.unread.push(key.text.clone()),
                    }
                }
                Some(&first) => {
                    let message = format!("two nodes have the name {}", quoted(&key.text));
                    let error = Diagnostic::error(&rules::DUPLICATE_NAME, key.span, message)
                        .label("again here")
                        .also(first, "first here")
                        .help("names are unique over all four sections; rename one");
                    diagnostics.push(error);
                }
            }
        }
    }

    /// The node, or those of the template that it uses; `None` if there is none for what was reported.
    fn nodes(
        &mut self,
        entry: &Entry,
        types: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<NodeSpec>> {
        let uses = entry.value.as_mapping().is_some_and(|words| words.get("use").is_some());
        if !uses {
            return node::read(entry, self.section, types, diagnostics).map(|node| vec![node]);
        }
        let made = self.templates.expand(entry, self.section, self.files, diagnostics)?;
        let mut nodes = Vec::with_capacity(made.len());
        for (section, entry) in &made {
            // Most nodes of a template stand in the section of its use.
            let others = if *section == self.section { None } else { Some((self.types)(*section)) };
            let types = others.as_deref().unwrap_or(types);
            nodes.push(node::read(entry, *section, types, diagnostics));
        }
        // All of them, or none: what lacks a type has been reported.
        nodes.into_iter().collect()
    }
}

fn unknown_section(entry: &Entry, types: &dyn Fn(Section) -> Vec<&'static str>) -> Diagnostic {
    let key = &entry.key;
    let message = format!("{} is not a section of a pipeline", quoted(&key.text));
    let error = Diagnostic::error(&rules::UNKNOWN_SECTION, key.span, message);
    if let Some(name) = nearest(&key.text, TOP_KEYS) {
        return error.help(format!("did you mean `{name}`?"));
    }
    let owner = Section::ALL.into_iter().find(|&section| types(section).contains(&&*key.text));
    match owner {
        Some(section) => error.help(format!(
            "`{}` is a type of node; write it under `{}:`",
            key.text,
            section.key()
        )),
        None => error.help(
            "at the top stand `pipeline`, `description`, `sources`, `transforms`, `agents`, `sinks`, `tests` and `templates`",
        ),
    }
}
