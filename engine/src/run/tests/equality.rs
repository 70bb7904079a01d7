//! Crashes, and applies that change nothing that comes out: the same output and the same states as in one go.

use proptest::prelude::*;

use super::cases;
use super::memory::Crash;
use super::site::{Life, Site, graph};
use super::truth::{Owes, States};
use super::world::Mode;
use crate::run::{NoCheckpoint, NotApplied};

/// Recordings, which need nothing but themselves: two of them, a made-up source, windows, a fork and a join.
const RECORDED: &str = "
sources:
  t: { as: t, tape: { count: 60, step: 2, batch: 5, places: 3, first: 2000000 } }
  u: { as: u, tape: { count: 30, step: 3, batch: 4, places: 2, first: 3000000 } }
  c: { as: c, clockwork: {} }
transforms:
  join: { as: join, inputs: [t, u, c], tally: { window: 7 } }
  fork: { as: fork, inputs: [t], tally: {} }
sinks:
  vault: { inputs: [join, u], stash: { into: vault, keeps_position: true } }
  tray: { inputs: [fork, join, c], stash: { into: tray } }
  post: { inputs: [fork, t], stash: { into: post, sent: true } }
";

/// The same with sources that send, whose order the journal has.
const LIVE: &str = "
sources:
  t: { as: t, feed: {} }
  u: { as: u, feed: {} }
  c: { as: c, tape: { count: 40, step: 2, batch: 5, places: 3, first: 500 } }
transforms:
  join: { as: join, inputs: [t, u, c], tally: { window: 7 } }
  fork: { as: fork, inputs: [t], tally: {} }
sinks:
  vault: { inputs: [join, u], stash: { into: vault, keeps_position: true } }
  tray: { inputs: [fork, join, c], stash: { into: tray } }
  post: { inputs: [fork, t], stash: { into: post, sent: true } }
";

/// What a sink owes after a crash.
const OWED: [(&str, Owes); 3] =
    [("vault", Owes::Once), ("tray", Owes::AtLeastOnce), ("post", Owes::AtLeastOnce)];

/// What can be written otherwise without another meaning. A node is made anew for it.
const SAME: [(&str, &str); 6] = [
    ("places: 3", "places: 1"),
    ("into: vault", "into: vault, version: 1"),
    ("into: tray", "into: tray, lingers: true"),
    ("into: post", "into: post, version: 2"),
    ("inputs: [t], tally: {}", "inputs: [t], tally: { reject_at: -2 }"),
    ("tally: { window: 7 }", "tally: { window: 7, reject_at: -2 }"),
];

/// The pipeline with some of that written otherwise.
fn written(yaml: &str, otherwise: usize) -> String {
    let chosen = SAME.iter().enumerate().filter(|(index, _)| otherwise >> index & 1 == 1);
    chosen.fold(yaml.to_owned(), |yaml, (_, (from, to))| yaml.replace(from, to))
}

#[derive(Debug, Clone)]
enum Step {
    Send(&'static str, i64),
    Steps(usize),
    Pass(f64),
    Checkpoint,
    Set(&'static str, Mode),
    /// The same, written in another way; after so many steps of the others.
    Apply(usize),
    Crash(Crash),
}

/// Plays steps over as many lives as there are crashes, and one more. Gives the states at the end.
fn play(
    site: &Site,
    yaml: &str,
    steps: &[Step],
    end: impl AsyncFn(&mut Life<'_>) -> States,
) -> States {
    site.begin(&graph(yaml));
    let mut next = 2_000_000;
    for steps in steps.split_inclusive(|step| matches!(step, Step::Crash(_))) {
        let mut how = Crash::Kill;
        site.live(&site.graph(), async |life| {
            life.topology.release();
            for step in steps {
                match step {
                    Step::Send(sender, count) => {
                        site.world.send(sender, next..next + count);
                        next += count;
                    }
                    Step::Steps(steps) => life.steps(*steps).await,
                    Step::Pass(seconds) => life.pass(*seconds).await,
                    Step::Checkpoint => drop(life.topology.checkpoint().await),
                    Step::Set(store, mode) => site.world.set(store, *mode),
                    Step::Apply(otherwise) => {
                        match life.apply(&graph(&written(yaml, *otherwise))).await {
                            Ok(applied) => assert_eq!(applied.resets, []),
                            Err(
                                NotApplied::NotKept(NoCheckpoint::Blocked(_))
                                | NotApplied::NotClosed(_)
                                | NotApplied::Busy(_),
                            ) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                    Step::Crash(crash) => how = *crash,
                }
            }
        });
        site.crash(how);
    }
    OWED.iter().for_each(|(store, _)| site.world.set(store, Mode::Fine));
    site.live(&site.graph(), async |life| {
        life.topology.release();
        end(life).await
    })
}

/// Waits for the end of the recordings.
async fn to_the_end(life: &mut Life<'_>) -> States {
    life.topology.ended().await;
    let states = life.topology.states().await.into_iter().collect();
    assert_eq!(life.topology.stop().await, Vec::<String>::new());
    states
}

fn any_step(live: bool) -> impl Strategy<Value = Step> {
    let store = prop::sample::select(vec!["vault", "tray", "post"]);
    // What a sink that takes nothing does not take when it is replaced goes to the dead letters.
    let mode = prop_oneof![
        2 => Just(Mode::Fine),
        1 => Just(Mode::CloseFails),
        2 => (1u64..30).prop_map(Mode::Slow),
    ];
    let sender = prop::sample::select(vec!["t", "u"]);
    let sends = if live { 6 } else { 0 };
    prop_oneof![
        3 => (0usize..120).prop_map(Step::Steps),
        2 => (0.0f64..9.0).prop_map(Step::Pass),
        1 => Just(Step::Checkpoint),
        2 => (store, mode).prop_map(|(store, mode)| Step::Set(store, mode)),
        4 => (0usize..1 << SAME.len()).prop_map(Step::Apply),
        2 => Just(Step::Crash(Crash::Kill)),
        sends => (sender, 1i64..5).prop_map(|(sender, count)| Step::Send(sender, count)),
    ]
}

/// Recordings have been played at this speed, or as fast as can be.
fn any_speed() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![2 => Just(None), 1 => Just(Some(4.0))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]

    #[test]
    fn recordings_give_the_same_however_often_they_are_interrupted(
        steps in prop::collection::vec(any_step(false), 1..30),
        speed in any_speed(),
    ) {
        let new_site = || {
            let mut site = Site::new();
            site.speed = speed;
            site
        };
        let (in_one_go, site) = (new_site(), new_site());
        let expected_states = play(&in_one_go, RECORDED, &[], to_the_end);
        let states = play(&site, RECORDED, &steps, to_the_end);
        for (store, owes) in OWED {
            site.assert_owed(store, owes, &in_one_go.world.kept(store));
        }
        prop_assert_eq!(states, expected_states);
        prop_assert_eq!(site.letters.all(), []);
    }

    #[test]
    fn what_was_sent_gives_the_same_however_often_it_is_interrupted(
        steps in prop::collection::vec(any_step(true), 1..40),
    ) {
        let site = Site::new();
        let states = play(&site, LIVE, &steps, async |life| {
            life.pass(70.0).await;
            life.end().await
        });
        let (expected, expected_states) = site.reference(&graph(LIVE));
        for (store, owes) in OWED {
            site.assert_owed(store, owes, expected.get(store).map_or(&[], Vec::as_slice));
        }
        prop_assert_eq!(states, expected_states);
        prop_assert_eq!(site.letters.all(), []);
    }
}
