//! The world outside, which outlives the host: who sends to it and who is sent to, and the nodes that speak to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::clock::Clock;
use smollama_engine::context::{Context, Host};
use smollama_engine::disk::SimulatedDisk;
use smollama_engine::node::{
    Node, NodeError, Position, Read, Receipt, Reject, Sink, Source, SourceBatch,
};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{Delivery, NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::series::SeriesId;
use smollama_engine::time::Timestamp;
use tokio::sync::Notify;

use super::START;
use super::story::Version;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct World {
    inner: Mutex<Outside>,
    changed: Notify,
}

/// How nodes find the world: by a lease of their host.
#[derive(Debug)]
pub(super) struct Link(pub(super) Arc<World>);

#[derive(Debug, Default)]
pub(super) struct Outside {
    /// The disk of the process that lives now: once that has crashed, nobody hears of it any more.
    disk: Option<SimulatedDisk>,
    clock: Option<Arc<dyn Clock>>,
    pub(super) senders: BTreeMap<String, Sender>,
    pub(super) desks: BTreeMap<String, Desk>,
    /// What was refused is taken now.
    pub(super) takes_all: bool,
    /// How many processes there were.
    pub(super) lives: usize,
    /// The version of the pipelines that whoever applied was last told runs.
    pub(super) confirmed: Option<Version>,
    /// Messages that a power cut may have taken though they were acknowledged.
    pub(super) may_lose: BTreeSet<(String, u32)>,
}

/// Whoever sends to a `feed`: numbered messages, in order. What was not acknowledged it sends again to the next process.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// So many it may have sent by now.
    pub(super) limit: u32,
    next: u32,
    again: VecDeque<u32>,
    flying: BTreeSet<u32>,
    /// How often each was sent.
    pub(super) given: BTreeMap<u32, u32>,
    /// When each was acknowledged.
    pub(super) acked: BTreeMap<u32, Timestamp>,
}

/// What nobody at a desk takes: it goes to the dead letters, with what came in one piece with it.
const REFUSED: i64 = 16;

/// So many messages a sender has under way.
const FLYING_MAX: usize = 3;

/// What a message says: numbers that no other says, and maybe rubbish. Every fifth is only rubbish.
pub(super) fn numbers_of(message: u32) -> Vec<i64> {
    let first = 2 * i64::from(message);
    if message % 5 == 2 { Vec::new() } else { vec![first, first + 1] }
}

/// Whether it says something that nobody understands.
pub(super) fn is_rubbish(message: u32) -> bool {
    matches!(message % 5, 2 | 4)
}

/// The other side of a `sent`.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) away: bool,
    /// What arrived, by source, in order.
    pub(super) arrived: Vec<(String, i64)>,
    /// How much had arrived when it was made sure that all did.
    pub(super) flushed: Vec<(usize, Timestamp)>,
    /// What may come again after the crash that came last, by crash: how much was not known to have arrived.
    pub(super) doubtful: Vec<Vec<(String, i64)>>,
}

impl World {
    fn of(host: &Host) -> Arc<World> {
        let world = Arc::<World>::default();
        let link = host.leases.lease("world", || Ok::<_, ()>(Link(world.clone())));
        link.map_or(world, |link| link.0.clone())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Outside> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another process begins: what was not acknowledged is sent again, and what was not known to have arrived may be.
    pub(super) fn begins(&self, disk: &SimulatedDisk, clock: &Arc<dyn Clock>) {
        let mut outside = self.lock();
        outside.disk = Some(disk.clone());
        outside.clock = Some(clock.clone());
        outside.lives += 1;
        for sender in outside.senders.values_mut() {
            let mut again: BTreeSet<u32> = std::mem::take(&mut sender.flying);
            again.extend(sender.again.drain(..));
            sender.again = again.into_iter().collect();
        }
        for desk in outside.desks.values_mut() {
            // The note that it had arrived may not have been written when the crash came.
            desk.flushed.pop();
            let sure = desk.flushed.last().map_or(0, |(sure, _)| *sure);
            desk.doubtful.push(desk.arrived[sure..].to_vec());
        }
    }

    /// Lets all senders send so many messages more.
    pub(super) fn send(&self, messages: u32) {
        for name in ["a", "b", "tape"] {
            self.lock().senders.entry(name.into()).or_default().limit += messages;
        }
        self.changed.notify_waiters();
    }

    /// Lets the tape be read to its end.
    pub(super) fn play_on(&self) {
        self.lock().senders.entry("tape".into()).or_default().limit = ON_TAPE;
        self.changed.notify_waiters();
    }

    /// Whether everything that may have been sent was acknowledged.
    pub(super) fn all_acked(&self) -> bool {
        let outside = self.lock();
        let live = outside.senders.iter().filter(|(name, _)| **name != "tape");
        live.map(|(_, sender)| sender).all(|sender| sender.acked.len() == sender.limit as usize)
    }

    pub(super) fn set_away(&self, desk: &str, away: bool) {
        self.lock().desks.entry(desk.into()).or_default().away = away;
    }

    /// Waits for something in the world; for ever once the process has crashed.
    async fn until<T>(&self, mut find: impl FnMut(&mut Outside) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut outside = self.lock();
                let dead = outside.disk.as_ref().is_some_and(SimulatedDisk::has_crashed);
                if !dead && let Some(found) = find(&mut outside) {
                    return found;
                }
            }
            changed.await;
        }
    }
}

fn series(context: &Context) -> Result<SeriesId, Problem> {
    let series = context.source_series("n", |series| series);
    series.map_err(|error| Problem::at("", error.to_string()))
}

