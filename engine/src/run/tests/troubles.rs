//! The runner in trouble: random graphs of nodes that are slow, fail, hang, refuse and panic. In the end every acknowledged item was
//! delivered, or was dropped by a policy and counted, or is in the dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proptest::prelude::*;

use super::cases;
use super::model::values_in;
use super::site::{Site, graph};
use super::world::Mode;

/// Senders, and as many transforms and sinks at most.
const SENDERS: [&str; 3] = ["a", "b", "c"];
/// The first number of each sender, a million apart.
const FIRST: [i64; 3] = [1_000_000, 2_000_000, 3_000_000];

/// A transform: where it reads, and what it does not stand. A transform passes on what comes.
#[derive(Debug, Clone)]
struct Transform {
    /// Sources, and transforms before it.
    inputs: BTreeSet<usize>,
    panics_at: Option<i64>,
    rejects_at: Option<i64>,
    window: i64,
}

#[derive(Debug, Clone)]
struct Sink {
    inputs: BTreeSet<usize>,
    kind: &'static str,
    policy: &'static str,
    spool: &'static str,
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize, i64),
    Pass(f64),
    Set(usize, Mode),
    Checkpoint,
}

/// What of a pipeline is drawn.
#[derive(Debug, Clone)]
struct Pipeline {
    transforms: Vec<Transform>,
    sinks: Vec<Sink>,
}

impl Pipeline {
    /// The name of what stands at a number: the sources first.
    fn name(&self, number: usize) -> String {
        match number.checked_sub(SENDERS.len()) {
            None => SENDERS[number].to_owned(),
            Some(transform) => format!("t{transform}"),
        }
    }

    fn inputs(&self, inputs: &BTreeSet<usize>, before: usize) -> Vec<usize> {
        let all = SENDERS.len() + before;
        let inputs: BTreeSet<usize> = inputs.iter().map(|input| input % all).collect();
        inputs.into_iter().collect()
    }

    fn named(&self, inputs: &BTreeSet<usize>, before: usize) -> String {
        let inputs = self.inputs(inputs, before);
        inputs.into_iter().map(|input| self.name(input)).collect::<Vec<_>>().join(", ")
    }

    fn yaml(&self) -> String {
        let mut yaml = String::from("sources:\n");
        for sender in SENDERS {
            let _ = writeln!(yaml, "  {sender}: {{ as: {sender}, feed: {{}} }}");
        }
        yaml += "transforms:\n";
        for (number, one) in self.transforms.iter().enumerate() {
            let inputs = self.named(&one.inputs, number);
            let (panics, rejects) = (one.panics_at.unwrap_or(-1), one.rejects_at.unwrap_or(-1));
            let _ = writeln!(
                yaml,
                "  t{number}: {{ inputs: [{inputs}], tally: {{ through: true, window: {}, panic_at: {panics}, reject_at: {rejects} }} }}",
                one.window,
            );
        }
        yaml += "sinks:\n";
        for (number, one) in self.sinks.iter().enumerate() {
            let inputs = self.named(&one.inputs, self.transforms.len());
            let Sink { kind, policy, spool, .. } = one;
            let spool =
                if kind.contains("sent") { format!(", spool: {spool}") } else { String::new() };
            let _ = writeln!(
                yaml,
                "  s{number}: {{ inputs: [{inputs}], queue: {{ size: 64KiB, when_full: {policy}{spool} }}, stash: {{ {kind} }} }}",
            );
        }
        yaml
    }

    /// How many ways lead from a source to each transform, and on each of them the transforms that it takes.
    fn ways(&self, source: usize, to: &BTreeSet<usize>, before: usize) -> Vec<BTreeSet<usize>> {
        let mut ways = Vec::new();
        for input in self.inputs(to, before) {
            match input.checked_sub(SENDERS.len()) {
                None if input == source => ways.push(BTreeSet::new()),
                None => {}
                Some(transform) => {
                    let inputs = &self.transforms[transform].inputs;
                    let mut before = self.ways(source, inputs, transform);
                    before.iter_mut().for_each(|way| way.extend([transform]));
                    ways.extend(before);
                }
            }
        }
        ways
    }
}

/// Plays steps, heals everyone, and stops.
fn play(pipeline: &Pipeline, steps: &[Step]) -> (Site, Vec<u64>) {
    let graph = graph(&pipeline.yaml());
    let site = Site::new();
    site.begin(&graph);
    let mut next = FIRST;
    let dropped = site.live(&graph, async |life| {
        life.topology.release();
        for step in steps {
            match step {
                Step::Send(sender, count) => {
                    site.world.send(SENDERS[*sender], next[*sender]..next[*sender] + count);
                    next[*sender] += count;
                }
                Step::Pass(seconds) => life.pass(*seconds).await,
                Step::Set(sink, mode) => {
                    site.world.set(&format!("s{}", sink % pipeline.sinks.len()), *mode);
                }
                Step::Checkpoint => drop(life.topology.checkpoint().await),
            }
        }
        for number in 0..pipeline.sinks.len() {
            site.world.set(&format!("s{number}"), Mode::Fine);
        }
        life.pass(200.0).await;
        assert_eq!(life.topology.checkpoint().await, Ok(()), "everyone is well again");
        let number = |number| life.stats(&format!("s{number}")).dropped();
        let dropped = (0..pipeline.sinks.len()).map(number).collect();
        // A sink that was given up says so.
        let errors = life.topology.stop().await;
        assert!(errors.iter().all(|why| why.contains("failed: it failed 5 times")), "{errors:?}");
        dropped
    });
    (site, dropped)
}

