//! What the nodes of a graph begin with: what a checkpoint, or the graph before an apply, left of each, by its address.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::census::Census;
use super::command::Yielded;
use super::inbox::{Arrival, Reached, To};
use super::keep::{Checkpoint, Event, Journal, PartCut};
use super::outlets::Outlets;
use super::part::{Inlet, LivePart};
use super::queue::Giver;
use super::slot::Slot;
use super::virtual_time::VirtualSource;
use crate::batch::Batch;
use crate::node::State;
use crate::series::SeriesTable;
use crate::time::Timestamp;

/// How far a sink's stream has come.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) id: Uuid,
    pub(crate) sent: u64,
    pub(crate) spool: Option<String>,
    pub(crate) known: [u64; 3],
    /// The largest offset of which the sink has anything ([`crate::node::Sink::reach`]).
    pub(crate) reach: u64,
    /// Of a stream that began in an earlier life of the host: an offset up to which it is known to have come.
    pub(crate) former: Option<u64>,
}

impl Stream {
    /// A new one.
    pub(crate) fn begin() -> Stream {
        Stream { id: Uuid::new_v4(), sent: 0, spool: None, known: [0; 3], reach: 0, former: None }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Heritage {
    /// What nothing is known of begins behind the event of this number.
    pub(crate) begin: u64,
    /// Where each node was: the number of the last event that had taken effect, and its time.
    pub(crate) places: BTreeMap<Arc<str>, (u64, Timestamp)>,
    pub(crate) inlets: BTreeMap<Arc<str>, Inlet>,
    /// How far what the journal holds of a source goes.
    pub(crate) entered: BTreeMap<Arc<str>, Reached>,
    /// Sources of which the journal holds what their part has not taken yet.
    pub(crate) lagging: BTreeSet<Arc<str>>,
    /// Sources that have come to their end.
    pub(crate) ended: BTreeSet<Arc<str>>,
    pub(crate) states: BTreeMap<Arc<str>, State>,
    pub(crate) streams: BTreeMap<Arc<str>, Stream>,
    /// Confirmed offsets found in the journal, by stream.
    pub(crate) confirmed: BTreeMap<Uuid, u64>,
    /// Cuts found in the journal, by a node of the part.
    pub(crate) cuts: BTreeMap<Arc<str>, VecDeque<u64>>,
    /// What lives on as it is.
    pub(crate) slots: BTreeMap<Arc<str>, Slot>,
    pub(crate) virtual_sources: BTreeMap<Arc<str>, VirtualSource>,
    pub(crate) givers: BTreeMap<Arc<str>, Giver>,
    /// What a full queue did not take yet.
    pub(crate) unsent: Vec<(Arc<str>, Batch)>,
    /// What was given to single nodes and not taken yet.
    pub(crate) strays: Vec<Arrival>,
    /// What the journal held when this life of the host began.
    pub(crate) replay_until: u64,
    /// Sources of parts that had emitted what they held.
    pub(crate) finished: BTreeSet<Arc<str>>,
}

impl Heritage {
    /// What a checkpoint and the journal behind it say. Without a checkpoint all that the journal holds is behind it.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn of(
        checkpoint: Option<&Checkpoint>,
        journal: &dyn Journal,
    ) -> std::io::Result<Heritage> {
        let mut heritage = Heritage { replay_until: journal.last_seq(), ..Heritage::default() };
        for cut in checkpoint.iter().flat_map(|checkpoint| &checkpoint.cuts) {
            heritage.take_cut(cut);
        }
        if checkpoint.is_some() {
            heritage.begin = journal.last_seq();
        }
        let keys: BTreeMap<Arc<str>, Inlet> =
            heritage.inlets.values().map(|inlet| (inlet.key.clone(), inlet.clone())).collect();
        let first = keys.values().map(|inlet| inlet.done).min();
        // What lies before the checkpoint of every part is superfluous, even where it has not been freed yet.
        let mut reader = journal
            .read_after(first.unwrap_or(checkpoint.map_or(0, |checkpoint| checkpoint.seq)))?;
        while let Some(record) = reader.next()? {
            match record.event {
                Event::Items { source, items, position, .. } => {
                    let inlet = keys.get(&source);
                    if inlet.is_some_and(|inlet| record.seq <= inlet.done) {
                        continue;
                    }
                    let begun = || inlet.map(|inlet| inlet.reached.clone()).unwrap_or_default();
                    let address = inlet.map_or(source, |inlet| inlet.address.clone());
                    let entered = heritage.entered.entry(address).or_insert_with(begun);
                    entered.pass(items.len(), position.as_ref());
                }
                // The last word counts: a power cut may have made less of it.
                Event::Confirmed { stream, end } => drop(heritage.confirmed.insert(stream, end)),
                Event::Cut { node, seq } => {
                    if heritage.places.get(&node).is_none_or(|(place, _)| seq > *place) {
                        heritage.cuts.entry(node).or_default().push_back(seq);
                    }
                }
                Event::Resumed { stream, end } => {
                    let mut streams = heritage.streams.values_mut();
                    if let Some(resumed) = streams.find(|known| known.id == stream) {
                        resumed.former = resumed.former.max(Some(end));
                    }
                }
                Event::Tick { .. } | Event::Forgotten { .. } => {}
            }
        }
        Ok(heritage)
    }

    /// Gives the series that the states speak of their slots, and the sources their censuses.
    pub(crate) fn take_series(&mut self, table: &SeriesTable) {
        for (address, inlet) in &mut self.inlets {
            let Some(state) = self.states.remove(address) else { continue };
            match Census::restored(&state, table, address) {
                Ok(census) => inlet.census = census,
                Err(error) => tracing::error!(
                    node = %address,
                    "when its series spoke is not known, so they keep their slots until they speak: {error}"
                ),
            }
        }
        for id in self.states.values_mut().flat_map(|state| &mut state.series) {
            // In the process that wrote them, they can have given them back since.
            *id = table.enter_of_state(*id);
        }
    }

    fn take_cut(&mut self, cut: &PartCut) {
        let place = (cut.seq, cut.now);
        for source in &cut.sources {
            let address = &source.address;
            self.places.insert(address.clone(), place);
            if source.ended {
                self.ended.insert(address.clone());
                self.finished.insert(address.clone());
            }
            let inlet = Inlet {
                address: address.clone(),
                key: source.key.clone(),
                done: source.done,
                reached: Reached { position: source.position.clone(), taken: source.taken },
                census: Census::default(),
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
            let (sent, former) = (sink.sent, Some(sink.sent));
            let stream = Stream { id, sent, spool, known: [0; 3], reach: 0, former };
            self.streams.insert(sink.address.clone(), stream);
        }
    }

    /// What a part that yielded had.
    pub(crate) fn take(&mut self, part: Yielded) {
        match part {
            Yielded::Live(part) => {
                let LivePart { mut island, inlets, mut outlets, inbox, seq, now, finished, .. } =
                    *part;
                let place = (seq, now);
                self.strays.extend(inbox.take_strays());
                let lagging = inbox.is_lagging();
                for (inlet, ended) in inlets.into_iter().zip(inbox.ended()) {
                    if lagging {
                        self.lagging.insert(inlet.address.clone());
                    }
                    self.take_inlet(inlet, place, ended, finished);
                }
                let ungiven = outlets.ungiven(&mut island.outbox);
                self.take_island(island, place);
                self.take_outlets(outlets, ungiven);
            }
            Yielded::Virtual(part) => {
                let mut part = *part;
                let place = (part.island.seq, part.clock.unwrap_or(Timestamp::MIN));
                for source in part.sources {
                    let cut = source.cut(part.finished, self.begin);
                    let inlet = Inlet {
                        address: cut.address,
                        key: cut.key,
                        done: cut.done,
                        reached: Reached { position: cut.position, taken: cut.taken },
                        census: Census::default(),
                    };
                    self.virtual_sources.insert(inlet.address.clone(), source);
                    self.take_inlet(inlet, place, cut.ended, part.finished);
                }
                let ungiven = part.outlets.ungiven(&mut part.island.outbox);
                self.take_island(part.island, place);
                self.take_outlets(part.outlets, ungiven);
            }
        }
    }

    fn take_inlet(&mut self, inlet: Inlet, place: (u64, Timestamp), ended: bool, finished: bool) {
        let address = inlet.address.clone();
        self.places.insert(address.clone(), place);
        if ended {
            self.ended.insert(address.clone());
        }
        if finished {
            self.finished.insert(address.clone());
        }
        self.inlets.insert(address, inlet);
    }

    fn take_island(&mut self, island: super::island::Island, place: (u64, Timestamp)) {
        let (slots, exits) = island.into_pieces();
        for slot in slots {
            self.places.insert(slot.address.clone(), place);
            self.slots.insert(slot.address.clone(), slot);
        }
        for exit in exits {
            self.places.insert(exit.address.clone(), place);
            let (id, sent, known, reach) = (exit.stream, exit.sent, exit.known, exit.reach);
            let stream = Stream { id, sent, spool: exit.spool, known, reach, former: None };
            self.streams.insert(exit.address, stream);
        }
    }

    fn take_outlets(&mut self, outlets: Outlets, ungiven: Vec<(usize, Batch)>) {
        let of = |(sink, batch): (usize, Batch)| (outlets.sinks[sink].address.clone(), batch);
        self.unsent.extend(ungiven.into_iter().map(of));
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
        fn renamed(set: &mut BTreeSet<Arc<str>>, names: &BTreeMap<Arc<str>, Arc<str>>) {
            let taken: Vec<_> = names
                .iter()
                .filter(|(old, _)| set.remove(*old))
                .map(|(_, new)| new.clone())
                .collect();
            set.extend(taken);
        }
        moved(&mut self.places, names);
        moved(&mut self.inlets, names);
        moved(&mut self.entered, names);
        moved(&mut self.states, names);
        moved(&mut self.streams, names);
        moved(&mut self.slots, names);
        moved(&mut self.virtual_sources, names);
        moved(&mut self.givers, names);
        renamed(&mut self.lagging, names);
        renamed(&mut self.ended, names);
        renamed(&mut self.finished, names);
        for (address, inlet) in &mut self.inlets {
            inlet.address = address.clone();
        }
        for (address, slot) in &mut self.slots {
            slot.address = address.clone();
        }
        for (address, source) in &mut self.virtual_sources {
            source.address = address.clone();
        }
        let strays = self.strays.iter_mut().filter_map(|stray| match &mut stray.to {
            To::Node(address) => Some(address),
            To::Entry(_) => None,
        });
        for address in self.unsent.iter_mut().map(|(address, _)| address).chain(strays) {
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
