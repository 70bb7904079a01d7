//! Small nodes of every kind. The source and the sink must never be made.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, ItemKind};
use crate::context::Context;
use crate::duration::Duration;
use crate::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use crate::observation::{Evidence, Observation, ObservationKind, Rung};
use crate::reading::{Reading, Value};
use crate::registry::{
    Carries, Delivery, InputPort, NodeConfig, OutputPort, Pace, Problem, Profile, Registry, Section,
};
use crate::series::{SeriesId, SeriesMap};
use crate::time::Timestamp;
use crate::window::{Accumulator, Cause, Window};

pub(super) fn registry() -> Registry {
    Registry::new().with::<Mouth>().with::<Steps>().with::<Gather>().with::<Tell>().with::<Ear>()
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mouth {
    /// It tells its sender what is kept.
    #[serde(default)]
    promises: bool,
}

impl NodeConfig for Mouth {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "mouth";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        let every = Pace::Polled(Duration::from_secs(1));
        let profile = Profile::source(if self.promises { Pace::Live } else { every });
        Profile { promises: self.promises, ..profile }
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        panic!("a test made a source")
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ear {
    #[serde(default)]
    delivery: Way,
    /// It keeps its position with what it keeps.
    #[serde(default)]
    positioned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Way {
    #[default]
    Shown,
    Kept,
    Sent,
}

impl NodeConfig for Ear {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "ear";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        let delivery = match self.delivery {
            Way::Shown => Delivery::Shown,
            Way::Kept => Delivery::Kept,
            Way::Sent => Delivery::Sent,
        };
        let keeps_position = self.positioned;
        Profile { delivery, keeps_position, ..Profile::sink(&ItemKind::ALL) }
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        panic!("a test made a sink")
    }
}

/// Passes a reading that is farther than `band` from the last one that passed, and says so when there was none for a while.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Steps {
    band: f64,
    silence: Duration,
    #[serde(default)]
    panic_at: Option<f64>,
    #[serde(default)]
    reject_at: Option<f64>,
    #[serde(default)]
    forgets: bool,
}

impl NodeConfig for Steps {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "steps";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::transform()
            .output("dropped", Carries::Kind(ItemKind::Readings))
            .output("silent", Carries::Kind(ItemKind::Readings))
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let silent = context.source_series("silent", |series| series);
        let silent = silent.map_err(|error| Problem::at("", error.to_string()))?;
        Ok(Node::Transform(Box::new(StepsNode {
            config: self.clone(),
            silent,
            last: SeriesMap::new(),
            due: None,
        })))
    }
}

struct StepsNode {
    config: Steps,
    silent: SeriesId,
    last: SeriesMap<(f64, u32)>,
    due: Option<Timestamp>,
}

impl Transform for StepsNode {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            let value = reading.value.as_f64().unwrap_or(0.0);
            assert!(self.config.panic_at != Some(value), "{value} is too much");
            if self.config.reject_at == Some(value) {
                return Err(NodeError::Reject(format!("{value} is not for me")));
            }
            let now = now.max(reading.time);
            let (last, held) =
                self.last.get_or_insert_with(reading.series, || (f64::NEG_INFINITY, 0));
            if (value - *last).abs() > self.config.band {
                let mut passed = reading.clone();
                (passed.count, passed.score) = (1 + *held, 0.25);
                (*last, *held) = (value, 0);
                self.due = Some(now + self.config.silence);
                out.reading(MAIN, passed);
            } else {
                *held += 1;
                out.reading(1, reading.clone());
            }
        }
        Ok(())
    }
    fn next_tick(&self) -> Option<Timestamp> {
        self.due
    }
    fn tick_lead(&self) -> Option<Duration> {
        Some(self.config.silence)
    }
    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.due = None;
        out.reading(2, Reading::new(now, self.silent, Value::Bool(true)));
        Ok(())
    }
    fn snapshot(&self) -> Result<State, StateError> {
        if self.config.forgets {
            return Ok(State::default());
        }
        State::of_series(1, &self.last, &self.due)
    }
    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        if self.config.forgets {
            return Ok(());
        }
        (self.last, self.due) = state.read_series(1)?;
        Ok(())
    }
}

/// Windows of a span of time.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Gather {
    every: Duration,
}

impl NodeConfig for Gather {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "gather";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile {
            inputs: vec![InputPort::main(&[ItemKind::Readings])],
            outputs: vec![OutputPort::main(ItemKind::Windows)],
            ..Profile::default()
        }
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        let every = self.every;
        Ok(Node::Transform(Box::new(GatherNode { every, open: SeriesMap::new(), end: None })))
    }
}

struct GatherNode {
    every: Duration,
    open: SeriesMap<Accumulator>,
    end: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Rest(Option<Timestamp>);

impl GatherNode {
    fn close(&mut self, end: Timestamp, cause: Cause, out: &mut Outputs) {
        let open = std::mem::take(&mut self.open);
        let summaries = open.iter().map(|(id, one)| one.summary(id)).collect();
        out.window(MAIN, Window { start: end - self.every, end, cause, summaries });
        self.end = None;
    }
}

impl Transform for GatherNode {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            let now = now.max(reading.time);
            self.end.get_or_insert(now.floor_to(self.every) + self.every);
            match self.open.get_mut(reading.series) {
                Some(open) => open.add(reading),
                None => drop(self.open.insert(reading.series, Accumulator::new(reading))),
            }
        }
        Ok(())
    }
    fn next_tick(&self) -> Option<Timestamp> {
        self.end
    }
    fn tick_lead(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.close(now, Cause::Time, out);
        Ok(())
    }
    fn finish(&mut self, _: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        if let Some(end) = self.end {
            self.close(end, Cause::End, out);
        }
        Ok(())
    }
    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(1, &self.open, &Rest(self.end))
    }
    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (open, Rest(end)) = state.read_series(1)?;
        (self.open, self.end) = (open, end);
        Ok(())
    }
}

/// Says something about each window.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tell {}

impl NodeConfig for Tell {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "tell";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile {
            inputs: vec![InputPort::main(&[ItemKind::Windows])],
            outputs: vec![OutputPort::main(ItemKind::Observations)],
            ..Profile::default()
        }
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(TellNode(context.clone()))))
    }
}

struct TellNode(Context);

impl Transform for TellNode {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for window in batch.windows() {
            let name = |id| Arc::from(self.0.series(id).source.name());
            let series = window.summaries.len();
            let observation = Observation {
                id: uuid::Uuid::nil(),
                time: window.end,
                author: self.0.address.clone(),
                kind: ObservationKind::Status,
                text: format!("{series} series moved").into(),
                confidence: 0.5,
                sources: window.summaries.iter().map(|one| name(one.series)).collect(),
                evidence: Evidence::default(),
                model: None,
                rung: Rung::Rule,
            };
            out.observation(MAIN, observation);
        }
        Ok(())
    }
}
