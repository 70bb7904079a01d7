//! What each node counted. Written by the engine, once per batch; read by whoever looks.

use super::keep::Fill;
use crate::log_limit::LogLimit;
use crate::time::Timestamp;
use crate::trouble::{Notice, Trouble};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The counters of one node.
#[derive(Debug, Default)]
pub struct NodeStats {
    received: AtomicU64,
    /// What came by and was counted for several nodes at once, and how much of that was not for this one.
    passed: Mutex<Vec<(Arc<AtomicU64>, u64)>>,
    emitted: Box<[AtomicU64]>,
    rejected: AtomicU64,
    dropped: AtomicU64,
    errors: AtomicU64,
    corrected: AtomicU64,
    failed: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// Where the node that runs says so itself.
    said: Mutex<Option<Trouble>>,
    spool: Mutex<Option<(u64, Fill)>>,
    unspooled: AtomicU64,
    letters: LogLimit,
    untaken: LogLimit,
    tries: LogLimit,
}

impl NodeStats {
    /// For a node with so many output ports.
    #[must_use]
    pub fn new(ports: usize) -> Arc<NodeStats> {
        Arc::new(NodeStats {
            emitted: (0..ports).map(|_| AtomicU64::new(0)).collect(),
            letters: LogLimit::with_help("`smollama dlq list` shows the latest"),
            ..NodeStats::default()
        })
    }

    /// How many output ports it counts.
    pub(crate) fn ports(&self) -> usize {
        self.emitted.len()
    }
    pub(crate) fn add_received(&self, items: usize) {
        self.received.fetch_add(items as u64, Ordering::Relaxed);
    }
    /// From now on what `passed` counts came in here, too.
    pub(crate) fn count_in(&self, passed: &Arc<AtomicU64>) {
        let one = (passed.clone(), passed.load(Ordering::Relaxed));
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    }
    /// Items that come in were counted in `passed` already.
    pub(crate) fn counted_already(&self, items: usize) {
        // It may go below zero until they are added, which wraps.
        self.received.fetch_sub(items as u64, Ordering::Relaxed);
    }
    /// Takes over what `passed` counted, and counts by itself again.
    pub(crate) fn settle(&self, passed: &Arc<AtomicU64>) {
        let mut all = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = all.iter().position(|(other, _)| Arc::ptr_eq(other, passed)) else { return };
        let (passed, before) = all.swap_remove(at);
        let new = passed.load(Ordering::Relaxed) - before;
        self.received.fetch_add(new, Ordering::Relaxed);
    }
    /// In how many places what comes in is counted elsewhere.
    #[cfg(test)]
    pub(crate) fn counted_elsewhere(&self) -> usize {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
    pub(crate) fn add_emitted(&self, port: usize, items: usize) {
        if let Some(counter) = self.emitted.get(port) {
            counter.fetch_add(items as u64, Ordering::Relaxed);
        }
    }
    pub(crate) fn add_rejected(&self, items: usize) {
        self.rejected.fetch_add(items as u64, Ordering::Relaxed);
    }
    pub(crate) fn add_dropped(&self, items: usize) {
        self.dropped.fetch_add(items as u64, Ordering::Relaxed);
    }
    pub(crate) fn add_corrected(&self, items: usize) {
        self.corrected.fetch_add(items as u64, Ordering::Relaxed);
    }
    pub(crate) fn add_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
    /// What keeps the node from its work; `None` once it works again.
    pub(crate) fn set_trouble(&self, why: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
    /// Listens to what a node says itself, in place of the one that ran before.
    pub(crate) fn listen(&self, ask: impl FnOnce() -> Option<Trouble>) {
        // One that panics says nothing.
        let trouble = catch_unwind(AssertUnwindSafe(ask)).unwrap_or_default();
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
    /// How many items wait in the spool, and how full it is.
    pub(crate) fn set_spool(&self, items: u64, fill: Fill) {
        *self.spool.lock().unwrap_or_else(PoisonError::into_inner) = Some((items, fill));
    }
    /// How many items wait in memory that would go to the spool.
    pub(crate) fn set_unspooled(&self, items: u64) {
        self.unspooled.store(items, Ordering::Relaxed);
    }
    /// Which lines on what goes to the dead letters the log gets.
    pub(crate) fn letters(&self) -> &LogLimit {
        &self.letters
    }
    /// Which lines on letters that are not taken the log gets.
    pub(crate) fn untaken(&self) -> &LogLimit {
        &self.untaken
    }
    /// Which lines on what is tried again the log gets.
    pub(crate) fn tries(&self) -> &LogLimit {
        &self.tries
    }
    pub(crate) fn set_failed(&self) {
        self.failed.store(1, Ordering::Relaxed);
    }

    /// How many items came in.
    #[must_use]
    pub fn received(&self) -> u64 {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = passed.iter().map(|(passed, before)| passed.load(Ordering::Relaxed) - before);
        let own = self.received.load(Ordering::Relaxed);
        passed.fold(own, u64::wrapping_add)
    }
    /// How many items left by a port.
    #[must_use]
    pub fn emitted(&self, port: usize) -> u64 {
        self.emitted.get(port).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
    /// How many items went to the dead letters.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }
    /// How many items a queue dropped by its policy.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
    /// How many calls failed.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
    /// How many readings of a source had an absurd time and took that of their receipt.
    #[must_use]
    pub fn corrected(&self) -> u64 {
        self.corrected.load(Ordering::Relaxed)
    }
    /// What keeps the node from its work right now: why its last call failed, or what it says itself.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let failed = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failed.or_else(|| self.said.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get())
    }
    /// What somebody should know of the node though it works.
    #[must_use]
    pub fn notices(&self, now: Timestamp) -> Vec<Notice> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.as_ref().map_or_else(Vec::new, |said| said.notices(now))
    }
    /// How many items wait in the spool, and how full it is; `None` for a node that has none.
    #[must_use]
    pub fn spool(&self) -> Option<(u64, Fill)> {
        *self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// How many items wait in memory and go to the spool if they wait much longer.
    #[must_use]
    pub fn unspooled(&self) -> u64 {
        self.unspooled.load(Ordering::Relaxed)
    }
    /// Whether the node was given up.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) != 0
    }
}
