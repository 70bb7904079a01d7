//! `rate_limit`: no more than so many items in so long.

mod bucket;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::context::{Context, Host};
use smollama_engine::duration::Duration;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, State, StateError, Transform};
use smollama_engine::registry::{
    Carries, InputPort, NodeConfig, OutputPort, Problem, Profile, Section,
};
use smollama_engine::series::{SeriesId, SeriesMap};
use smollama_engine::time::Timestamp;

use self::bucket::{Bucket, Rate};
use crate::fnv::{fnv1a, fnv1a_more};

/// Passes no more than so many items in so long, and sends the rest to port `dropped`.
///
/// It works as a bucket of tokens: an item that passes takes one, and they come back evenly, `limit` of them `per` so long, up to `burst`. So after a calm
/// time `burst` items pass at once, and in the long run `limit` of them `per` so long. In a span as long as `per` never more than `limit` and
/// `burst` together pass.
///
/// It takes readings, windows and observations. With `each: source` each has a bucket of its own: a reading by its series, a window by the sources in it
/// together, an observation by the sources it is about together. Time is the host's clock, or an item's own time where that is ahead. Unlike
/// with `dedup` and `sample`, what passes does not stand for what was refused.
///
/// **When its settings change** while it runs, each bucket keeps what was taken from it, as far as the new one holds so much.
///
/// Ports: `main` what passes; `dropped` what is refused, both the kind that comes in.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimitConfig {
    /// How many items pass in the long run.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub limit: u32,
    /// In so long: `1m`.
    pub per: Duration,
    /// How many pass at once after a calm time. Default: as many as `limit` says.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    /// What has a bucket. `source`: each source. `all`: all together have one. Default: `source`.
    #[serde(default)]
    pub each: Each,
}

/// What has a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    /// Each source.
    #[default]
    Source,
    /// All together.
    All,
}

const DROPPED: usize = 1;
const STATE_VERSION: u32 = 1;
const MANY_MAX: u32 = 1_000_000;
/// From so many buckets on, those that are full are thrown away: a new one is full too.
const GROUPS_MIN: usize = 1024;

impl NodeConfig for RateLimitConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "rate_limit";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile {
            inputs: vec![InputPort::main(&ItemKind::ALL)],
            outputs: vec![OutputPort { name: "main".into(), carries: Carries::AsInput }],
            ..Profile::stateful()
        }
        .output("dropped", Carries::AsInput)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, many) in [("limit", Some(self.limit)), ("burst", self.burst)] {
            if many.is_some_and(|many| !(1..=MANY_MAX).contains(&many)) {
                let message = format!("it must be from 1 to {MANY_MAX}");
                problems
                    .push(Problem::at(name, message).help("for nothing at all leave the node out"));
            }
        }
        if self.per.is_zero() {
            let problem = Problem::at("per", "it is longer than nothing");
            problems.push(problem.help("write it like `1m`"));
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(RateLimit {
            rate: Rate::new(self.limit, self.per, self.burst.unwrap_or(self.limit)),
            each: self.each,
            series: SeriesMap::new(),
            groups: BTreeMap::new(),
            all: Bucket::default(),
            purge_at: GROUPS_MIN,
            context: context.clone(),
        })))
    }
}

struct RateLimit {
    rate: Rate,
    each: Each,
    /// The buckets of readings.
    series: SeriesMap<Bucket>,
    /// Those of windows and observations, by a hash of the sources that they are about.
    groups: BTreeMap<u64, Bucket>,
    all: Bucket,
    /// At how many groups the full ones are looked for.
    purge_at: usize,
    context: Context,
}

/// The state that belongs to no series.
#[derive(Debug, Serialize, Deserialize)]
struct Rest {
    groups: BTreeMap<u64, Bucket>,
    all: Bucket,
}

/// A hash of what an item that is no reading is about, whatever the order.
fn group(items: &Items, index: usize, host: &Host) -> u64 {
    let one = |name: &str| fnv1a_more(fnv1a(name.as_bytes()), &[0]);
    match items {
        Items::Readings(_) => 0,
        Items::Windows(windows) => {
            let series = windows.get(index).into_iter().flat_map(|window| &window.summaries);
            let names = series.map(|summary| one(host.series.get(summary.series).source.name()));
            names.fold(0, u64::wrapping_add)
        }
        Items::Observations(observations) => {
            let sources = observations.get(index).into_iter().flat_map(|one| &one.sources);
            sources.map(|source| one(source)).fold(0, u64::wrapping_add)
        }
    }
}

impl RateLimit {
    /// The bucket of an item.
    #[inline]
    fn passes(&mut self, items: &Items, index: usize, clock: Timestamp) -> bool {
        let RateLimit { rate, each, series, groups, all, .. } = self;
        let bucket = match (*each, items) {
            (Each::All, _) => all,
            (Each::Source, Items::Readings(readings)) => {
                let Some(reading) = readings.get(index) else { return false };
                series.get_or_insert_with(reading.series, Bucket::default)
            }
            (Each::Source, _) => groups.entry(group(items, index, &self.context.host)).or_default(),
        };
        rate.takes(bucket, clock)
    }

    /// Throws full buckets away, which changes nothing.
    fn purge(&mut self, clock: Timestamp) {
        if self.groups.len() >= self.purge_at {
            self.groups.retain(|_, bucket| !bucket.is_full(clock));
            self.purge_at = (2 * self.groups.len()).max(GROUPS_MIN);
        }
    }
}

impl Transform for RateLimit {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        let mut clock = now;
        for index in 0..batch.items.len() {
            clock = batch.items.time(index).map_or(clock, |time| time.max(clock));
            let port = if self.passes(&batch.items, index, clock) { MAIN } else { DROPPED };
            out.copy(port, &batch.items, index);
        }
        self.purge(clock);
        Ok(())
    }

    fn prime(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        // It is none of those that are counted.
        out.copy_all(MAIN, &batch.items);
        Ok(())
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        for id in silent {
            self.series.remove(*id);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<State, StateError> {
        let rest = Rest { groups: self.groups.clone(), all: self.all };
        State::of_series(STATE_VERSION, &self.series, &rest)
    }

    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (series, Rest { groups, all }) = state.read_series::<Bucket, Rest>(STATE_VERSION)?;
        (self.series, self.groups, self.all) = (series, groups, all);
        Ok(())
    }
}
