//! `combine`: one reading of the latest values of several sources.

mod group;
mod members;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, Reject, State, StateError, Transform};
use smollama_engine::reading::Reading;
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{Series, SeriesId};
use smollama_engine::time::Timestamp;

use self::group::{Group, Recipe, Slot};
use self::members::{Members, Place};
pub use self::settings::{CombineConfig, Function};
use crate::fnv::fnv1a;
use crate::transforms::groups::{self, Key};

const DROPPED: usize = 1;
const LATE: usize = 2;
const STATE_VERSION: u32 = 1;

impl NodeConfig for CombineConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "combine";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::stateful()
            .one_unit(self.puts_all_together())
            .output("dropped", Carries::Kind(ItemKind::Readings))
            .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let Some(recipe) = Recipe::new(self) else {
            return Err(Problem::at("", "does not say what to make of its values"));
        };
        let common = Group::new(recipe.slots());
        Ok(Node::Transform(Box::new(Combine {
            settings: fnv1a(format!("{self:?}").as_bytes()),
            maker: Maker { config: self.clone(), context: context.clone(), recipe },
            members: Members::new(common),
            due: None,
            turn: Vec::new(),
        })))
    }
}

struct Combine {
    /// A hash of the settings, by which those of a predecessor are known to be others.
    settings: u64,
    maker: Maker,
    members: Members,
    /// With `every`: when what came in comes out.
    due: Option<Timestamp>,
    /// The groups whose turn it is, kept for its memory.
    turn: Vec<u32>,
}

impl Combine {
    /// Takes a reading, which takes effect at `clock`.
    #[inline]
    fn take(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        let Some(value) = self.maker.recipe.number(&reading.value) else {
            out.reading(DROPPED, reading.clone());
            return;
        };
        let id = reading.series;
        let Some(member) = self.members.of.get_mut(id) else {
            self.first(reading, clock, out);
            return;
        };
        if reading.time < member.last {
            out.reading(LATE, reading.clone());
            return;
        }
        (member.last, member.heard, member.value) = (reading.time, clock, value);
        let slot = Slot { series: Some(id), value, heard: clock };
        match member.place {
            Place::Out => out.reading(DROPPED, reading.clone()),
            Place::Own { group, slot: at } => {
                self.came(group, Some((at, slot)), reading.time, clock, out);
            }
            place @ Place::Named { group: Some(group), .. } => {
                self.members.set(place, slot);
                self.came(group, None, reading.time, clock, out);
            }
            place @ Place::Named { group: None, .. } => {
                self.members.set(place, slot);
                let mut turn = std::mem::take(&mut self.turn);
                turn.extend(self.members.groups.numbers());
                turn.drain(..).for_each(|group| self.came(group, None, reading.time, clock, out));
                self.turn = turn;
            }
        }
    }

    /// Takes the first reading of a series: decides where that belongs, and says so where it is refused.
    #[cold]
    fn first(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        let id = reading.series;
        let Maker { config, context, recipe } = &self.maker;
        let series = context.series(id);
        if let Err(why) = self.members.admit(id, &series, recipe, config) {
            let origin = series.source.name().to_owned();
            let reason = format!("`{origin}` is left out of `{}`: {why}", context.address);
            out.reject(Reject { reason, origin, bytes: Vec::new() });
        }
        self.take(reading, clock, out);
    }

    /// Something came in for a group: into a slot of its own, if that is given.
    #[inline]
    fn came(
        &mut self,
        group: u32,
        own: Option<(u32, Slot)>,
        at: Timestamp,
        clock: Timestamp,
        out: &mut Outputs,
    ) {
        let Combine { maker, members: Members { groups, common, .. }, due, .. } = self;
        let Some(group) = groups.get_mut(group) else { return };
        if let Some((place, value)) = own
            && let Some(slot) = group.of.slots.get_mut(place as usize)
        {
            *slot = value;
        }
        match maker.config.every {
            None => maker.emit(group, common, at, clock, out),
            Some(every) => {
                group.of.pending = true;
                due.get_or_insert_with(|| clock.floor_to(every).saturating_add(every));
            }
        }
    }

    /// Emits what waits, by the keys of the groups: at a time, or when each heard something last.
    fn emit_pending(&mut self, at: Option<Timestamp>, out: &mut Outputs) {
        let mut turn = std::mem::take(&mut self.turn);
        turn.extend(self.members.groups.numbers());
        turn.drain(..).for_each(|group| self.emit_if_pending(group, at, out));
        self.turn = turn;
        self.due = None;
    }

    fn emit_if_pending(&mut self, group: u32, at: Option<Timestamp>, out: &mut Outputs) {
        let Combine { maker, members: Members { groups, common, .. }, .. } = self;
        let Some(group) = groups.get_mut(group).filter(|group| group.of.pending) else { return };
        let at = at.unwrap_or_else(|| group.of.heard().max(common.heard()));
        maker.emit(group, common, at, at, out);
    }
}

/// Makes readings of groups.
struct Maker {
    config: CombineConfig,
    context: Context,
    recipe: Recipe,
}

