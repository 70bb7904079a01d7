//! Seeing to it that a broker has what is to lie there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::file::{Kept, Line};
use super::{Entry, Outbox, Shelf, Wanted};
use crate::io::mqtt::{Broker, Delivery, Inbox, Message, Outgoing, Publication, Qos, Subscription};

/// What Home Assistant says on `PREFIX/status` when it begins.
const BIRTH: &[u8] = b"online";
/// How long a birth is waited after at most, by chance, so that not all who heard of it answer at once.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// By what name messages for this are waited for.
const ADDRESS: &str = "the outbox";
/// How many messages are under way before their answers are waited for.
const AT_ONCE: usize = 256;

/// Something to publish.
struct Due {
    topic: Arc<str>,
    payload: Bytes,
    version: u64,
}

/// What is to be done for a broker.
enum Left {
    Publish,
    Wait,
    Nothing,
}

/// Runs until nothing of what lies with a broker is wanted by anybody, and the broker has taken that.
pub(super) async fn tend(outbox: Arc<Outbox>, name: Arc<str>) {
    let broker = match Broker::lease(Some(&name), &outbox.host) {
        Ok(broker) => broker,
        Err(why) => {
            // It was taken out of config.yaml: what lies there cannot be reached any more.
            tracing::warn!("what this host announced by `{name}` stays there: {why}");
            outbox.give_up(&name);
            return;
        }
    };
    let mut out: Outgoing<(Arc<str>, u64)> = broker.outgoing();
    let mut births = Births::new();
    let mut lives = broker.publisher.lives();
    let stopping = outbox.host.leases.stopping();
    out.send().await;
    loop {
        let due = outbox.take_due(&name).await;
        if !due.is_empty() {
            while lives.borrow_and_update().is_none() {
                // It lives as long as the broker does.
                let _ = lives.changed().await;
            }
            for some in due.chunks(AT_ONCE) {
                publish(&mut out, some).await;
                for (tag, why) in out.take_refused() {
                    tracing::warn!("`{}` cannot be announced: {why}", tag.0);
                }
                outbox.is_sent(&name, some);
            }
            continue;
        }
        births.listen(&broker, outbox.prefixes(&name));
        let changed = outbox.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let stops = stopping.is_cancelled();
        match outbox.is_left_to_do(&name, stops) {
            Left::Publish => continue,
            Left::Wait => {}
            Left::Nothing => return,
        }
        tokio::select! {
            () = changed => {}
            () = stopping.cancelled() => {}
            _ = lives.changed() => {
                if lives.borrow_and_update().is_some() {
                    outbox.again(&name, |_| true);
                }
            }
            prefix = births.next() => {
                tracing::info!("Home Assistant began anew: its entities below `{prefix}` are announced again");
                outbox.again(&name, |topic| topic.strip_prefix(&*prefix).is_some_and(|rest| rest.starts_with('/')));
            }
        }
    }
}

async fn publish(out: &mut Outgoing<(Arc<str>, u64)>, due: &[Due]) {
    for Due { topic, payload, version } in due {
        let publication = Publication {
            topic: topic.to_string(),
            payload: payload.clone(),
            qos: Qos::AtLeastOnce,
            retain: true,
            properties: Vec::new(),
            expiry: None,
        };
        out.push(publication, (topic.clone(), *version));
    }
    out.settle(0).await;
}

/// Birth messages of Home Assistant.
struct Births {
    inbox: Option<Inbox>,
    prefixes: BTreeSet<Arc<str>>,
    /// Those who began, and when they get everything.
    due: Vec<(Instant, Arc<str>)>,
    address: Arc<str>,
}

impl Births {
    fn new() -> Births {
        Births { inbox: None, prefixes: BTreeSet::new(), due: Vec::new(), address: ADDRESS.into() }
    }

    /// Listens for those of these prefixes.
    fn listen(&mut self, broker: &Arc<Broker>, prefixes: BTreeSet<Arc<str>>) {
        if self.prefixes == prefixes {
            return;
        }
        let subscriptions = prefixes.iter().map(|prefix| Subscription {
            filter: format!("{prefix}/status"),
            qos: Qos::AtMostOnce,
        });
        let inbox = broker.inbox(&self.address, subscriptions.collect());
        self.inbox = (!prefixes.is_empty()).then_some(inbox);
        self.prefixes = prefixes;
    }

