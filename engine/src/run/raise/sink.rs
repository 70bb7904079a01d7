//! Building the loop of a sink: with the queue, the spool and the offsets that an earlier one left.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::channel::mpsc;
use petgraph::stable_graph::NodeIndex;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Stream, Yard, rebuild};
use crate::batch::Batch;
use crate::node::{Node, Sink};
use crate::registry::Delivery;
use crate::run::blocking::{Permission, blocking_at_times};
use crate::run::keep::{Event, Spool};
use crate::run::queue::{Gauge, Giver, Parcel, queue};
use crate::run::sink::{
    Caller, DirectSink, Remains, Retire, Setup, Shelf, SinkCommand, SpooledSink, Telling, Ties,
    Unopened,
};
use crate::run::topology::Keep;
use crate::time::Timestamp;

/// The loop of a sink, before it runs.
pub(crate) struct SinkStart {
    pub(crate) address: Arc<str>,
    pub(crate) commands: mpsc::UnboundedSender<SinkCommand>,
    pub(crate) retire: watch::Sender<Retire>,
    pub(crate) blocks: bool,
    pub(crate) gauge: Gauge,
    pub(crate) run: SinkLoop,
}

pub(crate) enum SinkLoop {
    Direct(Box<DirectSink>),
    Spooled(Box<SpooledSink>),
}

impl SinkLoop {
    /// What it was to take over.
    pub(crate) fn into_remains(self) -> Remains {
        match self {
            SinkLoop::Direct(sink) => sink.into_remains(),
            SinkLoop::Spooled(sink) => {
                let Shelf { taker, spool, tail, .. } = sink.shelf;
                Remains { taker, spool: Some(spool), unwritten: tail.into() }
            }
        }
    }

    pub(crate) async fn run(self) -> Result<(), String> {
        match self {
            SinkLoop::Direct(sink) => sink.run().await,
            SinkLoop::Spooled(sink) => {
                let permission = sink.shelf.permission.clone();
                blocking_at_times(permission, Box::pin(sink.run())).await
            }
        }
    }
}

