//! Where a transform puts what it emits.

use super::Reject;
use crate::batch::{ItemKind, Items};
use crate::observation::Observation;
use crate::reading::Reading;
use crate::window::Window;

/// Where a transform puts what it emits. Ports are indices into the declared output ports; 0 is `main`.
#[derive(Debug, Default)]
pub struct Outputs {
    ports: Vec<OutPort>,
    rejects: Vec<Reject>,
}

#[derive(Debug)]
struct OutPort {
    wanted: bool,
    items: Items,
}

/// The index of the port `main`.
pub const MAIN: usize = 0;

impl Outputs {
    /// One port per entry: the kind it carries, and whether anything reads it.
    #[must_use]
    pub fn new(ports: impl IntoIterator<Item = (ItemKind, bool)>) -> Outputs {
        let ports =
            ports.into_iter().map(|(kind, wanted)| OutPort { wanted, items: Items::none(kind) });
        Outputs { ports: ports.collect(), rejects: Vec::new() }
    }

    /// Whether anything reads a port. What is put on a port that nobody reads is dropped, so asking is only needed where making
    /// the item costs something.
    #[inline]
    #[must_use]
    pub fn wants(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| port.wanted)
    }

    /// Says whether anything reads a port.
    pub(crate) fn want(&mut self, port: usize, wanted: bool) {
        if let Some(port) = self.ports.get_mut(port) {
            port.wanted = wanted;
        }
    }

    /// Emits a reading.
    #[inline]
    pub fn reading(&mut self, port: usize, reading: Reading) {
        if let Some(items) = self.readings_mut(port) {
            items.push(reading);
        }
    }

    /// Emits a copy of a reading and gives it, to be changed; `None` where nobody reads the port. The copy is made where it
    /// stays, which is quicker than to move a clone there.
    #[inline]
    pub fn pass(&mut self, port: usize, reading: &Reading) -> Option<&mut Reading> {
        let items = self.readings_mut(port)?;
        items.extend_from_slice(std::slice::from_ref(reading));
        items.last_mut()
    }

    /// Emits a window.
    pub fn window(&mut self, port: usize, window: Window) {
        if let Some(OutPort { wanted: true, items: Items::Windows(items) }) =
            self.ports.get_mut(port)
        {
            items.push(window);
        }
    }

    /// Emits an observation.
    pub fn observation(&mut self, port: usize, observation: Observation) {
        if let Some(OutPort { wanted: true, items: Items::Observations(items) }) =
            self.ports.get_mut(port)
        {
            items.push(observation);
        }
    }

    /// Emits one item of a batch as it is, whatever its kind.
    #[inline]
    pub fn copy(&mut self, port: usize, items: &Items, index: usize) {
        let Some(OutPort { wanted: true, items: into }) = self.ports.get_mut(port) else { return };
        match (into, items) {
            (Items::Readings(into), Items::Readings(from)) => into.extend(from.get(index).cloned()),
            (Items::Windows(into), Items::Windows(from)) => into.extend(from.get(index).cloned()),
            (Items::Observations(into), Items::Observations(from)) => {
                into.extend(from.get(index).cloned());
            }
            _ => debug_assert!(false, "the checker lets one kind through"),
        }
    }

    /// Emits all items of a batch as they are.
    pub fn copy_all(&mut self, port: usize, items: &Items) {
        (0..items.len()).for_each(|index| self.copy(port, items, index));
    }

    /// The readings of a port, for a loop that emits many; `None` where nobody reads it.
    #[inline]
    pub fn readings_mut(&mut self, port: usize) -> Option<&mut Vec<Reading>> {
        match self.ports.get_mut(port) {
            Some(OutPort { wanted: true, items: Items::Readings(items) }) => Some(items),
            _ => None,
        }
    }

    /// Sends something to the dead letters, and goes on with the rest of the batch.
    pub fn reject(&mut self, reject: Reject) {
        self.rejects.push(reject);
    }

    /// What was rejected since the last call.
    pub fn take_rejects(&mut self) -> Vec<Reject> {
        std::mem::take(&mut self.rejects)
    }

    /// What lies on a port; for the engine and for tests.
    #[must_use]
    pub fn items(&self, port: usize) -> Option<&Items> {
        self.ports.get(port).map(|port| &port.items)
    }

    /// Takes what lies on a port and leaves `spare`, emptied, in its place, so that memory is used again.
    pub fn swap(&mut self, port: usize, mut spare: Items) -> Option<Items> {
        let port = self.ports.get_mut(port)?;
        if port.items.is_empty() {
            return None;
        }
        if spare.kind() == port.items.kind() {
            spare.clear();
        } else {
            spare = Items::none(port.items.kind());
        }
        Some(std::mem::replace(&mut port.items, spare))
    }

    /// How many ports there are.
    #[must_use]
    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Forgets everything emitted: what a call that failed left behind.
    pub fn clear(&mut self) {
        self.ports.iter_mut().for_each(|port| port.items.clear());
        self.rejects.clear();
    }
}
