//! What a user writes under `tests:`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::rig::START;
use super::wanted::Wanted;
use crate::condition::Literal;
use crate::config::Spanned;
use crate::config::host::Timezone;
use crate::duration::Duration;
use crate::glob::Glob;
use crate::observation::ObservationKind;
use crate::one_or_many::OneOrMany;
use crate::reading::Value;
use crate::time::Timestamp;
use crate::window::Cause;

/// A test of a pipeline: what its sources are to say, and what must come out of its nodes.
///
/// It runs in virtual time, in no time at all: no source is asked, no sink is written to, and every node begins anew. After the last
/// reading the input ends, so nodes that hold something let it go (windows of cause `end`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSpec {
    /// What it shows, in a few words: `a stuck vent is news`. No two tests of a pipeline have the same name.
    pub name: Spanned<String>,
    /// When it begins, as RFC 3339. Default: `2026-01-01T00:00:00Z`. All other times are spans since then: `3h21m`.
    #[serde(default = "default_start")]
    #[schemars(schema_with = "instant", extend("default" = "2026-01-01T00:00:00Z"))]
    pub start: Timestamp,
    /// The time zone for times of day and days of the week, as an IANA name. Default: `UTC`, whatever the host's is.
    #[serde(default)]
    pub timezone: Option<Timezone>,
    /// What the noise is made from: the same number gives the same noise. Default: 0.
    #[serde(default)]
    pub seed: u64,
    /// Until when time goes on at least. Default: the latest time at which something is given or expected.
    #[serde(default)]
    pub until: Option<Duration>,
    /// What the sources say. Sources that are not named say nothing.
    #[serde(default)]
    pub given: Vec<Spanned<GivenSpec>>,
    /// What goes wrong meanwhile. A test with faults runs on a whole host in virtual time: with journal, checkpoints, queues, spools and
    /// retries.
    #[serde(default)]
    pub faults: Vec<Spanned<FaultSpec>>,
    /// What must come out.
    pub expect: Vec<Spanned<ExpectSpec>>,
}

/// Something that goes wrong: the other side of a sink (`sink`), the disk (`disk`), the clock (`clock`), a node (`node`), or the host
/// (`restart`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// When, since the start of the test.
    pub at: Duration,
    /// A sink whose other side is away: what it is sent is refused, and tried again as `retry` says.
    #[serde(default)]
    pub sink: Option<Spanned<String>>,
    /// With `sink`: for how long.
    #[serde(default)]
    pub down: Option<Duration>,
    /// `full`: journal, spools, checkpoints and sinks that keep things on this host can write nothing more.
    #[serde(default)]
    pub disk: Option<DiskFault>,
    /// With `disk`: for how long.
    #[serde(default, rename = "for")]
    pub lasts: Option<Duration>,
    /// By how much the host's clock jumps: `+1h`, `-10m`.
    #[serde(default)]
    pub clock: Option<Jump>,
    /// A node that breaks when it is called next.
    #[serde(default)]
    pub node: Option<Spanned<String>>,
    /// With `node`: so many calls fail, and each time it is made anew.
    #[serde(default)]
    pub error: Option<u32>,
    /// With `node`: so many calls panic, and each time it is made anew.
    #[serde(default)]
    pub panic: Option<u32>,
    /// The host ends, and begins again at once: `stop` is a clean end, `kill` leaves what was written, `power_cut` only what was synced.
    #[serde(default)]
    pub restart: Option<Restart>,
}

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskFault {
    /// It has no space left.
    Full,
}

/// How a life of the host ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// It is stopped, with a checkpoint.
    Stop,
    /// `kill -9`: what was written is there.
    Kill,
    /// Only what was synced is there.
    PowerCut,
}

/// By how much a clock jumps: a span with its sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Jump {
    /// Microseconds, below 0 for back.
    #[schemars(skip)]
    pub(super) micros: i64,
}

impl TryFrom<String> for Jump {
    type Error = String;

    fn try_from(text: String) -> Result<Jump, String> {
        let (sign, span) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(span), _) => (1, span),
            (_, Some(span)) => (-1, span),
            _ => return Err(format!("`{text}` has no sign; write `+1h` or `-10m`")),
        };
        let span: Duration = span.trim().parse().map_err(|error| format!("{error}"))?;
        Ok(Jump { micros: sign * span.as_micros() })
    }
}