impl Yard<'_> {
    /// The loop of a new sink; and the way to it, where nothing was left that has one.
    pub(super) fn sink(
        &self,
        n: NodeIndex,
        sink: Box<dyn Sink>,
        left: Option<Remains>,
        confirmed: Option<u64>,
        virtual_time: bool,
        stream: &mut Stream,
    ) -> (SinkStart, Option<Giver>) {
        let node = &self.graph.dag[n];
        let delivery = node.profile.delivery;
        let stats = self.stats[&node.address].clone();
        let keep = self.options.keep.as_ref();
        let (taker, spool, mut unwritten, giver) = match left {
            Some(Remains { taker, spool, unwritten }) => (taker, spool, unwritten, None),
            None => {
                let (giver, taker) = queue(node.queue, stats.clone());
                (taker, None, Vec::new(), Some(giver))
            }
        };
        let gauge = taker.gauge();
        let spool = spool.or_else(|| self.open_spool(n, stream));
        let blocks = sink.blocks();
        // With a thread of its own it may block there.
        let permission = if !blocks && keep.is_some_and(|keep| keep.spools.blocks()) {
            Permission::on_request()
        } else {
            Permission::always()
        };
        let (retire, retired) = watch::channel(Retire::No);
        let retained = keep.is_some() && delivery != Delivery::Shown;
        let mut caller = self.caller(n, stream.id, sink, virtual_time, retained, retired);
        let own = caller.introduce();
        let confirmed = match (confirmed, keep) {
            (Some(end), Some(keep))
                if delivery == Delivery::Kept && keep.journal.power_was_cut() =>
            {
                self.take_back(stream, end, keep);
                None
            }
            (confirmed, _) => confirmed,
        };
        if giver.is_some() {
            stream.known = known_offsets(&caller, own, delivery, confirmed, keep.is_some());
            stream.reach = if keep.is_some() { caller.reach } else { 0 };
            if virtual_time && delivery == Delivery::Shown {
                stream.known = [0; 3];
            }
            if let Some(last) = spool.as_ref().and_then(|spool| spool.last_end()) {
                stream.known = stream.known.map(|known| known.max(last));
            }
        } else if caller.keeps_position {
            forget_known(&mut unwritten, own);
        }
        let (tell, commands) = mpsc::unbounded();
        let notes = delivery != Delivery::Shown && !caller.keeps_position;
        let ties = Ties {
            stream: stream.id,
            commands,
            passes: self.passes.clone(),
            journal: keep.map(|keep| keep.journal.clone()).filter(|_| notes),
            telling: Telling::new((delivery != Delivery::Kept).then(|| self.ledger.clone())),
            confirmed: confirmed.unwrap_or(0),
        };
        let run = match spool {
            Some(mut spool) => {
                if let Some(confirmed) = confirmed {
                    spool.confirm(confirmed);
                }
                let shelf =
                    Shelf::new(stats, taker, node.queue, spool, permission, unwritten, confirmed);
                let flushed = Timestamp::MIN;
                SinkLoop::Spooled(Box::new(SpooledSink {
                    caller,
                    ties,
                    shelf,
                    flushed,
                    gave_up: false,
                }))
            }
            None => {
                let headlong = virtual_time && self.options.speed.is_none();
                let first: VecDeque<Parcel> = unwritten.into_iter().map(Parcel::Batch).collect();
                SinkLoop::Direct(Box::new(DirectSink::new(caller, ties, taker, first, headlong)))
            }
        };
        let address = node.address.clone();
        (SinkStart { address, commands: tell, retire, blocks, gauge, run }, giver)
    }

    /// Who calls a new sink.
    fn caller(
        &self,
        n: NodeIndex,
        stream: Uuid,
        sink: Box<dyn Sink>,
        virtual_time: bool,
        retained: bool,
        retire: watch::Receiver<Retire>,
    ) -> Caller {
        let node = &self.graph.dag[n];
        let remake = rebuild(node, self.host, |made| match made {
            Node::Sink(sink) => Some(sink),
            _ => None,
        });
        Caller::new(Setup {
            address: node.address.clone(),
            stream,
            sink,
            rebuild: Box::new(remake),
            stats: self.stats[&node.address].clone(),
            retry: node.retry,
            clock: (!virtual_time).then(|| self.options.clock.clone()),
            dead: self.options.dead.clone(),
            hurry: self.hurry.clone(),
            retire,
            comes_again: self.options.keep.is_some() && node.profile.delivery != Delivery::Shown,
            retained,
        })
    }

    /// After a power cut what a sink confirmed that keeps here is not to be believed, as the page cache it spoke of is gone; nor in the
    /// next life, if this one ends before the next checkpoint.
    fn take_back(&self, stream: &Stream, confirmed: u64, keep: &Keep) {
        if confirmed <= stream.sent {
            return;
        }
        let event = Event::Confirmed { stream: stream.id, end: stream.sent };
        if keep.journal.append(self.options.clock.now(), &event, None).is_err() {
            tracing::error!(
                "the journal is full; a crash before the next checkpoint may cost what the power cut took"
            );
        }
    }

    /// Notes from where on the items of a stream are counted that are new in this life of the host: behind what the sink has, which a
    /// replay may not be able to repeat; and where the other side may remember numbers, behind all that an earlier life can have sent
    /// and lost, for under a number that was used before they would be taken for a repeat.
    pub(super) fn note_known(&self, n: NodeIndex, stream: &mut Stream, replays: bool) {
        let sends = self.graph.dag[n].profile.delivery == Delivery::Sent;
        let former = stream.former.take().filter(|_| sends);
        let known = stream.known.iter().copied().filter(|known| *known < u64::MAX).max();
        let known = known.unwrap_or(0).max(stream.reach).max(stream.sent);
        let end = former.map_or(known, |former| next_life(former.max(known)));
        let Some(journal) = self.ledger.journal.as_ref().filter(|_| end > stream.sent) else {
            return;
        };
        if !replays {
            stream.sent = end;
        }
        let event = Event::Resumed { stream: stream.id, end };
        if journal.append(self.options.clock.now(), &event, None).is_err() {
            tracing::error!(
                "the journal is full; a crash before the next checkpoint may cost what enters until then"
            );
        } else if let Some(Err(error)) = former.map(|_| journal.sync()) {
            // Not only in the page cache: nothing may be sent under these numbers that the next life does not know to be used.
            tracing::error!(
                "the journal is not durable; a crash may cost what enters until then: {error}"
            );
        }
    }

    /// The spool of a sink whose other side can be away; without one (nothing is kept, or the disk says no) it waits in memory.
    fn open_spool(&self, n: NodeIndex, stream: &mut Stream) -> Option<Box<dyn Spool>> {
        let node = &self.graph.dag[n];
        let keep = self.options.keep.as_ref()?;
        if node.profile.delivery != Delivery::Sent {
            return None;
        }
        let cap = node.queue.spool_cap();
        let existed = stream.spool.is_some();
        if cap.is_none() && !existed {
            return None;
        }
        // Named after the stream, so that a renamed sink keeps it and a later one of the old name does not get it.
        let name = stream.spool.clone().unwrap_or_else(|| stream.id.simple().to_string());
        // One that is not wanted any more still has to be emptied.
        let cap = cap.unwrap_or(crate::run::SPOOL_MIN);
        match keep.spools.open(&name, cap) {
            Ok(spool) => {
                stream.spool = Some(name);
                Some(spool)
            }
            Err(error) if existed => {
                tracing::error!(node = %node.address, "its spool cannot be opened; trying again: {error}");
                // What lies in there comes first, so nothing may go past it.
                Some(Box::new(Unopened::new(keep.spools.clone(), name, cap)))
            }
            Err(error) => {
                tracing::error!(node = %node.address, "its spool cannot be made, so it waits in memory: {error}");
                None
            }
        }
    }
}

/// How many numbers each life of the host has: more than it can send between two checkpoints.
const LIFE: u64 = 1 << 32;

/// The offset behind which the next life of the host counts, where earlier ones came at least to this one.
fn next_life(former: u64) -> u64 {
    (former / LIFE + 1).saturating_mul(LIFE)
}

/// Up to where a sink has what a replay repeats.
fn known_offsets(
    caller: &Caller,
    own: [u64; 3],
    delivery: Delivery,
    confirmed: Option<u64>,
    keeps: bool,
) -> [u64; 3] {
    if !keeps {
        return [0; 3];
    }
    if caller.keeps_position {
        return own;
    }
    match delivery {
        // Who watched saw it; and nobody wants to see it twice.
        Delivery::Shown => [u64::MAX; 3],
        Delivery::Kept | Delivery::Sent => [confirmed.unwrap_or(0); 3],
    }
}

/// Drops what a sink says it has already.
pub(crate) fn forget_known(batches: &mut Vec<Batch>, own: [u64; 3]) {
    batches.retain_mut(|batch| {
        let known = own[batch.items.kind() as usize];
        let new = usize::try_from(batch.end.saturating_sub(known)).unwrap_or(usize::MAX);
        match batch.items.len().checked_sub(new) {
            _ if new == 0 => false,
            Some(had) if had > 0 => {
                batch.items = batch.items.slice(had..batch.items.len());
                true
            }
            _ => true,
        }
    });
}
