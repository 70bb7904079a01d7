//! Whoever looks at what moves: taps that come and go, and the live view.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smollama_engine::batch::Items;
use smollama_engine::control::{Feed, Listener, TAP_BYTES_MAX, feed};
use smollama_engine::run::{Port, Watch};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    /// Someone who looks at everything.
    view: Option<Arc<dyn Watch>>,
    /// How many taps there are: asked for every batch, so without a lock.
    count: AtomicUsize,
    taps: Mutex<Vec<Tap>>,
}

#[derive(Debug)]
struct Tap {
    address: Arc<str>,
    port: Port,
    feed: Feed<Items>,
}

impl Taps {
    pub(crate) fn new(view: Option<Arc<dyn Watch>>) -> Arc<Taps> {
        Arc::new(Taps { view, ..Taps::default() })
    }

    /// Looks at one port from now on.
    pub(crate) fn open(&self, address: Arc<str>, port: Port) -> Listener<Items> {
        let (feed, listener) = feed(TAP_BYTES_MAX);
        let mut taps = self.lock();
        taps.retain(|tap| tap.feed.is_watched());
        taps.push(Tap { address, port, feed });
        self.count.store(taps.len(), Ordering::Relaxed);
        listener
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Tap>> {
        self.taps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Taps {
    fn saw(&self, address: &Arc<str>, port: Port, items: &Items) {
        if let Some(view) = &self.view {
            view.saw(address, port, items);
        }
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut gone = false;
        let mut taps = self.lock();
        for tap in taps.iter().filter(|tap| tap.port == port && tap.address == *address) {
            gone |= !tap.feed.offer(items.bytes(), items.len() as u64, || items.clone());
        }
        if gone {
            taps.retain(|tap| tap.feed.is_watched());
            self.count.store(taps.len(), Ordering::Relaxed);
        }
    }

    /// Taps show readings: a recording made of them holds no others.
    fn saw_retained(&self, address: &Arc<str>, port: Port, items: &Items) {
        if let Some(view) = &self.view {
            view.saw_retained(address, port, items);
        }
    }

    fn wants(&self, address: &str, port: Port) -> bool {
        let tapped = || self.lock().iter().any(|tap| tap.port == port && *tap.address == *address);
        self.view.as_ref().is_some_and(|view| view.wants(address, port)) || tapped()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};
    use smollama_engine::batch::ItemKind;
    use smollama_engine::control::Piece;

    use super::*;

    #[test]
    fn a_tap_sees_its_port_and_costs_nothing_once_it_is_gone() {
        let taps = Taps::new(None);
        let items = Items::none(ItemKind::Readings);
        let (here, there): (Arc<str>, Arc<str>) = ("p/a".into(), "p/b".into());
        let mut listener = taps.open(here.clone(), Port::Output(1));
        assert!(taps.wants("p/a", Port::Output(1)) && !taps.wants("p/a", Port::Output(0)));
        taps.saw(&here, Port::Output(0), &items);
        taps.saw(&there, Port::Output(1), &items);
        assert!(listener.next().now_or_never().is_none());
        taps.saw(&here, Port::Output(1), &items);
        assert!(matches!(listener.next().now_or_never(), Some(Some(Piece::Kept(_)))));
        drop(listener);
        taps.saw(&here, Port::Output(1), &items);
        assert_eq!(taps.count.load(Ordering::Relaxed), 0);
        assert!(!taps.wants("p/a", Port::Output(1)));
    }
}
