//! The loop of a sink: take from its queue, write, try again, flush when the input pauses, close at the end.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::dead_letter::{DeadContent, DeadLetter, DeadLetters};
use super::queue::{Parcel, Taker};
use super::retry::{Backoff, RetrySpec};
use super::stats::NodeStats;
use crate::batch::Batch;
use crate::clock::Clock;
use crate::duration::Duration;
use crate::node::{NodeError, Sink};
use crate::time::Timestamp;

/// A pause of the input this long is worth a flush.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
/// How often a sink is asked to flush while items keep coming, and while none do.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// After so many items a sink is asked to flush where items come as fast as they can.
const FLUSH_ITEMS: usize = 65_536;
/// How often the same trouble is said.
const SAY_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// How often closing is tried at the end.
const CLOSE_TRIES: u32 = 5;

/// Makes a sink anew.
pub(crate) type RebuildSink = Box<dyn Fn() -> Result<Box<dyn Sink>, String> + Send + Sync>;

/// A sink with all that its loop needs.
pub(crate) struct SinkRun {
    pub(crate) address: Arc<str>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) rebuild: RebuildSink,
    pub(crate) taker: Taker,
    pub(crate) stats: Arc<NodeStats>,
    pub(crate) retry: RetrySpec,
    /// The host's clock; `None` in virtual time, where the time of receipt is the time.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) dead: Arc<dyn DeadLetters>,
    /// Set when there is no more time to try again.
    pub(crate) hurry: CancellationToken,
    pub(crate) failures: VecDeque<Timestamp>,
    pub(crate) failed: Option<String>,
    /// Items come as fast as they can: then nothing may depend on how fast that is.
    pub(crate) headlong: bool,
    pub(crate) unflushed: usize,
    /// When it was last said that items go to the dead letters, and how many went since.
    pub(crate) said: Option<Instant>,
    pub(crate) buried: usize,
    pub(crate) latest: Timestamp,
    pub(crate) flushed: Timestamp,
}

enum Verb<'a> {
    Write(&'a Batch),
    Flush,
    Close,
}

impl SinkRun {
    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(self.latest, |clock| clock.now())
    }

    /// Runs until the input has ended and everything was written, or there is no more time. The error says what could not be done.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let mut unflushed = false;
        loop {
            let parcel = match self.wait(unflushed).await {
                Waited::Parcel(parcel) => parcel,
                Waited::Pause => {
                    self.flush().await;
                    unflushed = false;
                    continue;
                }
                Waited::End => break,
            };
            match parcel {
                Parcel::Batch(batch) => {
                    self.latest = self.latest.max(batch.received);
                    self.unflushed += batch.items.len();
                    self.write(batch).await;
                    unflushed = true;
                    let due = if self.headlong {
                        self.unflushed >= FLUSH_ITEMS
                    } else {
                        self.now().since(self.flushed) >= FLUSH_EVERY
                    };
                    if due {
                        self.flush().await;
                    }
                }
                Parcel::Barrier(_) => self.flush().await,
            }
        }
        self.close().await
    }

    async fn wait(&mut self, unflushed: bool) -> Waited {
        if self.headlong {
            return self.taker.next().await.map_or(Waited::End, Waited::Parcel);
        }
        let pause = if unflushed { PAUSE } else { FLUSH_EVERY.to_std() };
        match timeout_at(Instant::now() + pause, self.taker.next()).await {
            Ok(Some(parcel)) => Waited::Parcel(parcel),
            Ok(None) => Waited::End,
            Err(_) => Waited::Pause,
        }
    }

    async fn write(&mut self, batch: Batch) {
        self.stats.add_received(batch.items.len());
        let mut backoff = Backoff::new(self.retry, &self.address);
        let mut fatal = 0;
        let why = loop {
            if let Some(why) = &self.failed {
                break why.clone();
            }
            match self.call(Verb::Write(&batch)).await {
                Ok(()) => return,
                Err(NodeError::Reject(why)) => break why,
                Err(NodeError::Retry(why)) => match backoff.failed() {
                    Some(pause) if !self.hurry.is_cancelled() => {
                        tracing::warn!(node = %self.address, "trying again in {pause:?}: {why}");
                        self.pause(pause).await;
                    }
                    _ => break why,
                },
                Err(NodeError::Fatal(why)) => {
                    fatal += 1;
                    if !self.recover(&why).await || fatal == 2 {
                        break why;
                    }
                }
            }
        };
        self.bury(batch, why);
    }

    async fn flush(&mut self) {
        self.flushed = self.now();
        self.unflushed = 0;
        match self.call(Verb::Flush).await {
            Ok(()) => {}
            Err(NodeError::Fatal(why)) => {
                self.recover(&why).await;
            }
            // Whatever was not flushed is still with the sink, and the next flush comes.
            Err(error) => tracing::warn!(node = %self.address, "cannot flush: {error}"),
        }
    }

    async fn close(&mut self) -> Result<(), String> {
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
        let call = async {
            match verb {
                Verb::Write(batch) => sink.write(batch).await,
                Verb::Flush => sink.flush(now).await,
                Verb::Close => sink.close(now).await,
            }
        };
        let done = AssertUnwindSafe(call).catch_unwind().await;
        let done = done.unwrap_or_else(|panic| {
            Err(NodeError::Fatal(format!("it panicked: {}", super::slot::panic_text(&*panic))))
        });
        if done.is_err() {
            self.stats.add_error();
        }
        done
    }

    /// Makes the sink anew, after a pause. False when it was given up.
    async fn recover(&mut self, why: &str) -> bool {
        tracing::error!(node = %self.address, "the node failed: {why}");
        let now = self.now();
        let rebuilt = match super::slot::too_often(&mut self.failures, now) {
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
                self.failed = Some(why);
                false
            }
        }
    }

    async fn pause(&mut self, pause: std::time::Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.hurry.cancelled() => {}
        }
    }

    fn bury(&mut self, batch: Batch, reason: String) {
        self.stats.add_rejected(batch.items.len());
        // A queue that goes the same way says so once a second, not once a batch.
        self.buried += batch.items.len();
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            let items = std::mem::take(&mut self.buried);
            tracing::warn!(node = %self.address, items, "to the dead letters: {reason}");
        }
        let content = DeadContent::Items(batch.items);
        let letter =
            DeadLetter { address: self.address.clone(), time: self.now(), reason, content };
        if let Err(error) = self.dead.put(&letter) {
            tracing::error!(node = %self.address, "a dead letter could not be kept: {error}");
        }
    }
}

enum Waited {
    Parcel(Parcel),
    Pause,
    End,
}
