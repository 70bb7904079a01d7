//! What a node rejected, on its way to where it is kept.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::Items;
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
    /// Keeps a letter. May block for a write.
    ///
    /// # Errors
    /// It could not be kept; the caller counts and says so.
    fn put(&self, letter: &DeadLetter) -> std::io::Result<()>;
}

/// Puts what a source could not understand to the dead letters.
pub(crate) fn bury_rejects(
    dead: &dyn DeadLetters,
    address: &Arc<str>,
    now: Timestamp,
    rejects: Vec<Reject>,
) {
    for reject in rejects {
        tracing::warn!(node = %address, "{}: {}", reject.origin, reject.reason);
        let (address, reason) = (address.clone(), reject.reason.clone());
        let content = DeadContent::Raw(reject);
        if let Err(error) = dead.put(&DeadLetter { address, time: now, reason, content }) {
            tracing::error!("a dead letter could not be kept: {error}");
        }
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
    fn put(&self, letter: &DeadLetter) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(letter.clone());
        Ok(())
    }
}
