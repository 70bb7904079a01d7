//! The loop of a sink whose other side can be away: what it cannot send now waits in memory, then in its spool on disk, and goes out in
//! order when the other side is back.
//!
//! From the oldest: what was written and not yet flushed (`flight`), what lies in the spool and was not taken again, what waits in
//! memory (`tail`). While the sink keeps up, the spool is empty and nothing touches the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use futures::StreamExt;
use tokio::sync::oneshot;

use super::{Caller, FLUSH_EVERY, Remains, SinkCommand, Ties, Wrote};
use crate::batch::Batch;
use crate::run::keep::{Spool, SpoolError};
use crate::run::queue::{Parcel, QueueSpec, Taker, WhenFull};
use crate::run::stats::NodeStats;
use crate::time::Timestamp;

/// See the module.
pub(crate) struct SpooledSink {
    pub(crate) caller: Caller,
    pub(crate) ties: Ties,
    pub(crate) shelf: Shelf,
    pub(crate) flushed: Timestamp,
}

/// What waits, in memory and on disk, and the queue it comes from.
pub(crate) struct Shelf {
    pub(crate) stats: Arc<NodeStats>,
    pub(crate) taker: Taker,
    pub(crate) queue: QueueSpec,
    pub(crate) spool: Box<dyn Spool>,
    pub(crate) tail: VecDeque<Batch>,
    pub(crate) tail_bytes: usize,
    /// Written, not flushed, and whether it also lies in the spool.
    pub(crate) flight: VecDeque<(Batch, bool)>,
    /// The offset after the last item taken from the spool or put in flight: what lies in the spool before it has been taken.
    pub(crate) taken: u64,
    pub(crate) barriers: Vec<u64>,
    /// The queue has ended.
    pub(crate) ended: bool,
    /// The disk takes nothing; said once.
    pub(crate) stuck: bool,
}

enum Next {
    Batch(Batch, bool),
    Pause,
    Retire(oneshot::Sender<Result<Remains, String>>),
    End,
}

impl SpooledSink {
    /// Runs until the input has ended and everything was sent or lies in the spool, or another sink takes its place.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        self.caller.retained = true;
        loop {
            self.let_barriers_pass().await;
            self.shelf.tell();
            match self.next().await {
                Next::Batch(batch, on_disk) => self.deliver(batch, on_disk).await,
                Next::Pause => self.flush().await,
                Next::Retire(reply) => {
                    if self.caller.close().await.is_ok() {
                        self.confirm();
                    }
                    // What was not confirmed comes again: from the successor, out of the spool or from here.
                    let unwritten = self.shelf.leave();
                    let Shelf { taker, spool, .. } = self.shelf;
                    let _ = reply.send(Ok(Remains { taker, spool: Some(spool), unwritten }));
                    return Ok(());
                }
                Next::End => break,
            }
        }
        let closed = self.caller.close().await;
        if closed.is_ok() {
            self.confirm();
        }
        self.shelf.spill();
        self.shelf.tell();
        match self.shelf.spool.persist() {
            Ok(()) if self.shelf.spool.items() > 0 => {
                let items = self.shelf.spool.items();
                tracing::info!(node = %self.caller.address, items, "waiting in the spool for the next start");
                Ok(())
            }
            Ok(()) => closed,
            Err(error) => {
                Err(format!("`{}`: the spool is not durable: {error}", self.caller.address))
            }
        }
    }

    async fn next(&mut self) -> Next {
        loop {
            if let Ok(SinkCommand::Retire(reply)) = self.ties.commands.try_recv() {
                return Next::Retire(reply);
            }
            if !self.caller.retires() && !self.caller.hurries() {
                match self.shelf.take() {
                    Ok(Some((batch, on_disk))) => return Next::Batch(batch, on_disk),
                    Ok(None) => {}
                    Err(error) => {
                        let address = &self.caller.address;
                        tracing::error!(node = %address, "the spool cannot be read: {error}");
                    }
                }
            }
            if self.shelf.ended && self.shelf.barriers.is_empty() {
                return Next::End;
            }
            let linger = self.caller.sink.linger();
            let pause = if self.shelf.flight.is_empty() { FLUSH_EVERY } else { linger };
            let shelf = &mut self.shelf;
            tokio::select! {
                biased;
                Some(SinkCommand::Retire(reply)) = self.ties.commands.recv() => return Next::Retire(reply),
                () = shelf.gather(), if !self.caller.retires() => {
                    self.let_barriers_pass().await;
                }
                () = tokio::time::sleep(pause.to_std()) => return Next::Pause,
            }
        }
    }

    /// Writes a batch; what comes meanwhile is taken off the queue, into memory and then onto disk.
    async fn deliver(&mut self, batch: Batch, on_disk: bool) {
        self.caller.stats.add_received(batch.items.len());
        let wrote = {
            let SpooledSink { caller, shelf, ties, .. } = self;
            shelf.flight.push_back((batch.clone(), on_disk));
            shelf.taken = shelf.taken.max(batch.end);
            let address = caller.address.clone();
            let write = caller.write(&batch);
            tokio::pin!(write);
            loop {
                tokio::select! {
                    biased;
                    wrote = &mut write => break wrote,
                    () = shelf.gather() => {
                        for number in shelf.durable_barriers() {
                            let passed = super::Passed { sink: address.clone(), number };
                            let _ = ties.passed.send(passed);
                        }
                        shelf.tell();
                    }
                }
            }
        };
        match wrote {
            Wrote::Taken | Wrote::Buried => {
                let now = self.caller.now();
                let soon = self.caller.sink.linger() <= crate::duration::Duration::from_millis(100);
                if soon || now.since(self.flushed) >= FLUSH_EVERY {
                    self.flush().await;
                }
            }
            Wrote::Again | Wrote::Retired => self.shelf.put_back(),
        }
    }

    async fn flush(&mut self) {
        self.flushed = self.caller.now();
        if self.caller.flush().await {
            self.confirm();
        }
    }

    /// All in flight has arrived.
    fn confirm(&mut self) {
        if let Some((last, _)) = self.shelf.flight.back() {
            let end = last.end;
            self.ties.confirm(&self.caller, end);
            self.shelf.spool.confirm(end);
            self.shelf.flight.clear();
        }
    }

    async fn let_barriers_pass(&mut self) {
        if self.shelf.barriers.is_empty() {
            return;
        }
        if self.shelf.tail.is_empty() && self.shelf.flight.iter().any(|(_, on_disk)| !on_disk) {
            self.flush().await;
        }
        for number in self.shelf.durable_barriers() {
            self.ties.pass(&self.caller, number);
        }
    }
}

