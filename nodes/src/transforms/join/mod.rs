//! `join`: to each reading what another source said at that time.

mod settings;
mod sides;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{Carries, InputPort, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{Series, SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

pub use self::settings::JoinConfig;
use self::sides::{LEFT_MAX, Left, Right, Said, Sides, Stored, Waiting};
use crate::transforms::expression::Expression;
use crate::transforms::groups::{self, Groups};
use crate::transforms::made::Made;

/// The input port of the right side.
const RIGHT: usize = 1;
const DROPPED: usize = 1;
const LATE: usize = 2;
const STATE_VERSION: u32 = 1;

impl NodeConfig for JoinConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "join";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let port = |name| InputPort { name, accepts: vec![ItemKind::Readings] };
        Profile { inputs: vec![port("left"), port("right")], ..Profile::stateful() }
            .output("dropped", Carries::Kind(ItemKind::Readings))
            .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let expression = self.parsed().transpose();
        let expression =
            expression.map_err(|fault| Problem::at("expression", fault.to_string()))?;
        Ok(Node::Transform(Box::new(Join {
            config: self.clone(),
            expression,
            stack: Vec::new(),
            context: context.clone(),
            lefts: SeriesMap::new(),
            rights: SeriesMap::new(),
            sides: Groups::new(),
            agenda: BTreeSet::new(),
            next: 0,
        })))
    }
}

struct Join {
    config: JoinConfig,
    expression: Option<Expression>,
    stack: Vec<f64>,
    context: Context,
    lefts: SeriesMap<Left>,
    rights: SeriesMap<Right>,
    /// What is remembered of both sides, for each value of the labels.
    sides: Groups<Sides>,
    /// Until when left readings wait: the time, their number, and where.
    agenda: BTreeSet<(Timestamp, u64, u32)>,
    /// The number of the next reading that is kept.
    next: u64,
}

impl Join {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Where a series belongs.
    #[cold]
    fn place(&mut self, id: SeriesId) -> Option<u32> {
        let key = groups::key(&self.config.by, &self.context.series(id))?;
        Some(self.sides.join(key, Sides::default))
    }

    fn right(&mut self, reading: &Reading, out: &mut Outputs) {
        let id = reading.series;
        if self.rights.get(id).is_none() {
            let place = self.place(id);
            self.rights.insert(id, Right { last: Timestamp::MIN, place });
        }
        let Some(right) = self.rights.get_mut(id) else { return };
        if reading.time < right.last {
            out.reading(LATE, reading.clone());
            return;
        }
        let Some(place) = right.place.filter(|_| self.is_usable(&reading.value)) else {
            out.reading(DROPPED, reading.clone());
            return;
        };
        if let Some(right) = self.rights.get_mut(id) {
            right.last = reading.time;
        }
        let number = self.number();
        let Some(sides) = self.sides.get_mut(place) else { return };
        let value = reading.value.clone();
        let known = sides.of.hear(Said { time: reading.time, number, series: id, value });
        while let Some(waiting) = self.sides.get_mut(place).and_then(|sides| sides.of.ready(known))
        {
            self.agenda.remove(&(waiting.due, waiting.number, place));
            self.join(place, &waiting.reading, out);
        }
        if let Some(sides) = self.sides.get_mut(place) {
            sides.of.prune(known, self.config.tolerance);
        }
    }

    /// Takes a left reading, which takes effect at `clock`.
    fn left(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        let id = reading.series;
        if self.lefts.get(id).is_none() {
            let place = self.place(id);
            self.lefts.insert(id, Left { last: Timestamp::MIN, place, made: Made::New });
        }
        let usable = self.is_usable(&reading.value);
        let Some(left) = self.lefts.get_mut(id) else { return };
        if reading.time < left.last {
            out.reading(LATE, reading.clone());
            return;
        }
        let Some(place) = left.place.filter(|_| usable) else {
            out.reading(DROPPED, reading.clone());
            return;
        };
        left.last = reading.time;
        let Some(sides) = self.sides.get_mut(place) else { return };
        let known = sides.of.known().is_some_and(|known| known >= reading.time);
        if known || self.config.wait.is_zero() {
            self.join(place, reading, out);
            return;
        }
        let due = clock.saturating_add(self.config.wait);
        let number = self.number();
        self.agenda.insert((due, number, place));
        let Some(sides) = self.sides.get_mut(place) else { return };
        sides.of.waiting.push_back(Waiting { due, number, reading: reading.clone() });
        if sides.of.waiting.len() > LEFT_MAX
            && let Some(Waiting { due, number, reading }) = sides.of.waiting.pop_front()
        {
            self.agenda.remove(&(due, number, place));
            self.join(place, &reading, out);
        }
    }

