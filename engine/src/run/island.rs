//! An island: transforms that are connected with each other, run as one synchronous piece.
//!
//! Nothing in an island waits, so it needs no queue, no lock and no second task: a batch that enters goes through all of it, in
//! the order of the graph, before the next one does. That makes the order in which a node with several inputs takes them
//! the order of entry, in a live run as in a replay (`docs/adr/0002-islands.md`). Queues lie where something waits: before the
//! sinks, and between the sources and the island.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::dead_letter::{DeadContent, DeadLetter};
use super::exits::{Exit, Outbox};
use super::fan::{Fan, Target};
use super::keep::SinkCut;
use super::slices::{Cut, next_cut};
use super::slot::Slot;
use super::watch::{Port, Watch};
use crate::batch::{Batch, ItemKind, Items};
use crate::duration::Duration;
use crate::node::State;
use crate::series::SeriesId;
use crate::time::Timestamp;

/// Where a source's items enter.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) address: Arc<str>,
    pub(crate) fan: Fan,
    /// Some node is reached from here along two ways: items must go one by one, or the order there would depend on the batches.
    pub(crate) meets_again: bool,
}

/// How much of a batch was taken.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// All of it.
    All,
    /// Not the items from this index on.
    Upto(Batch, usize),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Island {
    pub(super) slots: Vec<Slot>,
    /// Where it goes from there, per slot and output port.
    fans: Vec<Vec<Fan>>,
    pub(super) entries: Vec<Entry>,
    /// The sinks it feeds.
    pub(super) sinks: Vec<Exit>,
    /// Who looks at everything that moves.
    pub(super) watch: Option<Arc<dyn Watch>>,
    /// The least time between a reading and a tick it causes; `None` when nothing ticks.
    lead: Option<Duration>,
    ticks: BTreeSet<(Timestamp, usize)>,
    due: Vec<Option<Timestamp>>,
    inboxes: Vec<Vec<(usize, usize)>>,
    waiting: BTreeSet<usize>,
    batches: Vec<Batch>,
    spare: Vec<Items>,
    /// The number of the event that is taking effect.
    pub(crate) seq: u64,
    /// What moves are last values, and no readings.
    primes: bool,
    pub(crate) outbox: Outbox,
}

impl Island {
    pub(super) fn new(
        slots: Vec<Slot>,
        fans: Vec<Vec<Fan>>,
        entries: Vec<Entry>,
        sinks: Vec<Exit>,
        watch: Option<Arc<dyn Watch>>,
    ) -> Island {
        let mut island = Island {
            sinks,
            watch,
            due: vec![None; slots.len()],
            lead: slots.iter().filter_map(Slot::tick_lead).min(),
            inboxes: slots.iter().map(|_| Vec::new()).collect(),
            slots,
            fans,
            entries,
            ..Island::default()
        };
        (0..island.slots.len()).for_each(|slot| island.ask_tick(slot));
        island.index();
        island
    }

    /// Its nodes and its sinks, to be put together anew.
    pub(super) fn into_pieces(mut self) -> (Vec<Slot>, Vec<Exit>) {
        let entries = self.entries.iter_mut().map(|entry| &mut entry.fan);
        for fan in entries.chain(self.fans.iter_mut().flatten()) {
            fan.drop_index(&self.slots);
        }
        (self.slots, self.sinks)
    }

