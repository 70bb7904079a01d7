//! Messages between the connection, which never waits, and a node that takes them when it is asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::ledger::Claim;

/// So many bytes of messages with QoS 0 wait for a node; more are dropped, and counted.
const LOOSE_MAX: usize = 4 << 20;
/// An empty mailbox keeps room for so many: there may be thousands, and each has had its burst.
const KEPT: usize = 4;
/// What a message costs beside its topic and payload.
const MESSAGE_COST: usize = 96;

/// A message on its way to a node.
#[derive(Debug)]
pub struct Message {
    /// Where it was published. Valid UTF-8, as the protocol has it.
    pub topic: Bytes,
    /// What it carries; the beginning of it where it is too large.
    pub payload: Bytes,
    /// Its size, in bytes of topic and payload, where that is more than is taken.
    pub too_large: Option<usize>,
    /// It was kept by the broker, and is as old as it may be.
    pub retained: bool,
    /// Whom to tell when it is kept; `None` with QoS 0.
    pub claim: Option<Claim>,
    /// By what it is known again, with QoS 2.
    pub once: Option<Once>,
}

/// By what a message with QoS 2 is known again when it comes a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Its number, which is its own until it is released.
    pub number: u16,
    /// What its topic and payload come to.
    pub print: u32,
    /// The broker sends it again, and does not know whether it arrived before.
    pub again: bool,
}

/// What reaches a node, in the order in which it came.
#[derive(Debug)]
pub enum Delivery {
    /// A message.
    Message(Message),
    /// This number of a message with QoS 2 may be given to another.
    Released(u16),
    /// The broker has forgotten the session: all numbers begin anew.
    Forgotten,
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
    /// Bytes of messages that want an acknowledgement, in all mailboxes of a connection.
    claimed: Arc<AtomicUsize>,
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let claimed = self.waiting().claimed;
        self.claimed.fetch_sub(claimed, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Waiting {
    deliveries: VecDeque<Delivery>,
    /// How many of them are messages.
    messages: usize,
    /// Bytes of those that nobody is told of.
    loose: usize,
    /// Bytes of those that somebody is.
    claimed: usize,
    dropped: u64,
}

impl Mailbox {
    /// One of those that count together what wants an acknowledgement.
    pub(super) fn new(claimed: Arc<AtomicUsize>) -> Mailbox {
        Mailbox { waiting: Mutex::default(), came: Notify::new(), claimed }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in. One with QoS 0 that finds no room is dropped.
    pub(super) fn put(&self, message: Message) {
        let mut waiting = self.waiting();
        let size = message.size();
        if message.claim.is_some() {
            waiting.claimed += size;
            self.claimed.fetch_add(size, Ordering::Relaxed);
        } else if waiting.loose + size > LOOSE_MAX {
            waiting.dropped += 1;
            return;
        } else {
            waiting.loose += size;
        }
        waiting.deliveries.push_back(Delivery::Message(message));
        waiting.messages += 1;
        let first = waiting.messages == 1;
        drop(waiting);
        if first {
            self.came.notify_one();
        }
    }

    /// Puts in what is said of messages. It wakes nobody, and comes out with the next message.
    pub(super) fn note(&self, note: Delivery) {
        let mut waiting = self.waiting();
        if matches!(note, Delivery::Forgotten) {
            // What was said of numbers before goes without saying.
            waiting.deliveries.retain(|one| matches!(one, Delivery::Message(_)));
        }
        waiting.deliveries.push_back(note);
    }

    /// Takes at most so many deliveries; waits until there is a message. Cancel-safe.
    pub async fn take(&self, most: usize, into: &mut Vec<Delivery>) {
        loop {
            {
                let mut waiting = self.waiting();
                if waiting.messages > 0 {
                    let many = most.min(waiting.deliveries.len());
                    let first = into.len();
                    into.extend(waiting.deliveries.drain(..many));
                    if waiting.deliveries.is_empty() {
                        waiting.deliveries.shrink_to(KEPT);
                    }
                    for delivery in into.iter().skip(first) {
                        let Delivery::Message(message) = delivery else { continue };
                        let size = message.size();
                        if message.claim.is_some() {
                            waiting.claimed -= size;
                            self.claimed.fetch_sub(size, Ordering::Relaxed);
                        } else {
                            waiting.loose -= size;
                        }
                        waiting.messages -= 1;
                    }
                    if waiting.messages > 0 {
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
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::ledger::{Acknowledge, Ledger, Ticket};
    use super::super::message::Qos;
    use super::*;

    fn loose(size: usize) -> Message {
        let payload = Bytes::from(vec![0; size]);
        let topic = Bytes::from_static(b"t");
        Message { topic, payload, retained: false, claim: None, once: None, too_large: None }
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
        let size = |delivery: &Delivery| match delivery {
            Delivery::Message(message) => message.payload.len(),
            note => panic!("{note:?}"),
        };
        assert_eq!(taken.iter().map(size).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[tokio::test]
    async fn what_is_said_of_messages_wakes_nobody_and_stays_in_its_place() {
        let mailbox = Mailbox::default();
        mailbox.note(Delivery::Released(1));
        let mut taken = Vec::new();
        assert!(timeout(Duration::ZERO, mailbox.take(9, &mut taken)).await.is_err());
        mailbox.put(loose(1));
        mailbox.note(Delivery::Released(2));
        mailbox.take(9, &mut taken).await;
        let is_note = |delivery: &Delivery| matches!(delivery, Delivery::Released(_));
        assert_eq!(taken.iter().map(is_note).collect::<Vec<_>>(), [true, false, true]);
        mailbox.note(Delivery::Released(3));
        mailbox.note(Delivery::Forgotten);
        mailbox.put(loose(1));
        taken.clear();
        mailbox.take(9, &mut taken).await;
        assert!(matches!(taken[..], [Delivery::Forgotten, Delivery::Message(_)]), "{taken:?}");
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

    struct Deaf;

    impl Acknowledge for Deaf {
        fn acknowledge(&self, _: u16, _: Qos) {}
        fn leave(&self) {}
    }

    #[tokio::test]
    async fn what_wants_an_acknowledgement_is_counted_over_all_mailboxes_until_it_is_taken_or_dropped()
     {
        let claimed = Arc::<AtomicUsize>::default();
        let [one, other] = [(); 2].map(|()| Mailbox::new(claimed.clone()));
        let ledger = Ledger::new(Box::new(Deaf));
        let wants = |number| {
            let claim = Ticket::new(&ledger, number, Qos::AtLeastOnce, 1).claim();
            Message { claim: Some(claim), ..loose(1_000) }
        };
        let size = loose(1_000).size();
        one.put(wants(1));
        one.put(loose(1_000));
        other.put(wants(2));
        other.put(wants(3));
        assert_eq!(claimed.load(Ordering::Relaxed), 3 * size);
        other.take(1, &mut Vec::new()).await;
        one.take(9, &mut Vec::new()).await;
        assert_eq!(claimed.load(Ordering::Relaxed), size);
        drop(other);
        assert_eq!(claimed.load(Ordering::Relaxed), 0);
    }
}
