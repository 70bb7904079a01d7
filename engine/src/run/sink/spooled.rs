//! The loop of a sink whose other side can be away: what it cannot send now waits in memory, then in its spool on disk, and goes out in
//! order when the other side is back.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Caller, FLUSH_EVERY, Passes, Remains, Shelf, SinkCommand, Ties, Wrote, told};
use crate::batch::Batch;
use crate::duration::Duration;
use crate::time::Timestamp;

/// So long a barrier waits for what is under way to arrive, rather than to write it to the disk.
const PATIENCE: StdDuration = StdDuration::from_secs(1);

/// See the module.
pub(crate) struct SpooledSink {
    pub(crate) caller: Caller,
    pub(crate) ties: Ties,
    pub(crate) shelf: Shelf,
    pub(crate) flushed: Timestamp,
    /// The input has ended, and the other side takes nothing.
    pub(crate) gave_up: bool,
}

enum Next {
    Batch(Batch),
    Pause,
    Retire(oneshot::Sender<Result<Remains, String>>),
    End,
}

impl SpooledSink {
    /// Runs until the input has ended and everything was sent or lies in the spool, or another sink takes its place.
    pub(crate) async fn run(mut self: Box<Self>) -> Result<(), String> {
        loop {
            self.let_barriers_pass().await;
            self.shelf.tell();
            match self.next().await {
                Next::Batch(batch) => self.deliver(batch).await,
                Next::Pause => self.flush().await,
                // Whoever asked has given up.
                Next::Retire(reply) if reply.is_closed() => {}
                Next::Retire(reply) => {
                    let _ = self.close().await;
                    // What was not confirmed comes again: from the successor, out of the spool or from here.
                    let unwritten = self.shelf.leave();
                    let spool = Some(self.shelf.spool);
                    let left = Remains { taker: self.shelf.taker, spool, unwritten };
                    let Err(Ok(Remains { taker, spool: Some(spool), unwritten })) =
                        reply.send(Ok(left))
                    else {
                        return Ok(());
                    };
                    // Nobody waits for it any more: it goes on.
                    (self.shelf.taker, self.shelf.spool) = (taker, spool);
                    self.shelf.take_over(unwritten);
                    self.caller.reopen();
                }
                Next::End => break,
            }
        }
        let closed = self.close().await;
        let saved = self.shelf.save().await;
        self.shelf.tell();
        let address = self.caller.address();
        let spilled =
            saved.map_err(|error| format!("`{address}`: the spool is not durable: {error}"))?;
        let items = self.shelf.spool.items();
        if !spilled {
            let why = "not all that waits has room in its spool; the rest comes from the journal";
            return Err(format!("`{address}`: {why}"));
        }
        if items == 0 || self.caller.given_up().is_some() {
            return closed;
        }
        tracing::info!(node = %address, items, "waiting in the spool for the next start");
        Ok(())
    }

    async fn next(&mut self) -> Next {
        loop {
            if let Ok(SinkCommand::Retire { reply, .. }) = self.ties.commands.try_recv() {
                return Next::Retire(reply);
            }
            // Nor more than can be buried.
            let takes = !self.caller.retires() && !self.caller.hurries() && !self.gave_up;
            if takes && !self.caller.is_unsure() {
                match self.shelf.take().await {
                    Ok(Some(batch)) => return Next::Batch(batch),
                    Ok(None) => {}
                    Err(error) => {
                        let address = self.caller.address();
                        tracing::error!(node = %address, "the spool cannot be read: {error}");
                    }
                }
            }
            // Barriers that cannot pass must not hold up a stop.
            if self.shelf.ended && (self.shelf.barriers.is_empty() || self.caller.hurries()) {
                return Next::End;
            }
            let linger = self.caller.linger();
            let pause = if self.shelf.flight.is_empty() { FLUSH_EVERY } else { linger };
            let sleeps =
                takes && !self.caller.is_unsure() && !self.caller.tends && self.shelf.is_at_rest();
            let (shelf, retires) = (&mut self.shelf, self.caller.retires());
            let ended = shelf.ended;
            tokio::select! {
                biased;
                SinkCommand::Retire { reply, .. } = told(&mut self.ties.commands) => return Next::Retire(reply),
                () = shelf.gather(), if !retires => {
                    self.let_barriers_pass().await;
                }
                () = tokio::time::sleep(pause.to_std()), if !sleeps => return Next::Pause,
                () = self.caller.with.hurry.cancelled(), if ended => {}
            }
        }
    }

