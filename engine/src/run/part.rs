//! A connected part of the graph in real time: takes what entered in the order of its numbers, lets nodes tick, and can be told to
//! let a barrier pass or to yield to a changed graph.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::census::Census;
use super::command::{Again, Command, Wires, Yielded};
use super::give_back::Sweeps;
use super::inbox::{Arrival, Found, Inbox, Ledger, NoRoom, Reached, To};
use super::island::Island;
use super::keep::{Event, JournalReader, PartCut, Record, SourceCut};
use super::outlets::Outlets;
use crate::batch::{Batch, Items};
use crate::clock::Clock;
use crate::context::Host;
use crate::node::State;
use crate::time::Timestamp;

/// How many records of the journal are taken before others get their turn.
const RECORDS_AT_ONCE: usize = 256;
/// How long a tick waits for room in the journal before it looks again: nobody tells when a checkpoint has freed some.
const ROOM_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
/// How long a journal that cannot be read is left alone.
const READ_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// A source, as its part sees it.
#[derive(Debug, Clone)]
pub(crate) struct Inlet {
    pub(crate) address: Arc<str>,
    /// What it is called in the journal.
    pub(crate) key: Arc<str>,
    /// All of its events up to this number have taken effect.
    pub(crate) done: u64,
    /// How far it has come, where it can be read again from a place.
    pub(crate) reached: Reached,
    /// When its series spoke.
    pub(crate) census: Census,
}

/// See the module.
pub(crate) struct LivePart {
    pub(crate) island: Island,
    pub(crate) inlets: Vec<Inlet>,
    pub(crate) outlets: Outlets,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) journaled: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) host: Arc<Host>,
    pub(crate) sweeps: Sweeps,
    /// What the journal held when this life of the host began is replayed, up to this number; 0 once it was.
    pub(crate) replay_until: u64,
    /// Where cuts were taken in the life that is replayed.
    pub(crate) cuts: VecDeque<u64>,
    /// All of its events up to this number have taken effect.
    pub(crate) upto: u64,
    /// The number of the last event that took effect, and its time.
    pub(crate) seq: u64,
    pub(crate) now: Timestamp,
    /// Where the last cut was noted in the journal.
    pub(crate) noted: u64,
    pub(crate) reader: Option<Box<dyn JournalReader>>,
    /// What was still held has been emitted.
    pub(crate) finished: bool,
}

impl std::fmt::Debug for LivePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LivePart at {}", self.seq)
    }
}

/// Someone waits for the part to hand itself over.
struct Leaving {
    until: u64,
    reply: oneshot::Sender<Yielded>,
}

enum Obeyed {
    Done,
    Leave(Leaving),
    Close { finish: bool },
}

/// What became of what left the island.
enum Sent {
    All,
    /// Not all of it: a queue is full, and someone waits.
    NotAll,
    /// Not all of it yet, and there is a command to obey.
    Told(Option<Command>),
}

impl LivePart {
    /// Runs until it is told to close or to yield.
    pub(crate) async fn run(mut self: Box<Self>, mut wires: Wires) {
        if self.replay_until == 0 {
            self.island.caught_up();
        }
        let mut leaving: Option<Leaving> = None;
        loop {
            // Queues that have room make all of this ready at once; let others run.
            tokio::task::consume_budget().await;
            leaving = leaving.filter(|leaving| !leaving.reply.is_closed());
            // A graph that is replayed is the one that ran; what it repeats is only known for certain as long as it stays that.
            let may_leave = leaving.is_some() && self.replay_until == 0;
            // What one event made goes on before the next thing happens: a cut lies between two events.
            let (command, stuck) = match self.send(&mut wires, may_leave).await {
                Sent::All => (wires.heard(), false),
                Sent::NotAll => (None, true),
                Sent::Told(None) => return,
                Sent::Told(command) => (command, false),
            };
            if let Some(command) = command {
                match self.obey(command) {
                    Obeyed::Done => {}
                    Obeyed::Leave(one) => leaving = Some(one),
                    Obeyed::Close { finish } => return self.close(finish, &wires).await,
                }
                continue;
            }
            if may_leave && let Some(Leaving { until, reply }) = leaving.take() {
                if !stuck && self.upto < until && self.take_next(&wires) {
                    leaving = Some(Leaving { until, reply });
                    continue;
                }
                match self.hand_over(reply) {
                    Some(part) => self = part,
                    None => return,
                }
                continue;
            }
            if !self.take_next(&wires) && !self.wait(&mut wires).await {
                return;
            }
        }
    }

