//! The graph that an apply would make: the files under its paths as they are now, and what runs and lies elsewhere as it was applied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use smollama_engine::config::{Loader, Variable};
use smollama_engine::control::{ControlError, ErrorKind, PlanRequest};
use smollama_engine::diagnostic::{Diagnostics, Files, JsonDiagnostic};
use smollama_engine::plan::{Graph, mixed_time, plan_loaded};
use smollama_engine::registry::Registry;

/// The pipeline files of a revision, as they were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// Text by absolute path.
    pub(crate) files: BTreeMap<PathBuf, String>,
    /// The values of variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// The paths that they were applied from.
    pub(crate) paths: Vec<PathBuf>,
    /// Every variable and secret that a value was taken from.
    pub(crate) used: Vec<Variable>,
}

/// What an apply would make.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) graph: Graph,
    pub(crate) sources: Sources,
    pub(crate) warnings: Vec<JsonDiagnostic>,
    /// For showing what only building finds out.
    pub(crate) files: Files,
}

/// Which files a set of paths owns.
pub(crate) fn owns(paths: &[PathBuf], file: &Path) -> bool {
    paths.iter().any(|path| path == file || file.parent() == Some(path))
}

/// Builds the candidate of a request over what runs.
///
/// # Errors
/// What is wrong with the pipelines.
pub(crate) fn candidate(
    request: &PlanRequest,
    running: &Sources,
    registry: &Registry,
    speed: Option<f64>,
) -> Result<Candidate, ControlError> {
    let stays = |file: &PathBuf| !request.all && !owns(&request.paths, file);
    let kept = running.files.iter().filter(|(file, _)| stays(file));
    let kept: BTreeMap<PathBuf, String> =
        kept.map(|(file, text)| (file.clone(), text.clone())).collect();
    build(&request.paths, &kept, registry, speed, &|name| {
        let given = request.variables.0.get(name).or_else(|| running.variables.get(name));
        given.cloned().or_else(|| std::env::var(name).ok())
    })
}

/// Builds the graph of a revision out of what it stored.
///
/// # Errors
/// What is wrong with the pipelines.
pub(crate) fn stored(
    sources: &Sources,
    registry: &Registry,
    speed: Option<f64>,
) -> Result<Candidate, ControlError> {
    build(&[], &sources.files, registry, speed, &|name| {
        let stored = sources.variables.get(name).cloned();
        stored.or_else(|| std::env::var(name).ok())
    })
}

fn build(
    paths: &[PathBuf],
    texts: &BTreeMap<PathBuf, String>,
    registry: &Registry,
    speed: Option<f64>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Candidate, ControlError> {
    let mut loader = Loader::new(lookup);
    for path in paths {
        loader.path(path);
    }
    for (path, text) in texts {
        loader.text(path, text);
    }
    let loaded = loader.finish();
    let mut sources = Sources::default();
    sources.used.clone_from(&loaded.variables);
    for variable in loaded.variables.iter().filter(|variable| !variable.is_secret) {
        if let Some(value) = &variable.value {
            sources.variables.insert(variable.name.to_string(), value.expose().to_owned());
        }
    }
    for (_, path, text) in loaded.files.iter() {
        sources.files.insert(path.to_owned(), text.to_owned());
    }
    let nothing = loaded.documents.is_empty() && !loaded.diagnostics.has_errors();
    let mut planned = plan_loaded(loaded, registry);
    let graph = if nothing { Some(Graph::default()) } else { planned.graph.take() };
    if let Some(graph) = &graph {
        mixed_time(graph, speed == Some(1.0), &mut planned.diagnostics);
    }
    match graph.filter(|_| !planned.diagnostics.has_errors()) {
        Some(graph) => Ok(Candidate {
            graph,
            sources,
            warnings: planned.diagnostics.to_json(&planned.files),
            files: planned.files,
        }),
        None => Err(bad_input(&planned.diagnostics, &planned.files)),
    }
}

/// What is wrong with pipelines, as an error.
pub(crate) fn bad_input(found: &Diagnostics, files: &Files) -> ControlError {
    ControlError {
        kind: ErrorKind::BadInput,
        message: "the pipelines are wrong; nothing was changed".into(),
        help: None,
        text: Some(found.render(files, false)),
        diagnostics: found.to_json(files),
    }
}