/// Every acknowledged item came out at the end of every way, or there is a reason.
fn check(pipeline: &Pipeline, site: &Site, dropped: &[u64]) {
    // By the node that refused it.
    let mut buried: BTreeMap<String, BTreeMap<i64, usize>> = BTreeMap::new();
    for letter in site.letters.all() {
        let node = buried.entry(letter.address["p/".len()..].to_owned()).or_default();
        values_in(&letter).into_iter().for_each(|value| *node.entry(value).or_default() += 1);
    }
    let nothing = BTreeMap::new();
    for (number, sink) in pipeline.sinks.iter().enumerate() {
        let name = format!("s{number}");
        let mut kept: BTreeMap<i64, usize> = BTreeMap::new();
        for value in site.world.values(&name) {
            *kept.entry(value).or_default() += 1;
        }
        let refused = buried.get(&name).unwrap_or(&nothing);
        let mut missing = 0;
        for (source, sender) in SENDERS.iter().enumerate() {
            let acked = site.world.acked(sender);
            assert!(acked.is_sorted_by(|one, next| one < next), "in the order of {sender}");
            let ways = pipeline.ways(source, &sink.inputs, pipeline.transforms.len());
            for value in acked {
                // On a way past a node that refused it, it does not come out.
                let open = ways.iter().filter(|way| {
                    !way.iter().any(|transform| {
                        buried
                            .get(&format!("t{transform}"))
                            .is_some_and(|one| one.contains_key(&value))
                    })
                });
                let had = kept.get(&value).copied().unwrap_or(0);
                let there = had + refused.get(&value).copied().unwrap_or(0);
                let (at_least, at_most) = (open.count(), ways.len());
                // What one that keeps its position had written since its last checkpoint is buried too when it is given up.
                let once = if sink.kind.contains("keeps_position") { had } else { there };
                assert!(once <= at_most, "{name} has {value} {there} times on {at_most} ways");
                missing += at_least.saturating_sub(there) as u64;
            }
        }
        assert!(
            missing <= dropped[number],
            "{name} misses {missing}, and dropped {}",
            dropped[number]
        );
        assert!(
            sink.policy != "block" || missing == 0,
            "{name} drops nothing, and misses {missing}"
        );
    }
}

fn any_inputs() -> impl Strategy<Value = BTreeSet<usize>> {
    prop::collection::btree_set(0usize..8, 1..4)
}

/// One of the numbers that are sent, of any sender.
fn any_number() -> impl Strategy<Value = Option<i64>> {
    let number = (0usize..3, 0i64..40).prop_map(|(sender, number)| FIRST[sender] + number);
    prop_oneof![3 => Just(None), 1 => number.prop_map(Some)]
}

fn any_transform() -> impl Strategy<Value = Transform> {
    (any_inputs(), any_number(), any_number(), 1i64..30).prop_map(
        |(inputs, panics_at, rejects_at, window)| Transform {
            inputs,
            panics_at,
            rejects_at,
            window,
        },
    )
}

fn any_sink() -> impl Strategy<Value = Sink> {
    let kind = prop::sample::select(vec![
        "lingers: false",
        "keeps_position: true",
        "sent: true",
        "sent: true, lingers: true",
        "lingers: true",
    ]);
    let policy =
        prop::sample::select(vec!["block", "block", "block", "drop_oldest", "drop_newest"]);
    let spool = prop::sample::select(vec!["0B", "64KiB", "64MiB"]);
    (any_inputs(), kind, policy, spool).prop_map(|(inputs, kind, policy, spool)| Sink {
        inputs,
        kind,
        policy,
        spool,
    })
}

fn any_pipeline() -> impl Strategy<Value = Pipeline> {
    let transforms = prop::collection::vec(any_transform(), 0..5);
    let sinks = prop::collection::vec(any_sink(), 1..4);
    (transforms, sinks).prop_map(|(transforms, sinks)| Pipeline { transforms, sinks })
}

fn any_step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![
        4 => Just(Mode::Fine),
        1 => Just(Mode::Fails),
        1 => Just(Mode::Hangs),
        1 => Just(Mode::FlushFails),
        1 => (1u64..4_000).prop_map(Mode::Slow),
        1 => (1u32..7).prop_map(Mode::Panics),
        1 => (1u32..7).prop_map(Mode::FlushPanics),
        1 => any_number().prop_map(|number| Mode::PanicsAt(number.unwrap_or(FIRST[0]))),
        1 => any_number().prop_map(|number| Mode::Rejects(number.unwrap_or(FIRST[1]))),
    ];
    let count = prop_oneof![20 => 1i64..5, 3 => Just(700), 1 => Just(6_000)];
    prop_oneof![
        6 => (0usize..3, count).prop_map(|(sender, count)| Step::Send(sender, count)),
        4 => (0.0f64..9.0).prop_map(Step::Pass),
        3 => (0usize..4, mode).prop_map(|(sink, mode)| Step::Set(sink, mode)),
        1 => Just(Step::Checkpoint),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    #[test]
    fn whatever_nodes_do_nothing_is_lost_without_a_trace(
        pipeline in any_pipeline(),
        steps in prop::collection::vec(any_step(), 1..40),
    ) {
        let (site, dropped) = play(&pipeline, &steps);
        check(&pipeline, &site, &dropped);
    }
}
