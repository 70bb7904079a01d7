//! `filter`: keeps the items that meet a condition.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, Items};
use smollama_engine::condition::{Condition, Predicate};
use smollama_engine::context::Context;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, Picks, Transform};
use smollama_engine::registry::{
    Carries, InputPort, NodeConfig, OutputPort, Problem, Profile, Section,
};
use smollama_engine::series::SeriesId;
use smollama_engine::time::Timestamp;

/// Keeps the items that meet all given conditions: by source, label, value, score, kind, cause, time of day and day of the week.
///
/// It takes any kind of item that has what is asked for: readings, windows and observations for `sources`, `time_of_day` and
/// `days`; readings and windows for `labels`, `value` and `score`; windows alone for `cause`; observations alone for `kind` and
/// `confidence`. Nothing is held back and nothing is remembered, so its settings may change at any time.
///
/// Port `main` carries what meets the condition, port `dropped` the rest, both the kind that comes in. With `not: true` the two
/// change places.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FilterConfig(pub Condition);

const DROPPED: usize = 1;

impl NodeConfig for FilterConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "filter";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile {
            inputs: vec![InputPort { name: "main", accepts: self.0.accepts() }],
            outputs: vec![OutputPort { name: "main".into(), carries: Carries::AsInput }],
            ..Profile::default()
        }
        .output("dropped", Carries::AsInput)
    }

    fn problems(&self) -> Vec<Problem> {
        self.0.problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(Filter { keep: Predicate::new(&self.0, &context.host) })))
    }
}

struct Filter {
    keep: Predicate,
}

impl Transform for Filter {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        if let Items::Readings(readings) = &batch.items {
            for reading in readings {
                out.pass(if self.keep.reading(reading) { MAIN } else { DROPPED }, reading);
            }
            return Ok(());
        }
        for index in 0..batch.items.len() {
            let port = if self.keep.test(&batch.items, index) { MAIN } else { DROPPED };
            out.copy(port, &batch.items, index);
        }
        Ok(())
    }

    fn picks(&self) -> Option<Picks<'_>> {
        Some(Picks { by: &self.keep, rest: DROPPED })
    }

    fn prime(
        &mut self,
        now: Timestamp,
        port: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.apply(now, port, batch, out)
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.keep.forget(silent);
        Ok(())
    }
}
