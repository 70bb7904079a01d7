//! Last values that are no readings: nodes that keep one take them, no sink gets any, and crashes change nothing of that.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::memory::Crash;
use super::model::values_in;
use super::nodes::value_of;
use super::site::{Site, graph};
use super::truth::Owes;
use super::world::{Mode, World};
use crate::batch::Batch;
use crate::context::Context;
use crate::node::{
    MAIN, Node, NodeError, Outputs, Read, Receipt, Source, SourceBatch, State, StateError,
    Transform,
};
use crate::reading::Reading;
use crate::registry::{NodeConfig, Pace, Problem, Profile, Section};
use crate::series::{SeriesId, SeriesMap};
use crate::time::Timestamp;

/// A number that is sent and is larger is a last value: how much larger is its value.
const RETAINED: i64 = 1_000_000;

/// A live source of readings and last values, which promises.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Board {}

struct BoardSource {
    from: String,
    series: SeriesId,
    world: Arc<World>,
}

impl NodeConfig for Board {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "board";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::source(Pace::Live).promises()
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let world = World::of(&context.host);
        let from = world.called("", context);
        {
            let mut outside = world.lock();
            let sender = outside.senders.entry(from.clone()).or_default();
            while let Some(batch) = sender.flying.pop_back() {
                sender.waiting.push_front(batch);
            }
        }
        let series = context.source_series("n", |series| series);
        let series = series.map_err(|error| Problem::at("", error.to_string()))?;
        Ok(Node::Source(Box::new(BoardSource { from, series, world })))
    }
}

#[async_trait]
impl Source for BoardSource {
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        let found = self.world.until(|outside| {
            let sender = outside.senders.entry(self.from.clone()).or_default();
            let batch = sender.waiting.pop_front();
            sender.flying.extend(batch.clone());
            batch
        });
        let values = found.await;
        let retained = values[0] >= RETAINED;
        let reading = |value: &i64| Reading::new(now, self.series, value % RETAINED);
        let readings = values.iter().map(reading).collect();
        let (world, from) = (self.world.clone(), self.from.clone());
        let receipt = Some(Receipt::new(move || {
            let mut outside = world.lock();
            let sender = outside.senders.entry(from).or_default();
            sender.flying.retain(|flying| *flying != values);
            sender.acked.extend(values);
        }));
        Ok(Read::Batch(SourceBatch { receipt, retained, ..SourceBatch::readings(readings) }))
    }
}

/// Passes what is another number than the one before it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Change {
    /// Takes no last values.
    deaf: bool,
    /// A last value of this is nothing for it.
    refuses: i64,
}

struct ChangeNode {
    config: Change,
    last: Option<i64>,
}

impl NodeConfig for Change {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "change";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::stateful()
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        let config = self.clone();
        Ok(Node::Transform(Box::new(ChangeNode { config, last: None })))
    }
}

impl Transform for ChangeNode {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            if self.last.replace(value_of(reading)) != Some(value_of(reading)) {
                out.reading(MAIN, reading.clone());
            }
        }
        Ok(())
    }
    fn prime(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings().iter().filter(|_| !self.config.deaf) {
            let value = value_of(reading);
            if value == self.config.refuses {
                return Err(NodeError::Reject("not this one".into()));
            }
            if self.last.is_none() {
                self.last = Some(value);
                out.reading(MAIN, reading.clone());
            }
        }
        Ok(())
    }
    fn snapshot(&self) -> Result<State, StateError> {
        State::of_series(1, &SeriesMap::<()>::new(), &self.last)
    }
    fn restore(&mut self, state: &State) -> Result<(), StateError> {
        let (_, last) = state.read_series::<(), Option<i64>>(1)?;
        self.last = last;
        Ok(())
    }
}

const GRAPH: &str = "
sources:
  board: { as: b, board: {} }
  other: { as: o, board: {} }
transforms:
  near: { as: near, inputs: [board, other], change: {} }
  far: { as: far, inputs: [near], change: {} }
  deaf: { as: deaf, inputs: [near], change: { deaf: true } }
  behind: { as: behind, inputs: [deaf], change: {} }
sinks:
  tray: { inputs: [board, far], stash: {} }
  vault: { inputs: [near, board], stash: { keeps_position: true } }
  post: { inputs: [behind], stash: { sent: true } }
";

#[test]
fn a_node_takes_a_last_value_for_the_one_before_the_first_reading_and_no_sink_gets_it() {
    let (site, graph) = (Site::new(), graph(GRAPH));
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("board", [RETAINED + 5]);
        life.rest().await;
        for store in ["tray", "vault", "post"] {
            assert_eq!(site.world.kept(store), [], "{store}");
        }
        assert_eq!(site.world.acked("board"), [RETAINED + 5]);
        let [board, near] = ["board", "near"].map(|name| life.stats(name));
        assert_eq!((board.emitted(0), near.received(), near.emitted(0)), (0, 0, 0));
        site.world.send("board", [5]);
        life.rest().await;
        assert_eq!(site.world.values("tray"), [5], "as it came, and not as a change");
        // What has a last value keeps it.
        site.world.send("board", [RETAINED + 6]);
        site.world.send("board", [5, 6]);
        life.rest().await;
        assert_eq!(site.world.values("vault"), [5, 5, 6, 6]);
        assert_eq!(site.world.values("post"), [6]);
        assert_eq!((board.emitted(0), near.received(), near.emitted(0)), (3, 3, 1));
    });
    assert_eq!(site.letters.all(), []);
}

