//! The loop of a sink without a spool.

use std::collections::VecDeque;

use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::{CONFIRM_EVERY, Caller, FLUSH_EVERY, Remains, SinkCommand, Ties, Wrote};
use crate::batch::Batch;
use crate::run::queue::{Parcel, Taker};
use crate::time::Timestamp;

/// After so many items a sink is asked to flush where items come as fast as they can.
const FLUSH_ITEMS: usize = 65_536;

/// See the module.
pub(crate) struct DirectSink {
    pub(crate) caller: Caller,
    pub(crate) ties: Ties,
    pub(crate) taker: Taker,
    /// What a predecessor left.
    pub(crate) first: VecDeque<Batch>,
    /// Items come as fast as they can: then nothing may depend on how fast that is.
    pub(crate) headlong: bool,
    pub(crate) unflushed: usize,
    /// The offset after the last item written.
    pub(crate) written: u64,
    pub(crate) flushed: Timestamp,
}

enum Next {
    Batch(Batch),
    Barrier(u64),
    Pause,
    Retire(tokio::sync::oneshot::Sender<Result<Remains, String>>),
    End,
}

impl DirectSink {
    /// Runs until the input has ended and everything was written, or there is no more time, or another sink takes its place. The error
    /// says what could not be done.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        loop {
            match self.next().await {
                Next::Batch(batch) => {
                    self.unflushed += batch.items.len().max(1);
                    self.caller.stats.add_received(batch.items.len());
                    if self.caller.write(&batch).await == Wrote::Retired {
                        self.first.push_front(batch);
                        continue;
                    }
                    self.written = batch.end;
                    let due = if self.headlong {
                        self.unflushed >= FLUSH_ITEMS
                    } else {
                        self.caller.now().since(self.flushed) >= CONFIRM_EVERY
                    };
                    if due {
                        self.flush().await;
                    }
                }
                Next::Barrier(number) => {
                    // One that was not passed is cancelled by who waits for it, and the next one tries again.
                    if self.caller.checkpoint().await {
                        self.unflushed = 0;
                        self.ties.confirmed = self.ties.confirmed.max(self.written);
                        self.ties.pass(&self.caller, number);
                    }
                }
                Next::Pause => self.flush().await,
                Next::Retire(reply) => match self.caller.close().await {
                    Ok(()) => {
                        let unwritten = self.first.into();
                        let _ =
                            reply.send(Ok(Remains { taker: self.taker, spool: None, unwritten }));
                        return Ok(());
                    }
                    Err(why) => drop(reply.send(Err(why))),
                },
                Next::End => break,
            }
        }
        let closed = self.caller.close().await;
        if closed.is_ok() {
            self.ties.confirm(&self.caller, self.written);
        }
        closed
    }

    async fn next(&mut self) -> Next {
        if let Ok(SinkCommand::Retire(reply)) = self.ties.commands.try_recv() {
            return Next::Retire(reply);
        }
        if !self.caller.retires()
            && let Some(batch) = self.first.pop_front()
        {
            return Next::Batch(batch);
        }
        let linger = self.caller.sink.linger();
        let pause = if self.unflushed > 0 { linger } else { FLUSH_EVERY };
        let (headlong, taker, retires) = (self.headlong, &mut self.taker, self.caller.retires());
        let taken = async move {
            if headlong {
                return Ok(taker.next().await);
            }
            timeout_at(Instant::now() + pause.to_std(), taker.next()).await
        };
        tokio::select! {
            biased;
            Some(SinkCommand::Retire(reply)) = self.ties.commands.recv() => Next::Retire(reply),
            taken = taken, if !retires => match taken {
                Ok(Some(Parcel::Batch(batch))) => Next::Batch(batch),
                Ok(Some(Parcel::Barrier(number))) => Next::Barrier(number),
                Ok(None) => Next::End,
                Err(_) => Next::Pause,
            },
        }
    }

    async fn flush(&mut self) {
        self.flushed = self.caller.now();
        self.unflushed = 0;
        if self.caller.flush().await {
            self.ties.confirm(&self.caller, self.written);
        }
    }
}
