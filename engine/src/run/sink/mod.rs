//! The loops of a sink: take from its queue, write, try again, flush when the input pauses, let barriers pass, close at the end.

mod caller;
mod direct;
mod passes;
mod shelf;
mod spooled;
mod telling;
mod unopened;

use std::sync::Arc;

use futures::channel::mpsc;
use tokio::sync::oneshot;
use uuid::Uuid;

pub(crate) use caller::{Caller, Setup, Wrote};
pub(crate) use direct::DirectSink;
pub(crate) use passes::Passes;
pub(crate) use shelf::Shelf;
pub(crate) use spooled::SpooledSink;
pub(crate) use telling::Telling;
pub(crate) use unopened::Unopened;

use super::keep::{Event, Journal, Spool};
use super::queue::Taker;
use crate::batch::Batch;
use crate::duration::Duration;
use crate::time::Timestamp;

/// How often a sink is asked to flush while none come.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// How often a sink is asked to flush while items keep coming: what was written and not confirmed since may be repeated after a crash.
const CONFIRM_EVERY: Duration = Duration::from_millis(250);

/// What a sink's loop can be told.
#[derive(Debug)]
pub(crate) enum SinkCommand {
    /// Another node takes its place, or none does: close, and hand over what is left. Answered with an error when it cannot be closed:
    /// then it goes on, unless it is to leave `anyway`.
    Retire { anyway: bool, reply: oneshot::Sender<Result<Remains, String>> },
}

/// Whether a sink is about to leave: what its calls look at while the loop waits for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Retire {
    #[default]
    No,
    /// Nothing is tried again.
    Soon,
    /// A call that has not returned is given up.
    Now,
}

/// What a sink leaves to its successor.
#[derive(Debug)]
pub(crate) struct Remains {
    /// Its queue.
    pub(crate) taker: Taker,
    /// Its spool, where it has one.
    pub(crate) spool: Option<Box<dyn Spool>>,
    /// What was taken from the queue and neither written nor spooled, oldest first.
    pub(crate) unwritten: Vec<Batch>,
}

/// What ties a sink's loop to the host.
pub(crate) struct Ties {
    /// What its offsets count in.
    pub(crate) stream: Uuid,
    pub(crate) commands: mpsc::UnboundedReceiver<SinkCommand>,
    pub(crate) passes: Arc<Passes>,
    /// Where confirmed offsets are noted; `None` where nothing is kept, or the sink knows itself what it has.
    pub(crate) journal: Option<Arc<dyn Journal>>,
    pub(crate) telling: Telling,
    /// The offset confirmed last.
    pub(crate) confirmed: u64,
}

impl Ties {
    /// Notes that all up to an offset is with the sink.
    async fn confirm(&mut self, now: Timestamp, end: u64) {
        if end <= self.confirmed {
            return;
        }
        self.confirmed = end;
        if let Some(journal) = &self.journal {
            let event = Event::Confirmed { stream: self.stream, end };
            // Without room for it, a replay repeats a little more.
            let _ = journal.append(now, &event, None);
            self.telling.after().await;
        }
    }

    fn pass(&self, caller: &Caller, number: u64) {
        self.passes.pass(caller.address(), number);
    }
}

/// Waits for a command; for ever once nobody is left to give one.
async fn told(commands: &mut mpsc::UnboundedReceiver<SinkCommand>) -> SinkCommand {
    match commands.recv().await {
        Ok(command) => command,
        Err(_) => std::future::pending().await,
    }
}
