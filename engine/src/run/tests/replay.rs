//! A crash at any moment, and what the next life makes of it.

use proptest::prelude::*;

use super::cases;
use super::memory::{Crash, Durability};
use super::site::{Life, Site, graph};
use super::truth::Owes;
use super::world::Mode;
use crate::plan::Graph;

/// Two sources that promise, a recording that is played beside them, a fork, a join, windows, and a sink of each kind; and another
/// part beside.
const GRAPH: &str = "
sources:
  a: { as: a, feed: {} }
  b: { as: b, feed: {} }
  t: { as: t, tape: { count: 40, step: 2, batch: 5, places: 3, first: 500 } }
  c: { as: c, feed: {} }
transforms:
  fork: { as: fork, inputs: [a], tally: {} }
  join: { as: join, inputs: [a, b, t, fork], tally: { window: 7 } }
  apart: { as: apart, inputs: [c], tally: {} }
sinks:
  vault: { inputs: [join, b], stash: { keeps_position: true } }
  tray: { inputs: [join, a], stash: {} }
  post: { inputs: [fork, b], stash: { sent: true } }
  screen: { inputs: [join, a], stash: { shown: true } }
  other: { inputs: [apart], stash: { keeps_position: true } }
";

const OWED: [(&str, Owes, &str); 5] = [
    ("vault", Owes::Once, "vault"),
    ("tray", Owes::AtLeastOnce, "tray"),
    ("post", Owes::AtLeastOnce, "post"),
    // It has the inputs of the tray; of a replay it is shown nothing.
    ("screen", Owes::AtMostOnce, "tray"),
    ("other", Owes::Once, "other"),
];

/// The same with nodes that break: what they had since the last cut is gone, in a replay as in the life that is replayed.
fn breaking() -> String {
    let graph =
        GRAPH.replace("inputs: [a], tally: {}", "inputs: [a], tally: { panic_at: 2000004 }");
    graph.replace("tally: { window: 7 }", "tally: { window: 7, panic_at: 2000007 }")
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// Something is sent, of so many numbers.
    Send(&'static str, i64),
    /// Time passes.
    Pass(f64),
    /// The others run a little, and no time passes.
    Steps(usize),
    Checkpoint,
    Set(&'static str, Mode),
    Sync,
    Crash(Crash),
}

/// The numbers a sender says, each only once.
struct Script {
    next: i64,
}

impl Script {
    async fn play(&mut self, life: &mut Life<'_>, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Send(sender, count) => {
                    life.site.world.send(sender, self.next..self.next + count);
                    self.next += count;
                }
                Step::Pass(seconds) => life.pass(*seconds).await,
                Step::Steps(steps) => life.steps(*steps).await,
                // One that is blocked is no harm.
                Step::Checkpoint => drop(life.topology.checkpoint().await),
                Step::Set(store, mode) => life.site.world.set(store, *mode),
                Step::Sync => life.site.memory.sync_now(),
                Step::Crash(_) => unreachable!("lives end between steps"),
            }
        }
    }
}

/// Where what a sender says comes out as it is.
const COMES_OUT: [(&str, &str); 3] = [("a", "tray"), ("b", "vault"), ("b", "post")];

/// What is to be as if there had been no crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Like {
    /// Everything.
    Exactly,
    /// Nothing acknowledged is lost. More cannot be said where a power cut took events of which a sink had the consequences: nobody had
    /// been promised anything about those.
    NothingLost,
}

