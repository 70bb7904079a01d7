//! What the nodes of a graph begin with: what a checkpoint, or the graph before an apply, left of each, by its address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::keep::{Checkpoint, Event, Journal, PartCut};
use super::outlets::Outlets;
use super::part::{Inlet, LivePart, Yielded};
use super::queue::Giver;
use super::slot::Slot;
use super::virtual_time::VirtualSource;
use crate::batch::Batch;
use crate::node::{Position, State};
use crate::time::Timestamp;

/// How far a sink's stream has come.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) id: Uuid,
    pub(crate) sent: u64,
    pub(crate) spool: Option<String>,
    pub(crate) known: [u64; 3],
}

impl Stream {
    /// A new one.
    pub(crate) fn begin() -> Stream {
        Stream { id: Uuid::new_v4(), sent: 0, spool: None, known: [0; 3] }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Heritage {
    /// Where each node was: the number of the last event that had taken effect, and its time.
    pub(crate) places: BTreeMap<Arc<str>, (u64, Timestamp)>,
    pub(crate) inlets: BTreeMap<Arc<str>, Inlet>,
    /// How many items behind its position a recording had been taken.
    pub(crate) taken: BTreeMap<Arc<str>, u64>,
    /// Recordings that have come to their end.
    pub(crate) ended: BTreeSet<Arc<str>>,
    pub(crate) states: BTreeMap<Arc<str>, State>,
    pub(crate) streams: BTreeMap<Arc<str>, Stream>,
    /// Confirmed offsets found in the journal.
    pub(crate) confirmed: BTreeMap<Arc<str>, u64>,
    /// What lives on as it is.
    pub(crate) slots: BTreeMap<Arc<str>, Slot>,
    pub(crate) virtual_sources: BTreeMap<Arc<str>, VirtualSource>,
    pub(crate) givers: BTreeMap<Arc<str>, Giver>,
    /// What a full queue did not take yet.
    pub(crate) unsent: Vec<(Arc<str>, Batch)>,
    /// What the journal held when this life of the host began.
    pub(crate) replay_until: u64,
    /// Parts whose sources had ended and that had emitted what they held.
    pub(crate) finished: BTreeSet<Arc<str>>,
}

impl Heritage {
    /// What a checkpoint and the journal behind it say.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn of(checkpoint: &Checkpoint, journal: &dyn Journal) -> std::io::Result<Heritage> {
        let mut heritage = Heritage::default();
        for cut in &checkpoint.cuts {
            heritage.take_cut(cut);
        }
        let first = heritage.inlets.values().map(|inlet| inlet.done).min();
        // What lies before the checkpoint of every part is superfluous, even where it has not been freed yet.
        let mut reader = journal.read_after(first.unwrap_or(checkpoint.seq))?;
        // Parallel to the replay: what a replay will make of it does not matter here.
        let mut positions: HashMap<Arc<str>, Position> = HashMap::new();
        while let Some(record) = reader.next()? {
            match record.event {
                Event::Items { source, position: Some(position), .. } => {
                    if heritage.inlets.get(&source).is_none_or(|inlet| record.seq > inlet.done) {
                        positions.insert(source, position);
                    }
                }
                Event::Confirmed { sink, end } => drop(heritage.confirmed.insert(sink, end)),
                _ => {}
            }
        }
        for (source, position) in positions {
            let inlet = heritage.inlets.entry(source.clone()).or_insert_with(|| Inlet {
                address: source,
                done: checkpoint.seq,
                position: None,
            });
            inlet.position = Some(position);
        }
        heritage.replay_until = journal.last_seq();
        Ok(heritage)
    }

    fn take_cut(&mut self, cut: &PartCut) {
        let place = (cut.seq, cut.now);
        for source in &cut.sources {
            let address = &source.address;
            self.places.insert(address.clone(), place);
            self.taken.insert(address.clone(), source.taken);
            if source.ended {
                self.ended.insert(address.clone());
            }
            let inlet = Inlet {
                address: address.clone(),
                done: source.done,
                position: source.position.clone(),
            };
            self.inlets.insert(address.clone(), inlet);
        }
        for (address, state) in &cut.states {
            self.places.insert(address.clone(), place);
            self.states.insert(address.clone(), state.clone());
        }
        for sink in &cut.sinks {
            self.places.insert(sink.address.clone(), place);
            let (id, spool) = (sink.stream, sink.spool.clone());
            let stream = Stream { id, sent: sink.sent, spool, known: [0; 3] };
            self.streams.insert(sink.address.clone(), stream);
        }
    }

    /// What a part that yielded had.
    pub(crate) fn take(&mut self, part: Yielded) {
        match part {
            Yielded::Live(part) => {
                let replay_until = part.replay_until;
                let LivePart { mut island, inlets, mut outlets, seq, now, finished, .. } = *part;
                let place = (seq, now);
                self.replay_until = self.replay_until.max(replay_until);
                for inlet in inlets {
                    let address = inlet.address.clone();
                    self.places.insert(address.clone(), place);
                    if finished {
                        self.finished.insert(address.clone());
                    }
                    self.inlets.insert(address, inlet);
                }
                let addresses = outlets_of(&outlets);
                let ungiven = outlets.ungiven(&mut island.outbox);
                self.take_island(island, place);
                self.take_outlets(outlets, ungiven, &addresses);
            }
            Yielded::Virtual(part) => {
                let place = (part.island.seq, part.clock.unwrap_or(Timestamp::MIN));
                let mut part = *part;
                for source in part.sources {
                    let (address, cut) = (source.address.clone(), source.cut(part.finished));
                    self.places.insert(address.clone(), place);
                    self.taken.insert(address.clone(), cut.taken);
                    let inlet =
                        Inlet { address: address.clone(), done: cut.done, position: cut.position };
                    self.inlets.insert(address, inlet);
                    if part.finished {
                        self.finished.insert(source.address.clone());
                    }
                    self.virtual_sources.insert(source.address.clone(), source);
                }
                let addresses = outlets_of(&part.outlets);
                let ungiven = part.outlets.ungiven(&mut part.island.outbox);
                self.take_island(part.island, place);
                self.take_outlets(part.outlets, ungiven, &addresses);
            }
        }
    }

    fn take_island(&mut self, island: super::island::Island, place: (u64, Timestamp)) {
        let (slots, exits) = island.into_pieces();
        for slot in slots {
            self.places.insert(slot.address.clone(), place);
            self.slots.insert(slot.address.clone(), slot);
        }
        for exit in exits {
            self.places.insert(exit.address.clone(), place);
            let stream =
                Stream { id: exit.stream, sent: exit.sent, spool: exit.spool, known: exit.known };
            self.streams.insert(exit.address, stream);
        }
    }

    fn take_outlets(
        &mut self,
        outlets: Outlets,
        ungiven: Vec<(usize, Batch)>,
        addresses: &[Arc<str>],
    ) {
        self.unsent
            .extend(ungiven.into_iter().map(|(sink, batch)| (addresses[sink].clone(), batch)));
        for outlet in outlets.sinks {
            self.givers.insert(outlet.address, outlet.queue);
        }
    }

    /// Gives what belonged to addresses to others: nodes were renamed, maybe in a circle.
    pub(crate) fn rename_all(&mut self, names: &BTreeMap<Arc<str>, Arc<str>>) {
        fn moved<T>(map: &mut BTreeMap<Arc<str>, T>, names: &BTreeMap<Arc<str>, Arc<str>>) {
            let taken: Vec<_> = names
                .iter()
                .filter_map(|(old, new)| Some((new.clone(), map.remove(old)?)))
                .collect();
            map.extend(taken);
        }
        moved(&mut self.places, names);
        moved(&mut self.inlets, names);
        moved(&mut self.taken, names);
        moved(&mut self.states, names);
        moved(&mut self.streams, names);
        moved(&mut self.confirmed, names);
        moved(&mut self.slots, names);
        moved(&mut self.virtual_sources, names);
        moved(&mut self.givers, names);
        for (address, inlet) in &mut self.inlets {
            inlet.address = address.clone();
        }
        for (address, slot) in &mut self.slots {
            slot.address = address.clone();
        }
        for (address, source) in &mut self.virtual_sources {
            source.address = address.clone();
        }
        for (address, _) in &mut self.unsent {
            if let Some(new) = names.get(address) {
                *address = new.clone();
            }
        }
    }

    /// Where a part with these nodes stands: as far as the furthest of them.
    pub(crate) fn place<'a>(
        &self,
        nodes: impl Iterator<Item = &'a Arc<str>>,
    ) -> Option<(u64, Timestamp)> {
        let places: Vec<_> = nodes.filter_map(|node| self.places.get(node)).copied().collect();
        let seq = places.iter().map(|(seq, _)| *seq).max()?;
        let now = places.iter().map(|(_, now)| *now).max()?;
        Some((seq, now))
    }
}

fn outlets_of(outlets: &Outlets) -> Vec<Arc<str>> {
    outlets.sinks.iter().map(|outlet| outlet.address.clone()).collect()
}
