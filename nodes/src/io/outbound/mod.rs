//! Items on their way to another side that takes them in pieces, and may refuse some: the core of sinks that send.

mod held;
mod settings;

use std::ops::Range;
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{NodeError, Refused, Sink};
use smollama_engine::registry::Problem;
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::Trouble;
use tokio::time::Instant;
use uuid::Uuid;

use held::{Form, Held};
pub use settings::{BatchSpec, Body};

/// After so many refusals in a row it is not single items that are wrong.
const REFUSALS_MAX: usize = 16;

/// The other side.
#[async_trait]
pub trait Receiver: Send {
    /// How it is called in messages.
    fn name(&self) -> &str;

    /// Sends it some items. Dropped before it is ready, the same comes again.
    async fn send(&mut self, load: Load<'_>) -> Answer;

    /// Looks after what it holds, while nothing is sent.
    async fn tend(&mut self) {}

    /// The last call, once all was sent.
    async fn close(&mut self) {}

    /// See [`Sink::trouble`].
    fn trouble(&self) -> Option<Trouble> {
        None
    }
}

/// Items that go out at once.
#[derive(Debug)]
pub struct Load<'a> {
    form: &'a Form,
    /// Their texts, each with a line break behind it where the body is of lines.
    pub texts: &'a [u8],
    /// Where each of them ends.
    pub ends: Vec<usize>,
    /// Tells them from all others of the host: the stream, and the numbers of the first and the last. Without a stream there is none.
    pub key: Option<String>,
}

impl Load<'_> {
    /// The texts as one.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.form.body(self.texts)
    }
}

/// What became of a load.
#[derive(Debug)]
pub enum Answer {
    /// The other side has it, but for those it will never take, with why.
    Taken(Vec<(usize, String)>),
    /// It has the first so many, but for those it will never take. It may take the rest later, not before the pause.
    Later {
        /// How many are done with.
        done: usize,
        /// Those among them that it will never take, with why.
        refused: Vec<(usize, String)>,
        /// Why not the rest.
        why: String,
        /// How long it wants to be left alone.
        pause: Option<StdDuration>,
    },
    /// It will never take it as it is; it might take parts of it.
    Refused {
        /// Why.
        why: String,
        /// Whether it might take parts.
        parts: bool,
    },
}

impl Answer {
    /// It may take all of it later.
    #[must_use]
    pub fn later(why: String, pause: Option<StdDuration>) -> Answer {
        Answer::Later { done: 0, refused: Vec::new(), why, pause }
    }
}

/// A sink that sends to a receiver.
pub struct Outbound<R> {
    receiver: R,
    form: Form,
    batch: BatchSpec,
    /// Items of batches that were taken.
    held: Held,
    /// How much of a batch went out before the rest failed: it comes again.
    begun: Option<Begun>,
    refused: Vec<Refused>,
    /// The receiver asked for a pause until then.
    pause: Option<Instant>,
    pub(crate) stream: Option<Uuid>,
}

/// A batch of which the first items are done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    end: u64,
    len: usize,
    done: usize,
}

impl<R: Receiver> Outbound<R> {
    /// # Errors
    /// The body cannot be made.
    pub fn new(
        receiver: R,
        body: &Body,
        batch: BatchSpec,
        context: &Context,
    ) -> Result<Outbound<R>, Problem> {
        Ok(Outbound {
            receiver,
            form: Form::new(context.host.clone(), body.clone())?,
            batch,
            held: Held::new(),
            begun: None,
            refused: Vec::new(),
            pause: None,
            stream: None,
        })
    }

    /// Whether what waits goes out now.
    fn is_due(&self) -> bool {
        !self.held.is_empty() && (self.batch.wait.is_zero() || self.first().1)
    }

    fn first(&self) -> (usize, bool) {
        let bytes = usize::try_from(self.batch.bytes.0).unwrap_or(usize::MAX);
        self.held.first(self.batch.items, bytes)
    }

