//! Real nodes, made so that everything happens on one thread and in one order.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::bytes::ByteSize;
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, NodeError, Refused, Sink};
use smollama_engine::registry::{NodeConfig, Problem, Profile, Section};
use smollama_engine::run::{Spool, Spools};
use smollama_engine::time::Timestamp;
use smollama_store::log::LogSpools;
use uuid::Uuid;

/// The settings of a sink that blocks, for one that does so on the thread of everybody.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Inline<C>(C);

impl<C: NodeConfig> NodeConfig for Inline<C> {
    const SECTION: Section = C::SECTION;
    const TYPE: &'static str = C::TYPE;
    const EXAMPLE: &'static str = C::EXAMPLE;
    fn profile(&self) -> Profile {
        self.0.profile()
    }
    fn problems(&self) -> Vec<Problem> {
        self.0.problems()
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(match self.0.build(context)? {
            Node::Sink(sink) => Node::Sink(Box::new(InlineSink(sink))),
            other => other,
        })
    }
}

struct InlineSink(Box<dyn Sink>);

#[async_trait]
impl Sink for InlineSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        self.0.write(batch).await
    }
    async fn flush(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.0.flush(now).await
    }
    fn take_refused(&mut self) -> Vec<Refused> {
        self.0.take_refused()
    }
    async fn checkpoint(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.0.checkpoint(now).await
    }
    fn position(&mut self, stream: Uuid, kind: ItemKind) -> Option<u64> {
        self.0.position(stream, kind)
    }
    fn keeps_position(&self) -> bool {
        self.0.keeps_position()
    }
    fn linger(&self) -> Duration {
        self.0.linger()
    }
    async fn close(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.0.close(now).await
    }
}

/// Spools whose sinks need no threads.
#[derive(Debug)]
struct InlineSpools(LogSpools);

impl Spools for InlineSpools {
    fn open(&self, name: &str, cap: ByteSize) -> std::io::Result<Box<dyn Spool>> {
        self.0.open(name, cap)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.0.remove(name)
    }
    fn blocks(&self) -> bool {
        false
    }
}

pub(super) fn spools(spools: LogSpools) -> Arc<dyn Spools> {
    Arc::new(InlineSpools(spools))
}
