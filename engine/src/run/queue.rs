//! The queue before a sink: bounded in bytes, with a policy for when it is full. One end gives, the other is a stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use schemars::JsonSchema;
use serde::Deserialize;

use super::stats::NodeStats;
use crate::batch::{Batch, Items};
use crate::bytes::ByteSize;
use crate::series::SeriesMap;

/// What `queue` says in a pipeline file: how much may wait in front of a node, and what happens when that much does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSpec {
    /// How many bytes of items may wait. Default `2MiB`, at least `64KiB`.
    pub size: ByteSize,
    /// What happens when it is full. Default `block`.
    pub when_full: WhenFull,
    /// How many bytes may wait on disk, behind those in the queue, for a sink whose other side is away. Default `64MiB`, at least
    /// `64KiB`; `0B` for none. Only sinks that send to another side have it.
    pub spool: ByteSize,
}

impl Default for QueueSpec {
    fn default() -> Self {
        QueueSpec { size: ByteSize::mib(2), when_full: WhenFull::Block, spool: ByteSize::mib(64) }
    }
}

impl QueueSpec {
    /// The bytes that the spool may hold; `None` if there is to be none.
    #[must_use]
    pub fn spool_cap(&self) -> Option<ByteSize> {
        (self.spool.0 > 0).then(|| self.spool.max(SPOOL_MIN))
    }
}

/// The least a queue may hold.
pub const QUEUE_MIN: ByteSize = ByteSize::kib(64);

/// The least a spool may hold, unless it is to hold nothing.
pub const SPOOL_MIN: ByteSize = ByteSize::kib(64);

/// What happens when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// What comes before it waits: nothing is lost.
    #[default]
    Block,
    /// The oldest items go, and are counted.
    DropOldest,
    /// The newest items go, and are counted.
    DropNewest,
    /// Of each source only the newest reading stays; the others go, and are counted.
    Latest,
}

/// What lies in a queue.
#[derive(Debug, Clone, PartialEq)]
pub enum Parcel {
    /// Items.
    Batch(Batch),
    /// A barrier with its number: all items before it belong to one consistent cut. No policy drops it.
    Barrier(u64),
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<Parcel>,
    bytes: usize,
    closed: bool,
    gone: bool,
    giver: Option<Waker>,
    taker: Option<Waker>,
}

/// The end that gives.
#[derive(Debug)]
pub struct Giver {
    inner: Arc<Mutex<Inner>>,
    spec: QueueSpec,
    stats: Arc<NodeStats>,
}

/// The end that takes: a stream that ends when the giver is gone and everything was taken.
#[derive(Debug)]
pub struct Taker {
    inner: Arc<Mutex<Inner>>,
}

/// An empty queue. Drops are counted in `stats`, the counters of the node behind it.
#[must_use]
pub fn queue(spec: QueueSpec, stats: Arc<NodeStats>) -> (Giver, Taker) {
    let inner = Arc::new(Mutex::new(Inner {
        waiting: VecDeque::new(),
        bytes: 0,
        closed: false,
        gone: false,
        giver: None,
        taker: None,
    }));
    (Giver { inner: inner.clone(), spec, stats }, Taker { inner })
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    // Nothing in here panics half-way, so a poisoned queue is still whole.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows how full a queue is.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<Mutex<Inner>>);

impl Gauge {
    /// How many bytes wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        lock(&self.0).bytes
    }
}

impl Taker {
    /// Shows how full the queue is.
    pub(crate) fn gauge(&self) -> Gauge {
        Gauge(self.inner.clone())
    }
}

impl Giver {
    /// Puts a batch into the queue; waits while it is full and the policy is to block. A batch larger than the whole queue
    /// goes in when the queue is empty. When the taker is gone the batch is counted as dropped.
    ///
    /// Cancel-safe: dropped before it is done, the batch is still in `batch`.
    pub async fn give(&self, batch: &mut Option<Batch>) {
        std::future::poll_fn(|cx| self.poll_give(cx, batch)).await;
    }

    /// Puts a barrier into the queue.
    pub fn barrier(&self, number: u64) {
        let mut inner = lock(&self.inner);
        // Of barriers with nothing between them the last says all, so a queue that nobody empties does not fill with them.
        match inner.waiting.back_mut() {
            Some(Parcel::Barrier(last)) => *last = number,
            _ => inner.waiting.push_back(Parcel::Barrier(number)),
        }
        if let Some(taker) = inner.taker.take() {
            taker.wake();
        }
    }

