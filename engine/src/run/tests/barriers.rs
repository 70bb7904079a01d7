//! Barriers: who lets them pass, who does not, and what is in a checkpoint.

use std::time::Duration;

use tokio::time::Instant;

use super::memory::Crash;
use super::site::{Site, graph};
use super::world::Mode;
use crate::run::NoCheckpoint;

const TWO_SINKS: &str = "
sources:
  a: { as: a, feed: {} }
transforms:
  sum: { as: sum, inputs: [a], tally: { window: 1000000 } }
sinks:
  first: { inputs: [a], queue: { size: 64KiB }, stash: {} }
  tray: { inputs: [a, sum], queue: { size: 64KiB }, stash: {} }
  last: { inputs: [a], queue: { size: 64KiB }, stash: {} }
";

#[test]
fn a_barrier_that_a_sink_does_not_let_pass_is_cancelled_after_ten_seconds() {
    let graph = graph(TWO_SINKS);
    // With so much that all of it waits in the queue, and with so much that the part itself waits for the sink.
    for (batches, mode) in
        [(1, Mode::Hangs), (1, Mode::FlushFails), (60, Mode::Hangs), (60, Mode::Fails)]
    {
        let site = Site::new();
        site.begin(&graph);
        let before = site.memory.latest();
        site.live(&graph, async |life| {
            life.topology.release();
            site.world.set("tray", mode);
            for batch in 0..batches {
                site.world.send("a", batch * 500..(batch + 1) * 500);
            }
            life.pass(1.0).await;
            let (began, journaled) = (Instant::now(), site.memory.lock().bytes());
            let taken = life.topology.checkpoint().await;
            assert_eq!(taken, Err(NoCheckpoint::Blocked("p/tray".into())), "{batches} {mode:?}");
            let took = began.elapsed();
            assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&took), "{took:?}");
            assert_eq!(site.memory.latest(), before, "the last one stays");
            assert!(site.memory.lock().bytes() >= journaled, "and nothing is freed");
            let state = life.topology.checkpoint_state();
            assert_eq!(state.blocked_by.as_deref(), Some("p/tray"));
            assert!(!life.topology.checkpoint_is_due(), "it is not tried all the time");

            site.world.set("tray", Mode::Fine);
            life.pass(60.0).await;
            assert_eq!(life.topology.checkpoint().await, Ok(()), "{batches} {mode:?}");
            assert_eq!(life.topology.checkpoint_state().blocked_by, None);
            // Notes of the sinks about what they confirmed come behind the cut.
            assert!(site.memory.lock().bytes() < 512, "all of it is freed");
        });
        site.crash(Crash::PowerCut);
        site.finish(&graph);
        let of = |store: &str| site.world.kept(store).len() as i64;
        assert_eq!([of("first"), of("tray"), of("last")], [500, 1000, 500].map(|n| n * batches));
    }
}

/// What comes faster than a sink takes it keeps its queue full. A cut has to wait for an item, not for the flood to end.
#[test]
fn a_barrier_passes_a_sink_that_is_slow_under_a_flood() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: {} }
sinks:
  tray: { inputs: [a], queue: { size: 64KiB }, stash: {} }
",
    );
    let site = Site::new();
    site.begin(&graph);
    site.world.set("tray", Mode::Slow(200));
    site.live(&graph, async |life| {
        life.topology.release();
        for batch in 0..1_000 {
            site.world.send("a", batch * 500..(batch + 1) * 500);
        }
        for _ in 0..3 {
            life.pass(3.07).await;
            assert_eq!(life.topology.checkpoint().await, Ok(()));
        }
        assert!(site.world.kept("tray").len() < 100_000, "the flood goes on");
    });
    site.crash(Crash::Kill);
    site.world.set("tray", Mode::Fine);
    site.live(&graph, async |life| {
        life.topology.release();
        life.until("all is there", |life| life.site.world.kept("tray").len() >= 500_000).await;
        life.pass(1.0).await;
    });
    let mut values = site.world.values("tray");
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), 500_000);
}

#[test]
fn a_barrier_passes_a_recording_that_runs_as_fast_as_it_can() {
    let graph = graph(
        "
sources:
  t: { as: t, tape: { count: 40000, batch: 500 } }
transforms:
  sum: { as: sum, inputs: [t], tally: {} }
sinks:
  tray: { inputs: [sum], queue: { size: 64KiB }, stash: { keeps_position: true } }
",
    );
    let mut site = Site::new();
    site.speed = None;
    site.begin(&graph);
    site.world.set("tray", Mode::Slow(300));
    site.live(&graph, async |life| {
        life.topology.release();
        for _ in 0..3 {
            life.pass(2.0).await;
            // Whoever asks meanwhile must not make the cut lie anywhere else.
            assert_eq!(life.topology.states().await.len(), 1);
            assert_eq!(life.topology.checkpoint().await, Ok(()));
        }
        assert!(site.world.kept("tray").len() < 35_000, "it goes on");
    });
    site.crash(Crash::PowerCut);
    site.world.set("tray", Mode::Fine);
    let run = |site: &Site| {
        site.live(&graph, async |life| {
            life.topology.release();
            life.topology.ended().await;
            life.topology.stop().await;
        });
        site.world.values("tray")
    };
    let mut in_one_go = Site::new();
    in_one_go.speed = None;
    assert!(run(&site) == run(&in_one_go));
}

