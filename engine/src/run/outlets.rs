//! The ways out of an island: queues before the sinks, and the dead letters.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;

use super::command::Wires;
use super::dead_letter::{DeadLetters, say_lost};
use super::exits::Outbox;
use super::queue::Giver;
use crate::batch::Batch;
use crate::log_limit::LogLimit;

/// One way out.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// The sink's address.
    pub(crate) address: Arc<str>,
    pub(crate) queue: Giver,
}

/// The sink whose full queue a part waits for, as others see it.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaitsFor(Arc<Mutex<Option<Arc<str>>>>);

impl WaitsFor {
    pub(crate) fn get(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, sink: Option<Arc<str>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sink;
    }
}

/// See the module. In the order of the island's exits.
#[derive(Debug)]
pub(crate) struct Outlets {
    pub(crate) sinks: Vec<Outlet>,
    pub(crate) dead: Arc<dyn DeadLetters>,
    /// Which lines on letters that are not taken the log gets.
    untaken: LogLimit,
    /// What is being given, while its queue is full.
    held: Option<(usize, Option<Batch>)>,
    pub(crate) waits_for: WaitsFor,
}

impl Outlets {
    pub(crate) fn new(sinks: Vec<Outlet>, dead: Arc<dyn DeadLetters>) -> Outlets {
        let (untaken, waits_for) = (LogLimit::default(), WaitsFor::default());
        Outlets { sinks, dead, untaken, held: None, waits_for }
    }

    /// Empties an outbox: to the dead letters first, then to the sinks, in the order of the graph; waits where a queue is full.
    /// Cancel-safe: what was not given is still here or in the outbox.
    pub(crate) async fn send(&mut self, outbox: &mut Outbox) {
        for letter in outbox.dead.drain(..) {
            if let Err(error) = self.dead.put(&letter) {
                say_lost(&self.untaken, &letter.address, &error);
            }
        }
        loop {
            if self.held.is_none() {
                self.held = outbox.next().map(|(sink, batch)| (sink, Some(batch)));
            }
            let Some((sink, batch)) = &mut self.held else { return };
            let Outlet { address, queue } = &self.sinks[*sink];
            if queue.give(batch).now_or_never().is_none() {
                self.waits_for.set(Some(address.clone()));
                queue.give(batch).await;
                self.waits_for.set(None);
            }
            self.held = None;
        }
    }

    /// Empties an outbox for the last time. What `comes_again` at the next start is not waited for when there is no more time.
    pub(crate) async fn send_last(
        &mut self,
        outbox: &mut Outbox,
        wires: &Wires,
        comes_again: bool,
    ) {
        tokio::select! {
            biased;
            () = self.send(outbox) => {}
            () = wires.hurry.cancelled(), if comes_again => {}
        }
    }

    /// Puts a barrier behind all that was sent.
    pub(crate) fn barrier(&self, number: u64) {
        for outlet in &self.sinks {
            outlet.queue.barrier(number);
        }
    }

    /// Takes what was not given yet, by the number of the sink.
    pub(crate) fn ungiven(&mut self, outbox: &mut Outbox) -> Vec<(usize, Batch)> {
        let held = self.held.take().and_then(|(sink, batch)| Some((sink, batch?)));
        held.into_iter().chain(std::iter::from_fn(|| outbox.next())).collect()
    }
}
