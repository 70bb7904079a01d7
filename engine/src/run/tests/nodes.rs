//! Small nodes. What they speak to is in [`super::world`].

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::crowd::{Crowd, Roll};
use super::retained::{Board, Change};
use super::world::{Item, Mode, Outside, World};
use crate::batch::{Batch, ItemKind, Items};
use crate::context::{Context, Host};
use crate::duration::Duration;
use crate::node::{
    MAIN, Node, NodeError, Outputs, Position, Read, Receipt, Sink, Source, SourceBatch, State,
    StateError, Transform,
};
use crate::reading::{Reading, Value};
use crate::registry::{Delivery, NodeConfig, Pace, Problem, Profile, Registry, Section};
use crate::series::{SeriesId, SeriesMap};
use crate::time::Timestamp;
use crate::trouble::Trouble;

pub(super) fn registry() -> Registry {
    Registry::new()
        .with::<Feed>()
        .with::<Tape>()
        .with::<Clockwork>()
        .with::<Tally>()
        .with::<Stash>()
        .with::<Crowd>()
        .with::<Roll>()
        .with::<Board>()
        .with::<Change>()
}

pub(super) fn value_of(reading: &Reading) -> i64 {
    match reading.value {
        Value::Int(value) => value,
        _ => panic!("only whole numbers here"),
    }
}

fn series(context: &Context) -> Result<SeriesId, Problem> {
    let series = context.source_series("n", |series| series);
    series.map_err(|error| Problem::at("", error.to_string()))
}

/// Where a node says this, if anything.
fn saying(what: &str) -> Trouble {
    let trouble = Trouble::default();
    trouble.set(Some(what.to_owned()).filter(|what| !what.is_empty()));
    trouble
}

fn claiming(profile: Profile, what: &str) -> Profile {
    if what.is_empty() { profile } else { profile.claim("the pin", what) }
}

/// A live source: what a test sends comes in.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Feed {
    /// Who sends.
    from: String,
    /// It promises nothing.
    careless: bool,
    /// What it reads waits outside.
    waits: bool,
    /// Changes nothing, but the node.
    version: u32,
    /// It cannot be made.
    broken: bool,
    /// What it alone may hold.
    claims: String,
    /// What keeps it from its work until something comes.
    says: String,
}

struct FeedSource {
    trouble: Trouble,
    from: String,
    series: SeriesId,
    careless: bool,
    world: Arc<World>,
    _alive: Arc<()>,
}

impl NodeConfig for Feed {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "feed";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        let profile = claiming(Profile::source(Pace::Live), &self.claims);
        let profile = if self.waits { profile.waits() } else { profile };
        if self.careless { profile } else { profile.promises() }
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        if self.broken {
            return Err(Problem::at("broken", "it is broken"));
        }
        let world = World::of(&context.host);
        let from = world.called(&self.from, context);
        {
            let mut outside = world.lock();
            let sender = outside.senders.entry(from.clone()).or_default();
            sender.made += 1;
            // What was not acknowledged is sent again.
            while let Some(batch) = sender.flying.pop_back() {
                sender.waiting.push_front(batch);
            }
        }
        let series = series(context)?;
        let (careless, alive) = (self.careless, world.alive());
        let trouble = saying(&self.says);
        Ok(Node::Source(Box::new(FeedSource {
            trouble,
            from,
            series,
            careless,
            world,
            _alive: alive,
        })))
    }
}

#[async_trait]
impl Source for FeedSource {
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        let found = self.world.until(|outside| {
            let sender = outside.senders.entry(self.from.clone()).or_default();
            let batch = sender.waiting.pop_front();
            if !self.careless {
                sender.flying.extend(batch.clone());
            }
            batch.map(Some).or(sender.ended.then_some(None))
        });
        let Some(values) = found.await else { return Ok(Read::Finished) };
        self.trouble.set(None);
        let reading = |value: &i64| Reading::new(now, self.series, *value);
        let items = Items::Readings(values.iter().map(reading).collect());
        let (world, from) = (self.world.clone(), self.from.clone());
        let receipt = Receipt::new(move || {
            let mut outside = world.lock();
            let sender = outside.senders.entry(from).or_default();
            sender.flying.retain(|flying| *flying != values);
            sender.acked.extend(values);
        });
        let receipt = Some(receipt).filter(|_| !self.careless);
        Ok(Read::Batch(SourceBatch {
            items,
            rejects: Vec::new(),
            position: None,
            receipt,
            dropped: 0,
            retained: false,
        }))
    }
    async fn close(&mut self) {
        self.world.lock().senders.entry(self.from.clone()).or_default().closed += 1;
    }
    fn trouble(&self) -> Option<Trouble> {
        Some(self.trouble.clone())
    }
}