    /// Changes how much may wait, what happens when that much does, and where it is counted.
    pub(crate) fn set_spec(&mut self, spec: QueueSpec, stats: Arc<NodeStats>) {
        (self.spec, self.stats) = (spec, stats);
    }

    /// How many bytes wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        lock(&self.inner).bytes
    }

    fn poll_give(&self, cx: &Context<'_>, batch: &mut Option<Batch>) -> Poll<()> {
        let Some(size) = batch.as_ref().map(|batch| batch.items.bytes()) else {
            return Poll::Ready(());
        };
        let mut inner = lock(&self.inner);
        let limit = usize::try_from(self.spec.size.max(QUEUE_MIN).0).unwrap_or(usize::MAX);
        if inner.gone {
            self.stats.add_dropped(batch.take().map_or(0, |batch| batch.items.len()));
            return Poll::Ready(());
        }
        if inner.bytes > 0 && inner.bytes + size > limit {
            match self.spec.when_full {
                WhenFull::Block => {
                    inner.giver = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                WhenFull::DropNewest => {
                    self.stats.add_dropped(batch.take().map_or(0, |batch| batch.items.len()));
                    return Poll::Ready(());
                }
                WhenFull::DropOldest => {
                    let dropped = inner.drop_oldest(limit.saturating_sub(size));
                    self.stats.add_dropped(dropped);
                }
                WhenFull::Latest => {
                    let newest = batch.take();
                    let dropped = inner.keep_latest(newest);
                    self.stats.add_dropped(dropped);
                }
            }
        }
        if let Some(batch) = batch.take() {
            inner.bytes += size;
            inner.waiting.push_back(Parcel::Batch(batch));
        }
        if let Some(taker) = inner.taker.take() {
            taker.wake();
        }
        Poll::Ready(())
    }
}

impl Inner {
    /// Drops batches from the front until at most `room` bytes wait; says how many items went.
    fn drop_oldest(&mut self, room: usize) -> usize {
        let mut dropped = 0;
        let Inner { waiting, bytes, .. } = self;
        waiting.retain(|parcel| match parcel {
            Parcel::Batch(batch) if *bytes > room => {
                *bytes = bytes.saturating_sub(batch.items.bytes());
                dropped += batch.items.len();
                false
            }
            _ => true,
        });
        dropped
    }

    /// Keeps the newest reading of each series, and of other kinds the newest batch; barriers keep their place relative to the
    /// items that stay. Says how many items went.
    fn keep_latest(&mut self, newest: Option<Batch>) -> usize {
        let mut seen: SeriesMap<()> = SeriesMap::new();
        let (mut windows, mut observations, mut dropped) = (false, false, 0);
        self.waiting.extend(newest.map(Parcel::Batch));
        for parcel in self.waiting.iter_mut().rev() {
            let Parcel::Batch(batch) = parcel else { continue };
            let before = batch.items.len();
            match &mut batch.items {
                Items::Readings(readings) => {
                    readings.reverse();
                    readings.retain(|reading| seen.insert(reading.series, ()).is_none());
                    readings.reverse();
                }
                Items::Windows(items) if std::mem::replace(&mut windows, true) => items.clear(),
                Items::Observations(items) if std::mem::replace(&mut observations, true) => {
                    items.clear();
                }
                _ => {}
            }
            dropped += before - batch.items.len();
        }
        self.waiting
            .retain(|parcel| !matches!(parcel, Parcel::Batch(batch) if batch.items.is_empty()));
        let sizes = self.waiting.iter().map(|parcel| match parcel {
            Parcel::Batch(batch) => batch.items.bytes(),
            Parcel::Barrier(_) => 0,
        });
        self.bytes = sizes.sum();
        dropped
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        if let Some(taker) = inner.taker.take() {
            taker.wake();
        }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let mut inner = lock(&self.inner);
        inner.gone = true;
        inner.waiting.clear();
        if let Some(giver) = inner.giver.take() {
            giver.wake();
        }
    }
}

