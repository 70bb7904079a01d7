//! Whole graphs of small nodes, run to the end.

mod applies;
mod applies_in_a_row;
mod at_rest;
mod barriers;
mod blueprint;
mod closing;
mod crashed_applies;
mod crowd;
mod equality;
mod failed_applies;
mod fan;
mod faults;
mod lag;
mod leaving_sinks;
mod model;
mod nodes;
mod recordings;
mod replay;
mod retained;
mod site;
mod slots;
mod spools;
mod troubles;
mod truth;
mod waiting;
mod world;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{KeptLetters, Options, Topology, memory};
use crate::batch::{Batch, ItemKind, Items};
use crate::clock::SystemClock;
use crate::config::Loader;
use crate::context::{Context, Host, Kept};
use crate::duration::Duration;
use crate::node::{
    MAIN, Node, NodeError, Outputs, Read, Refused, Sink, Source, SourceBatch, State, StateError,
    Transform,
};
use crate::plan::{Graph, plan_loaded};
use crate::reading::Reading;
use crate::registry::{NodeConfig, Pace, Problem, Profile, Registry, Section};
use crate::series::{SeriesId, SeriesMap};
use crate::time::Timestamp;

/// A recording of whole numbers, one every so many seconds.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Numbers {
    count: i64,
    #[serde(default = "one")]
    step: i64,
    #[serde(default = "one")]
    batch: i64,
    #[serde(default)]
    live: bool,
    #[serde(default)]
    fail_at: i64,
    /// Panics there, each time it is made.
    #[serde(default)]
    panic_at: i64,
    /// Made up, and never ends.
    #[serde(default)]
    simulated: bool,
}

fn one() -> i64 {
    1
}

struct NumbersSource {
    config: Numbers,
    series: SeriesId,
    next: i64,
    failed: bool,
}

impl NodeConfig for Numbers {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "numbers";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::source(match (self.live, self.simulated) {
            (true, _) => Pace::Live,
            (false, true) => Pace::Simulated(Duration::from_secs(1)),
            (false, false) => Pace::Recorded,
        })
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let series = context.source_series("n", |series| series);
        let series = series.map_err(|error| Problem::at("", error.to_string()))?;
        Ok(Node::Source(Box::new(NumbersSource {
            config: self.clone(),
            series,
            next: 0,
            failed: false,
        })))
    }
}

#[async_trait]
impl Source for NumbersSource {
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        if self.config.fail_at > 0 && self.next >= self.config.fail_at && !self.failed {
            self.failed = true;
            return Err(NodeError::Retry("not now".into()));
        }
        let broken = self.config.panic_at > 0 && self.next >= self.config.panic_at;
        assert!(!broken, "the source is broken");
        let end = (self.next + self.config.batch).min(self.config.count);
        if self.next == end {
            if self.config.live {
                std::future::pending::<()>().await;
            }
            return Ok(Read::Finished);
        }
        let time = |n: i64| if self.config.live { now } else { at(n * self.config.step) };
        let readings = (self.next..end).map(|n| Reading::new(time(n), self.series, n)).collect();
        self.next = end;
        Ok(Read::Batch(SourceBatch::readings(readings)))
    }
}

/// How many cases a property is tried with, unless `PROPTEST_CASES` asks for more.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

fn values_of(items: &Items) -> Vec<i64> {
    let Items::Readings(readings) = items else { panic!("only readings here") };
    readings.iter().map(|reading| reading.value.as_f64().unwrap_or(-1.0) as i64).collect()
}

fn at(seconds: i64) -> Timestamp {
    crate::testing::START + Duration::from_secs(seconds)
}

/// Passes readings on, and some time after the last one says how many there were.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Lull {
    after: Duration,
    panic_at: i64,
    reject_at: i64,
}

impl Default for Lull {
    fn default() -> Self {
        Lull { after: Duration::from_secs(1_000_000), panic_at: -1, reject_at: -1 }
    }
}

struct LullNode {
    config: Lull,
    series: SeriesId,
    due: Option<Timestamp>,
    count: i64,
}

impl NodeConfig for Lull {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "lull";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::transform()
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let series = context.source_series("lull", |series| series);
        let series = series.map_err(|error| Problem::at("", error.to_string()))?;
        Ok(Node::Transform(Box::new(LullNode {
            config: self.clone(),
            series,
            due: None,
            count: 0,
        })))
    }
}

impl Transform for LullNode {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            let value = reading.value.as_f64().unwrap_or(-1.0) as i64;
            assert!(value != self.config.panic_at, "this number is not for me");
            if value == self.config.reject_at {
                return Err(NodeError::Reject("not this one".into()));
            }
            self.count += 1;
            self.due = Some(reading.time.max(now) + self.config.after);
            out.reading(MAIN, reading.clone());
        }
        Ok(())
    }
    fn next_tick(&self) -> Option<Timestamp> {
        self.due
    }
    fn tick_lead(&self) -> Option<Duration> {
        Some(self.config.after)
    }
    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.due = None;
        out.reading(MAIN, Reading::new(now, self.series, self.count));
        Ok(())
    }
    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(1, &SeriesMap::<()>::new(), &self.count)
    }
    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        (_, self.count) = state.read_series::<(), i64>(1)?;
        Ok(())
    }
}

