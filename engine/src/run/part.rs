//! A connected part of the graph in real time: takes what entered in the order of its numbers, lets nodes tick, and can be told to
//! let a barrier pass or to yield to a changed graph.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::inbox::{Arrival, Found, Inbox, Ledger};
use super::island::Island;
use super::keep::{Event, JournalReader, PartCut, Record, SourceCut};
use super::outlets::Outlets;
use super::virtual_time::VirtualPart;
use crate::batch::{Batch, Items};
use crate::clock::Clock;
use crate::node::{Position, State};
use crate::time::Timestamp;

/// How many records of the journal are taken before others get their turn.
const RECORDS_AT_ONCE: usize = 256;

/// What a part can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take a consistent cut, and put a barrier behind it.
    Barrier { number: u64, reply: oneshot::Sender<PartCut> },
    /// Say what state the transforms are in.
    States(oneshot::Sender<Vec<(Arc<str>, State)>>),
    /// Give items to a node once more. Answered with why not.
    Again { address: Arc<str>, items: Items, reply: oneshot::Sender<Result<(), String>> },
    /// Whoever looks wants to see other ports.
    Look,
    /// Take what entered up to a number, if nothing is in the way, and hand yourself over.
    Yield { until: u64, reply: oneshot::Sender<Yielded> },
    /// End; with `finish`, emit what is still held.
    Close { finish: bool },
}

/// A part that was handed over.
#[derive(Debug)]
pub(crate) enum Yielded {
    /// In real time.
    Live(Box<LivePart>),
    /// In virtual time.
    Virtual(Box<VirtualPart>),
}

impl Yielded {
    /// The state of everything in it.
    pub(crate) fn cut(&mut self) -> PartCut {
        match self {
            Yielded::Live(part) => part.cut(),
            Yielded::Virtual(part) => part.cut(),
        }
    }
}

/// How the rest of the host hears of a part.
#[derive(Debug)]
pub(crate) struct Wires {
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    /// Set when the part has come to its end by itself.
    pub(crate) ended: CancellationToken,
    /// Set when sources are told to stop: an end is then no end of their readings.
    pub(crate) stopping: CancellationToken,
}

/// A source, as its part sees it.
#[derive(Debug, Clone)]
pub(crate) struct Inlet {
    pub(crate) address: Arc<str>,
    /// The number of the last event of it that took effect.
    pub(crate) done: u64,
    /// Where it goes on from, where it can seek.
    pub(crate) position: Option<Position>,
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
    /// What the journal held when this life of the host began is replayed, up to this number.
    pub(crate) replay_until: u64,
    /// All of its events up to this number have taken effect.
    pub(crate) upto: u64,
    /// The number of the last event that took effect, and its time.
    pub(crate) seq: u64,
    pub(crate) now: Timestamp,
    pub(crate) reader: Option<Box<dyn JournalReader>>,
    /// What was still held has been emitted.
    pub(crate) finished: bool,
}

impl std::fmt::Debug for LivePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LivePart at {}", self.seq)
    }
}

