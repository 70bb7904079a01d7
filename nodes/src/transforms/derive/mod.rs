//! `derive`: a new quantity of each series.

mod memory;
mod period;
mod recent;
mod settings;
#[cfg(test)]
mod tests;

pub use self::settings::{DeriveConfig, Method};

use serde::{Deserialize, Serialize};
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, Reject, State, StateError, Transform};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{Series, SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;
use smollama_engine::unit::{self, Conversion, TimeUnit};

use self::memory::{Memory, Smoothing, Step, Summing};
use self::period::PerPeriod;
use self::settings::Kind;
use super::made::Made;

const DROPPED: usize = 1;
const LATE: usize = 2;
const STATE_VERSION: u32 = 1;

impl NodeConfig for DeriveConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "derive";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::stateful()
            .output("dropped", Carries::Kind(ItemKind::Readings))
            .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let rules = Rules::new(self, context);
        let series = SeriesMap::new();
        let Some(period) = self.period else {
            return Ok(Node::Transform(Box::new(Derive { step: rules.step(self), rules, series })));
        };
        Ok(Node::Transform(Box::new(PerPeriod::new(self, period, rules))))
    }
}

/// What holds for all series.
struct Rules {
    kind: Kind,
    time: TimeUnit,
    counter: Option<bool>,
    convert: Option<String>,
    context: Context,
}

/// One series.
struct Derived {
    last: Timestamp,
    memory: Memory,
    fixed: Fixed,
}

/// What follows from the settings and what the series is: looked up once.
struct Fixed {
    counter: bool,
    conversion: Option<Box<Conversion>>,
    made: Made,
}

impl Fixed {
    /// The series that its values come out under as they are, where that is known.
    #[inline]
    fn plainly(&self) -> Option<SeriesId> {
        self.made.known().filter(|_| self.conversion.is_none() && !self.counter)
    }
}

impl Derived {
    /// Up to when it is known in the period that goes on.
    fn so_far(&self, open: Option<(Timestamp, Timestamp)>) -> Timestamp {
        open.map_or(self.last, |(start, _)| self.last.max(start))
    }
}

impl Rules {
    fn new(config: &DeriveConfig, context: &Context) -> Rules {
        Rules {
            kind: config.kind(),
            time: config.rate.or(config.integral).unwrap_or(TimeUnit::S),
            counter: config.counter,
            convert: config.convert.clone(),
            context: context.clone(),
        }
    }

    /// What follows from each reading.
    fn step(&self, config: &DeriveConfig) -> Step {
        match self.kind {
            Kind::Rate => Step::Rate(self.time.seconds()),
            Kind::MovingAverage => {
                Step::MovingAverage(config.moving_average.unwrap_or(Duration::ZERO))
            }
            Kind::ExponentialAverage => Step::ExponentialAverage(Smoothing::new(
                config.exponential_average.unwrap_or(Duration::ZERO),
            )),
            Kind::Integral => Step::Integral(Summing {
                method: config.method.unwrap_or_default(),
                unit: self.time.seconds(),
                max_gap: config.max_gap,
            }),
            // The last two are told once a period.
            Kind::Difference | Kind::TimeIn | Kind::Count => Step::Difference,
        }
    }

    /// The unit that follows from the input's.
    fn unit(&self, of: Option<&str>) -> Option<String> {
        match self.kind {
            Kind::Rate => Some(unit::per_time(of, self.time)),
            Kind::Integral => Some(unit::over_time(of, self.time)),
            Kind::TimeIn => Some("s".to_owned()),
            Kind::Count => None,
            Kind::Difference | Kind::MovingAverage | Kind::ExponentialAverage => {
                of.map(str::to_owned)
            }
        }
    }

    /// The series that is made from another.
    fn describe(&self, mut series: Series) -> Series {
        let unit = self.convert.clone().or_else(|| self.unit(series.unit.as_deref()));
        series.unit = None;
        match unit {
            Some(unit) => series.with_unit(&unit),
            None => series,
        }
    }

    fn fixed(&self, id: SeriesId) -> (Fixed, Option<String>) {
        let series = self.context.series(id);
        let counter = self.counter.unwrap_or(series.monotonic);
        let (mut conversion, mut made, mut reason) = (None, Made::New, None);
        if let Some(to) = &self.convert {
            let found = match self.unit(series.unit.as_deref()) {
                Some(unit) => unit::conversion(&unit, to).map_err(|error| error.to_string()),
                None => Err(format!("it has no unit to be converted to `{to}`")),
            };
            match found {
                Ok(found) => {
                    conversion = (!found.changes_nothing()).then(|| Box::new(found));
                }
                Err(error) => (made, reason) = (Made::Refused, Some(error)),
            }
        }
        (Fixed { counter, conversion, made }, reason)
    }

    /// What is fixed for a series that is seen for the first time.
    #[cold]
    fn first(&self, id: SeriesId, out: &mut Outputs) -> Fixed {
        let (fixed, reason) = self.fixed(id);
        if let Some(reason) = reason {
            let origin = self.context.series(id).source.name().to_owned();
            let reason = format!("its readings go to port `dropped`: {reason}");
            out.reject(Reject { reason, origin, bytes: Vec::new() });
        }
        fixed
    }