/// Writes a line per reading to the console.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Lines {
    fail: u32,
    fatal: u32,
    reject: bool,
    /// Refuses the readings with this value and takes those beside them.
    refuse: Option<i64>,
    blocks: bool,
    quiet: bool,
}

struct LinesSink {
    config: Lines,
    context: Context,
    refused: Vec<Refused>,
}

impl NodeConfig for Lines {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "lines";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::sink(&[ItemKind::Readings])
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Sink(Box::new(LinesSink {
            config: self.clone(),
            context: context.clone(),
            refused: Vec::new(),
        })))
    }
}

#[async_trait]
impl Sink for LinesSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        if self.config.reject {
            return Err(NodeError::Reject("never".into()));
        }
        if self.config.fail > 0 {
            self.config.fail -= 1;
            return Err(NodeError::Retry("not yet".into()));
        }
        assert!(self.config.fatal == 0, "the sink is broken");
        if self.config.quiet {
            return Ok(());
        }
        let mut text = String::new();
        for reading in batch.readings() {
            if self.config.refuse.is_some_and(|value| reading.value == value.into()) {
                let items = Items::Readings(vec![reading.clone()]);
                self.refused.push(Refused { items, reason: "not this one".into() });
                continue;
            }
            let second = reading.time.since(at(0)).as_micros() / 1_000_000;
            let series = self.context.series(reading.series);
            text += &format!("{second} {} {}\n", series.source, reading.value);
        }
        self.context
            .host
            .console
            .write(text.as_bytes())
            .map_err(|error| NodeError::Retry(error.to_string()))
    }
    fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }
    fn blocks(&self) -> bool {
        self.config.blocks
    }
}

fn graph(yaml: &str) -> Graph {
    let registry = Registry::new().with::<Numbers>().with::<Lull>().with::<Lines>();
    let nothing = |_: &str| None;
    let mut loader = Loader::new(&nothing);
    loader.text(Path::new("test.yaml"), yaml);
    let planned = plan_loaded(loader.finish(), &registry);
    let found = planned.diagnostics.render(&planned.files, false);
    planned.graph.unwrap_or_else(|| panic!("{found}"))
}

struct Ran {
    lines: String,
    letters: Arc<KeptLetters>,
    errors: Vec<String>,
    failed: Vec<String>,
}