impl Stream for Taker {
    type Item = Parcel;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Parcel>> {
        let mut inner = lock(&self.inner);
        let Some(parcel) = inner.waiting.pop_front() else {
            if inner.closed {
                return Poll::Ready(None);
            }
            inner.taker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let Parcel::Batch(batch) = &parcel {
            inner.bytes = inner.bytes.saturating_sub(batch.items.bytes());
            if let Some(giver) = inner.giver.take() {
                giver.wake();
            }
        }
        Poll::Ready(Some(parcel))
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;
    use crate::reading::Reading;
    use crate::series::SeriesId;
    use crate::time::Timestamp;

    fn batch(series: u32, count: i64) -> Batch {
        let at = |i| Timestamp::from_micros(i);
        let reading = |i| Reading::new(at(i), SeriesId::from_index(series), i);
        Batch::new(Items::Readings((0..count).map(reading).collect()), at(0))
    }

    fn with(when_full: WhenFull) -> (Giver, Taker, Arc<NodeStats>) {
        let stats = NodeStats::new(0);
        let spec = QueueSpec { size: QUEUE_MIN, when_full, ..QueueSpec::default() };
        let (giver, taker) = queue(spec, stats.clone());
        (giver, taker, stats)
    }

    fn lens(taker: Taker) -> Vec<usize> {
        let parcels: Vec<Parcel> = futures::executor::block_on(taker.collect());
        parcels
            .into_iter()
            .map(|parcel| match parcel {
                Parcel::Batch(batch) => batch.items.len(),
                Parcel::Barrier(_) => 0,
            })
            .collect()
    }

    #[test]
    fn a_spool_is_of_some_use_or_not_there() {
        let cap = |spool| QueueSpec { spool, ..QueueSpec::default() }.spool_cap();
        assert_eq!(QueueSpec::default().spool_cap(), Some(ByteSize::mib(64)));
        assert_eq!(cap(ByteSize(1)), Some(SPOOL_MIN));
        assert_eq!(cap(ByteSize(0)), None);
    }

    /// 1,000 readings of 40 bytes: one fits into 64 KiB, two do not.
    const ONE: i64 = 1_000;

    #[test]
    fn a_full_queue_blocks_until_something_is_taken() {
        let (giver, mut taker, stats) = with(WhenFull::Block);
        assert!(giver.give(&mut Some(batch(0, ONE))).now_or_never().is_some());
        let mut waits = Some(batch(0, ONE));
        let mut second = Box::pin(giver.give(&mut waits));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(taker.next().now_or_never().is_some());
        assert!(second.now_or_never().is_some());
        assert_eq!(stats.dropped(), 0);
    }

    #[test]
    fn policies_drop_what_they_say_and_count_it_and_never_a_barrier() {
        let give = |giver: &Giver, series, count| {
            assert!(giver.give(&mut Some(batch(series, count))).now_or_never().is_some());
        };
        for (policy, expected, dropped) in [
            (WhenFull::DropOldest, vec![0, 1_001], 1_000),
            (WhenFull::DropNewest, vec![1_000, 0], 1_001),
            (WhenFull::Latest, vec![1, 0, 1], 1_999),
        ] {
            let (giver, taker, stats) = with(policy);
            give(&giver, 0, ONE);
            giver.barrier(1);
            give(&giver, 1, ONE + 1);
            drop(giver);
            assert_eq!(lens(taker), expected, "{policy:?}");
            assert_eq!(stats.dropped(), dropped, "{policy:?}");
        }
    }

    #[test]
    fn barriers_with_nothing_between_them_are_one() {
        let (giver, taker, _) = with(WhenFull::Block);
        (1..=3).for_each(|number| giver.barrier(number));
        assert!(giver.give(&mut Some(batch(0, 1))).now_or_never().is_some());
        giver.barrier(4);
        drop(giver);
        let parcels: Vec<Parcel> = futures::executor::block_on(taker.collect());
        assert!(matches!(parcels[..], [Parcel::Barrier(3), Parcel::Batch(_), Parcel::Barrier(4)]));
    }

    #[test]
    fn a_batch_larger_than_the_queue_still_goes_through() {
        let (giver, taker, _) = with(WhenFull::Block);
        assert!(giver.give(&mut Some(batch(0, 5_000))).now_or_never().is_some());
        drop(giver);
        assert_eq!(lens(taker), [5_000]);
    }
}