    /// Writes a batch; what comes meanwhile is taken off the queue, into memory and then onto disk.
    async fn deliver(&mut self, batch: Batch) {
        let SpooledSink { caller, shelf, ties, .. } = self;
        let ending = caller.ending.clone();
        let Ties { passes, telling, .. } = ties;
        let address = caller.address().clone();
        let write = async {
            telling.before(&batch).await;
            caller.write(&batch).await
        };
        let wrote = meanwhile(address, shelf, passes, &ending, write).await;
        match wrote {
            Wrote::Taken | Wrote::Again => {}
            Wrote::Buried => self.shelf.is_buried(),
            // What was written before it may arrive yet, when the sink is closed.
            Wrote::Retired => {
                self.shelf.put_back_last();
                self.gave_up = self.caller.ending.is_cancelled();
            }
        }
        self.look_after().await;
        let soon = self.caller.linger() <= Duration::from_millis(100);
        let due = soon || self.caller.now().since(self.flushed) >= FLUSH_EVERY;
        if matches!(wrote, Wrote::Taken | Wrote::Buried) && due {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        self.flushed = self.caller.now();
        let SpooledSink { caller, shelf, ties, .. } = self;
        let ending = caller.ending.clone();
        let address = caller.address().clone();
        let flushed = meanwhile(address, shelf, &ties.passes, &ending, caller.flush()).await;
        self.look_after().await;
        if flushed {
            self.confirm().await;
        }
    }

    async fn close(&mut self) -> Result<(), String> {
        // On its own, so that what arrived is known to have even if the rest of closing fails; it would be sent again.
        if !self.shelf.flight.is_empty() {
            self.flush().await;
        }
        let closed = self.caller.close().await;
        self.look_after().await;
        if closed.is_ok() {
            self.confirm().await;
        }
        closed
    }

    /// All in flight has arrived, or lies in the dead letters.
    async fn confirm(&mut self) {
        if !self.caller.makes_sure_of_letters().await {
            return;
        }
        if let Some(end) = self.shelf.confirm().await {
            self.ties.confirm(self.caller.now(), end).await;
        }
    }

    /// What a sink had that broke comes again, or goes to the dead letters where it is given up.
    async fn look_after(&mut self) {
        let given_up = self.caller.given_up().cloned();
        let anew = self.caller.take_anew();
        if let Some(why) = given_up {
            for batch in self.shelf.bury_flight() {
                self.caller.bury(&batch, why.clone());
            }
            self.confirm().await;
        } else if anew.is_some() {
            self.shelf.put_back();
        }
    }

    async fn let_barriers_pass(&mut self) {
        if self.shelf.barriers.is_empty() {
            return;
        }
        // What is about to arrive need not go to the disk.
        if self.shelf.tail.is_empty() && self.shelf.is_in_memory() {
            self.flush().await;
        }
        for number in self.shelf.durable_barriers().await {
            self.ties.pass(&self.caller, number);
        }
    }
}

/// Waits for a call to the sink, and takes meanwhile what comes. Barriers that come pass by way of the disk.
async fn meanwhile<T>(
    sink: Arc<str>,
    shelf: &mut Shelf,
    passes: &Passes,
    ending: &CancellationToken,
    call: impl Future<Output = T>,
) -> T {
    tokio::pin!(call);
    loop {
        if shelf.ended {
            ending.cancel();
        }
        let waiting = !shelf.barriers.is_empty();
        tokio::select! {
            biased;
            done = &mut call => return done,
            () = shelf.gather() => {}
            () = tokio::time::sleep(PATIENCE), if waiting => {}
        }
        for number in shelf.durable_barriers().await {
            passes.pass(&sink, number);
        }
        shelf.tell();
    }
}
