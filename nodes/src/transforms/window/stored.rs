//! The written form of open windows. It is one for all three kinds, so that each can go on with what another gathered.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use smollama_engine::duration::Duration;
use smollama_engine::node::{State, StateError};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Accumulator, Cause, Summary, Window};

use super::emitter::Emitter;

/// The version of the form in which state is kept.
const STATE_VERSION: u32 = 1;

/// What said which readings make a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Shape {
    /// `length`.
    Length {
        length: Duration,
        step: Duration,
        /// The time zone whose midnight they begin at; none for UTC.
        zone: Option<String>,
        group: bool,
    },
    /// `gap`.
    Gap { gap: Duration, longest: Option<Duration> },
    /// `count`.
    Count { count: u32, step: u32 },
}

/// What was held of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Held<'a> {
    /// The time of the latest reading.
    pub(super) seen: Timestamp,
    /// By `gap`: the end of the last window that the series is past.
    pub(super) past: Timestamp,
    /// By `count`: how many readings came since the newest window began.
    pub(super) since: u32,
    /// Its part of each open window, the oldest first.
    pub(super) parts: Vec<Part<'a>>,
}

/// One series' part of one open window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part<'a> {
    /// The first instant of the window.
    pub(super) start: Timestamp,
    /// The first instant after it, were it to end now.
    pub(super) end: Timestamp,
    /// When its last reading came, by the host's clock; with `count` it is not known.
    pub(super) touched: Timestamp,
    /// By `length`: the place of the series in the window. By `count`: how many readings it holds.
    pub(super) number: u32,
    pub(super) sum: Cow<'a, Accumulator>,
}

/// A window that several series share: what those have said that are past it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Span<S = SeriesId> {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) touched: Timestamp,
    /// In the order in which they came; without a summary, the series is not past it.
    pub(super) members: Vec<(S, Option<Summary>)>,
}

/// A window that only waits to be emitted, with its series by their places.
#[derive(Serialize, Deserialize)]
struct LeftWindow {
    start: Timestamp,
    end: Timestamp,
    cause: Cause,
    summaries: Vec<(u32, Summary)>,
}

/// What is open, and why it was gathered so.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) shape: Shape,
    pub(super) series: Vec<(SeriesId, Held<'static>)>,
    pub(super) spans: Vec<Span>,
    /// Windows that only wait to be emitted.
    pub(super) left: Vec<Window>,
}

/// Series by their places in the table that is written beside the state.
#[derive(Serialize, Deserialize)]
struct Rest {
    shape: Shape,
    spans: Vec<Span<u32>>,
    left: Vec<LeftWindow>,
}

pub(super) fn write<'a>(
    shape: Shape,
    series: impl Iterator<Item = (SeriesId, Held<'a>)>,
    spans: Vec<Span>,
    left: &[Window],
) -> Result<State, StateError> {
    let mut map = SeriesMap::new();
    series.for_each(|(id, held)| drop(map.insert(id, held)));
    let places: HashMap<SeriesId, u32> = map.iter().map(|(id, _)| id).zip(0..).collect();
    let place = |id: SeriesId| {
        let missing = || StateError::Damaged("a window has a series that is not held".into());
        places.get(&id).copied().ok_or_else(missing)
    };
    let mut rest = Rest { shape, spans: Vec::new(), left: Vec::new() };
    for Span { start, end, touched, members } in spans {
        let members = members.into_iter().map(|(id, summary)| Ok((place(id)?, summary)));
        let members = members.collect::<Result<_, StateError>>()?;
        rest.spans.push(Span { start, end, touched, members });
    }
    for &Window { start, end, cause, ref summaries } in left {
        let summaries = summaries.iter().map(|one| Ok((place(one.series)?, one.clone())));
        let summaries = summaries.collect::<Result<_, StateError>>()?;
        rest.left.push(LeftWindow { start, end, cause, summaries });
    }
    State::of_series(STATE_VERSION, &map, &rest)
}

