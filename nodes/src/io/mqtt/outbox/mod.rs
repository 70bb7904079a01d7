//! Retained messages that are kept right for as long as something outlives the node that published them: what a host announces to others
//! by brokers, and takes back.
//!
//! The outbox knows of each topic what is to lie there, and whether the broker has that. What the broker has not is published until it
//! has; a broker that connected anew gets all of it again, since it may have forgotten everything. The list of topics lies on disk before
//! the broker has anything, so what is left by a node that is gone can be taken back after any restart; that is done as soon as the
//! broker is there, and the connection is kept until then.

mod file;
mod filters;
mod tend;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use smollama_engine::context::Host;
use smollama_engine::running::{Caretaker, Places};
use tokio::sync::Notify;

use file::{File, Line};
pub(super) use filters::Filters;

/// What the lease of it is called.
const LEASE: &str = "mqtt outbox";

/// See the module.
pub struct Outbox {
    host: Arc<Host>,
    inner: Mutex<Inner>,
    file: Mutex<File>,
    /// To be written.
    lines: Mutex<Vec<Line>>,
    /// Something changed.
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    /// The nodes that run, and where they leave things; `None` before that is known.
    running: Option<Arc<Places>>,
    shelves: BTreeMap<Arc<str>, Shelf>,
}

/// What lies with one broker.
#[derive(Default)]
struct Shelf {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Those of [`Announcer`]s.
    prefixes: BTreeSet<Arc<str>>,
    /// Somebody makes sure that the broker has it.
    tended: bool,
    /// Those of subscriptions that the broker keeps.
    filters: BTreeSet<String>,
    /// Somebody gives back what is left of them.
    clearing: bool,
}

/// What is to lie on a topic.
struct Entry {
    node: Arc<str>,
    /// Where the node leaves things.
    place: Arc<str>,
    of: String,
    wanted: Wanted,
    /// Counts what was wanted.
    version: u64,
    /// What of that the broker has.
    sent: u64,
    /// The topic is on disk, with this node.
    listed: bool,
}

/// What is to lie on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// What an earlier run put there, as far as that is known: its node has not said anything yet.
    AsItWas(Option<Bytes>),
    /// This.
    Payload(Bytes),
    /// Nothing.
    Nothing,
}

impl Entry {
    fn is_due(&self) -> bool {
        self.sent != self.version
    }

    fn want(&mut self, wanted: Wanted) {
        if self.wanted != wanted {
            let same = matches!(&wanted, Wanted::Payload(one) if self.payload() == Some(one));
            self.wanted = wanted;
            self.version += u64::from(!same);
        }
    }

    /// What is to lie there.
    fn payload(&self) -> Option<&Bytes> {
        match &self.wanted {
            Wanted::Payload(payload) | Wanted::AsItWas(Some(payload)) => Some(payload),
            Wanted::AsItWas(None) | Wanted::Nothing => None,
        }
    }
}

/// A retained message that a node wants with a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Where.
    pub topic: Arc<str>,
    /// What.
    pub payload: Bytes,
    /// What it is about, by which the node knows it again.
    pub of: String,
    /// Where the same thing was announced before, if it was of another kind then.
    pub instead_of: Arc<str>,
}

/// Who announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcer {
    /// The node's address.
    pub node: Arc<str>,
    /// The broker, by its name.
    pub broker: Arc<str>,
    /// What comes before the topics of all that it announces. Whoever is there for it says `online` on `PREFIX/status` when it begins
    /// anew, and then gets all of it again.
    pub prefix: Arc<str>,
}

impl Announcer {
    /// Where it leaves things, as its profile says.
    #[must_use]
    pub fn place(broker: &str, prefix: &str) -> String {
        format!("{prefix} at {broker}")
    }

    /// What comes before the topics of all that is left in a place.
    fn prefix_of<'a>(place: &'a str, broker: &str) -> Option<&'a str> {
        place.strip_suffix(broker)?.strip_suffix(" at ")
    }

    fn own_place(&self) -> String {
        Announcer::place(&self.broker, &self.prefix)
    }
}