/// A recording of whole numbers, one every so many seconds, which can be read from a place.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tape {
    count: i64,
    /// Seconds.
    step: i64,
    batch: i64,
    /// Says where it is after every so many batches; 0 for never.
    places: i64,
    /// The first number.
    first: i64,
    /// What it is called: a place on another one is not found.
    name: String,
}

impl Default for Tape {
    fn default() -> Self {
        Tape { count: 10, step: 1, batch: 1, places: 1, first: 0, name: "tape".into() }
    }
}

struct TapeSource {
    config: Tape,
    series: SeriesId,
    next: i64,
    batches: i64,
    _alive: Arc<()>,
}

impl NodeConfig for Tape {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "tape";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::source(Pace::Recorded)
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let (config, series) = (self.clone(), series(context)?);
        let alive = World::of(&context.host).alive();
        let node = TapeSource { config, series, next: 0, batches: 0, _alive: alive };
        Ok(Node::Source(Box::new(node)))
    }
}

#[async_trait]
impl Source for TapeSource {
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        let Tape { count, step, batch, places, first, .. } = self.config;
        let end = (self.next + batch).min(count);
        if self.next >= end {
            return Ok(Read::Finished);
        }
        let reading = |n| Reading::new(super::at(n * step), self.series, first + n);
        let items = Items::Readings((self.next..end).map(reading).collect());
        self.next = end;
        self.batches += 1;
        let position = (places > 0 && self.batches % places == 0).then(|| Position {
            part: self.config.name.clone(),
            offset: self.next.unsigned_abs(),
            line: 0,
        });
        Ok(Read::Batch(SourceBatch {
            items,
            rejects: Vec::new(),
            position,
            receipt: None,
            dropped: 0,
            retained: false,
        }))
    }
    async fn resume(&mut self, position: &Position) -> Result<(), NodeError> {
        if position.part != self.config.name {
            return Err(NodeError::Reject("that is another recording".into()));
        }
        self.next = i64::try_from(position.offset).expect("a small number");
        // Batches are counted as if they had been read.
        self.batches = (self.next + self.config.batch - 1) / self.config.batch;
        Ok(())
    }
}

/// A made-up source: its number is the time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Clockwork {}

struct ClockworkSource(SeriesId);

impl NodeConfig for Clockwork {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "clockwork";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::source(Pace::Simulated(Duration::from_secs(3)))
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Source(Box::new(ClockworkSource(series(context)?))))
    }
}

#[async_trait]
impl Source for ClockworkSource {
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        if now > super::at(100) {
            return Ok(Read::Finished);
        }
        let seconds = now.since(super::at(0)).as_micros() / 1_000_000;
        let reading = Reading::new(now, self.0, 1_000_000 + seconds);
        Ok(Read::Batch(SourceBatch::readings(vec![reading])))
    }
}

/// Says after every reading what it has seen so far, as a number that any other order or number of readings would have made another; and
/// once every window what came within it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tally {
    /// Seconds.
    window: i64,
    /// A reading of this is too much for it.
    panic_at: i64,
    reject_at: i64,
    /// Another kind of state.
    pub(super) version: u32,
    /// It passes readings on as they are, and says nothing itself.
    pub(super) through: bool,
    broken: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Tally { window: 10, panic_at: -1, reject_at: -1, version: 1, through: false, broken: false }
    }
}

struct TallyNode {
    config: Tally,
    series: SeriesId,
    hash: i64,
    sum: i64,
    due: Option<i64>,
    _alive: Arc<()>,
}

