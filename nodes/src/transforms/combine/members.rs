//! Which series belong to which group.

use serde::{Deserialize, Serialize};
use smollama_engine::context::Context;
use smollama_engine::log_limit::LogLimit;
use smollama_engine::series::{Series, SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use super::group::{Group, Recipe, Slot};
use super::settings::{CombineConfig, Function};
use crate::transforms::groups::{self, Groups, Key};

/// How many series a function combines at most: all of them are gone through with each reading.
pub(super) const MEMBERS_MAX: usize = 1_000;

/// Where the values of a series go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere.
    Out,
    /// To a slot of its own.
    Own { group: u32, slot: u32 },
    /// To those of some names, a bit for each; of all groups where there is none.
    Named { group: Option<u32>, names: u32 },
}

impl Place {
    pub(super) fn group(self) -> Option<u32> {
        match self {
            Place::Out => None,
            Place::Own { group, .. } => Some(group),
            Place::Named { group, .. } => group,
        }
    }
}

/// A series that comes in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// The time of its last reading, when that took effect, and its value.
    pub(super) last: Timestamp,
    pub(super) heard: Timestamp,
    pub(super) value: f64,
    pub(super) place: Place,
    /// How many came before it.
    order: u64,
}

/// The written form of a series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    last: Timestamp,
    heard: Timestamp,
    value: f64,
    order: u64,
    out: bool,
    /// Under names: in which of its group's slots its value lies.
    holds: u32,
    /// Of its group.
    pending: bool,
    latest: Timestamp,
}

/// All series that come in, and their groups.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) of: SeriesMap<Member>,
    pub(super) groups: Groups<Group>,
    /// What counts in all groups, and how many series that are.
    pub(super) common: Group,
    commons: usize,
    next: u64,
}

impl Members {
    pub(super) fn new(common: Group) -> Members {
        Members { of: SeriesMap::new(), groups: Groups::new(), common, commons: 0, next: 0 }
    }

    fn group(&self, number: Option<u32>) -> Option<&Group> {
        match number {
            Some(number) => Some(&self.groups.get(number)?.of),
            None => Some(&self.common),
        }
    }

    fn group_mut(&mut self, number: Option<u32>) -> Option<&mut Group> {
        match number {
            Some(number) => Some(&mut self.groups.get_mut(number)?.of),
            None => Some(&mut self.common),
        }
    }

    /// Puts a value where the values of a series go.
    #[inline]
    pub(super) fn set(&mut self, place: Place, value: Slot) {
        let Some(group) = self.group_mut(place.group()) else { return };
        let slots = group.slots.iter_mut().enumerate();
        match place {
            Place::Out => {}
            Place::Own { slot, .. } => {
                let own = slots.skip(slot as usize).take(1);
                own.for_each(|(_, slot)| *slot = value);
            }
            Place::Named { names, .. } => {
                let named = slots.filter(|(at, _)| names & 1 << at != 0);
                named.for_each(|(_, slot)| *slot = value);
            }
        }
    }

    /// Takes a last value that is no reading, of a series of which nothing is known. One that is refused is told of with its first reading.
    pub(super) fn prime(
        &mut self,
        (id, series): (SeriesId, &Series),
        (value, now): (f64, Timestamp),
        recipe: &Recipe,
        config: &CombineConfig,
    ) {
        if self.of.get(id).is_some() {
            return;
        }
        if self.admit(id, series, recipe, config).is_err() {
            self.of.remove(id);
        } else if let Some(member) = self.of.get_mut(id) {
            // Readings from before may still come.
            (member.heard, member.value) = (now, value);
            let place = member.place;
            self.set(place, Slot { series: Some(id), value, heard: now });
        }
    }

    /// Decides where a series belongs.
    ///
    /// # Errors
    /// It would belong somewhere, and is refused: the text says why.
    pub(super) fn admit(
        &mut self,
        id: SeriesId,
        series: &Series,
        recipe: &Recipe,
        config: &CombineConfig,
    ) -> Result<(), String> {
        let (place, refused) = match self.place(id, series, recipe, config) {
            Ok(place) => (place, Ok(())),
            Err(why) => (Place::Out, Err(why)),
        };
        let (last, heard) = (Timestamp::MIN, Timestamp::MIN);
        self.of.insert(id, Member { last, heard, value: 0.0, place, order: self.next });
        self.next += 1;
        refused
    }

    fn place(
        &mut self,
        id: SeriesId,
        series: &Series,
        recipe: &Recipe,
        config: &CombineConfig,
    ) -> Result<Place, String> {
        let names = recipe.fits(series.source.name());
        let key = groups::key(&config.by, series);
        if names == 0 || key.is_none() && !recipe.is_named() {
            return Ok(Place::Out);
        }
        if let Some(why) = self.refusal(key.as_ref(), series, recipe, config) {
            return Err(why);
        }
        let unit = series.unit.clone();
        let Some(key) = key else {
            self.commons += 1;
            self.common.unit.get_or_insert(unit);
            return Ok(Place::Named { group: None, names });
        };
        let group = self.groups.join(key, || Group::new(recipe.slots()));
        let Some(joined) = self.group_mut(Some(group)) else { return Ok(Place::Out) };
        joined.unit.get_or_insert(unit);
        if recipe.is_named() {
            return Ok(Place::Named { group: Some(group), names });
        }
        joined.slots.push(Slot { series: Some(id), ..Slot::EMPTY });
        Ok(Place::Own { group, slot: (joined.slots.len() - 1) as u32 })
    }

