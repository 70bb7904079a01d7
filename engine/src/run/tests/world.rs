//! The world outside that the nodes of a test speak to. It outlives the host.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::context::{Context, Host};

/// The world outside.
#[derive(Debug, Default)]
pub(super) struct World {
    inner: Mutex<Outside>,
    changed: Notify,
    /// Held by every node there is.
    alive: Arc<()>,
}

#[derive(Debug, Default)]
pub(super) struct Outside {
    /// Nodes that are made now speak to others than those they name: see [`World::called`].
    pub(super) aside: bool,
    pub(super) senders: BTreeMap<String, Sender>,
    pub(super) stores: BTreeMap<String, Store>,
}

/// Whoever sends to a `feed`: what was not acknowledged it sends again to the next host.
#[derive(Debug, Default)]
pub(super) struct Sender {
    pub(super) waiting: VecDeque<Vec<i64>>,
    pub(super) flying: VecDeque<Vec<i64>>,
    pub(super) acked: Vec<i64>,
    /// Nothing more will come.
    pub(super) ended: bool,
    /// It was asked, and had nothing.
    pub(super) made: u32,
    /// How many of those that were made were closed.
    pub(super) closed: u32,
}

/// Where a `stash` puts things.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) mode: Mode,
    /// What it holds, in the order it came.
    pub(super) kept: Vec<Item>,
    /// So much of that survives a power cut.
    pub(super) synced: usize,
    pub(super) made: u32,
    pub(super) closed: u32,
    pub(super) tries: u32,
}

/// Something kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) stream: Option<Uuid>,
    /// The offset after it.
    pub(super) end: u64,
    pub(super) series: String,
    pub(super) value: i64,
    /// Which sink wrote it: they are numbered as they are made.
    pub(super) by: u32,
}

/// How a store behaves.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Fine,
    /// Every call says "not now".
    Fails,
    /// No call returns.
    Hangs,
    /// A write takes so many milliseconds.
    Slow(u64),
    /// A write of this panics.
    PanicsAt(i64),
    /// So many further writes panic.
    Panics(u32),
    /// A write of this is refused.
    Rejects(i64),
    /// Writes are fine; what makes them lasting is not.
    FlushFails,
    /// So many further flushes panic.
    FlushPanics(u32),
    /// Only the last call fails.
    CloseFails,
}

impl World {
    /// The one that the nodes of a host speak to.
    pub(super) fn of(host: &Host) -> Arc<World> {
        let made = host.leases.lease("world", || Ok::<_, ()>(World::default()));
        made.unwrap_or_default()
    }

    /// A node holds this for as long as it lives.
    pub(super) fn alive(&self) -> Arc<()> {
        self.alive.clone()
    }

    /// How many nodes there are.
    pub(super) fn population(&self) -> usize {
        Arc::strong_count(&self.alive) - 1
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Outside> {
        // A node that panicked did so on purpose.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom a node speaks to: whom it names, or the one of its own name.
    pub(super) fn called(&self, name: &str, context: &Context) -> String {
        let own = || context.address.rsplit('/').next().map(str::to_owned);
        let name = Some(name.to_owned()).filter(|name| !name.is_empty()).or_else(own);
        let name = name.expect("an address has a name");
        if self.lock().aside { format!("aside:{name}") } else { name }
    }

    /// Something is sent, in one batch.
    pub(super) fn send(&self, sender: &str, values: impl IntoIterator<Item = i64>) {
        let values: Vec<i64> = values.into_iter().collect();
        self.lock().senders.entry(sender.into()).or_default().waiting.push_back(values);
        self.changed.notify_waiters();
    }

    pub(super) fn end(&self, sender: &str) {
        self.lock().senders.entry(sender.into()).or_default().ended = true;
        self.changed.notify_waiters();
    }

    pub(super) fn set(&self, store: &str, mode: Mode) {
        self.lock().stores.entry(store.into()).or_default().mode = mode;
        self.changed.notify_waiters();
    }

    pub(super) fn acked(&self, sender: &str) -> Vec<i64> {
        self.lock().senders.get(sender).map(|sender| sender.acked.clone()).unwrap_or_default()
    }

    pub(super) fn kept(&self, store: &str) -> Vec<Item> {
        self.lock().stores.get(store).map(|store| store.kept.clone()).unwrap_or_default()
    }

    /// The values in a store, in the order they came.
    pub(super) fn values(&self, store: &str) -> Vec<i64> {
        self.kept(store).into_iter().map(|item| item.value).collect()
    }

    /// A power cut takes what was not synced.
    pub(super) fn cut_power(&self) {
        for store in self.lock().stores.values_mut() {
            store.kept.truncate(store.synced);
        }
    }

    pub(super) fn with_store<T>(&self, name: &str, work: impl FnOnce(&mut Store) -> T) -> T {
        work(self.lock().stores.entry(name.into()).or_default())
    }

    pub(super) async fn until<T>(&self, mut find: impl FnMut(&mut Outside) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = find(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}
