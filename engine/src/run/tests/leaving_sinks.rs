//! Applies while a sink takes nothing: one that stays, one that is replaced, one that is removed.

use std::time::Duration;

use tokio::time::Instant;

use super::memory::Crash;
use super::site::{Life, Site, graph};
use super::values_of;
use super::world::Mode;
use crate::run::{DeadContent, NotApplied};

/// How a sink takes nothing.
const STUCK: [Mode; 3] = [Mode::Hangs, Mode::Fails, Mode::FlushFails];

/// One sink beside the one that matters, in the same part, and one in another.
fn pipeline(sink: &str) -> String {
    format!(
        "
sources:
  a: {{ as: a, feed: {{}} }}
  b: {{ as: b, feed: {{}} }}
transforms:
  sum: {{ as: sum, inputs: [a], tally: {{ window: 1000000, through: true }} }}
sinks:
  beside: {{ inputs: [sum], queue: {{ size: 64KiB }}, stash: {{}} }}
  apart: {{ inputs: [b], queue: {{ size: 64KiB }}, stash: {{}} }}
{sink}"
    )
}

/// Settings of a sink without a spool.
const NOT_SPOOLED: [&str; 5] = [
    "lingers: false",
    "keeps_position: true",
    "lingers: true",
    "shown: true",
    "spool: 0B, sent: true",
];

fn sink(settings: &str) -> String {
    let (queue, settings) = match settings.strip_prefix("spool: 0B, ") {
        Some(settings) => ("size: 64KiB, spool: 0B", settings),
        None => ("size: 64KiB", settings),
    };
    pipeline(&format!(
        "  it: {{ inputs: [sum], queue: {{ {queue} }}, stash: {{ into: it, {settings} }} }}\n"
    ))
}

/// The same with a sink that is made anew.
fn made_anew(yaml: &str) -> String {
    yaml.replace("into: it", "into: it, version: 2")
}

/// What lies in the dead letters, as values.
fn buried(site: &Site) -> Vec<i64> {
    let letters = site.letters.all().into_iter();
    let values = letters.flat_map(|letter| match letter.content {
        DeadContent::Items(items) => values_of(&items),
        DeadContent::Raw(_) => panic!("only items"),
    });
    values.collect()
}

/// What the sink has and what lies in the dead letters, in the order of the values.
fn kept_and_buried(site: &Site, settings: &str) -> Vec<i64> {
    let mut found = site.world.values("it");
    assert!(found.is_sorted_by(|one, next| one < next), "{settings}: in order, and nothing twice");
    found.extend(buried(site));
    found.sort_unstable();
    if settings.contains("keeps_position") {
        // What it wrote since its last checkpoint it may have or not; then it is in the dead letters as well.
        found.dedup();
    }
    found
}

/// Sends batches of one size, and what comes next.
struct Sender {
    batch: i64,
    next: i64,
}

impl Sender {
    async fn send(&mut self, life: &Life<'_>, batches: i64) {
        for _ in 0..batches {
            for sender in ["a", "b"] {
                life.site.world.send(sender, self.next..self.next + self.batch);
            }
            self.next += self.batch;
            life.pass(0.3).await;
        }
    }
}

/// Applies while the sink is stuck, sends on, heals, and ends. Gives what the apply said.
fn apply_while_stuck(
    site: &Site,
    (before, after): (&str, &str),
    mode: Mode,
    batch: i64,
) -> (Result<Duration, NotApplied>, Vec<i64>) {
    let (before, after) = (graph(before), graph(after));
    site.begin(&before);
    let mut sender = Sender { batch, next: 0 };
    let said = site.live(&before, async |life| {
        life.topology.release();
        sender.send(life, 3).await;
        site.world.set("it", mode);
        sender.send(life, 4).await;
        let began = Instant::now();
        let applied = life.apply(&after).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{mode:?}: {took:?}");
        sender.send(life, 3).await;
        site.world.set("it", Mode::Fine);
        life.pass(70.0).await;
        sender.send(life, 1).await;
        life.pass(30.0).await;
        life.end().await;
        applied.map(|_| took)
    });
    assert_eq!(site.world.population(), 0, "nothing of it is left");
    let all: Vec<i64> = (0..sender.next).collect();
    assert_eq!(site.world.values("beside"), all, "{mode:?}: what stays gets all of it, once");
    assert_eq!(site.world.values("apart"), all, "{mode:?}");
    (said, all)
}

#[test]
fn a_sink_of_another_part_that_takes_nothing_is_not_waited_for() {
    let before = sink("sent: false").replace("it: { inputs: [sum]", "it: { inputs: [b]");
    let after = before.replace("window: 1000000", "window: 2000000");
    assert_ne!(before, after);
    for mode in STUCK {
        for batch in [5, 900] {
            let site = Site::new();
            let (said, all) = apply_while_stuck(&site, (&before, &after), mode, batch);
            assert!(said.unwrap() < Duration::from_secs(1), "{mode:?}");
            assert_eq!(site.world.values("it"), all, "{mode:?}");
            assert_eq!(site.letters.all(), []);
        }
    }
}

