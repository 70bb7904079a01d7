//! `merge`: one series of several sources that say the same.

mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::log_limit::LogLimit;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, Reject, State, StateError, Transform};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{Carries, NodeConfig, Problem, Profile, Section};
use smollama_engine::series::{Series, SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

pub use self::settings::MergeConfig;
use crate::fnv::fnv1a;
use crate::transforms::groups::{self, Groups, Key};
use crate::transforms::made::Made;

const DROPPED: usize = 1;
const LATE: usize = 2;
const STATE_VERSION: u32 = 1;

impl NodeConfig for MergeConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "merge";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::stateful()
            .one_unit(self.prefer.is_empty() && self.by.is_empty())
            .output("dropped", Carries::Kind(ItemKind::Readings))
            .output("late", Carries::Kind(ItemKind::Readings))
    }

    fn problems(&self) -> Vec<Problem> {
        self.check()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(Merge {
            config: self.clone(),
            settings: fnv1a(format!("{self:?}").as_bytes()),
            context: context.clone(),
            members: SeriesMap::new(),
            groups: Groups::new(),
            next: 0,
        })))
    }
}

/// Where the readings of a series go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Out,
    In {
        group: u32,
        /// Which entry of `prefer` it fits: the less, the better.
        rank: usize,
    },
}

/// A series that comes in.
#[derive(Debug)]
struct Member {
    /// The time of its last reading, and when that took effect.
    last: Timestamp,
    heard: Timestamp,
    place: Place,
    /// How many came before it.
    order: u64,
}

/// The series that say the same.
#[derive(Debug)]
struct Group {
    /// Of each rank: when one of its series was heard last.
    heard: Vec<Timestamp>,
    /// What passed last.
    latest: Timestamp,
    value: Option<Value>,
    unit: Option<Arc<str>>,
    made: Made,
}

/// The written form of a series, with what its group knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    last: Timestamp,
    order: u64,
    out: bool,
    heard: Timestamp,
    ranks: Vec<Timestamp>,
    latest: Timestamp,
    value: Option<Value>,
}

struct Merge {
    config: MergeConfig,
    /// A hash of the settings, by which those of a predecessor are known to be others.
    settings: u64,
    context: Context,
    members: SeriesMap<Member>,
    groups: Groups<Group>,
    next: u64,
}

impl Merge {
    /// Takes a reading, which takes effect at `clock`.
    #[inline]
    fn take(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        let Some(member) = self.members.get_mut(reading.series) else {
            self.first(reading, clock, out);
            return;
        };
        if reading.time < member.last {
            out.reading(LATE, reading.clone());
            return;
        }
        (member.last, member.heard) = (reading.time, clock);
        let Place::In { group, rank } = member.place else {
            out.reading(DROPPED, reading.clone());
            return;
        };
        let Merge { config, context, groups, .. } = self;
        let Some(groups::Group { key, of: group, .. }) = groups.get_mut(group) else { return };
        if let Some(heard) = group.heard.get_mut(rank) {
            *heard = (*heard).max(clock);
        }
        let alive = |heard: &Timestamp| {
            *heard > Timestamp::MIN && clock < heard.saturating_add(config.stale_after)
        };
        let twice = reading.time == group.latest && group.value.as_ref() == Some(&reading.value);
        if group.heard.iter().take(rank).any(alive) || twice {
            out.reading(DROPPED, reading.clone());
            return;
        }
        if reading.time < group.latest {
            // Another series was ahead of it.
            out.reading(LATE, reading.clone());
            return;
        }
        let unit = &group.unit;
        let make = || context.host.series.intern_derived(&series_of(config, context, key, unit));
        let Some(made) = group.made.id_of_several(context, out, make) else { return };
        group.latest = reading.time;
        group.value = Some(reading.value.clone());
        if let Some(passed) = out.pass(MAIN, reading) {
            passed.series = made;
        }
    }

    /// Takes the first reading of a series: decides where that belongs, and says so where it is refused.
    #[cold]
    fn first(&mut self, reading: &Reading, clock: Timestamp, out: &mut Outputs) {
        let series = self.context.series(reading.series);
        if let Err(why) = self.admit(reading.series, &series, self.next) {
            let origin = series.source.name().to_owned();
            let reason = format!("`{origin}` is left out of `{}`: {why}", self.context.address);
            out.reject(Reject { reason, origin, bytes: Vec::new() });
        }
        self.take(reading, clock, out);
    }

