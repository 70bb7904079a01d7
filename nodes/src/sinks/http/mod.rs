//! Sends what comes to a web server.

mod config;
mod held;
mod receiver;
#[cfg(test)]
mod tests;

use std::ops::Range;

use async_trait::async_trait;
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, NodeError, Refused, Sink};
use smollama_engine::registry::{Delivery, NodeConfig, Problem, Profile, Section};
use smollama_engine::time::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::io::template::Template;
pub use config::{BatchSpec, Body, Compression, HttpConfig, Method};
use held::{Form, Held};
use receiver::{Answer, Receiver};

/// After so many refusals in a row it is not single items that are wrong.
const REFUSALS_MAX: usize = 16;

impl NodeConfig for HttpConfig {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "http";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::sink(&ItemKind::ALL).delivery(Delivery::Sent)
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Sink(Box::new(Http::new(self, context)?)))
    }
}

struct Http {
    receiver: Receiver,
    form: Form,
    batch: BatchSpec,
    /// Items of batches that were taken.
    held: Held,
    /// How much of a batch went out before the rest failed: it comes again.
    begun: Option<Begun>,
    refused: Vec<Refused>,
    /// The receiver asked for a pause until then.
    pause: Option<Instant>,
    stream: Option<Uuid>,
}

/// A batch of which the first items are done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    end: u64,
    len: usize,
    done: usize,
}

impl Http {
    fn new(config: &HttpConfig, context: &Context) -> Result<Http, Problem> {
        let template = match &config.body {
            Body::Template(text) => Some(Template::new("body.template", text)?),
            _ => None,
        };
        let form =
            Form::new(context.host.clone(), config.body.clone(), template, config.compression);
        Ok(Http {
            receiver: Receiver::new(config, form.content_type(), context)?,
            form,
            batch: config.batch,
            held: Held::new(),
            begun: None,
            refused: Vec::new(),
            pause: None,
            stream: None,
        })
    }

    /// Whether what waits makes a request now.
    fn is_due(&self) -> bool {
        !self.held.is_empty() && (self.batch.wait.is_zero() || self.first().1)
    }

    fn first(&self) -> (usize, bool) {
        let bytes = usize::try_from(self.batch.bytes.0).unwrap_or(usize::MAX);
        self.held.first(self.batch.items, bytes)
    }

    /// Sends what makes the first request. What was sent or refused is no longer held, whatever comes back.
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
                Answer::Taken => refusals = 0,
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
                Answer::Later(why, pause) => {
                    self.held.drop_first(range.start);
                    self.pause = pause.map(|pause| Instant::now() + pause);
                    return Err(NodeError::Retry(why));
                }
            }
        }
        self.held.drop_first(whole);
        Ok(())
    }

    async fn send(&self, range: &Range<usize>) -> Answer {
        let (first, last) = self.held.numbers(range);
        let key = self.stream.filter(|_| last > 0);
        let key = key.map(|stream| format!("{}-{first}-{last}", stream.simple()));
        self.receiver.send(self.form.body(self.held.texts(range)), key).await
    }

    async fn send_all(&mut self) -> Result<(), NodeError> {
        while !self.held.is_empty() {
            self.send_first().await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for Http {
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
        self.send_all().await
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
