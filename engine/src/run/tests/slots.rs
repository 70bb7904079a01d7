//! Slots of series that were silent are given back where they are lacking, and nothing that comes out depends on crashes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;

use super::cases;
use super::crowd::rolls;
use super::memory::{Crash, Memory};
use super::site::{Life, Site, graph};
use super::truth::{Owes, States};
use super::world::World;
use crate::context::{Host, SERIES_PER_NODE_MAX};
use crate::plan::Graph;
use crate::run::Event;
use crate::series::SeriesTable;

const GRAPH: &str = "
sources:
  crowd: { as: c, crowd: {} }
transforms:
  first: { as: first, inputs: [crowd], roll: { derives: true } }
  second: { as: second, inputs: [first], roll: {} }
sinks:
  tray: { inputs: [second], stash: {} }
  vault: { inputs: [first], stash: { keeps_position: true } }
";

const HOURS: f64 = 3600.0;

fn site(cap: usize) -> Site {
    let series = SeriesTable::new(cap);
    let host = Arc::new(Host { series, ..Host::for_tests(&std::env::temp_dir()) });
    let world = World::of(&host);
    Site::of(Memory::default(), host, world, super::at(0))
}

/// One reading of each of these series.
fn say(site: &Site, names: Range<i64>) {
    site.world.send("crowd", names.map(|name| name * 1_000));
}

fn all_rolls(site: &Site, states: &States) -> BTreeMap<Arc<str>, BTreeMap<String, i64>> {
    let of = |(address, state): &(Arc<str>, _)| (address.clone(), rolls(state, &site.host));
    states.iter().map(of).collect()
}

/// How often each series was counted, by its name, in a node.
async fn counts(life: &mut Life<'_>, node: &str) -> BTreeMap<String, i64> {
    let states: States = life.topology.states().await.into_iter().collect();
    all_rolls(life.site, &states)[&Arc::<str>::from(node)].clone()
}

fn forgotten(site: &Site) -> usize {
    let inner = site.memory.lock();
    let of = |event: &Event| match event {
        Event::Forgotten { series, .. } => series.len(),
        _ => 0,
    };
    inner.history.iter().map(|record| of(&record.event)).sum()
}

#[test]
fn what_was_silent_for_a_day_gives_its_slot_back_and_the_rest_keeps_its_state() {
    let (site, graph) = (site(20), graph(GRAPH));
    site.live(&graph, async |life| {
        life.topology.release();
        // Ten, each with one that is made from it: the host is full.
        say(&site, 0..10);
        life.pass(1.0).await;
        assert_eq!(site.host.series.len(), 20);
        for _ in 0..2 {
            life.leap(13.0 * HOURS).await;
            say(&site, 0..5);
        }
        life.pass(100.0).await;
        assert_eq!(forgotten(&site), 0, "nobody lacks room");

        say(&site, 100..103);
        life.pass(1.0).await;
        assert_eq!(site.host.series.given_back(), 10);
        assert_eq!(site.host.series.len(), 10);
        let before = counts(life, "p/first").await;
        let awake: Vec<_> = (0..5).map(|name| (format!("c:{name}{{}}"), 3)).collect();
        assert_eq!(before.into_iter().collect::<Vec<_>>(), awake);
        let values = |series: &str| -> Vec<i64> {
            let kept = site.world.kept("vault").into_iter();
            kept.filter(|item| item.series == series).map(|item| item.value).collect()
        };
        assert_eq!((values("c:7"), values("c:2")), (vec![1, -1], vec![1, 2, 3]));

        // There is room for the new ones now, and for one that comes back.
        say(&site, 100..103);
        say(&site, 7..8);
        say(&site, 0..5);
        life.pass(1.0).await;
        assert_eq!(values("c:7"), [1, -1, 1], "it begins anew");
        assert_eq!((values("c:101"), values("c:2")), (vec![1], vec![1, 2, 3, 4]));
        assert_eq!(site.host.series.len(), 18);
        let derived = "first:c/7{\"stat\": \"count\"}";
        assert_eq!(counts(life, "p/second").await.get(derived), Some(&1), "that, too");
    });
}

#[test]
fn where_there_is_room_nothing_is_forgotten() {
    let (site, graph) = (site(21), graph(GRAPH));
    site.live(&graph, async |life| {
        life.topology.release();
        say(&site, 0..10);
        life.leap(72.0 * HOURS).await;
        say(&site, 0..10);
        life.pass(1.0).await;
        assert_eq!((forgotten(&site), site.host.series.given_back()), (0, 0));
        assert!(counts(life, "p/first").await.values().all(|count| *count == 2));
    });
}