#[test]
fn a_node_that_takes_no_last_values_keeps_them_from_those_behind_it() {
    let graph = graph(
        "
sources:
  board: { as: b, board: {} }
transforms:
  deaf: { as: deaf, inputs: [board], change: { deaf: true } }
  behind: { as: behind, inputs: [deaf], change: {} }
sinks:
  tray: { inputs: [behind], stash: {} }
",
    );
    let site = Site::new();
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("board", [RETAINED + 5]);
        site.world.send("board", [5]);
        life.rest().await;
        assert_eq!(site.world.values("tray"), [5]);
    });
}

#[test]
fn a_last_value_that_a_node_refuses_is_told_and_is_no_reading_in_the_dead_letters() {
    let graph = graph(&GRAPH.replace("[near], change: {}", "[near], change: { refuses: 7 }"));
    let site = Site::new();
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("board", [RETAINED + 7]);
        life.rest().await;
        let letters = site.letters.all();
        let [letter] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!((&*letter.address, &*letter.reason), ("p/far", "not this one"));
        assert!(values_in(letter).is_empty());
        site.world.send("board", [7]);
        life.rest().await;
        assert_eq!(site.world.values("tray"), [7], "near has it");
    });
}

#[test]
fn a_kill_after_any_event_changes_nothing_of_what_last_values_lead_to() {
    let graph = graph(GRAPH);
    let script: [(&str, &[i64]); 8] = [
        ("other", &[RETAINED + 1]),
        ("board", &[RETAINED + 2, RETAINED + 3]),
        ("board", &[2, 1]),
        ("other", &[1, 4]),
        ("board", &[RETAINED + 9]),
        ("board", &[4, 9]),
        ("other", &[RETAINED + 9]),
        ("other", &[9, 8]),
    ];
    let mut came = None;
    for (after, lazy, checkpoint) in (0..=script.len())
        .flat_map(|after| [(after, false), (after, true)])
        .flat_map(|(after, lazy)| [None, after.checked_sub(1)].map(|at| (after, lazy, at)))
    {
        let site = Site::new();
        site.memory.lock().lazy = lazy;
        site.begin(&graph);
        let mut steps = script.iter().enumerate();
        site.live(&graph, async |life| {
            life.topology.release();
            for (at, (sender, values)) in steps.by_ref().take(after) {
                site.world.send(sender, values.iter().copied());
                life.rest().await;
                if checkpoint == Some(at) {
                    life.topology.checkpoint().await.unwrap();
                }
            }
        });
        site.crash(Crash::Kill);
        site.live(&graph, async |life| {
            life.topology.release();
            for (_, (sender, values)) in steps {
                site.world.send(sender, values.iter().copied());
                life.rest().await;
            }
        });
        let states = site.finish(&graph);
        let (expected, expected_states) = site.reference(&graph);
        site.assert_owed("tray", Owes::AtLeastOnce, &expected["tray"]);
        site.assert_owed("vault", Owes::Once, &expected["vault"]);
        site.assert_owed("post", Owes::AtLeastOnce, &expected["post"]);
        assert_eq!(states, expected_states);
        let vault = site.world.values("vault");
        assert_eq!(vault, *came.get_or_insert(vault.clone()), "killed after {after}");
    }
    assert_eq!(came.unwrap(), [2, 2, 1, 1, 4, 4, 9, 9, 8], "no last value among them");
}

#[test]
fn last_values_that_wait_behind_a_source_that_is_removed_are_no_dead_letters() {
    let before = "
sources:
  board: { as: a, board: {} }
  b: { as: b, feed: {} }
sinks:
  it: { inputs: [board, b], queue: { size: 64KiB }, stash: {} }
";
    let after = before.replace("  board: { as: a, board: {} }\n", "");
    let after = after.replace("  it: { inputs: [board, b]", "  new: { inputs: [b]");
    let (before, after) = (graph(before), graph(&after));
    // What waits in memory, and what lies only in the journal.
    for batches in [6, 20] {
        let site = Site::new();
        site.begin(&before);
        site.world.set("it", Mode::Hangs);
        site.live(&before, async |life| {
            life.topology.release();
            for batch in 0..batches {
                site.world.send("board", batch * 900..(batch + 1) * 900);
                site.world.send("board", [RETAINED + 500_000 + batch]);
                life.pass(0.3).await;
            }
            assert_eq!(life.topology.gauges().iter().any(|one| one.is_lagging()), batches == 20);
            life.apply(&after).await.unwrap();
            life.end().await;
        });
        let letters = site.letters.all();
        let mut found = site.world.values("it");
        found.extend(letters.iter().flat_map(values_in));
        found.sort_unstable();
        assert!(found.iter().copied().eq(0..batches * 900), "{batches}: {}", found.len());
        let of_the_source = letters.iter().filter(|letter| *letter.address == *"p/board");
        assert!(of_the_source.count() > 0, "it had given what nobody took");
    }
}

#[test]
fn a_last_value_that_no_journal_could_hold_goes_nowhere_and_is_acknowledged() {
    let site = Site::new();
    let graph = graph(GRAPH);
    site.begin(&graph);
    site.memory.lock().cap = 32;
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("board", [RETAINED + 1]);
        life.pass(60.0).await;
        assert_eq!(site.world.acked("board"), [RETAINED + 1]);
        assert_eq!(life.stats("board").rejected(), 0);
        assert_eq!(site.letters.all(), []);
    });
}