#[test]
fn a_barrier_passes_a_sink_whose_other_side_is_away_by_way_of_its_spool() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: {} }
sinks:
  post: { inputs: [a], stash: { sent: true } }
",
    );
    for mode in [Mode::Fails, Mode::Hangs, Mode::FlushFails] {
        let site = Site::new();
        site.begin(&graph);
        site.world.set("post", mode);
        site.live(&graph, async |life| {
            life.topology.release();
            for batch in 0..20 {
                site.world.send("a", batch * 10..(batch + 1) * 10);
                life.pass(0.2).await;
            }
            let began = Instant::now();
            assert_eq!(life.topology.checkpoint().await, Ok(()), "{mode:?}");
            assert!(began.elapsed() < Duration::from_secs(3), "{mode:?}: {:?}", began.elapsed());
            assert_eq!(site.memory.spooled(), 200, "{mode:?}");
            assert!(site.memory.lock().bytes() < 512, "the journal needs it no more");
        });
        site.crash(Crash::PowerCut);
        site.world.set("post", Mode::Fine);
        site.finish(&graph);
        assert_eq!(site.world.values("post"), (0..200).collect::<Vec<_>>(), "{mode:?}");
        assert_eq!(site.memory.spooled(), 0, "{mode:?}");
    }
}

#[test]
fn a_checkpoint_taken_before_the_replay_frees_nothing_of_it() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: {} }
  b: { as: b, feed: {} }
sinks:
  tray: { inputs: [a], stash: { keeps_position: true } }
  other: { inputs: [b], stash: { keeps_position: true } }
",
    );
    let site = Site::new();
    site.begin(&graph);
    site.world.set("tray", Mode::FlushFails);
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("a", 0..5);
        site.world.send("b", 5..9);
        life.pass(3.0).await;
    });
    for _ in 0..3 {
        site.crash(Crash::Kill);
        // It lets a barrier pass that comes before the first item, and takes its time with that.
        site.world.set("tray", Mode::Slow(60_000));
        // The commands of a part come before anything else.
        site.live(&graph, async |life| life.topology.checkpoint().await.unwrap());
        assert_eq!(site.world.values("tray"), Vec::<i64>::new());
    }
    site.crash(Crash::Kill);
    site.world.set("tray", Mode::Fine);
    site.finish(&graph);
    assert_eq!(site.world.values("tray"), [0, 1, 2, 3, 4]);
    assert_eq!(site.world.values("other"), [5, 6, 7, 8]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_changes_nothing() {
    let graph = graph(TWO_SINKS);
    let site = Site::new();
    site.begin(&graph);
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("a", 0..5);
        life.rest().await;
        let (before, bytes) = (site.memory.latest(), site.memory.lock().bytes());
        site.memory.lock().checkpoints_fail = true;
        let taken = life.topology.checkpoint().await;
        assert_eq!(taken, Err(NoCheckpoint::Disk("no space left".into())));
        assert_eq!(site.memory.latest(), before);
        assert!(site.memory.lock().bytes() >= bytes, "nothing is freed");
        site.world.send("a", 5..9);
        life.rest().await;
    });
    site.memory.lock().checkpoints_fail = false;
    site.crash(Crash::Kill);
    site.finish(&graph);
    assert_eq!(site.world.kept("tray").len(), 18);
}

/// Nothing is written for a host on which nothing happens.
#[test]
fn a_host_that_is_idle_takes_no_checkpoint() {
    let graph = graph(TWO_SINKS);
    let site = Site::new();
    site.begin(&graph);
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("a", 0..5);
        let mut taken = Vec::new();
        for minute in 0..60 {
            life.pass(60.0).await;
            if life.topology.checkpoint_is_due() {
                life.topology.checkpoint().await.unwrap();
                taken.push(minute);
            }
        }
        assert_eq!(taken.len(), 1, "at the minutes {taken:?}");
        let events = site.memory.lock().history.len();
        life.topology.checkpoint().await.unwrap();
        assert_eq!(
            site.memory.lock().history.len(),
            events,
            "and one leaves no trace in the journal"
        );
    });
}