#[test]
fn a_lack_of_room_is_heeded_once_a_minute() {
    let (site, graph) = (site(2), graph(&GRAPH.replace("derives: true", "")));
    site.live(&graph, async |life| {
        life.topology.release();
        say(&site, 0..1);
        life.pass(0.5).await;
        life.leap(HOURS).await;
        say(&site, 1..2);
        life.pass(0.5).await;
        // The first will soon have been silent for a day, the second will not.
        life.leap(23.0 * HOURS + 50.0).await;
        say(&site, 9..10);
        life.pass(1.0).await;
        assert_eq!(forgotten(&site), 0);
        say(&site, 9..10);
        life.pass(61.0).await;
        assert_eq!((forgotten(&site), site.host.series.len()), (1, 1));
        say(&site, 10..12);
        life.leap(30.0).await;
        life.pass(1.0).await;
        assert_eq!((forgotten(&site), site.host.series.len()), (1, 2));
        // The lack is noted, and heeded when something has been silent for long enough.
        life.leap(HOURS).await;
        say(&site, 12..13);
        life.pass(61.0).await;
        assert_eq!((forgotten(&site), site.host.series.len()), (2, 1));
    });
}

#[test]
fn a_node_that_breaks_does_not_get_back_what_was_forgotten() {
    let yaml = GRAPH.replace("derives: true", "derives: true, panic_at: 77");
    let (site, graph) = (site(6), graph(&yaml));
    site.begin(&graph);
    site.live(&graph, async |life| {
        life.topology.release();
        say(&site, 0..3);
        life.pass(1.0).await;
        life.topology.checkpoint().await.unwrap();
        life.leap(25.0 * HOURS).await;
        say(&site, 1..2);
        life.pass(1.0).await;
        say(&site, 5..6);
        life.pass(1.0).await;
        assert_eq!(forgotten(&site), 2);
        site.world.send("crowd", [77]);
        life.pass(1.0).await;
        let left = counts(life, "p/first").await;
        assert_eq!(left.into_iter().collect::<Vec<_>>(), [("c:1{}".into(), 1)]);
    });
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Say(Range<i64>),
    /// Hours pass.
    Pass(f64),
    Steps(usize),
    Checkpoint,
    Crash,
}

/// Plays steps, over as many lives as there are crashes, and one more that goes well; and holds what came out against one life for the
/// same events.
fn play(cap: usize, graph: &Graph, steps: &[Step]) -> Site {
    let site = site(cap);
    site.begin(graph);
    for steps in steps.split_inclusive(|step| *step == Step::Crash) {
        site.live(graph, async |life| {
            life.topology.release();
            for step in steps {
                match step {
                    Step::Say(names) => say(&site, names.clone()),
                    Step::Pass(hours) => life.leap(hours * HOURS).await,
                    Step::Steps(steps) => life.steps(*steps).await,
                    Step::Checkpoint => drop(life.topology.checkpoint().await),
                    Step::Crash => {}
                }
            }
        });
        site.crash(Crash::Kill);
    }
    let states = all_rolls(&site, &site.finish(graph));
    let given = site.host.series.given_by("p/crowd");
    let (expected, expected_states) = site.reference(graph);
    assert_eq!(states, all_rolls(&site, &expected_states));
    site.assert_owed("vault", Owes::Once, &expected["vault"]);
    site.assert_owed("tray", Owes::AtLeastOnce, &expected["tray"]);
    assert!(given <= cap, "{given} of {cap}");
    site
}

/// Days on which others speak, with series that stay, that come back, and that never do.
fn script() -> Vec<Step> {
    use Step::{Checkpoint, Pass, Say, Steps};
    vec![
        Say(0..5),
        Pass(0.01),
        Checkpoint,
        Say(0..2),
        Pass(13.0),
        Say(0..2),
        Pass(13.0),
        // There is no room: those that were silent make some.
        Say(10..14),
        Steps(7),
        Pass(0.1),
        Say(10..13),
        Say(2..3),
        Steps(3),
        Checkpoint,
        Pass(20.0),
        Say(0..1),
        Pass(8.0),
        Say(20..24),
        Pass(0.1),
        Say(20..24),
        Steps(5),
        Pass(0.1),
        Say(0..12),
        Pass(0.1),
    ]
}

