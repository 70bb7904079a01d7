//! What bad input gets, word for word; and what hostile input does not get.

mod hostile;
mod interpolation;
mod paths;
mod rules;
mod yaml;

use std::path::Path;

use super::{Loaded, Loader, PipelineSpec, Section, Templates, parse};

/// The node types that the tests know.
pub(super) fn types(section: Section) -> Vec<&'static str> {
    match section {
        Section::Sources => vec!["replay", "simulate", "system"],
        Section::Transforms => vec!["dedup", "filter", "novelty", "window"],
        Section::Agents => vec!["observe"],
        Section::Sinks => vec!["console", "file", "parquet"],
    }
}

pub(super) fn variable(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8080".to_owned()),
        "ROOM" => Some("kitchen".to_owned()),
        "EMPTY" => Some(String::new()),
        "TOKEN" => Some("hunter2".to_owned()),
        "NASTY" => Some("a: b\nc: [".to_owned()),
        _ => None,
    }
}

pub(super) fn load_text(yaml: &str) -> Loaded {
    let mut loader = Loader::new(&variable);
    loader.text(Path::new("home.yaml"), yaml);
    loader.finish()
}

pub(super) fn parse_all(loaded: &mut Loaded) -> Vec<PipelineSpec> {
    let Loaded { files, documents, diagnostics, .. } = loaded;
    let mut templates = Templates::read(documents, diagnostics);
    let mut parse = |document| parse(document, files, &types, &mut templates, diagnostics);
    let specs = documents.iter().filter_map(&mut parse).collect();
    diagnostics.settle(files);
    specs
}

/// The pipelines of a text that has nothing wrong with it.
pub(super) fn good(yaml: &str) -> Vec<PipelineSpec> {
    let mut loaded = load_text(yaml);
    let pipelines = parse_all(&mut loaded);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics.render(&loaded.files, false));
    pipelines
}

/// Everything that is said about a text.
pub(super) fn report(yaml: &str) -> String {
    let mut loaded = load_text(yaml);
    parse_all(&mut loaded);
    loaded.diagnostics.render(&loaded.files, false)
}

/// The ids of the rules that a text breaks, in the order of the text.
pub(super) fn broken_rules(yaml: &str) -> Vec<&'static str> {
    let mut loaded = load_text(yaml);
    parse_all(&mut loaded);
    loaded.diagnostics.sorted().iter().map(|d| d.rule.id).collect()
}
