//! The loop of a sink without a spool.

use std::collections::VecDeque;

use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout_at};

use super::{CONFIRM_EVERY, Caller, FLUSH_EVERY, Remains, SinkCommand, Ties, Wrote, told};
use crate::batch::Batch;
use crate::run::barrier::PASS_WITHIN;
use crate::run::queue::{Parcel, Taker};
use crate::run::raise::forget_known;
use crate::time::Timestamp;

/// After so many items a sink is asked to flush where items come as fast as they can.
const FLUSH_ITEMS: usize = 65_536;
/// When so many bytes of items wait to be made durable, no more are taken before they are.
const RETAINED_MAX: usize = 16 << 20;
/// The pause before what could not be made durable is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// See the module.
pub(crate) struct DirectSink {
    caller: Caller,
    ties: Ties,
    taker: Taker,
    /// What comes before the queue: what a predecessor left, or what must be done again.
    first: VecDeque<Parcel>,
    /// Written and not durable yet, where a sink that is made anew has to be given it again.
    retained: VecDeque<Batch>,
    retained_bytes: usize,
    /// Items come as fast as they can: then nothing may depend on how fast that is.
    headlong: bool,
    unflushed: usize,
    /// The offset after the last item written, and after the last that is durable.
    written: u64,
    sure: u64,
    flushed: Timestamp,
    /// Until when a barrier that could not pass is tried again.
    barrier_until: Option<Instant>,
    /// What comes first just failed.
    pauses: bool,
    /// All that came was made sure of, and nothing has happened since.
    at_rest: bool,
}

enum Next {
    Parcel(Parcel),
    Pause,
    Again,
    Retire { anyway: bool, reply: oneshot::Sender<Result<Remains, String>> },
    End,
}

impl DirectSink {
    pub(crate) fn new(
        caller: Caller,
        ties: Ties,
        taker: Taker,
        first: VecDeque<Parcel>,
        headlong: bool,
    ) -> DirectSink {
        let sure = ties.confirmed;
        DirectSink {
            caller,
            ties,
            taker,
            first,
            retained: VecDeque::new(),
            retained_bytes: 0,
            headlong,
            unflushed: 0,
            written: sure,
            sure,
            flushed: Timestamp::MIN,
            barrier_until: None,
            pauses: false,
            at_rest: false,
        }
    }

    /// Runs until the input has ended and everything was written, or there is no more time, or another sink takes its place. The error
    /// says what could not be done.
    pub(crate) async fn run(mut self: Box<Self>) -> Result<(), String> {
        loop {
            match self.next().await {
                Next::Parcel(Parcel::Batch(batch)) => {
                    if !self.write(batch).await {
                        break;
                    }
                }
                Next::Parcel(Parcel::Barrier(number)) => self.let_pass(number).await,
                Next::Pause => self.flush().await,
                Next::Again => {}
                // Whoever asked has given up.
                Next::Retire { reply, .. } if reply.is_closed() => {}
                Next::Retire { anyway, reply } => match self.close().await {
                    Err(why) if !anyway => drop(reply.send(Err(why))),
                    _ => {
                        let unwritten = self.unwritten();
                        let left = Remains { taker: self.taker, spool: None, unwritten };
                        let Err(Ok(back)) = reply.send(Ok(left)) else { return Ok(()) };
                        // Nobody waits for it any more: it goes on.
                        self.taker = back.taker;
                        self.first = back.unwritten.into_iter().map(Parcel::Batch).collect();
                        self.written = self.sure;
                        self.at_rest = false;
                        self.caller.reopen();
                    }
                },
                Next::End => break,
            }
        }
        let closed = self.close().await;
        if let Some(why) = self.caller.given_up() {
            return Err(format!("`{}` failed: {why}", self.caller.address()));
        }
        if closed.is_ok() && !self.first.is_empty() {
            let address = self.caller.address();
            return Err(format!(
                "`{address}` did not take everything; the rest comes again at the next start"
            ));
        }
        closed
    }

    /// What a successor has to write, and the way to the rest.
    pub(crate) fn into_remains(mut self) -> Remains {
        let unwritten = self.unwritten();
        Remains { taker: self.taker, spool: None, unwritten }
    }

    fn unwritten(&mut self) -> Vec<Batch> {
        let first = self.first.drain(..).filter_map(|parcel| match parcel {
            Parcel::Batch(batch) => Some(batch),
            Parcel::Barrier(_) => None,
        });
        self.retained_bytes = 0;
        self.retained.drain(..).chain(first).collect()
    }

