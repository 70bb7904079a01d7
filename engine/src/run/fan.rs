//! Where the items of one port go, and by which series: where one port feeds many nodes and most of them pick a few series out, each is
//! given only what it picks.
//!
//! A reading then costs what its takers cost, and not what all of them cost that could have taken it: 8,000 pipelines on one source,
//! each with a filter on one series, are one look-up a reading (`docs/adr/0002-islands.md`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::exits::Exit;
use super::slot::Slot;
use super::stats::NodeStats;
use crate::batch::{Batch, Items};
use crate::condition::Predicate;
use crate::context::Host;
use crate::reading::Reading;
use crate::series::{SeriesId, SeriesMap};

/// Where items go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// To a transform of this island, at an input port.
    Transform { slot: usize, port: usize },
    /// Out, to a sink (a number of the runner's).
    Sink(usize),
}

/// So many targets look at what they are given themselves: that is quicker than to look up who takes it.
const FEW: usize = 8;

/// The targets of one port.
#[derive(Debug, Default)]
pub(crate) struct Fan {
    targets: Vec<Target>,
    index: Option<Box<Index>>,
}

/// Who takes which series. Targets are positions among those of the port, ascending wherever there are several.
#[derive(Debug)]
struct Index {
    host: Arc<Host>,
    /// Those that take everything.
    all: Vec<u32>,
    /// Those that name the sources they take, by the names.
    named: HashMap<String, Vec<u32>, RandomState>,
    /// Those that take sources by a pattern, or series by their labels alone.
    patterns: Vec<u32>,
    /// Of the two above, those that take a series, for each that came.
    takers: SeriesMap<Box<[u32]>>,
    /// Which targets pick readings out themselves. Those that do not get a reading have received it nevertheless.
    pick: Vec<bool>,
    /// How many readings came by.
    passed: Arc<AtomicU64>,
    /// Of the batch that is divided: who is given which reading.
    shares: Vec<(u32, Given)>,
}

/// What a target is given of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    One(u32),
    All,
}

/// A part of a batch, and who gets it.
#[derive(Debug)]
pub(super) struct Share<'a> {
    pub(super) target: Target,
    /// Its readings, as places in the batch; `None`: all of them.
    places: Option<&'a [(u32, Given)]>,
}

impl Share<'_> {
    /// Copies its readings out of the batch; `None` where they are all of them.
    pub(super) fn copy(&self, batch: &Batch, spare: impl FnOnce() -> Items) -> Option<Batch> {
        let places = self.places.filter(|places| places.len() < batch.items.len())?;
        let mut items = spare();
        if let Items::Readings(into) = &mut items {
            let place = |given: &(u32, Given)| match given.1 {
                Given::One(place) => batch.readings().get(place as usize),
                Given::All => None,
            };
            into.extend(places.iter().filter_map(place).cloned());
        }
        Some(Batch { items, received: batch.received, seq: batch.seq, end: 0 })
    }
}

impl Fan {
    pub(super) fn new(targets: Vec<Target>) -> Fan {
        Fan { targets, index: None }
    }

    /// All of them, in the order of the graph.
    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Finds out who takes what. To be asked again whenever that may have changed: a node is given what it does not pick as long as
    /// somebody reads it.
    pub(super) fn index(&mut self, slots: &[Slot], exits: &[Exit]) {
        self.drop_index(slots);
        if self.targets.len() <= FEW {
            return;
        }
        let mut wanted = self.targets.iter().filter_map(|target| condition(*target, slots, exits));
        let Some(host) = wanted.next().map(|condition| condition.host().clone()) else { return };
        let mut index = Index::new(host, self.targets.len());
        for (&target, at) in self.targets.iter().zip(0..) {
            index.add(at, target, slots, exits);
        }
        self.index = Some(Box::new(index));
    }

    /// Gives every target everything again.
    pub(super) fn drop_index(&mut self, slots: &[Slot]) {
        if let Some(index) = self.index.take() {
            for at in 0..self.targets.len() {
                if let Some(stats) = index.stats(at, &self.targets, slots) {
                    stats.settle(&index.passed);
                }
            }
        }
    }

