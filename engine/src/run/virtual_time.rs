//! A part of the graph in virtual time: its sources are merged by time, then by their order in the graph, and nothing else decides
//! what happens when.

use std::time::Duration as StdDuration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::island::Island;
use super::part::{Intake, Outlets};
use super::source::{Asked, Received};
use crate::batch::Batch;
use crate::duration::Duration;
use crate::node::SourceBatch;
use crate::time::Timestamp;

/// A source as virtual time sees it.
pub(crate) enum VirtualSource {
    /// A recording, read ahead by a loop of its own.
    Recorded { receive: mpsc::Receiver<Received>, head: Option<Head>, ended: bool },
    /// A made-up source, asked when its time comes.
    Simulated { asked: Asked, every: Duration, due: Option<Timestamp>, once: bool },
}

/// The batch of a recording that is being handed over.
pub(crate) struct Head {
    batch: Batch,
    next: usize,
}

/// A part in virtual time.
pub(crate) struct VirtualPart {
    pub(crate) island: Island,
    pub(crate) intake: Intake,
    pub(crate) outlets: Outlets,
    pub(crate) sources: Vec<VirtualSource>,
    /// How many seconds pass in one second; `None` for as fast as possible.
    pub(crate) speed: Option<f64>,
    pub(crate) stop: CancellationToken,
    /// When simulated sources begin, where no recording says so.
    pub(crate) start: Timestamp,
}

impl VirtualPart {
    /// Runs until all sources have ended, or is told to stop.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let mut clock: Option<Timestamp> = None;
        let mut pacing: Option<(tokio::time::Instant, Timestamp)> = None;
        let mut failed = Ok(());
        while !self.stop.is_cancelled() {
            if let Err(why) = self.look_ahead(clock).await {
                failed = Err(why);
            }
            let Some((source, head)) = self.first(clock) else { break };
            let now = clock.get_or_insert(head);
            let mut until = self.next_other(source, *now);
            if let Some(speed) = self.speed {
                let (began, origin) = *pacing.get_or_insert((tokio::time::Instant::now(), head));
                let Some(limit) = self.keep_pace(began, origin, speed, head, now).await else {
                    break;
                };
                until = Some(until.map_or((limit, true), |until| until.min((limit, true))));
            }
            if let Err(why) = self.advance(source, now, head, until).await {
                failed = Err(why);
            }
            self.outlets.send(&mut self.island.outbox).await;
        }
        let end = clock.unwrap_or(self.start);
        self.island.finish(end);
        self.outlets.send(&mut self.island.outbox).await;
        failed
    }

    /// Makes sure that each recording shows its next item, and each simulated source knows its next time.
    async fn look_ahead(&mut self, clock: Option<Timestamp>) -> Result<(), String> {
        let mut origin = None;
        for (entry, source) in self.sources.iter_mut().enumerate() {
            let VirtualSource::Recorded { receive, head, ended } = source else { continue };
            while head.is_none() && !*ended {
                let received = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => None,
                    received = receive.recv() => received,
                };
                let Some(Received { batch, at }) = received else {
                    *ended = true;
                    break;
                };
                let SourceBatch { items, rejects, .. } = batch;
                self.intake.reject(entry, at, rejects, &mut self.island.outbox);
                if !items.is_empty() {
                    let received = items.time(0).unwrap_or(at);
                    let seq = self.intake.next_seq();
                    *head = Some(Head { batch: Batch { items, received, seq, end: 0 }, next: 0 });
                }
            }
            let time = head.as_ref().and_then(|head| head.batch.items.time(head.next));
            origin = [origin, time].into_iter().flatten().min();
        }
        let begin = clock.or(origin).unwrap_or(self.start);
        for source in &mut self.sources {
            if let VirtualSource::Simulated { due: due @ None, .. } = source {
                *due = Some(begin);
            }
        }
        Ok(())
    }

    /// When a source takes effect next.
    fn head(&self, source: usize, clock: Option<Timestamp>) -> Option<Timestamp> {
        let time = match &self.sources[source] {
            VirtualSource::Recorded { head, .. } => {
                head.as_ref().and_then(|head| head.batch.items.time(head.next))
            }
            VirtualSource::Simulated { due, .. } => due.filter(|due| *due < Timestamp::MAX),
        }?;
        Some(clock.map_or(time, |clock| time.max(clock)))
    }

    /// The source that comes first.
    fn first(&self, clock: Option<Timestamp>) -> Option<(usize, Timestamp)> {
        let heads =
            (0..self.sources.len()).filter_map(|source| Some((source, self.head(source, clock)?)));
        heads.min_by_key(|&(source, time)| (time, source))
    }

    /// What the first source must stay before: another one's next item, at the same instant only where that one comes later in the graph.
    fn next_other(&self, first: usize, clock: Timestamp) -> Option<(Timestamp, bool)> {
        let others = (0..self.sources.len()).filter(|&other| other != first);
        others
            .filter_map(|other| Some((self.head(other, Some(clock))?, other > first)))
            .min_by_key(|&(time, inclusive)| (time, inclusive))
    }

    /// Waits until `head` may happen; says up to when everything may. `None` when it is time to stop.
    async fn keep_pace(
        &mut self,
        began: tokio::time::Instant,
        origin: Timestamp,
        speed: f64,
        head: Timestamp,
        clock: &mut Timestamp,
    ) -> Option<Timestamp> {
        loop {
            let passed =
                Duration::from_micros(began.elapsed().as_micros().try_into().unwrap_or(i64::MAX));
            let reached = origin.saturating_add(passed.mul_f64(speed));
            if reached >= head {
                return Some(reached);
            }
            let due = self.island.next_due().map_or(head, |due| due.min(head));
            if reached >= due {
                *clock = (*clock).max(due);
                self.island.tick(*clock);
                self.outlets.send(&mut self.island.outbox).await;
                continue;
            }
            let wait = due.since(reached).as_secs_f64() / speed;
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(StdDuration::from_secs_f64(wait.clamp(0.001, 3600.0))) => {}
            }
        }
    }

    async fn advance(
        &mut self,
        source: usize,
        clock: &mut Timestamp,
        head: Timestamp,
        until: Option<(Timestamp, bool)>,
    ) -> Result<(), String> {
        match &mut self.sources[source] {
            VirtualSource::Recorded { head: place, .. } => {
                let Some(Head { batch, next }) = place.take() else { return Ok(()) };
                let kept = batch.items.len();
                match self.island.push_virtual(source, clock, batch, next, until) {
                    super::island::Pushed::All => {}
                    super::island::Pushed::Upto(batch, next) => {
                        debug_assert!(next < kept, "what is left is not empty");
                        *place = Some(Head { batch, next });
                    }
                }
            }
            VirtualSource::Simulated { asked, every, due, once } => {
                while let Some(tick) = self.island.next_due().filter(|tick| *tick <= head) {
                    *clock = (*clock).max(tick);
                    self.island.tick(*clock);
                }
                *clock = (*clock).max(head);
                let read = asked.read(*clock, &self.stop).await;
                *due = match &read {
                    Ok(Some(_)) if !*once => Some(head + *every),
                    // Past the end of time: never again.
                    _ => Some(Timestamp::MAX),
                };
                if let Some(SourceBatch { items, rejects, .. }) = read? {
                    self.intake.reject(source, *clock, rejects, &mut self.island.outbox);
                    let seq = self.intake.next_seq();
                    let batch = Batch { items, received: *clock, seq, end: 0 };
                    self.island.push(source, *clock, batch);
                }
            }
        }
        Ok(())
    }
}
