//! Calling a sink: caught where it panics, tried again where that may help, made anew where it broke, and its items buried where
//! nothing helps.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{FLUSH_EVERY, Retire};
use crate::batch::{Batch, ItemKind, Items};
use crate::clock::Clock;
use crate::duration::Duration;
use crate::node::{NodeError, Refused, Sink};
use crate::run::dead_letter::{
    DeadContent, DeadLetter, DeadLetters, on_a_thread, say_lost, say_waits,
};
use crate::run::retry::{Backoff, RetrySpec};
use crate::run::slot::{panic_text, too_often};
use crate::run::stats::NodeStats;
use crate::time::Timestamp;

/// How often closing is tried at the end.
const CLOSE_TRIES: u32 = 5;

/// How long a call may still take once there is no more time.
const CALL_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);
/// Why a call was given up.
const HANGS: &str = "it did not return in time";

/// Makes a sink anew.
pub(crate) type RebuildSink = Box<dyn Fn() -> Result<Box<dyn Sink>, String> + Send + Sync>;

/// What a sink is called with.
pub(crate) struct Setup {
    pub(crate) address: Arc<str>,
    pub(crate) stream: Uuid,
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
    pub(crate) retire: watch::Receiver<Retire>,
    /// What it does not take before the host stops comes again at the next start.
    pub(crate) comes_again: bool,
    /// Whoever calls has what is not durable, and gives it again to a sink that was made anew.
    pub(crate) retained: bool,
}

/// A sink, and how it was so far.
pub(crate) struct Caller {
    pub(crate) with: Setup,
    pub(crate) latest: Timestamp,
    /// [`Sink::keeps_position`].
    pub(crate) keeps_position: bool,
    /// [`Sink::reach`].
    pub(crate) reach: u64,
    /// [`Sink::tends`].
    pub(crate) tends: bool,
    /// It was made anew, and says it has this much already.
    anew: Option<[u64; 3]>,
    /// The batch that broke the sink last, by its offset, and how often.
    broke: (u64, u32),
    failures: VecDeque<Timestamp>,
    failed: Option<String>,
    /// Flushes that failed in a row, and how long to wait before the next.
    unflushed: Backoff,
    flush_pause: Duration,
    /// What it buried may not survive a power cut.
    unsure: bool,
    /// Set when its input has ended and what it does not take is safe elsewhere: then nothing is waited for that fails.
    pub(crate) ending: CancellationToken,
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
    /// Another one takes its place, or there is no more time: not written.
    Retired,
}

enum Verb<'a> {
    Write(&'a Batch),
    Flush,
    Checkpoint,
    Close,
}

impl Caller {
    pub(crate) fn new(with: Setup) -> Caller {
        Caller {
            unflushed: Backoff::new(RetrySpec { attempts: 0, ..with.retry }, &with.address),
            flush_pause: Duration::ZERO,
            with,
            latest: Timestamp::MIN,
            keeps_position: false,
            reach: 0,
            tends: true,
            anew: None,
            broke: (0, 0),
            failures: VecDeque::new(),
            failed: None,
            unsure: false,
            ending: CancellationToken::new(),
        }
    }

    pub(crate) fn address(&self) -> &Arc<str> {
        &self.with.address
    }

    /// Tells the sink of its stream, and asks what it has of that, by kind.
    pub(crate) fn introduce(&mut self) -> [u64; 3] {
        let (sink, stream) = (&mut self.with.sink, self.with.stream);
        let asked = catch_unwind(AssertUnwindSafe(|| {
            let own = ItemKind::ALL.map(|kind| sink.position(stream, kind).unwrap_or(0));
            (own, sink.reach(), sink.keeps_position(), sink.tends())
        }));
        let (own, reach, keeps, tends) = asked.unwrap_or_else(|panic| {
            self.with.stats.add_error();
            tracing::error!(node = %self.with.address, "it cannot say what it has: it panicked: {}", panic_text(&*panic));
            ([0; 3], 0, false, true)
        });
        (self.reach, self.keeps_position, self.tends) = (reach, keeps, tends);
        self.with.stats.listen(|| sink.trouble());
        own
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.with.clock.as_ref().map_or(self.latest, |clock| clock.now())
    }

    /// [`Sink::linger`], and longer where flushes fail.
    pub(crate) fn linger(&self) -> Duration {
        let sink = &self.with.sink;
        let linger = catch_unwind(AssertUnwindSafe(|| sink.linger())).unwrap_or(FLUSH_EVERY);
        linger.max(self.flush_pause)
    }

