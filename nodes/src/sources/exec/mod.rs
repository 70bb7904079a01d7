//! Starts a program and reads what it writes: one that runs on, or one run each time the engine asks.

mod config;
mod running;
mod runs_each;
mod runs_on;
#[cfg(test)]
pub(crate) mod tests;

use std::path::Path;

use async_trait::async_trait;
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, NodeError, Read, Source};
use smollama_engine::registry::{NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::Trouble;

use crate::io::child::Restart;
pub use config::ExecConfig;
use runs_each::RunsEach;
use runs_on::RunsOn;

impl NodeConfig for ExecConfig {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "exec";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let ends = self.restart() != Restart::Always;
        Profile { ends, ..Profile::source(Pace::Live).waits().takes_every() }
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn problems_with(&self, every: Option<Duration>) -> Vec<Problem> {
        self.problems_with(every)
    }

    fn missing(&self, folder: &Path) -> Vec<Problem> {
        self.launch().missing(folder)
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Source(Box::new(Exec::new(self, context)?)))
    }
}

struct Exec {
    runs: Runs,
    trouble: Trouble,
}

/// A program, as `every` wants it.
enum Runs {
    On(Box<RunsOn>),
    Each(Box<RunsEach>),
}

impl Exec {
    fn new(config: &ExecConfig, context: &Context) -> Result<Exec, Problem> {
        let trouble = Trouble::default();
        let runs = match context.every {
            None => Runs::On(Box::new(RunsOn::new(config, context, trouble.clone())?)),
            Some(every) => {
                Runs::Each(Box::new(RunsEach::new(config, every, context, trouble.clone())?))
            }
        };
        Ok(Exec { runs, trouble })
    }
}

#[async_trait]
impl Source for Exec {
    /// What runs, and what was read of it, is kept with the node, so nothing is lost when the future is dropped.
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        match &mut self.runs {
            Runs::On(program) => program.read().await,
            Runs::Each(program) => program.read().await,
        }
    }

    async fn close(&mut self) {
        match &mut self.runs {
            Runs::On(program) => program.close().await,
            Runs::Each(program) => program.close().await,
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        Some(self.trouble.clone())
    }
}
