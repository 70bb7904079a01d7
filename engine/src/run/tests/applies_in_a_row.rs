//! A thousand applies in a row, under load: nothing is lost, and nothing is left behind.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::applies::{Play, Step, any_step, check};
use super::site::Site;

/// How many applies are done.
const APPLIES: usize = 1_000;

/// What the steps are drawn with, unless `SMOLLAMA_SEED` says otherwise.
fn seed() -> u64 {
    std::env::var("SMOLLAMA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(3)
}

/// Steps without end, the same for the same seed.
fn steps(seed: u64) -> impl Iterator<Item = Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = any_step(prop_oneof![40 => 1i64..5, 1 => Just(700)]).boxed();
    std::iter::repeat_with(move || strategy.new_tree(&mut runner).expect("a step").current())
}

/// How many tasks there are besides this one.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[test]
fn a_thousand_applies_lose_nothing_and_leave_nothing_behind() {
    let seed = seed();
    println!("SMOLLAMA_SEED={seed}");
    let site = Site::new();
    let mut play = Play::begin(&site);
    let states = site.live(&site.graph(), async |life| {
        life.topology.release();
        let mut steps = steps(seed);
        let mut looked = 0;
        while play.applied < APPLIES {
            assert!(play.step(life, &steps.next().expect("there are always more")).await);
            if play.applied >= looked + 50 {
                looked = play.applied;
                play.heal(life).await;
                life.topology.checkpoint().await.unwrap();
                assert_as_lean_as_the_graph(life);
            }
        }
        play.end(life).await
    });
    assert_eq!(site.world.population(), 0);
    check(&site, &[], &states);
}

/// Nothing is there but what the graph that runs needs.
fn assert_as_lean_as_the_graph(life: &super::site::Life<'_>) {
    let topology = &life.topology;
    let count =
        |section| topology.graph().nodes().filter(|(_, node)| node.section == section).count();
    use crate::config::Section::{Sinks, Sources};
    let parts = topology.graph().parts().len();
    assert_eq!(tasks(), count(Sources) + count(Sinks) + parts, "a task per source, sink and part");
    assert_eq!(
        life.site.world.population(),
        topology.graph().order.len(),
        "nodes made and not dropped"
    );
    let memory = &life.site.memory;
    assert!(memory.lock().bytes() < 20_000, "the journal: {} bytes", memory.lock().bytes());
    assert_eq!(topology.sources.len(), count(Sources));
    assert_eq!(topology.sinks.len(), count(Sinks));
    assert_eq!(topology.barriers.gone, [], "spools that nobody empties");
    let spools = memory.spools();
    assert!(spools <= count(Sinks), "{spools} spools");
}
