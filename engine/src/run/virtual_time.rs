//! A part of the graph in virtual time: its sources are merged by time, then by their order in the graph, and nothing else decides
//! what happens when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration as StdDuration;

use tokio::sync::mpsc;

use super::dead_letter::bury_rejects;
use super::inbox::Ledger;
use super::island::{Island, Pushed};
use super::keep::{PartCut, SourceCut};
use super::outlets::Outlets;
use super::part::{Command, Wires, Yielded};
use super::source::{Asked, Received};
use crate::batch::{Batch, Items};
use crate::duration::Duration;
use crate::node::{Position, SourceBatch};
use crate::time::Timestamp;

/// A source as virtual time sees it.
pub(crate) struct VirtualSource {
    pub(crate) address: Arc<str>,
    pub(crate) kind: VirtualKind,
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
    pub(crate) receive: mpsc::Receiver<Received>,
    pub(crate) head: Option<Head>,
    pub(crate) ended: bool,
    /// Where it goes on from before the head, or at the last place before it that is known.
    pub(crate) before: Option<Position>,
    /// So many items lie between `before` and the head.
    pub(crate) between: u64,
    /// Where it goes on from behind the head.
    pub(crate) behind: Option<Position>,
    /// So many items that come next were taken in an earlier life of the host.
    pub(crate) skip: u64,
    /// Set by the loop that reads it when it could not go on where it stopped, and begins anew.
    pub(crate) anew: Arc<AtomicBool>,
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
}

impl std::fmt::Debug for VirtualPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VirtualPart at {:?}", self.clock)
    }
}

/// What to do next.
enum Step {
    /// Up to this time.
    Go(Option<(Timestamp, bool)>),
    /// Do as told.
    Obey(Command),
    /// Look again.
    Again,
    /// It is time to stop.
    Stop,
}

impl VirtualPart {
    /// Runs until it is told to close or to yield.
    pub(crate) async fn run(mut self, mut wires: Wires) {
        let mut pacing: Option<(tokio::time::Instant, Timestamp)> = None;
        loop {
            let step = match wires.commands.try_recv() {
                Ok(command) => Step::Obey(command),
                Err(_) if wires.stopping.is_cancelled() => Step::Stop,
                Err(_) => self.step(&mut wires, &mut pacing).await,
            };
            let command = match step {
                Step::Go(_) | Step::Again => {
                    let sent = tokio::select! {
                        biased;
                        () = self.outlets.send(&mut self.island.outbox) => None,
                        command = until_told(&mut wires) => Some(command),
                    };
                    match sent {
                        None => continue,
                        Some(command) => command,
                    }
                }
                Step::Obey(command) => Some(command),
                Step::Stop => {
                    if !wires.stopping.is_cancelled() && !wires.ended.is_cancelled() {
                        self.finish();
                        self.outlets.send(&mut self.island.outbox).await;
                        wires.ended.cancel();
                    }
                    wires.commands.recv().await
                }
            };
            match command {
                Some(Command::Barrier { number, reply }) => {
                    let cut = self.cut();
                    self.outlets.barrier(number);
                    let _ = reply.send(cut);
                }
                Some(Command::States(reply)) => drop(reply.send(self.island.states())),
                Some(Command::Again { reply, .. }) => {
                    let _ = reply.send(Err("a recording runs there; play it again instead".into()));
                }
                Some(Command::Look) => self.island.look(),
                Some(Command::Yield { reply, .. }) => {
                    match reply.send(Yielded::Virtual(Box::new(self))) {
                        // Whoever asked waits no longer: it was not meant.
                        Err(Yielded::Virtual(part)) => self = *part,
                        _ => return,
                    }
                }
                Some(Command::Close { finish }) => {
                    if finish {
                        self.finish();
                    }
                    self.outlets.send(&mut self.island.outbox).await;
                    return;
                }
                None => return,
            }
        }
    }