/// A topic that another node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The topic.
    pub topic: Arc<str>,
    /// The other node's address.
    pub by: Arc<str>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outbox {
    /// Opens that of a host, for the engine that runs on its data directory and for as long as what comes back is held. What is left of
    /// nodes that run no more is taken back from now on.
    ///
    /// # Errors
    /// Its file cannot be read; it is left alone then.
    pub fn open(host: &Arc<Host>) -> io::Result<Arc<Outbox>> {
        let path: PathBuf = host.data_dir.join("mqtt").join("outbox.jsonl");
        let file = File::open(host.disk.clone(), path)?;
        let mut inner = Inner::default();
        for (broker, filter) in &file.all().asked {
            let shelf = inner.shelves.entry(broker.as_str().into()).or_default();
            shelf.filters.insert(filter.clone());
        }
        for ((broker, topic), kept) in &file.all().kept {
            let shelf = inner.shelves.entry(broker.as_str().into()).or_default();
            let payload = kept.payload.clone().map(Bytes::from);
            if let Some(prefix) = Announcer::prefix_of(&kept.place, broker) {
                shelf.prefixes.insert(prefix.into());
            }
            let entry = Entry {
                node: kept.node.clone(),
                place: kept.place.as_str().into(),
                of: kept.of.clone(),
                // The broker may have forgotten it, and what it is about may be silent for long.
                version: u64::from(payload.is_some()),
                wanted: Wanted::AsItWas(payload),
                sent: 0,
                listed: true,
            };
            shelf.entries.insert(topic.as_str().into(), entry);
        }
        let outbox = host.leases.lease(LEASE, || {
            Ok::<_, io::Error>(Outbox {
                host: host.clone(),
                inner: Mutex::new(inner),
                file: Mutex::new(file),
                lines: Mutex::default(),
                changed: Notify::new(),
            })
        })?;
        host.running.tell(outbox.clone());
        Ok(outbox)
    }

    /// The one that was opened for a host; `None` where no engine runs on its data directory.
    pub fn of(host: &Host) -> Option<Arc<Outbox>> {
        host.leases.lease(LEASE, || Err(())).ok()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts messages on their topics. What comes back belongs to other nodes.
    pub fn announce(
        self: &Arc<Self>,
        who: &Announcer,
        announcements: Vec<Announcement>,
    ) -> Vec<Taken> {
        let place: Arc<str> = who.own_place().into();
        let mut taken = Vec::new();
        let mut inner = self.inner();
        let Inner { running, shelves } = &mut *inner;
        let running = running.as_ref();
        let leaves = |node: &Arc<str>| match running {
            Some(running) => running.get(node).cloned().flatten().as_deref() == Some(&*place),
            None => true,
        };
        if !leaves(&who.node) {
            // It is on its way out: what it has goes.
            return taken;
        }
        let shelf = shelves.entry(who.broker.clone()).or_default();
        shelf.prefixes.insert(who.prefix.clone());
        for Announcement { topic, payload, of, instead_of } in announcements {
            if let Some(before) = shelf.entries.get_mut(&instead_of)
                && before.node == who.node
            {
                before.want(Wanted::Nothing);
            }
            let entry = shelf.entries.entry(topic.clone()).or_insert_with(|| Entry {
                node: who.node.clone(),
                place: place.clone(),
                of: of.clone(),
                wanted: Wanted::AsItWas(None),
                version: 0,
                sent: 0,
                listed: false,
            });
            let other = entry.node != who.node;
            if other && matches!(entry.wanted, Wanted::Payload(_)) && leaves(&entry.node) {
                taken.push(Taken { topic, by: entry.node.clone() });
                continue;
            }
            if other || entry.of != of || entry.place != place {
                (entry.node, entry.of, entry.listed) = (who.node.clone(), of, false);
                entry.place = place.clone();
            }
            entry.listed &= entry.payload() == Some(&payload);
            entry.want(Wanted::Payload(payload));
        }
        drop(inner);
        self.tend();
        taken
    }

    /// Takes back what a node announced earlier about things that it would not announce now.
    pub fn review(self: &Arc<Self>, node: &str, stays: impl Fn(&str) -> bool) {
        for shelf in self.inner().shelves.values_mut() {
            for entry in shelf.entries.values_mut() {
                if *entry.node == *node && !stays(&entry.of) {
                    entry.want(Wanted::Nothing);
                }
            }
        }
        self.tend();
    }

    /// Waits until a broker has said something to what is on these topics now. Cancel-safe.
    pub async fn settled(&self, broker: &str, topics: &[Arc<str>]) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_due(broker, topics) {
                return;
            }
            changed.await;
        }
    }

    fn is_due(&self, broker: &str, topics: &[Arc<str>]) -> bool {
        let inner = self.inner();
        let Some(shelf) = inner.shelves.get(broker) else { return false };
        topics.iter().any(|topic| shelf.entries.get(topic).is_some_and(Entry::is_due))
    }

    /// Puts lines behind those that are to be written; by whoever holds what they tell of, so that their order is that of what happened.
    fn note(&self, lines: Vec<Line>) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }

    /// Writes what was noted. Who waits for that at the same time shares one sync of the disk.
    async fn write(self: &Arc<Self>) {
        let outbox = self.clone();
        let listed = tokio::task::spawn_blocking(move || {
            let mut file = outbox.file.lock().unwrap_or_else(PoisonError::into_inner);
            let lines =
                std::mem::take(&mut *outbox.lines.lock().unwrap_or_else(PoisonError::into_inner));
            if lines.is_empty() { Ok(()) } else { file.add(lines) }
        });
        if let Ok(Err(error)) = listed.await {
            // What is there now is worth more than that it will go by itself later.
            tracing::warn!(
                "what this host leaves with a broker cannot be noted, and may stay there when its node goes: {error}"
            );
        }
    }

    /// Sees to it that every broker gets what it has not.
    fn tend(self: &Arc<Self>) {
        for (broker, shelf) in &mut self.inner().shelves {
            if !shelf.tended && shelf.entries.values().any(Entry::is_due) {
                shelf.tended = true;
                tokio::spawn(tend::tend(self.clone(), broker.clone()));
            }
        }
        self.changed.notify_waiters();
    }
}

impl Caretaker for Outbox {
    fn now_runs(self: Arc<Self>, nodes: &Arc<Places>, renamed: &BTreeMap<Arc<str>, Arc<str>>) {
        let mut inner = self.inner();
        inner.running = Some(nodes.clone());
        for entry in inner.shelves.values_mut().flat_map(|shelf| shelf.entries.values_mut()) {
            if let Some(name) = renamed.get(&entry.node) {
                (entry.node, entry.listed) = (name.clone(), false);
            }
            let place = nodes.get(&entry.node).and_then(Option::as_deref);
            if place != Some(&*entry.place) {
                entry.want(Wanted::Nothing);
            }
        }
        let brokers: Vec<_> = inner.shelves.keys().cloned().collect();
        drop(inner);
        self.tend();
        brokers.iter().for_each(|broker| self.clear(broker));
    }

    fn left_by(&self, address: &str) -> usize {
        let inner = self.inner();
        let entries = inner.shelves.values().flat_map(|shelf| shelf.entries.values());
        entries.filter(|entry| *entry.node == *address && entry.wanted != Wanted::Nothing).count()
    }
}
