//! Shows what comes to the person in front of the machine: a line per item, for reading or for another program.

mod line;

use std::io::ErrorKind;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::context::{Context, Host};
use smollama_engine::json;
use smollama_engine::node::{Node, NodeError, Sink};
use smollama_engine::registry::{NodeConfig, Problem, Profile, Section};

use line::Lines;

/// Writes readings, windows and observations to standard output, a line for each.
///
/// As text, a reading's line has the time in the host's time zone, the source, the value with its unit, a mark with the score
/// when it is news, and `×N` when it stands for N readings. A window's line has why it closed, how long it was and what was in
/// it, and a line below for each series; an observation's line has its kind, its text and its author. Control characters in
/// texts are shown escaped, so that nothing a sensor sends can steer the terminal.
///
/// As `json`, each item is one line in the form that `replay` reads.
///
/// When the other side of a pipe is closed (`smollama run … | head`), the node ends and says so.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleConfig {
    /// `text` for people (the default) or `json` for programs: one JSON object a line.
    pub format: Format,
    /// Show only readings that are news (score 1 or more) and windows that hold some; observations always show. Default: false.
    pub only_news: bool,
}

/// How the console sink writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl NodeConfig for ConsoleConfig {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "console";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::sink(&ItemKind::ALL)
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let host = context.host.clone();
        let lines = Lines::new(host.timezone.clone(), host.console.colour());
        Ok(Node::Sink(Box::new(ConsoleSink {
            config: self.clone(),
            host,
            lines,
            buffer: Vec::new(),
        })))
    }
}

struct ConsoleSink {
    config: ConsoleConfig,
    host: Arc<Host>,
    lines: Lines,
    buffer: Vec<u8>,
}

/// Whether an item is worth a line where only news is.
fn is_news(items: &Items, index: usize) -> bool {
    match items {
        Items::Readings(items) => items.get(index).is_some_and(|reading| reading.is_news()),
        Items::Windows(items) => items
            .get(index)
            .is_some_and(|window| window.summaries.iter().any(|one| one.score >= 1.0)),
        Items::Observations(_) => true,
    }
}

#[async_trait]
impl Sink for ConsoleSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        self.buffer.clear();
        for index in 0..batch.items.len() {
            if self.config.only_news && !is_news(&batch.items, index) {
                continue;
            }
            match self.config.format {
                Format::Text => {
                    self.lines.write(&batch.items, index, &self.host.series, &mut self.buffer);
                }
                Format::Json => {
                    json::write_item(&batch.items, index, &self.host.series, &mut self.buffer);
                    self.buffer.push(b'\n');
                }
            }
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.host.console.write(&self.buffer).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => NodeError::Fatal("standard output was closed".into()),
            _ => NodeError::Retry(format!("standard output cannot be written: {error}")),
        })
    }

    fn tends(&self) -> bool {
        false
    }

    /// A terminal may be held and a pipe may be full.
    fn blocks(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