    async fn next(&mut self) -> Next {
        if let Ok(SinkCommand::Retire { anyway, reply }) = self.ties.commands.try_recv() {
            return Next::Retire { anyway, reply };
        }
        if self.caller.retires() {
            return tokio::select! {
                biased;
                SinkCommand::Retire { anyway, reply } = told(&mut self.ties.commands) => Next::Retire { anyway, reply },
                () = self.caller.stays() => Next::Again,
            };
        }
        let full = self.retained_bytes > RETAINED_MAX;
        if std::mem::take(&mut self.pauses) || full {
            let pause = Instant::now() + RETRY_PAUSE;
            if let Ok(SinkCommand::Retire { anyway, reply }) =
                timeout_at(pause, told(&mut self.ties.commands)).await
            {
                return Next::Retire { anyway, reply };
            }
            return if full { Next::Pause } else { Next::Again };
        }
        if let Some(parcel) = self.first.pop_front() {
            return Next::Parcel(parcel);
        }
        let pause = match self.unflushed {
            _ if self.headlong => None,
            0 if self.at_rest && !self.caller.tends => None,
            0 => Some(FLUSH_EVERY),
            _ => Some(self.caller.linger()),
        };
        let taker = &mut self.taker;
        let taken = async move {
            match pause {
                Some(pause) => timeout_at(Instant::now() + pause.to_std(), taker.next()).await,
                None => Ok(taker.next().await),
            }
        };
        tokio::select! {
            biased;
            SinkCommand::Retire { anyway, reply } = told(&mut self.ties.commands) => Next::Retire { anyway, reply },
            taken = taken => match taken {
                Ok(Some(parcel)) => {
                    if let Parcel::Batch(batch) = &parcel {
                        self.caller.with.stats.add_received(batch.items.len());
                    }
                    Next::Parcel(parcel)
                }
                Ok(None) => Next::End,
                Err(_) => Next::Pause,
            },
        }
    }

    /// Writes a batch. False when there is no more time for what the sink does not take.
    async fn write(&mut self, batch: Batch) -> bool {
        self.at_rest = false;
        self.ties.telling.before(&batch).await;
        match self.caller.write(&batch).await {
            Wrote::Taken => {
                self.written = batch.end;
                self.unflushed += batch.items.len().max(1);
                if self.caller.with.retained {
                    self.retained_bytes += batch.items.bytes();
                    self.retained.push_back(batch);
                }
            }
            Wrote::Buried => self.written = batch.end,
            Wrote::Again => self.first.push_front(Parcel::Batch(batch)),
            Wrote::Retired => {
                self.first.push_front(Parcel::Batch(batch));
                return self.caller.retires();
            }
        }
        self.look_after();
        let due = if self.headlong {
            self.unflushed >= FLUSH_ITEMS
        } else {
            self.caller.now().since(self.flushed) >= CONFIRM_EVERY
        };
        if due || self.retained_bytes > RETAINED_MAX {
            self.flush().await;
        }
        true
    }

    async fn flush(&mut self) {
        self.flushed = self.caller.now();
        self.unflushed = 0;
        let (full, keeps) = (self.retained_bytes > RETAINED_MAX, self.caller.keeps_position);
        // To a sink that keeps its position only a checkpoint makes things durable.
        let flushed = match full && keeps {
            true => self.caller.checkpoint().await,
            false => self.caller.flush().await,
        };
        self.look_after();
        self.at_rest = flushed && ((keeps && !full) || self.is_durable().await);
    }

    async fn let_pass(&mut self, number: u64) {
        self.at_rest = false;
        let passed = self.caller.checkpoint().await;
        if !passed {
            // One that does not pass in time is cancelled by who waits for it.
            let until = *self.barrier_until.get_or_insert_with(|| Instant::now() + PASS_WITHIN);
            if Instant::now() < until && !self.caller.hurries() {
                self.first.push_front(Parcel::Barrier(number));
                self.pauses = true;
            } else {
                self.barrier_until = None;
            }
        }
        self.look_after();
        if passed {
            self.barrier_until = None;
            self.unflushed = 0;
            self.at_rest = self.is_durable().await;
            self.ties.pass(&self.caller, number);
        }
    }

    async fn close(&mut self) -> Result<(), String> {
        if self.caller.given_up().is_some() {
            return Ok(());
        }
        // On its own, so that what is out is known to be even if the rest of closing fails; it would be given to a successor again.
        if self.written > self.sure {
            self.flush().await;
        }
        let closed = self.caller.close().await;
        self.look_after();
        if closed.is_ok() {
            self.is_durable().await;
        }
        closed
    }

    /// What was written is durable, or lies in the dead letters. False when the disk does not take those.
    async fn is_durable(&mut self) -> bool {
        if !self.caller.makes_sure_of_letters().await {
            return false;
        }
        self.sure = self.written;
        self.retained.clear();
        self.retained_bytes = 0;
        self.ties.confirm(self.caller.now(), self.written).await;
        true
    }

    /// What a sink had that broke comes again, or goes to the dead letters where it is given up.
    fn look_after(&mut self) {
        let given_up = self.caller.given_up().cloned();
        let anew = self.caller.take_anew();
        if given_up.is_none() && anew.is_none() {
            return;
        }
        let mut lost: Vec<Batch> = self.retained.drain(..).collect();
        self.retained_bytes = 0;
        if let Some(why) = given_up {
            lost.iter().for_each(|batch| self.caller.bury(batch, why.clone()));
            return;
        }
        if let Some(own) = anew.filter(|_| self.caller.keeps_position) {
            forget_known(&mut lost, own);
        }
        self.written = self.sure;
        self.unflushed = 0;
        lost.into_iter().rev().for_each(|batch| self.first.push_front(Parcel::Batch(batch)));
    }
}
