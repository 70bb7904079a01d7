//! A sink that takes nothing, and a journal that fills.

use super::memory::Crash;
use super::site::{Life, Site, graph};
use super::world::Mode;
use crate::run::{Event, Record};

/// How many numbers are sent in one batch.
const BATCH: i64 = 500;
/// The journal holds so many bytes.
const CAP: u64 = 4 << 20;

const ONE_SINK: &str = "
sources:
  a: { as: a, feed: {} }
sinks:
  tray: { inputs: [a], stash: {} }
";

fn site() -> Site {
    let site = Site::new();
    site.memory.lock().cap = CAP;
    site
}

/// Sends so many batches; gives what was sent.
fn send(site: &Site, sender: &str, batches: i64) -> Vec<i64> {
    for batch in 0..batches {
        site.world.send(sender, batch * BATCH..(batch + 1) * BATCH);
    }
    (0..batches * BATCH).collect()
}

/// Lets a sink that was blocked take everything, with checkpoints in between as a host takes them.
async fn heal(life: &mut Life<'_>, store: &str, count: usize) {
    life.site.world.set(store, Mode::Fine);
    for _ in 0..100 {
        life.pass(1.0).await;
        if life.topology.checkpoint_is_due() {
            life.topology.checkpoint().await.unwrap();
        }
        if life.site.world.kept(store).len() >= count {
            return;
        }
    }
    panic!("{store} has {} of {count}", life.site.world.kept(store).len());
}

#[test]
fn a_blocked_sink_delays_no_acknowledgement_until_the_journal_is_full() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: {} }
transforms:
  l: { inputs: [a], tally: { window: 1000000, through: true } }
sinks:
  tray: { inputs: [l], queue: { size: 64KiB }, stash: {} }
  other: { inputs: [a], stash: {} }
",
    );
    let site = site();
    site.begin(&graph);
    site.world.set("tray", Mode::Hangs);
    let sent = site.live(&graph, async |life| {
        life.topology.release();
        let sent = send(&site, "a", 400);
        life.pass(30.0).await;
        let acked = site.world.acked("a");
        assert!(acked == sent[..acked.len()], "in order");
        let fill = life.topology.checkpoint_state();
        assert_eq!(fill.at, None, "nothing was freed");
        let room = CAP - site.memory.lock().bytes();
        assert!(room < 64 * BATCH as u64, "acknowledged until the journal was full: {room} free");
        assert!(acked.len() < sent.len(), "and then no more");
        assert_eq!(life.stats("a").dropped(), 0);
        assert!(life.topology.gauges().iter().any(|gauge| gauge.is_lagging()));
        heal(life, "tray", sent.len()).await;
        assert_eq!(site.world.acked("a"), sent, "the rest is acknowledged too");
        sent
    });
    assert_eq!(site.world.values("tray"), sent);
    assert_eq!(site.world.values("other"), sent);
}

#[test]
fn a_flood_is_handed_over_in_memory_to_a_part_that_takes_it() {
    for careless in [false, true] {
        let site = Site::new();
        let graph = graph(&format!(
            "
sources:
  a: {{ as: a, feed: {{ careless: {careless} }} }}
sinks:
  tray: {{ inputs: [a], stash: {{}} }}
"
        ));
        site.begin(&graph);
        let sent = site.live(&graph, async |life| {
            life.topology.release();
            // Whoever lags now gets nothing more.
            site.memory.lock().unreadable = true;
            let sent = send(&site, "a", 400);
            life.pass(0.9).await;
            assert_eq!(site.world.kept("tray").len(), sent.len(), "careless: {careless}");
            assert_eq!(life.stats("a").dropped(), 0);
            site.memory.lock().unreadable = false;
            sent
        });
        assert_eq!(site.world.values("tray"), sent);
    }
}

