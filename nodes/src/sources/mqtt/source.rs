//! The node: messages out of its inbox, readings out of messages.

use std::collections::BTreeSet;

use async_trait::async_trait;
use smollama_engine::batch::Items;
use smollama_engine::context::Context;
use smollama_engine::node::{NodeError, Read, Receipt, Reject, Source, SourceBatch};
use smollama_engine::reading::Reading;
use smollama_engine::registry::Problem;
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::Trouble;

use super::config::{MqttConfig, Retained};
use super::decode::Decoder;
use crate::io::mqtt::{Broker, Inbox, Message};

/// How many messages make a batch at most.
const MESSAGES_MAX: usize = 1_024;
/// How many bytes of payload make one; a message more may go beyond.
const BYTES_MAX: usize = 1 << 20;

/// See the module.
pub(super) struct Mqtt {
    inbox: Inbox,
    decoder: Decoder,
    retained: Retained,
    /// Taken, and not yet decoded: what one batch had no room for.
    messages: Vec<Message>,
}

impl Mqtt {
    pub(super) fn new(config: &MqttConfig, context: &Context) -> Result<Mqtt, Problem> {
        let broker = Broker::lease(config.connection.as_deref(), &context.host)
            .map_err(|why| Problem::at("connection", why))?;
        let decoder = Decoder::new(config, context)?;
        let subscriptions: BTreeSet<_> = config.subscriptions().into_iter().collect();
        Ok(Mqtt {
            inbox: broker.inbox(&context.address, subscriptions),
            decoder,
            retained: config.retained,
            messages: Vec::new(),
        })
    }

    /// Makes a batch of the messages that were taken, or of the first of them.
    fn batch(&mut self) -> SourceBatch {
        let (mut readings, mut rejects) = (Vec::with_capacity(self.messages.len()), Vec::new());
        let mut bytes = 0;
        let many = self.messages.iter().position(|message| {
            bytes += message.payload.len();
            bytes > BYTES_MAX
        });
        let many = many.map_or(self.messages.len(), |last| last + 1);
        let mut claims = Vec::new();
        for message in self.messages.drain(..many) {
            if !message.retained || self.retained == Retained::Reading {
                decode(&mut self.decoder, &message, &mut readings, &mut rejects);
            }
            claims.extend(message.claim);
        }
        let receipt = (!claims.is_empty())
            .then(|| Receipt::new(|| claims.into_iter().for_each(crate::io::mqtt::Claim::kept)));
        let dropped = self.inbox.take_dropped();
        let items = Items::Readings(readings);
        SourceBatch { items, rejects, position: None, receipt, dropped }
    }
}

fn decode(
    decoder: &mut Decoder,
    message: &Message,
    readings: &mut Vec<Reading>,
    rejects: &mut Vec<Reject>,
) {
    match std::str::from_utf8(&message.topic) {
        Ok(topic) => decoder.decode(topic, &message.payload, readings, rejects),
        Err(error) => rejects.push(Reject {
            reason: format!("its topic is not UTF-8: {error}"),
            origin: format!("topic {}", message.topic.escape_ascii()),
            bytes: message.payload.to_vec(),
        }),
    }
}

#[async_trait]
impl Source for Mqtt {
    /// Nothing is awaited between the taking of messages and the return, so nothing is lost when the future is dropped.
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        if self.messages.is_empty() {
            self.inbox.take(MESSAGES_MAX, &mut self.messages).await;
        }
        Ok(Read::Batch(self.batch()))
    }

    fn trouble(&self) -> Option<Trouble> {
        Some(self.inbox.trouble())
    }
}
