//! What waits before a sink whose other side can be away: in memory, and in the spool on disk.
//!
//! From the oldest: what was written and not yet flushed (`flight`), what lies in the spool and was not taken again, what waits in
//! memory (`tail`). While the sink keeps up, the spool is empty and nothing touches the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::run::blocking::Permission;
use crate::run::keep::{Spool, SpoolError};
use crate::run::queue::{Parcel, QueueSpec, Taker, WhenFull};
use crate::run::stats::NodeStats;

/// Batches are joined up to so many bytes in memory: a quarter of the smallest spool.
const JOINED_BYTES_MAX: usize = 16 * 1_024;

/// How often it is said that the disk takes nothing.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// So soon is a disk that took nothing not asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Where a batch lies that is under way to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Memory,
    /// In the spool.
    Disk,
    /// The policy of a full spool dropped it while it was under way.
    Dropped,
    /// In the dead letters.
    Buried,
}

/// See the module.
pub(crate) struct Shelf {
    stats: Arc<NodeStats>,
    pub(crate) taker: Taker,
    queue: QueueSpec,
    pub(crate) spool: Box<dyn Spool>,
    /// Whether the spool's calls may block now.
    pub(crate) permission: Permission,
    pub(crate) tail: VecDeque<Batch>,
    tail_bytes: usize,
    /// Written, and not flushed.
    pub(crate) flight: VecDeque<(Batch, Place)>,
    /// The offset after the last item taken from the spool or put in flight: what lies in the spool before it has been taken.
    taken: u64,
    /// What was buried and still lies in the spool, by the offsets of the batches.
    buried: Vec<u64>,
    pub(crate) barriers: Vec<u64>,
    /// The queue has ended.
    pub(crate) ended: bool,
    /// What was put into the spool, or confirmed to it, is not durable yet.
    unpersisted: bool,
    /// When the disk took nothing, and nothing has changed since.
    stuck: Option<Instant>,
    /// When that was said last.
    said: Option<Instant>,
}

impl Shelf {
    pub(crate) fn new(
        stats: Arc<NodeStats>,
        taker: Taker,
        queue: QueueSpec,
        spool: Box<dyn Spool>,
        permission: Permission,
        unwritten: Vec<Batch>,
        confirmed: Option<u64>,
    ) -> Shelf {
        // What a predecessor put there may not be durable.
        let unpersisted = !spool.is_at_rest() || spool.last_end().is_some();
        Shelf {
            stats,
            taker,
            queue,
            spool,
            permission,
            tail_bytes: unwritten.iter().map(|batch| batch.items.bytes()).sum(),
            tail: unwritten.into(),
            flight: VecDeque::new(),
            taken: confirmed.unwrap_or(0),
            buried: Vec::new(),
            barriers: Vec::new(),
            ended: false,
            unpersisted,
            stuck: None,
            said: None,
        }
    }

    /// The oldest batch that was not taken yet, and whether it lies in the spool. It is in flight from now on.
    pub(crate) async fn take(&mut self) -> std::io::Result<Option<Batch>> {
        if !self.spool.is_at_rest()
            && let Some(batch) = self.take_from_disk().await?
        {
            return Ok(Some(batch));
        }
        let Some(batch) = self.join_tail() else { return Ok(None) };
        self.tail_bytes = self.tail_bytes.saturating_sub(batch.items.bytes());
        self.taken = self.taken.max(batch.end);
        self.flight.push_back((batch.clone(), Place::Memory));
        Ok(Some(batch))
    }

    async fn take_from_disk(&mut self) -> std::io::Result<Option<Batch>> {
        self.permission.granted().await;
        while let Some(batch) = self.spool.next()? {
            if batch.end <= self.taken {
                continue;
            }
            self.taken = batch.end;
            if self.buried.contains(&batch.end) {
                self.flight.push_back((batch, Place::Buried));
                continue;
            }
            self.flight.push_back((batch.clone(), Place::Disk));
            return Ok(Some(batch));
        }
        Ok(None)
    }

