use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::batch::Items;
use crate::reading::Reading;
use crate::run::keep::Fill;
use crate::run::queue::queue;
use crate::series::SeriesId;
use crate::time::Timestamp;
use crate::window::{Cause, Window};

/// A spool that notes the offsets of what it is given.
#[derive(Debug, Default)]
struct Noting(Arc<Mutex<Vec<Range<u64>>>>);

impl Spool for Noting {
    fn append(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(offsets(batch));
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
        0
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
    let spool = Noting::default();
    let kept = spool.0.clone();
    (Shelf::new(stats, taker, spec, Box::new(spool), tail, None), kept)
}

fn taken(tail: Vec<Batch>) -> Vec<Range<u64>> {
    let (mut shelf, _) = shelf(tail);
    let taken = std::iter::from_fn(|| shelf.take().unwrap()).map(|batch| offsets(&batch)).collect();
    assert_eq!(shelf.tail_bytes, 0);
    taken
}

#[test]
fn what_waits_in_memory_is_joined_as_far_as_it_belongs_together() {
    let one_by_one = (0..3_000).map(|first| batch(first..first + 1)).collect();
    assert_eq!(taken(one_by_one), [0..1_024, 1_024..2_048, 2_048..3_000]);
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
    assert_eq!(shelf.take().unwrap().map(|batch| offsets(&batch)), Some(0..3));
    shelf.put_back();
    assert_eq!(shelf.take().unwrap().map(|batch| offsets(&batch)), Some(0..3));
    assert_eq!(shelf.confirm(), Some(3));
}