fn run_with(yaml: &str, stop_when: Option<&str>) -> Ran {
    // Its clock runs on while nobody has anything to do, which is when threads of the sinks' own work.
    let paused = !yaml.contains("blocks: true");
    let graph = graph(yaml);
    let kept = Arc::new(Kept::default());
    let host = Host { console: kept.clone(), ..Host::for_tests(&std::env::temp_dir()) };
    let letters = Arc::new(KeptLetters::default());
    let options = Options {
        clock: Arc::new(SystemClock::default()),
        dead: letters.clone(),
        speed: None,
        once: stop_when.is_none(),
        watch: None,
        keep: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(paused)
        .build()
        .unwrap();
    let (errors, failed) = runtime.block_on(async {
        let mut topology = Topology::start(&graph, &Arc::new(host), options).unwrap();
        let errors = match stop_when {
            None => {
                topology.ended().await;
                topology.stop().await
            }
            Some(text) => {
                while !kept.text().contains(text) {
                    tokio::task::yield_now().await;
                }
                topology.stop().await
            }
        };
        let failed = topology.stats().into_iter().filter(|(_, stats)| stats.failed());
        (errors, failed.map(|(node, _)| node.name.to_string()).collect())
    });
    Ran { lines: kept.text(), letters, errors, failed }
}

fn run(yaml: &str) -> Ran {
    run_with(yaml, None)
}

#[test]
fn recordings_are_merged_by_time_and_then_by_their_order() {
    let ran = run("
pipeline: p
sources:
  a: { as: a, numbers: { count: 4, step: 2, batch: 3 } }
  b: { as: b, numbers: { count: 3, step: 3, batch: 2 } }
sinks:
  out: { inputs: [b, a], lines: {} }
");
    assert_eq!(ran.lines, "0 a:n 0\n0 b:n 0\n2 a:n 1\n3 b:n 1\n4 a:n 2\n6 a:n 3\n6 b:n 2\n");
    assert_eq!(ran.errors, Vec::<String>::new());
}

#[test]
fn ticks_fall_between_readings_where_they_are_due() {
    let ran = run("
pipeline: p
sources:
  a: { as: a, numbers: { count: 3, step: 10, batch: 3 } }
transforms:
  l: { as: l, inputs: [a], lull: { after: 4s } }
sinks:
  out: { inputs: [l], lines: {} }
");
    assert_eq!(ran.lines, "0 a:n 0\n4 l:lull 1\n10 a:n 1\n14 l:lull 2\n20 a:n 2\n");
}

#[test]
fn a_batch_that_breaks_a_node_twice_is_a_dead_letter_and_the_rest_goes_on() {
    let ran = run("
pipeline: p
sources:
  a: { numbers: { count: 5 } }
transforms:
  bad: { inputs: [a], lull: { panic_at: 2 } }
  good: { inputs: [a], lull: {} }
sinks:
  from_bad: { inputs: [bad], lines: {} }
");
    assert_eq!(ran.lines, "0 numbers:n 0\n1 numbers:n 1\n3 numbers:n 3\n4 numbers:n 4\n");
    let letters = ran.letters.all();
    assert_eq!(letters.len(), 1);
    assert_eq!(&*letters[0].address, "p/bad");
    assert_eq!(letters[0].reason, "it panicked: this number is not for me");
    assert_eq!(letters[0].content.len(), 1);
}

#[test]
fn a_node_that_keeps_breaking_is_given_up_and_its_siblings_go_on() {
    let yaml = |count: i64| {
        format!(
            "
pipeline: p
sources:
  a: {{ numbers: {{ count: {count} }} }}
transforms:
  good: {{ inputs: [a], lull: {{}} }}
sinks:
  broken: {{ inputs: [a], lines: {{ fatal: 1 }} }}
  out: {{ inputs: [good], lines: {{}} }}
"
        )
    };
    let ran = run(&yaml(20));
    assert_eq!(ran.lines.lines().count(), 20, "the other sink got everything");
    assert_eq!(ran.failed, ["broken"]);
    let items: usize = ran.letters.all().iter().map(|letter| letter.content.len()).sum();
    assert_eq!(items, 20, "what the broken sink did not write lies in the dead letters");
    assert_eq!(ran.errors.len(), 1);
}

#[test]
fn a_rejected_batch_is_a_dead_letter() {
    let ran = run("
pipeline: p
sources:
  a: { numbers: { count: 3 } }
transforms:
  l: { inputs: [a], lull: { reject_at: 1 } }
sinks:
  out: { inputs: [l], lines: {} }
  never: { inputs: [l], lines: { reject: true } }
");
    assert_eq!(ran.lines, "0 numbers:n 0\n2 numbers:n 2\n");
    let mut reasons: Vec<_> = ran.letters.all().into_iter().map(|letter| letter.reason).collect();
    reasons.sort();
    assert_eq!(reasons, ["never", "never", "not this one"]);
}

#[test]
fn what_a_sink_refuses_of_a_batch_is_a_dead_letter_and_the_rest_is_taken() {
    let ran = run("
pipeline: p
sources:
  a: { numbers: { count: 4, batch: 4 } }
sinks:
  out: { inputs: [a], lines: { refuse: 2 } }
");
    assert_eq!(ran.lines, "0 numbers:n 0\n1 numbers:n 1\n3 numbers:n 3\n");
    let letters = ran.letters.all();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((&*letter.address, &*letter.reason), ("p/out", "not this one"));
    assert_eq!(letter.content.len(), 1);
    assert_eq!(ran.errors, Vec::<String>::new());
}

#[test]
fn what_fails_for_a_while_is_tried_again_and_nothing_is_lost() {
    let ran = run("
pipeline: p
sources:
  a: { numbers: { count: 50, batch: 5, fail_at: 20 } }
sinks:
  out: { inputs: [a], lines: { fail: 7 } }
");
    let values: Vec<_> = ran.lines.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    let expected: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(values, expected);
    assert!(ran.letters.all().is_empty());
}

#[test]
fn a_stop_lets_what_was_read_go_through() {
    let yaml = "
pipeline: p
sources:
  a: { numbers: { count: 4, live: true, batch: 4 } }
transforms:
  l: { inputs: [a], lull: {} }
sinks:
  out: { inputs: [l], lines: {} }
";
    let ran = run_with(yaml, Some("n 3"));
    assert_eq!(ran.lines.lines().count(), 4);
    assert_eq!(ran.errors, Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// P6 for the runner: how a recording is cut into batches changes nothing, whatever ticks and however ways meet again.
    #[test]
    fn output_does_not_depend_on_batches(
        counts in (1i64..40, 1i64..40),
        steps in (1i64..9, 1i64..9),
        after in 1i64..20,
        batches in (1i64..50, 1i64..50),
    ) {
        let yaml = |first: i64, second: i64| format!("
pipeline: p
sources:
  a: {{ as: a, numbers: {{ count: {}, step: {}, batch: {first} }} }}
  b: {{ as: b, numbers: {{ count: {}, step: {}, batch: {second} }} }}
transforms:
  l: {{ as: l, inputs: [a, b], lull: {{ after: {after}s }} }}
  m: {{ as: m, inputs: [a], lull: {{ after: 3s }} }}
sinks:
  out: {{ inputs: [l, b, m], lines: {{}} }}
", counts.0, steps.0, counts.1, steps.1);
        let one_by_one = run(&yaml(1, 1)).lines;
        prop_assert_eq!(run(&yaml(batches.0, batches.1)).lines, one_by_one);
    }
}
