//! When each series of a source last spoke, and which of them give their slots back when there are too many.

use std::sync::Arc;

use crate::batch::Items;
use crate::duration::Duration;
use crate::node::{State, StateError};
use crate::series::{SeriesId, SeriesMap, SeriesTable};
use crate::time::Timestamp;

/// A series that was silent for so long gives its slot back where one is lacking.
pub(crate) const SILENT_FOR: Duration = Duration::from_hours(24);
/// So often at most series are looked through, while slots are lacking.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_mins(1);

const STATE_VERSION: u32 = 1;
/// What times are counted in: fine enough for a day, and small.
const STEP: Duration = Duration::from_mins(1);

/// By series of a source: when a reading of it took effect last. A replay makes the same of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census(SeriesMap<u32>);

fn steps(time: Timestamp) -> u32 {
    u32::try_from(time.as_micros().div_euclid(STEP.as_micros())).unwrap_or_default()
}

impl Census {
    /// Notes whose readings take effect. A series that has no slot gets one, and the number that goes with it.
    pub(crate) fn note(
        &mut self,
        items: &mut Items,
        now: Timestamp,
        table: &SeriesTable,
        address: &Arc<str>,
    ) {
        let now = steps(now);
        match items {
            Items::Readings(readings) => {
                for reading in readings {
                    self.saw(&mut reading.series, now, table, address);
                }
            }
            Items::Windows(windows) => {
                for summary in windows.iter_mut().flat_map(|window| &mut window.summaries) {
                    self.saw(&mut summary.series, now, table, address);
                }
            }
            Items::Observations(_) => {}
        }
    }

    #[inline]
    fn saw(&mut self, series: &mut SeriesId, now: u32, table: &SeriesTable, address: &Arc<str>) {
        match self.0.get_mut(*series) {
            Some(seen) => *seen = now,
            None => self.add(series, now, table, address),
        }
    }

    #[cold]
    fn add(&mut self, series: &mut SeriesId, now: u32, table: &SeriesTable, address: &Arc<str>) {
        *series = table.enter(*series, address);
        self.0.insert(*series, now);
    }

    /// Adds the series that were silent for long to others.
    pub(crate) fn silent(&self, now: Timestamp, into: &mut Vec<SeriesId>) {
        // Both are rounded down, so it is never less than a day.
        let before = steps(now - SILENT_FOR);
        into.extend(self.0.iter().filter(|(_, seen)| **seen < before).map(|(id, _)| id));
    }

    /// Whether a series spoke of late.
    pub(crate) fn is_awake(&self, series: SeriesId, now: Timestamp) -> bool {
        self.0.get(series).is_some_and(|seen| *seen >= steps(now - SILENT_FOR))
    }

    pub(crate) fn forget(&mut self, series: &[SeriesId]) {
        for id in series {
            self.0.remove(*id);
        }
    }

    /// Takes over what another one knows.
    pub(crate) fn join(&mut self, other: &Census) {
        for (id, seen) in other.0.iter() {
            let mine = self.0.get_or_insert_with(id, || *seen);
            *mine = (*mine).max(*seen);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The written form.
    pub(crate) fn state(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.0, &())
    }

    /// From its written form. Its series have slots from now on.
    pub(crate) fn restored(
        state: &State,
        table: &SeriesTable,
        address: &Arc<str>,
    ) -> Result<Census, StateError> {
        let (stored, ()) = state.read_series::<u32, ()>(STATE_VERSION)?;
        let mut census = Census::default();
        for (id, seen) in stored.iter() {
            census.0.insert(table.enter(id, address), *seen);
        }
        Ok(census)
    }
}