/// A checkpoint is due for its sake, though nothing enters any more.
#[test]
fn a_batch_that_an_empty_journal_holds_enters_as_one_once_room_is_made() {
    let site = Site::new();
    let graph = graph(ONE_SINK);
    // 40 bytes a number: the first take a part of it, the others nearly all.
    site.memory.lock().cap = 256 << 10;
    site.begin(&graph);
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("a", 0..2_500);
        heal(life, "tray", 2_500).await;
        site.world.send("a", 2_500..8_500);
        heal(life, "tray", 8_500).await;
        let sizes = |events: &[Record]| -> Vec<usize> {
            let items = events.iter().filter_map(|record| match &record.event {
                Event::Items { items, .. } => Some(items.len()),
                _ => None,
            });
            items.collect()
        };
        assert_eq!(sizes(&site.memory.lock().history), [2_500, 6_000]);
        for _ in 0..60 {
            assert!(!life.topology.checkpoint_is_due(), "all that waited is there");
            life.pass(1.0).await;
        }
    });
}

/// No checkpoint frees enough for it: it would wait for ever.
#[test]
fn a_batch_that_is_larger_than_the_journal_enters_in_parts() {
    let graph = graph(ONE_SINK);
    let site = Site::new();
    site.memory.lock().cap = 64 << 10;
    site.begin(&graph);
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("a", 0..5_000);
        heal(life, "tray", 5_000).await;
        assert_eq!(site.world.values("tray"), (0..5_000).collect::<Vec<_>>());
        assert_eq!(site.world.acked("a"), (0..5_000).collect::<Vec<_>>());
    });
}

#[test]
fn an_item_that_is_larger_than_the_journal_goes_to_the_dead_letters_and_holds_up_nothing() {
    let graph = graph(ONE_SINK);
    let site = Site::new();
    site.begin(&graph);
    site.memory.lock().cap = 32;
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("a", 0..3);
        life.pass(60.0).await;
        assert_eq!(site.world.acked("a"), [0, 1, 2], "it is kept, in another place");
        assert_eq!(life.stats("a").rejected(), 3);
        let letters = site.letters.all();
        assert!(
            letters[0].reason.contains("larger than the journal, which holds 32"),
            "{letters:?}"
        );
        assert_eq!(letters.iter().map(|letter| letter.content.len()).sum::<usize>(), 3);
        site.memory.lock().cap = CAP;
        site.world.send("a", 3..5);
        heal(life, "tray", 2).await;
    });
    assert_eq!(site.world.values("tray"), [3, 4]);
}

#[test]
fn what_nobody_waits_for_is_dropped_and_counted_when_the_journal_is_full() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: { careless: true } }
sinks:
  tray: { inputs: [a], queue: { size: 64KiB }, stash: {} }
",
    );
    let site = site();
    site.begin(&graph);
    site.world.set("tray", Mode::Hangs);
    site.live(&graph, async |life| {
        life.topology.release();
        let sent = send(&site, "a", 400);
        life.pass(30.0).await;
        let dropped = usize::try_from(life.stats("a").dropped()).unwrap();
        assert!(dropped > 0 && dropped < sent.len());
        let kept = sent.len() - dropped;
        heal(life, "tray", kept).await;
        life.pass(10.0).await;
        assert_eq!(site.world.values("tray"), sent[..kept], "the first that had room");
    });
}

#[test]
fn what_waits_outside_waits_while_the_journal_is_full_though_nobody_promised_anything() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: { careless: true, waits: true } }
sinks:
  tray: { inputs: [a], queue: { size: 64KiB }, stash: {} }
",
    );
    let site = site();
    site.begin(&graph);
    site.world.set("tray", Mode::Hangs);
    site.live(&graph, async |life| {
        life.topology.release();
        let sent = send(&site, "a", 400);
        life.pass(30.0).await;
        assert_eq!(life.stats("a").dropped(), 0);
        heal(life, "tray", sent.len()).await;
        assert_eq!(site.world.values("tray"), sent);
    });
}

/// What enters a part that lags is in the journal, whatever it comes from.
#[test]
fn a_recording_that_is_played_into_a_part_that_lags_loses_nothing() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: {} }
  t: { as: t, tape: { count: 50, first: 1000000 } }
