//! Nodes for a host under test: sources and sinks that speak to the test's world, and transforms that break when the test says so.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::world::World;
use crate::batch::{Batch, ItemKind, Items};
use crate::clock::Clock;
use crate::config::Section;
use crate::context::Context;
use crate::duration::Duration;
use crate::node::{
    Node, NodeError, Outputs, Read, Receipt, Sink, Source, SourceBatch, State, StateError,
    Transform,
};
use crate::plan::{Graph, PlannedNode};
use crate::registry::{Delivery, Pace, Problem, Profile, Settings};
use crate::time::Timestamp;

/// Puts stand-ins in the place of the nodes of a graph. `end`: when the input ends.
pub(super) fn put_in(graph: &mut Graph, world: &Arc<World>, end: Duration) {
    for index in graph.order.clone() {
        let real = graph.dag[index].clone();
        let node = Arc::make_mut(&mut graph.dag[index]);
        let settings = real.settings.clone();
        let stand_in = StandIn { node: real, world: world.clone(), end, real: settings };
        match node.section {
            Section::Sources => {
                node.profile.promises = is_sent_again(&node.profile);
                node.profile.pace = Some(Pace::Live);
                node.profile.ends = false;
                node.every = None;
                node.settings = Arc::new(stand_in);
            }
            Section::Transforms if world.is_made_to_break(&node.address) => {
                node.settings = Arc::new(stand_in);
            }
            Section::Sinks => node.settings = Arc::new(stand_in),
            Section::Transforms | Section::Agents => {}
        }
    }
}

/// Whether what the host did not keep comes again: its sender was promised something, or it is read again of a recording or a file that grows.
fn is_sent_again(profile: &Profile) -> bool {
    let grows = profile.waits && !profile.reads.is_empty();
    profile.promises || grows || profile.pace == Some(Pace::Recorded)
}

/// The settings of a stand-in.
#[derive(Clone)]
struct StandIn {
    node: Arc<PlannedNode>,
    world: Arc<World>,
    end: Duration,
    real: Arc<dyn Settings>,
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StandIn for {}", self.node.address)
    }
}

impl Settings for StandIn {
    fn profile(&self) -> Profile {
        self.node.profile.clone()
    }
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let (address, world) = (self.node.address.clone(), self.world.clone());
        let pace = self.node.profile.pace;
        Ok(match self.node.section {
            Section::Sources => {
                let promises = is_sent_again(&self.node.profile);
                let polled = matches!(pace, Some(Pace::Polled(_) | Pace::Simulated(_)));
                let next = world.begin_at(&address, promises);
                let end = self.end;
                Node::Source(Box::new(Given { address, world, next, promises, polled, end }))
            }
            Section::Sinks => {
                let delivery = self.node.profile.delivery;
                let positioned = self.node.profile.keeps_position;
                let (stream, buffer) = (None, Vec::new());
                Node::Sink(Box::new(Store { address, world, delivery, positioned, stream, buffer }))
            }
            Section::Transforms | Section::Agents => match self.real.build(context)? {
                Node::Transform(inner) => {
                    Node::Transform(Box::new(Breaking { address, world, inner }))
                }
                other => other,
            },
        })
    }
    fn equals(&self, _: &dyn Settings) -> bool {
        false
    }
}

/// Says what the test gives, when it gives it.
struct Given {
    address: Arc<str>,
    world: Arc<World>,
    next: usize,
    promises: bool,
    /// It dates its readings by the host's clock.
    polled: bool,
    end: Duration,
}

#[async_trait]
impl Source for Given {
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        let clock = self.world.clock.clone();
        let Some(due) = self.world.due(&self.address, self.next) else {
            clock.sleep_until(self.end).await;
            return Ok(Read::Finished);
        };
        clock.sleep_until(due).await;
        self.world.call(&self.address, clock.now())?;
        let (mut readings, upto) = self.world.told(&self.address, self.next);
        if self.polled {
            readings.iter_mut().for_each(|reading| reading.time = clock.date(due));
        }
        self.next = upto;
        let mut batch = SourceBatch::readings(readings);
        let (world, address) = (self.world.clone(), self.address.clone());
        batch.receipt = self.promises.then(|| Receipt::new(move || world.kept(&address, upto)));
        Ok(Read::Batch(batch))
    }
}

/// Takes what the host sends, unless the test says that it cannot.
struct Store {
    address: Arc<str>,
    world: Arc<World>,
    delivery: Delivery,
    /// It keeps its position with what it keeps, and puts both there at a checkpoint.
    positioned: bool,
    stream: Option<Uuid>,
    buffer: Vec<(Option<Uuid>, u64, Items)>,
}

impl Store {
    /// Whether what is gathered can go out. Nothing always can.
    fn can_put(&self) -> Result<(), NodeError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.world.takes(&self.address, self.delivery)
    }

    fn put(&mut self, lasts: bool) {
        let lasts = lasts || self.delivery != Delivery::Kept;
        self.world.put(&self.address, std::mem::take(&mut self.buffer), lasts);
    }
}

#[async_trait]
impl Sink for Store {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        self.world.takes(&self.address, self.delivery)?;
        self.world.call(&self.address, self.world.clock.now())?;
        let before = batch.end.saturating_sub(batch.items.len() as u64);
        self.buffer.extend((0..batch.items.len()).map(|index| {
            (self.stream, before + 1 + index as u64, batch.items.slice(index..index + 1))
        }));
        if self.delivery == Delivery::Shown {
            self.put(true);
        }
        Ok(())
    }
    async fn flush(&mut self, _: Timestamp) -> Result<(), NodeError> {
        self.can_put()?;
        if !self.positioned {
            self.put(false);
        }
        Ok(())
    }
    async fn checkpoint(&mut self, _: Timestamp) -> Result<(), NodeError> {
        self.can_put()?;
        self.put(true);
        Ok(())
    }
    async fn close(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.checkpoint(now).await
    }
    fn position(&mut self, stream: Uuid, kind: ItemKind) -> Option<u64> {
        self.stream = Some(stream);
        self.positioned.then(|| self.world.position(&self.address, stream, kind))
    }
    fn keeps_position(&self) -> bool {
        self.positioned
    }
    /// Else the clock of a test would have to stop at every fifth second of it.
    fn tends(&self) -> bool {
        false
    }
}

/// The real transform, which breaks when the test says so.
struct Breaking {
    address: Arc<str>,
    world: Arc<World>,
    inner: Box<dyn Transform>,
}

impl Transform for Breaking {
    fn apply(
        &mut self,
        now: Timestamp,
        port: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.world.call(&self.address, now)?;
        self.inner.apply(now, port, batch, out)
    }
    fn next_tick(&self) -> Option<Timestamp> {
        self.inner.next_tick()
    }
    fn tick_lead(&self) -> Option<Duration> {
        self.inner.tick_lead()
    }
    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.inner.tick(now, out)
    }
    fn finish(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.inner.finish(now, out)
    }
    fn snapshot(&self) -> Result<State, StateError> {
        self.inner.snapshot()
    }
    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        self.inner.restore(state)
    }
}