/// Readings of one source: one (`at`), a run of them (`from`, `every` and `count`, or `values`), or a recording (`file`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenSpec {
    /// The source node that says it: `air`, or `weather/outdoor` in another pipeline.
    pub node: Spanned<String>,
    /// What is measured: `type:id`. The type is the node's `as`, or its type. Default: `value` as id, or the only id the node has.
    #[serde(default)]
    pub source: Option<Spanned<String>>,
    /// When the one reading is measured.
    #[serde(default)]
    pub at: Option<Duration>,
    /// With `at`: when the reading arrives, if that is later.
    #[serde(default)]
    pub arrives: Option<Duration>,
    /// When the first reading of a run is measured. Default: `0s`. With `file`: moves the recording so that it begins then.
    #[serde(default)]
    pub from: Option<Duration>,
    /// How much later each further reading of a run is.
    #[serde(default)]
    pub every: Option<Duration>,
    /// How many readings a run has.
    #[serde(default)]
    pub count: Option<u64>,
    /// What all of them say.
    #[serde(default)]
    #[schemars(schema_with = "any_value")]
    pub value: Option<Value>,
    /// What they say one after the other; their number is how many there are.
    #[serde(default)]
    #[schemars(schema_with = "any_values")]
    pub values: Option<Vec<Value>>,
    /// Moves each value by up to this much, up or down, evenly. Default: 0.
    #[serde(default)]
    pub noise: Option<f64>,
    /// In what unit, if the node does not say it (`unit`).
    #[serde(default)]
    pub unit: Option<String>,
    /// More labels than the node's.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether the value only ever grows, but for restarts: a counter. Default: `false`.
    #[serde(default)]
    pub monotonic: bool,
    /// How newsworthy they are already. Default: nobody scored them.
    #[serde(default)]
    pub score: Option<f64>,
    /// A recording: a file of JSON lines as `tap`, dead letters and the file sink write them. Relative to the pipeline file. Times are
    /// as recorded, so `start` has to be before them, or `from` given.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

/// What must come out of a node, or arrive at a sink. Without `count` and `none`: at least one such item.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectSpec {
    /// Where: `node`, `node.port`, or `pipeline/node.port`.
    pub node: Spanned<String>,
    /// Exactly then. The time of a reading or an observation is its own, that of a window is its end.
    #[serde(default)]
    pub at: Option<Duration>,
    /// Then or before.
    #[serde(default)]
    pub by: Option<Duration>,
    /// From the first time to the second, both included.
    #[serde(default)]
    pub between: Option<[Duration; 2]>,
    /// A reading like this.
    #[serde(default)]
    pub reading: Option<ReadingSpec>,
    /// A window like this.
    #[serde(default)]
    pub window: Option<WindowSpec>,
    /// An observation like this.
    #[serde(default)]
    pub observation: Option<ObservationSpec>,
    /// How many of them there are: `3`, or `{ min: 1, max: 5 }`.
    #[serde(default)]
    pub count: Option<Wanted<f64>>,
    /// There is none: the same as `count: 0`. Default: `false`.
    #[serde(default)]
    pub none: bool,
    /// At a sink, in a test with faults: how many items do not lie on its other side that would without the faults.
    #[serde(default)]
    pub lost: Option<Wanted<f64>>,
    /// At a sink, in a test with faults: how many items lie there more often than they would without the faults.
    #[serde(default)]
    pub doubled: Option<Wanted<f64>>,
    /// In a test with faults: how many items of this node went to the dead letters.
    #[serde(default)]
    pub dead: Option<Wanted<f64>>,
}

/// What a reading must be like. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReadingSpec {
    /// Its source fits this pattern: `air:north/temperature`, `air:**`.
    pub source: Option<Glob>,
    /// Its value: `21.5`, `"on"`, `{ above: 20 }`, `{ near: 21.3, within: 0.01 }`.
    pub value: Option<Wanted<Literal>>,
    /// How newsworthy it is: `{ min: 1 }` is news.
    pub score: Option<Wanted<f64>>,
    /// Its unit.
    pub unit: Option<String>,
    /// Its series has these labels, with values that fit the patterns.
    pub labels: BTreeMap<String, Glob>,
    /// How many readings it stands for: 1 plus what was suppressed before it.
    pub count: Option<Wanted<f64>>,
}

/// What a window must be like. All that is given must hold; what is said of a series must hold for one of its series together.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WindowSpec {
    /// Why it closed.
    pub cause: OneOrMany<Cause>,
    /// When it begins.
    pub start: Option<Duration>,
    /// When it ends.
    pub end: Option<Duration>,
    /// How many series it has.
    pub series: Option<Wanted<f64>>,
    /// The source of a series fits this pattern.
    pub source: Option<Glob>,
    /// How many readings of the series are in it.
    pub count: Option<Wanted<f64>>,
    /// The least value of the series.
    pub min: Option<Wanted<f64>>,
    /// The greatest value of the series.
    pub max: Option<Wanted<f64>>,
    /// The mean of the series.
    pub mean: Option<Wanted<f64>>,
    /// The sample standard deviation of the series.
    pub stddev: Option<Wanted<f64>>,
    /// The earliest value of the series.
    pub first: Option<Wanted<Literal>>,
    /// The latest value of the series.
    pub last: Option<Wanted<Literal>>,
    /// The highest score of the series.
    pub score: Option<Wanted<f64>>,
}

/// What an observation must be like. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ObservationSpec {
    /// What sort of text it is.
    pub kind: OneOrMany<ObservationKind>,
    /// Its text contains this.
    pub text: Option<String>,
    /// One of the sources it is about fits this pattern.
    pub source: Option<Glob>,
    /// How sure its author is, from 0 to 1.
    pub confidence: Option<Wanted<f64>>,
}

fn default_start() -> Timestamp {
    START
}

fn instant(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "not": { "type": "null" } })
}

fn any_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "not": { "type": "null" } } })
}
