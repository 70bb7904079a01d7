//! Sends what comes to a web server.

mod config;
mod receiver;
#[cfg(test)]
mod tests;

use smollama_engine::batch::ItemKind;
use smollama_engine::context::Context;
use smollama_engine::node::Node;
use smollama_engine::registry::{Delivery, NodeConfig, Problem, Profile, Section};

use crate::io::outbound::Outbound;
pub use crate::io::outbound::{BatchSpec, Body};
pub use config::{Compression, HttpConfig, Method};
use receiver::Server;

impl NodeConfig for HttpConfig {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "http";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::sink(&ItemKind::ALL).delivery(Delivery::Sent)
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Sink(Box::new(sink(self, context)?)))
    }
}

type Http = Outbound<Server>;

fn sink(config: &HttpConfig, context: &Context) -> Result<Http, Problem> {
    Outbound::new(Server::new(config, context)?, &config.body, config.batch, context)
}
