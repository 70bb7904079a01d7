//! Where items leave an island: counted and thinned towards each sink, and gathered until its queue takes them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::dead_letter::DeadLetter;
use crate::batch::Batch;
use crate::condition::Predicate;

/// A sink, as the island sees it.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) address: Arc<str>,
    /// The condition under which an item goes there (`when`).
    pub(crate) when: Option<Box<Predicate>>,
    /// What its offsets count in.
    pub(crate) stream: Uuid,
    /// How many items went there since its stream began.
    pub(crate) sent: u64,
    /// The name of its spool, where it has one.
    pub(crate) spool: Option<String>,
    /// Up to which offset the sink has the items of each kind already: what a replay repeats up to there goes nowhere.
    pub(crate) known: [u64; 3],
    /// The largest offset of which the sink has anything: what is new after a replay is counted from behind it.
    pub(crate) reach: u64,
}

impl Exit {
    /// Counts a batch, and gives what of it the sink is to get.
    pub(super) fn take(&mut self, mut batch: Batch) -> Option<Batch> {
        if let Some(when) = &mut self.when {
            batch.items = when.select(&batch.items);
            if batch.items.is_empty() {
                return None;
            }
        }
        self.sent += batch.items.len() as u64;
        batch.end = self.sent;
        let known = self.known[batch.items.kind() as usize];
        if known > 0 {
            let new = usize::try_from(self.sent.saturating_sub(known)).unwrap_or(usize::MAX);
            match batch.items.len().checked_sub(new) {
                _ if new == 0 => return None,
                Some(had) if had > 0 => batch.items = batch.items.slice(had..batch.items.len()),
                _ => {}
            }
        }
        Some(batch)
    }
}

/// What left an island.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Items per sink, gathered: neighbours of one kind are one batch.
    pub(crate) sinks: BTreeMap<usize, VecDeque<Batch>>,
    /// What was refused.
    pub(crate) dead: Vec<DeadLetter>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.sinks.is_empty() && self.dead.is_empty()
    }

    /// Puts a batch behind what goes to a sink.
    pub(super) fn put(&mut self, sink: usize, batch: Batch) {
        let gathered = self.sinks.entry(sink).or_default();
        match gathered.back_mut() {
            Some(last) if last.items.kind() == batch.items.kind() => {
                (last.seq, last.received, last.end) = (batch.seq, batch.received, batch.end);
                last.items.append(batch.items);
            }
            _ => gathered.push_back(batch),
        }
    }

    /// The next batch for a sink, in the order of the sinks.
    pub(crate) fn next(&mut self) -> Option<(usize, Batch)> {
        loop {
            let mut first = self.sinks.first_entry()?;
            match first.get_mut().pop_front() {
                Some(batch) => return Some((*first.key(), batch)),
                None => drop(first.remove()),
            }
        }
    }
}