    /// Whether a value can be joined.
    fn is_usable(&self, value: &Value) -> bool {
        self.expression.is_none() || value.as_f64().is_some()
    }

    /// Emits a left reading with the right one that belongs to it.
    fn join(&mut self, place: u32, reading: &Reading, out: &mut Outputs) {
        let Join { config, expression, stack, context, lefts, sides, .. } = self;
        let right = sides.get(place).and_then(|sides| sides.of.at(reading.time, config.tolerance));
        let joined = right.and_then(|right| match expression {
            None => Some(Value::Json(Arc::new(json!({ "left": reading.value, "right": right })))),
            Some(expression) => {
                let numbers = [reading.value.as_f64()?, right.as_f64()?];
                Value::float(expression.evaluate(&numbers, stack))
            }
        });
        let Some(value) = joined else {
            out.reading(DROPPED, reading.clone());
            return;
        };
        let Some(left) = lefts.get_mut(reading.series) else { return };
        let unit = config.unit.as_deref();
        let make = || context.derived_series(reading.series, |series| described(series, unit));
        if let Some(made) = left.made.id_of_several(context, out, make) {
            out.reading(MAIN, Reading::new(reading.time, made, value));
        }
    }

    /// What a series says on both sides, and what waits of it.
    fn stored(&self) -> SeriesMap<Stored> {
        let mut stored: SeriesMap<Stored> = SeriesMap::new();
        for (id, left) in self.lefts.iter() {
            stored.get_or_insert_with(id, Stored::default).left = Some(left.last);
        }
        for (id, right) in self.rights.iter() {
            stored.get_or_insert_with(id, Stored::default).right = Some(right.last);
        }
        for sides in self.sides.iter() {
            sides.of.store(&mut stored);
        }
        stored
    }
}

/// What a joined series is but for its name.
fn described(series: Series, unit: Option<&str>) -> Series {
    series.with_unit(unit.unwrap_or_default())
}

impl Transform for Join {
    fn apply(
        &mut self,
        now: Timestamp,
        port: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let mut clock = now;
        for reading in batch.readings() {
            clock = clock.max(reading.time);
            match port {
                RIGHT => self.right(reading, out),
                _ => self.left(reading, clock, out),
            }
        }
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.agenda.first().map(|(due, ..)| *due)
    }

    fn tick_lead(&self) -> Option<Duration> {
        // Without `wait` it ticks once, for what waited under other settings.
        let wait = self.config.wait;
        Some(if wait.is_zero() { Duration::from_days(1) } else { wait })
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        while let Some((_, number, place)) =
            self.agenda.first().copied().filter(|(due, ..)| *due <= now)
        {
            self.agenda.pop_first();
            let waiting = self.sides.get_mut(place).and_then(|sides| sides.of.take(number));
            if let Some(Waiting { reading, .. }) = waiting {
                self.join(place, &reading, out);
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.tick(Timestamp::MAX, out)
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for at in 0..silent.len() {
            let id = silent[at];
            if let Some(place) = self.lefts.get(id).and_then(|left| left.place) {
                while let Some(Waiting { due, number, reading }) =
                    self.sides.get_mut(place).and_then(|sides| sides.of.take_of(id))
                {
                    self.agenda.remove(&(due, number, place));
                    self.join(place, &reading, out);
                }
                self.sides.leave(place);
            }
            if self.lefts.remove(id).is_some() {
                let unit = self.config.unit.as_deref();
                let made = |series| described(series, unit);
                silent.extend(self.context.known_derived_series(id, made));
            }
            if let Some(place) = self.rights.remove(id).and_then(|right| right.place) {
                if let Some(sides) = self.sides.get_mut(place) {
                    sides.of.forget(id);
                }
                self.sides.leave(place);
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.stored(), &self.next)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (stored, next) = state.read_series::<Stored, u64>(STATE_VERSION)?;
        self.next = next;
        for (id, one) in stored.iter() {
            if let Some(last) = one.left {
                let place = self.place(id);
                self.lefts.insert(id, Left { last, place, made: Made::New });
                let sides = place.and_then(|place| self.sides.get_mut(place));
                if let Some((place, sides)) = place.zip(sides) {
                    sides.of.restore_left(id, one);
                    let waits = one.waiting.iter().map(|one| (one.due, one.number, place));
                    self.agenda.extend(waits);
                }
            }
            if let Some(last) = one.right {
                let place = self.place(id);
                self.rights.insert(id, Right { last, place });
                if let Some(sides) = place.and_then(|place| self.sides.get_mut(place)) {
                    sides.of.restore_right(id, one);
                }
            }
        }
        let numbers: Vec<u32> = self.sides.numbers().collect();
        for number in numbers {
            if let Some(sides) = self.sides.get_mut(number) {
                sides.of.sort();
            }
        }
        Ok(())
    }
}