    /// When the next tick is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.ticks.first().map(|(due, _)| *due)
    }

    /// Takes a batch of a source whose items all take effect without a tick between them. `now` is the time before it.
    pub(crate) fn push(&mut self, entry: usize, now: Timestamp, batch: Batch) {
        self.seq = batch.seq;
        if !self.entries[entry].meets_again || batch.items.len() < 2 {
            self.enter(entry, now, batch);
            return;
        }
        for index in 0..batch.items.len() {
            let items = batch.items.slice(index..index + 1);
            self.enter(
                entry,
                now,
                Batch { items, received: batch.received, seq: batch.seq, end: 0 },
            );
        }
    }

    /// Takes a batch of a source that holds last values, and no readings. No sink gets any of it.
    pub(crate) fn prime(&mut self, entry: usize, now: Timestamp, batch: Batch) {
        self.primes = true;
        self.push(entry, now, batch);
        self.primes = false;
    }

    /// Takes the items of a batch from `start` on in virtual time, with the ticks that fall due before and between them. `clock`
    /// stands before them, and is moved. Stops before the first item that is after `until`; at least one item is taken.
    pub(crate) fn push_virtual(
        &mut self,
        entry: usize,
        clock: &mut Timestamp,
        batch: Batch,
        start: usize,
        until: Option<(Timestamp, bool)>,
    ) -> Pushed {
        let (len, lead) = (batch.items.len(), self.lead);
        let mut at = start;
        while at < len {
            match next_cut(&batch.items, at, *clock, self.next_due(), lead, until) {
                Cut::Tick(due) => {
                    *clock = (*clock).max(due);
                    self.tick(*clock);
                }
                Cut::Upto { end, clock: after } => {
                    let before = std::mem::replace(clock, after);
                    if (at, end) == (0, len) {
                        self.push(entry, before, batch);
                        return Pushed::All;
                    }
                    let items = batch.items.slice(at..end);
                    let received = items.time(0).unwrap_or(after).max(before);
                    self.push(entry, before, Batch { items, received, seq: batch.seq, end: 0 });
                    at = end;
                    let beyond = |(other, inclusive): (Timestamp, bool)| {
                        batch.items.time(at).is_some_and(|time| {
                            let time = time.max(after);
                            time > other || (time == other && !inclusive)
                        })
                    };
                    if until.is_some_and(beyond) {
                        return Pushed::Upto(batch, at);
                    }
                }
            }
        }
        Pushed::All
    }

    /// Lets everything tick that is due.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        while let Some(&(due, slot)) = self.ticks.first().filter(|(due, _)| *due <= now) {
            self.ticks.remove(&(due, slot));
            self.due[slot] = None;
            let done = self.slots[slot].call(now, |node, out| node.tick(now, out));
            if let Err(reason) = done {
                self.complain(slot, now, reason);
            }
            self.collect(slot, now);
            self.ask_tick(slot);
            // A node that wants the same tick again would keep everything else from running.
            if let Some(again) = self.due[slot].filter(|again| *again <= now) {
                self.ticks.remove(&(again, slot));
                let later = now.saturating_add(Duration::from_micros(1));
                self.ticks.insert((later, slot));
                self.due[slot] = Some(later);
            }
            self.drain(now);
        }
    }

    /// The input has ended: lets each node emit what it holds, in the order of the graph.
    pub(crate) fn finish(&mut self, now: Timestamp) {
        for slot in 0..self.slots.len() {
            if let Err(reason) = self.slots[slot].call(now, |node, out| node.finish(now, out)) {
                self.complain(slot, now, reason);
            }
            self.collect(slot, now);
            self.drain(now);
        }
    }

    /// Series give their slots back: each node drops what it keeps of them, in the order of the graph, so that what one still emits
    /// of them the next takes before it drops them too. Series that nodes made from them are put behind them.
    pub(crate) fn forget(&mut self, now: Timestamp, silent: &mut Vec<SeriesId>) {
        for slot in 0..self.slots.len() {
            if let Err(reason) = self.slots[slot].forget(now, silent) {
                self.complain(slot, now, reason);
            }
            self.collect(slot, now);
            self.ask_tick(slot);
            self.drain(now);
        }
        for when in self.sinks.iter_mut().filter_map(|exit| exit.when.as_mut()) {
            when.forget(silent);
        }
        let entries = self.entries.iter_mut().map(|entry| &mut entry.fan);
        entries.chain(self.fans.iter_mut().flatten()).for_each(|fan| fan.forget(silent));
    }

    /// The states of all nodes, by address, as they are.
    pub(crate) fn states(&self) -> Vec<(Arc<str>, State)> {
        let state = |slot: &Slot| (slot.address.clone(), slot.state().unwrap_or_default());
        self.slots.iter().map(state).collect()
    }

    /// As [`Island::states`]; from now on a node that breaks is made anew from there.
    pub(crate) fn snapshot(&mut self) -> Vec<(Arc<str>, State)> {
        let snapshot = |slot: &mut Slot| {
            let state = slot.state();
            slot.keep(state.clone());
            (slot.address.clone(), state.unwrap_or_default())
        };
        self.slots.iter_mut().map(snapshot).collect()
    }

    /// A node that breaks is made anew from the state it began with.
    pub(crate) fn began_with(&mut self, states: &BTreeMap<Arc<str>, State>) {
        for slot in &mut self.slots {
            if let Some(state) = states.get(&slot.address) {
                slot.keep(Some(state.clone()));
            }
        }
    }

    /// Its nodes.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Arc<str>> {
        self.slots.iter().map(|slot| &slot.address)
    }

    /// The sinks as a cut has them.
    pub(crate) fn sink_cuts(&self) -> Vec<SinkCut> {
        let cut = |exit: &Exit| SinkCut {
            address: exit.address.clone(),
            stream: exit.stream,
            sent: exit.sent,
            spool: exit.spool.clone(),
        };
        self.sinks.iter().map(cut).collect()
    }

    /// Gives items to one node, not through an edge.
    pub(crate) fn give(&mut self, address: &str, now: Timestamp, batch: Batch) {
        self.seq = batch.seq;
        if let Some(slot) = self.slots.iter().position(|slot| *slot.address == *address) {
            let index = self.keep(batch);
            self.deliver(Target::Transform { slot, port: 0 }, index);
            self.drain(now);
        } else if let Some(sink) = self.sinks.iter().position(|sink| *sink.address == *address) {
            self.send_out(sink, batch);
        }
    }

    /// Whether a node of that address takes items here.
    pub(crate) fn takes(&self, address: &str) -> bool {
        self.holds(address) || self.sinks.iter().any(|sink| *sink.address == *address)
    }

    /// Whether a node is one of this island.
    pub(crate) fn holds(&self, address: &str) -> bool {
        self.slots.iter().any(|slot| *slot.address == *address)
    }

    /// The node whose tick is due next.
    pub(crate) fn next_to_tick(&self) -> Option<Arc<str>> {
        self.ticks.first().map(|(_, slot)| self.slots[*slot].address.clone())
    }

    /// Fills the ports that somebody looks at, and no others that nobody reads.
    pub(crate) fn look(&mut self) {
        let Some(watch) = &self.watch else { return };
        for (slot, fans) in self.slots.iter_mut().zip(&self.fans) {
            for (port, fan) in fans.iter().enumerate() {
                let wanted =
                    !fan.targets().is_empty() || watch.wants(&slot.address, Port::Output(port));
                slot.outputs.want(port, wanted);
            }
        }
        self.index();
    }

    /// Finds out which node picks which series, where many are fed by one port.
    fn index(&mut self) {
        let entries = self.entries.iter_mut().map(|entry| &mut entry.fan);
        for fan in entries.chain(self.fans.iter_mut().flatten()) {
            fan.index(&self.slots, &self.sinks);
        }
    }

    /// Whether it sends what a sink has already: a replay is not over.
    pub(crate) fn repeats(&self) -> bool {
        let repeats =
            |exit: &Exit| exit.known.iter().any(|known| *known < u64::MAX && *known > exit.sent);
        self.sinks.iter().any(repeats)
    }

    /// What goes to a sink from now on is counted from an offset on, unless it is that far already.
    pub(crate) fn count_from(&mut self, stream: Uuid, end: u64) {
        for exit in self.sinks.iter_mut().filter(|exit| exit.stream == stream) {
            exit.sent = exit.sent.max(end);
        }
    }

    /// The replay is over: from now on nothing is one that a sink has already. Offsets go on behind what the sinks have, which after
    /// a power cut may be more than the journal could repeat.
    pub(crate) fn caught_up(&mut self) {
        for exit in &mut self.sinks {
            let known = exit.known.iter().copied().filter(|known| *known < u64::MAX).max();
            exit.sent = exit.sent.max(known.unwrap_or(0)).max(exit.reach);
            (exit.known, exit.reach) = ([0; 3], 0);
        }
    }

    /// Replaces every node by a new one with its state: what a restart of the host does. Nothing that comes out may depend on it.
    ///
    /// # Errors
    /// A node that cannot be made or does not take its own state.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        for slot in 0..self.slots.len() {
            self.slots[slot].restart()?;
            self.ask_tick(slot);
        }
        Ok(())
    }

    fn enter(&mut self, entry: usize, now: Timestamp, batch: Batch) {
        self.show(&self.entries[entry].address, Port::Output(0), &batch.items);
        let mut fan = std::mem::take(&mut self.entries[entry].fan);
        self.spread(&mut fan, batch);
        self.entries[entry].fan = fan;
        self.drain(now);
    }

    /// Hands a batch to all that it goes to.
    fn spread(&mut self, fan: &mut Fan, batch: Batch) {
        if let [Target::Sink(sink)] = *fan.targets() {
            self.send_out(sink, batch);
            return;
        }
        let divided = match &batch.items {
            Items::Readings(readings) => {
                fan.divide(readings, !self.primes, &self.slots, &self.sinks)
            }
            _ => false,
        };
        let whole = self.keep(batch);
        if !divided {
            for target in fan.targets() {
                self.deliver(*target, whole);
            }
            return;
        }
        for share in fan.shares() {
            let part =
                share.copy(&self.batches[whole], || spare(&mut self.spare, ItemKind::Readings));
            let index = part.map_or(whole, |part| self.keep(part));
            self.deliver(share.target, index);
        }
    }

    fn show(&self, address: &Arc<str>, port: Port, items: &Items) {
        match &self.watch {
            Some(watch) if self.primes => watch.saw_retained(address, port, items),
            Some(watch) => watch.saw(address, port, items),
            None => {}
        }
    }

    fn keep(&mut self, batch: Batch) -> usize {
        self.batches.push(batch);
        self.batches.len() - 1
    }

    fn deliver(&mut self, target: Target, index: usize) {
        match target {
            Target::Transform { slot, port } => {
                self.inboxes[slot].push((port, index));
                self.waiting.insert(slot);
            }
            Target::Sink(sink) => {
                let batch = self.batches[index].clone();
                self.send_out(sink, batch);
            }
        }
    }

    fn send_out(&mut self, sink: usize, batch: Batch) {
        if self.primes {
            return;
        }
        let exit = &mut self.sinks[sink];
        let Some(batch) = exit.take(batch) else { return };
        if let Some(watch) = &self.watch {
            watch.saw(&exit.address, Port::Input, &batch.items);
        }
        self.outbox.put(sink, batch);
    }

    /// Runs every node that has something waiting, the first of the graph first. Targets lie further on in the graph, so this ends.
    fn drain(&mut self, now: Timestamp) {
        while let Some(slot) = self.waiting.pop_first() {
            let mut inbox = std::mem::take(&mut self.inboxes[slot]);
            for (port, index) in inbox.drain(..) {
                self.apply(slot, now, port, index);
            }
            self.inboxes[slot] = inbox;
            self.ask_tick(slot);
        }
        for mut batch in self.batches.drain(..) {
            if self.spare.len() < 16 {
                batch.items.clear();
                self.spare.push(batch.items);
            }
        }
    }

    fn apply(&mut self, slot: usize, now: Timestamp, port: usize, index: usize) {
        let Island { slots, batches, primes, .. } = self;
        let primes = *primes;
        let place = &mut slots[slot];
        let selected = place.when.as_mut().map(|when| {
            let batch = &batches[index];
            Batch {
                items: when.select(&batch.items),
                received: batch.received,
                seq: batch.seq,
                end: 0,
            }
        });
        let batch = selected.as_ref().unwrap_or(&batches[index]);
        if batch.items.is_empty() {
            return;
        }
        if primes {
            if let Err(reason) = place.call(now, |node, out| node.prime(now, port, batch, out)) {
                self.complain(slot, now, reason);
            }
            self.collect(slot, now);
            return;
        }
        place.stats.add_received(batch.items.len());
        if let Err(reason) = place.call(now, |node, out| node.apply(now, port, batch, out)) {
            place.stats.add_rejected(batch.items.len());
            let content = DeadContent::Items(batch.items.clone());
            let letter = DeadLetter { address: place.address.clone(), time: now, reason, content };
            self.outbox.dead.push(letter);
        }
        self.collect(slot, now);
    }

    /// Sends on what a node emitted.
    fn collect(&mut self, slot: usize, now: Timestamp) {
        for port in 0..self.slots[slot].outputs.ports() {
            let filled = self.slots[slot].outputs.items(port).filter(|items| !items.is_empty());
            let Some(kind) = filled.map(Items::kind) else { continue };
            let spare = spare(&mut self.spare, kind);
            let Some(items) = self.slots[slot].outputs.swap(port, spare) else { continue };
            self.show(&self.slots[slot].address, Port::Output(port), &items);
            if !self.primes {
                self.slots[slot].stats.add_emitted(port, items.len());
            }
            let batch = Batch { items, received: now, seq: self.seq, end: 0 };
            let mut fan = std::mem::take(&mut self.fans[slot][port]);
            self.spread(&mut fan, batch);
            self.fans[slot][port] = fan;
        }
        let rejects = self.slots[slot].outputs.take_rejects();
        for reject in rejects {
            self.slots[slot].stats.add_rejected(1);
            let address = self.slots[slot].address.clone();
            let reason = reject.reason.clone();
            let content = DeadContent::Raw(reject);
            self.outbox.dead.push(DeadLetter { address, time: now, reason, content });
        }
    }

    fn complain(&mut self, slot: usize, now: Timestamp, reason: String) {
        let address = self.slots[slot].address.clone();
        let content = DeadContent::Items(Items::Readings(Vec::new()));
        self.outbox.dead.push(DeadLetter { address, time: now, reason, content });
    }

    fn ask_tick(&mut self, slot: usize) {
        let wanted = self.slots[slot].next_tick();
        if wanted == self.due[slot] {
            return;
        }
        if let Some(old) = self.due[slot] {
            self.ticks.remove(&(old, slot));
        }
        if let Some(new) = wanted {
            self.ticks.insert((new, slot));
        }
        self.due[slot] = wanted;
    }
}

/// An empty list of items whose memory was used before, if there is one.
fn spare(spare: &mut Vec<Items>, kind: ItemKind) -> Items {
    match spare.iter().position(|spare| spare.kind() == kind) {
        Some(index) => spare.swap_remove(index),
        None => Items::none(kind),
    }
}
