//! A connected part of the graph in real time, and what it shares with one in virtual time: where batches get their number, and how
//! what leaves an island reaches queues and dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::stream::SelectAll;
use tokio_stream::wrappers::ReceiverStream;

use super::dead_letter::{DeadContent, DeadLetter, DeadLetters};
use super::island::{Island, Outbox};
use super::queue::Giver;
use super::source::Received;
use crate::batch::Batch;
use crate::clock::Clock;
use crate::duration::Duration;
use crate::node::{Reject, SourceBatch};
use crate::time::Timestamp;

/// How often the state of nodes is written down, for one that breaks.
const BARRIER_EVERY: Duration = Duration::from_secs(10);

/// Where what enters the host gets its sequence number.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    pub(crate) sequence: Arc<AtomicU64>,
    /// The sources' addresses, by entry.
    pub(crate) addresses: Vec<Arc<str>>,
}

impl Intake {
    pub(crate) fn next_seq(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number given last, by whatever part of the graph.
    pub(crate) fn last_seq(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// Sends what a source could not understand towards the dead letters.
    pub(crate) fn reject(
        &self,
        entry: usize,
        now: Timestamp,
        rejects: Vec<Reject>,
        outbox: &mut Outbox,
    ) {
        for reject in rejects {
            let address = self.addresses[entry].clone();
            tracing::warn!(node = %address, "{}: {}", reject.origin, reject.reason);
            let reason = reject.reason.clone();
            outbox.dead.push(DeadLetter {
                address,
                time: now,
                reason,
                content: DeadContent::Raw(reject),
            });
        }
    }
}

/// The ways out of an island.
#[derive(Debug)]
pub(crate) struct Outlets {
    pub(crate) queues: Vec<Giver>,
    pub(crate) dead: Arc<dyn DeadLetters>,
}

impl Outlets {
    /// Empties an outbox: to the dead letters first, then to the sinks, in the order of the graph; waits where a queue is full.
    pub(crate) async fn send(&mut self, outbox: &mut Outbox) {
        for letter in outbox.dead.drain(..) {
            if let Err(error) = self.dead.put(&letter) {
                tracing::error!(node = %letter.address, "a dead letter could not be kept: {error}");
            }
        }
        while let Some((sink, batches)) = outbox.sinks.pop_first() {
            for batch in batches {
                self.queues[sink].give(batch).await;
            }
        }
    }
}

/// A part in real time.
pub(crate) struct LivePart {
    pub(crate) island: Island,
    pub(crate) intake: Intake,
    pub(crate) outlets: Outlets,
    pub(crate) sources: Vec<ReceiverStream<Received>>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl LivePart {
    /// Runs until all sources have ended: they do when they are told to stop.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let numbered = self.sources.drain(..).enumerate();
        let mut sources: SelectAll<_> = numbered
            .map(|(entry, source)| source.map(move |received| (entry, received)).boxed())
            .collect();
        let mut barrier = 0;
        let mut seen = 0;
        let mut next_barrier = self.clock.now() + BARRIER_EVERY;
        loop {
            let now = self.clock.now();
            if now >= next_barrier {
                next_barrier = now + BARRIER_EVERY;
                let entered = self.intake.last_seq();
                if entered != std::mem::replace(&mut seen, entered) {
                    barrier += 1;
                    self.barrier(barrier);
                }
            }
            let pause = self.island.next_due().map(|due| due.since(self.clock.now()).to_std());
            let received = tokio::select! {
                biased;
                // The tick of an instant comes before its readings.
                () = sleep(pause) => {
                    self.island.tick(self.clock.now());
                    None
                }
                received = sources.next() => match received {
                    Some(received) => Some(received),
                    None => break,
                },
            };
            if let Some((entry, Received { batch: SourceBatch { items, rejects, .. }, at })) =
                received
            {
                let now = self.clock.now();
                self.island.tick(now);
                self.intake.reject(entry, at, rejects, &mut self.island.outbox);
                if !items.is_empty() {
                    let batch = Batch { items, received: at, seq: self.intake.next_seq(), end: 0 };
                    self.island.push(entry, now, batch);
                }
            }
            self.outlets.send(&mut self.island.outbox).await;
            // Queues that have room make all of this ready at once; let others run.
            tokio::task::consume_budget().await;
        }
        self.island.finish(self.clock.now());
        self.outlets.send(&mut self.island.outbox).await;
        Ok(())
    }

    /// Takes a consistent cut: the state of every node as it is now, and a mark in every queue behind all that came before.
    fn barrier(&mut self, number: u64) {
        let states = self.island.snapshot();
        for queue in &self.outlets.queues {
            queue.barrier(number);
        }
        let bytes: usize = states.iter().map(|(_, state)| state.body.len()).sum();
        tracing::debug!(number, nodes = states.len(), bytes, "a barrier passed");
    }
}

async fn sleep(pause: Option<std::time::Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
