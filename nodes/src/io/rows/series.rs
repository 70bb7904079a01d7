//! What tells series apart in a row. A series is looked up by its fields as they stand in the row, so that no name is
//! composed for a reading of a series that is known.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use smollama_engine::series::{SeriesId, SeriesTable};

use super::{Cell, Row};

/// Gives keys small numbers in the order in which they come, and finds the number of a key that is known.
#[derive(Debug, Default)]
pub struct KeyIndex {
    hasher: foldhash::fast::RandomState,
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// The keys of all entries, side by side, as rows in turns go through them.
    keys: Vec<u8>,
    /// The entry found last. Sensors report in turns, so what followed it last time mostly follows again.
    latest: usize,
}

#[derive(Debug)]
struct Entry {
    /// Where its key lies.
    key_start: u32,
    key_end: u32,
    next: u32,
}

/// One series can be written in many ways (labels with other blanks), so a stranger can make more keys than there are
/// series. Beyond these bounds all are forgotten and found again.
const ENTRIES_MAX: usize = 40_000;
const KEYS_MAX: usize = 16 << 20;

impl KeyIndex {
    /// The number of a key, if it is known.
    #[inline]
    pub fn find(&mut self, key: &[u8]) -> Option<usize> {
        let next = self.entries.get(self.latest).map_or(0, |entry| entry.next as usize);
        if self.entries.get(next).is_some_and(|entry| entry.key(&self.keys) == key) {
            self.latest = next;
            return Some(next);
        }
        self.look_up(key)
    }

    // Out of the way, so that finding what follows is part of a source's loop.
    #[inline(never)]
    fn look_up(&mut self, key: &[u8]) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        let same = |&index: &u32| {
            self.entries.get(index as usize).is_some_and(|entry| entry.key(&self.keys) == key)
        };
        let found = self.index.find(hash, same).map(|&index| index as usize)?;
        self.follow(found);
        Some(found)
    }

    fn follow(&mut self, found: usize) {
        if let Some(entry) = self.entries.get_mut(self.latest) {
            entry.next = found as u32;
        }
        self.latest = found;
    }

    /// Gives a key that is not known the next number. Number 0 means that all others were forgotten, if there were any.
    pub fn insert(&mut self, key: &[u8]) -> usize {
        if self.entries.len() >= ENTRIES_MAX || self.keys.len() + key.len() > KEYS_MAX {
            self.index.clear();
            self.entries.clear();
            self.keys.clear();
            self.latest = 0;
        }
        let number = self.entries.len();
        let key_start = self.keys.len() as u32;
        self.keys.extend_from_slice(key);
        self.entries.push(Entry { key_start, key_end: self.keys.len() as u32, next: 0 });
        let Self { index, entries, keys, hasher, .. } = self;
        let hash_of = |&other: &u32| {
            hasher.hash_one(entries.get(other as usize).map_or(&[][..], |entry| entry.key(keys)))
        };
        index.insert_unique(hasher.hash_one(key), number as u32, hash_of);
        self.follow(number);
        number
    }
}

impl Entry {
    #[inline]
    fn key<'a>(&self, keys: &'a [u8]) -> &'a [u8] {
        keys.get(self.key_start as usize..self.key_end as usize).unwrap_or_default()
    }
}

/// The numbers of series, by the keys that were written for them.
#[derive(Debug, Default)]
pub struct KnownSeries {
    index: KeyIndex,
    /// By the number of a key; `None` where the series gave its slot back.
    ids: Vec<Option<SeriesId>>,
    generation: u64,
}

impl KnownSeries {
    /// Forgets those that gave their slots back since the last call: what comes under their keys has other numbers. Called before each
    /// message or block of rows.
    #[inline]
    pub fn refresh(&mut self, table: &SeriesTable) {
        let generation = table.generation();
        if generation != self.generation {
            self.generation = generation;
            self.forget_silent(table);
        }
    }

    #[cold]
    fn forget_silent(&mut self, table: &SeriesTable) {
        for id in &mut self.ids {
            *id = id.filter(|id| table.is_live(*id));
        }
    }

    /// The series of a key, if it is known.
    #[inline]
    pub fn find(&mut self, key: &[u8]) -> Option<SeriesId> {
        let number = self.index.find(key)?;
        self.ids.get(number).copied().flatten()
    }