#[test]
fn what_a_sink_did_not_take_that_is_removed_goes_to_the_dead_letters() {
    for settings in NOT_SPOOLED.into_iter().chain(["sent: true"]) {
        for mode in STUCK {
            for batch in [5, 900] {
                let site = Site::new();
                let (before, after) = (sink(settings), pipeline(""));
                let (said, _) = apply_while_stuck(&site, (&before, &after), mode, batch);
                said.unwrap();
                let found = kept_and_buried(&site, settings);
                // Where it kept its part from going on, the cut lies before what had not taken effect.
                let took_effect = if batch == 5 { 7 * batch } else { 4 * batch };
                let count = found.len() as i64;
                assert!((took_effect..=11 * batch).contains(&count), "{settings} {mode:?} {count}");
                assert!(
                    found.iter().copied().eq(0..found.len() as i64),
                    "{settings} {mode:?} {batch}"
                );
                assert_eq!(site.memory.spools(), 0);
            }
        }
    }
}

#[test]
fn what_a_sink_did_not_take_that_is_replaced_is_its_successors_or_a_dead_letter() {
    for settings in NOT_SPOOLED {
        for mode in STUCK {
            for batch in [5, 900] {
                let site = Site::new();
                let before = sink(settings);
                let after = made_anew(&before);
                let (said, all) = apply_while_stuck(&site, (&before, &after), mode, batch);
                said.unwrap();
                let found = kept_and_buried(&site, settings);
                assert_eq!(found.len(), all.len(), "{settings} {mode:?} {batch}");
                assert_eq!(found, all, "{settings} {mode:?} {batch}");
            }
        }
    }
}

/// Somebody who writes a wrong address has to be able to write the right one.
#[test]
fn the_spool_of_a_sink_that_is_replaced_is_its_successors() {
    let (before, after) = (sink("sent: true"), made_anew(&sink("sent: true")));
    for mode in [Mode::Fails, Mode::FlushFails] {
        for batch in [5, 900] {
            for (before, after) in [
                (before.clone(), after.clone()),
                (
                    before.clone(),
                    after
                        .replace("  it: {", "  new: { renamed_from: it,")
                        .replace(", version: 2", ""),
                ),
            ] {
                let site = Site::new();
                let (said, all) = apply_while_stuck(&site, (&before, &after), mode, batch);
                assert!(said.unwrap() < Duration::from_secs(3), "{mode:?}");
                assert_eq!(site.world.values("it"), all, "{mode:?} {batch}");
                assert_eq!(site.letters.all(), []);
            }
        }
    }
    // One that hangs in a call may be sending: its spool is not given to another one beside it.
    let site = Site::new();
    let (said, all) = apply_while_stuck(&site, (&before, &after), Mode::Hangs, 5);
    assert!(matches!(said, Err(NotApplied::NotClosed(_))), "{said:?}");
    assert_eq!(site.world.values("it"), all);
    assert_eq!(site.letters.all(), []);
}

/// A spool, or none: what waits is not lost, whichever of the two it waits in.
#[test]
fn a_spool_that_is_added_or_taken_away_loses_nothing() {
    let (with, without) = (sink("sent: true"), sink("spool: 0B, sent: true"));
    assert_ne!(with, without);
    for (before, after) in [(&with, &without), (&without, &with)] {
        for mode in [Mode::Fine, Mode::Slow(400)] {
            for batch in [5, 900] {
                let site = Site::new();
                let (said, all) = apply_while_stuck(&site, (before, after), mode, batch);
                said.unwrap();
                assert_eq!(site.world.values("it"), all, "{mode:?} {batch}");
                assert_eq!(site.letters.all(), []);
            }
        }
    }
}

/// The apply is done, and the spool of the sink that is gone was not emptied yet.
#[test]
fn a_crash_leaves_no_spool_behind_that_nobody_empties() {
    let (before, after) = (graph(&sink("sent: true")), graph(&pipeline("")));
    for crash in [Crash::Kill, Crash::PowerCut] {
        let site = Site::new();
        site.begin(&before);
        site.world.set("it", Mode::Hangs);
        site.live(&before, async |life| {
            life.topology.release();
            let mut sender = Sender { batch: 5, next: 0 };
            sender.send(life, 6).await;
            life.topology.checkpoint().await.unwrap();
            site.memory.lock().spools_fail = true;
            life.apply(&after).await.unwrap();
        });
        assert!(buried(&site).is_empty());
        site.memory.lock().spools_fail = false;
        site.crash(crash);
        site.finish(&site.graph());
        assert_eq!(buried(&site), (0..30).collect::<Vec<_>>(), "{crash:?}");
        assert_eq!(site.memory.spools(), 0);
    }
}

