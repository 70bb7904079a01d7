//! What this machine says of itself: CPU, memory, temperature, disks, network.
//!
//! It reads the kernel's own files below `/proc` and `/sys` and keeps them open: a poll is a dozen small reads into one buffer. A
//! crate such as sysinfo keeps tables of everything for that, and cannot be pointed at a fake tree by a test.

mod collect;
mod config;
mod files;
mod parse;
mod thermal;

use async_trait::async_trait;
use smollama_engine::context::Context;
use smollama_engine::glob::Glob;
use smollama_engine::node::{Node, NodeError, Read, Source};
use smollama_engine::registry::{NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::time::Timestamp;

use collect::Collector;
pub use config::{Metric, Selection, SystemConfig};

/// What an id of this source can look like.
const IDS: [&str; 10] = [
    "cpu_*",
    "cpu/**",
    "temp/**",
    "load_avg**",
    "mem_*",
    "swap_*",
    "disk/**",
    "disk_io/**",
    "net/**",
    "uptime",
];

impl NodeConfig for SystemConfig {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "system";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let ids = IDS.iter().chain(&["process_count"]).filter_map(|id| Glob::new(id).ok());
        Profile::source(Pace::Polled(config::EVERY)).ids(ids)
    }

    fn problems(&self) -> Vec<Problem> {
        if !self.metrics.is_empty() {
            return Vec::new();
        }
        let problem = Problem::at("metrics", "`metrics` asks for nothing");
        vec![problem.help("leave it out for the usual ones")]
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let root = context.input_path(&self.root);
        if !root.join("proc/stat").exists() {
            let message = format!("there is no `{}`", root.join("proc/stat").display());
            return Err(Problem::at("root", message).help(
                "this source reads Linux's /proc and /sys; on another system take `simulate`",
            ));
        }
        Ok(Node::Source(Box::new(System(Collector::new(self, root, context.clone())))))
    }
}

struct System(Collector);

#[async_trait]
impl Source for System {
    /// The files of `/proc` and `/sys` are made by the kernel as they are read; nothing here waits for a device.
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        Ok(Read::Batch(self.0.collect(now)))
    }
}

#[cfg(test)]
mod tests;
