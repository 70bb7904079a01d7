//! Messages between the connection, which never waits, and a node that takes them when it is asked.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::ledger::Claim;

/// So many bytes of messages with QoS 0 wait for a node; more are dropped, and counted.
const LOOSE_MAX: usize = 4 << 20;
/// What a message costs beside its topic and payload.
const MESSAGE_COST: usize = 96;

/// A message on its way to a node.
#[derive(Debug)]
pub struct Message {
    /// Where it was published. Valid UTF-8, as the protocol has it.
    pub topic: Bytes,
    /// What it carries.
    pub payload: Bytes,
    /// It was kept by the broker, and is as old as it may be.
    pub retained: bool,
    /// Whom to tell when it is kept; `None` with QoS 0.
    pub claim: Option<Claim>,
}

impl Message {
    fn size(&self) -> usize {
        MESSAGE_COST + self.topic.len() + self.payload.len()
    }
}

/// The messages that wait for one node.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// Bytes of those that nobody is told of.
    loose: usize,
    /// Bytes of those that somebody is.
    claimed: usize,
    dropped: u64,
}

impl Mailbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in. One with QoS 0 that finds no room is dropped.
    pub(super) fn put(&self, message: Message) {
        let mut waiting = self.waiting();
        let size = message.size();
        if message.claim.is_some() {
            waiting.claimed += size;
        } else if waiting.loose + size > LOOSE_MAX {
            waiting.dropped += 1;
            return;
        } else {
            waiting.loose += size;
        }
        waiting.messages.push_back(message);
        let first = waiting.messages.len() == 1;
        drop(waiting);
        if first {
            self.came.notify_one();
        }
    }

    /// Bytes of messages that want an acknowledgement.
    pub(super) fn claimed(&self) -> usize {
        self.waiting().claimed
    }

    /// Takes at most so many messages; waits until there is one. Cancel-safe.
    pub async fn take(&self, most: usize, into: &mut Vec<Message>) {
        loop {
            {
                let mut waiting = self.waiting();
                let many = most.min(waiting.messages.len());
                if many > 0 {
                    let first = into.len();
                    into.extend(waiting.messages.drain(..many));
                    for message in into.iter().skip(first) {
                        let size = message.size();
                        let bytes = match message.claim {
                            Some(_) => &mut waiting.claimed,
                            None => &mut waiting.loose,
                        };
                        *bytes = bytes.saturating_sub(size);
                    }
                    if !waiting.messages.is_empty() {
                        self.came.notify_one();
                    }
                    return;
                }
            }
            self.came.notified().await;
        }
    }

    /// How many messages found no room since this was last asked.
    pub fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.waiting().dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loose(size: usize) -> Message {
        let payload = Bytes::from(vec![0; size]);
        Message { topic: Bytes::from_static(b"t"), payload, retained: false, claim: None }
    }

    #[tokio::test]
    async fn messages_come_out_in_order_and_as_many_as_are_wanted() {
        let mailbox = Mailbox::default();
        for size in 1..=5 {
            mailbox.put(loose(size));
        }
        let mut taken = Vec::new();
        mailbox.take(2, &mut taken).await;
        mailbox.take(9, &mut taken).await;
        let sizes: Vec<_> = taken.iter().map(|message| message.payload.len()).collect();
        assert_eq!(sizes, [1, 2, 3, 4, 5]);
    }

    #[tokio::test]
    async fn what_nobody_promised_is_dropped_and_counted_when_there_is_no_room() {
        let mailbox = Mailbox::default();
        for _ in 0..5 {
            mailbox.put(loose(1 << 20));
        }
        let mut taken = Vec::new();
        mailbox.take(9, &mut taken).await;
        assert_eq!((taken.len(), mailbox.take_dropped(), mailbox.take_dropped()), (3, 2, 0));
        mailbox.put(loose(1 << 20));
        mailbox.take(9, &mut taken).await;
        assert_eq!((taken.len(), mailbox.take_dropped()), (4, 0));
    }
}