impl NodeConfig for Tally {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "tally";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::stateful()
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        if self.broken {
            return Err(Problem::at("broken", "it is broken"));
        }
        let (config, series) = (self.clone(), series(context)?);
        let alive = World::of(&context.host).alive();
        let node = TallyNode { config, series, hash: 0, sum: 0, due: None, _alive: alive };
        Ok(Node::Transform(Box::new(node)))
    }
}

impl Transform for TallyNode {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        if batch.readings().iter().any(|one| value_of(one) == self.config.reject_at) {
            return Err(NodeError::Reject("not this one".into()));
        }
        for reading in batch.readings() {
            let value = value_of(reading);
            assert!(value != self.config.panic_at, "this number is not for me");
            self.hash = (self.hash * 31 + value + 7) % 1_000_003;
            self.sum += value;
            let time = reading.time.max(now);
            let window = Duration::from_secs(self.config.window);
            self.due.get_or_insert((time.floor_to(window) + window).as_micros());
            if self.config.through {
                out.reading(MAIN, reading.clone());
            } else {
                out.reading(MAIN, Reading::new(time, self.series, self.hash));
            }
        }
        Ok(())
    }
    fn next_tick(&self) -> Option<Timestamp> {
        self.due.map(Timestamp::from_micros)
    }
    fn tick_lead(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.finish(now, out)
    }
    fn finish(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        if self.due.take().is_some() && !self.config.through {
            // Told from the others by its sign.
            out.reading(MAIN, Reading::new(now, self.series, -1 - self.sum));
        }
        self.sum = 0;
        Ok(())
    }
    fn snapshot(&self) -> Result<State, StateError> {
        let state = (self.hash, self.sum, self.due);
        State::of_series(self.config.version, &SeriesMap::<()>::new(), &state)
    }
    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        // Half of it is taken before it is refused, as may happen.
        self.hash = -1;
        let (_, (hash, sum, due)) =
            state.read_series::<(), (i64, i64, Option<i64>)>(self.config.version)?;
        (self.hash, self.sum, self.due) = (hash, sum, due);
        Ok(())
    }
}

/// What a tally keeps, as a checkpoint has it.
#[derive(Debug, Default)]
pub(super) struct TallyState {
    pub(super) hash: i64,
    pub(super) sum: i64,
}

impl TallyState {
    pub(super) fn of(state: &State) -> TallyState {
        let read = state.read_series::<(), (i64, i64, Option<i64>)>(state.version);
        let (_, (hash, sum, _)) = read.expect("the state of a tally");
        TallyState { hash, sum }
    }
}

/// A sink of any kind.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Stash {
    /// Where it puts things.
    pub(super) into: String,
    /// Another side has to take it.
    sent: bool,
    /// It is only shown.
    pub(super) shown: bool,
    /// It keeps its position with what it keeps.
    pub(super) keeps_position: bool,
    /// It has some of so many items behind its position.
    reaches: u64,
    /// It has a thread of its own.
    blocks: bool,
    /// It gathers for ten seconds before it is flushed.
    lingers: bool,
    /// It has nothing to tend.
    sleeps: bool,
    version: u32,
    broken: bool,
    /// What it alone may hold.
    claims: String,
    /// What keeps it from its work.
    says: String,
}

struct StashSink {
    config: Stash,
    into: String,
    by: u32,
    stream: Option<Uuid>,
    buffer: Vec<Item>,
    host: Arc<Host>,
    world: Arc<World>,
    _alive: Arc<()>,
}

impl NodeConfig for Stash {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "stash";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        let profile = claiming(Profile::sink(&[ItemKind::Readings]), &self.claims);
        profile.delivery(match (self.sent, self.shown) {
            (true, _) => Delivery::Sent,
            (_, true) => Delivery::Shown,
            _ => Delivery::Kept,
        })
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        if self.broken {
            return Err(Problem::at("broken", "it is broken"));
        }
        let world = World::of(&context.host);
        let into = world.called(&self.into, context);
        let by = world.with_store(&into, |store| {
            store.made += 1;
            store.made
        });
        Ok(Node::Sink(Box::new(StashSink {
            config: self.clone(),
            into,
            by,
            stream: None,
            buffer: Vec::new(),
            host: context.host.clone(),
            _alive: world.alive(),
            world,
        })))
    }
}