    /// Series gave their slots back.
    pub(super) fn forget(&mut self, silent: &[SeriesId]) {
        let Some(index) = &mut self.index else { return };
        for id in silent {
            index.takers.remove(*id);
        }
    }

    /// Of how many series it knows who takes them.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.takers.len())
    }

    /// Divides readings among the targets; false where each gets all of them. `counts`: they are readings, and no last values.
    pub(super) fn divide(
        &mut self,
        readings: &[Reading],
        counts: bool,
        slots: &[Slot],
        exits: &[Exit],
    ) -> bool {
        let Some(index) = &mut self.index else { return false };
        index.shares.clear();
        index.shares.extend(index.all.iter().map(|at| (*at, Given::All)));
        for (reading, place) in readings.iter().zip(0..) {
            if index.takers.get(reading.series).is_none() {
                index.decide(reading.series, &self.targets, slots, exits);
            }
            let takers = index.takers.get(reading.series).into_iter().flatten();
            index.shares.extend(takers.map(|at| (*at, Given::One(place))));
        }
        index.shares.sort_unstable();
        if counts {
            index.passed.fetch_add(readings.len() as u64, Ordering::Relaxed);
            for given in index.shares.chunk_by(same_target) {
                if let Some(stats) = index.stats(given[0].0 as usize, &self.targets, slots) {
                    stats.counted_already(given.len());
                }
            }
        }
        true
    }

    /// What [`Fan::divide`] found, in the order of the targets.
    pub(super) fn shares(&self) -> impl Iterator<Item = Share<'_>> {
        let found = self.index.as_ref().map_or(&[][..], |index| &index.shares);
        found.chunk_by(same_target).map(|given| Share {
            target: self.targets[given[0].0 as usize],
            places: (given[0].1 != Given::All).then_some(given),
        })
    }
}

fn same_target(one: &(u32, Given), other: &(u32, Given)) -> bool {
    one.0 == other.0
}

/// The condition under which a target takes a series; `None` for one that may take any.
fn condition<'a>(target: Target, slots: &'a [Slot], exits: &'a [Exit]) -> Option<&'a Predicate> {
    let condition = match target {
        Target::Transform { slot, .. } => slots[slot].picks(),
        Target::Sink(sink) => exits[sink].when.as_deref(),
    };
    condition.filter(|condition| condition.is_of_series())
}

impl Index {
    fn new(host: Arc<Host>, targets: usize) -> Index {
        Index {
            host,
            all: Vec::new(),
            named: HashMap::default(),
            patterns: Vec::new(),
            takers: SeriesMap::new(),
            pick: vec![false; targets],
            passed: Arc::default(),
            shares: Vec::new(),
        }
    }

    fn add(&mut self, at: u32, target: Target, slots: &[Slot], exits: &[Exit]) {
        let Some(condition) = condition(target, slots, exits) else {
            self.all.push(at);
            return;
        };
        match condition.names() {
            Some(names) => {
                for name in names {
                    self.named.entry_ref(name).or_default().push(at);
                }
            }
            None => self.patterns.push(at),
        }
        if let Target::Transform { slot, .. } = target
            && slots[slot].when.is_none()
        {
            self.pick[at as usize] = true;
            slots[slot].stats.count_in(&self.passed);
        }
    }

    /// What a target counts in that has received what it is not given.
    fn stats<'a>(&self, at: usize, targets: &[Target], slots: &'a [Slot]) -> Option<&'a NodeStats> {
        match targets[at] {
            Target::Transform { slot, .. } if self.pick[at] => Some(&slots[slot].stats),
            _ => None,
        }
    }

    #[cold]
    fn decide(&mut self, id: SeriesId, targets: &[Target], slots: &[Slot], exits: &[Exit]) {
        let series = self.host.series.get(id);
        let named = self.named.get(series.source.name()).into_iter().flatten();
        let mut takers: Vec<u32> = named.chain(&self.patterns).copied().collect();
        takers.retain(|at| {
            let condition = condition(targets[*at as usize], slots, exits);
            condition.is_none_or(|condition| condition.of_series(&series))
        });
        takers.sort_unstable();
        takers.dedup();
        self.takers.insert(id, takers.into());
    }
}
