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
    /// Each by itself.
    items: Vec<Items>,
    /// How often each passed, by its JSON form.
    times: HashMap<Vec<u8>, Times>,
    /// How many lives of the host began.
    lives: u32,
}

/// How often an item passed.
#[derive(Debug, Default, Clone, Copy)]
struct Times {
    /// At most in any life.
    in_all: u32,
    /// In this life.
    here: u32,
    life: u32,
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
            passed.lives += 1;
        }
    }

    /// Whether it looks at any port.
    pub(super) fn looks(&self) -> bool {
        !self.lock().is_empty()
    }

    /// What passed a port, once.
    pub(super) fn items(&self, address: &Arc<str>, port: usize) -> Vec<Items> {
        let ports = self.lock();
        let passed = ports.get(&(address.clone(), port));
        passed.map(|passed| passed.items.clone()).unwrap_or_default()
    }
}

impl Watch for Witness {
    fn saw(&self, address: &Arc<str>, port: Port, items: &Items) {
        let Port::Output(port) = port else { return };
        let mut ports = self.lock();
        let Some(passed) = ports.get_mut(&(address.clone(), port)) else { return };
        let Passed { items: all, times, lives } = passed;
        for index in 0..items.len() {
            let mut json = Vec::new();
            write_item(items, index, &self.host.series, &mut json);
            let times = times.entry(json).or_default();
            if times.life != *lives {
                *times = Times { here: 0, life: *lives, ..*times };
            }
            times.here += 1;
            if times.here > times.in_all {
                times.in_all = times.here;
                all.push(items.slice(index..index + 1));
            }
        }
    }

    fn wants(&self, address: &str, port: Port) -> bool {
        matches!(port, Port::Output(port) if self.lock().contains_key(&(address.into(), port)))
    }
}
