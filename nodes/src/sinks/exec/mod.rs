//! Starts a program and gives it what comes: one that runs on, or one run a batch.

mod config;
mod feed;
mod runs;
#[cfg(test)]
mod tests;

use std::path::Path;

use smollama_engine::batch::ItemKind;
use smollama_engine::context::Context;
use smollama_engine::node::{Node, Sink};
use smollama_engine::registry::{Delivery, NodeConfig, Problem, Profile, Section};

use crate::io::outbound::Outbound;
pub use config::{Ack, ExecConfig};
use feed::Feed;
use runs::Runs;

impl NodeConfig for ExecConfig {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "exec";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::sink(&ItemKind::ALL).delivery(Delivery::Sent)
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn missing(&self, folder: &Path) -> Vec<Problem> {
        self.launch().missing(folder)
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Sink(sink(self, context)?))
    }
}

fn sink(config: &ExecConfig, context: &Context) -> Result<Box<dyn Sink>, Problem> {
    let program = config.launch().program(context)?;
    let (body, batch) = (&config.body, config.batch);
    Ok(match config.ack {
        Ack::Exit => Box::new(Outbound::new(
            Runs::new(program, config.timeout(), body),
            body,
            batch,
            context,
        )?),
        Ack::Read | Ack::Line => {
            let answers = (config.ack == Ack::Line).then(|| config.timeout());
            let feed = Feed::new(program, answers, context);
            Box::new(Outbound::new(feed, body, batch, context)?)
        }
    })
}