    /// The next one whose pause is over. Cancel-safe.
    async fn next(&mut self) -> Arc<str> {
        loop {
            let first = self.due.iter().map(|(when, _)| *when).min();
            let pause = async {
                match first {
                    Some(when) => sleep_until(when).await,
                    None => std::future::pending().await,
                }
            };
            let mut messages = Vec::new();
            let inbox = &mut self.inbox;
            let came = async {
                match inbox {
                    Some(inbox) => inbox.take(AT_ONCE, &mut messages).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = pause => {
                    let index = self.due.iter().position(|(when, _)| Some(*when) == first);
                    if let Some(index) = index {
                        return self.due.swap_remove(index).1;
                    }
                }
                () = came => for delivery in &messages {
                    if let Delivery::Message(message) = delivery {
                        self.hear(message);
                    }
                },
            }
        }
    }

    fn hear(&mut self, message: &Message) {
        // One that was kept is of before: what lies with the broker was there when it began.
        if message.retained || *message.payload != *BIRTH {
            return;
        }
        let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
        let Some(prefix) = topic.strip_suffix("/status").map(Arc::from) else { return };
        if !self.due.iter().any(|(_, waiting)| *waiting == prefix) {
            let share = (Uuid::new_v4().as_u128() % 1_000) as u32;
            self.due.push((Instant::now() + PAUSE_MAX * share / 1_000, prefix));
        }
    }
}

impl Outbox {
    /// What a broker has not. Its topics are on disk when this returns.
    async fn take_due(self: &Arc<Self>, broker: &str) -> Vec<Due> {
        if self.note_unlisted(broker) {
            self.write().await;
        }
        let inner = self.inner();
        let Some(shelf) = inner.shelves.get(broker) else { return Vec::new() };
        let due = shelf.entries.iter().filter(|(_, entry)| entry.is_due() && entry.listed);
        due.filter_map(|(topic, entry)| {
            let payload = match &entry.wanted {
                Wanted::Payload(payload) | Wanted::AsItWas(Some(payload)) => payload.clone(),
                Wanted::Nothing => Bytes::new(),
                Wanted::AsItWas(None) => return None,
            };
            Some(Due { topic: topic.clone(), payload, version: entry.version })
        })
        .collect()
    }

    /// Puts what is not on the list there. False where nothing was missing.
    fn note_unlisted(&self, broker: &str) -> bool {
        let mut inner = self.inner();
        let Some(shelf) = inner.shelves.get_mut(broker) else { return false };
        let unlisted = shelf.entries.iter_mut().filter(|(_, entry)| !entry.listed);
        let lines: Vec<Line> = unlisted
            .map(|(topic, entry)| {
                entry.listed = true;
                Line::Kept(Kept {
                    broker: broker.to_owned(),
                    topic: topic.to_string(),
                    node: entry.node.clone(),
                    place: entry.place.to_string(),
                    of: entry.of.clone(),
                    payload: entry
                        .payload()
                        .and_then(|payload| String::from_utf8(payload.to_vec()).ok()),
                })
            })
            .collect();
        let some = !lines.is_empty();
        self.note(lines);
        some
    }

    /// The broker has said something to these. What is wanted no more is forgotten.
    fn is_sent(self: &Arc<Self>, broker: &str, sent: &[Due]) {
        let mut gone = Vec::new();
        let mut inner = self.inner();
        let Some(shelf) = inner.shelves.get_mut(broker) else { return };
        for Due { topic, version, .. } in sent {
            let Some(entry) = shelf.entries.get_mut(topic) else { continue };
            entry.sent = *version;
            if !entry.is_due() && entry.wanted == Wanted::Nothing {
                shelf.entries.remove(topic);
                gone.push(Line::Gone { broker: broker.to_owned(), topic: topic.to_string() });
            }
        }
        let some = !gone.is_empty();
        self.note(gone);
        drop(inner);
        self.changed.notify_waiters();
        if some {
            let outbox = self.clone();
            // Nobody waits for it: what comes back after a crash is taken back once more.
            tokio::spawn(async move { outbox.write().await });
        }
    }

    /// What the broker had it may have no more.
    fn again(&self, broker: &str, whether: impl Fn(&str) -> bool) {
        let mut inner = self.inner();
        let Some(shelf) = inner.shelves.get_mut(broker) else { return };
        for (topic, entry) in &mut shelf.entries {
            if entry.payload().is_some() && !entry.is_due() && whether(topic) {
                entry.version += 1;
            }
        }
    }

    /// Those for whom something lies there.
    fn prefixes(&self, broker: &str) -> BTreeSet<Arc<str>> {
        let inner = self.inner();
        let Some(shelf) = inner.shelves.get(broker) else { return BTreeSet::new() };
        let Shelf { entries, prefixes, .. } = shelf;
        let has = |prefix: &&Arc<str>| {
            let mut wanted = entries.iter().filter(|(_, entry)| entry.payload().is_some());
            wanted.any(|(topic, _)| {
                topic.strip_prefix(&***prefix).is_some_and(|rest| rest.starts_with('/'))
            })
        };
        prefixes.iter().filter(has).cloned().collect()
    }

    /// What is to be done for a broker. Where that is nothing, nobody tends it from now on.
    fn is_left_to_do(&self, broker: &str, stops: bool) -> Left {
        let mut inner = self.inner();
        let Some(shelf) = inner.shelves.get_mut(broker) else { return Left::Nothing };
        let mut entries = shelf.entries.values();
        if entries.clone().any(Entry::is_due) {
            return Left::Publish;
        }
        shelf.tended = !stops && entries.any(|entry| entry.payload().is_some());
        if shelf.tended { Left::Wait } else { Left::Nothing }
    }

    /// A broker is not known any more: nothing there can be changed.
    fn give_up(&self, broker: &str) {
        if let Some(shelf) = self.inner().shelves.get_mut(broker) {
            shelf.entries.values_mut().for_each(|entry| entry.sent = entry.version);
            shelf.tended = false;
        }
        self.changed.notify_waiters();
    }
}
