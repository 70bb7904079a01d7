//! What has no place in the new graph: it goes to the dead letters.

use std::io;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};

use super::scope::Scope;
use super::undo::Undo;
use crate::batch::{Batch, Items};
use crate::run::dead_letter::{DeadContent, DeadLetter};
use crate::run::heritage::Heritage;
use crate::run::keep::{Event, Spool};
use crate::run::queue::{Parcel, QueueSpec, Taker};
use crate::run::sink::Remains;
use crate::run::topology::Topology;

const CHANGED: &str = "the node was changed while it could not take this";
const REMOVED: &str = "the node was removed while this waited";

impl Topology {
    /// Puts what is behind the cut and in no node's hands to the dead letters. It is not taken away yet: the apply may still fail.
    pub(super) fn bury_what_is_left(&self, scope: &Scope, undo: &Undo) -> io::Result<()> {
        for (address, batches) in &undo.late {
            for batch in batches {
                self.bury(address, CHANGED, batch.items.clone())?;
            }
        }
        for address in &scope.removed_sources {
            let Some(handle) = undo.stopped.get(address) else { continue };
            let Some(entrance) = &handle.entrance else { continue };
            let inlet = undo.heritage.inlets.get(address);
            match (&self.ledger.journal, inlet) {
                (Some(journal), Some(inlet)) if undo.heritage.lagging.contains(address) => {
                    let mut reader = journal.read_after(inlet.done)?;
                    while let Some(record) = reader.next()? {
                        match record.event {
                            Event::Items { source, items, retained: false, .. }
                                if source == inlet.key =>
                            {
                                self.bury(address, REMOVED, items)?;
                            }
                            _ => {}
                        }
                    }
                }
                _ => {
                    for items in entrance.waiting() {
                        self.bury(address, REMOVED, items)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn bury(&self, address: &Arc<str>, reason: &str, items: Items) -> io::Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        self.options.dead.put(&DeadLetter {
            address: address.clone(),
            time: self.options.clock.now(),
            reason: reason.into(),
            content: DeadContent::Items(items),
        })
    }

    /// Lets what has no place in the new graph come to its end.
    pub(super) async fn let_go(&mut self, scope: &Scope, mut undo: Undo) {
        for address in &scope.removed_sinks {
            let remains = match undo.remains.remove(address) {
                Some(remains) => Ok(remains),
                None => self.retire(address, true).await,
            };
            let Remains { mut taker, spool, unwritten } = match remains {
                Ok(remains) => remains,
                Err(why) => {
                    // It hangs in a call that does not return. What it has in its spool is buried at the next start.
                    tracing::error!(node = %address, "{why}");
                    if let Some(handle) = self.sinks.remove(address) {
                        handle.task.abort();
                    }
                    continue;
                }
            };
            let stream = undo.heritage.streams.remove(address);
            if let (Some(spool), Some(stream)) = (spool, stream) {
                self.empty(address, spool, stream.spool.as_deref());
            }
            for batch in unwritten.into_iter().chain(drain(&mut taker)) {
                if let Err(error) = self.bury(address, REMOVED, batch.items) {
                    tracing::error!(node = %address, "a dead letter could not be kept: {error}");
                }
            }
        }
        if let Err(error) = self.options.dead.persist() {
            tracing::error!(
                "what was removed is in the dead letters, and they cannot be made durable yet: {error}"
            );
        }
    }

    /// Buries what lies in the spool of a sink that is no more, and removes it. What fails is done at the next start.
    fn empty(&mut self, address: &Arc<str>, mut spool: Box<dyn Spool>, name: Option<&str>) {
        spool.rewind();
        let emptied = (|| -> io::Result<()> {
            let mut end = None;
            while let Some(batch) = spool.next()? {
                self.bury(address, REMOVED, batch.items)?;
                end = Some(batch.end);
            }
            // It is nowhere else once the spool has forgotten it.
            self.options.dead.persist()?;
            end.into_iter().for_each(|end| spool.confirm(end));
            Ok(())
        })();
        drop(spool);
        let removed = emptied.and_then(|()| match (&self.options.keep, name) {
            (Some(keep), Some(name)) => keep.spools.remove(name),
            _ => Ok(()),
        });
        match removed {
            Ok(()) => self.barriers.gone.retain(|gone| gone.spool.as_deref() != name),
            Err(error) => tracing::error!(node = %address, "its spool is still there: {error}"),
        }
    }

    /// Empties the spools of sinks that are no more, which an earlier life of the host did not get to.
    pub(in crate::run) fn empty_spools(&mut self, left: Heritage) {
        let Some(keep) = self.options.keep.clone() else { return };
        for (address, stream) in left.streams {
            let Some(name) = &stream.spool else { continue };
            self.barriers.gone.push(super::SinkCut {
                address: address.clone(),
                stream: stream.id,
                sent: stream.sent,
                spool: stream.spool.clone(),
            });
            match keep.spools.open(name, QueueSpec::default().spool) {
                Ok(mut spool) => {
                    spool.confirm(left.confirmed.get(&stream.id).copied().unwrap_or(0));
                    self.empty(&address, spool, Some(name));
                }
                Err(error) => {
                    tracing::error!(node = %address, "its spool cannot be opened: {error}");
                }
            }
        }
    }
}

/// What lies in a queue that nobody gives to any more.
pub(super) fn drain(taker: &mut Taker) -> Vec<Batch> {
    let mut batches = Vec::new();
    while let Some(Some(parcel)) = taker.next().now_or_never() {
        if let Parcel::Batch(batch) = parcel {
            batches.push(batch);
        }
    }
    batches
}
