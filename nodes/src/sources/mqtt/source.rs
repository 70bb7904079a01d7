//! The node: messages out of its inbox, readings out of messages.

use std::collections::BTreeSet;

use async_trait::async_trait;
use smollama_engine::batch::Items;
use smollama_engine::context::Context;
use smollama_engine::node::{NodeError, Position, Read, Receipt, Reject, Source, SourceBatch};
use smollama_engine::reading::Reading;
use smollama_engine::registry::Problem;
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::Trouble;

use super::config::{MqttConfig, Retained};
use super::held::Held;
use crate::io::message::Decoder;
use crate::io::mqtt::{Broker, Claim, Delivery, Inbox, Message, Qos};

/// How many deliveries make a batch at most.
const DELIVERIES_MAX: usize = 1_024;
/// How many bytes of payload make one; a message more may go beyond.
const BYTES_MAX: usize = 1 << 20;

/// See the module.
pub(super) struct Mqtt {
    inbox: Inbox,
    decoder: Decoder,
    retained: Retained,
    /// What came with QoS 2, where that is asked for.
    held: Option<Held>,
    /// Taken, and not yet decoded: what one batch had no room for.
    deliveries: Vec<Delivery>,
}

impl Mqtt {
    pub(super) fn new(config: &MqttConfig, context: &Context) -> Result<Mqtt, Problem> {
        let broker = Broker::lease(config.connection.as_deref(), &context.host)
            .map_err(|why| Problem::at("connection", why))?;
        let decoder = Decoder::new(&config.message(), context)?;
        let subscriptions: BTreeSet<_> = config.subscriptions().into_iter().collect();
        let once = subscriptions.iter().any(|one| one.qos == Qos::ExactlyOnce);
        Ok(Mqtt {
            inbox: broker.inbox(&context.address, subscriptions),
            decoder,
            retained: config.retained,
            held: once.then(Held::default),
            deliveries: Vec::new(),
        })
    }

    /// How much of what was taken makes a batch: all messages in it are readings, or all are last values; and which it is.
    fn first_batch(&self) -> (usize, bool) {
        let (mut bytes, mut retained) = (0, None);
        for (at, delivery) in self.deliveries.iter().enumerate() {
            let Delivery::Message(message) = delivery else { continue };
            let kept = message.retained && self.retained == Retained::Value;
            if bytes > BYTES_MAX || retained.is_some_and(|before| before != kept) {
                return (at, retained == Some(true));
            }
            retained = Some(kept);
            bytes += message.payload.len();
        }
        (self.deliveries.len(), retained == Some(true))
    }

    /// Makes a batch of what was taken, or of the first of it.
    fn batch(&mut self) -> SourceBatch {
        let (mut readings, mut rejects) = (Vec::with_capacity(self.deliveries.len()), Vec::new());
        let (many, retained) = self.first_batch();
        let mut claims = Vec::new();
        for delivery in self.deliveries.drain(..many) {
            let message = match (delivery, &mut self.held) {
                (Delivery::Message(message), _) => message,
                (Delivery::Released(number), Some(held)) => {
                    held.release(number);
                    continue;
                }
                (Delivery::Forgotten, Some(held)) => {
                    held.forget();
                    continue;
                }
                (Delivery::Released(_) | Delivery::Forgotten, None) => continue,
            };
            let new = match (&mut self.held, message.once) {
                (Some(held), Some(once)) => held.take(once),
                _ => true,
            };
            if new && (!message.retained || self.retained != Retained::Ignore) {
                decode(&mut self.decoder, &message, &mut readings, &mut rejects);
            }
            claims.extend(message.claim);
        }
        let receipt =
            (!claims.is_empty()).then(|| Receipt::new(|| claims.into_iter().for_each(Claim::kept)));
        // Where nothing is promised, nothing has to be remembered for it either.
        let position = self.held.as_ref().filter(|_| receipt.is_some()).map(Held::position);
        let dropped = self.inbox.take_dropped();
        if retained {
            // No reading is lost with what cannot be understood, and it would come again with every subscription.
            rejects.clear();
        }
        let items = Items::Readings(readings);
        SourceBatch { items, rejects, position, receipt, dropped, retained }
    }
}

fn decode(
    decoder: &mut Decoder,
    message: &Message,
    readings: &mut Vec<Reading>,
    rejects: &mut Vec<Reject>,
) {
    match std::str::from_utf8(&message.topic) {
        Ok(topic) if let Some(size) = message.too_large => rejects.push(Reject {
            reason: format!("{size} bytes are more than `max_packet` of this broker allows"),
            origin: format!("topic {topic}"),
            bytes: message.payload.to_vec(),
        }),
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
    /// Learns what an earlier run had taken with QoS 2.
    async fn resume(&mut self, position: &Position) -> Result<(), NodeError> {
        if let Some(held) = &mut self.held {
            *held = Held::from_position(position);
        }
        Ok(())
    }

    /// Nothing is awaited between the taking of messages and the return, so nothing is lost when the future is dropped.
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        if self.deliveries.is_empty() {
            self.inbox.take(DELIVERIES_MAX, &mut self.deliveries).await;
        }
        Ok(Read::Batch(self.batch()))
    }

    fn trouble(&self) -> Option<Trouble> {
        Some(self.inbox.trouble())
    }
}
