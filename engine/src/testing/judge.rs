//! Whether what came out is what was expected, and what to say if not.

use std::fmt::Write as _;

use super::spec::{ExpectSpec, ObservationSpec, ReadingSpec, WindowSpec};
use crate::batch::Items;
use crate::observation::Observation;
use crate::reading::Reading;
use crate::run::Port;
use crate::series::SeriesTable;
use crate::time::Timestamp;
use crate::unit::normalise;
use crate::window::{Summary, Window};

/// Items that a message shows.
const SHOWN_MAX: usize = 5;
/// Series of a window that a message shows.
const SERIES_SHOWN_MAX: usize = 3;

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) message: String,
    pub(super) seen: Vec<String>,
}

/// Judges items by expectations.
pub(super) struct Judge<'a> {
    pub(super) start: Timestamp,
    pub(super) table: &'a SeriesTable,
}

/// Told of each thing that is not as expected; the text is made only where it is wanted.
type Miss<'a> = dyn FnMut(&dyn Fn() -> String) + 'a;

impl Judge<'_> {
    /// What is to be said about one expectation; nothing when it is met.
    pub(super) fn judge(&self, expect: &ExpectSpec, port: Port, seen: &[Items]) -> Option<Verdict> {
        let all =
            || seen.iter().flat_map(|items| (0..items.len()).map(move |index| (items, index)));
        let matching =
            all().filter(|(items, index)| self.misses(expect, items, *index) == 0).count();
        let met = match (&expect.count, expect.none) {
            (Some(count), _) => count.number(matching as f64),
            (None, true) => matching == 0,
            (None, false) => matching > 0,
        };
        if met {
            return None;
        }
        let message = message(expect, port, matching);
        let mut nearest: Vec<_> = all()
            .enumerate()
            .map(|(order, (items, index))| {
                let distance = self.distance(expect, items.time(index).unwrap_or(self.start));
                (self.misses(expect, items, index), distance, order, items, index)
            })
            .collect();
        let total = nearest.len();
        nearest.sort_by_key(|(misses, distance, order, ..)| (*misses, *distance, *order));
        nearest.truncate(SHOWN_MAX);
        nearest.sort_by_key(|(_, _, order, ..)| *order);
        let mut seen: Vec<String> =
            nearest.iter().map(|(.., items, index)| self.shown(expect, items, *index)).collect();
        if total > seen.len() {
            seen.push(format!("and {} more", total - seen.len()));
        }
        if seen.is_empty() {
            seen.push(format!(
                "nothing {} there",
                if port == Port::Input { "arrived" } else { "came out" }
            ));
        }
        Some(Verdict { message, seen })
    }

    /// How many things about an item are not as expected.
    fn misses(&self, expect: &ExpectSpec, items: &Items, index: usize) -> usize {
        let mut misses = 0;
        self.compare(expect, items, index, &mut |_| misses += 1);
        misses
    }

    fn compare(&self, expect: &ExpectSpec, items: &Items, index: usize, miss: &mut Miss<'_>) {
        let time = items.time(index).unwrap_or(self.start);
        if self.distance(expect, time) > 0 {
            miss(&|| format!("not {}", when(expect)));
        }
        match items {
            Items::Readings(items) => {
                if let (Some(wanted), Some(item)) = (&expect.reading, items.get(index)) {
                    self.reading(wanted, item, miss);
                }
            }
            Items::Windows(items) => {
                if let (Some(wanted), Some(item)) = (&expect.window, items.get(index)) {
                    self.window(wanted, item, miss);
                }
            }
            Items::Observations(items) => {
                if let (Some(wanted), Some(item)) = (&expect.observation, items.get(index)) {
                    observation(wanted, item, miss);
                }
            }
        }
        let asked = [
            (expect.reading.is_some(), matches!(items, Items::Readings(_))),
            (expect.window.is_some(), matches!(items, Items::Windows(_))),
            (expect.observation.is_some(), matches!(items, Items::Observations(_))),
        ];
        if asked.iter().any(|(asked, is)| *asked && !is) {
            miss(&|| "of another kind".into());
        }
    }

    /// How far a time is from where it should be, in microseconds.
    fn distance(&self, expect: &ExpectSpec, time: Timestamp) -> i64 {
        let (from, to) = match (expect.at, expect.by, expect.between) {
            (Some(at), ..) => (self.start + at, self.start + at),
            (None, Some(by), _) => (Timestamp::MIN, self.start + by),
            (None, None, Some([from, to])) => (self.start + from, self.start + to),
            (None, None, None) => return 0,
        };
        from.since(time).as_micros().max(time.since(to).as_micros())
    }

    fn reading(&self, wanted: &ReadingSpec, item: &Reading, miss: &mut Miss<'_>) {
        let series = self.table.get(item.series);
        if let Some(glob) =
            wanted.source.as_ref().filter(|glob| !glob.matches(series.source.name()))
        {
            miss(&|| format!("the source is not `{glob}`"));
        }
        if let Some(value) = wanted.value.as_ref().filter(|wanted| !wanted.value(&item.value)) {
            miss(&|| format!("the value is not {value}"));
        }
        if let Some(score) = wanted.score.as_ref().filter(|wanted| !wanted.number(item.score)) {
            miss(&|| format!("the score {} is not {score}", figure(item.score)));
        }
        let unit = series.unit.as_deref().unwrap_or_default();
        if let Some(wanted) = wanted.unit.as_ref().filter(|wanted| normalise(wanted) != unit) {
            miss(&|| format!("the unit is not {wanted}"));
        }
        for (name, glob) in &wanted.labels {
            if !series.labels.get(name.as_str()).is_some_and(|value| glob.matches(value)) {
                miss(&|| format!("the label `{name}` is not `{glob}`"));
            }
        }
        let count = f64::from(item.count);
        if let Some(wanted) = wanted.count.as_ref().filter(|wanted| !wanted.number(count)) {
            miss(&|| format!("the count {count} is not {wanted}"));
        }
    }

    fn window(&self, wanted: &WindowSpec, item: &Window, miss: &mut Miss<'_>) {
        if !wanted.cause.is_empty() && !wanted.cause.contains(&item.cause) {
            let causes: Vec<&str> = wanted.cause.iter().map(|cause| cause.as_str()).collect();
            miss(&|| format!("the cause is not {}", causes.join(" or ")));
        }
        for (what, wanted, is) in
            [("begin", wanted.start, item.start), ("end", wanted.end, item.end)]
        {
            if let Some(time) = wanted.filter(|time| self.start + *time != is) {
                miss(&|| format!("it does not {what} at {time}"));
            }
        }
        let series = item.summaries.len() as f64;
        if let Some(wanted) = wanted.series.as_ref().filter(|wanted| !wanted.number(series)) {
            miss(&|| format!("the number of series {series} is not {wanted}"));
        }
        if asks_of_series(wanted) && !item.summaries.iter().any(|one| self.summary(wanted, one)) {
            miss(&|| format!("no series has {}", series_conditions(wanted).join(" and ")));
        }
    }

    fn summary(&self, wanted: &WindowSpec, one: &Summary) -> bool {
        let series = self.table.get(one.series);
        let figures = [
            (&wanted.count, one.count as f64),
            (&wanted.min, one.min),
            (&wanted.max, one.max),
            (&wanted.mean, one.mean),
            (&wanted.stddev, one.stddev),
            (&wanted.score, one.score),
        ];
        wanted.source.as_ref().is_none_or(|glob| glob.matches(series.source.name()))
            && figures.iter().all(|(wanted, is)| wanted.as_ref().is_none_or(|w| w.number(*is)))
            && wanted.first.as_ref().is_none_or(|wanted| wanted.value(&one.first))
            && wanted.last.as_ref().is_none_or(|wanted| wanted.value(&one.last))
    }

    /// An item on one line, with what is not as expected about it.
    fn shown(&self, expect: &ExpectSpec, items: &Items, index: usize) -> String {
        let time = items.time(index).unwrap_or(self.start);
        let mut text = format!("{}: ", self.since_start(time));
        // Writing to a `String` cannot fail.
        let _ = match items {
            Items::Readings(items) => {
                items.get(index).map(|item| self.show_reading(item, &mut text))
            }
            Items::Windows(items) => items.get(index).map(|item| self.show_window(item, &mut text)),
            Items::Observations(items) => {
                items.get(index).map(|item| write!(text, "{} {:?}", item.kind, item.text))
            }
        };
        let mut why = Vec::new();
        self.compare(expect, items, index, &mut |say| why.push(say()));
        if !why.is_empty() {
            let _ = write!(text, "  ({})", why.join("; "));
        }
        // A text from outside keeps to its line.
        text.replace(char::is_control, "\u{fffd}")
    }

    fn show_reading(&self, item: &Reading, text: &mut String) -> std::fmt::Result {
        let series = self.table.get(item.series);
        write!(text, "{} = {}", series.source, item.value)?;
        if let Some(unit) = &series.unit {
            write!(text, " {unit}")?;
        }
        if !item.score.is_nan() {
            write!(text, ", score {}", figure(item.score))?;
        }
        if item.count != 1 {
            write!(text, ", count {}", item.count)?;
        }
        Ok(())
    }

    fn show_window(&self, item: &Window, text: &mut String) -> std::fmt::Result {
        write!(text, "window of cause {} since {}", item.cause, self.since_start(item.start))?;
        for one in item.summaries.iter().take(SERIES_SHOWN_MAX) {
            let series = self.table.get(one.series);
            write!(text, ", {}: {} readings", series.source, one.count)?;
            if one.mean.is_finite() {
                let (mean, min, max) = (figure(one.mean), figure(one.min), figure(one.max));
                write!(text, ", mean {mean}, {min} to {max}")?;
            }
        }
        if item.summaries.len() > SERIES_SHOWN_MAX {
            write!(text, ", and {} more series", item.summaries.len() - SERIES_SHOWN_MAX)?;
        }
        Ok(())
    }

    fn since_start(&self, time: Timestamp) -> String {
        if time < self.start {
            return format!("-{}", self.start.since(time));
        }
        time.since(self.start).to_string()
    }
}