    async fn step(
        &mut self,
        wires: &mut Wires,
        pacing: &mut Option<(tokio::time::Instant, Timestamp)>,
    ) -> Step {
        if let Some(command) = self.look_ahead(wires).await {
            return Step::Obey(command);
        }
        let Some((source, head)) = self.first() else { return Step::Stop };
        let now = *self.clock.get_or_insert(head);
        let mut until = self.next_other(source, now);
        if let Some(speed) = self.speed {
            let (began, origin) = *pacing.get_or_insert((tokio::time::Instant::now(), head));
            match self.keep_pace(began, origin, speed, head, wires).await {
                Step::Go(Some(limit)) => {
                    until = Some(until.map_or(limit, |until| until.min(limit)));
                }
                other => return other,
            }
        }
        if self.advance(source, head, until, wires).await { Step::Go(until) } else { Step::Stop }
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.island.finish(self.clock.unwrap_or(self.start));
        }
    }

    /// The state of everything as it is now.
    pub(crate) fn cut(&mut self) -> PartCut {
        let finished = self.finished;
        let sources = self.sources.iter().map(|source| source.cut(finished));
        PartCut {
            seq: self.island.seq,
            now: self.clock.unwrap_or(Timestamp::MIN),
            sources: sources.collect(),
            states: self.island.snapshot(),
            sinks: self.island.sink_cuts(),
        }
    }

    /// Makes sure that each recording shows its next item, and each simulated source knows its next time. A command that comes meanwhile
    /// is given back.
    async fn look_ahead(&mut self, wires: &mut Wires) -> Option<Command> {
        let mut origin = None;
        for source in &mut self.sources {
            let VirtualKind::Recorded(recording) = &mut source.kind else { continue };
            while recording.head.is_none() && !recording.ended {
                let received = tokio::select! {
                    biased;
                    () = wires.stopping.cancelled() => None,
                    Some(command) = wires.commands.recv() => return Some(command),
                    received = recording.receive.recv() => received,
                };
                let Some(Received { batch, at }) = received else {
                    recording.ended = !wires.stopping.is_cancelled();
                    break;
                };
                let SourceBatch { items, rejects, position, .. } = batch;
                bury_rejects(&*self.outlets.dead, &source.address, at, rejects);
                recording.take(items, at, position, &self.ledger);
            }
            origin = [origin, recording.next_time()].into_iter().flatten().min();
        }
        let begin = self.clock.or(origin).unwrap_or(self.start);
        for source in &mut self.sources {
            if let VirtualKind::Simulated { due: due @ None, .. } = &mut source.kind {
                *due = Some(begin);
            }
        }
        None
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

    /// Waits until `head` may happen; says up to when everything may.
    async fn keep_pace(
        &mut self,
        began: tokio::time::Instant,
        origin: Timestamp,
        speed: f64,
        head: Timestamp,
        wires: &mut Wires,
    ) -> Step {
        let passed =
            Duration::from_micros(began.elapsed().as_micros().try_into().unwrap_or(i64::MAX));
        let reached = origin.saturating_add(passed.mul_f64(speed));
        if reached >= head {
            return Step::Go(Some((reached, true)));
        }
        let due = self.island.next_due().map_or(head, |due| due.min(head));
        if reached >= due {
            let now = self.clock.map_or(due, |clock| clock.max(due));
            self.clock = Some(now);
            self.island.tick(now);
            return Step::Again;
        }
        let wait = due.since(reached).as_secs_f64() / speed;
        tokio::select! {
            () = wires.stopping.cancelled() => Step::Stop,
            Some(command) = wires.commands.recv() => Step::Obey(command),
            () = tokio::time::sleep(StdDuration::from_secs_f64(wait.clamp(0.001, 3600.0))) => Step::Again,
        }
    }

    /// Lets the first source take effect. False when it is time to stop.
    async fn advance(
        &mut self,
        first: usize,
        head: Timestamp,
        until: Option<(Timestamp, bool)>,
        wires: &Wires,
    ) -> bool {
        let mut clock = self.clock.unwrap_or(head);
        let source = &mut self.sources[first];
        match &mut source.kind {
            VirtualKind::Recorded(recording) => {
                let Some(Head { batch, next }) = recording.head.take() else { return true };
                let len = batch.items.len() as u64;
                match self.island.push_virtual(first, &mut clock, batch, next, until) {
                    Pushed::All => recording.pass(len),
                    Pushed::Upto(batch, next) => recording.head = Some(Head { batch, next }),
                }
            }
            VirtualKind::Simulated { asked, every, due, once } => {
                while let Some(tick) = self.island.next_due().filter(|tick| *tick <= head) {
                    clock = clock.max(tick);
                    self.island.tick(clock);
                }
                clock = clock.max(head);
                let read = asked.read(clock, &wires.stopping).await;
                if read.is_ok() && wires.stopping.is_cancelled() {
                    self.clock = Some(clock);
                    return false;
                }
                *due = match &read {
                    Ok(Some(_)) if !*once => Some(head + *every),
                    // Past the end of time: never again.
                    _ => Some(Timestamp::MAX),
                };
                if let Ok(Some(SourceBatch { items, rejects, .. })) = read {
                    bury_rejects(&*self.outlets.dead, &source.address, clock, rejects);
                    let seq = self.ledger.number();
                    self.island.push(first, clock, Batch { items, received: clock, seq, end: 0 });
                }
            }
        }
        self.clock = Some(clock);
        true
    }
}

impl VirtualSource {
    pub(crate) fn cut(&self, finished: bool) -> SourceCut {
        let (position, taken, ended) = match &self.kind {
            VirtualKind::Recorded(recording) => {
                let next = recording.head.as_ref().map_or(0, |head| head.next as u64);
                let taken = recording.between + recording.skip + next;
                (recording.before.clone(), taken, recording.ended && recording.head.is_none())
            }
            VirtualKind::Simulated { due, .. } => {
                let due = due.map(|due| Position::at_time(due));
                (due, 0, false)
            }
        };
        SourceCut {
            address: self.address.clone(),
            position,
            taken,
            done: 0,
            ended: ended && finished,
        }
    }
}

impl Recorded {
    fn next_time(&self) -> Option<Timestamp> {
        self.head.as_ref().and_then(|head| head.batch.items.time(head.next))
    }

    /// Takes a batch as the head, without what was taken in an earlier life.
    fn take(&mut self, items: Items, at: Timestamp, position: Option<Position>, ledger: &Ledger) {
        if self.anew.swap(false, Ordering::Relaxed) {
            (self.before, self.between, self.skip) = (None, 0, 0);
        }
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

/// Waits for a command that can be obeyed while items are being given.
async fn until_told(wires: &mut Wires) -> Option<Command> {
    loop {
        match wires.commands.recv().await {
            // A cut lies between two events, and this one is not through.
            Some(Command::Barrier { .. }) => {}
            other => return other,
        }
    }
}