sinks:
  tray: { inputs: [a, t], queue: { size: 64KiB }, stash: {} }
",
    );
    let site = site();
    site.begin(&graph);
    site.world.set("tray", Mode::Hangs);
    site.live(&graph, async |life| {
        life.topology.release();
        let sent = send(&site, "a", 40);
        life.pass(60.0).await;
        heal(life, "tray", sent.len() + 50).await;
        let values = site.world.values("tray");
        let (tape, fed): (Vec<i64>, Vec<i64>) = values.iter().partition(|one| **one >= 1_000_000);
        assert_eq!(tape, (1_000_000..1_000_050).collect::<Vec<_>>());
        assert_eq!(fed, sent);
    });
}

#[test]
fn a_tick_waits_for_room_in_the_journal_and_does_not_spin() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: {} }
transforms:
  sum: { as: sum, inputs: [a], tally: { window: 10 } }
sinks:
  tray: { inputs: [sum], stash: {} }
",
    );
    let site = site();
    site.begin(&graph);
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("a", [1, 2, 3]);
        life.pass(1.0).await;
        site.memory.lock().fails = true;
        life.pass(30.0).await;
        assert_eq!(site.world.kept("tray").len(), 3, "no window yet");
        let refused = std::mem::take(&mut site.memory.lock().refused);
        assert!((1..2_000).contains(&refused), "tried {refused} times in 21 seconds");
        assert_eq!(life.topology.checkpoint().await, Ok(()), "a tick that waits holds up nothing");
        site.memory.lock().fails = false;
        life.pass(1.0).await;
        assert_eq!(site.world.values("tray")[3..], [-7], "the window closed once there was room");
    });
}

#[test]
fn a_journal_that_cannot_be_read_for_a_while_loses_nothing() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: {} }
sinks:
  tray: { inputs: [a], queue: { size: 64KiB }, stash: {} }
",
    );
    let site = site();
    site.begin(&graph);
    site.world.set("tray", Mode::Hangs);
    let sent = site.live(&graph, async |life| {
        life.topology.release();
        let sent = send(&site, "a", 60);
        life.pass(5.0).await;
        site.memory.lock().unreadable = true;
        site.world.set("tray", Mode::Fine);
        life.pass(20.0).await;
        let taken = site.world.kept("tray").len();
        assert!(taken > 0 && taken < sent.len(), "what was in memory came out: {taken}");
        assert_eq!(life.topology.checkpoint().await, Ok(()));
        site.memory.lock().unreadable = false;
        heal(life, "tray", sent.len()).await;
        sent
    });
    assert_eq!(site.world.values("tray"), sent);
    site.crash(Crash::Kill);
    site.finish(&graph);
    assert_eq!(site.world.values("tray"), sent, "and nothing comes again");
}

#[test]
fn a_host_does_not_begin_without_what_its_journal_holds() {
    let graph =
        graph("sources: { a: { feed: {} } }\nsinks: { tray: { inputs: [a], stash: {} } }\n");
    let site = site();
    site.begin(&graph);
    site.memory.lock().unreadable = true;
    let started = site.try_live(&graph);
    assert_eq!(started, Err("the journal cannot be read: the disk gives nothing".into()));
}

/// Before the first checkpoint the journal is all there is.
#[test]
fn what_entered_before_the_first_checkpoint_is_not_lost() {
    let graph = graph(
        "
sources:
  a: { as: a, feed: {} }
transforms:
  sum: { as: sum, inputs: [a], tally: { window: 10 } }
sinks:
  tray: { inputs: [sum], stash: {} }
",
    );
    let site = Site::new();
    site.world.set("tray", Mode::FlushFails);
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.send("a", [1, 2, 3]);
        life.steps(20).await;
    });
    assert_eq!(site.world.acked("a"), [1, 2, 3]);
    site.crash(Crash::Kill);
    site.world.set("tray", Mode::Fine);
    site.finish(&graph);
    assert_eq!(site.world.kept("tray").len(), 3);
}
