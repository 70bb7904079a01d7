//! The graph that an apply would make, and what is wrong with it.

use std::path::{Path, PathBuf};

use smollama_engine::config::ReadFile;
use smollama_engine::control::{ControlError, ErrorKind, PlanRequest};
use smollama_engine::diagnostic::{Diagnostics, Files, JsonDiagnostic};
use smollama_engine::plan::{self, Graph, Planned, Scope, mixed_time};
use smollama_engine::registry::Registry;

/// What a graph was made from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// The pipeline files, as they were read.
    pub(crate) reads: Vec<ReadFile>,
    /// The paths that they were applied from.
    pub(crate) paths: Vec<PathBuf>,
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

/// Whether a path speaks for a file.
pub(crate) fn owns(path: &Path, file: &Path) -> bool {
    Scope { paths: &[path.to_owned()], all: false }.owns(file)
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
    let scope = Scope { paths: &request.paths, all: request.all };
    let given = |name: &str| request.variables.0.get(name).cloned().or_else(|| environment(name));
    let planned = plan::candidate(&running.reads, scope, &given, &environment, registry);
    checked(planned, speed)
}

/// Builds the graph of a revision out of what it stored.
///
/// # Errors
/// What is wrong with the pipelines: a secret may be gone, or a release may know more than the one before.
pub(crate) fn stored(
    sources: &Sources,
    registry: &Registry,
    speed: Option<f64>,
) -> Result<Candidate, ControlError> {
    let nothing = Scope { paths: &[], all: false };
    let planned = plan::candidate(&sources.reads, nothing, &environment, &environment, registry);
    let mut found = checked(planned, speed)?;
    found.sources.paths.clone_from(&sources.paths);
    Ok(found)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn checked(planned: Planned, speed: Option<f64>) -> Result<Candidate, ControlError> {
    let Planned { files, reads, mut diagnostics, graph, trials: _ } = planned;
    if let Some(graph) = &graph {
        mixed_time(graph, speed == Some(1.0), &mut diagnostics);
    }
    match graph.filter(|_| !diagnostics.has_errors()) {
        Some(graph) => Ok(Candidate {
            graph,
            sources: Sources { reads, paths: Vec::new() },
            warnings: diagnostics.to_json(&files),
            files,
        }),
        None => Err(bad_input(&diagnostics, &files)),
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
