//! Recordings in virtual time: the same bytes, however often the host was killed in between.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::cases;
use super::memory::Crash;
use super::site::{Site, graph};
use super::truth::Owes;
use super::world::{Item, Mode};
use crate::plan::Graph;

/// Two recordings, one of which says where it is only now and then and one never, and a made-up source.
const GRAPH: &str = "
sources:
  t: { as: t, tape: { count: 60, step: 2, batch: 5, places: 3, first: 2000000 } }
  u: { as: u, tape: { count: 30, step: 3, batch: 4, places: 0, first: 3000000 } }
  c: { as: c, clockwork: {} }
transforms:
  join: { as: join, inputs: [t, u, c], tally: { window: 7, panic_at: 2000041 } }
  fork: { as: fork, inputs: [t], tally: {} }
sinks:
  vault: { inputs: [join, u], stash: { keeps_position: true } }
  tray: { inputs: [fork, join, c], stash: {} }
  post: { inputs: [fork, t], stash: { sent: true } }
";

#[derive(Debug, Clone)]
enum Step {
    Steps(usize),
    Pass(f64),
    Checkpoint,
    Set(&'static str, Mode),
    Crash(Crash),
}

/// What comes of it in one go.
fn in_one_go(graph: &Graph, speed: Option<f64>) -> BTreeMap<String, Vec<Item>> {
    let mut site = Site::new();
    site.speed = speed;
    site.live(graph, async |life| {
        life.topology.release();
        life.topology.ended().await;
        assert_eq!(life.topology.stop().await, Vec::<String>::new());
    });
    let outside = site.world.lock();
    outside.stores.iter().map(|(name, store)| (name.clone(), store.kept.clone())).collect()
}

/// What comes of it over as many lives as there are crashes.
fn play(steps: &[Step], speed: Option<f64>) {
    let graph = graph(GRAPH);
    let mut site = Site::new();
    site.speed = speed;
    site.begin(&graph);
    let mut crashes = Vec::new();
    for life in steps.split_inclusive(|step| matches!(step, Step::Crash(_))) {
        let mut crash = Crash::Kill;
        site.live(&graph, async |life_| {
            life_.topology.release();
            for step in life {
                match step {
                    Step::Steps(steps) => life_.steps(*steps).await,
                    Step::Pass(seconds) => life_.pass(*seconds).await,
                    Step::Checkpoint => drop(life_.topology.checkpoint().await),
                    Step::Set(store, mode) => site.world.set(store, *mode),
                    Step::Crash(how) => crash = *how,
                }
            }
        });
        crashes.push(site.before(crash, &["post"]));
        site.crash(crash);
    }
    for store in ["vault", "tray", "post"] {
        site.world.set(store, Mode::Fine);
    }
    for _ in 0..2 {
        // The second life finds that everything was done.
        site.live(&graph, async |life| {
            life.topology.release();
            life.topology.ended().await;
            assert_eq!(life.topology.stop().await, Vec::<String>::new());
        });
    }
    let expected = in_one_go(&graph, speed);
    assert!(expected["vault"].len() > 100, "something happens");
    site.assert_owed("vault", Owes::Once, &expected["vault"]);
    site.assert_owed("tray", Owes::AtLeastOnce, &expected["tray"]);
    site.assert_owed("post", Owes::AtLeastOnce, &expected["post"]);
    site.assert_little_is_repeated(&crashes);
}

fn any_step() -> impl Strategy<Value = Step> {
    let store = prop::sample::select(vec!["vault", "tray", "post"]);
    let mode = prop_oneof![
        4 => Just(Mode::Fine),
        1 => Just(Mode::Fails),
        1 => Just(Mode::Hangs),
        1 => Just(Mode::FlushFails),
        2 => (1u64..900).prop_map(Mode::Slow),
    ];
    prop_oneof![
        6 => (0usize..60).prop_map(Step::Steps),
        2 => (0.0f64..3.0).prop_map(Step::Pass),
        4 => Just(Step::Checkpoint),
        2 => (store, mode).prop_map(|(store, mode)| Step::Set(store, mode)),
        3 => Just(Step::Crash(Crash::Kill)),
        1 => Just(Step::Crash(Crash::PowerCut)),
    ]
}

#[test]
fn a_kill_anywhere_in_a_recording_changes_no_byte() {
    for before in (0..80).step_by(3) {
        for after in [0, 7, 40] {
            play(
                &[
                    Step::Steps(before),
                    Step::Checkpoint,
                    Step::Steps(after),
                    Step::Crash(Crash::Kill),
                    Step::Steps(after),
                    Step::Crash(Crash::Kill),
                ],
                None,
            );
        }
    }
}

#[test]
fn a_recording_says_the_same_at_any_speed() {
    let graph = graph(GRAPH);
    let values = |stores: BTreeMap<String, Vec<Item>>| -> BTreeMap<String, Vec<i64>> {
        let values = |items: Vec<Item>| items.into_iter().map(|item| item.value).collect();
        stores.into_iter().map(|(name, items)| (name, values(items))).collect()
    };
    let headlong = values(in_one_go(&graph, None));
    assert_eq!(values(in_one_go(&graph, Some(7.0))), headlong);
    assert_eq!(values(in_one_go(&graph, Some(1.0))), headlong);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    #[test]
    fn crashes_change_no_byte_of_a_recording(
        steps in prop::collection::vec(any_step(), 1..30),
        speed in prop::option::of(5.0f64..60.0),
    ) {
        play(&steps, speed);
    }
}

/// The file was replaced by another one: what the sinks had of the old one says nothing about it.
#[test]
fn another_recording_of_the_same_name_is_read_from_its_beginning() {
    let yaml = |name: &str| {
        format!(
            "
sources:
  t: {{ as: t, tape: {{ count: 40, batch: 2, places: 2, name: {name} }} }}
sinks:
  vault: {{ inputs: [t], stash: {{ keeps_position: true }} }}
  tray: {{ inputs: [t], stash: {{}} }}
"
        )
    };
    let mut site = Site::new();
    site.speed = Some(1.0);
    let (first, second) = (graph(&yaml("one")), graph(&yaml("two")));
    site.begin(&first);
    site.live(&first, async |life| {
        life.topology.release();
        life.pass(5.0).await;
        life.topology.checkpoint().await.unwrap();
        life.pass(20.0).await;
    });
    let had = site.world.values("tray").len();
    assert!(had > 20 && had < 30, "{had}");
    site.crash(Crash::Kill);
    site.live(&second, async |life| {
        life.topology.release();
        life.topology.ended().await;
        life.topology.stop().await;
    });
    for store in ["vault", "tray"] {
        assert_eq!(site.world.values(store)[had..], (0..40).collect::<Vec<i64>>(), "{store}");
    }
}