impl LivePart {
    /// Runs until it is told to close or to yield.
    pub(crate) async fn run(mut self, mut wires: Wires) {
        if self.replay_until == 0 {
            self.island.caught_up();
        }
        let mut yields = None;
        loop {
            while let Ok(command) = wires.commands.try_recv() {
                match self.obey(command) {
                    Obeyed::Done => {}
                    Obeyed::Yield(until, reply) => yields = Some((until, reply)),
                    Obeyed::Close(finish) => return self.close(finish).await,
                }
            }
            let (clock, ledger) = (self.clock.clone(), self.ledger.clone());
            let node = self.island.next_to_tick();
            let tick = |now| note_tick(&ledger, self.journaled, node.as_ref()?, now);
            let found = if yields.as_ref().is_some_and(|(until, _)| self.seq >= *until) {
                Found::Nothing
            } else {
                self.inbox.look(self.island.next_due(), || clock.now(), tick)
            };
            match found {
                Found::Arrival(arrival) => {
                    self.upto = self.upto.max(arrival.seq);
                    self.take(arrival);
                }
                Found::Lag if yields.is_none() => self.read_on(),
                Found::Tick(seq, now) => self.tick(seq, now),
                Found::End if yields.is_none() => {
                    if !wires.stopping.is_cancelled() && !wires.ended.is_cancelled() {
                        self.finish();
                        self.send(&mut wires).await;
                        wires.ended.cancel();
                    }
                    match wires.commands.recv().await.map(|command| self.obey(command)) {
                        Some(Obeyed::Done) => {}
                        Some(Obeyed::Yield(until, reply)) => yields = Some((until, reply)),
                        Some(Obeyed::Close(finish)) => return self.close(finish).await,
                        None => return,
                    }
                    continue;
                }
                Found::Nothing | Found::Lag | Found::End => {
                    if let Some((_, reply)) = yields.take() {
                        self.settle();
                        match reply.send(Yielded::Live(Box::new(self))) {
                            // Whoever asked waits no longer: it was not meant.
                            Err(Yielded::Live(part)) => self = *part,
                            _ => return,
                        }
                        continue;
                    }
                    let pause = self.island.next_due().map(|due| due.since(clock.now()).to_std());
                    tokio::select! {
                        biased;
                        command = wires.commands.recv() => match command.map(|one| self.obey(one)) {
                            Some(Obeyed::Done) => {}
                            Some(Obeyed::Yield(until, reply)) => yields = Some((until, reply)),
                            Some(Obeyed::Close(finish)) => return self.close(finish).await,
                            None => return,
                        },
                        () = sleep(pause) => {}
                        () = self.inbox.arrived() => {}
                    }
                    continue;
                }
            }
            if let Some(end) = self.send(&mut wires).await {
                match end {
                    Obeyed::Done => {}
                    Obeyed::Yield(_, reply) => {
                        // A sink takes nothing: what is here stays here, and comes along.
                        self.settle();
                        match reply.send(Yielded::Live(Box::new(self))) {
                            Err(Yielded::Live(part)) => self = *part,
                            _ => return,
                        }
                    }
                    Obeyed::Close(finish) => return self.close(finish).await,
                }
            }
            // Queues that have room make all of this ready at once; let others run.
            tokio::task::consume_budget().await;
        }
    }

    /// Sends what left the island. While a queue is full, commands are heard: one that ends this comes back.
    async fn send(&mut self, wires: &mut Wires) -> Option<Obeyed> {
        loop {
            let command = tokio::select! {
                biased;
                () = self.outlets.send(&mut self.island.outbox) => return None,
                command = wires.commands.recv() => command?,
            };
            match command {
                // A cut lies between two events, and this one is not through.
                Command::Barrier { .. } => {}
                other => match self.obey(other) {
                    Obeyed::Done => {}
                    end => return Some(end),
                },
            }
        }
    }

    /// Notes how far each source has come, also those that gave nothing of late.
    fn settle(&mut self) {
        if let Some(journal) = &self.ledger.journal {
            let upto = self.inbox.taken_upto(|| journal.last_seq()).unwrap_or(self.upto);
            self.upto = self.upto.max(upto);
        }
        for inlet in &mut self.inlets {
            inlet.done = inlet.done.max(self.upto);
        }
    }

    fn obey(&mut self, command: Command) -> Obeyed {
        match command {
            Command::Barrier { number, reply } => {
                let cut = self.cut();
                self.outlets.barrier(number);
                let _ = reply.send(cut);
            }
            Command::States(reply) => drop(reply.send(self.island.states())),
            Command::Again { address, items, reply } => {
                let _ = reply.send(self.again(&address, items));
            }
            Command::Look => self.island.look(),
            Command::Yield { until, reply } => return Obeyed::Yield(until, reply),
            Command::Close { finish } => return Obeyed::Close(finish),
        }
        Obeyed::Done
    }