    /// A pause, or the longest that makes sense to the sink.
    fn pause_of(&self, pause: std::time::Duration) -> std::time::Duration {
        let sink = &self.with.sink;
        let longest = catch_unwind(AssertUnwindSafe(|| sink.longest_pause())).unwrap_or_default();
        longest.map_or(pause, |longest| pause.min(longest.to_std()))
    }

    /// Makes the sink anew: it was closed, and is to go on after all.
    pub(crate) fn reopen(&mut self) {
        match (self.with.rebuild)() {
            Ok(sink) => {
                self.with.sink = sink;
                self.introduce();
            }
            Err(why) => {
                tracing::error!(node = %self.with.address, "it cannot be made anew: {why}");
            }
        }
    }

    /// Whether another one is about to take its place: then nothing more is written.
    pub(crate) fn retires(&self) -> bool {
        *self.with.retire.borrow() > Retire::No
    }

    /// Waits until it is not to leave after all.
    pub(crate) async fn stays(&mut self) {
        if self.with.retire.wait_for(|retire| *retire == Retire::No).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether there is no more time to try again.
    pub(crate) fn hurries(&self) -> bool {
        self.with.hurry.is_cancelled()
    }

    /// Why the sink was given up, if it was.
    pub(crate) fn given_up(&self) -> Option<&String> {
        self.failed.as_ref()
    }

    /// Whether the sink was made anew since this was last asked; then what it had not made durable must come again, without what it
    /// says it has.
    pub(crate) fn take_anew(&mut self) -> Option<[u64; 3]> {
        self.anew.take()
    }

    /// Writes a batch, however often that takes.
    pub(crate) async fn write(&mut self, batch: &Batch) -> Wrote {
        self.latest = self.latest.max(batch.received);
        let mut backoff = Backoff::new(self.with.retry, &self.with.address);
        let why = loop {
            if let Some(why) = &self.failed {
                break why.clone();
            }
            if self.retires() {
                return Wrote::Retired;
            }
            match self.call(Verb::Write(batch)).await {
                Ok(()) => {
                    self.with.stats.set_trouble(None);
                    return Wrote::Taken;
                }
                Err(NodeError::Reject(why)) => break why,
                Err(NodeError::Retry(why)) => match backoff.failed() {
                    Some(pause) if !self.hurries() && !self.ending.is_cancelled() => {
                        let pause = self.pause_of(pause);
                        let address = &self.with.address;
                        if self.with.stats.tries().admits(Some(address), &why) {
                            tracing::warn!(node = %address, "trying again in {pause:?}: {why}");
                        }
                        self.with.stats.set_trouble(Some(why));
                        self.pause(pause, Retire::Soon).await;
                    }
                    Some(_) if self.with.comes_again || self.retires() => return Wrote::Retired,
                    _ => break why,
                },
                Err(NodeError::Fatal(why)) => {
                    let before = if self.broke.0 == batch.end { self.broke.1 } else { 0 };
                    self.broke = (batch.end, before + 1);
                    if !self.recover(&why).await || before > 0 {
                        break why;
                    }
                    if self.with.retained {
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
        let flushed = self.make_sure(Verb::Flush, "cannot flush").await;
        if flushed {
            self.unflushed.reset();
        }
        let pause = if flushed { None } else { self.unflushed.failed() };
        let pause = pause.map(|pause| self.pause_of(pause));
        let micros = pause.and_then(|pause| i64::try_from(pause.as_micros()).ok());
        self.flush_pause = Duration::from_micros(micros.unwrap_or(0));
        flushed
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
            Ok(()) => {
                self.with.stats.set_trouble(None);
                true
            }
            Err(NodeError::Fatal(why)) => {
                self.recover(&why).await;
                false
            }
            // Whatever was not flushed is still with the sink, and the next time comes.
            Err(error) => {
                tracing::warn!(node = %self.with.address, "{complaint}: {error}");
                self.with.stats.set_trouble(Some(error.to_string()));
                false
            }
        }
    }

    /// The last call, tried a few times.
    pub(crate) async fn close(&mut self) -> Result<(), String> {
        if let Some(why) = &self.failed {
            return Err(format!("`{}` failed: {why}", self.with.address));
        }
        let attempts =
            if self.with.retry.attempts == 0 { CLOSE_TRIES } else { self.with.retry.attempts };
        let mut backoff =
            Backoff::new(RetrySpec { attempts, ..self.with.retry }, &self.with.address);
        loop {
            let Err(error) = self.call(Verb::Close).await else { return Ok(()) };
            match backoff.failed() {
                Some(pause) if !self.hurries() => self.pause(pause, Retire::Now).await,
                _ => return Err(format!("`{}` could not be closed: {error}", self.with.address)),
            }
        }
    }

    async fn call(&mut self, verb: Verb<'_>) -> Result<(), NodeError> {
        let now = self.now();
        let sink = &mut self.with.sink;
        let call = async move {
            match verb {
                Verb::Write(batch) => sink.write(batch).await,
                Verb::Flush => sink.flush(now).await,
                Verb::Checkpoint => sink.checkpoint(now).await,
                Verb::Close => sink.close(now).await,
            }
        };
        let (retire, hurry) = (&mut self.with.retire, &self.with.hurry);
        let no_time = async {
            hurry.cancelled().await;
            tokio::time::sleep(CALL_WITHIN).await;
        };
        let done = tokio::select! {
            biased;
            done = AssertUnwindSafe(call).catch_unwind() => done,
            Ok(_) = retire.wait_for(|retire| *retire == Retire::Now) => Ok(Err(NodeError::Retry(HANGS.into()))),
            () = no_time => Ok(Err(NodeError::Retry(HANGS.into()))),
        };
        let done = match done {
            Ok(done) => {
                for Refused { items, reason } in self.with.sink.take_refused() {
                    self.bury_items(items, reason);
                }
                done
            }
            Err(panic) => Err(NodeError::Fatal(format!("it panicked: {}", panic_text(&*panic)))),
        };
        if done.is_err() {
            self.with.stats.add_error();
        }
        done
    }

    /// Makes the sink anew, after a pause. False when it was given up.
    async fn recover(&mut self, why: &str) -> bool {
        tracing::error!(node = %self.with.address, "the node failed: {why}");
        let now = self.now();
        let rebuilt = match too_often(&mut self.failures, now) {
            Some(often) => Err(format!("{often}, the last time: {why}")),
            None => {
                self.pause(self.with.retry.initial.to_std(), Retire::Soon).await;
                (self.with.rebuild)()
            }
        };
        match rebuilt {
            Ok(sink) => {
                self.with.sink = sink;
                self.anew = Some(self.introduce());
                true
            }
            Err(why) => {
                tracing::error!(node = %self.with.address, "the node is given up: {why}");
                self.with.stats.set_failed();
                self.with.stats.set_trouble(Some(why.clone()));
                self.failed = Some(why);
                false
            }
        }
    }

    /// Pauses, or not that long: there is no more time, or it is to leave.
    async fn pause(&mut self, pause: std::time::Duration, leaves: Retire) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.with.hurry.cancelled() => {}
            () = self.ending.cancelled() => {}
            Ok(_) = self.with.retire.wait_for(|retire| *retire >= leaves) => {}
        }
    }

    /// Whether something it buried may not survive a power cut. It must not be confirmed before that.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Makes sure that what it buried survives a power cut. False when the disk does not take it.
    pub(crate) async fn makes_sure_of_letters(&mut self) -> bool {
        if !self.unsure {
            return true;
        }
        match on_a_thread(&self.with.dead, |dead| dead.persist()).await {
            Ok(()) => self.unsure = false,
            Err(error) => {
                say_waits(self.with.stats.untaken(), &self.with.address, &error);
            }
        }
        !self.unsure
    }

    pub(crate) fn bury(&mut self, batch: &Batch, reason: String) {
        self.bury_items(batch.items.clone(), reason);
    }

    fn bury_items(&mut self, items: Items, reason: String) {
        self.with.stats.add_rejected(items.len());
        self.unsure = true;
        let (node, count) = (&self.with.address, items.len() as u64);
        if self.with.stats.letters().admits_of(Some(node), &reason, count) {
            tracing::warn!(%node, items = count, "to the dead letters: {reason}");
        }
        let content = DeadContent::Items(items);
        let letter =
            DeadLetter { address: self.with.address.clone(), time: self.now(), reason, content };
        if let Err(error) = self.with.dead.put(&letter) {
            say_lost(self.with.stats.untaken(), &self.with.address, &error);
        }
    }
}