impl StashSink {
    fn mode(&self) -> Mode {
        self.world.with_store(&self.into, |store| {
            store.tries += 1;
            store.mode
        })
    }

    /// Behaves as the store does in every call.
    async fn behave(&self) -> Result<Mode, NodeError> {
        match self.mode() {
            Mode::Fails => return Err(NodeError::Retry("not now".into())),
            Mode::Hangs => {
                let hangs = |outside: &Outside| outside.stores[&self.into].mode == Mode::Hangs;
                self.world.until(|outside| (!hangs(outside)).then_some(())).await;
            }
            _ => {}
        }
        Ok(self.world.with_store(&self.into, |store| store.mode))
    }

    fn panic(&self, left: u32, again: fn(u32) -> Mode) -> ! {
        let mode = if left > 1 { again(left - 1) } else { Mode::Fine };
        self.world.with_store(&self.into, |store| store.mode = mode);
        panic!("{left} more times");
    }

    fn put(&mut self, lasts: bool) {
        let buffer = std::mem::take(&mut self.buffer);
        let lasts = lasts || self.config.sent || self.config.shown;
        self.world.with_store(&self.into, |store| {
            store.kept.extend(buffer);
            if lasts {
                store.synced = store.kept.len();
            }
        });
    }
}

#[async_trait]
impl Sink for StashSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        let mode = self.behave().await?;
        let count = batch.items.len() as u64;
        let items = batch.readings().iter().enumerate().map(|(index, reading)| Item {
            stream: self.stream,
            end: batch.end - count + 1 + index as u64,
            series: self.host.series.get(reading.series).source.name().to_owned(),
            value: value_of(reading),
            by: self.by,
        });
        let items: Vec<Item> = items.collect();
        match mode {
            Mode::Slow(millis) => {
                tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
            }
            Mode::PanicsAt(value) => {
                assert!(items.iter().all(|item| item.value != value), "not this one");
            }
            Mode::Panics(left) => self.panic(left, Mode::Panics),
            Mode::Rejects(value) if items.iter().any(|item| item.value == value) => {
                return Err(NodeError::Reject("never this one".into()));
            }
            _ => {}
        }
        self.buffer.extend(items);
        if self.config.shown {
            self.put(true);
        }
        Ok(())
    }
    async fn flush(&mut self, _: Timestamp) -> Result<(), NodeError> {
        match self.behave().await? {
            Mode::FlushFails => return Err(NodeError::Retry("no space left".into())),
            Mode::FlushPanics(left) => self.panic(left, Mode::FlushPanics),
            _ => {}
        }
        self.put(false);
        Ok(())
    }
    async fn checkpoint(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.flush(now).await?;
        self.put(true);
        Ok(())
    }
    async fn close(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.flush(now).await?;
        if self.mode() == Mode::CloseFails {
            return Err(NodeError::Retry("it does not close".into()));
        }
        self.world.with_store(&self.into, |store| store.closed += 1);
        self.put(true);
        Ok(())
    }
    fn position(&mut self, stream: Uuid, _: ItemKind) -> Option<u64> {
        self.stream = Some(stream);
        let kept = self.world.kept(&self.into);
        let mine = kept.iter().filter(|item| item.stream == Some(stream));
        mine.map(|item| item.end).max().filter(|_| self.config.keeps_position)
    }
    fn reach(&mut self) -> u64 {
        let kept = self.world.kept(&self.into);
        kept.iter().map(|item| item.end).max().unwrap_or(0) + self.config.reaches
    }
    fn keeps_position(&self) -> bool {
        self.config.keeps_position
    }
    fn linger(&self) -> Duration {
        if self.config.lingers { Duration::from_secs(10) } else { Duration::from_millis(100) }
    }
    fn tends(&self) -> bool {
        !self.config.sleeps
    }
    fn trouble(&self) -> Option<Trouble> {
        Some(saying(&self.config.says))
    }
    fn blocks(&self) -> bool {
        self.config.blocks
    }
}
