//! Loops that pass some readings on, or say what becomes of them: `dedup`, `filter`, `alarm`, `gate`.

use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use crate::plain::Plain;

/// Suppresses numbers that are no further than 0.05 from the last passed one.
pub(crate) struct Dedup {
    last: SeriesMap<Last>,
}

struct Last {
    value: f64,
    suppressed: u32,
}

impl Plain for Dedup {
    type Emits = Reading;

    fn new(_: &Context) -> Dedup {
        Dedup { last: SeriesMap::new() }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Reading>) {
        for reading in readings {
            let Value::Float(value) = reading.value else { continue };
            let last = self.last.get_or_insert_with(reading.series, || Last {
                value: f64::INFINITY,
                suppressed: 0,
            });
            if (value - last.value).abs() > 0.05 {
                out.push(Reading {
                    time: reading.time,
                    value: Value::Float(value),
                    score: reading.score,
                    series: reading.series,
                    count: reading.count + last.suppressed,
                });
                *last = Last { value, suppressed: 0 };
            } else {
                last.suppressed += reading.count;
            }
        }
    }
}

/// Keeps the numbers of some sources that are above 60.
pub(crate) struct Filter {
    kept: SeriesMap<bool>,
    context: Context,
}

impl Plain for Filter {
    type Emits = Reading;

    fn new(context: &Context) -> Filter {
        Filter { kept: SeriesMap::new(), context: context.clone() }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Reading>) {
        for reading in readings {
            let Value::Float(value) = reading.value else { continue };
            let kept = *self.kept.get_or_insert_with(reading.series, || {
                let series = self.context.series(reading.series);
                let name = series.source.name();
                name.ends_with("/temp_c") || name.ends_with("/co2_ppm")
            });
            if kept && value > 60.0 {
                out.push(Reading { value: Value::Float(value), ..*reading });
            }
        }
    }
}

/// Says of each series when it rises above 60, and when it falls below 59.
pub(crate) struct Alarm {
    rings: SeriesMap<Rings>,
    context: Context,
}

struct Rings {
    series: SeriesId,
    on: bool,
}

impl Plain for Alarm {
    type Emits = Reading;

    fn new(context: &Context) -> Alarm {
        Alarm { rings: SeriesMap::new(), context: context.clone() }
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Reading>) {
        for reading in readings {
            let Value::Float(value) = reading.value else { continue };
            let Some(rings) = self.rings.get_mut(reading.series) else {
                let Ok(series) = self.context.derived_series(reading.series, |series| series)
                else {
                    continue;
                };
                let on = value > 60.0;
                self.rings.insert(reading.series, Rings { series, on });
                out.push(Reading::new(reading.time, series, on));
                continue;
            };
            let turns = if rings.on { value < 59.0 } else { value > 60.0 };
            if turns {
                rings.on = !rings.on;
                out.push(Reading::new(reading.time, rings.series, rings.on));
            }
        }
    }
}

/// Passes readings while the last control was above 20.5, and for half a second after.
pub(crate) struct Gate {
    open: bool,
    until: Timestamp,
}

impl Plain for Gate {
    type Emits = Reading;

    fn new(_: &Context) -> Gate {
        Gate { open: false, until: Timestamp::MIN }
    }

    fn control(&mut self, reading: &Reading) {
        let open = matches!(reading.value, Value::Float(value) if value > 20.5);
        if self.open && !open {
            self.until = reading.time + Duration::from_millis(500);
        }
        self.open = open;
    }

    fn apply(&mut self, readings: &[Reading], out: &mut Vec<Reading>) {
        for reading in readings {
            let Value::Float(value) = reading.value else { continue };
            if self.open || reading.time < self.until {
                out.push(Reading { value: Value::Float(value), ..*reading });
            }
        }
    }
}
