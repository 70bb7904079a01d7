//! Who has let which barrier pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The number of the last barrier that each sink has let pass: all that came before that is durable.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    latest: Mutex<BTreeMap<Arc<str>, u64>>,
    news: Notify,
}

impl Passes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, u64>> {
        // Nothing in here panics half-way.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sink lets a barrier pass.
    pub(crate) fn pass(&self, sink: &Arc<str>, number: u64) {
        self.lock().insert(sink.clone(), number);
        self.news.notify_one();
    }

    /// Waits until all these sinks have let a barrier pass; gives back those that have not by then.
    pub(crate) async fn wait(
        &self,
        number: u64,
        mut sinks: BTreeSet<Arc<str>>,
        deadline: Instant,
    ) -> BTreeSet<Arc<str>> {
        loop {
            {
                let latest = self.lock();
                sinks.retain(|sink| latest.get(sink).is_none_or(|passed| *passed < number));
            }
            if sinks.is_empty() || timeout_at(deadline, self.news.notified()).await.is_err() {
                return sinks;
            }
        }
    }

    /// Forgets the sinks that are no more.
    pub(crate) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|sink, _| is_there(sink));
    }
}
