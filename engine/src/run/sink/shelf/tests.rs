use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;

use super::*;
use crate::batch::Items;
use crate::reading::Reading;
use crate::run::keep::Fill;
use crate::run::queue::queue;
use crate::series::SeriesId;
use crate::time::Timestamp;
use crate::window::{Cause, Window};

/// A spool that notes the offsets of what it is given, and holds no more than so many items.
#[derive(Debug)]
struct Noting {
    kept: Arc<Mutex<Vec<Range<u64>>>>,
    holds: u64,
}

impl Spool for Noting {
    fn append(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        if self.items() + batch.items.len() as u64 > self.holds {
            return Err(SpoolError::Full);
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(offsets(batch));
        Ok(())
    }
    fn persist(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn next(&mut self) -> std::io::Result<Option<Batch>> {
        Ok(None)
    }
    fn rewind(&mut self) {}
    fn confirm(&mut self, _: u64) {}
    fn last_end(&self) -> Option<u64> {
        None
    }
    fn items(&self) -> u64 {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|range| range.end - range.start).sum()
    }
    fn is_at_rest(&self) -> bool {
        self.items() == 0
    }
    fn fill(&self) -> Fill {
        Fill::default()
    }
}

fn offsets(batch: &Batch) -> Range<u64> {
    batch.end - batch.items.len() as u64..batch.end
}

/// A batch of readings with these offsets.
fn batch(offsets: Range<u64>) -> Batch {
    let one = Reading::new(Timestamp::EPOCH, SeriesId::from_index(0), 1.0);
    let items = Items::Readings(vec![one; (offsets.end - offsets.start) as usize]);
    Batch { end: offsets.end, ..Batch::new(items, Timestamp::EPOCH) }
}

/// A shelf where these wait in memory, and what goes to its spool.
fn shelf(tail: Vec<Batch>) -> (Shelf, Arc<Mutex<Vec<Range<u64>>>>) {
    let (stats, spec) = (NodeStats::new(1), QueueSpec::default());
    let (_, taker) = queue(spec, stats.clone());
    let spool = Noting { kept: Arc::default(), holds: 100 };
    let kept = spool.kept.clone();
    (Shelf::new(stats, taker, spec, Box::new(spool), Permission::always(), tail, None), kept)
}

/// Nothing is waited for where to block is fine.
fn take(shelf: &mut Shelf) -> Option<Batch> {
    shelf.take().now_or_never().unwrap().unwrap()
}

fn taken(tail: Vec<Batch>) -> Vec<Range<u64>> {
    let (mut shelf, _) = shelf(tail);
    let taken = std::iter::from_fn(|| take(&mut shelf)).map(|batch| offsets(&batch)).collect();
    assert_eq!(shelf.tail_bytes, 0);
    taken
}

#[test]
fn what_waits_in_memory_is_joined_as_far_as_it_belongs_together() {
    let one_by_one = (0..1_000).map(|first| batch(first..first + 1)).collect();
    let most = (JOINED_BYTES_MAX / size_of::<Reading>()) as u64;
    assert_eq!(taken(one_by_one), [0..most, most..2 * most, 2 * most..1_000]);
    let with_a_gap = vec![batch(0..2), batch(2..5), batch(7..8), batch(8..9)];
    assert_eq!(taken(with_a_gap), [0..5, 7..9]);
    let large = vec![batch(0..5_000), batch(5_000..5_001), batch(5_001..5_002)];
    assert_eq!(taken(large), [0..5_000, 5_000..5_002]);
    let window = Window {
        start: Timestamp::EPOCH,
        end: Timestamp::EPOCH,
        cause: Cause::Time,
        summaries: Vec::new(),
    };
    let other = Batch { items: Items::Windows(vec![window]), ..batch(2..3) };
    assert_eq!(taken(vec![batch(0..1), batch(1..2), other, batch(3..4)]), [0..2, 2..3, 3..4]);
}

#[test]
fn what_goes_to_the_spool_is_joined_and_what_comes_back_is_not_taken_apart() {
    let (mut spilled, kept) = shelf((0..5).map(|first| batch(first..first + 1)).collect());
    assert!(spilled.spill());
    assert_eq!((spilled.tail.len(), spilled.tail_bytes), (0, 0));
    assert_eq!(kept.lock().unwrap().clone(), [Range { start: 0, end: 5 }]);

    let (mut shelf, _) = shelf(vec![batch(0..1), batch(1..2), batch(2..3)]);
    assert_eq!(take(&mut shelf).map(|batch| offsets(&batch)), Some(0..3));
    shelf.put_back();
    assert_eq!(take(&mut shelf).map(|batch| offsets(&batch)), Some(0..3));
    assert_eq!(shelf.confirm().now_or_never().unwrap(), Some(3));
}

#[test]
fn what_was_written_stays_under_way_when_the_next_is_put_back() {
    let (mut shelf, _) = shelf(vec![batch(0..500), batch(500..1_000), batch(1_000..1_500)]);
    for offsets in [0..500, 500..1_000] {
        assert_eq!(take(&mut shelf).map(|batch| self::offsets(&batch)), Some(offsets));
    }
    shelf.put_back_last();
    assert_eq!(shelf.confirm().now_or_never().unwrap(), Some(500), "the first has arrived");
    let rest: Vec<_> = shelf.leave().iter().map(offsets).collect();
    assert_eq!(rest, [500..1_000, 1_000..1_500]);
}

#[test]
fn what_is_larger_than_the_spool_goes_there_in_parts() {
    let (mut shelf, kept) = shelf(vec![batch(0..80), batch(80..130)]);
    assert!(!shelf.spill(), "only 100 fit");
    assert_eq!(kept.lock().unwrap().clone(), [Range { start: 0, end: 65 }]);
    let rest: Vec<_> = shelf.tail.iter().map(offsets).collect();
    assert_eq!(rest, [Range { start: 65, end: 130 }]);
    let bytes: usize = shelf.tail.iter().map(|batch| batch.items.bytes()).sum();
    assert_eq!(shelf.tail_bytes, bytes);
}