impl Maker {
    /// Emits what a group makes at `clock`, if it makes anything.
    #[inline]
    fn emit(
        &mut self,
        group: &mut groups::Group<Group>,
        common: &Group,
        at: Timestamp,
        clock: Timestamp,
        out: &mut Outputs,
    ) {
        let Maker { config, context, recipe } = self;
        let groups::Group { key, of: group, .. } = group;
        group.pending = false;
        let Some(value) = recipe.make(group, common, clock) else { return };
        let unit = &group.unit;
        let make = || context.host.series.intern_derived(&series_of(config, context, key, unit));
        let Some(made) = group.made.id_of_several(context, out, make) else { return };
        group.latest = group.latest.max(at);
        out.reading(MAIN, Reading::new(group.latest, made, value));
    }
}

/// The series that a group's readings on port `main` are of.
fn series_of(
    config: &CombineConfig,
    context: &Context,
    key: &Key,
    unit: &Option<Option<Arc<str>>>,
) -> Series {
    let keeps = config.function.is_some_and(Function::keeps_unit);
    let unit = unit.clone().flatten().filter(|_| keeps);
    let series = groups::made(context, &config.by, key, config.quantity(), unit);
    match &config.unit {
        Some(unit) => series.with_unit(unit),
        None => series,
    }
}

/// Takes the readings from the front that nothing is special about, and says how many these are. Apart from the rest, so that what is the same
/// for all of them is looked up once.
#[inline(never)]
fn go_on(
    recipe: &mut Recipe,
    members: &mut Members,
    readings: &[Reading],
    clock: &mut Timestamp,
    main: &mut Vec<Reading>,
) -> usize {
    let Members { of: members, groups, common, .. } = members;
    for (at, reading) in readings.iter().enumerate() {
        let (Some(member), Some(value)) =
            (members.get_mut(reading.series), recipe.number(&reading.value))
        else {
            return at;
        };
        let Place::Own { group, slot } = member.place else { return at };
        let Some(groups::Group { of: group, .. }) = groups.get_mut(group) else { return at };
        let (Some(slot), Some(made)) = (group.slots.get_mut(slot as usize), group.made.known())
        else {
            return at;
        };
        if reading.time < member.last {
            return at;
        }
        *clock = reading.time.max(*clock);
        (member.last, member.heard, member.value) = (reading.time, *clock, value);
        (slot.value, slot.heard) = (value, *clock);
        if let Some(value) = recipe.make(group, common, *clock) {
            group.latest = group.latest.max(reading.time);
            main.push(Reading::new(group.latest, made, value));
        }
    }
    readings.len()
}

impl Transform for Combine {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let (mut clock, mut readings) = (now, batch.readings());
        loop {
            if self.maker.config.every.is_none()
                && let Some(main) = out.readings_mut(MAIN)
            {
                let Combine { maker, members, .. } = self;
                let gone_on = go_on(&mut maker.recipe, members, readings, &mut clock, main);
                readings = &readings[gone_on..];
            }
            let Some((reading, more)) = readings.split_first() else { return Ok(()) };
            clock = clock.max(reading.time);
            self.take(reading, clock, out);
            readings = more;
        }
    }

    fn prime(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        let Combine { maker: Maker { config, context, recipe }, members, .. } = self;
        for reading in batch.readings() {
            if let Some(value) = recipe.number(&reading.value) {
                let series = context.series(reading.series);
                members.prime((reading.series, &series), (value, now), recipe, config);
            }
        }
        Ok(())
    }

    fn next_tick(&self) -> Option<Timestamp> {
        self.due
    }

    fn tick_lead(&self) -> Option<Duration> {
        // A reading can come an instant before all are due.
        self.maker.config.every.map(|_| Duration::ZERO)
    }

    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        if let Some(due) = self.due.filter(|due| *due <= now) {
            self.emit_pending(Some(due), out);
        }
        Ok(())
    }

    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.emit_pending(None, out);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for at in 0..silent.len() {
            let id = silent[at];
            if let Some(group) = self.members.of.get(id).and_then(|member| member.place.group()) {
                self.emit_if_pending(group, None, out);
            }
            let Some(gone) = self.members.remove(id) else { continue };
            let Maker { config, context, .. } = &self.maker;
            let series = series_of(config, context, &gone.key, &gone.of.unit);
            silent.extend(context.host.series.find(&series));
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(STATE_VERSION, &self.members.stored(), &(self.settings, self.due))
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (stored, (settings, due)) =
            state.read_series::<members::Stored, (u64, Option<Timestamp>)>(STATE_VERSION)?;
        let same = settings == self.settings;
        let Maker { config, context, recipe } = &self.maker;
        self.members.restore(&stored, same, context, recipe, config);
        // By the multiples of now, and not before what waits was due.
        self.due = due.zip(config.every).map(|(due, every)| {
            let whole = due.floor_to(every);
            if whole == due { due } else { whole.saturating_add(every) }
        });
        Ok(())
    }
}
