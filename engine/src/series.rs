//! Sources, series and the table that gives each series a small number for as long as the process lives.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;

/// What is measured: a key of three fields, written `type:id`, or `host:type:id` for another host's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    host: Option<Arc<str>>,
    type_len: usize,
    name: Arc<str>,
}

impl SourceKey {
    /// A source of this host.
    #[must_use]
    pub fn local(type_part: &str, id: &str) -> SourceKey {
        SourceKey {
            host: None,
            type_len: type_part.len(),
            name: format!("{type_part}:{id}").into(),
        }
    }

    /// A source from its written form `type:id`. The type ends at the first colon; without one the type is the whole and the
    /// id is empty.
    #[must_use]
    pub fn parse(text: &str) -> SourceKey {
        match text.split_once(':') {
            Some((type_part, id)) => SourceKey::local(type_part, id),
            None => SourceKey::local(text, ""),
        }
    }

    /// The host it belongs to; `None` for this one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }
    /// The type part.
    #[must_use]
    pub fn type_part(&self) -> &str {
        &self.name[..self.type_len]
    }
    /// The id within its type.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.name[self.type_len + 1..]
    }
    /// The written form.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A source with its unit and labels. The order is by source, then by the rest: the same in every process, which the order of numbers
/// is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// What is measured.
    pub source: SourceKey,
    /// In what unit, in Home Assistant's spelling (`°C`, `%`, `W`).
    pub unit: Option<Arc<str>>,
    /// What else is known of it, by name.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether it only ever grows, but for restarts: a counter.
    pub monotonic: bool,
}

impl Series {
    /// A series without unit and labels.
    #[must_use]
    pub fn new(source: SourceKey) -> Series {
        Series { source, unit: None, labels: BTreeMap::new(), monotonic: false }
    }

    /// With a unit, normalised from its usual aliases.
    #[must_use]
    pub fn with_unit(mut self, unit: &str) -> Series {
        let unit = crate::unit::normalise(unit);
        self.unit = (!unit.is_empty()).then(|| unit.into());
        self
    }

    /// With one more label.
    #[must_use]
    pub fn with_label(mut self, name: &str, value: &str) -> Series {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Marked as a counter.
    #[must_use]
    pub fn counter(mut self) -> Series {
        self.monotonic = true;
        self
    }
}

/// A series' number in this process. It never leaves the process: every file, snapshot and segment has its own dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(u32);

impl SeriesId {
    /// From a position in a [`SeriesTable`].
    #[must_use]
    pub const fn from_index(index: u32) -> SeriesId {
        SeriesId(index)
    }
    /// As a position.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The node or the host may hold no more series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many series: the limit of {cap} is reached")]
pub struct TooManySeries {
    /// The cap that was reached.
    pub cap: usize,
}

/// All series of the host.
#[derive(Debug)]
pub struct SeriesTable {
    inner: RwLock<Inner>,
    cap: usize,
}

#[derive(Debug, Default)]
struct Inner {
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    series: Vec<Arc<Series>>,
    /// The source node that gives readings to a series, by its number.
    givers: std::collections::HashMap<u32, Arc<str>>,
    collisions: u64,
}

impl SeriesTable {
    /// The default cap of a host.
    pub const DEFAULT_CAP: usize = 100_000;

    /// An empty table that takes at most `cap` series.
    #[must_use]
    pub fn new(cap: usize) -> SeriesTable {
        SeriesTable { inner: RwLock::default(), cap }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Nothing in here panics half-way, so a poisoned table is still whole.
        self.inner.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The number of a series that is already here.
    #[must_use]
    pub fn find(&self, series: &Series) -> Option<SeriesId> {
        self.read().find(series)
    }

    /// The number of a series; a new one is given to a series not seen before.
    ///
    /// # Errors
    /// The cap is reached and the series is new.
    pub fn intern(&self, series: &Series) -> Result<SeriesId, TooManySeries> {
        if let Some(id) = self.read().find(series) {
            return Ok(id);
        }
        let mut inner = self.write();
        if let Some(id) = inner.find(series) {
            return Ok(id);
        }
        let Some(id) =
            u32::try_from(inner.series.len()).ok().filter(|&id| (id as usize) < self.cap)
        else {
            return Err(TooManySeries { cap: self.cap });
        };
        let Inner { index, hasher, series: all, .. } = &mut *inner;
        all.push(Arc::new(series.clone()));
        index.insert_unique(hasher.hash_one(series), id, |&other| {
            hasher.hash_one(&*all[other as usize])
        });
        Ok(SeriesId(id))
    }

    /// Notes that a source node gives readings to a series. When another one already does, that is counted, and its address comes
    /// back.
    pub fn give(&self, id: SeriesId, address: &Arc<str>) -> Option<Arc<str>> {
        let mut inner = self.write();
        let giver = inner.givers.entry(id.0).or_insert_with(|| address.clone()).clone();
        if giver == *address {
            return None;
        }
        inner.collisions += 1;
        Some(giver)
    }

    /// Forgets which series a source node gives readings to: it is gone, or has another name now.
    pub fn forget_giver(&self, address: &str) {
        self.write().givers.retain(|_, giver| **giver != *address);
    }

    /// All series, in the order of their numbers.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Series>> {
        self.read().series.clone()
    }

    /// How many series there may be.
    #[must_use]
    pub fn cap(&self) -> usize {
        self.cap
    }

    /// How many series two source nodes give readings to.
    #[must_use]
    pub fn collisions(&self) -> u64 {
        self.read().collisions
    }

