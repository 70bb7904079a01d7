//! Calling a sink: caught where it panics, tried again where that may help, made anew where it broke, and its items buried where
//! nothing helps.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::{Batch, Items};
use crate::clock::Clock;
use crate::node::{NodeError, Refused, Sink};
use crate::run::dead_letter::{DeadContent, DeadLetter, DeadLetters};
use crate::run::retry::{Backoff, RetrySpec};
use crate::run::slot::{panic_text, too_often};
use crate::run::stats::NodeStats;
use crate::time::Timestamp;

/// How often the same trouble is said.
const SAY_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// How often closing is tried at the end.
const CLOSE_TRIES: u32 = 5;

/// Makes a sink anew.
pub(crate) type RebuildSink = Box<dyn Fn() -> Result<Box<dyn Sink>, String> + Send + Sync>;

/// A sink with what is needed to call it.
pub(crate) struct Caller {
    pub(crate) address: Arc<str>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) rebuild: RebuildSink,
    pub(crate) stats: Arc<NodeStats>,
    pub(crate) retry: RetrySpec,
    /// The host's clock; `None` in virtual time, where the time of receipt is the time.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) dead: Arc<dyn DeadLetters>,
    /// Set when there is no more time to try again.
    pub(crate) hurry: CancellationToken,
    /// Set when another one takes its place: what is not written is handed over.
    retire: watch::Receiver<bool>,
    pub(crate) latest: Timestamp,
    /// Whoever calls has what was not flushed, and gives it again to a sink that was made anew.
    pub(crate) retained: bool,
    /// The batch that broke the sink last, by its offset, and how often.
    broke: (u64, u32),
    failures: VecDeque<Timestamp>,
    failed: Option<String>,
    /// When it was last said that items go to the dead letters, and how many went since.
    said: Option<Instant>,
    buried: usize,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// The sink has it.
    Taken,
    /// It lies in the dead letters.
    Buried,
    /// The sink was made anew: what it had not flushed must come again, and then this batch.
    Again,
    /// Another one takes its place: not written.
    Retired,
}

enum Verb<'a> {
    Write(&'a Batch),
    Flush,
    Checkpoint,
    Close,
}

