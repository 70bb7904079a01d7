//! The dictionary of a segment: series and texts (addresses, mostly) are written out once, where they first occur, and are a small
//! number from there on. The number of a series in this process never reaches the disk.

use std::collections::HashMap;
use std::sync::Arc;

use smollama_engine::series::{Series, SeriesId, SeriesMap, SeriesTable, SourceKey};

use super::wire::{self, Wire};

/// In place of a number: what follows is defined here.
const DEFINED_HERE: u64 = 0;
/// How many texts are first looked for by where they lie in memory.
const NEAR: usize = 16;

/// No segment is much longer.
const LONG: u64 = 16 << 20;

const HAS_UNIT: u8 = 1;
const MONOTONIC: u8 = 2;

/// What the segment that is being written knows.
#[derive(Debug, Default)]
pub(super) struct Written {
    series: SeriesMap<u32>,
    /// In the order of their numbers, so that what was not written after all can be forgotten.
    series_order: Vec<SeriesId>,
    texts: HashMap<Arc<str>, u32>,
    text_order: Vec<Arc<str>>,
}

/// How much a dictionary held at some time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent(usize, usize);

impl Written {
    /// Writes the number of a series, and what it is where the segment does not know it yet. Gives the number.
    #[inline]
    pub(super) fn put_series(
        &mut self,
        out: &mut Vec<u8>,
        id: SeriesId,
        table: &SeriesTable,
    ) -> u32 {
        match self.series.get(id) {
            Some(&number) => {
                wire::put(out, u64::from(number) + 1);
                number
            }
            None => self.define_series(out, id, table),
        }
    }

    /// The number of a series that the segment knows.
    #[inline]
    pub(super) fn series(&self, id: SeriesId) -> Option<u32> {
        self.series.get(id).copied()
    }

    #[cold]
    fn define_series(&mut self, out: &mut Vec<u8>, id: SeriesId, table: &SeriesTable) -> u32 {
        let series = table.get(id);
        let number = self.series_order.len() as u32;
        self.series_order.push(id);
        self.series.insert(id, number);
        wire::put(out, DEFINED_HERE);
        wire::put(out, u64::from(number));
        let unit = if series.unit.is_some() { HAS_UNIT } else { 0 };
        out.push(unit | if series.monotonic { MONOTONIC } else { 0 });
        wire::put_bytes(out, series.source.type_part().as_bytes());
        wire::put_bytes(out, series.source.id().as_bytes());
        if let Some(unit) = &series.unit {
            wire::put_bytes(out, unit.as_bytes());
        }
        wire::put(out, series.labels.len() as u64);
        for (name, value) in &series.labels {
            wire::put_bytes(out, name.as_bytes());
            wire::put_bytes(out, value.as_bytes());
        }
        number
    }

    /// Writes the number of a text, and the text where the segment does not know it yet.
    pub(super) fn put_shared(&mut self, out: &mut Vec<u8>, text: &Arc<str>) {
        let near = self.text_order.iter().take(NEAR).position(|one| Arc::ptr_eq(one, text));
        match near {
            Some(number) => wire::put(out, number as u64 + 1),
            None => self.put_text(out, text, || text.clone()),
        }
    }

    /// As [`Written::put_shared`].
    pub(super) fn put_str(&mut self, out: &mut Vec<u8>, text: &str) {
        self.put_text(out, text, || text.into());
    }

    fn put_text(&mut self, out: &mut Vec<u8>, text: &str, share: impl FnOnce() -> Arc<str>) {
        if let Some(&number) = self.texts.get(text) {
            return wire::put(out, u64::from(number) + 1);
        }
        let number = self.text_order.len() as u32;
        let shared = share();
        self.text_order.push(shared.clone());
        self.texts.insert(shared, number);
        wire::put(out, DEFINED_HERE);
        wire::put(out, u64::from(number));
        wire::put_bytes(out, text.as_bytes());
    }

