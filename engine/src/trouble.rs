//! What keeps a node from its work, said by the node itself.

use std::sync::{Arc, Mutex, PoisonError};

/// Where a node says what keeps it from its work while none of its calls fails: a source that waits for a broker that is away just
/// waits. Clones share what is said, so one connection can speak for all nodes that use it.
///
/// The status of the host shows it as it shows why a call failed; that a call failed comes first.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// Says what keeps it from its work, as a fragment that fits after "failed: "; `None` once it works again.
    pub fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// What was said last.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
