//! From what the user wrote to a checked graph: pure data, nothing runs and no node is made.
//!
//! ```text
//! templates.trials(..), trials::check(..) -> graphs for tests of templates     trials.rs
//! edge::add(&mut specs, ..)                                                    edge.rs
//! resolve(&specs, &files, &tables, &registry, &mut diagnostics) -> Vec<..>     resolve.rs
//! check(&nodes, &mut diagnostics) -> Option<Graph>                             check.rs, brokers.rs, conflicts.rs, cycles.rs
//! testing::check(&nodes, graph, &mut diagnostics)                              ../testing/check.rs
//! journaled(&graph) -> sources                                                 journaled.rs
//! cost(&graph, ..) -> Cost                                                     cost.rs
//! diff(&running, &candidate, judge) -> Changes                                 diff/
//! ```
//!
//! `candidate(&running, scope, ..)` is the whole way for an apply: the files it names, and what else runs.
//!
//! Every check reports all it finds; a graph comes out only when none was an error.

mod brokers;
mod candidate;
mod check;
mod conflicts;
mod cost;
mod cycles;
pub mod diff;
pub mod draw;
pub mod edge;
mod graph;
mod journaled;
mod renames;
mod resolve;
#[cfg(test)]
mod test_nodes;
mod trials;
mod units;

use std::collections::HashMap;
use std::path::Path;

pub use candidate::{Scope, candidate};
pub(crate) use check::unread;
pub use check::{check, mixed_time};
pub use cost::{Cost, DiskBudget, JournalCost, Listens, cost};
pub use diff::{Changes, diff};
pub use graph::{Graph, PlannedNode, PlannedPipeline, Wire, Written};
pub use journaled::journaled;
pub use resolve::{Resolved, resolve};

use crate::config::{self, Loaded, Lookup, ReadFile, Templates};
use crate::diagnostic::{Diagnostics, Files};
use crate::registry::{NodeConfig as _, Registry};

/// Things by the pipeline each belongs to, in their order: there may be thousands of pipelines, so nobody looks through all things for each.
pub fn by_pipeline<'a, T>(
    things: impl IntoIterator<Item = T>,
    pipeline: impl Fn(&T) -> &'a str,
) -> HashMap<&'a str, Vec<T>> {
    let mut found: HashMap<&str, Vec<T>> = HashMap::new();
    for thing in things {
        found.entry(pipeline(&thing)).or_default().push(thing);
    }
    found
}

/// What became of a set of files.
#[derive(Debug)]
pub struct Planned {
    /// The files, for showing diagnostics.
    pub files: Files,
    /// The pipeline files with all that they took from elsewhere: what a revision keeps.
    pub reads: Vec<ReadFile>,
    /// All that was found, warnings too.
    pub diagnostics: Diagnostics,
    /// The graph, if nothing found was an error.
    pub graph: Option<Graph>,
    /// A graph for each test of a template, with that test; of no pipeline that runs.
    pub trials: Vec<Graph>,
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
    let Loaded { mut files, documents, mut reads, again, mut diagnostics } = loaded;
    let types = |section| registry.names(section);
    let mut templates = Templates::read(&documents, &mut diagnostics);
    let mut parse =
        |document| config::parse(document, &mut files, &types, &mut templates, &mut diagnostics);
    let mut specs: Vec<_> = documents.iter().filter_map(&mut parse).collect();
    candidate::names_of_others(&mut specs, &again, &files, &mut diagnostics);
    edge::add(&mut specs, &mut files, registry, &mut diagnostics);
    let trials = templates.trials(trials::Given::TYPE, &mut files, &types, &mut diagnostics);
    let in_trials = trials.iter().map(|trial| &trial.pipeline);
    let tables = config::tables(specs.iter().chain(in_trials), &mut reads, &mut diagnostics);
    let nodes = resolve(&specs, &files, &tables, registry, &mut diagnostics);
    let graph = check(&specs, &files, &nodes, &mut diagnostics);
    crate::testing::check(&specs, &nodes, graph.as_ref(), &mut diagnostics);
    let trials = trials::check(&trials, &files, &tables, registry, &mut diagnostics);
    diagnostics.settle(&files);
    let graph = graph.filter(|_| !diagnostics.has_errors());
    Planned { files, reads: reads.into_values().collect(), diagnostics, graph, trials }
}
