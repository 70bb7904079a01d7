//! What is known of each series, and the index by name.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;

use super::lack::Lack;
use crate::series::{Series, SeriesId, SeriesMap};

#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Those that are live or only named, by name.
    pub(super) index: HashTable<u32>,
    pub(super) hasher: foldhash::fast::RandomState,
    pub(super) entries: SeriesMap<Entry>,
    pub(super) next: u32,
    pub(super) live: usize,
    pub(super) given_back: u64,
    /// Those that are not live, the oldest first, each with its turn.
    pub(super) past: VecDeque<(SeriesId, u32)>,
    /// How many live series each source node gives readings to.
    pub(super) given: HashMap<Arc<str>, usize>,
    pub(super) collisions: u64,
    /// Who lacked room last, and when that was said last.
    pub(super) lacks: HashMap<Option<Arc<str>>, Lack>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) series: Arc<Series>,
    pub(super) standing: Standing,
    /// Counts how often it ceased to be live, to tell its places in `past` apart.
    pub(super) turn: u32,
    pub(super) giver: Option<Giver>,
    /// Two source nodes give readings to it.
    pub(super) shared: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has a slot.
    Live,
    /// Something that is kept names it.
    Named,
    /// It gave its slot back.
    Past,
}

/// The source node that gives readings to a series.
#[derive(Debug)]
pub(super) struct Giver {
    pub(super) address: Arc<str>,
    /// It said so itself; otherwise readings of it were found, and it may have another name now.
    pub(super) said: bool,
}

impl Inner {
    /// The number of a series that is live or named.
    pub(super) fn find(&self, series: &Series) -> Option<SeriesId> {
        let hash = self.hasher.hash_one(series);
        let same = |&id: &u32| {
            self.entries.get(SeriesId(id)).is_some_and(|entry| *entry.series == *series)
        };
        self.index.find(hash, same).map(|&id| SeriesId(id))
    }

    pub(super) fn find_live(&self, series: &Series) -> Option<SeriesId> {
        self.find(series).filter(|id| self.is_live(*id))
    }

    pub(super) fn is_live(&self, id: SeriesId) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.standing == Standing::Live)
    }

    /// Gives a series a number that no other had. `None` when there are no more.
    pub(super) fn add(&mut self, series: Series, standing: Standing) -> Option<SeriesId> {
        let id = SeriesId(self.next);
        self.next = self.next.checked_add(1)?;
        let hash = self.hasher.hash_one(&series);
        let series = Arc::new(series);
        self.entries.insert(id, Entry { series, standing, turn: 0, giver: None, shared: false });
        let Inner { index, hasher, entries, .. } = self;
        index.insert_unique(hash, id.0, |&other| {
            entries.get(SeriesId(other)).map_or(0, |entry| hasher.hash_one(&*entry.series))
        });
        self.live += usize::from(standing == Standing::Live);
        Some(id)
    }

    /// A live series of the name that a number stands for.
    pub(super) fn live_again(&mut self, id: SeriesId, gone: &Arc<Series>) -> SeriesId {
        let series = match self.entries.get(id) {
            Some(Entry { standing: Standing::Live, .. }) => return id,
            Some(entry) => entry.series.clone(),
            None => gone.clone(),
        };
        match self.find(&series) {
            Some(found) => {
                self.make_live(found);
                found
            }
            None => self.add((*series).clone(), Standing::Live).unwrap_or(id),
        }
    }

    /// Gives one that is only named a slot.
    pub(super) fn make_live(&mut self, id: SeriesId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.standing == Standing::Named {
            entry.standing = Standing::Live;
            self.live += 1;
        }
    }

    /// Lets a series not be found by its name.
    pub(super) fn unlist(&mut self, id: SeriesId, series: &Series) {
        let hash = self.hasher.hash_one(series);
        if let Ok(found) = self.index.find_entry(hash, |&other| other == id.0) {
            found.remove();
        }
    }

    pub(super) fn set_giver(&mut self, id: SeriesId, giver: Option<Giver>) {
        let new = giver.as_ref().map(|giver| giver.address.clone());
        let Some(entry) = self.entries.get_mut(id) else { return };
        let old = std::mem::replace(&mut entry.giver, giver).map(|giver| giver.address);
        if old == new {
            return;
        }
        if let Some(old) = old
            && let Some(given) = self.given.get_mut(&old)
        {
            *given -= 1;
            if *given == 0 {
                self.given.remove(&old);
            }
        }
        if let Some(new) = new {
            *self.given.entry(new).or_default() += 1;
        }
    }
}
