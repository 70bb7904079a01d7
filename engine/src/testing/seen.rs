//! What passed where, while a test ran.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::Items;
use crate::run::{Port, Watch};

/// Where items pass; sinks come first, then output ports in order.
type Place = (Arc<str>, Option<usize>);

fn place(address: &Arc<str>, port: Port) -> Place {
    match port {
        Port::Input => (address.clone(), None),
        Port::Output(port) => (address.clone(), Some(port)),
    }
}

/// Keeps what passes.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether all places are looked at, or only those in `places`.
    everywhere: bool,
    places: Mutex<BTreeMap<Place, Vec<Items>>>,
}

impl Seen {
    /// Keeps what passes these places.
    pub(super) fn at(places: impl IntoIterator<Item = (Arc<str>, Port)>) -> Seen {
        let places = places.into_iter().map(|(address, port)| (place(&address, port), Vec::new()));
        Seen { everywhere: false, places: Mutex::new(places.collect()) }
    }

    /// Keeps everything.
    pub(super) fn everything() -> Seen {
        Seen { everywhere: true, places: Mutex::default() }
    }

    /// What passed a place.
    pub(super) fn items(&self, address: &Arc<str>, port: Port) -> Vec<Items> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get_mut(&place(address, port)).cloned().unwrap_or_default()
    }

    /// What passed anywhere, by address and port.
    pub(super) fn take(&self) -> BTreeMap<Place, Vec<Items>> {
        std::mem::take(&mut *self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watch for Seen {
    fn saw(&self, address: &Arc<str>, port: Port, items: &Items) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let key = place(address, port);
        match places.get_mut(&key) {
            Some(kept) => kept.push(items.clone()),
            None if self.everywhere => drop(places.insert(key, vec![items.clone()])),
            None => {}
        }
    }
}
