//! Sinks whose other side can be away: what waits for it, in which order, and what a full spool drops.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::cases;
use super::memory::Crash;
use super::site::{Site, graph};
use super::world::Mode;
use crate::plan::Graph;
use crate::run::DeadContent;

/// 10 KB each: seven of them fill the smallest queue.
const BATCH: i64 = 250;

fn posting(queue: &str, stash: &str) -> Graph {
    graph(&format!(
        "
sources:
  a: {{ as: a, feed: {{}} }}
sinks:
  post: {{ inputs: [a], queue: {{ size: 64KiB{queue} }}, stash: {{ sent: true{stash} }} }}
"
    ))
}

fn send(site: &Site, batch: i64) {
    site.world.send("a", batch * BATCH..(batch + 1) * BATCH);
}

fn all(batches: i64) -> Vec<i64> {
    (0..batches * BATCH).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Send,
    Pass(f64),
    Set(Mode),
    Checkpoint,
    Disk(bool),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    /// Memory, disk and memory again: the other side sees one row, and nothing in it twice.
    #[test]
    fn the_order_is_kept_however_often_the_other_side_goes_away(
        steps in prop::collection::vec(
            prop_oneof![
                5 => Just(Step::Send),
                4 => (0.0f64..4.0).prop_map(Step::Pass),
                2 => Just(Step::Set(Mode::Fine)),
                1 => Just(Step::Set(Mode::Fails)),
                1 => Just(Step::Set(Mode::Hangs)),
                1 => Just(Step::Set(Mode::FlushFails)),
                1 => (100u64..3_000).prop_map(|millis| Step::Set(Mode::Slow(millis))),
                1 => Just(Step::Set(Mode::Panics(1))),
                1 => Just(Step::Set(Mode::FlushPanics(1))),
                2 => Just(Step::Checkpoint),
                1 => any::<bool>().prop_map(Step::Disk),
            ],
            1..50,
        ),
        lingers in any::<bool>(),
        stops in any::<bool>(),
        blocking in any::<bool>(),
        sleeps in any::<bool>(),
    ) {
        let graph = posting("", &format!(", lingers: {lingers}, sleeps: {sleeps}"));
        let site = Site::new();
        if blocking {
            site.spools_block();
        }
        site.begin(&graph);
        let mut sent = 0;
        site.live(&graph, async |life| {
            life.topology.release();
            let mut panics = 0;
            for step in &steps {
                match step {
                    Step::Send => {
                        send(&site, sent);
                        sent += 1;
                    }
                    Step::Pass(seconds) => life.pass(*seconds).await,
                    // A batch that breaks it a second time goes to the dead letters.
                    Step::Set(Mode::Panics(_) | Mode::FlushPanics(_)) if panics > 0 => {}
                    Step::Set(mode) => {
                        panics += i32::from(matches!(mode, Mode::Panics(_) | Mode::FlushPanics(_)));
                        site.world.set("post", *mode);
                    }
                    Step::Checkpoint => drop(life.topology.checkpoint().await),
                    Step::Disk(fails) => site.memory.lock().spools_fail = *fails,
                }
            }
            if stops {
                site.memory.lock().spools_fail = false;
                life.topology.stop().await;
            }
        });
        site.memory.lock().spools_fail = false;
        site.world.set("post", Mode::Fine);
        // Without a crash, all of it in one life or two.
        let errors = site.letters.all();
        prop_assert!(errors.is_empty(), "{:?}", errors);
        if stops {
            site.finish(&graph);
            prop_assert_eq!(site.world.values("post"), all(sent));
        } else {
            site.crash(Crash::Kill);
            site.finish(&graph);
            let values: BTreeSet<i64> = site.world.values("post").into_iter().collect();
            prop_assert_eq!(values.into_iter().collect::<Vec<_>>(), all(sent));
        }
        prop_assert_eq!(site.memory.spooled(), 0);
    }
}

/// What arrived, and how many were dropped.
fn with_a_full_spool(policy: &str) -> (Vec<i64>, usize) {
    let graph = posting(&format!(", spool: 64KiB, when_full: {policy}"), "");
    let site = Site::new();
    site.begin(&graph);
    site.world.set("post", Mode::Fails);
    let mut dropped = 0;
    site.live(&graph, async |life| {
        life.topology.release();
        for batch in 0..40 {
            send(&site, batch);
            life.pass(0.3).await;
        }
        assert_eq!(site.world.acked("a"), all(40), "the journal has it all");
        let took = life.topology.checkpoint().await;
        assert_eq!(took.is_ok(), policy != "block", "{policy}: {took:?}");
        site.world.set("post", Mode::Fine);
        life.pass(60.0).await;
        life.topology.checkpoint().await.unwrap();
        dropped = usize::try_from(life.stats("post").dropped()).unwrap();
        assert_eq!(life.topology.stop().await, Vec::<String>::new());
    });
    assert_eq!(site.memory.spooled(), 0);
    let values = site.world.values("post");
    assert!(values.is_sorted_by(|one, next| one < next), "{policy}: in order, nothing twice");
    (values, dropped)
}

#[test]
fn a_full_spool_that_blocks_drops_nothing() {
    assert_eq!(with_a_full_spool("block"), (all(40), 0));
}