    /// Sends what goes out first. What was sent or refused is no longer held, whatever comes back.
    async fn send_first(&mut self) -> Result<(), NodeError> {
        if let Some(pause) = self.pause
            && let Some(rest) = pause.checked_duration_since(Instant::now())
        {
            let why =
                format!("{} asked for a pause, {}s more", self.receiver.name(), rest.as_secs() + 1);
            return Err(NodeError::Retry(why));
        }
        self.pause = None;
        let (whole, _) = self.first();
        let mut ranges: Vec<Range<usize>> = std::iter::once(0..whole).collect();
        let mut refusals = 0;
        while let Some(range) = ranges.pop() {
            match self.send(&range).await {
                Answer::Taken(refused) => {
                    refusals = 0;
                    self.refuse(range.start, refused);
                }
                Answer::Refused { why, parts } => {
                    refusals += 1;
                    let all_wrong = refusals > REFUSALS_MAX;
                    if parts && range.len() > 1 && !all_wrong {
                        let middle = range.start + range.len() / 2;
                        ranges.extend([middle..range.end, range.start..middle]);
                        continue;
                    }
                    let wrong = if all_wrong { range.start..whole } else { range };
                    if all_wrong {
                        ranges.clear();
                    }
                    self.refused.push(Refused { items: self.held.items(wrong), reason: why });
                }
                Answer::Later { done, refused, why, pause } => {
                    self.refuse(range.start, refused);
                    self.held.drop_first(range.start + done);
                    self.pause = pause.map(|pause| Instant::now() + pause);
                    return Err(NodeError::Retry(why));
                }
            }
        }
        self.held.drop_first(whole);
        Ok(())
    }

    async fn send(&mut self, range: &Range<usize>) -> Answer {
        let (first, last) = self.held.numbers(range);
        let key = self.stream.filter(|_| last > 0);
        let key = key.map(|stream| format!("{}-{first}-{last}", stream.simple()));
        let (texts, ends) = (self.held.texts(range), self.held.ends(range));
        self.receiver.send(Load { form: &self.form, texts, ends, key }).await
    }

    /// Items behind the first so many will never be taken.
    fn refuse(&mut self, before: usize, refused: Vec<(usize, String)>) {
        for (index, reason) in refused {
            let items = self.held.items(before + index..before + index + 1);
            self.refused.push(Refused { items, reason });
        }
    }

    async fn send_all(&mut self) -> Result<(), NodeError> {
        while !self.held.is_empty() {
            self.send_first().await?;
        }
        Ok(())
    }
}

#[async_trait]
impl<R: Receiver> Sink for Outbound<R> {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        let (end, len) = (batch.end, batch.items.len());
        let begun = self.begun.take().filter(|begun| (begun.end, begun.len) == (end, len));
        let done = begun.map_or(0, |begun| begun.done);
        if !self.held.takes(batch.items.kind())
            && let Err(error) = self.send_all().await
        {
            self.begun = Some(Begun { end, len, done });
            return Err(error);
        }
        let (mut own, mut wrong) = (Vec::new(), Vec::new());
        let mut failed = None;
        for index in done..len {
            let number = (end + 1 + index as u64).saturating_sub(len as u64);
            match self.held.push(&batch.items, index, number, &mut self.form) {
                Ok(()) => own.push(index),
                Err(why) => wrong.push((index, why)),
            }
        }
        while failed.is_none() && self.is_due() {
            failed = self.send_first().await.err();
        }
        if failed.is_some() {
            // Nothing of this batch stays that did not go out: it comes again, here or to a successor.
            let rest = own.len().min(self.held.len());
            self.held.keep_first(self.held.len() - rest);
            let done = own.get(own.len() - rest).copied().unwrap_or(len);
            wrong.retain(|(index, _)| *index < done);
            self.begun = Some(Begun { end, len, done });
        }
        let wrong = wrong.into_iter().map(|(index, reason)| {
            let items = batch.items.slice(index..index + 1);
            Refused { items, reason }
        });
        self.refused.extend(wrong);
        failed.map_or(Ok(()), Err)
    }

    async fn flush(&mut self, _: Timestamp) -> Result<(), NodeError> {
        self.send_all().await?;
        self.receiver.tend().await;
        Ok(())
    }

    async fn close(&mut self, _: Timestamp) -> Result<(), NodeError> {
        self.send_all().await?;
        self.receiver.close().await;
        Ok(())
    }

    fn trouble(&self) -> Option<Trouble> {
        self.receiver.trouble()
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    /// The receiver keeps no position; but this tells which stream it is.
    fn position(&mut self, stream: Uuid, _: ItemKind) -> Option<u64> {
        self.stream = Some(stream);
        None
    }

    fn linger(&self) -> Duration {
        if self.batch.wait.is_zero() { Duration::from_millis(100) } else { self.batch.wait }
    }
}
