//! What one series has open.

use std::borrow::Cow;

use smollama_engine::duration::Duration;
use smollama_engine::reading::Reading;
use smollama_engine::series::SeriesId;
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Accumulator, Summary};

use crate::transforms::window::spans::Holding;
use crate::transforms::window::stored::Part;

/// One series' part of one span.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pane {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// When its last reading came, by the host's clock.
    pub(super) touched: Timestamp,
    /// Its place among the series of the span.
    pub(super) member: u32,
    sum: Accumulator,
}

impl Pane {
    pub(super) fn new(
        start: Timestamp,
        end: Timestamp,
        member: u32,
        reading: &Reading,
        now: Timestamp,
    ) -> Pane {
        Pane { start, end, touched: now, member, sum: Accumulator::new(reading) }
    }

    /// With what was gathered before.
    pub(super) fn of(start: Timestamp, end: Timestamp, member: u32, part: &Part<'_>) -> Pane {
        let (touched, sum) = (part.touched, Accumulator::clone(&part.sum));
        Pane { start, end, touched, member, sum }
    }

    pub(super) fn merge(&mut self, part: &Part<'_>) {
        self.sum.merge(&part.sum);
        self.touched = self.touched.max(part.touched);
    }

    pub(super) fn part(&self) -> Part<'_> {
        let Pane { start, end, touched, member, ref sum } = *self;
        Part { start, end, touched, number: member, sum: Cow::Borrowed(sum) }
    }

    /// When its first reading was measured.
    pub(super) fn first_time(&self) -> Timestamp {
        self.sum.first_time()
    }

    #[inline]
    pub(super) fn add(&mut self, reading: &Reading, now: Timestamp) {
        self.sum.add(reading);
        self.touched = now;
    }

    pub(super) fn summary(&self, series: SeriesId) -> Summary {
        self.sum.summary(series)
    }
}

/// The open panes of one series.
#[derive(Debug)]
pub(super) struct Open {
    /// A reading from here...
    from: Timestamp,
    /// ...and before this goes to the open panes that hold its time, and neither opens nor closes anything.
    until: Timestamp,
    /// The time of the latest reading.
    pub(super) seen: Timestamp,
    /// The newest pane.
    newest: Option<Pane>,
    /// The others, oldest first.
    older: Vec<Pane>,
}

impl Open {
    pub(super) fn new(seen: Timestamp) -> Open {
        Open { from: seen, until: seen, seen, newest: None, older: Vec::new() }
    }

    /// Takes a reading that changes nothing but sums; `false` where there is more to do.
    #[inline]
    pub(super) fn add_settled(&mut self, reading: &Reading, now: Timestamp) -> bool {
        let time = reading.time;
        if time < self.from || time >= self.until {
            return false;
        }
        let Some(newest) = &mut self.newest else { return false };
        newest.add(reading, now);
        if time > self.seen {
            self.seen = time;
        }
        for pane in &mut self.older {
            if pane.start <= time && time < pane.end {
                pane.add(reading, now);
            }
        }
        true
    }

    /// Notes for which times the next readings change nothing but sums, after one at `time`.
    pub(super) fn settle(&mut self, time: Timestamp, holding: &Holding, lateness: Duration) {
        let holds = |pane: &Pane| pane.start <= time && time < pane.end;
        let oldest = self.older.first().or(self.newest.as_ref());
        match (&self.newest, oldest) {
            (Some(newest), Some(oldest)) if holds(newest) => {
                self.from = holding.from;
                self.until = holding.until.min(oldest.end.saturating_add(lateness));
            }
            _ => self.unsettle(),
        }
    }

    fn unsettle(&mut self) {
        self.until = self.from;
    }

    /// Takes out the oldest pane if this series is past it.
    pub(super) fn take_past(&mut self, lateness: Duration) -> Option<Pane> {
        let oldest = self.older.first().or(self.newest.as_ref())?;
        if oldest.end.saturating_add(lateness) > self.seen {
            return None;
        }
        let start = oldest.start;
        self.take(start)
    }

    /// Takes out the pane of a span.
    pub(super) fn take(&mut self, start: Timestamp) -> Option<Pane> {
        self.unsettle();
        if self.newest.as_ref().is_some_and(|pane| pane.start == start) {
            return std::mem::replace(&mut self.newest, self.older.pop());
        }
        let place = self.older.iter().position(|pane| pane.start == start)?;
        Some(self.older.remove(place))
    }

    /// The pane of a span.
    pub(super) fn pane(&self, start: Timestamp) -> Option<&Pane> {
        self.panes().find(|pane| pane.start == start)
    }

    pub(super) fn pane_mut(&mut self, start: Timestamp) -> Option<&mut Pane> {
        let mut panes = self.newest.iter_mut().chain(self.older.iter_mut().rev());
        panes.find(|pane| pane.start == start)
    }

    pub(super) fn insert(&mut self, pane: Pane) {
        match &mut self.newest {
            Some(newest) if pane.start < newest.start => {
                let place = self.older.partition_point(|one| one.start < pane.start);
                self.older.insert(place, pane);
            }
            _ => self.older.extend(self.newest.replace(pane)),
        }
    }

    /// All open panes, oldest first.
    pub(super) fn panes(&self) -> impl Iterator<Item = &Pane> {
        self.older.iter().chain(&self.newest)
    }
}