#[test]
fn a_kill_after_any_event_changes_nothing_that_comes_out() {
    let (graph, script) = (graph(GRAPH), script());
    for after in 0..=script.len() {
        let mut steps = script.clone();
        steps.insert(after, Step::Crash);
        let site = play(12, &graph, &steps);
        assert!(forgotten(&site) >= 6, "{} after {after}", forgotten(&site));
    }
}

#[test]
fn what_was_silent_before_a_restart_counts_as_silent_after_it() {
    let (site, graph) = (site(6), graph(GRAPH));
    site.begin(&graph);
    for _ in 0..5 {
        site.live(&graph, async |life| {
            life.topology.release();
            if site.world.acked("crowd").is_empty() {
                say(&site, 0..3);
            }
            life.leap(6.0 * HOURS).await;
            life.topology.checkpoint().await.unwrap();
        });
        site.crash(Crash::Kill);
    }
    site.live(&graph, async |life| {
        life.topology.release();
        say(&site, 5..6);
        life.pass(1.0).await;
        assert_eq!((forgotten(&site), site.host.series.len()), (3, 0));
        assert_eq!(counts(life, "p/second").await, BTreeMap::new());
    });
}

#[test]
fn what_a_source_gave_that_is_no_more_is_forgotten_too() {
    let two = GRAPH.replace("crowd: {} }", "crowd: {} }\n  other: { as: o, crowd: {} }");
    let two = two.replace("[crowd]", "[crowd, other]");
    let one =
        two.replace("\n  crowd: { as: c, crowd: {} }", "").replace("[crowd, other]", "[other]");
    let (site, two, one) = (site(6), graph(&two), graph(&one));
    site.begin(&two);
    site.live(&two, async |life| {
        life.topology.release();
        say(&site, 0..3);
        life.pass(1.0).await;
        life.apply(&one).await.unwrap();
        assert_eq!(counts(life, "p/first").await.len(), 3);
        life.leap(25.0 * HOURS).await;
        site.world.send("other", [5_000]);
        life.pass(61.0).await;
        assert_eq!(counts(life, "p/first").await, BTreeMap::new());
        site.world.send("other", [5_000]);
        life.pass(1.0).await;
        assert_eq!(counts(life, "p/first").await, [("o:5{}".to_owned(), 1)].into());
    });
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0i64..16, 1i64..5).prop_map(|(first, many)| Step::Say(first..first + many)),
        4 => (0.0f64..30.0).prop_map(Step::Pass),
        2 => (0.0f64..0.05).prop_map(Step::Pass),
        2 => (0usize..40).prop_map(Step::Steps),
        2 => Just(Step::Checkpoint),
        2 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]

    #[test]
    fn kills_change_nothing_whatever_happens(steps in prop::collection::vec(any_step(), 1..50)) {
        play(12, &graph(GRAPH), &steps);
    }
}

/// A million names, two hundred thousand a day, beside ten that belong to somebody.
#[test]
fn a_million_names_take_no_more_than_the_cap_and_give_it_back() {
    let (site, graph) =
        (site(SeriesTable::DEFAULT_CAP), graph(&GRAPH.replace("derives: true", "")));
    site.live(&graph, async |life| {
        life.topology.release();
        say(&site, 0..10);
        let (mut next, mut days) = (1_000, 0);
        while next < 1_001_000 {
            for _ in 0..10 {
                say(&site, next..next + 20_000);
                next += 20_000;
                life.leap(2.5 * HOURS).await;
                say(&site, 0..10);
                assert!(site.host.series.len() <= SERIES_PER_NODE_MAX);
                site.world.lock().stores.clear();
            }
            days += 1;
        }
        life.pass(1.0).await;
        let table = &site.host.series;
        assert_eq!(days, 5);
        assert_eq!(table.given_by("p/crowd"), table.len());
        assert_eq!(table.at_cap(SERIES_PER_NODE_MAX), [Arc::from("p/crowd")]);
        assert!(
            table.given_back() >= 3 * (SERIES_PER_NODE_MAX as u64 - 10),
            "{}",
            table.given_back()
        );
        assert!(table.refused() > 900_000, "{}", table.refused());
        assert!(table.names() <= 7 * SERIES_PER_NODE_MAX, "{}", table.names());
        let counts = counts(life, "p/first").await;
        assert!(counts.len() <= SERIES_PER_NODE_MAX, "{}", counts.len());
        for name in 0..10 {
            assert_eq!(counts.get(&format!("c:{name}{{}}")), Some(&51), "it kept its state");
        }
    });
}
