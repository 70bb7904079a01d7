//! Loops that make readings of other series: `map`, `derive`.

use smollama_engine::context::Context;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use crate::plain::Plain;

/// Brings numbers to another scale, under another label.
pub(crate) struct Map {
    made: SeriesMap<SeriesId>,
    context: Context,
}

impl Plain for Map {
    type Emits = Reading;

    fn new(context: &Context) -> Map {
        Map { made: SeriesMap::new(), context: context.clone() }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Reading>) {
        for reading in readings {
            let Value::Float(value) = reading.value else { continue };
            let made = *self.made.get_or_insert_with(reading.series, || {
                let series = Series::clone(&self.context.series(reading.series));
                let made =
                    self.context.host.series.intern_derived(&series.with_label("site", "home"));
                made.unwrap_or(reading.series)
            });
            let value = Value::Float(value * 1.8 + 32.0);
            let Reading { time, score, count, .. } = *reading;
            out.push(Reading { time, value, score, series: made, count });
        }
    }
}

/// Says how much a number changes each second.
pub(crate) struct Rate {
    last: SeriesMap<Last>,
    context: Context,
}

struct Last {
    made: SeriesId,
    value: f64,
    time: Timestamp,
}

impl Plain for Rate {
    type Emits = Reading;

    fn new(context: &Context) -> Rate {
        Rate { last: SeriesMap::new(), context: context.clone() }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Reading>) {
        for reading in readings {
            let (Value::Float(value), time) = (&reading.value, reading.time) else { continue };
            let value = *value;
            let Some(last) = self.last.get_mut(reading.series) else {
                let made =
                    self.context.derived_series(reading.series, |series| series.with_unit("1/s"));
                if let Ok(made) = made {
                    self.last.insert(reading.series, Last { made, value, time });
                }
                continue;
            };
            let rate = (value - last.value) / time.since(last.time).as_secs_f64();
            (last.value, last.time) = (value, time);
            out.push(Reading::new(time, last.made, rate));
        }
    }
}
