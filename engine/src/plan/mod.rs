//! From what the user wrote to a checked graph: pure data, nothing runs and nothing is opened.
//!
//! ```text
//! resolve(&specs, &files, &registry, &mut diagnostics) -> Vec<PlannedNode>     resolve.rs
//! check(&nodes, &mut diagnostics) -> Option<Graph>                             check.rs, conflicts.rs, cycles.rs
//! testing::check(&nodes, graph, &mut diagnostics)                              ../testing/check.rs
//! journaled(&graph) -> sources                                                 journaled.rs
//! diff(&running, &candidate, judge) -> Changes                                 diff/
//! ```
//!
//! Every check reports all it finds; a graph comes out only when none was an error.

mod check;
mod conflicts;
mod cycles;
pub mod diff;
pub mod draw;
mod graph;
mod journaled;
mod renames;
mod resolve;
#[cfg(test)]
mod test_nodes;

use std::path::Path;

pub use check::{check, mixed_time};
pub use diff::{Changes, diff};
pub use graph::{Graph, PlannedNode, PlannedPipeline, Wire, Written};
pub use journaled::journaled;
pub use resolve::{Resolved, resolve};

use crate::config::{self, Loaded, Lookup};
use crate::diagnostic::{Diagnostics, Files};
use crate::registry::Registry;

/// What became of a set of files.
#[derive(Debug)]
pub struct Planned {
    /// The files, for showing diagnostics.
    pub files: Files,
    /// All that was found, warnings too.
    pub diagnostics: Diagnostics,
    /// The graph, if nothing found was an error.
    pub graph: Option<Graph>,
}

/// Loads, parses, resolves and checks files and folders: all that `validate` does, and the first part of every command
/// that runs something.
#[must_use]
pub fn plan<P: AsRef<Path>>(paths: &[P], lookup: &Lookup<'_>, registry: &Registry) -> Planned {
    plan_loaded(config::load(paths, lookup), registry)
}

/// [`plan`] for files that were loaded already.
#[must_use]
pub fn plan_loaded(loaded: Loaded, registry: &Registry) -> Planned {
    let Loaded { files, documents, mut diagnostics, .. } = loaded;
    let types = |section| registry.names(section);
    let specs: Vec<_> = documents
        .iter()
        .filter_map(|document| config::parse(document, &files, &types, &mut diagnostics))
        .collect();
    let nodes = resolve(&specs, &files, registry, &mut diagnostics);
    let graph = check(&specs, &files, &nodes, &mut diagnostics);
    crate::testing::check(&specs, &nodes, graph.as_ref(), &mut diagnostics);
    let graph = graph.filter(|_| !diagnostics.has_errors());
    Planned { files, diagnostics, graph }
}