fn observation(wanted: &ObservationSpec, item: &Observation, miss: &mut Miss<'_>) {
    if !wanted.kind.is_empty() && !wanted.kind.contains(&item.kind) {
        let kinds: Vec<String> = wanted.kind.iter().map(ToString::to_string).collect();
        miss(&|| format!("the kind is not {}", kinds.join(" or ")));
    }
    if let Some(part) = wanted.text.as_ref().filter(|part| !item.text.contains(part.as_str())) {
        miss(&|| format!("the text does not contain {part:?}"));
    }
    if let Some(glob) = &wanted.source
        && !item.sources.iter().any(|source| glob.matches(source))
    {
        miss(&|| format!("no source is `{glob}`"));
    }
    let sure = item.confidence;
    if let Some(wanted) = wanted.confidence.as_ref().filter(|wanted| !wanted.number(sure)) {
        miss(&|| format!("the confidence {sure} is not {wanted}"));
    }
}

/// A figure as short as it is still useful.
fn figure(number: f64) -> String {
    if number.is_nan() {
        return "none".into();
    }
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn message(expect: &ExpectSpec, port: Port, matching: usize) -> String {
    let node = &*expect.node;
    let verb = if port == Port::Input { "gets" } else { "gives" };
    let noun = match (&expect.reading, &expect.window, &expect.observation) {
        (Some(_), ..) => "reading",
        (_, Some(_), _) => "window",
        (_, _, Some(_)) => "observation",
        _ => "item",
    };
    let number = match matching {
        0 => format!("no {noun}"),
        1 => format!("1 {noun}"),
        more => format!("{more} {noun}s"),
    };
    let mut text = format!("`{node}` {verb} {number}");
    let conditions = conditions(expect);
    if !conditions.is_empty() {
        text += &format!(" with {}", conditions.join(" and "));
    }
    let when = when(expect);
    if !when.is_empty() {
        text += &format!(" {when}");
    }
    match (&expect.count, expect.none) {
        (Some(count), _) => text + &format!(", expected {count}"),
        (None, true) => text + ", expected none",
        (None, false) => text,
    }
}

fn when(expect: &ExpectSpec) -> String {
    match (expect.at, expect.by, expect.between) {
        (Some(at), ..) => format!("at {at}"),
        (None, Some(by), _) => format!("by {by}"),
        (None, None, Some([from, to])) => format!("between {from} and {to}"),
        (None, None, None) => String::new(),
    }
}

fn conditions(expect: &ExpectSpec) -> Vec<String> {
    let mut list = Vec::new();
    if let Some(wanted) = &expect.reading {
        list.extend(wanted.source.as_ref().map(|glob| format!("source `{glob}`")));
        list.extend(wanted.value.as_ref().map(|value| format!("value {value}")));
        list.extend(wanted.score.as_ref().map(|score| format!("score {score}")));
        list.extend(wanted.unit.as_ref().map(|unit| format!("unit {unit}")));
        list.extend(wanted.labels.iter().map(|(name, glob)| format!("label `{name}: {glob}`")));
        list.extend(wanted.count.as_ref().map(|count| format!("count {count}")));
    }
    if let Some(wanted) = &expect.window {
        let causes: Vec<&str> = wanted.cause.iter().map(|cause| cause.as_str()).collect();
        list.extend((!causes.is_empty()).then(|| format!("cause {}", causes.join(" or "))));
        list.extend(wanted.start.map(|start| format!("start {start}")));
        list.extend(wanted.end.map(|end| format!("end {end}")));
        list.extend(wanted.series.as_ref().map(|series| format!("{series} series")));
        list.extend(series_conditions(wanted));
    }
    if let Some(wanted) = &expect.observation {
        let kinds: Vec<String> = wanted.kind.iter().map(ToString::to_string).collect();
        list.extend((!kinds.is_empty()).then(|| format!("kind {}", kinds.join(" or "))));
        list.extend(wanted.text.as_ref().map(|text| format!("text {text:?}")));
        list.extend(wanted.source.as_ref().map(|glob| format!("source `{glob}`")));
        list.extend(wanted.confidence.as_ref().map(|sure| format!("confidence {sure}")));
    }
    list
}

fn asks_of_series(wanted: &WindowSpec) -> bool {
    !series_conditions(wanted).is_empty()
}

fn series_conditions(wanted: &WindowSpec) -> Vec<String> {
    let figures = [
        ("count", &wanted.count),
        ("min", &wanted.min),
        ("max", &wanted.max),
        ("mean", &wanted.mean),
        ("stddev", &wanted.stddev),
        ("score", &wanted.score),
    ];
    let mut list = Vec::new();
    list.extend(wanted.source.as_ref().map(|glob| format!("source `{glob}`")));
    list.extend(
        figures.iter().filter_map(|(name, wanted)| Some(format!("{name} {}", wanted.as_ref()?))),
    );
    list.extend(wanted.first.as_ref().map(|value| format!("first {value}")));
    list.extend(wanted.last.as_ref().map(|value| format!("last {value}")));
    list
}