impl Shelf {
    /// The oldest batch that was not taken yet, and whether it lies in the spool.
    fn take(&mut self) -> std::io::Result<Option<(Batch, bool)>> {
        while let Some(batch) = self.spool.next()? {
            if batch.end > self.taken {
                return Ok(Some((batch, true)));
            }
        }
        let Some(batch) = self.tail.pop_front() else { return Ok(None) };
        self.tail_bytes = self.tail_bytes.saturating_sub(batch.items.bytes());
        Ok(Some((batch, false)))
    }

    /// Takes what waits in the queue, as far as there is room; ready when anything came. Cancel-safe.
    async fn gather(&mut self) {
        std::future::poll_fn(|cx| {
            let mut came = false;
            while self.has_room() && !self.ended {
                match self.taker.poll_next_unpin(cx) {
                    Poll::Ready(Some(Parcel::Batch(batch))) => {
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

    /// Whether more can be taken; makes room by writing to the spool, and by the queue's policy where that is full.
    fn has_room(&mut self) -> bool {
        let limit = usize::try_from(self.queue.size.0).unwrap_or(usize::MAX);
        self.tail_bytes < limit || self.spill()
    }

    /// Writes to the spool what waits in memory. False when not all of it went there.
    fn spill(&mut self) -> bool {
        for (batch, on_disk) in self.flight.iter_mut().filter(|(_, on_disk)| !on_disk) {
            match self.spool.append(batch) {
                Ok(()) => *on_disk = true,
                Err(error) => return self.complain(&error),
            }
        }
        while let Some(batch) = self.tail.front() {
            match self.spool.append(batch) {
                Ok(()) => {
                    self.stuck = false;
                    self.tail_bytes = self.tail_bytes.saturating_sub(batch.items.bytes());
                    self.tail.pop_front();
                }
                Err(SpoolError::Full) if self.queue.when_full == WhenFull::DropOldest => {
                    if !self.drop_oldest() {
                        return false;
                    }
                }
                Err(error) => return self.complain(&error),
            }
        }
        true
    }

    /// Drops the oldest batch of the spool. False when there is none to drop.
    fn drop_oldest(&mut self) -> bool {
        match self.spool.next() {
            Ok(Some(batch)) => {
                self.stats.add_dropped(batch.items.len());
                self.taken = self.taken.max(batch.end);
                // What is in flight is older, and not confirmed yet: it stays in memory only.
                self.flight.iter_mut().for_each(|(_, on_disk)| *on_disk = false);
                self.spool.confirm(batch.end);
                true
            }
            _ => false,
        }
    }

    fn complain(&mut self, error: &SpoolError) -> bool {
        if !std::mem::replace(&mut self.stuck, true) {
            tracing::warn!("{error}: what comes now waits before it");
        }
        false
    }

    /// The barriers that may pass: all that came before them has arrived or is in the spool.
    fn durable_barriers(&mut self) -> Vec<u64> {
        if self.barriers.is_empty() {
            return Vec::new();
        }
        let waits = !self.tail.is_empty() || !self.flight.is_empty();
        if waits && !(self.spill() && self.persist()) {
            return Vec::new();
        }
        std::mem::take(&mut self.barriers)
    }

    fn persist(&mut self) -> bool {
        match self.spool.persist() {
            Ok(()) => true,
            Err(error) => self.complain(&SpoolError::Disk(error)),
        }
    }

    /// What is in flight comes again, from the spool or from memory.
    fn put_back(&mut self) {
        self.spool.rewind();
        while let Some((batch, on_disk)) = self.flight.pop_back() {
            self.taken = self.taken.min(batch.end - batch.items.len() as u64);
            if !on_disk {
                self.tail_bytes += batch.items.bytes();
                self.tail.push_front(batch);
            }
        }
    }

    /// What a successor must take over in memory.
    fn leave(&mut self) -> Vec<Batch> {
        self.put_back();
        self.tail_bytes = 0;
        self.tail.drain(..).collect()
    }

    fn tell(&self) {
        self.stats.set_spool(self.spool.items(), self.spool.fill());
    }
}
