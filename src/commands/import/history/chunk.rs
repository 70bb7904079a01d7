//! Some readings on their way into the history, and which of them are there already.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use smollama_engine::observation::Observation;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesId, SeriesTable};
use smollama_engine::time::Timestamp;
use smollama_store::history::{Reader, Result, Sources};
use uuid::Uuid;

/// So many readings are put in together: what a file of the history begins with.
const ROWS_MAX: usize = 32_768;
/// Long texts make it fewer.
const BYTES_MAX: usize = 16 << 20;
/// Readings that lie further apart in time are looked for apart, in microseconds.
const APART: i64 = 3_600_000_000;
/// In so many pieces at most.
const PIECES_MAX: usize = 32;
/// Of so many sources the last reading is remembered.
const LAST_MAX: usize = 100_000;

/// A reading with all that is known of its source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OldReading {
    pub(super) time: Timestamp,
    pub(super) series: Series,
    pub(super) value: Value,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    rows: Vec<OldReading>,
    bytes: usize,
    /// The last reading of each source. The old program wrote down what an edge node had said last at each of its turns,
    /// however long ago that was.
    last: HashMap<Arc<str>, (Timestamp, Value)>,
    /// How many were left out.
    pub(super) known: u64,
    /// How many were the last of their source once more.
    pub(super) repeated: u64,
}

impl Chunk {
    pub(super) fn push(&mut self, reading: OldReading) {
        let name = reading.series.source.name();
        let now = (reading.time, reading.value.clone());
        let has_room = self.last.len() < LAST_MAX;
        match self.last.get_mut(name) {
            Some(last) if *last == now => {
                self.repeated += 1;
                return;
            }
            Some(last) => *last = now,
            None if has_room => drop(self.last.insert(name.into(), now)),
            None => {}
        }
        self.bytes += reading.value.heap_bytes();
        self.rows.push(reading);
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn rows(&self) -> &[OldReading] {
        &self.rows
    }

    /// Forgets the readings; the last of each source stay known.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        (self.bytes, self.known, self.repeated) = (0, 0, 0);
    }

    /// Leaves out what is in a history, and what is in it twice.
    pub(super) fn leave_out_known(&mut self, reader: &Reader) -> Result<()> {
        self.rows.sort_by_key(|row| row.time);
        let mut is_known = vec![false; self.rows.len()];
        for piece in pieces(&self.rows) {
            find_known(&self.rows, piece, reader, &mut is_known)?;
        }
        let mut known = is_known.into_iter();
        let before = self.rows.len();
        self.rows.retain(|_| !known.next().unwrap_or(false));
        self.known += (before - self.rows.len()) as u64;
        Ok(())
    }

    /// As the history takes them, with the table of their series.
    pub(super) fn readings(&self) -> (Vec<Reading>, SeriesTable) {
        let table = SeriesTable::new(self.rows.len().max(1));
        let of = |row: &OldReading| {
            // There is room for a series each.
            let series = table.intern(&row.series).ok()?;
            Some(Reading::new(row.time, series, row.value.clone()))
        };
        (self.rows.iter().filter_map(of).collect(), table)
    }
}

/// Readings by time in pieces with nothing between them: where one among the others is months old, the months are not read.
fn pieces(rows: &[OldReading]) -> Vec<Range<usize>> {
    let gap = |at: usize| rows[at].time.since(rows[at - 1].time).as_micros();
    let mut cuts: Vec<usize> = (1..rows.len()).filter(|at| gap(*at) > APART).collect();
    cuts.sort_by_key(|at| std::cmp::Reverse(gap(*at)));
    cuts.truncate(PIECES_MAX - 1);
    cuts.sort_unstable();
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([rows.len()]);
    starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
}