    /// Sends what left the island. While a queue is full, commands are heard; with `leaving` nothing is waited for. Cancel-safe.
    async fn send(&mut self, wires: &mut Wires, leaving: bool) -> Sent {
        tokio::select! {
            biased;
            () = self.outlets.send(&mut self.island.outbox) => Sent::All,
            () = std::future::ready(()), if leaving => Sent::NotAll,
            command = wires.interrupted() => Sent::Told(command),
        }
    }

    /// Lets the next thing take effect. False when there is none now.
    fn take_next(&mut self, wires: &Wires) -> bool {
        if self.give_back() {
            return true;
        }
        let (clock, ledger) = (self.clock.clone(), self.ledger.clone());
        let node = self.island.next_to_tick();
        let tick = |now| note_tick(&ledger, self.journaled, node.as_ref()?, now);
        match self.inbox.look(self.island.next_due(), || clock.now(), tick) {
            Found::Arrival(arrival) => {
                // Where it lags, what is not in the journal has come before all that is read there.
                if arrival.journaled || !self.inbox.is_lagging() {
                    self.upto = self.upto.max(arrival.seq);
                }
                self.take(arrival);
            }
            Found::Tick(seq, now) => {
                self.upto = self.upto.max(seq);
                self.begin(seq, now);
            }
            Found::Lag => return self.read_on(),
            Found::End if !self.finished => self.finish(),
            Found::End => {
                wires.ended.cancel();
                return false;
            }
            Found::NoRoom | Found::Nothing => return false,
        }
        true
    }

    /// Waits until there may be something to do. False when nobody is left to tell it anything.
    async fn wait(&mut self, wires: &mut Wires) -> bool {
        if wires.ended.is_cancelled() {
            return wires.listen().await;
        }
        let host = self.host.clone();
        let mut refusal = std::pin::pin!(host.series.refusal());
        refusal.as_mut().enable();
        let sweep = self.sweep_due();
        let pause = if self.inbox.is_lagging() {
            // The journal cannot be read.
            Some(READ_PAUSE)
        } else {
            let due = self.island.next_due().into_iter().chain(sweep).min();
            let due = due.map(|due| due.since(self.clock.now()).to_std());
            due.map(|pause| if pause.is_zero() { ROOM_PAUSE } else { pause })
        };
        tokio::select! {
            biased;
            told = wires.listen() => told,
            () = sleep(pause) => true,
            () = self.inbox.arrived() => true,
            // While it is known that room is lacking, it need not be told again.
            () = refusal, if sweep.is_none() => true,
        }
    }

    fn obey(&mut self, command: Command) -> Obeyed {
        match command {
            Command::Barrier { number, reply } => {
                let cut = self.take_cut();
                self.outlets.barrier(number);
                let _ = reply.send(cut);
            }
            Command::States(reply) => drop(reply.send(self.island.states())),
            Command::Again(again) => {
                let Again { address, items, reply } = *again;
                let _ = reply.send(self.give_again(&address, items));
            }
            Command::Look => self.island.look(),
            Command::Yield { until, reply } => {
                // What was asked for before this was asked is to be done.
                let until = until.max(self.ledger.last());
                return Obeyed::Leave(Leaving { until, reply });
            }
            Command::Close { finish } => return Obeyed::Close { finish },
        }
        Obeyed::Done
    }

    /// Gives the part to whoever asked; back if nobody waits for it any more.
    fn hand_over(mut self: Box<Self>, reply: oneshot::Sender<Yielded>) -> Option<Box<LivePart>> {
        self.settle();
        match reply.send(Yielded::Live(self)) {
            Err(Yielded::Live(part)) => Some(part),
            _ => None,
        }
    }

