//! What a node rejected, on its way to where it is kept.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::stats::NodeStats;
use crate::batch::Items;
use crate::log_limit::LogLimit;
use crate::node::Reject;
use crate::time::Timestamp;

/// Something that could not be taken, with why, where and when.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The address of the node that refused it.
    pub address: Arc<str>,
    /// When.
    pub time: Timestamp,
    /// Why, as a fragment.
    pub reason: String,
    /// What it was.
    pub content: DeadContent,
}

/// What a dead letter holds.
#[derive(Debug, Clone, PartialEq)]
pub enum DeadContent {
    /// Bytes that a source could not understand, and where they stood.
    Raw(Reject),
    /// Items that a node refused or failed on.
    Items(Items),
}

impl DeadContent {
    /// How many items it stands for.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            DeadContent::Raw(_) => 1,
            DeadContent::Items(items) => items.len(),
        }
    }
    /// Whether it stands for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where dead letters are kept.
pub trait DeadLetters: fmt::Debug + Send + Sync {
    /// Takes a letter. May block for a write. What the disk does not take now may wait in memory.
    ///
    /// # Errors
    /// It was not taken, as too much waits; the caller counts and says so.
    fn put(&self, letter: &DeadLetter) -> io::Result<()>;

    /// Makes sure that all letters survive what an acknowledgement stands for: a power cut, or the end of the process. May block.
    ///
    /// # Errors
    /// The disk does not take them; they wait.
    fn keep(&self) -> io::Result<()>;

    /// Makes sure that all letters survive a power cut, whatever an acknowledgement stands for. May block.
    ///
    /// # Errors
    /// The disk does not take them; they wait.
    fn persist(&self) -> io::Result<()>;

    /// Whether [`DeadLetters::keep`] and [`DeadLetters::persist`] may block their thread. They are then called where that is fine.
    fn blocks(&self) -> bool {
        true
    }
}

/// Does what may block with the dead letters, on a thread for that.
pub(crate) async fn on_a_thread(
    dead: &Arc<dyn DeadLetters>,
    work: fn(&dyn DeadLetters) -> io::Result<()>,
) -> io::Result<()> {
    if !dead.blocks() {
        return work(&**dead);
    }
    let dead = dead.clone();
    let done = tokio::task::spawn_blocking(move || work(&*dead)).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A letter of what a source could not understand.
pub(crate) fn of_reject(
    address: &Arc<str>,
    stats: &NodeStats,
    now: Timestamp,
    reject: Reject,
) -> DeadLetter {
    if stats.letters().admits(Some(address), &reject.reason) {
        tracing::warn!(node = %address, "{}: {}", reject.origin, reject.reason);
    }
    let (address, reason) = (address.clone(), reject.reason.clone());
    DeadLetter { address, time: now, reason, content: DeadContent::Raw(reject) }
}

/// Puts what a source could not understand to the dead letters.
pub(crate) fn bury_rejects(
    dead: &dyn DeadLetters,
    address: &Arc<str>,
    stats: &NodeStats,
    now: Timestamp,
    rejects: Vec<Reject>,
) {
    for reject in rejects {
        if let Err(error) = dead.put(&of_reject(address, stats, now, reject)) {
            say_lost(stats.untaken(), address, &error);
        }
    }
}

/// Says that a letter is lost.
pub(crate) fn say_lost(limit: &LogLimit, address: &Arc<str>, error: &io::Error) {
    let why = format!("a dead letter could not be kept: {error}");
    if limit.admits(Some(address), &why) {
        tracing::error!(node = %address, "{why}");
    }
}

/// Says that the disk does not take a letter now.
pub(crate) fn say_waits(limit: &LogLimit, address: &Arc<str>, error: &io::Error) {
    let why = format!("a dead letter is not kept yet: {error}");
    if limit.admits(Some(address), &why) {
        tracing::warn!(node = %address, "{why}");
    }
}

/// Letters kept in memory, for tests.
#[derive(Debug, Default)]
pub struct KeptLetters(Mutex<Vec<DeadLetter>>);

impl KeptLetters {
    /// All letters so far.
    #[must_use]
    pub fn all(&self) -> Vec<DeadLetter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl DeadLetters for KeptLetters {
    fn put(&self, letter: &DeadLetter) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(letter.clone());
        Ok(())
    }
    fn keep(&self) -> io::Result<()> {
        Ok(())
    }
    fn persist(&self) -> io::Result<()> {
        Ok(())
    }
    fn blocks(&self) -> bool {
        false
    }
}