    pub(super) fn extent(&self) -> Extent {
        Extent(self.series_order.len(), self.text_order.len())
    }

    /// Forgets what was defined since.
    pub(super) fn shrink_to(&mut self, Extent(series, texts): Extent) {
        for id in self.series_order.drain(series..) {
            self.series.remove(id);
        }
        for text in self.text_order.drain(texts..) {
            self.texts.remove(&text);
        }
    }
}

/// What was read of the dictionary of a segment. Where a part of the segment was lost, so may be definitions: what they defined is unknown.
#[derive(Debug, Default)]
pub(super) struct Known {
    series: Vec<Option<SeriesId>>,
    texts: Vec<Option<Arc<str>>>,
    /// No number in this segment can be as large: each takes some bytes to define.
    limit: usize,
}

/// A series that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    pub(super) number: u32,
    /// `None`: the definition was lost.
    pub(super) id: Option<SeriesId>,
}

impl Known {
    /// Nothing yet, of a segment of so many bytes, which may still get longer.
    pub(super) fn new(segment: u64) -> Known {
        let limit = usize::try_from(segment.max(LONG) / 4).unwrap_or(usize::MAX);
        Known { limit, ..Known::default() }
    }

    #[inline]
    pub(super) fn get_series(
        &mut self,
        wire: &mut Wire<'_>,
        table: &SeriesTable,
    ) -> Option<Numbered> {
        match wire.get()? {
            DEFINED_HERE => self.define_series(wire, table),
            number => self.series((number - 1).try_into().ok()?),
        }
    }

    /// A series by its number.
    #[inline]
    pub(super) fn series(&self, number: u32) -> Option<Numbered> {
        Some(Numbered { number, id: self.series.get(number as usize).copied().flatten() })
    }

    #[cold]
    fn define_series(&mut self, wire: &mut Wire<'_>, table: &SeriesTable) -> Option<Numbered> {
        let number = wire.small()?;
        let flags = wire.byte()?;
        if flags & !(HAS_UNIT | MONOTONIC) != 0 {
            return None;
        }
        let (type_part, id) = (wire.text()?, wire.text()?);
        let mut series = Series::new(SourceKey::local(type_part, id));
        series.monotonic = flags & MONOTONIC != 0;
        if flags & HAS_UNIT != 0 {
            series.unit = Some(wire.text()?.into());
        }
        for _ in 0..wire.get()? {
            series.labels.insert(wire.text()?.into(), wire.text()?.into());
        }
        // What lies here was let in once: it takes a slot when it enters the graph, and not when it is only read.
        let id = table.name(&series);
        *self::slot(&mut self.series, number, self.limit)? = id;
        Some(Numbered { number, id })
    }

    pub(super) fn get_text(&mut self, wire: &mut Wire<'_>) -> Option<Arc<str>> {
        match wire.get()? {
            DEFINED_HERE => {
                let number = wire.small()?;
                let text: Arc<str> = wire.text()?.into();
                *self::slot(&mut self.texts, number, self.limit)? = Some(text.clone());
                Some(text)
            }
            number => self.texts.get(usize::try_from(number - 1).ok()?)?.clone(),
        }
    }
}

fn slot<T>(known: &mut Vec<Option<T>>, number: u32, limit: usize) -> Option<&mut Option<T>> {
    let number = number as usize;
    if number >= known.len() {
        if number >= limit {
            return None;
        }
        known.resize_with(number + 1, || None);
    }
    known.get_mut(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_segment_can_hold_makes_no_room_for_itself() {
        let mut known = Known::new(100);
        for (number, taken) in [(3, true), (u64::from(u32::MAX), false), (u64::MAX, false)] {
            let mut out = Vec::new();
            wire::put(&mut out, DEFINED_HERE);
            wire::put(&mut out, number);
            wire::put_bytes(&mut out, b"text");
            assert_eq!(known.get_text(&mut Wire(&out)).is_some(), taken, "{number}");
        }
    }
}
