//! A part of the graph in virtual time: its sources are merged by time, then by their order in the graph, and nothing else decides
//! what happens when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration as StdDuration;

use tokio::sync::{mpsc, oneshot};

use super::command::{Command, Wires, Yielded};
use super::dead_letter::bury_rejects;
use super::inbox::{Ledger, Reached};
use super::island::{Island, Pushed};
use super::keep::{PartCut, SourceCut};
use super::outlets::Outlets;
use super::source::{Ahead, Asked, Received};
use super::stats::NodeStats;
use crate::batch::{Batch, Items};
use crate::duration::Duration;
use crate::node::{Position, SourceBatch};
use crate::time::Timestamp;

/// A source as virtual time sees it.
pub(crate) struct VirtualSource {
    pub(crate) address: Arc<str>,
    pub(crate) kind: VirtualKind,
    /// Counts what takes effect, and not what was read ahead of that.
    pub(crate) stats: Arc<NodeStats>,
}

pub(crate) enum VirtualKind {
    /// A recording, read ahead by a loop of its own.
    Recorded(Recorded),
    /// A made-up source, asked when its time comes.
    Simulated { asked: Asked, every: Duration, due: Option<Timestamp>, once: bool },
}

impl std::fmt::Debug for VirtualSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VirtualSource {}", self.address)
    }
}

/// A recording, and how much of it was taken.
pub(crate) struct Recorded {
    receive: mpsc::Receiver<Ahead>,
    head: Option<Head>,
    /// It has come to its end.
    ended: bool,
    /// Its loop was stopped, and it is not at its end.
    stopped: bool,
    /// Where it goes on from before the head, or at the last place before it that is known.
    before: Option<Position>,
    /// So many items lie between `before` and the head.
    between: u64,
    /// Where it goes on from behind the head.
    behind: Option<Position>,
    /// So many items that come next were taken in an earlier life of the host.
    skip: u64,
    /// Set by the loop that reads it when it could not go on where it stopped, and begins anew.
    anew: Arc<AtomicBool>,
}

/// The batch of a recording that is being handed over.
pub(crate) struct Head {
    batch: Batch,
    next: usize,
}

/// A part in virtual time.
pub(crate) struct VirtualPart {
    pub(crate) island: Island,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) outlets: Outlets,
    pub(crate) sources: Vec<VirtualSource>,
    /// How many seconds pass in one second; `None` for as fast as possible.
    pub(crate) speed: Option<f64>,
    /// When simulated sources begin, where no recording says so.
    pub(crate) start: Timestamp,
    /// The time; `None` before the first item.
    pub(crate) clock: Option<Timestamp>,
    /// What was still held has been emitted.
    pub(crate) finished: bool,
    /// From the record of the journal behind this number on it may say what sinks have of that which is repeated.
    pub(crate) needs: u64,
}

impl std::fmt::Debug for VirtualPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VirtualPart at {:?}", self.clock)
    }
}

/// What became of a step.
enum Step {
    /// Something took effect, or may be possible now.
    Done,
    /// Nothing can happen until something is said.
    Wait,
    /// All sources have ended.
    End,
}

