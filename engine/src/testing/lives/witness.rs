//! What leaves the nodes of a host that is restarted: what a replay repeats counts once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::Items;
use crate::context::Host;
use crate::json::write_item;
use crate::run::{Port, Watch};

/// See the module.
#[derive(Debug)]
pub(super) struct Witness {
    host: Arc<Host>,
    ports: Mutex<BTreeMap<(Arc<str>, usize), Passed>>,
}

/// What passed a port.
#[derive(Debug, Default)]
struct Passed {
    /// Each by itself, with its JSON form.
    items: Vec<(Vec<u8>, Items)>,
    /// How often each passed in earlier lives of the host, as far as that was not repeated.
    earlier: HashMap<Vec<u8>, u32>,
}

impl Witness {
    pub(super) fn of(host: &Arc<Host>, ports: impl Iterator<Item = (Arc<str>, usize)>) -> Witness {
        let ports = ports.map(|port| (port, Passed::default()));
        Witness { host: host.clone(), ports: Mutex::new(ports.collect()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Arc<str>, usize), Passed>> {
        // Nothing in here panics half-way.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life of the host begins: what passed may pass again.
    pub(super) fn begin(&self) {
        for passed in self.lock().values_mut() {
            passed.earlier.clear();
            for (json, _) in &passed.items {
                *passed.earlier.entry(json.clone()).or_default() += 1;
            }
        }
    }

    /// What passed a port, once.
    pub(super) fn items(&self, address: &Arc<str>, port: usize) -> Vec<Items> {
        let ports = self.lock();
        let passed = ports.get(&(address.clone(), port));
        passed.iter().flat_map(|passed| &passed.items).map(|(_, item)| item.clone()).collect()
    }
}

impl Watch for Witness {
    fn saw(&self, address: &Arc<str>, port: Port, items: &Items) {
        let Port::Output(port) = port else { return };
        let mut ports = self.lock();
        let Some(passed) = ports.get_mut(&(address.clone(), port)) else { return };
        for index in 0..items.len() {
            let mut json = Vec::new();
            write_item(items, index, &self.host.series, &mut json);
            match passed.earlier.get_mut(&json) {
                Some(left @ 1..) => *left -= 1,
                _ => passed.items.push((json, items.slice(index..index + 1))),
            }
        }
    }

    fn wants(&self, address: &str, port: Port) -> bool {
        matches!(port, Port::Output(port) if self.lock().contains_key(&(address.into(), port)))
    }
}