impl Caller {
    #[expect(clippy::too_many_arguments, reason = "each is one part of what a sink runs with")]
    pub(crate) fn new(
        address: Arc<str>,
        sink: Box<dyn Sink>,
        rebuild: RebuildSink,
        stats: Arc<NodeStats>,
        retry: RetrySpec,
        clock: Option<Arc<dyn Clock>>,
        dead: Arc<dyn DeadLetters>,
        hurry: CancellationToken,
        retire: watch::Receiver<bool>,
    ) -> Caller {
        Caller {
            address,
            sink,
            rebuild,
            stats,
            retry,
            clock,
            dead,
            hurry,
            retire,
            latest: Timestamp::MIN,
            retained: false,
            broke: (0, 0),
            failures: VecDeque::new(),
            failed: None,
            said: None,
            buried: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(self.latest, |clock| clock.now())
    }

    /// Whether another one is about to take its place: then nothing more is written.
    pub(crate) fn retires(&self) -> bool {
        *self.retire.borrow()
    }

    /// Whether there is no more time to try again.
    pub(crate) fn hurries(&self) -> bool {
        self.hurry.is_cancelled()
    }

    /// Writes a batch, however often that takes.
    pub(crate) async fn write(&mut self, batch: &Batch) -> Wrote {
        self.latest = self.latest.max(batch.received);
        let mut backoff = Backoff::new(self.retry, &self.address);
        let why = loop {
            if let Some(why) = &self.failed {
                break why.clone();
            }
            if self.retires() {
                return Wrote::Retired;
            }
            match self.call(Verb::Write(batch)).await {
                Ok(()) => {
                    self.stats.set_trouble(None);
                    return Wrote::Taken;
                }
                Err(NodeError::Reject(why)) => break why,
                Err(NodeError::Retry(why)) => match backoff.failed() {
                    Some(pause) if !self.hurry.is_cancelled() => {
                        tracing::warn!(node = %self.address, "trying again in {pause:?}: {why}");
                        self.stats.set_trouble(Some(why));
                        self.pause(pause).await;
                    }
                    // What has a spool goes there.
                    Some(_) if self.retained => return Wrote::Retired,
                    _ => break why,
                },
                Err(NodeError::Fatal(why)) => {
                    let before = if self.broke.0 == batch.end { self.broke.1 } else { 0 };
                    self.broke = (batch.end, before + 1);
                    if !self.recover(&why).await || before > 0 {
                        break why;
                    }
                    if self.retained {
                        return Wrote::Again;
                    }
                }
            }
        };
        self.bury(batch, why);
        Wrote::Buried
    }

    /// Flushes. False when what was taken is not out yet.
    pub(crate) async fn flush(&mut self) -> bool {
        self.make_sure(Verb::Flush, "cannot flush").await
    }

    /// Makes durable what was taken. False when it is not.
    pub(crate) async fn checkpoint(&mut self) -> bool {
        self.make_sure(Verb::Checkpoint, "cannot make durable what it has").await
    }

    async fn make_sure(&mut self, verb: Verb<'_>, complaint: &str) -> bool {
        if self.failed.is_some() {
            return true;
        }
        match self.call(verb).await {
            Ok(()) => true,
            Err(NodeError::Fatal(why)) => {
                self.recover(&why).await;
                false
            }
            // Whatever was not flushed is still with the sink, and the next time comes.
            Err(error) => {
                tracing::warn!(node = %self.address, "{complaint}: {error}");
                self.stats.set_trouble(Some(error.to_string()));
                false
            }
        }
    }

    /// The last call, tried a few times.
    pub(crate) async fn close(&mut self) -> Result<(), String> {
        if let Some(why) = self.failed.take() {
            return Err(format!("`{}` failed: {why}", self.address));
        }
        let attempts = if self.retry.attempts == 0 { CLOSE_TRIES } else { self.retry.attempts };
        let mut backoff = Backoff::new(RetrySpec { attempts, ..self.retry }, &self.address);
        loop {
            let Err(error) = self.call(Verb::Close).await else { return Ok(()) };
            match backoff.failed() {
                Some(pause) if !self.hurry.is_cancelled() => self.pause(pause).await,
                _ => return Err(format!("`{}` could not be closed: {error}", self.address)),
            }
        }
    }

    async fn call(&mut self, verb: Verb<'_>) -> Result<(), NodeError> {
        let now = self.now();
        let sink = &mut self.sink;
        let call = async move {
            match verb {
                Verb::Write(batch) => sink.write(batch).await,
                Verb::Flush => sink.flush(now).await,
                Verb::Checkpoint => sink.checkpoint(now).await,
                Verb::Close => sink.close(now).await,
            }
        };
        let done = AssertUnwindSafe(call).catch_unwind().await;
        let done = match done {
            Ok(done) => {
                for Refused { items, reason } in self.sink.take_refused() {
                    self.bury_items(items, reason);
                }
                done
            }
            Err(panic) => Err(NodeError::Fatal(format!("it panicked: {}", panic_text(&*panic)))),
        };
        if done.is_err() {
            self.stats.add_error();
        }
        done
    }

    /// Makes the sink anew, after a pause. False when it was given up.
    async fn recover(&mut self, why: &str) -> bool {
        tracing::error!(node = %self.address, "the node failed: {why}");
        let now = self.now();
        let rebuilt = match too_often(&mut self.failures, now) {
            Some(often) => Err(format!("{often}, the last time: {why}")),
            None => {
                self.pause(self.retry.initial.to_std()).await;
                (self.rebuild)()
            }
        };
        match rebuilt {
            Ok(sink) => {
                self.sink = sink;
                true
            }
            Err(why) => {
                tracing::error!(node = %self.address, "the node is given up: {why}");
                self.stats.set_failed();
                self.stats.set_trouble(Some(why.clone()));
                self.failed = Some(why);
                false
            }
        }
    }

    async fn pause(&mut self, pause: std::time::Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.hurry.cancelled() => {}
            Ok(_) = self.retire.wait_for(|retire| *retire) => {}
        }
    }

    pub(crate) fn bury(&mut self, batch: &Batch, reason: String) {
        self.bury_items(batch.items.clone(), reason);
    }

    fn bury_items(&mut self, items: Items, reason: String) {
        self.stats.add_rejected(items.len());
        // A queue that goes the same way says so once a second, not once a batch.
        self.buried += items.len();
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            let buried = std::mem::take(&mut self.buried);
            tracing::warn!(node = %self.address, items = buried, "to the dead letters: {reason}");
        }
        let content = DeadContent::Items(items);
        let letter =
            DeadLetter { address: self.address.clone(), time: self.now(), reason, content };
        if let Err(error) = self.dead.put(&letter) {
            tracing::error!(node = %self.address, "a dead letter could not be kept: {error}");
        }
    }
}