    /// Emits what was made. False where there is no such thing.
    #[inline]
    fn emit(
        &self,
        fixed: &mut Fixed,
        id: SeriesId,
        time: Timestamp,
        value: Value,
        out: &mut Outputs,
    ) -> bool {
        let value = match &fixed.conversion {
            None => value,
            Some(conversion) => {
                let number = value.as_f64().and_then(|number| {
                    Value::float(match self.kind {
                        Kind::Difference => conversion.apply_to_difference(number),
                        _ => conversion.apply(number),
                    })
                });
                let Some(number) = number else { return false };
                number
            }
        };
        let series = fixed.made.id(&self.context, id, out, |series| self.describe(series));
        let Some(series) = series else { return false };
        if let Some(readings) = out.readings_mut(MAIN) {
            readings.push(Reading { time, value, score: f64::NAN, series, count: 1 });
        }
        true
    }

    fn snapshot(
        &self,
        series: &SeriesMap<Derived>,
        open: Option<(Timestamp, Timestamp)>,
    ) -> Result<State, StateError> {
        let mut stored = SeriesMap::new();
        for (id, one) in series.iter() {
            stored.insert(id, (one.last, &one.memory));
        }
        State::of_series(STATE_VERSION, &stored, &Rest { kind: self.kind, open })
    }

    fn restored(&self, state: &State) -> Result<(SeriesMap<Derived>, Rest), StateError> {
        let (mut stored, rest) = state.read_series::<(Timestamp, Memory), Rest>(STATE_VERSION)?;
        if rest.kind != self.kind {
            let (was, is) = (rest.kind.as_str(), self.kind.as_str());
            return Err(StateError::DoesNotFit(format!("of `{was}` no `{is}` can be made")));
        }
        let mut series = SeriesMap::new();
        for (id, (last, memory)) in stored.iter_mut() {
            if !memory.is_whole() {
                return Err(StateError::Damaged("what is remembered does not fit".into()));
            }
            let (fixed, _) = self.fixed(id);
            series.insert(id, Derived { last: *last, memory: memory.clone(), fixed });
        }
        Ok((series, rest))
    }

    /// Drops a series and names what was made from it.
    fn forget(&self, series: &mut SeriesMap<Derived>, silent: &mut Vec<SeriesId>) {
        for at in 0..silent.len() {
            if series.remove(silent[at]).is_some() {
                let made = self.context.known_derived_series(silent[at], |one| self.describe(one));
                silent.extend(made);
            }
        }
    }
}

/// The state that belongs to no series.
#[derive(Debug, Serialize, Deserialize)]
struct Rest {
    kind: Kind,
    open: Option<(Timestamp, Timestamp)>,
}

/// What says something with each reading.
struct Derive {
    rules: Rules,
    step: Step,
    series: SeriesMap<Derived>,
}

impl Derive {
    /// Takes the first reading of a series.
    #[cold]
    fn first(&mut self, reading: &Reading, out: &mut Outputs) {
        let Derive { rules, step, series } = self;
        let id = reading.series;
        let Some(number) = reading.value.as_f64() else {
            out.reading(DROPPED, reading.clone());
            return;
        };
        let fixed = rules.first(id, out);
        let memory = Memory::new(rules.kind, reading.time, &reading.value);
        let mut one = Derived { last: reading.time, memory, fixed };
        if one.fixed.made == Made::Refused {
            out.reading(DROPPED, reading.clone());
        } else if Memory::says_at_once(rules.kind)
            && let Some(value) =
                one.memory.step(step, reading.time, (&reading.value, number), one.fixed.counter)
        {
            rules.emit(&mut one.fixed, id, reading.time, value, out);
        }
        series.insert(id, one);
    }
}

/// Takes the readings from the front that nothing is special about, and says how many these are. Apart from the rest, so that what is the same
/// for all of them is looked up once.
#[inline(never)]
fn go_on(
    step: &mut Step,
    series: &mut SeriesMap<Derived>,
    readings: &[Reading],
    main: &mut Vec<Reading>,
) -> usize {
    for (at, reading) in readings.iter().enumerate() {
        let (Some(one), Some(number)) = (series.get_mut(reading.series), reading.value.as_f64())
        else {
            return at;
        };
        let Some(made) = one.fixed.plainly().filter(|_| reading.time >= one.last) else {
            return at;
        };
        one.last = reading.time;
        let value = (&reading.value, number);
        if let Some(value) = one.memory.step(step, reading.time, value, false) {
            main.push(Reading::new(reading.time, made, value));
        }
    }
    readings.len()
}

impl Derive {
    fn take(&mut self, reading: &Reading, out: &mut Outputs) {
        let Derive { rules, step, series } = self;
        let (id, time) = (reading.series, reading.time);
        let Some(one) = series.get_mut(id) else {
            self.first(reading, out);
            return;
        };
        if time < one.last {
            out.reading(LATE, reading.clone());
            return;
        }
        let number = reading.value.as_f64().filter(|_| one.fixed.made != Made::Refused);
        let Some(number) = number else {
            out.reading(DROPPED, reading.clone());
            return;
        };
        one.last = time;
        let value = (&reading.value, number);
        if let Some(value) = one.memory.step(step, time, value, one.fixed.counter) {
            rules.emit(&mut one.fixed, id, time, value, out);
        }
    }
}

impl Transform for Derive {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let mut readings = batch.readings();
        loop {
            if let Some(main) = out.readings_mut(MAIN) {
                let gone_on = go_on(&mut self.step, &mut self.series, readings, main);
                readings = &readings[gone_on..];
            }
            let Some((reading, more)) = readings.split_first() else { return Ok(()) };
            self.take(reading, out);
            readings = more;
        }
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.rules.forget(&mut self.series, silent);
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        self.rules.snapshot(&self.series, None)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        (self.series, _) = self.rules.restored(state)?;
        Ok(())
    }
}