    /// Takes the oldest batch off memory, with those that follow it: what came one by one while the other side was busy or away must not
    /// go there one by one.
    fn join_tail(&mut self) -> Option<Batch> {
        let mut batch = self.tail.pop_front()?;
        let mut bytes = batch.items.bytes();
        while let Some(next) = self.tail.front()
            && bytes + next.items.bytes() <= JOINED_BYTES_MAX
            && batch.end + next.items.len() as u64 == next.end
            && batch.items.kind() == next.items.kind()
            && let Some(next) = self.tail.pop_front()
        {
            bytes += next.items.bytes();
            batch.items.append(next.items);
            (batch.received, batch.seq, batch.end) = (next.received, next.seq, next.end);
        }
        Some(batch)
    }

    /// Takes what waits in the queue, as far as there is room or the policy is to drop what comes; ready when anything came. Cancel-safe.
    pub(crate) async fn gather(&mut self) {
        std::future::poll_fn(|cx| {
            let mut came = false;
            while !self.ended {
                let Some(room) = self.has_room() else { break };
                if !room && self.queue.when_full != WhenFull::DropNewest {
                    break;
                }
                match self.taker.poll_next_unpin(cx) {
                    Poll::Ready(Some(Parcel::Batch(batch))) if !room => {
                        self.stats.add_received(batch.items.len());
                        self.stats.add_dropped(batch.items.len());
                    }
                    Poll::Ready(Some(Parcel::Batch(batch))) => {
                        self.stats.add_received(batch.items.len());
                        self.tail_bytes += batch.items.bytes();
                        self.tail.push_back(batch);
                        came = true;
                    }
                    Poll::Ready(Some(Parcel::Barrier(number))) => {
                        self.barriers.push(number);
                        came = true;
                        break;
                    }
                    Poll::Ready(None) => {
                        self.ended = true;
                        came = true;
                    }
                    Poll::Pending => break,
                }
            }
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether more can be taken; makes room by writing to the spool, and by the queue's policy where that is full. `None` while to block
    /// is not fine.
    fn has_room(&mut self) -> Option<bool> {
        let limit = usize::try_from(self.queue.size.0).unwrap_or(usize::MAX);
        if self.tail_bytes < limit {
            return Some(true);
        }
        if self.stuck.is_some_and(|stuck| stuck.elapsed() < ASK_AGAIN) {
            return Some(false);
        }
        self.permission.ask().then(|| self.spill())
    }

    /// Writes to the spool what waits in memory. False when not all of it went there.
    pub(crate) fn spill(&mut self) -> bool {
        self.try_spill().map_or_else(|error| self.complain(&error), |()| true)
    }

    fn try_spill(&mut self) -> Result<(), SpoolError> {
        for index in 0..self.flight.len() {
            while self.flight[index].1 == Place::Memory {
                match self.spool.append(&self.flight[index].0) {
                    Ok(()) => self.flight[index].1 = Place::Disk,
                    Err(error) if !self.makes_room(&error) => return Err(error),
                    Err(_) => continue,
                }
                self.unpersisted = true;
            }
        }
        while let Some(batch) = self.join_tail() {
            if let Err(error) = self.spill_from_tail(batch)
                && !self.makes_room(&error)
            {
                return Err(error);
            }
        }
        self.stuck = None;
        Ok(())
    }

    /// Writes to the spool what was taken off the tail, in parts where it is larger than the whole of it. What did not go there is put back.
    fn spill_from_tail(&mut self, batch: Batch) -> Result<(), SpoolError> {
        let mut parts = vec![batch];
        while let Some(batch) = parts.pop() {
            match self.spool.append(&batch) {
                Ok(()) => {
                    self.unpersisted = true;
                    self.tail_bytes = self.tail_bytes.saturating_sub(batch.items.bytes());
                }
                Err(SpoolError::Full) if self.spool.items() == 0 && batch.items.len() > 1 => {
                    parts.extend(halves(&batch).into_iter().rev());
                }
                Err(error) => {
                    parts.push(batch);
                    parts.into_iter().for_each(|part| self.tail.push_front(part));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Drops the oldest of a full spool, where that is the policy. False when there is nothing to drop.
    fn makes_room(&mut self, error: &SpoolError) -> bool {
        let drops_old = matches!(self.queue.when_full, WhenFull::DropOldest | WhenFull::Latest);
        if !matches!(error, SpoolError::Full) || !drops_old {
            return false;
        }
        let under_way = self.flight.iter_mut().filter(|(_, place)| *place == Place::Disk);
        // Whether it was dropped shows when it arrives, or does not.
        let dropped = under_way.map(|(batch, place)| {
            *place = Place::Dropped;
            batch.end
        });
        if let Some(end) = dropped.max() {
            self.confirm_upto(end);
            return true;
        }
        while let Ok(Some(batch)) = self.spool.next() {
            if batch.end > self.taken {
                self.stats.add_dropped(batch.items.len());
                self.taken = batch.end;
                self.confirm_upto(batch.end);
                return true;
            }
        }
        false
    }

    /// The journal may let go of what it knows of this once the next barrier is past, so the spool must not forget it.
    fn confirm_upto(&mut self, end: u64) {
        self.stuck = None;
        self.unpersisted |= self.spool.items() > 0;
        self.spool.confirm(end);
    }

    fn complain(&mut self, error: &SpoolError) -> bool {
        let begins = self.stuck.replace(Instant::now()).is_none();
        // A spool that is full all day has room for an item every moment.
        if begins && self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::warn!("{error}: what comes now waits before it");
        }
        false
    }

    /// The barriers that may pass: all that came before them has arrived or is in the spool.
    pub(crate) async fn durable_barriers(&mut self) -> Vec<u64> {
        if self.barriers.is_empty() {
            return Vec::new();
        }
        self.may_write().await;
        let durable = match self.try_spill() {
            Ok(()) => true,
            Err(SpoolError::Full) if self.queue.when_full == WhenFull::DropNewest => {
                self.drop_what_is_in_memory();
                true
            }
            Err(error) => self.complain(&error),
        };
        if durable && self.persist() { std::mem::take(&mut self.barriers) } else { Vec::new() }
    }

    /// Waits until to write to the disk is fine, where there is something to write.
    async fn may_write(&mut self) {
        if self.is_in_memory() || self.unpersisted {
            self.permission.granted().await;
        }
    }

    /// Writes to the spool what waits in memory, and makes it durable. False when not all of it went there.
    pub(crate) async fn save(&mut self) -> std::io::Result<bool> {
        self.may_write().await;
        let spilled = self.spill();
        if self.unpersisted {
            self.spool.persist()?;
            self.unpersisted = false;
        }
        Ok(spilled)
    }

    /// Drops what came when the spool was full and cannot be made durable.
    fn drop_what_is_in_memory(&mut self) {
        for (_, place) in &mut self.flight {
            if *place == Place::Memory {
                *place = Place::Dropped;
            }
        }
        let dropped = self.tail.drain(..).map(|batch| batch.items.len()).sum();
        self.stats.add_dropped(dropped);
        self.tail_bytes = 0;
    }

    /// Whether nothing waits, here or on disk.
    pub(crate) fn is_at_rest(&self) -> bool {
        let here = self.tail.is_empty() && self.flight.is_empty() && self.barriers.is_empty();
        here && self.spool.is_at_rest()
    }

    /// Whether something waits in memory alone.
    pub(crate) fn is_in_memory(&self) -> bool {
        !self.tail.is_empty() || self.flight.iter().any(|(_, place)| *place == Place::Memory)
    }

    fn persist(&mut self) -> bool {
        if !self.unpersisted {
            return true;
        }
        match self.spool.persist() {
            Ok(()) => {
                self.unpersisted = false;
                true
            }
            Err(error) => self.complain(&SpoolError::Disk(error)),
        }
    }

    /// The batch taken last lies in the dead letters.
    pub(crate) fn is_buried(&mut self) {
        if let Some((batch, place)) = self.flight.back_mut() {
            if *place == Place::Disk {
                self.buried.push(batch.end);
            }
            *place = Place::Buried;
        }
    }

    /// All in flight lies in the dead letters from now on; gives what did not.
    pub(crate) fn bury_flight(&mut self) -> Vec<Batch> {
        let mut buried = Vec::new();
        for (batch, place) in self.flight.iter_mut().filter(|(_, place)| *place != Place::Buried) {
            if *place == Place::Disk {
                self.buried.push(batch.end);
            }
            *place = Place::Buried;
            buried.push(batch.clone());
        }
        buried
    }

    /// All in flight is done with. The offset after it, if there was anything.
    pub(crate) async fn confirm(&mut self) -> Option<u64> {
        let end = self.flight.iter().map(|(batch, _)| batch.end).max()?;
        if !self.spool.is_at_rest() {
            self.permission.granted().await;
        }
        self.flight.clear();
        self.confirm_upto(end);
        self.buried.retain(|buried| *buried > end);
        Some(end)
    }

    /// What is in flight comes again, from the spool or from memory.
    pub(crate) fn put_back(&mut self) {
        while !self.flight.is_empty() {
            self.put_back_last();
        }
    }

    /// The batch taken last comes again; those before it are on their way still.
    pub(crate) fn put_back_last(&mut self) {
        self.spool.rewind();
        let Some((batch, place)) = self.flight.pop_back() else { return };
        let begin = batch.end.saturating_sub(batch.items.len() as u64);
        match place {
            Place::Memory => {
                self.taken = self.taken.min(begin);
                self.tail_bytes += batch.items.bytes();
                self.tail.push_front(batch);
            }
            Place::Disk => self.taken = self.taken.min(begin),
            // It comes by again, and is not sent.
            Place::Buried if self.buried.contains(&batch.end) => {
                self.taken = self.taken.min(begin);
            }
            Place::Buried => {}
            Place::Dropped => self.stats.add_dropped(batch.items.len()),
        }
    }

    /// What a successor must take over in memory.
    pub(crate) fn leave(&mut self) -> Vec<Batch> {
        self.put_back();
        self.tail_bytes = 0;
        self.tail.drain(..).collect()
    }

    /// Puts before all else in memory what was not written.
    pub(crate) fn take_over(&mut self, unwritten: Vec<Batch>) {
        self.tail_bytes += unwritten.iter().map(|batch| batch.items.bytes()).sum::<usize>();
        unwritten.into_iter().rev().for_each(|batch| self.tail.push_front(batch));
    }

    /// How many items wait in memory alone. Offsets say so without a look at each batch.
    fn unspooled(&self) -> u64 {
        let begin = |batch: &Batch| batch.end.saturating_sub(batch.items.len() as u64);
        let ends = self.tail.front().zip(self.tail.back());
        let tail = ends.map_or(0, |(first, last)| last.end.saturating_sub(begin(first)));
        let flight = self.flight.iter().filter(|(_, place)| *place == Place::Memory);
        tail + flight.map(|(batch, _)| batch.items.len() as u64).sum::<u64>()
    }

    pub(crate) fn tell(&self) {
        self.stats.set_spool(self.spool.items(), self.spool.fill());
        self.stats.set_unspooled(self.unspooled());
    }
}

/// The earlier and the later items of a batch.
fn halves(batch: &Batch) -> [Batch; 2] {
    let len = batch.items.len();
    let part = |range: std::ops::Range<usize>| Batch {
        end: batch.end - (len - range.end) as u64,
        items: batch.items.slice(range),
        ..batch.clone()
    };
    [part(0..len / 2), part(len / 2..len)]
}

#[cfg(test)]
mod tests;
