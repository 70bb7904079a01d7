//! The subscriptions that a broker keeps for this host over restarts: those that nobody wants any more are given back, so that the broker
//! does not keep messages for ever that nobody takes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use tokio::sync::futures::Notified;

use super::file::Line;
use super::{Outbox, Shelf};
use crate::io::mqtt::Broker;

/// The filters that a broker was asked for and that were not given back, in this run or an earlier one.
#[derive(Clone)]
pub(in crate::io::mqtt) struct Filters {
    outbox: Arc<Outbox>,
    broker: Arc<str>,
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filters of {}", self.broker)
    }
}

impl Filters {
    pub(in crate::io::mqtt) fn new(outbox: Arc<Outbox>, broker: &str) -> Filters {
        Filters { outbox, broker: broker.into() }
    }

    /// All of them.
    pub(in crate::io::mqtt) fn all(&self) -> BTreeSet<String> {
        let inner = self.outbox.inner();
        inner.shelves.get(&self.broker).map(|shelf| shelf.filters.clone()).unwrap_or_default()
    }

    /// Some are asked for. Once this returns that survives a power cut.
    pub(in crate::io::mqtt) async fn ask(&self, filters: impl Iterator<Item = &String>) {
        self.change(
            filters,
            |shelf, filter| shelf.filters.insert(filter.clone()),
            |broker, filter| Line::Asked { broker, filter },
        )
        .await;
    }

    /// The broker does not have these any more.
    pub(in crate::io::mqtt) async fn gone(&self, filters: impl Iterator<Item = &String>) {
        self.change(
            filters,
            |shelf, filter| shelf.filters.remove(filter),
            |broker, filter| Line::GivenBack { broker, filter },
        )
        .await;
    }

    async fn change(
        &self,
        filters: impl Iterator<Item = &String>,
        change: fn(&mut Shelf, &String) -> bool,
        line: fn(String, String) -> Line,
    ) {
        let some = {
            let mut inner = self.outbox.inner();
            let shelf = inner.shelves.entry(self.broker.clone()).or_default();
            let lines: Vec<Line> = filters
                .filter(|filter| change(shelf, filter))
                .map(|filter| line(self.broker.to_string(), filter.clone()))
                .collect();
            let some = !lines.is_empty();
            self.outbox.note(lines);
            some
        };
        if some {
            self.outbox.write().await;
            self.outbox.changed.notify_waiters();
        }
    }

    /// The connection ended before these were given back.
    pub(in crate::io::mqtt) fn are_left(&self) {
        self.outbox.clear(&self.broker);
    }
}

impl Outbox {
    /// Gives back what is left with a broker that no node takes anything from any more.
    pub(super) fn clear(self: &Arc<Self>, broker: &Arc<str>) {
        let mut inner = self.inner();
        let Some(shelf) = inner.shelves.get_mut(broker) else { return };
        let is_due = !shelf.filters.is_empty() && !shelf.clearing;
        if is_due && !self.host.leases.stopping().is_cancelled() {
            shelf.clearing = true;
            tokio::spawn(clear(self.clone(), broker.clone()));
        }
    }

    fn has_filters(&self, broker: &str) -> bool {
        let inner = self.inner();
        inner.shelves.get(broker).is_some_and(|shelf| !shelf.filters.is_empty())
    }

    fn change(&self) -> Notified<'_> {
        self.changed.notified()
    }
}

/// Holds a broker that nobody takes anything from until nothing is left there.
async fn clear(outbox: Arc<Outbox>, name: Arc<str>) {
    let stopping = outbox.host.leases.stopping();
    // One that config.yaml knows no more cannot be reached.
    if let Ok(broker) = Broker::lease(Some(&name), &outbox.host)
        && !broker.subscriber.has_takers()
    {
        broker.begin_to_subscribe();
        loop {
            let changed = outbox.change();
            tokio::pin!(changed);
            changed.as_mut().enable();
            // Who comes meanwhile has the same connection.
            if !outbox.has_filters(&name) || broker.subscriber.has_takers() {
                break;
            }
            tokio::select! {
                () = changed => {}
                () = stopping.cancelled() => break,
            }
        }
    }
    if let Some(shelf) = outbox.inner().shelves.get_mut(&name) {
        shelf.clearing = false;
    }
}
