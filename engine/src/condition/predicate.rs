//! A condition, ready to be asked.

use std::sync::Arc;

use super::calendar::Calendar;
use super::value::ValueTest;
use super::{Condition, Range};
use crate::batch::Items;
use crate::context::Host;
use crate::duration::Duration;
use crate::glob::Glob;
use crate::observation::{Observation, ObservationKind};
use crate::reading::Reading;
use crate::series::{Series, SeriesId, SeriesMap};
use crate::window::{Cause, Window};

/// A [`Condition`] on a host, ready to be asked. It remembers what it decided of each series, and nothing else: asking changes
/// no answer.
#[derive(Debug)]
pub struct Predicate {
    sources: Vec<Glob>,
    exclude: Vec<Glob>,
    labels: Vec<(Box<str>, Glob)>,
    value: Option<ValueTest>,
    score: Option<Range>,
    kinds: Vec<ObservationKind>,
    confidence: Option<Range>,
    causes: Vec<Cause>,
    calendar: Option<Calendar>,
    not: bool,
    /// What was decided of a series, by its number; `None` where nothing is asked of the series itself.
    decided: Option<SeriesMap<bool>>,
    host: Arc<Host>,
}

impl Predicate {
    /// Makes a condition ready. The host gives its series and its time zone.
    #[must_use]
    pub fn new(condition: &Condition, host: &Arc<Host>) -> Predicate {
        let of_series = !condition.sources.is_empty()
            || !condition.exclude.is_empty()
            || !condition.labels.is_empty();
        let labels = condition.labels.iter();
        Predicate {
            sources: condition.sources.0.clone(),
            exclude: condition.exclude.0.clone(),
            labels: labels.map(|(name, glob)| (name.as_str().into(), glob.clone())).collect(),
            value: condition.value.as_ref().map(super::ValueCondition::compiled),
            score: condition.score,
            kinds: condition.kind.0.clone(),
            confidence: condition.confidence,
            causes: condition.cause.0.clone(),
            calendar: Calendar::new(&condition.time_of_day, &condition.days, &host.timezone),
            not: condition.not,
            decided: of_series.then(SeriesMap::new),
            host: host.clone(),
        }
    }

    /// Whether an item meets the condition; none where there is no such item.
    #[inline]
    #[must_use]
    pub fn test(&mut self, items: &Items, index: usize) -> bool {
        match items {
            Items::Readings(items) => items.get(index).is_some_and(|item| self.reading(item)),
            Items::Windows(items) => items.get(index).is_some_and(|item| self.window(item)),
            Items::Observations(items) => {
                items.get(index).is_some_and(|item| self.observation(item))
            }
        }
    }

    /// The items that meet the condition.
    pub(crate) fn select(&mut self, items: &Items) -> Items {
        match items {
            Items::Readings(items) => {
                Items::Readings(items.iter().filter(|item| self.reading(item)).cloned().collect())
            }
            Items::Windows(items) => {
                Items::Windows(items.iter().filter(|item| self.window(item)).cloned().collect())
            }
            Items::Observations(items) => Items::Observations(
                items.iter().filter(|item| self.observation(item)).cloned().collect(),
            ),
        }
    }

    /// Whether a reading meets the condition.
    #[inline]
    #[must_use]
    pub fn reading(&mut self, reading: &Reading) -> bool {
        let meets = self.kinds.is_empty()
            && self.confidence.is_none()
            && self.causes.is_empty()
            && self.series(reading.series)
            && self.value.as_ref().is_none_or(|test| test.value(&reading.value))
            && self.score.is_none_or(|range| range.holds(reading.score))
            && self.calendar.as_mut().is_none_or(|calendar| calendar.holds(reading.time));
        meets != self.not
    }

    /// Whether a window meets the condition.
    #[must_use]
    pub fn window(&mut self, window: &Window) -> bool {
        // The end is the first instant that is not the window's.
        let last = window.end - Duration::from_micros(1);
        let meets = self.kinds.is_empty()
            && self.confidence.is_none()
            && (self.causes.is_empty() || self.causes.contains(&window.cause))
            && self.calendar.as_mut().is_none_or(|calendar| calendar.holds(last))
            && self.one_series(window);
        meets != self.not
    }

    /// Whether one series of a window meets all that is asked of series.
    fn one_series(&mut self, window: &Window) -> bool {
        if self.decided.is_none() && self.value.is_none() && self.score.is_none() {
            return true;
        }
        window.summaries.iter().any(|summary| {
            self.series(summary.series)
                && self.value.as_ref().is_none_or(|test| test.summary(summary))
                && self.score.is_none_or(|range| range.holds(summary.score))
        })
    }

    /// Whether an observation meets the condition.
    #[must_use]
    pub fn observation(&mut self, observation: &Observation) -> bool {
        let of_source = !self.sources.is_empty() || !self.exclude.is_empty();
        let meets = self.causes.is_empty()
            && self.labels.is_empty()
            && self.value.is_none()
            && self.score.is_none()
            && (self.kinds.is_empty() || self.kinds.contains(&observation.kind))
            && self.confidence.is_none_or(|range| range.holds(observation.confidence))
            && (!of_source || observation.sources.iter().any(|source| self.source(source)))
            && self.calendar.as_mut().is_none_or(|calendar| calendar.holds(observation.time));
        meets != self.not
    }

    /// Of how many series something was decided.
    #[cfg(test)]
    pub(super) fn decided(&self) -> usize {
        self.decided.as_ref().map_or(0, SeriesMap::len)
    }

    /// Forgets what was decided of series that gave their slots back.
    pub fn forget(&mut self, silent: &[SeriesId]) {
        for id in silent {
            self.decided.as_mut().and_then(|decided| decided.remove(*id));
        }
    }

    fn source(&self, name: &str) -> bool {
        (self.sources.is_empty() || self.sources.iter().any(|glob| glob.matches(name)))
            && !self.exclude.iter().any(|glob| glob.matches(name))
    }

    #[inline]
    fn series(&mut self, id: SeriesId) -> bool {
        match &self.decided {
            None => true,
            Some(decided) => match decided.get(id) {
                Some(meets) => *meets,
                None => self.decide(id),
            },
        }
    }

    /// Whether a series has all that is asked of it, and is not asked of its readings.
    pub(crate) fn of_series(&self, series: &Series) -> bool {
        self.source(series.source.name())
            && self.labels.iter().all(|(name, glob)| {
                series.labels.get(&**name).is_some_and(|value| glob.matches(value))
            })
    }

    /// Whether nothing meets it of a series that is not as [`Predicate::of_series`] says.
    pub(crate) fn is_of_series(&self) -> bool {
        self.decided.is_some() && !self.not
    }

    /// The names of all sources that can meet it, where it says them without a pattern.
    pub(crate) fn names(&self) -> Option<impl Iterator<Item = &str>> {
        let said = !self.sources.is_empty() && self.sources.iter().all(Glob::is_literal);
        said.then(|| self.sources.iter().map(Glob::as_str))
    }

    /// The host whose series it knows.
    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    #[cold]
    fn decide(&mut self, id: SeriesId) -> bool {
        let meets = self.of_series(&self.host.series.get(id));
        if let Some(decided) = &mut self.decided {
            decided.insert(id, meets);
        }
        meets
    }
}