    /// Decides where a series belongs.
    ///
    /// # Errors
    /// It would belong somewhere, and is refused: the text says why.
    fn admit(&mut self, id: SeriesId, series: &Series, order: u64) -> Result<(), String> {
        let (place, refused) = match self.place(series) {
            Ok(place) => (place, Ok(())),
            Err(why) => (Place::Out, Err(why)),
        };
        self.next = self.next.max(order + 1);
        let (last, heard) = (Timestamp::MIN, Timestamp::MIN);
        self.members.insert(id, Member { last, heard, place, order });
        refused
    }

    fn place(&mut self, series: &Series) -> Result<Place, String> {
        let Some(rank) = self.config.rank(series.source.name()) else { return Ok(Place::Out) };
        let Some(key) = groups::key(&self.config.by, series) else { return Ok(Place::Out) };
        let own = self.groups.find(&key).and_then(|number| self.groups.get(number));
        if let Some(own) = own.filter(|own| own.of.unit != series.unit) {
            return Err(groups::other_unit(series.unit.as_deref(), own.of.unit.as_deref()));
        }
        let ranks = self.config.prefer.len().max(1);
        let group = self.groups.join(key, || Group {
            heard: vec![Timestamp::MIN; ranks],
            latest: Timestamp::MIN,
            value: None,
            unit: series.unit.clone(),
            made: Made::New,
        });
        Ok(Place::In { group, rank })
    }
}

/// The series that a group's readings on port `main` are of.
fn series_of(
    config: &MergeConfig,
    context: &Context,
    key: &Key,
    unit: &Option<Arc<str>>,
) -> Series {
    let name = config.name.as_deref().unwrap_or("value");
    groups::made(context, &config.by, key, name, unit.clone())
}

impl Transform for Merge {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let mut clock = now;
        for reading in batch.readings() {
            clock = clock.max(reading.time);
            self.take(reading, clock, out);
        }
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        for at in 0..silent.len() {
            let Some(member) = self.members.remove(silent[at]) else { continue };
            let Place::In { group, .. } = member.place else { continue };
            let Some(gone) = self.groups.leave(group) else { continue };
            let series = series_of(&self.config, &self.context, &gone.key, &gone.of.unit);
            silent.extend(self.context.host.series.find(&series));
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let mut stored = SeriesMap::new();
        for (id, Member { last, heard, place, order }) in self.members.iter() {
            let mut one = Stored {
                last: *last,
                order: *order,
                out: *place == Place::Out,
                heard: *heard,
                ranks: Vec::new(),
                latest: Timestamp::MIN,
                value: None,
            };
            if let Place::In { group, .. } = place
                && let Some(group) = self.groups.get(*group)
            {
                one.ranks.clone_from(&group.of.heard);
                (one.latest, one.value) = (group.of.latest, group.of.value.clone());
            }
            stored.insert(id, one);
        }
        State::of_series(STATE_VERSION, &stored, &self.settings)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (stored, settings) = state.read_series::<Stored, u64>(STATE_VERSION)?;
        let mut all: Vec<(SeriesId, &Stored)> = stored.iter().collect();
        all.sort_unstable_by_key(|(_, one)| one.order);
        let limit = LogLimit::default();
        for (id, one) in all {
            let series = self.context.series(id);
            let same_settings = settings == self.settings;
            // One that was refused may have been alone with its unit since then.
            if same_settings && one.out {
                self.next = self.next.max(one.order + 1);
                let Stored { last, heard, order, .. } = *one;
                self.members.insert(id, Member { last, heard, place: Place::Out, order });
                continue;
            }
            if let Err(why) = self.admit(id, &series, one.order) {
                let node = &self.context.address;
                if limit.admits(Some(node), &why) {
                    tracing::warn!(%node, "`{}` is left out now: {why}", series.source);
                }
            }
            let Some(member) = self.members.get_mut(id) else { continue };
            (member.last, member.heard) = (one.last, one.heard);
            let Place::In { group, rank } = member.place else { continue };
            let Some(group) = self.groups.get_mut(group) else { continue };
            if same_settings {
                // Of a series that is gone, too.
                let ranks = group.of.heard.iter_mut().zip(&one.ranks);
                ranks.for_each(|(heard, then)| *heard = (*heard).max(*then));
            } else if let Some(heard) = group.of.heard.get_mut(rank) {
                *heard = (*heard).max(one.heard);
            }
            if one.latest > group.of.latest {
                (group.of.latest, group.of.value) = (one.latest, one.value.clone());
            }
        }
        Ok(())
    }
}