/// What it had refused before is where it was; nothing is refused for the sake of the apply.
#[test]
fn a_sink_that_refuses_something_is_replaced_like_any_other() {
    let (before, after) = (sink("sent: false"), made_anew(&sink("sent: false")));
    for batch in [5, 900] {
        let site = Site::new();
        let (said, all) =
            apply_while_stuck(&site, (&before, &after), Mode::Rejects(4 * batch), batch);
        said.unwrap();
        let mut found = site.world.values("it");
        let refused = buried(&site);
        assert!(refused.contains(&(4 * batch)), "{refused:?}");
        found.extend(refused);
        found.sort_unstable();
        assert_eq!(found, all);
    }
}

/// A source that had come to its end and is changed begins anew; one that is not stays where it is.
#[test]
fn a_source_that_had_ended_goes_on_where_it_is_changed_and_stays_ended_where_it_is_not() {
    let before = pipeline("");
    for (after, goes_on) in [
        (before.replace("feed: {} }\n  b", "feed: { version: 2 } }\n  b"), true),
        (before.replace("window: 1000000", "window: 2000000"), false),
    ] {
        assert_ne!(before, after);
        let site = Site::new();
        let (before, after) = (graph(&before), graph(&after));
        site.begin(&before);
        site.live(&before, async |life| {
            life.topology.release();
            site.world.send("a", 0..5);
            site.world.end("a");
            life.rest().await;
            site.world.lock().senders.get_mut("a").unwrap().ended = false;
            life.apply(&after).await.unwrap();
            site.world.send("a", 5..9);
            life.rest().await;
            assert_eq!(life.topology.stop().await, Vec::<String>::new());
        });
        let count = if goes_on { 9 } else { 5 };
        assert_eq!(site.world.values("beside"), (0..count).collect::<Vec<_>>());
    }
}

/// It was acknowledged, and the part that it entered could not take it before both its ends were gone.
#[test]
fn what_a_source_gave_that_is_removed_and_nobody_took_goes_to_the_dead_letters() {
    let before = "
sources:
  a: { as: a, feed: {} }
  b: { as: b, feed: {} }
sinks:
  it: { inputs: [a, b], queue: { size: 64KiB }, stash: {} }
";
    let after = before.replace("  a: { as: a, feed: {} }\n", "");
    let after = after.replace("  it: { inputs: [a, b]", "  new: { inputs: [b]");
    let (before, after) = (graph(before), graph(&after));
    // What waits in memory, and what lies only in the journal.
    for batches in [6, 20] {
        let site = Site::new();
        site.begin(&before);
        site.world.set("it", Mode::Hangs);
        site.live(&before, async |life| {
            life.topology.release();
            for batch in 0..batches {
                site.world.send("a", batch * 900..(batch + 1) * 900);
                site.world.send("b", 1_000_000 + batch * 900..1_000_000 + (batch + 1) * 900);
                life.pass(0.3).await;
            }
            assert_eq!(life.topology.gauges().iter().any(|one| one.is_lagging()), batches == 20);
            life.apply(&after).await.unwrap();
            life.end().await;
        });
        let mut found = site.world.values("it");
        found.extend(site.world.values("new"));
        found.extend(buried(&site));
        found.sort_unstable();
        let all = (0..batches * 900).chain(1_000_000..1_000_000 + batches * 900);
        assert!(found.iter().copied().eq(all), "{batches}: {}", found.len());
        let of_a = site.letters.all().into_iter().filter(|letter| *letter.address == *"p/a");
        assert!(of_a.count() > 0, "the source had given what nobody took");
    }
}

/// A host that keeps nothing promises nothing; but an apply is no crash.
#[test]
fn where_nothing_is_kept_what_a_removed_sink_did_not_take_is_not_lost_either() {
    let (before, after) = (graph(&sink("lingers: false")), graph(&pipeline("")));
    for mode in [Mode::Hangs, Mode::Fails] {
        for batch in [5, 900] {
            let mut site = Site::new();
            site.keeps = false;
            let mut sender = Sender { batch, next: 0 };
            site.live(&before, async |life| {
                life.topology.release();
                site.world.set("it", mode);
                sender.send(life, 4).await;
                life.apply(&after).await.unwrap();
                life.rest().await;
                assert_eq!(life.topology.stop().await, Vec::<String>::new());
            });
            let found = kept_and_buried(&site, "");
            let enough = if batch == 5 { 20 } else { 1_800 };
            assert!(found.len() >= enough, "{mode:?} {batch}: {}", found.len());
            assert!(found.iter().copied().eq(0..found.len() as i64), "{mode:?} {batch}");
            assert!(site.world.values("beside").iter().copied().eq(0..sender.next));
        }
    }
}
