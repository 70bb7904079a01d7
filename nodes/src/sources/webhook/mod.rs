//! Takes readings over HTTP and answers when they are kept.
//!
//! Connections are served by tasks of their own, which check who sends and read bodies. What may come in waits, up to a bound, until
//! the engine asks for it; the sender is answered once the journal has it.

mod auth;
mod config;
mod door;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use smollama_engine::context::Context;
use smollama_engine::node::{Node, NodeError, Read, Receipt, Source, SourceBatch};
use smollama_engine::reading::Reading;
use smollama_engine::registry::{Claim, NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::io::message::{Bodies, BodyFormat};
use auth::Guard;
pub use config::{Auth, Hmac, WebhookConfig};
use door::{Delivery, Desk, Door, REQUESTS_MAX};
use request::Answer;

/// How many requests make a batch at most.
const BATCH_MAX: usize = 1_024;

impl NodeConfig for WebhookConfig {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "webhook";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::source(Pace::Live).promises().claim(Claim::PORT, &self.listen)
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Source(Box::new(Webhook::new(self, context)?)))
    }
}

struct Webhook {
    door: Arc<Door>,
    desk: Arc<Desk>,
    deliveries: mpsc::Receiver<Delivery>,
    /// Taken, and not yet decoded.
    taken: Vec<Delivery>,
    bodies: Bodies,
    is_lines: bool,
    began: bool,
}

impl Webhook {
    fn new(config: &WebhookConfig, context: &Context) -> Result<Webhook, Problem> {
        let no_address = || Problem::at("listen", "this is no address to listen on");
        let address = config.address().ok_or_else(no_address)?;
        let door = Door::lease(address, &context.host.leases).map_err(|error| {
            Problem::at("listen", error).help("end what uses it, or listen elsewhere")
        })?;
        let (give, deliveries) = mpsc::channel(REQUESTS_MAX);
        let desk = Arc::new(Desk {
            guard: Guard::new(config)?,
            path: config.path.clone(),
            largest: config.largest(),
            timeout: config.timeout.to_std(),
            connections: config.connections,
            give,
            waiting: Arc::default(),
        });
        Ok(Webhook {
            door,
            desk,
            deliveries,
            taken: Vec::new(),
            bodies: Bodies::new(&config.message(), context)?,
            is_lines: config.format == BodyFormat::JsonLines,
            began: false,
        })
    }

    fn batch(&mut self) -> SourceBatch {
        let (mut readings, mut rejects) = (Vec::<Reading>::new(), Vec::new());
        let mut told: Vec<(oneshot::Sender<Answer>, Answer)> = Vec::with_capacity(self.taken.len());
        for delivery in self.taken.drain(..) {
            let Delivery { name, peer, body, is_lines, answer, weight } = delivery;
            let (before, sound) = (readings.len(), rejects.len());
            let lines = is_lines || self.is_lines;
            let origin = format!("{peer} /{name}");
            self.bodies.read((&name, &origin), &body, lines, &mut readings, &mut rejects);
            let first = rejects.get(sound).map(|reject| reject.reason.clone());
            let refused = first.map(|first| match rejects.len() - sound - 1 {
                0 => first,
                more => format!("{first}, and {more} more"),
            });
            told.push((answer, Answer { readings: readings.len() - before, refused }));
            drop(weight);
        }
        // A sender that left meanwhile hears nothing.
        let receipt = Receipt::new(move || {
            told.into_iter().for_each(|(answer, said)| drop(answer.send(said)));
        });
        SourceBatch { rejects, receipt: Some(receipt), ..SourceBatch::readings(readings) }
    }
}

#[async_trait]
impl Source for Webhook {
    /// Nothing is awaited between the taking of requests and the return, so nothing is lost when the future is dropped.
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        if !self.began {
            let refused = |error| NodeError::Retry(format!("cannot listen: {error}"));
            self.door.open(self.desk.clone()).map_err(refused)?;
            self.began = true;
        }
        // The desk holds a sender, so there is always one.
        self.deliveries.recv_many(&mut self.taken, BATCH_MAX).await;
        Ok(Read::Batch(self.batch()))
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.door.close(&self.desk);
    }
}