    async fn close(mut self, finish: bool) {
        if finish {
            self.finish();
        }
        self.outlets.send(&mut self.island.outbox).await;
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.island.finish(self.clock.now().max(self.now));
        }
    }

    /// The state of everything as it is now.
    pub(crate) fn cut(&mut self) -> PartCut {
        self.settle();
        let ended = self.inbox.ended();
        let sources = self.inlets.iter().zip(ended).map(|(inlet, ended)| SourceCut {
            address: inlet.address.clone(),
            position: inlet.position.clone(),
            taken: 0,
            done: inlet.done,
            ended: ended && self.finished,
        });
        PartCut {
            seq: self.seq,
            now: self.now,
            sources: sources.collect(),
            states: self.island.snapshot(),
            sinks: self.island.sink_cuts(),
        }
    }

    fn take(&mut self, arrival: Arrival) {
        let Arrival { seq, now, entry, received, items, position } = arrival;
        if seq > self.replay_until {
            self.replay_ends();
        }
        (self.seq, self.now) = (seq, self.now.max(now));
        let inlet = &mut self.inlets[entry];
        inlet.done = seq;
        if position.is_some() {
            inlet.position = position;
        }
        self.island.seq = seq;
        self.island.tick(self.now);
        if !items.is_empty() {
            self.island.push(entry, self.now, Batch { items, received, seq, end: 0 });
        }
    }

    fn tick(&mut self, seq: u64, now: Timestamp) {
        if seq > self.replay_until {
            self.replay_ends();
        }
        (self.seq, self.now) = (seq, self.now.max(now));
        self.island.seq = seq;
        self.island.tick(self.now);
    }

    /// Gives items to a node once more: an event like any other, so a replay gives them again.
    fn again(&mut self, address: &Arc<str>, items: Items) -> Result<(), String> {
        let now = self.clock.now().max(self.now);
        let (source, received) = (address.clone(), now);
        let event = Event::Items { source, received, items, position: None };
        let seq = match self.ledger.journal.as_ref().filter(|_| self.journaled) {
            Some(journal) => {
                let full = |_| "the journal is full; try again later".to_owned();
                journal.append(now, &event, None).map_err(full)?
            }
            None => self.ledger.number(),
        };
        if let Event::Items { items, .. } = event {
            self.give_again(seq, now, address, items);
        }
        Ok(())
    }

    fn give_again(&mut self, seq: u64, now: Timestamp, address: &str, items: Items) {
        (self.seq, self.now) = (self.seq.max(seq), self.now.max(now));
        self.island.tick(self.now);
        let batch = Batch { items, received: now, seq, end: 0 };
        self.island.give(address, self.now, batch);
    }

    fn replay_ends(&mut self) {
        if self.replay_until > 0 {
            self.replay_until = 0;
            self.island.caught_up();
        }
    }

    /// Takes some of what it has missed from the journal.
    fn read_on(&mut self) {
        if let Err(error) = self.try_read_on() {
            tracing::error!(
                "the journal cannot be read: {error}; what it held of this part is lost"
            );
            self.reader = None;
            let _ = self.inbox.caught_up(|| Ok::<_, std::io::Error>(true));
            self.replay_ends();
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
        self.upto = seq;
        match event {
            Event::Items { source, received, items, position } => {
                let entry = self.inlets.iter().position(|inlet| inlet.address == source);
                match entry {
                    Some(entry) if seq > self.inlets[entry].done => {
                        self.take(Arrival { seq, now, entry, received, items, position });
                    }
                    // Dead letters that were given once more.
                    None if seq > self.seq && self.island.takes(&source) => {
                        self.give_again(seq, now, &source, items);
                    }
                    _ => {}
                }
            }
            Event::Tick { node } => {
                if seq > self.seq && self.island.holds(&node) {
                    self.tick(seq, now);
                }
            }
            Event::Confirmed { .. } => {}
        }
    }
}

enum Obeyed {
    Done,
    Yield(u64, oneshot::Sender<Yielded>),
    Close(bool),
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
        // A tick that could not be journaled is due and waits for room: not without a pause.
        Some(pause) => tokio::time::sleep(pause.max(std::time::Duration::from_micros(100))).await,
        None => std::future::pending().await,
    }
}
