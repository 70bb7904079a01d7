//! What a node keeps per series.

use super::SeriesId;

/// A node's state per series: a two-level table, so that a look-up is two loads and a node that sees few of many series
/// stays small. Numbers are never used twice, so pages that have become empty are let go of: a series that is gone costs a 32nd of a
/// pointer.
#[derive(Debug, Clone)]
pub struct SeriesMap<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    len: usize,
}

const PAGE: usize = 32;

#[derive(Debug, Clone)]
struct Page<T> {
    slots: [Option<T>; PAGE],
    used: usize,
}

/// The page of a series, made where there is none.
#[inline]
fn page_of<T>(pages: &mut Vec<Option<Box<Page<T>>>>, id: SeriesId) -> &mut Page<T> {
    let page = id.index() / PAGE;
    if page >= pages.len() {
        make_room(pages, page);
    }
    pages[page].get_or_insert_with(empty_page)
}

// Out of the way, so that looking up what is there is part of a node's loop.
#[cold]
fn make_room<T>(pages: &mut Vec<Option<Box<Page<T>>>>, page: usize) {
    pages.resize_with(page + 1, || None);
}

#[cold]
fn empty_page<T>() -> Box<Page<T>> {
    Box::new(Page { slots: [const { None }; PAGE], used: 0 })
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
        self.pages.get(id.index() / PAGE)?.as_ref()?.slots[id.index() % PAGE].as_ref()
    }

    /// The state of a series, if there is one.
    #[inline]
    pub fn get_mut(&mut self, id: SeriesId) -> Option<&mut T> {
        self.pages.get_mut(id.index() / PAGE)?.as_mut()?.slots[id.index() % PAGE].as_mut()
    }

    /// The state of a series, made first where there is none.
    #[inline]
    pub fn get_or_insert_with(&mut self, id: SeriesId, make: impl FnOnce() -> T) -> &mut T {
        let len = &mut self.len;
        let Page { slots, used } = page_of(&mut self.pages, id);
        slots[id.index() % PAGE].get_or_insert_with(|| {
            let made = make();
            *used += 1;
            *len += 1;
            made
        })
    }

    /// Sets the state of a series and gives back the old one.
    pub fn insert(&mut self, id: SeriesId, state: T) -> Option<T> {
        let page = page_of(&mut self.pages, id);
        let old = page.slots[id.index() % PAGE].replace(state);
        page.used += usize::from(old.is_none());
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes the state of a series.
    pub fn remove(&mut self, id: SeriesId) -> Option<T> {
        let place = self.pages.get_mut(id.index() / PAGE)?;
        let page = place.as_mut()?;
        let old = page.slots[id.index() % PAGE].take()?;
        page.used -= 1;
        self.len -= 1;
        if page.used == 0 {
            *place = None;
        }
        Some(old)
    }

    /// Removes the states that `keep` does not want to keep.
    pub fn retain(&mut self, mut keep: impl FnMut(SeriesId, &mut T) -> bool) {
        for (number, place) in self.pages.iter_mut().enumerate() {
            let Some(page) = place else { continue };
            for (at, slot) in page.slots.iter_mut().enumerate() {
                let id = SeriesId((number * PAGE + at) as u32);
                if slot.as_mut().is_some_and(|state| !keep(id, state)) {
                    *slot = None;
                    page.used -= 1;
                    self.len -= 1;
                }
            }
            if page.used == 0 {
                *place = None;
            }
        }
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
            .filter_map(|(page, slots)| Some((page, &slots.as_ref()?.slots)))
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
            .filter_map(|(page, slots)| Some((page, &mut slots.as_mut()?.slots)))
            .flat_map(|(page, slots)| {
                slots.iter_mut().enumerate().filter_map(move |(place, state)| {
                    Some((SeriesId((page * PAGE + place) as u32), state.as_mut()?))
                })
            })
    }

    /// How many pages it holds.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> usize {
        self.pages.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> SeriesId {
        SeriesId::from_index(index)
    }

    #[test]
    fn a_series_map_keeps_count() {
        let mut map = SeriesMap::new();
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

    #[test]
    fn series_that_come_and_go_leave_no_pages() {
        let mut map = SeriesMap::new();
        for number in 0..1_000_000 {
            map.get_or_insert_with(id(number), || number);
            if let Some(old) = number.checked_sub(1_000) {
                assert_eq!(map.remove(id(old)), Some(old));
            }
            if number % 10_000 == 0 {
                assert!(map.pages() <= 1_000 / PAGE + 2, "{} at {number}", map.pages());
            }
        }
        assert_eq!(map.len(), 1_000);
        map.retain(|id, _| id.index() == 999_500);
        assert_eq!((map.len(), map.pages()), (1, 1));
        assert_eq!(map.get(id(999_500)), Some(&999_500));
    }
}