impl Stored {
    pub(super) fn read(state: &State) -> Result<Stored, StateError> {
        let (mut map, rest) = state.read_series::<Held<'static>, Rest>(STATE_VERSION)?;
        let id = |place: u32| {
            let missing = || StateError::Damaged("a window has a series that is not there".into());
            state.series.get(place as usize).copied().ok_or_else(missing)
        };
        let whole = |series: SeriesId, summary: Summary| Summary { series, ..summary };
        let mut stored =
            Stored { shape: rest.shape, series: Vec::new(), spans: Vec::new(), left: Vec::new() };
        for Span { start, end, touched, members } in rest.spans {
            let members = members.into_iter().map(|(place, summary)| {
                let id = id(place)?;
                Ok((id, summary.map(|summary| whole(id, summary))))
            });
            let members = members.collect::<Result<_, StateError>>()?;
            stored.spans.push(Span { start, end, touched, members });
        }
        for LeftWindow { start, end, cause, summaries } in rest.left {
            let summaries =
                summaries.into_iter().map(|(place, summary)| Ok(whole(id(place)?, summary)));
            let summaries = summaries.collect::<Result<_, StateError>>()?;
            stored.left.push(Window { start, end, cause, summaries });
        }
        for (id, held) in map.iter_mut() {
            let Held { seen, past, since, parts } = held;
            let (seen, past, since) = (*seen, *past, *since);
            stored.series.push((id, Held { seen, past, since, parts: std::mem::take(parts) }));
        }
        Ok(stored)
    }

    /// The latest time that is known.
    pub(super) fn latest(&self) -> Timestamp {
        self.series.iter().map(|(_, held)| held.seen).max().unwrap_or(Timestamp::MIN)
    }

    /// Divides what is open among windows of another shape. What `fits` one of them is kept with its series; all else is left to be
    /// emitted as it is, as at the end of the input. Where windows shared readings, one that has none that an earlier one has not
    /// is not needed; unless they `may_share` them as before.
    pub(super) fn carry(
        &mut self,
        emitter: &Emitter,
        may_share: bool,
        fits: impl Fn(&Part<'_>) -> bool,
    ) {
        let grouped = matches!(self.shape, Shape::Length { group: true, .. });
        let shared = match self.shape {
            Shape::Length { length, step, .. } => step < length,
            Shape::Gap { .. } => false,
            Shape::Count { count, step } => step < count,
        };
        let mut ended: BTreeMap<(Timestamp, SeriesId), (Timestamp, Summary)> = BTreeMap::new();
        // In an order that does not depend on the numbers of this process.
        self.series.sort_by_cached_key(|(id, _)| emitter.series(*id));
        for (id, held) in &mut self.series {
            let (mut kept_until, mut ended_until) = (None, None);
            held.parts.retain(|part| {
                let (first, last) = (Some(part.sum.first_time()), Some(part.sum.last_time()));
                if (!shared || may_share || first > kept_until) && fits(part) {
                    kept_until = last;
                    return true;
                }
                if !shared || last > kept_until.max(ended_until) {
                    ended_until = last;
                    ended.insert((part.start, *id), (part.end, part.sum.summary(*id)));
                }
                false
            });
        }
        let mut left = Vec::new();
        for Span { start, end, members, .. } in self.spans.drain(..) {
            let mut cause = Cause::Time;
            let summaries = members.into_iter().filter_map(|(id, summary)| {
                summary.or_else(|| {
                    let (_, summary) = ended.remove(&(start, id)).filter(|_| grouped)?;
                    cause = Cause::End;
                    Some(summary)
                })
            });
            let summaries: Vec<Summary> = summaries.collect();
            if !summaries.is_empty() {
                left.push(Window { start, end, cause, summaries });
            }
        }
        left.extend(ended.into_iter().map(|((start, _), (end, summary))| Window {
            start,
            end,
            cause: Cause::End,
            summaries: vec![summary],
        }));
        left.sort_by_cached_key(|window| {
            let first = window.summaries.first();
            (window.start, first.map(|summary| emitter.series(summary.series)))
        });
        self.left.append(&mut left);
    }
}