impl VirtualPart {
    /// Runs until it is told to close or to yield.
    pub(crate) async fn run(mut self: Box<Self>, mut wires: Wires) {
        let mut pacing: Option<(tokio::time::Instant, Timestamp)> = None;
        let mut leaving: Option<oneshot::Sender<Yielded>> = None;
        loop {
            tokio::task::consume_budget().await;
            leaving = leaving.filter(|reply| !reply.is_closed());
            // What a sink had before a crash is known for certain as long as the graph is the one that ran.
            let may_leave = leaving.is_some() && (self.finished || !self.island.repeats());
            // What one step made goes on before the next: a cut lies between two of them.
            let command = tokio::select! {
                biased;
                () = self.outlets.send(&mut self.island.outbox) => wires.heard(),
                () = std::future::ready(()), if may_leave => None,
                command = wires.interrupted() => match command {
                    Some(command) => Some(command),
                    None => return,
                },
            };
            match command {
                Some(Command::Yield { reply, .. }) => leaving = Some(reply),
                Some(Command::Close { finish }) => return self.close(finish, &wires).await,
                Some(command) => self.obey(command),
                None if may_leave => match leaving.take().map(|reply| self.hand_over(reply)) {
                    Some(Some(part)) => self = part,
                    _ => return,
                },
                None => {
                    let over = wires.stopping.is_cancelled() || wires.ended.is_cancelled();
                    let step = match over {
                        true => Step::Wait,
                        false => self.step(&mut wires, &mut pacing).await,
                    };
                    match step {
                        Step::Done => {}
                        Step::End if !self.finished => self.finish(),
                        Step::End => wires.ended.cancel(),
                        Step::Wait if wires.listen().await => {}
                        Step::Wait => return,
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Barrier { number, reply } => {
                let cut = self.cut();
                self.outlets.barrier(number);
                let _ = reply.send(cut);
            }
            Command::States(reply) => drop(reply.send(self.island.states())),
            Command::Again(again) => {
                let _ =
                    again.reply.send(Err("a recording runs there; play it again instead".into()));
            }
            Command::Look => self.island.look(),
            // Heard where they end the loop.
            Command::Yield { .. } | Command::Close { .. } => {}
        }
    }

    /// Gives the part to whoever asked; back if nobody waits for it any more.
    fn hand_over(self: Box<Self>, reply: oneshot::Sender<Yielded>) -> Option<Box<VirtualPart>> {
        match reply.send(Yielded::Virtual(self)) {
            Err(Yielded::Virtual(part)) => Some(part),
            _ => None,
        }
    }

    async fn close(mut self: Box<Self>, finish: bool, wires: &Wires) {
        if finish {
            self.finish();
        }
        // The recordings are read again from where the last checkpoint saw them.
        let comes_again = self.ledger.journal.is_some();
        self.outlets.send_last(&mut self.island.outbox, wires, comes_again).await;
    }

    async fn step(
        &mut self,
        wires: &mut Wires,
        pacing: &mut Option<(tokio::time::Instant, Timestamp)>,
    ) -> Step {
        if let Err(step) = self.look_ahead(wires).await {
            return step;
        }
        if self.sources.iter().any(VirtualSource::is_stopped) {
            return Step::Wait;
        }
        let Some((source, head)) = self.first() else { return Step::End };
        let now = *self.clock.get_or_insert(head);
        let mut until = self.next_other(source, now);
        if let Some(speed) = self.speed {
            let (began, origin) = *pacing.get_or_insert((tokio::time::Instant::now(), head));
            match self.keep_pace(began, origin, speed, head, wires).await {
                Ok(limit) => until = Some(until.map_or(limit, |until| until.min(limit))),
                Err(step) => return step,
            }
        }
        self.advance(source, head, until, wires).await
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.island.finish(self.clock.unwrap_or(self.start));
        }
    }

    /// The state of everything, as far as it has come.
    pub(crate) fn cut(&self) -> PartCut {
        // No item of this is in the journal; but what the sinks have confirmed is.
        let done = if self.island.repeats() { self.needs } else { self.ledger.last() };
        let sources = self.sources.iter().map(|source| source.cut(self.finished, done));
        PartCut {
            seq: self.island.seq,
            now: self.clock.unwrap_or(Timestamp::MIN),
            sources: sources.collect(),
            states: self.island.states(),
            sinks: self.island.sink_cuts(),
        }
    }

    /// Makes sure that each recording shows its next item, and each simulated source knows its next time. An error when something was
    /// said meanwhile.
    async fn look_ahead(&mut self, wires: &mut Wires) -> Result<(), Step> {
        let mut origin = None;
        let stopping = wires.stopping.clone();
        for source in &mut self.sources {
            let VirtualKind::Recorded(recording) = &mut source.kind else { continue };
            while recording.head.is_none() && !recording.ended && !recording.stopped {
                let ahead = tokio::select! {
                    biased;
                    () = stopping.cancelled() => return Err(Step::Done),
                    told = wires.listen() => return Err(Step::told(told)),
                    ahead = recording.receive.recv() => ahead,
                };
                match ahead {
                    Some(Ahead::Batch(Received { batch, at })) => {
                        let SourceBatch { items, rejects, position, .. } = batch;
                        if recording.begins_anew() {
                            // What the sinks have is of another recording.
                            self.island.caught_up();
                        }
                        if recording.skip == 0 {
                            source.stats.add_rejected(rejects.len());
                            let (dead, stats) = (&*self.outlets.dead, &source.stats);
                            bury_rejects(dead, &source.address, stats, at, rejects);
                        }
                        recording.take(items, at, position, &self.ledger);
                    }
                    Some(Ahead::End) => recording.ended = true,
                    None => recording.stopped = true,
                }
            }
            origin = [origin, recording.next_time()].into_iter().flatten().min();
        }
        let begin = self.clock.or(origin).unwrap_or(self.start);
        for source in &mut self.sources {
            if let VirtualKind::Simulated { due: due @ None, .. } = &mut source.kind {
                *due = Some(begin);
            }
        }
        Ok(())
    }

    /// When a source takes effect next.
    fn head(&self, source: usize) -> Option<Timestamp> {
        let time = match &self.sources[source].kind {
            VirtualKind::Recorded(recording) => recording.next_time(),
            VirtualKind::Simulated { due, .. } => due.filter(|due| *due < Timestamp::MAX),
        }?;
        Some(self.clock.map_or(time, |clock| time.max(clock)))
    }

    /// The source that comes first.
    fn first(&self) -> Option<(usize, Timestamp)> {
        let heads = (0..self.sources.len()).filter_map(|source| Some((source, self.head(source)?)));
        heads.min_by_key(|&(source, time)| (time, source))
    }

    /// What the first source must stay before: another one's next item, at the same instant only where that one comes later in the graph.
    fn next_other(&self, first: usize, clock: Timestamp) -> Option<(Timestamp, bool)> {
        let others = (0..self.sources.len()).filter(|&other| other != first);
        others
            .filter_map(|other| Some((self.head(other)?.max(clock), other > first)))
            .min_by_key(|&(time, inclusive)| (time, inclusive))
    }

    /// Waits until `head` may happen, and says up to when everything may; an error when it is to be asked again.
    async fn keep_pace(
        &mut self,
        began: tokio::time::Instant,
        origin: Timestamp,
        speed: f64,
        head: Timestamp,
        wires: &mut Wires,
    ) -> Result<(Timestamp, bool), Step> {
        let passed =
            Duration::from_micros(began.elapsed().as_micros().try_into().unwrap_or(i64::MAX));
        let reached = origin.saturating_add(passed.mul_f64(speed));
        if reached >= head {
            return Ok((reached, true));
        }
        let due = self.island.next_due().map_or(head, |due| due.min(head));
        if reached >= due {
            let now = self.clock.map_or(due, |clock| clock.max(due));
            self.clock = Some(now);
            self.island.tick(now);
            return Err(Step::Done);
        }
        let wait = due.since(reached).as_secs_f64() / speed;
        let stopping = wires.stopping.clone();
        tokio::select! {
            () = stopping.cancelled() => {}
            told = wires.listen() => return Err(Step::told(told)),
            () = tokio::time::sleep(StdDuration::from_secs_f64(wait.clamp(0.001, 3600.0))) => {}
        }
        Err(Step::Done)
    }

    /// Lets the first source take effect.
    async fn advance(
        &mut self,
        first: usize,
        head: Timestamp,
        until: Option<(Timestamp, bool)>,
        wires: &mut Wires,
    ) -> Step {
        let mut clock = self.clock.unwrap_or(head);
        let source = &mut self.sources[first];
        match &mut source.kind {
            VirtualKind::Recorded(recording) => {
                let Some(Head { batch, next }) = recording.head.take() else { return Step::Done };
                let len = batch.items.len();
                let upto = match self.island.push_virtual(first, &mut clock, batch, next, until) {
                    Pushed::All => {
                        recording.pass(len as u64);
                        len
                    }
                    Pushed::Upto(batch, upto) => {
                        recording.head = Some(Head { batch, next: upto });
                        upto
                    }
                };
                source.stats.add_emitted(0, upto - next);
            }
            VirtualKind::Simulated { asked, every, due, once } => {
                while let Some(tick) = self.island.next_due().filter(|tick| *tick <= head) {
                    clock = clock.max(tick);
                    self.island.tick(clock);
                }
                clock = clock.max(head);
                self.clock = Some(clock);
                let stopping = wires.stopping.clone();
                let read = tokio::select! {
                    biased;
                    read = asked.read(clock, &stopping) => read,
                    // It is asked again, at the same time.
                    told = wires.listen() => return Step::told(told),
                };
                if read.is_ok() && stopping.is_cancelled() {
                    return Step::Done;
                }
                *due = match &read {
                    Ok(Some(_)) if !*once => Some(head + *every),
                    // Past the end of time: never again.
                    _ => Some(Timestamp::MAX),
                };
                if let Ok(Some(SourceBatch { items, rejects, .. })) = read {
                    source.stats.add_rejected(rejects.len());
                    source.stats.add_emitted(0, items.len());
                    let (dead, stats) = (&*self.outlets.dead, &source.stats);
                    bury_rejects(dead, &source.address, stats, clock, rejects);
                    let seq = self.ledger.number();
                    self.island.push(first, clock, Batch { items, received: clock, seq, end: 0 });
                }
            }
        }
        self.clock = Some(clock);
        Step::Done
    }
}

impl Step {
    /// Something was said, or nobody is left to say anything.
    fn told(something: bool) -> Step {
        if something { Step::Done } else { Step::Wait }
    }
}

impl VirtualSource {
    pub(crate) fn cut(&self, finished: bool, done: u64) -> SourceCut {
        let (position, taken, ended) = match &self.kind {
            VirtualKind::Recorded(recording) => {
                let next = recording.head.as_ref().map_or(0, |head| head.next as u64);
                let taken = recording.between + recording.skip + next;
                (recording.before.clone(), taken, recording.ended && recording.head.is_none())
            }
            VirtualKind::Simulated { due, .. } => {
                let due = due.map(Position::at_time);
                (due, 0, false)
            }
        };
        SourceCut {
            address: self.address.clone(),
            key: self.address.clone(),
            position,
            taken,
            done,
            ended: ended && finished,
        }
    }

    fn is_stopped(&self) -> bool {
        matches!(&self.kind, VirtualKind::Recorded(recording) if recording.stopped && recording.head.is_none())
    }
}

impl Recorded {
    /// A recording that a loop reads ahead, from where an earlier life of the host had come.
    pub(crate) fn new(
        receive: mpsc::Receiver<Ahead>,
        reached: Reached,
        ended: bool,
        anew: Arc<AtomicBool>,
    ) -> Recorded {
        Recorded {
            receive,
            head: None,
            ended,
            stopped: false,
            before: reached.position,
            between: 0,
            behind: None,
            skip: reached.taken,
            anew,
        }
    }

    fn next_time(&self) -> Option<Timestamp> {
        self.head.as_ref().and_then(|head| head.batch.items.time(head.next))
    }

    /// Whether it could not go on where it stopped.
    fn begins_anew(&mut self) -> bool {
        let anew = self.anew.swap(false, Ordering::Relaxed);
        if anew {
            (self.before, self.between, self.skip) = (None, 0, 0);
        }
        anew
    }

    /// Takes a batch as the head, without what was taken in an earlier life.
    fn take(&mut self, items: Items, at: Timestamp, position: Option<Position>, ledger: &Ledger) {
        let len = items.len() as u64;
        self.behind = position;
        if self.skip >= len {
            self.skip -= len;
            self.pass(len);
            return;
        }
        let next = usize::try_from(std::mem::take(&mut self.skip)).unwrap_or(0);
        let received = items.time(0).unwrap_or(at);
        let batch = Batch { items, received, seq: ledger.number(), end: 0 };
        self.head = Some(Head { batch, next });
    }

    /// A batch of so many items is behind us.
    fn pass(&mut self, len: u64) {
        match self.behind.take() {
            Some(behind) => (self.before, self.between) = (Some(behind), 0),
            None => self.between += len,
        }
    }
}
