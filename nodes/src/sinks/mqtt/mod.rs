//! Publishes what comes to a broker.

mod compose;
mod config;
mod discovery;
mod edge;
#[cfg(test)]
mod tests;

use std::time::Duration as StdDuration;

use async_trait::async_trait;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, NodeError, Refused, Sink};
use smollama_engine::registry::{Delivery, NodeConfig, Problem, Profile, Section};
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::Trouble;
use tokio::time::timeout;

use compose::Composer;
pub use config::{MqttConfig, Payload};
use discovery::Announcing;
pub use discovery::{DeviceConfig, Discovery, DiscoveryConfig, EntityOverride, StateClass};

use crate::io::mqtt::{Announcer, Broker, Outgoing};

/// So many items can be without an answer before more are taken.
const UNANSWERED_MAX: usize = 4_096;
/// How often it is looked whether the broker is away, while its answers are waited for.
const LOOK_EVERY: StdDuration = StdDuration::from_secs(1);

impl NodeConfig for MqttConfig {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "mqtt";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let accepts: &[ItemKind] = match self.discovery.0 {
            _ if self.payload == Payload::Edge => &[ItemKind::Readings],
            // A window has many values, and an entity one.
            Some(_) => &[ItemKind::Readings, ItemKind::Observations],
            None => &ItemKind::ALL,
        };
        let profile = Profile::sink(accepts).delivery(Delivery::Sent);
        let profile = match &self.discovery.0 {
            Some(discovery) => {
                profile.leaves(discovery::WHAT, Announcer::place(self.broker(), &discovery.prefix))
            }
            None => profile,
        };
        let profile = match &self.connection {
            Some(name) => profile.connection("connection", name),
            None => profile,
        };
        if self.allow_loop {
            return profile;
        }
        let profile = profile.says(self.says());
        match &self.discovery.0 {
            Some(discovery) => profile.says(format!("{}/+/+/+/config", discovery.prefix)),
            None => profile,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let broker = Broker::lease(self.connection.as_deref(), &context.host)
            .map_err(|why| Problem::at("connection", why))?;
        let composer = Composer::new(self, context.host.clone())?;
        let outgoing = broker.outgoing();
        let trouble = outgoing.trouble();
        let settings = self.discovery.0.as_ref();
        let announcing = settings.and_then(|one| Announcing::new(one, self, &broker, context));
        let announcing = announcing.map(Box::new);
        let (begun, refused) = (None, Vec::new());
        Ok(Node::Sink(Box::new(Mqtt { composer, announcing, outgoing, trouble, begun, refused })))
    }
}

struct Mqtt {
    composer: Composer,
    announcing: Option<Box<Announcing>>,
    outgoing: Outgoing<Items>,
    /// What keeps it from going out.
    trouble: Trouble,
    /// The end of the batch that is under way, and its length: it comes again where a call was given up.
    begun: Option<(u64, usize)>,
    refused: Vec<Refused>,
}

impl Mqtt {
    /// Waits until at most so many items have no answer, or until it is known that there will be none soon.
    async fn settle(&mut self, most: usize) -> Result<(), NodeError> {
        let settled = loop {
            if timeout(LOOK_EVERY, self.outgoing.settle(most)).await.is_ok() {
                break Ok(());
            }
            if let Some(trouble) = self.trouble.get() {
                break Err(NodeError::Retry(trouble));
            }
        };
        let refused = self.outgoing.take_refused();
        self.refused.extend(refused.into_iter().map(|(items, reason)| Refused { items, reason }));
        settled
    }
}

#[async_trait]
impl Sink for Mqtt {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        let begun = (batch.end, batch.items.len());
        if self.begun != Some(begun) {
            self.settle(UNANSWERED_MAX).await?;
            if let Some(announcing) = &mut self.announcing {
                announcing.announce(batch, &mut self.composer, &self.trouble).await?;
            }
            let mut next = 0;
            while next < batch.items.len() {
                let some = self.composer.together(&batch.items, next);
                next = some.end;
                let items = batch.items.slice(some.clone());
                match self.composer.compose(&batch.items, some) {
                    Ok(publication) => self.outgoing.push(publication, items),
                    Err(reason) => self.refused.push(Refused { items, reason }),
                }
            }
            self.begun = Some(begun);
        }
        // They are held here now and go out in order. Where there is no connection, whoever flushes waits for it.
        if self.trouble.get().is_none() {
            let _ = timeout(LOOK_EVERY, self.outgoing.send()).await;
        }
        self.begun = None;
        Ok(())
    }

    async fn flush(&mut self, _: Timestamp) -> Result<(), NodeError> {
        if let Some(announcing) = &mut self.announcing {
            announcing.begin();
        }
        self.settle(0).await
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    fn trouble(&self) -> Option<Trouble> {
        Some(self.trouble.clone())
    }

    /// The broker is not asked anew for a try: only whether the connection is there again.
    fn longest_pause(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
}
