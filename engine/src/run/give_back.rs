//! How a part of the graph gives slots of silent series back where they are lacking.
//!
//! The part decides, and not the source: only it knows that all readings of a series have taken effect, and so can drop what its nodes
//! keep of it and free its name at one place among the events, which a replay finds again. As a tick is, it is journaled, and happens only
//! when nothing waits to be taken.

use std::sync::Arc;

use super::census::SWEEP_EVERY;
use super::keep::Event;
use super::part::LivePart;
use crate::duration::Duration;
use crate::series::SeriesId;
use crate::time::Timestamp;

/// No event names more.
const AT_ONCE: usize = 1_000;
/// How long it waits for room in the journal.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// How far a part has come with giving back.
#[derive(Debug, Default)]
pub(crate) struct Sweeps {
    /// The refusals up to this count were heeded.
    heeded: u64,
    /// Not before this time again.
    next: Timestamp,
    /// How many slots were given back since then.
    given: usize,
}

impl LivePart {
    /// When it is time to look for silent series; `None` where nobody lacks room for new ones.
    pub(super) fn sweep_due(&self) -> Option<Timestamp> {
        (self.host.series.refused() != self.sweeps.heeded).then_some(self.sweeps.next)
    }

    /// Gives slots back where that is due. False when there was nothing to do.
    pub(super) fn give_back(&mut self) -> bool {
        let Some(due) = self.sweep_due() else { return false };
        let now = self.clock.now();
        // Looking through all series for nothing would cost whoever waits.
        if now < due || !self.inbox.is_idle() {
            return false;
        }
        let refused = self.host.series.refused();
        let Some((entry, series)) = self.next_silent(now) else {
            let given = std::mem::take(&mut self.sweeps.given);
            (self.sweeps.heeded, self.sweeps.next) = (refused, now + SWEEP_EVERY);
            if given > 0
                && let Some(inlet) = self.inlets.first()
            {
                tracing::info!(node = %inlet.address, series = given, "series that were silent for 24 hours gave their slots back");
            }
            return false;
        };
        let event = Event::Forgotten { source: self.inlets[entry].key.clone(), series };
        let (clock, ledger) = (self.clock.clone(), self.ledger.clone());
        let journal = ledger.journal.as_ref().filter(|_| self.journaled);
        let mut full = false;
        let noted = self.inbox.between(
            || clock.now(),
            |now| match journal {
                Some(journal) => {
                    let seq = journal.append(now, &event, None).ok();
                    full = seq.is_none();
                    seq
                }
                None => Some(ledger.number()),
            },
        );
        if full {
            self.sweeps.next = now + ROOM_PAUSE;
        }
        let (Some((seq, now)), Event::Forgotten { series, .. }) = (noted, event) else {
            return false;
        };
        self.upto = self.upto.max(seq);
        self.forget(seq, now, entry, &series);
        true
    }

    /// Some of the series that are to give their slots back, and the source that gave them.
    fn next_silent(&self, now: Timestamp) -> Option<(usize, Vec<SeriesId>)> {
        let table = &self.host.series;
        let lacking = table.lacking_since(self.sweeps.heeded);
        let sources: Vec<Arc<str>> =
            self.inlets.iter().map(|inlet| inlet.address.clone()).collect();
        self.inlets.iter().enumerate().find_map(|(entry, inlet)| {
            let mut silent = Vec::new();
            inlet.census.silent(now, &mut silent);
            silent.retain(|id| !self.inlets.iter().any(|other| other.census.is_awake(*id, now)));
            table.can_retire(&mut silent, &lacking, &sources);
            silent.truncate(AT_ONCE);
            (!silent.is_empty()).then_some((entry, silent))
        })
    }

    /// Series give their slots back, and all that is kept of them is dropped.
    pub(super) fn forget(&mut self, seq: u64, now: Timestamp, entry: usize, series: &[SeriesId]) {
        self.begin(seq, now);
        self.inlets[entry].done = self.inlets[entry].done.max(seq);
        // In a replay, what is only named in the journal is nobody's.
        let current = series.iter().filter_map(|id| self.host.series.current(*id));
        let mut silent: Vec<SeriesId> = current.collect();
        for inlet in &mut self.inlets {
            inlet.census.forget(&silent);
        }
        self.island.forget(self.now, &mut silent);
        self.sweeps.given += self.host.series.retire(&silent);
    }
}
