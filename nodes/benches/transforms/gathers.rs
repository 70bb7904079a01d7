//! Loops that gather readings into windows, or into one of several: `window`, `adaptive_rate`, `combine`.

use std::collections::{BTreeMap, HashMap};

use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesId, SeriesMap, SourceKey};
use smollama_engine::time::Timestamp;
use smollama_engine::window::{Cause, Summary, Window};

use crate::plain::Plain;

/// The readings of one series in one span.
struct Sums {
    end: Timestamp,
    n: u64,
    min: f64,
    max: f64,
    mean: f64,
    m2: f64,
    first: f64,
    last: f64,
}

impl Sums {
    fn new(end: Timestamp, x: f64) -> Sums {
        Sums { end, n: 1, min: x, max: x, mean: x, m2: 0.0, first: x, last: x }
    }

    #[inline]
    fn add(&mut self, x: f64) {
        self.n += 1;
        let d = x - self.mean;
        self.mean += d / self.n as f64;
        self.m2 += d * (x - self.mean);
        self.min = self.min.min(x);
        self.max = self.max.max(x);
        self.last = x;
    }

    fn summary(&self, series: SeriesId) -> Summary {
        let stddev = if self.n > 1 { (self.m2 / (self.n - 1) as f64).sqrt() } else { 0.0 };
        Summary {
            series,
            count: self.n,
            min: self.min,
            max: self.max,
            mean: self.mean,
            stddev,
            first: Value::Float(self.first),
            last: Value::Float(self.last),
            score: f64::NAN,
        }
    }
}

const MINUTE: Duration = Duration::from_mins(1);

/// Windows of a minute, one after another.
pub(crate) struct Tumbling {
    open: SeriesMap<Sums>,
    /// By their ends, the spans that are open: how many series came into each, and what is known of those that are past it.
    spans: BTreeMap<Timestamp, (usize, Vec<Summary>)>,
}

impl Tumbling {
    /// A series' first reading in a span.
    #[inline(never)]
    fn turn(&mut self, series: SeriesId, time: Timestamp, x: f64, out: &mut Vec<Window>) {
        let end = time.floor_to(MINUTE) + MINUTE;
        let before = self.open.insert(series, Sums::new(end, x));
        self.spans.entry(end).or_default().0 += 1;
        let Some(before) = before else { return };
        let Some((entered, past)) = self.spans.get_mut(&before.end) else { return };
        past.push(before.summary(series));
        if past.len() == *entered {
            let summaries = std::mem::take(past);
            self.spans.remove(&before.end);
            let (start, end) = (before.end - MINUTE, before.end);
            out.push(Window { start, end, cause: Cause::Time, summaries });
        }
    }
}

impl Plain for Tumbling {
    type Emits = Window;

    fn new(_: &Context) -> Tumbling {
        Tumbling { open: SeriesMap::new(), spans: BTreeMap::new() }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Window>) {
        for reading in readings {
            let Value::Float(x) = reading.value else { continue };
            match self.open.get_mut(reading.series) {
                Some(sums) if reading.time < sums.end => sums.add(x),
                _ => self.turn(reading.series, reading.time, x, out),
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Window>) {
        for (series, sums) in self.open.iter() {
            if let Some((_, past)) = self.spans.get_mut(&sums.end) {
                past.push(sums.summary(series));
            }
        }
        for (end, (_, summaries)) in std::mem::take(&mut self.spans) {
            out.push(Window { start: end - MINUTE, end, cause: Cause::End, summaries });
        }
    }
}

const PERIOD: Duration = Duration::from_mins(5);

/// A window every five minutes, of whatever came in it.
pub(crate) struct Heartbeats {
    gathered: SeriesMap<Sums>,
    members: Vec<SeriesId>,
    end: Option<Timestamp>,
    last: Timestamp,
    context: Context,
}

impl Heartbeats {
    fn close(&mut self, end: Timestamp, due: Timestamp, cause: Cause, out: &mut Vec<Window>) {
        self.members.sort_by_cached_key(|&id| self.context.series(id).source.clone());
        let gathered = &mut self.gathered;
        let members = self.members.drain(..);
        let summaries = members.filter_map(|id| Some(gathered.remove(id)?.summary(id))).collect();
        out.push(Window { start: due - PERIOD, end, cause, summaries });
        self.end = Some(due + PERIOD);
    }
}

impl Plain for Heartbeats {
    type Emits = Window;

    fn new(context: &Context) -> Heartbeats {
        Heartbeats {
            gathered: SeriesMap::new(),
            members: Vec::new(),
            end: None,
            last: Timestamp::EPOCH,
            context: context.clone(),
        }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Window>) {
        for reading in readings {
            let Value::Float(x) = reading.value else { continue };
            let end = *self.end.get_or_insert(reading.time + PERIOD);
            if reading.time >= end {
                self.close(end, end, Cause::Heartbeat, out);
            }
            self.last = reading.time;
            match self.gathered.get_mut(reading.series) {
                Some(sums) => sums.add(x),
                None => {
                    self.gathered.insert(reading.series, Sums::new(end, x));
                    self.members.push(reading.series);
                }
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Window>) {
        if let Some(end) = self.end {
            self.close(self.last, end, Cause::End, out);
        }
    }
}

const STALE: Duration = Duration::from_hours(1);

/// The mean of each room, with each reading of one of its series.
pub(crate) struct Means {
    places: SeriesMap<(usize, usize)>,
    rooms: Vec<Room>,
    by_name: HashMap<String, usize>,
    context: Context,
}

struct Room {
    series: SeriesId,
    values: Vec<(f64, Timestamp)>,
}

impl Means {
    /// The place of a new series.
    #[cold]
    fn place(&mut self, series: SeriesId) -> Option<(usize, usize)> {
        let described = self.context.series(series);
        let name = described.labels.get("room")?;
        let room = match self.by_name.get(&**name) {
            Some(room) => *room,
            None => {
                let source = SourceKey::local(&self.context.type_part, &format!("{name}/mean"));
                let made = Series::new(source).with_label("room", name);
                let series = self.context.host.series.intern_derived(&made).ok()?;
                self.rooms.push(Room { series, values: Vec::new() });
                self.by_name.insert(name.to_string(), self.rooms.len() - 1);
                self.rooms.len() - 1
            }
        };
        let values = &mut self.rooms[room].values;
        values.push((0.0, Timestamp::MIN));
        let place = (room, values.len() - 1);
        self.places.insert(series, place);
        Some(place)
    }
}

impl Plain for Means {
    type Emits = Reading;

    fn new(context: &Context) -> Means {
        let (places, rooms, by_name) = (SeriesMap::new(), Vec::new(), HashMap::new());
        Means { places, rooms, by_name, context: context.clone() }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Reading>) {
        for reading in readings {
            let Value::Float(x) = reading.value else { continue };
            let place = self.places.get(reading.series).copied();
            let Some((room, at)) = place.or_else(|| self.place(reading.series)) else { continue };
            let Room { series, values } = &mut self.rooms[room];
            values[at] = (x, reading.time);
            let (mut sum, mut count) = (0.0, 0.0);
            for (x, heard) in values {
                if reading.time < *heard + STALE {
                    sum += *x;
                    count += 1.0;
                }
            }
            out.push(Reading::new(reading.time, *series, sum / count));
        }
    }
}