    /// Remembers the series of a key.
    pub fn insert(&mut self, key: &[u8], id: SeriesId) {
        let known = self.index.find(key);
        if let Some(place) = known.and_then(|number| self.ids.get_mut(number)) {
            *place = Some(id);
            return;
        }
        let number = self.index.insert(key);
        self.ids.truncate(number);
        self.ids.push(Some(id));
    }
}

/// Ends a field in a key; no byte of a text.
const END: u8 = 0xFF;
/// Stands for a field that is not there.
const ABSENT: u8 = 0xFE;

/// Makes the key of a row out of the fields that tell series apart.
#[inline]
pub fn write_key(row: Row<'_>, slots: &[usize], key: &mut Vec<u8>) {
    key.clear();
    for &slot in slots {
        push_field(row, slot, key);
        key.push(END);
    }
}

#[inline]
fn push_field(row: Row<'_>, slot: usize, key: &mut Vec<u8>) {
    match row.cell(slot) {
        cell @ (Cell::Text(_) | Cell::Unescaped(_) | Cell::Nested(_)) => {
            key.extend_from_slice(row.text(cell));
        }
        Cell::Missing | Cell::Null => key.push(ABSENT),
        Cell::Int(number) | Cell::Time(number) => {
            key.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        Cell::Float(number) => key.extend_from_slice(zmij::Buffer::new().format(number).as_bytes()),
        Cell::Bool(value) => key.extend_from_slice(if value { b"true" } else { b"false" }),
    }
}

/// What stands in a field, as text.
#[must_use]
pub fn field_text(row: Row<'_>, slot: usize) -> Option<String> {
    if matches!(row.cell(slot), Cell::Missing | Cell::Null) {
        return None;
    }
    let mut bytes = Vec::new();
    push_field(row, slot, &mut bytes);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The labels that a JSON object writes; none for an empty text.
///
/// # Errors
/// It is no object. The message names the field `labels`.
pub fn labels_of(json: &str) -> Result<BTreeMap<Arc<str>, Arc<str>>, String> {
    if json.is_empty() {
        return Ok(BTreeMap::new());
    }
    let bad = |_| "the field `labels` is not a map of texts".to_owned();
    let map: BTreeMap<String, serde_json::Value> = serde_json::from_str(json).map_err(bad)?;
    let label = |(name, value): (String, serde_json::Value)| {
        let mut text = String::new();
        match value {
            serde_json::Value::String(value) => text = value,
            // Writing to a text cannot fail.
            value => drop(write!(text, "{value}")),
        }
        (Arc::from(name), Arc::from(text))
    };
    Ok(map.into_iter().map(label).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_gave_its_slot_back_is_not_known_by_its_number() {
        use smollama_engine::series::{Series, SourceKey};

        let table = SeriesTable::new(10);
        let intern = |id| table.intern(&Series::new(SourceKey::local("t", id))).unwrap();
        let [a, b] = ["a", "b"].map(intern);
        let mut known = KnownSeries::default();
        known.insert(b"a", a);
        known.insert(b"b", b);
        table.retire(&[a]);
        known.refresh(&table);
        assert_eq!((known.find(b"a"), known.find(b"b")), (None, Some(b)));
        let again = intern("a");
        known.insert(b"a", again);
        known.refresh(&table);
        assert_eq!((known.find(b"a"), known.find(b"b")), (Some(again), Some(b)));
        assert_eq!(known.ids.len(), 2, "one place for one key");
    }

    #[test]
    fn keys_are_found_in_any_order_and_forgotten_beyond_the_bound() {
        let mut index = KeyIndex::default();
        let key = |number: usize| format!("sensor/{number}").into_bytes();
        for number in 0..100 {
            assert_eq!(index.find(&key(number)), None);
            assert_eq!(index.insert(&key(number)), number);
        }
        for number in (0..100).chain([7, 7, 3]).chain((0..100).rev()) {
            assert_eq!(index.find(&key(number)), Some(number));
        }
        let long = vec![b'x'; KEYS_MAX - 10];
        assert_eq!(index.insert(&long), 0, "all others are forgotten");
        assert_eq!((index.find(&key(5)), index.find(&long)), (None, Some(0)));
    }
}