#[test]
fn a_full_spool_drops_what_its_policy_says_and_counts_it() {
    let (values, dropped) = with_a_full_spool("drop_oldest");
    assert_eq!(values.len() + dropped, 40 * BATCH as usize);
    assert!(dropped > 20 * BATCH as usize);
    assert_eq!(values.last(), Some(&(40 * BATCH - 1)), "the newest are there");

    let (values, dropped) = with_a_full_spool("drop_newest");
    assert_eq!(values.len() + dropped, 40 * BATCH as usize);
    assert!(dropped > 20 * BATCH as usize);
    assert!(values.starts_with(&all(4)), "the oldest are there");

    let (values, dropped) = with_a_full_spool("latest");
    assert_eq!(values.len() + dropped, 40 * BATCH as usize);
    assert_eq!(values.last(), Some(&(40 * BATCH - 1)), "the newest is there");
}

#[test]
fn a_stop_leaves_the_rest_in_the_spool_and_the_next_start_sends_it() {
    let graph = posting("", "");
    for mode in [Mode::Fails, Mode::Hangs, Mode::FlushFails] {
        let site = Site::new();
        site.begin(&graph);
        site.live(&graph, async |life| {
            life.topology.release();
            send(&site, 0);
            life.rest().await;
            site.world.set("post", mode);
            for batch in 1..12 {
                send(&site, batch);
            }
            life.rest().await;
            let began = tokio::time::Instant::now();
            assert_eq!(life.topology.stop().await, Vec::<String>::new(), "{mode:?}");
            // Nobody waits for one that says "not now": what it does not take is in the spool.
            let patience = if mode == Mode::Hangs { 14 } else { 2 };
            assert!(began.elapsed().as_secs() < patience, "{mode:?}: {:?}", began.elapsed());
        });
        assert_eq!(site.world.values("post"), all(1), "{mode:?}");
        assert_eq!(site.memory.spooled(), 11 * BATCH as usize, "{mode:?}");
        site.world.set("post", Mode::Fine);
        site.finish(&graph);
        assert_eq!(site.world.values("post"), all(12), "{mode:?}");
    }
}

#[test]
fn a_spool_that_cannot_be_opened_is_not_gone_past() {
    let graph = posting("", "");
    let site = Site::new();
    site.begin(&graph);
    site.world.set("post", Mode::Fails);
    site.live(&graph, async |life| {
        life.topology.release();
        (0..12).for_each(|batch| send(&site, batch));
        life.rest().await;
        life.topology.stop().await;
    });
    site.world.set("post", Mode::Fine);
    site.memory.lock().spools_fail = true;
    site.live(&graph, async |life| {
        life.topology.release();
        send(&site, 12);
        life.pass(20.0).await;
        assert_eq!(site.world.values("post"), Vec::<i64>::new());
        site.memory.lock().spools_fail = false;
        life.pass(20.0).await;
        assert_eq!(site.world.values("post"), all(13));
        assert_eq!(life.topology.stop().await, Vec::<String>::new());
    });
}

/// The batch that breaks it twice goes to the dead letters, and only that.
#[test]
fn a_batch_that_breaks_the_sink_goes_to_the_dead_letters_and_nothing_else_is_lost() {
    for (stash, queue) in [("", ""), (", lingers: true", ""), (", lingers: true", ", spool: 64KiB")]
    {
        let graph = posting(queue, stash);
        let site = Site::new();
        site.begin(&graph);
        site.world.set("post", Mode::PanicsAt(3 * BATCH));
        site.live(&graph, async |life| {
            life.topology.release();
            for batch in 0..8 {
                send(&site, batch);
                life.pass(0.3).await;
            }
            life.pass(60.0).await;
            assert_eq!(life.topology.stop().await, Vec::<String>::new());
        });
        let letters = site.letters.all();
        assert_eq!(letters.len(), 1, "{stash}");
        assert_eq!(letters[0].content.len(), BATCH as usize);
        let rest: Vec<i64> = all(8).into_iter().filter(|value| value / BATCH != 3).collect();
        assert_eq!(site.world.values("post"), rest, "{stash}");
        assert_eq!(site.memory.spooled(), 0, "{stash}");
    }
}

/// A sink that broke too often gets nothing more, and what it had is with the dead letters too.
#[test]
fn what_a_sink_had_that_is_given_up_goes_to_the_dead_letters() {
    for mode in [Mode::Panics(100), Mode::FlushPanics(100)] {
        let graph = posting("", ", lingers: true");
        let site = Site::new();
        site.begin(&graph);
        site.live(&graph, async |life| {
            life.topology.release();
            (0..3).for_each(|batch| send(&site, batch));
            life.pass(30.0).await;
            site.world.set("post", mode);
            (3..20).for_each(|batch| send(&site, batch));
            life.pass(120.0).await;
            assert!(life.stats("post").failed());
            assert_eq!(life.topology.checkpoint().await, Ok(()), "its siblings go on");
            assert_eq!(life.topology.stop().await.len(), 1);
        });
        let mut found = site.world.values("post");
        for letter in site.letters.all() {
            match letter.content {
                DeadContent::Items(items) => found.extend(super::values_of(&items)),
                DeadContent::Raw(_) => panic!("only items"),
            }
        }
        found.sort_unstable();
        assert_eq!(found, all(20), "{mode:?}");
    }
}