    async fn close(mut self: Box<Self>, finish: bool, wires: &Wires) {
        if finish {
            self.finish();
        }
        self.outlets.send_last(&mut self.island.outbox, wires, self.journaled).await;
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.island.finish(self.clock.now().max(self.now));
        }
    }

    /// Notes how far each source has come, also those that gave nothing of late.
    fn settle(&mut self) {
        let taken = self.inbox.taken_upto(|| self.ledger.last());
        self.upto = self.upto.max(taken.unwrap_or(0));
        for inlet in &mut self.inlets {
            inlet.done = inlet.done.max(self.upto);
        }
    }

    /// A cut as it is now. A node that breaks is made anew from here, and so it is in a replay: that is why a cut is journaled.
    fn take_cut(&mut self) -> PartCut {
        self.settle();
        let states = self.island.snapshot();
        let journal = self.ledger.journal.as_ref().filter(|_| self.journaled);
        if self.seq != self.noted
            && let (Some(journal), Some(node)) = (journal, self.island.addresses().next())
        {
            let event = Event::Cut { node: node.clone(), seq: self.seq };
            // Without room for it, a replay may make a node anew from another state than was done here.
            if journal.append(self.now, &event, None).is_ok() {
                self.noted = self.seq;
            }
        }
        self.cut_with(states)
    }

    /// The state of everything, as far as it has come.
    pub(crate) fn cut(&self) -> PartCut {
        self.cut_with(self.island.states())
    }

    fn cut_with(&self, states: Vec<(Arc<str>, State)>) -> PartCut {
        let ended = self.inbox.ended();
        let sources = self.inlets.iter().zip(ended).map(|(inlet, ended)| SourceCut {
            address: inlet.address.clone(),
            key: inlet.key.clone(),
            position: inlet.reached.position.clone(),
            taken: inlet.reached.taken,
            done: inlet.done,
            ended: ended && self.finished,
        });
        let sources = sources.collect();
        let states = self.with_censuses(states);
        PartCut { seq: self.seq, now: self.now, sources, states, sinks: self.island.sink_cuts() }
    }

    /// Where nodes keep something of series, it is also kept when those spoke.
    fn with_censuses(&self, mut states: Vec<(Arc<str>, State)>) -> Vec<(Arc<str>, State)> {
        if states.iter().all(|(_, state)| *state == State::default()) {
            return states;
        }
        for inlet in self.inlets.iter().filter(|inlet| !inlet.census.is_empty()) {
            match inlet.census.state() {
                Ok(state) => states.push((inlet.address.clone(), state)),
                Err(error) => tracing::error!(node = %inlet.address, "no snapshot: {error}"),
            }
        }
        states
    }

    fn take(&mut self, arrival: Arrival) {
        let Arrival { seq, now, to, received, mut items, position, retained, .. } = arrival;
        self.begin(seq, now);
        let entry = match to {
            To::Entry(entry) => entry,
            // What is given once more is nobody's, and has to be somebody's.
            To::Node(_) => 0,
        };
        if let Some(Inlet { address, census, .. }) = self.inlets.get_mut(entry) {
            census.note(&mut items, self.now, &self.host.series, address);
        }
        let batch = |items| Batch { items, received, seq, end: 0 };
        match to {
            To::Entry(entry) => {
                let inlet = &mut self.inlets[entry];
                inlet.done = inlet.done.max(seq);
                inlet.reached.pass(items.len(), position.as_ref());
                if items.is_empty() {
                    return;
                }
                match retained {
                    true => self.island.prime(entry, self.now, batch(items)),
                    false => self.island.push(entry, self.now, batch(items)),
                }
            }
            To::Node(address) => self.island.give(&address, self.now, batch(items)),
        }
    }

    /// An event takes effect: what is due ticks first, and of a tick that is all.
    pub(super) fn begin(&mut self, seq: u64, now: Timestamp) {
        if seq > self.replay_until {
            self.replay_ends();
        }
        while self.cuts.front().is_some_and(|cut| *cut < seq) {
            self.cuts.pop_front();
            self.island.snapshot();
        }
        // In a part made of two that stood at different places, events of the one behind may come late.
        (self.seq, self.now) = (self.seq.max(seq), self.now.max(now));
        self.island.seq = seq;
        self.island.tick(self.now);
    }

    /// Gives items to a node once more: an event like any other, so a replay gives them again.
    fn give_again(&mut self, address: &Arc<str>, items: Items) -> Result<(), String> {
        let clock = self.clock.clone();
        let now = || clock.now();
        let given = self.inbox.give_again(&self.ledger, self.journaled, now, address, items);
        given.map_err(|NoRoom| "there is no room for them now; try again later".to_owned())
    }

    fn replay_ends(&mut self) {
        if self.replay_until > 0 {
            self.replay_until = 0;
            self.island.caught_up();
            if !std::mem::take(&mut self.cuts).is_empty() {
                self.island.snapshot();
            }
        }
    }

    /// Takes some of what it has missed from the journal. False when that cannot be read now.
    fn read_on(&mut self) -> bool {
        match self.try_read_on() {
            Ok(()) => true,
            Err(error) => {
                tracing::error!("the journal cannot be read; trying again: {error}");
                self.reader = None;
                false
            }
        }
    }

    fn try_read_on(&mut self) -> std::io::Result<()> {
        let Some(journal) = self.ledger.journal.clone() else {
            self.inbox.caught_up(|| Ok::<_, std::io::Error>(true))?;
            return Ok(());
        };
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => journal.read_after(self.upto)?,
        };
        for _ in 0..RECORDS_AT_ONCE {
            if let Some(record) = reader.next()? {
                self.replay(record);
                if !self.island.outbox.is_empty() {
                    break;
                }
                continue;
            }
            let mut last = None;
            let inbox = self.inbox.clone();
            if inbox.caught_up(|| {
                last = reader.next()?;
                Ok::<_, std::io::Error>(last.is_none())
            })? {
                self.replay_ends();
                return Ok(());
            }
            last.into_iter().for_each(|record| self.replay(record));
        }
        self.reader = Some(reader);
        Ok(())
    }

    fn replay(&mut self, record: Record) {
        let Record { seq, now, event } = record;
        match event {
            Event::Items { source, received, items, position, retained } => {
                let to = match self.inlets.iter().position(|inlet| inlet.key == source) {
                    Some(entry) => (seq > self.inlets[entry].done).then_some(To::Entry(entry)),
                    None => {
                        let new = seq > self.seq && self.island.takes(&source);
                        new.then_some(To::Node(source))
                    }
                };
                if let Some(to) = to {
                    let journaled = true;
                    self.take(Arrival {
                        seq,
                        now,
                        to,
                        received,
                        items,
                        position,
                        retained,
                        journaled,
                    });
                }
            }
            Event::Tick { node } => {
                if seq > self.seq && self.island.holds(&node) {
                    self.begin(seq, now);
                }
            }
            Event::Forgotten { source, series } => {
                let entry = self.inlets.iter().position(|inlet| inlet.key == source);
                if let Some(entry) = entry.filter(|entry| seq > self.inlets[*entry].done) {
                    self.forget(seq, now, entry, &series);
                }
            }
            Event::Resumed { stream, end } => self.island.count_from(stream, end),
            Event::Confirmed { .. } | Event::Cut { .. } => {}
        }
        self.upto = self.upto.max(seq);
    }
}

/// Journals a tick that nothing entered with. `None` when there is no room: then it has to wait.
fn note_tick(ledger: &Ledger, journaled: bool, node: &Arc<str>, now: Timestamp) -> Option<u64> {
    match ledger.journal.as_ref().filter(|_| journaled) {
        Some(journal) => journal.append(now, &Event::Tick { node: node.clone() }, None).ok(),
        None => Some(ledger.number()),
    }
}

async fn sleep(pause: Option<std::time::Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
