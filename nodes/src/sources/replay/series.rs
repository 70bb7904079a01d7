//! From the fields that tell series apart to the series' number, without composing its name: known fields are looked up as
//! they stand in the row.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use smollama_engine::context::Context;
use smollama_engine::series::{Series, SeriesId, SourceKey};

use super::layout::{Identity, NamePart, ValueField};
use crate::io::rows::{Cell, Row};

/// The series of one file.
pub(super) struct SeriesCache {
    identity: Identity,
    slots: Vec<usize>,
    values: usize,
    hasher: foldhash::fast::RandomState,
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// The keys of all entries and, with a place for each value of a row, their series: side by side, as rows in turns go
    /// through them.
    keys: Vec<u8>,
    ids: Vec<Option<SeriesId>>,
    /// The entry of the last row. Sensors report in turns, so what followed it last time mostly follows again.
    latest: usize,
    key: Vec<u8>,
}

struct Entry {
    /// Where its key lies.
    key_start: u32,
    key_end: u32,
    next: u32,
}

/// One series can be written in many ways (labels with other blanks), so a stranger can make more entries than there are
/// series. Beyond these bounds all are forgotten and found again.
const ENTRIES_MAX: usize = 40_000;
const KEYS_MAX: usize = 16 << 20;

/// Ends a field in a key; no byte of a text.
const END: u8 = 0xFF;
/// Stands for a field that is not there.
const ABSENT: u8 = 0xFE;

impl SeriesCache {
    pub(super) fn new(identity: Identity, values: usize) -> Self {
        SeriesCache {
            slots: identity.slots(),
            identity,
            values,
            hasher: foldhash::fast::RandomState::default(),
            index: HashTable::new(),
            entries: Vec::new(),
            keys: Vec::new(),
            ids: Vec::new(),
            latest: 0,
            key: Vec::new(),
        }
    }

    /// Turns to the fields of a row; comes before [`SeriesCache::id`].
    #[inline]
    pub(super) fn turn_to(&mut self, row: Row<'_>) -> Known {
        self.key.clear();
        for &slot in &self.slots {
            push_field(row, slot, &mut self.key);
            self.key.push(END);
        }
        let next = self.entries.get(self.latest).map_or(0, |entry| entry.next as usize);
        if self.entries.get(next).is_some_and(|entry| entry.key(&self.keys) == self.key) {
            self.latest = next;
            return Known(Some(next));
        }
        let hash = self.hasher.hash_one(self.key.as_slice());
        let same = |&index: &u32| {
            self.entries.get(index as usize).is_some_and(|entry| entry.key(&self.keys) == self.key)
        };
        let Some(found) = self.index.find(hash, same).map(|&index| index as usize) else {
            return Known(None);
        };
        self.follow(found);
        Known(Some(found))
    }

    fn follow(&mut self, found: usize) {
        if let Some(entry) = self.entries.get_mut(self.latest) {
            entry.next = found as u32;
        }
        self.latest = found;
    }

    /// The series of a value of the row that was turned to.
    ///
    /// # Errors
    /// The row lacks a field of the name, or there are too many series.
    #[inline]
    pub(super) fn id(
        &mut self,
        known: &mut Known,
        value: (usize, &ValueField),
        row: Row<'_>,
        context: &Context,
    ) -> Result<SeriesId, String> {
        let place = known.0.and_then(|index| self.ids.get(index * self.values + value.0));
        match place.copied().flatten() {
            Some(id) => Ok(id),
            None => self.make(known, value, row, context),
        }
    }

    #[cold]
    fn make(
        &mut self,
        known: &mut Known,
        (position, value): (usize, &ValueField),
        row: Row<'_>,
        context: &Context,
    ) -> Result<SeriesId, String> {
        let id = self.intern(value, row, context)?;
        let index = match known.0 {
            Some(index) => index,
            None => self.remember(),
        };
        known.0 = Some(index);
        if let Some(place) = self.ids.get_mut(index * self.values + position) {
            *place = Some(id);
        }
        Ok(id)
    }

    /// An entry for the key at hand.
    fn remember(&mut self) -> usize {
        if self.entries.len() >= ENTRIES_MAX || self.keys.len() + self.key.len() > KEYS_MAX {
            self.index.clear();
            self.entries.clear();
            self.keys.clear();
            self.ids.clear();
            self.latest = 0;
        }
        let index = self.entries.len();
        let key_start = self.keys.len() as u32;
        self.keys.extend_from_slice(&self.key);
        self.entries.push(Entry { key_start, key_end: self.keys.len() as u32, next: 0 });
        self.ids.resize(self.ids.len() + self.values, None);
        let Self { index: table, entries, keys, hasher, .. } = self;
        let hash_of = |&other: &u32| {
            hasher.hash_one(entries.get(other as usize).map_or(&[][..], |entry| entry.key(keys)))
        };
        table.insert_unique(hasher.hash_one(self.key.as_slice()), index as u32, hash_of);
        self.follow(index);
        index
    }

    fn intern(
        &self,
        value: &ValueField,
        row: Row<'_>,
        context: &Context,
    ) -> Result<SeriesId, String> {
        let identity = &self.identity;
        let unit = identity.unit.and_then(|slot| text(row, slot)).or_else(|| value.unit.clone());
        let mut labels = BTreeMap::new();
        for (name, slot) in &identity.labels {
            if let Some(text) = text(row, *slot).filter(|text| !text.is_empty()) {
                labels.insert(Arc::from(name.as_str()), Arc::from(text));
            }
        }
        if let Some(map) = identity.labels_map.and_then(|slot| text(row, slot)) {
            labels.extend(labels_of(&map)?);
        }
        let monotonic = identity.monotonic.map(|slot| row.cell(slot)) == Some(Cell::Bool(true));
        let describe = |mut series: Series| {
            if let Some(unit) = &unit {
                series = series.with_unit(unit);
            }
            series.labels.extend(labels);
            series.monotonic = monotonic;
            series
        };
        let whole = identity.whole.and_then(|slot| text(row, slot)).filter(|name| !name.is_empty());
        match whole {
            Some(name) => context.recorded_series(SourceKey::parse(&name), describe),
            None => context.source_series(&self.name(value, row)?, describe),
        }
        .map_err(|error| error.to_string())
    }

    fn name(&self, value: &ValueField, row: Row<'_>) -> Result<String, String> {
        if let Some(id) = &value.id {
            return Ok(id.clone());
        }
        let mut name = String::new();
        for part in &self.identity.name {
            match part {
                NamePart::Text(text) => name.push_str(text),
                NamePart::Column => name.push_str(&value.column),
                NamePart::Field(field, slot) => {
                    let text = text(row, *slot).filter(|text| !text.is_empty());
                    name.push_str(&text.ok_or_else(|| format!("no `{field}` to name the source"))?);
                }
            }
        }
        Ok(name)
    }
}

impl Entry {
    #[inline]
    fn key<'a>(&self, keys: &'a [u8]) -> &'a [u8] {
        keys.get(self.key_start as usize..self.key_end as usize).unwrap_or_default()
    }
}

/// Whether the fields of a row are known, and where.
pub(super) struct Known(Option<usize>);

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
fn text(row: Row<'_>, slot: usize) -> Option<String> {
    if matches!(row.cell(slot), Cell::Missing | Cell::Null) {
        return None;
    }
    let mut bytes = Vec::new();
    push_field(row, slot, &mut bytes);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn labels_of(json: &str) -> Result<BTreeMap<Arc<str>, Arc<str>>, String> {
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
