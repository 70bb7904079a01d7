//! From the fields that tell series apart to the series' number, without composing its name: known fields are looked up as
//! they stand in the row.

use std::collections::BTreeMap;
use std::sync::Arc;

use smollama_engine::context::Context;
use smollama_engine::series::{Series, SeriesId, SeriesTable, SourceKey};

use super::layout::{Identity, NamePart, ValueField};
use crate::io::rows::series::{KeyIndex, field_text, labels_of, write_key};
use crate::io::rows::{Cell, Row};

/// The series of one file.
pub(super) struct SeriesCache {
    identity: Identity,
    slots: Vec<usize>,
    values: usize,
    index: KeyIndex,
    /// By the number of a key, with a place for each value of a row.
    ids: Vec<Option<SeriesId>>,
    key: Vec<u8>,
    generation: u64,
}

impl SeriesCache {
    pub(super) fn new(identity: Identity, values: usize) -> Self {
        SeriesCache {
            slots: identity.slots(),
            identity,
            values,
            index: KeyIndex::default(),
            ids: Vec::new(),
            key: Vec::new(),
            generation: 0,
        }
    }

    /// Forgets the series that gave their slots back since the last call.
    #[inline]
    pub(super) fn refresh(&mut self, table: &SeriesTable) {
        let generation = table.generation();
        if generation != self.generation {
            self.generation = generation;
            for id in &mut self.ids {
                *id = id.filter(|id| table.is_live(*id));
            }
        }
    }

    /// Turns to the fields of a row; comes before [`SeriesCache::id`].
    #[inline]
    pub(super) fn turn_to(&mut self, row: Row<'_>) -> Known {
        write_key(row, &self.slots, &mut self.key);
        Known(self.index.find(&self.key))
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

    /// A number for the key at hand.
    fn remember(&mut self) -> usize {
        let index = self.index.insert(&self.key);
        self.ids.truncate(index * self.values);
        self.ids.resize((index + 1) * self.values, None);
        index
    }

    fn intern(
        &self,
        value: &ValueField,
        row: Row<'_>,
        context: &Context,
    ) -> Result<SeriesId, String> {
        let identity = &self.identity;
        let unit =
            identity.unit.and_then(|slot| field_text(row, slot)).or_else(|| value.unit.clone());
        let mut labels = BTreeMap::new();
        for (name, slot) in &identity.labels {
            if let Some(text) = field_text(row, *slot).filter(|text| !text.is_empty()) {
                labels.insert(Arc::from(name.as_str()), Arc::from(text));
            }
        }
        if let Some(map) = identity.labels_map.and_then(|slot| field_text(row, slot)) {
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
        let whole =
            identity.whole.and_then(|slot| field_text(row, slot)).filter(|name| !name.is_empty());
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
                    let text = field_text(row, *slot).filter(|text| !text.is_empty());
                    name.push_str(&text.ok_or_else(|| format!("no `{field}` to name the source"))?);
                }
            }
        }
        Ok(name)
    }
}

/// Whether the fields of a row are known, and where.
pub(super) struct Known(Option<usize>);
