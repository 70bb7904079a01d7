//! The loops of a sink: take from its queue, write, try again, flush when the input pauses, let barriers pass, close at the end.

mod caller;
mod direct;
mod spooled;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

pub(crate) use caller::{Caller, Wrote};
pub(crate) use direct::DirectSink;
pub(crate) use spooled::{Shelf, SpooledSink};

use super::keep::{Event, Journal, Spool};
use super::queue::Taker;
use crate::batch::Batch;
use crate::duration::Duration;

/// How often a sink is asked to flush while none come.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// How often a sink is asked to flush while items keep coming: what was written and not confirmed since may be repeated after a crash.
const CONFIRM_EVERY: Duration = Duration::from_millis(250);

/// What a sink's loop can be told.
#[derive(Debug)]
pub(crate) enum SinkCommand {
    /// Another node takes its place, or none does: close, and hand over what is left. Answered with an error when it cannot be closed:
    /// then it goes on.
    Retire(oneshot::Sender<Result<Remains, String>>),
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

/// A sink has let a barrier pass: all that came before is durable.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    pub(crate) sink: Arc<str>,
    pub(crate) number: u64,
}

/// What ties a sink's loop to the host.
pub(crate) struct Ties {
    pub(crate) commands: mpsc::UnboundedReceiver<SinkCommand>,
    pub(crate) passed: mpsc::UnboundedSender<Passed>,
    /// Where confirmed offsets are noted; `None` where nothing is kept, or the sink knows itself what it has.
    pub(crate) journal: Option<Arc<dyn Journal>>,
    /// The offset confirmed last.
    pub(crate) confirmed: u64,
}

impl Ties {
    /// Notes that all up to an offset is with the sink.
    fn confirm(&mut self, caller: &Caller, end: u64) {
        if end <= self.confirmed {
            return;
        }
        self.confirmed = end;
        if let Some(journal) = &self.journal {
            let event = Event::Confirmed { sink: caller.address.clone(), end };
            // Without room for it, a replay repeats a little more.
            let _ = journal.append(caller.now(), &event, None);
        }
    }

    fn pass(&self, caller: &Caller, number: u64) {
        let _ = self.passed.send(Passed { sink: caller.address.clone(), number });
    }
}
