//! The graphs on which the tests of templates run.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Graph, resolve::resolve};
use crate::config::{Tables, Trial};
use crate::context::Context;
use crate::diagnostic::{Diagnostics, Files, rules};
use crate::node::Node;
use crate::registry::{NodeConfig, Pace, Problem, Profile, Registry, Section};

/// The source that stands for what is given to a use of a template. It says what a test lets it say, under any type.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {}

impl NodeConfig for Given {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "given";
    const EXAMPLE: &'static str = "";

    fn profile(&self) -> Profile {
        Profile::source(Pace::Recorded)
    }

    fn build(&self, _: &Context) -> Result<Node, Problem> {
        Err(Problem::at("", "it speaks only in tests"))
    }
}

/// Checks each trial alone, as a pipeline that stands on a host of its own. Warnings are not told: what a template leaves open is for its
/// uses to say.
pub(super) fn check(
    trials: &[Trial],
    files: &Files,
    tables: &Tables,
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) -> Vec<Graph> {
    if trials.is_empty() {
        return Vec::new();
    }
    let registry = registry.clone().with::<Given>();
    let mut graphs = Vec::new();
    for Trial { pipeline, is_bare } in trials {
        let specs = std::slice::from_ref(pipeline);
        let mut found = Diagnostics::new();
        let nodes = resolve(specs, files, tables, &registry, &mut found);
        let graph = super::check::check(specs, files, &nodes, &mut found);
        crate::testing::check(specs, &nodes, graph.as_ref(), &mut found);
        // Without a test it is not said that a node of another pipeline is there.
        let elsewhere = *is_bare && found.iter().all(|one| one.rule == &rules::DANGLING_INPUT);
        graphs.extend(graph.filter(|_| !is_bare && !found.has_errors()));
        if !elsewhere {
            diagnostics.append_errors(found);
        }
    }
    graphs
}