/// Plays steps, over as many lives as there are crashes, and one more that goes well.
fn play(site: &Site, graph: &Graph, steps: &[Step], like: Like) {
    site.begin(graph);
    // Beyond what a tally says.
    let mut script = Script { next: 2_000_000 };
    let mut crashes = Vec::new();
    for life in steps.split_inclusive(|step| matches!(step, Step::Crash(_))) {
        let (crash, steps) = match life.split_last() {
            Some((Step::Crash(crash), steps)) => (*crash, steps),
            _ => (Crash::Kill, life),
        };
        site.live(graph, async |life| {
            life.topology.release();
            script.play(life, steps).await;
        });
        crashes.push(site.before(crash, &["post"]));
        site.crash(crash);
    }
    for (store, ..) in OWED {
        site.world.set(store, Mode::Fine);
    }
    // What waits for a receipt gets it.
    site.memory.lock().durability = Durability::Process;
    let states = site.finish(graph);
    for (sender, store) in COMES_OUT {
        let values = site.world.values(store);
        let lost = site.world.acked(sender).into_iter().find(|value| !values.contains(value));
        assert_eq!(lost, None, "of {sender}, at {store}");
    }
    site.assert_no_number_is_used_twice("post");
    if like == Like::NothingLost {
        return;
    }
    let (expected, expected_states) = site.reference(graph);
    let cut = steps.contains(&Step::Crash(Crash::PowerCut));
    for (store, owes, like) in OWED {
        if cut && owes == Owes::AtMostOnce {
            // What it was shown and nobody remembers happens again.
            continue;
        }
        site.assert_owed(store, owes, &expected[like]);
    }
    assert_eq!(states, expected_states);
    site.assert_little_is_repeated(&crashes);
}

/// Of each sender the host has what it acknowledged, in the order it came.
fn assert_entered(site: &Site, sender: &str, once: bool) {
    let entered = site.entered(&format!("p/{sender}"));
    let mut sorted = entered.clone();
    sorted.sort_unstable();
    if once {
        sorted.dedup();
        assert_eq!(entered, sorted, "what {sender} sent, once and in order");
    }
    for value in site.world.acked(sender) {
        assert!(entered.contains(&value), "{value} of {sender} was acknowledged");
    }
}

fn script() -> Vec<Step> {
    use Step::{Checkpoint, Pass, Send, Set, Steps};
    vec![
        Send("a", 3),
        Send("b", 2),
        Pass(1.0),
        Send("c", 2),
        Pass(4.5),
        Send("a", 1),
        Checkpoint,
        Send("b", 4),
        Steps(3),
        Send("a", 2),
        Pass(6.0),
        Set("post", Mode::Fails),
        Send("a", 5),
        Pass(1.0),
        Checkpoint,
        Send("b", 1),
        Pass(3.0),
        Set("tray", Mode::Hangs),
        Send("a", 2),
        Send("c", 1),
        Pass(2.0),
        Checkpoint,
        Send("b", 2),
        Set("vault", Mode::FlushFails),
        Send("a", 1),
        Pass(8.0),
        Set("tray", Mode::Fine),
        Set("post", Mode::Fine),
        Pass(12.0),
        Send("a", 1),
        Set("vault", Mode::Fine),
        Pass(5.0),
        Checkpoint,
        Send("b", 3),
        Pass(0.0),
    ]
}

fn crash_after_each(script: &[Step], crash: Crash, prepare: impl Fn(&Site)) {
    let graph = graph(GRAPH);
    for after in 0..=script.len() {
        let mut steps = script.to_vec();
        // A power cut that takes events takes the order in which things happened.
        steps.splice(after..after, [Step::Sync, Step::Crash(crash)]);
        let site = Site::new();
        prepare(&site);
        play(&site, &graph, &steps, Like::Exactly);
        for sender in ["a", "b", "c"] {
            assert_entered(&site, sender, crash == Crash::Kill);
        }
        let tape: Vec<i64> = site.entered("p/t");
        assert!(tape.iter().copied().eq(500..500 + tape.len() as i64), "the recording: {tape:?}");
        assert!(tape.len() > 10, "the recording is played");
    }
}

#[test]
fn a_kill_after_any_event_changes_nothing_that_a_sink_gets() {
    crash_after_each(&script(), Crash::Kill, |_| {});
}

