//! Who lacks room for new series, and which series can make some.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;

use super::SeriesTable;
use super::inner::Standing;
use crate::series::SeriesId;

#[derive(Debug)]
pub(super) struct Lack {
    /// The count of refusals with it.
    at: u64,
    said: Instant,
}

/// Who lacked room for new series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacking {
    /// The host as a whole.
    pub host: bool,
    /// Source nodes that hold as many as one may.
    pub nodes: Vec<Arc<str>>,
}

/// How often a lack of room is said.
const SAY_EVERY: Duration = Duration::from_secs(60);

impl SeriesTable {
    /// How often a new series found no room since the process began.
    #[inline]
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits for the next time that a new series finds no room.
    pub(crate) fn refusal(&self) -> Notified<'_> {
        self.refusals.notified()
    }

    /// Who lacked room since there were so many refusals.
    #[must_use]
    pub fn lacking_since(&self, refused: u64) -> Lacking {
        let inner = self.read();
        let mut lacking = Lacking::default();
        for (who, _) in inner.lacks.iter().filter(|(_, lack)| lack.at > refused) {
            match who {
                Some(address) => lacking.nodes.push(address.clone()),
                None => lacking.host = true,
            }
        }
        lacking.nodes.sort();
        lacking
    }

    /// Notes that a source node, or the host, has no room for a new series.
    pub(super) fn refuse(&self, who: Option<&Arc<str>>, cap: usize) {
        let mut inner = self.write();
        // Under the lock, so that who reads the count finds who it was.
        let at = self.refused.load(Ordering::Relaxed) + 1;
        let now = Instant::now();
        let known = inner.lacks.get_mut(&who.cloned());
        let due = match known {
            Some(lack) => {
                lack.at = at;
                let due = now.duration_since(lack.said) >= SAY_EVERY;
                if due {
                    lack.said = now;
                }
                due
            }
            None => {
                inner.lacks.insert(who.cloned(), Lack { at, said: now });
                true
            }
        };
        self.refused.store(at, Ordering::Relaxed);
        drop(inner);
        self.refusals.notify_waiters();
        match who {
            _ if !due => {}
            Some(node) => tracing::warn!(
                %node,
                "it gives readings to {cap} series, which is all that one source may; new ones are refused until others have been silent for 24 hours"
            ),
            None => tracing::warn!(
                "the host has {cap} series, which is all that `limits.series` allows; new ones are refused until others have been silent for 24 hours"
            ),
        }
    }

    /// Whether a series can give its slot back to help one of those who lack room, once it is silent in a part of the graph with these
    /// source nodes: no other part gives readings to it.
    pub(crate) fn can_retire(
        &self,
        ids: &mut Vec<SeriesId>,
        lacking: &Lacking,
        sources: &[Arc<str>],
    ) {
        let inner = self.read();
        ids.retain(|&id| {
            let Some(entry) = inner.entries.get(id) else { return false };
            entry.standing == Standing::Live
                && !entry.shared
                && match &entry.giver {
                    None => true,
                    Some(giver) => {
                        sources.contains(&giver.address)
                            && (lacking.host || lacking.nodes.contains(&giver.address))
                    }
                }
        });
    }
}