/// Marks those of a piece that are in the history, or before them in the piece.
fn find_known(
    rows: &[OldReading],
    piece: Range<usize>,
    reader: &Reader,
    is_known: &mut [bool],
) -> Result<()> {
    let mut sources: BTreeMap<&str, u32> = BTreeMap::new();
    let mut places: HashMap<(u32, Timestamp), Vec<usize>> = HashMap::new();
    for at in piece.clone() {
        let next = sources.len() as u32;
        let source = *sources.entry(rows[at].series.source.name()).or_insert(next);
        let same = places.entry((source, rows[at].time)).or_default();
        match same.iter().any(|other| rows[*other].value == rows[at].value) {
            true => is_known[at] = true,
            false => same.push(at),
        }
    }
    let wanted: HashSet<Arc<str>> = sources.keys().map(|name| Arc::from(*name)).collect();
    let wanted = Sources::matching("", move |source| wanted.contains(source));
    let end = rows[piece.end - 1].time.as_micros().saturating_add(1);
    let times = rows[piece.start].time..Timestamp::from_micros(end);
    // As large as need be: a source can have had more than one unit.
    let table = SeriesTable::new(usize::MAX);
    let mut source_of: HashMap<SeriesId, Option<u32>> = HashMap::new();
    for kept in reader.readings(times, wanted, &table)? {
        for kept in kept? {
            let source = *source_of
                .entry(kept.series)
                .or_insert_with(|| sources.get(table.get(kept.series).source.name()).copied());
            let same = source.and_then(|source| places.get(&(source, kept.time)));
            for at in same.into_iter().flatten() {
                is_known[*at] |= rows[*at].value == kept.value;
            }
        }
    }
    Ok(())
}

/// The ids of those that are in a history.
pub(super) fn known_observations(reader: &Reader, new: &[Observation]) -> Result<HashSet<Uuid>> {
    let (Some(first), Some(last)) =
        (new.iter().map(|one| one.time).min(), new.iter().map(|one| one.time).max())
    else {
        return Ok(HashSet::new());
    };
    let asked: HashSet<Uuid> = new.iter().map(|one| one.id).collect();
    let end = Timestamp::from_micros(last.as_micros().saturating_add(1));
    let mut known = HashSet::new();
    for kept in reader.observations(first..end)? {
        known.extend(kept?.iter().map(|one| one.id).filter(|id| asked.contains(id)));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use smollama_engine::series::SourceKey;

    use super::*;

    fn reading(second: i64, value: i64) -> OldReading {
        let series = Series::new(SourceKey::parse("system:load_avg"));
        let time = Timestamp::from_micros(second * 1_000_000);
        OldReading { time, series, value: Value::Int(value) }
    }

    #[test]
    fn what_lies_far_apart_is_looked_for_apart_and_in_so_many_pieces_at_most() {
        let of = |seconds: &[i64]| {
            pieces(&seconds.iter().map(|one| reading(*one, 0)).collect::<Vec<_>>())
        };
        assert!(of(&[]).is_empty());
        assert_eq!(of(&[5]).len(), 1);
        assert_eq!(of(&[0, 10, 8_000, 8_010, 90_000]), [0..2, 2..4, 4..5]);
        let many: Vec<i64> = (0..100).map(|at| at * 10_000).collect();
        let cut = of(&many);
        assert_eq!(
            (cut.len(), cut.first().unwrap().start, cut.last().unwrap().end),
            (PIECES_MAX, 0, 100)
        );
        assert!(cut.windows(2).all(|two| two[0].end == two[1].start));
    }

    #[test]
    fn the_last_of_a_source_said_again_counts_once() {
        let mut chunk = Chunk::default();
        for _ in 0..3 {
            chunk.push(reading(0, 1));
        }
        chunk.push(reading(0, 2));
        assert_eq!((chunk.rows().len(), chunk.repeated), (2, 2));
        chunk.clear();
        chunk.push(reading(0, 2));
        assert_eq!((chunk.rows().len(), chunk.repeated), (0, 1), "also over chunks");
    }
}