#[test]
fn a_kill_changes_nothing_where_the_journal_keeps_more_than_it_has_to() {
    crash_after_each(&script(), Crash::Kill, |site| site.memory.lock().lazy = true);
}

/// What was not synced had not been promised; it is sent again, and what it led to is in no sink.
#[test]
fn a_power_cut_after_any_event_changes_nothing_that_a_sink_gets() {
    let healthy = script().into_iter().filter(|step| !matches!(step, Step::Set(..)));
    let synced = healthy.flat_map(|step| match step {
        Step::Checkpoint => vec![Step::Sync, Step::Checkpoint],
        step => vec![step],
    });
    let script: Vec<Step> = synced.collect();
    crash_after_each(&script, Crash::PowerCut, |site| {
        site.memory.lock().durability = Durability::Power;
    });
}

/// A sink can have some items behind its position, and the journal may have lost them: nothing else may have their offsets.
#[test]
fn what_is_new_after_a_crash_is_counted_from_behind_all_that_a_sink_has_anything_of() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: {} }
sinks:
  vault: { inputs: [a], stash: { keeps_position: true, reaches: 7 } }
",
    );
    let site = Site::new();
    site.begin(&graph);
    let mut sent = 0;
    // The first begins behind 7 already.
    for first in [8, 20, 32] {
        site.live(&graph, async |life| {
            life.topology.release();
            site.world.send("a", sent..sent + 5);
            life.pass(30.0).await;
        });
        site.crash(Crash::Kill);
        sent += 5;
        let ends: Vec<u64> = site.world.kept("vault").iter().map(|item| item.end).collect();
        let newest = &ends[ends.len() - 5..];
        assert_eq!(newest, (first..first + 5).collect::<Vec<_>>(), "{ends:?}");
        assert_eq!(site.world.values("vault"), (0..sent).collect::<Vec<_>>());
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let sender = prop::sample::select(vec!["a", "b", "c"]);
    let store = prop::sample::select(vec!["vault", "tray", "post", "screen", "other"]);
    let mode = prop_oneof![
        4 => Just(Mode::Fine),
        1 => Just(Mode::Fails),
        1 => Just(Mode::Hangs),
        1 => Just(Mode::FlushFails),
        1 => (1u64..4_000).prop_map(Mode::Slow),
    ];
    prop_oneof![
        6 => (sender, 1i64..5).prop_map(|(sender, count)| Step::Send(sender, count)),
        4 => (0.0f64..9.0).prop_map(Step::Pass),
        2 => (0usize..40).prop_map(Step::Steps),
        3 => Just(Step::Checkpoint),
        3 => (store, mode).prop_map(|(store, mode)| Step::Set(store, mode)),
        2 => Just(Step::Sync),
        2 => Just(Step::Crash(Crash::Kill)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]

    #[test]
    fn kills_change_nothing_whatever_happens(
        steps in prop::collection::vec(any_step(), 1..40),
        lazy in any::<bool>(),
    ) {
        let site = Site::new();
        site.memory.lock().lazy = lazy;
        play(&site, &graph(GRAPH), &steps, Like::Exactly);
    }

    #[test]
    fn nodes_that_break_break_alike_in_a_replay(
        steps in prop::collection::vec(any_step(), 1..40),
        lazy in any::<bool>(),
    ) {
        let site = Site::new();
        site.memory.lock().lazy = lazy;
        play(&site, &graph(&breaking()), &steps, Like::Exactly);
    }

    #[test]
    fn power_cuts_lose_nothing_acknowledged_whatever_happens(
        steps in prop::collection::vec(
            prop_oneof![20 => any_step(), 2 => Just(Step::Crash(Crash::PowerCut))],
            1..40,
        ),
        lazy in any::<bool>(),
    ) {
        let site = Site::new();
        {
            let mut memory = site.memory.lock();
            (memory.lazy, memory.durability) = (lazy, Durability::Power);
        }
        play(&site, &graph(GRAPH), &steps, Like::NothingLost);
    }
}