fn own_name(context: &Context) -> String {
    context.address.rsplit('/').next().unwrap_or_default().to_owned()
}

/// A live source that promises.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Feed {}

struct FeedSource {
    name: String,
    series: SeriesId,
    world: Arc<World>,
}

impl NodeConfig for Feed {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "feed";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::source(Pace::Live).promises()
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let (name, world) = (own_name(context), World::of(&context.host));
        let series = series(context)?;
        Ok(Node::Source(Box::new(FeedSource { name, series, world })))
    }
}

#[async_trait]
impl Source for FeedSource {
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        let found = self.world.until(|outside| {
            let sender = outside.senders.entry(self.name.clone()).or_default();
            if sender.flying.len() >= FLYING_MAX {
                return None;
            }
            let message = sender.again.pop_front().or_else(|| {
                let next = sender.next;
                sender.next += u32::from(next < sender.limit);
                (next < sender.limit).then_some(next)
            })?;
            sender.flying.insert(message);
            *sender.given.entry(message).or_default() += 1;
            Some(message)
        });
        let message = found.await;
        let reading = |number| Reading::new(now, self.series, number);
        let items = Items::Readings(numbers_of(message).into_iter().map(reading).collect());
        let origin = format!("{}/{message}", self.name);
        let reject = || Reject { reason: "rubbish".into(), origin, bytes: b"?".to_vec() };
        let rejects = is_rubbish(message).then(reject).into_iter().collect();
        let (world, name) = (self.world.clone(), self.name.clone());
        let receipt = Receipt::new(move || {
            let mut outside = world.lock();
            let now = outside.clock.as_ref().map_or(START, |clock| clock.now());
            let sender = outside.senders.entry(name).or_default();
            sender.flying.remove(&message);
            sender.acked.entry(message).or_insert(now);
            drop(outside);
            world.changed.notify_waiters();
        });
        Ok(Read::Batch(SourceBatch {
            items,
            rejects,
            position: None,
            receipt: Some(receipt),
            dropped: 0,
            retained: false,
        }))
    }
}

/// A recording of numbers, one a second, that can be read from a place.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tape {}

struct TapeSource {
    series: SeriesId,
    next: u32,
    world: Arc<World>,
}

/// So many numbers are on it, and beside one of them something that nobody understands: the last before the first life ends.
pub(super) const ON_TAPE: u32 = 14;
const TORN_AT: u32 = 11;

impl NodeConfig for Tape {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "tape";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::source(Pace::Recorded)
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let (series, world) = (series(context)?, World::of(&context.host));
        Ok(Node::Source(Box::new(TapeSource { series, next: 0, world })))
    }
}

#[async_trait]
impl Source for TapeSource {
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        if self.next >= ON_TAPE {
            return Ok(Read::Finished);
        }
        let next = self.next;
        // Only every other number lies at a place that can be found again.
        let limit = |outside: &mut Outside| outside.senders.entry("tape".into()).or_default().limit;
        self.world.until(|outside| (next < limit(outside)).then_some(())).await;
        self.next += 1;
        let time =
            START.saturating_add(smollama_engine::duration::Duration::from_secs(next.into()));
        let items = Items::Readings(vec![Reading::new(time, self.series, i64::from(next))]);
        let place = Position { part: "tape".into(), offset: self.next.into(), line: 0 };
        let position = self.next.is_multiple_of(2).then_some(place);
        let reject =
            Reject { reason: "rubbish".into(), origin: "tape".into(), bytes: b"?".to_vec() };
        let rejects = (next == TORN_AT).then_some(reject).into_iter().collect();
        Ok(Read::Batch(SourceBatch {
            items,
            rejects,
            position,
            receipt: None,
            dropped: 0,
            retained: false,
        }))
    }

    async fn resume(&mut self, position: &Position) -> Result<(), NodeError> {
        self.next = u32::try_from(position.offset).expect("a place on the tape");
        Ok(())
    }
}

/// A sink whose other side can be away.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sent {
    /// Changes nothing but the node.
    version: u32,
}

struct SentSink {
    name: String,
    host: Arc<Host>,
    world: Arc<World>,
}

impl NodeConfig for Sent {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "sent";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::sink(&[ItemKind::Readings]).delivery(Delivery::Sent)
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let (name, host) = (own_name(context), context.host.clone());
        let world = World::of(&host);
        Ok(Node::Sink(Box::new(SentSink { name, host, world })))
    }
}

#[async_trait]
impl Sink for SentSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        let Items::Readings(readings) = &batch.items else { return Ok(()) };
        self.world
            .until(|outside| {
                let takes_all = outside.takes_all;
                let desk = outside.desks.entry(self.name.clone()).or_default();
                if desk.away {
                    return Some(Err(NodeError::Retry("it is away".into())));
                }
                if !takes_all && readings.iter().any(|reading| reading.value == Value::Int(REFUSED))
                {
                    return Some(Err(NodeError::Reject("nobody wants it".into())));
                }
                for reading in readings {
                    let Value::Int(number) = reading.value else { panic!("whole numbers only") };
                    let source = self.host.series.get(reading.series).source.type_part().to_owned();
                    desk.arrived.push((source, number));
                }
                Some(Ok(()))
            })
            .await
    }

    async fn flush(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.world
            .until(|outside| {
                let desk = outside.desks.entry(self.name.clone()).or_default();
                let arrived = desk.arrived.len();
                if desk.flushed.last().is_none_or(|(flushed, _)| *flushed < arrived) {
                    desk.flushed.push((arrived, now));
                }
                Some(())
            })
            .await;
        Ok(())
    }
}