    /// Why a series with this key, or with none, cannot be put together with those that are there.
    fn refusal(
        &self,
        key: Option<&Key>,
        series: &Series,
        recipe: &Recipe,
        config: &CombineConfig,
    ) -> Option<String> {
        let own = key.and_then(|key| self.groups.find(key));
        let own = own.and_then(|number| self.group(Some(number)));
        // What has no key of its own counts in all groups.
        let all = key.is_none().then(|| self.groups.iter());
        let groups = all.into_iter().flatten().map(|group| &group.of);
        let mut others = groups.chain(own).chain([&self.common]);
        if config.function.is_some_and(Function::needs_one_unit)
            && let Some(other) = others.find(|other| !other.fits(series.unit.as_ref()))
        {
            let theirs = other.unit.as_ref().and_then(Option::as_deref);
            return Some(groups::other_unit(series.unit.as_deref(), theirs));
        }
        let full = own.is_some_and(|group| group.slots.len() >= MEMBERS_MAX);
        (full && !recipe.is_named()).then(|| {
            format!("{MEMBERS_MAX} series are combined at most; combine them by a label (`by`), or choose by `sources`")
        })
    }

    /// Drops what is kept of a series. Gives its group where that has no other.
    pub(super) fn remove(&mut self, id: SeriesId) -> Option<groups::Group<Group>> {
        let member = self.of.remove(id)?;
        match member.place {
            Place::Out => None,
            Place::Named { group: None, .. } => {
                self.commons -= 1;
                leave(&mut self.common, id);
                if self.commons == 0 {
                    self.common.unit = None;
                }
                None
            }
            Place::Named { group: Some(number), .. } => {
                leave(self.group_mut(Some(number))?, id);
                self.groups.leave(number)
            }
            Place::Own { group: number, slot } => {
                let Members { of, groups, .. } = self;
                let group = &mut groups.get_mut(number)?.of;
                group.slots.remove(slot as usize);
                for moved in group.slots.iter().skip(slot as usize).filter_map(|slot| slot.series) {
                    if let Some(Member { place: Place::Own { slot, .. }, .. }) = of.get_mut(moved) {
                        *slot -= 1;
                    }
                }
                groups.leave(number)
            }
        }
    }

    pub(super) fn stored(&self) -> SeriesMap<Stored> {
        let mut stored = SeriesMap::new();
        for (id, Member { last, heard, value, place, order }) in self.of.iter() {
            let group = match place {
                Place::Out => None,
                place => self.group(place.group()),
            };
            let holds = |group: &Group| {
                let slots = group.slots.iter().enumerate().take(u32::BITS as usize);
                let own = slots.filter(|(_, slot)| slot.series == Some(id));
                own.fold(0, |bits, (at, _)| bits | 1 << at)
            };
            let one = Stored {
                last: *last,
                heard: *heard,
                value: *value,
                order: *order,
                out: *place == Place::Out,
                holds: group.map_or(0, holds),
                pending: group.is_some_and(|group| group.pending),
                latest: group.map_or(Timestamp::MIN, |group| group.latest),
            };
            stored.insert(id, one);
        }
        stored
    }

    /// Takes what was stored. Under other settings each series finds its place anew, in the order in which they came.
    pub(super) fn restore(
        &mut self,
        stored: &SeriesMap<Stored>,
        same_settings: bool,
        context: &Context,
        recipe: &Recipe,
        config: &CombineConfig,
    ) {
        let mut all: Vec<(SeriesId, &Stored)> = stored.iter().collect();
        all.sort_unstable_by_key(|(_, one)| one.order);
        let limit = LogLimit::default();
        for (id, one) in all {
            let Stored { last, heard, value, order, .. } = *one;
            // One that was refused may have been alone with its unit since then.
            if same_settings && one.out {
                self.of.insert(id, Member { last, heard, value, place: Place::Out, order });
            } else if let Err(why) = self.admit(id, &context.series(id), recipe, config) {
                let (node, source) = (&context.address, &context.series(id).source);
                if limit.admits(Some(node), &why) {
                    tracing::warn!(%node, "`{source}` is left out now: {why}");
                }
            }
            self.next = self.next.max(order + 1);
            let Some(member) = self.of.get_mut(id) else { continue };
            (member.last, member.heard, member.value, member.order) = (last, heard, value, order);
            let place = member.place;
            let slot = Slot { series: Some(id), value, heard };
            match place {
                Place::Out => continue,
                Place::Own { .. } => self.set(place, slot),
                Place::Named { group, names } => {
                    let names =
                        if same_settings { one.holds } else { self.newer(group, names, heard) };
                    self.set(Place::Named { group, names }, slot);
                }
            }
            if let Some(group) = place.group().and_then(|group| self.group_mut(Some(group))) {
                group.pending |= one.pending && config.every.is_some();
                group.latest = group.latest.max(one.latest);
            }
        }
    }

    /// Those of the names whose value is not from later.
    fn newer(&self, group: Option<u32>, names: u32, heard: Timestamp) -> u32 {
        let slots = self.group(group).into_iter().flat_map(|group| group.slots.iter().enumerate());
        let older = slots.filter(|(at, slot)| names & 1 << at != 0 && slot.heard <= heard);
        older.fold(0, |bits, (at, _)| bits | 1 << at)
    }
}

/// Empties the slots that hold a value of a series.
fn leave(group: &mut Group, id: SeriesId) {
    let own = group.slots.iter_mut().filter(|slot| slot.series == Some(id));
    own.for_each(|slot| *slot = Slot::EMPTY);
}