    /// What a number stands for.
    ///
    /// # Panics
    /// Never for a number this table gave.
    #[must_use]
    pub fn get(&self, id: SeriesId) -> Arc<Series> {
        self.read().series[id.index()].clone()
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().series.len()
    }
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    fn find(&self, series: &Series) -> Option<SeriesId> {
        let hash = self.hasher.hash_one(series);
        let same = |&id: &u32| *self.series[id as usize] == *series;
        self.index.find(hash, same).map(|&id| SeriesId(id))
    }
}

impl Default for SeriesTable {
    fn default() -> Self {
        SeriesTable::new(SeriesTable::DEFAULT_CAP)
    }
}

/// A node's state per series: a two-level table, so that a look-up is two loads and a node that sees few of many series
/// stays small.
#[derive(Debug, Clone)]
pub struct SeriesMap<T> {
    pages: Vec<Page<T>>,
    len: usize,
}

const PAGE: usize = 32;

type Page<T> = Option<Box<[Option<T>; PAGE]>>;

/// The place of a series; its page is made where there is none.
#[inline]
fn slot<T>(pages: &mut Vec<Page<T>>, id: SeriesId) -> &mut Option<T> {
    let (page, place) = (id.index() / PAGE, id.index() % PAGE);
    if page >= pages.len() {
        make_room(pages, page);
    }
    &mut pages[page].get_or_insert_with(empty_page)[place]
}

// Out of the way, so that looking up what is there is part of a node's loop.
#[cold]
fn make_room<T>(pages: &mut Vec<Page<T>>, page: usize) {
    pages.resize_with(page + 1, || None);
}

#[cold]
fn empty_page<T>() -> Box<[Option<T>; PAGE]> {
    Box::new([const { None }; PAGE])
}

impl<T> Default for SeriesMap<T> {
    fn default() -> Self {
        SeriesMap { pages: Vec::new(), len: 0 }
    }
}

impl<T> SeriesMap<T> {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The state of a series, if there is one.
    #[inline]
    #[must_use]
    pub fn get(&self, id: SeriesId) -> Option<&T> {
        self.pages.get(id.index() / PAGE)?.as_ref()?[id.index() % PAGE].as_ref()
    }

    /// The state of a series, if there is one.
    #[inline]
    pub fn get_mut(&mut self, id: SeriesId) -> Option<&mut T> {
        self.pages.get_mut(id.index() / PAGE)?.as_mut()?[id.index() % PAGE].as_mut()
    }

    /// The state of a series, made first where there is none.
    #[inline]
    pub fn get_or_insert_with(&mut self, id: SeriesId, make: impl FnOnce() -> T) -> &mut T {
        let len = &mut self.len;
        slot(&mut self.pages, id).get_or_insert_with(|| {
            *len += 1;
            make()
        })
    }

    /// Sets the state of a series and gives back the old one.
    pub fn insert(&mut self, id: SeriesId, state: T) -> Option<T> {
        let old = slot(&mut self.pages, id).replace(state);
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes the state of a series.
    pub fn remove(&mut self, id: SeriesId) -> Option<T> {
        let old = self.pages.get_mut(id.index() / PAGE)?.as_mut()?[id.index() % PAGE].take();
        self.len -= usize::from(old.is_some());
        old
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.len = 0;
    }

    /// How many series have state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All states, by ascending number.
    pub fn iter(&self) -> impl Iterator<Item = (SeriesId, &T)> {
        self.pages
            .iter()
            .enumerate()
            .filter_map(|(page, slots)| Some((page, slots.as_ref()?)))
            .flat_map(|(page, slots)| {
                slots.iter().enumerate().filter_map(move |(place, state)| {
                    Some((SeriesId((page * PAGE + place) as u32), state.as_ref()?))
                })
            })
    }

    /// All states, by ascending number.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (SeriesId, &mut T)> {
        self.pages
            .iter_mut()
            .enumerate()
            .filter_map(|(page, slots)| Some((page, slots.as_mut()?)))
            .flat_map(|(page, slots)| {
                slots.iter_mut().enumerate().filter_map(move |(place, state)| {
                    Some((SeriesId((page * PAGE + place) as u32), state.as_mut()?))
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_series_get_one_number_and_the_cap_holds() {
        let table = SeriesTable::new(2);
        let a = Series::new(SourceKey::local("t", "a")).with_unit("celsius");
        let id = table.intern(&a).unwrap();
        assert_eq!(table.intern(&a.clone()), Ok(id));
        assert_eq!(table.get(id).unit.as_deref(), Some("°C"));
        table.intern(&Series::new(SourceKey::local("t", "a"))).unwrap();
        let third = Series::new(SourceKey::local("t", "b"));
        assert_eq!(table.intern(&third), Err(TooManySeries { cap: 2 }));
        assert_eq!(table.intern(&a), Ok(id), "known series still pass");
    }

    #[test]
    fn a_source_splits_at_the_first_colon() {
        let source = SourceKey::parse("mqtt:t/a:b");
        assert_eq!((source.type_part(), source.id()), ("mqtt", "t/a:b"));
        assert_eq!(SourceKey::parse("alone").id(), "");
    }

    #[test]
    fn a_series_map_keeps_count() {
        let mut map = SeriesMap::new();
        let id = |index| SeriesId::from_index(index);
        *map.get_or_insert_with(id(70), || 1) += 1;
        *map.get_or_insert_with(id(3), || 5) += 1;
        assert_eq!(
            map.iter().map(|(id, v)| (id.index(), *v)).collect::<Vec<_>>(),
            [(3, 6), (70, 2)]
        );
        assert_eq!(
            (map.len(), map.remove(id(3)), map.remove(id(4)), map.len()),
            (2, Some(6), None, 1)
        );
        assert_eq!(map.get(id(1000)), None);
    }
}
