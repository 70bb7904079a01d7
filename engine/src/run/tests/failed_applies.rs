//! P4: an apply that does not succeed, wherever it fails, changes nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::memory::Crash;
use super::site::{Site, graph};
use super::truth::Owes;
use super::world::Mode;
use crate::run::{NoCheckpoint, NotApplied};

/// What runs. Some nodes hold what only one node may hold, so that their successors are made when the old ones are gone.
const GRAPH: &str = "
sources:
  a: { as: a, feed: { claims: one } }
  b: { as: b, feed: {} }
  t: { as: t, tape: { count: 40, step: 2, batch: 5, places: 3, first: 500 } }
  c: { as: c, feed: {} }
transforms:
  fork: { as: fork, inputs: [a], tally: {} }
  join: { as: join, inputs: [a, b, t, fork], tally: { window: 7 } }
  apart: { as: apart, inputs: [c], tally: {} }
sinks:
  vault: { inputs: [join, b], queue: { size: 64KiB }, stash: { keeps_position: true } }
  tray: { inputs: [join, a], queue: { size: 64KiB }, stash: { claims: two } }
  post: { inputs: [fork, b], stash: { sent: true } }
  screen: { inputs: [join, a], stash: { shown: true } }
  other: { inputs: [apart], stash: { keeps_position: true } }
";

/// The sinks, what they owe after a crash, and whose inputs they have.
const SINKS: [(&str, Owes, &str); 5] = [
    ("vault", Owes::Once, "vault"),
    ("tray", Owes::AtLeastOnce, "tray"),
    ("post", Owes::AtLeastOnce, "post"),
    ("screen", Owes::AtMostOnce, "tray"),
    ("other", Owes::Once, "other"),
];

/// Edits of the graph: what is replaced by what.
type Edits = [(&'static str, &'static str)];

/// Everything at once: nodes of each kind that are changed, renamed and removed.
const MUCH: &Edits = &[
    ("  a: {", "  a2: { renamed_from: a,"),
    ("  b: { as: b, feed: {} }", "  b: { as: b, feed: { version: 2 } }"),
    ("count: 40", "count: 41"),
    ("  fork: { as: fork, inputs: [a]", "  fork2: { renamed_from: fork, as: fork, inputs: [a2]"),
    ("inputs: [a, b, t, fork], tally: { window: 7 }", "inputs: [b, t], tally: { window: 9 }"),
    ("  tray: { inputs: [join, a]", "  tray2: { renamed_from: tray, inputs: [join, a2]"),
    ("inputs: [join, b], queue: { size: 64KiB }", "inputs: [join]"),
    ("  post: { inputs: [fork, b], stash: { sent: true } }", "  new: { inputs: [b], stash: {} }"),
    ("  screen: { inputs: [join, a]", "  screen: { inputs: [fork2]"),
];

fn edited(edits: &Edits) -> String {
    edits.iter().fold(GRAPH.to_owned(), |yaml, (from, to)| {
        assert!(yaml.contains(from), "{from}");
        yaml.replacen(from, to, 1)
    })
}

/// A way in which an apply fails.
struct Failing {
    why: &'static str,
    edits: &'static Edits,
    prepare: fn(&Site),
    is_it: fn(&NotApplied) -> bool,
    /// Nothing that runs was touched.
    untouched: bool,
}

fn nothing(_: &Site) {}

fn tray(mode: Mode) -> impl Fn(&Site) {
    move |site| site.world.set("tray", mode)
}

fn blocked_by_tray(error: &NotApplied) -> bool {
    matches!(error, NotApplied::NotKept(NoCheckpoint::Blocked(node)) if **node == *"p/tray")
}

fn not_built(error: &NotApplied) -> bool {
    matches!(error, NotApplied::Build(errors) if errors.len() == 1)
}

const FAILING: [Failing; 11] = [
    Failing {
        why: "a source cannot be made",
        edits: &[
            ("sources:", "sources:\n  d: { feed: { broken: true } }"),
            ("[join, b]", "[join, d]"),
        ],
        prepare: nothing,
        is_it: not_built,
        untouched: true,
    },
    Failing {
        why: "a transform cannot be made",
        edits: &[("inputs: [a], tally: {}", "inputs: [a], tally: { broken: true }")],
        prepare: nothing,
        is_it: not_built,
        untouched: true,
    },
    Failing {
        why: "a sink cannot be made, and all else is new too",
        edits: &[
            MUCH[0],
            MUCH[1],
            MUCH[3],
            MUCH[4],
            MUCH[5],
            MUCH[8],
            ("[fork, b], stash: { sent: true", "[fork2, b], stash: { broken: true, sent: true"),
            ("claims: two", "version: 3"),
        ],
        prepare: nothing,
        is_it: not_built,
        untouched: true,
    },
    Failing {
        why: "a source that waits for what the old one holds cannot be made",
        edits: &[("claims: one", "claims: one, broken: true")],
        prepare: nothing,
        is_it: not_built,
        untouched: false,
    },
    Failing {
        why: "a sink that waits for what the old one holds cannot be made",
        edits: &[("claims: two", "claims: two, broken: true")],
        prepare: nothing,
        is_it: not_built,
        untouched: false,
    },
    Failing {
        why: "a sink that waits for what one holds that is removed cannot be made",
        edits: &[(
            "  tray: { inputs: [join, a], queue: { size: 64KiB }, stash: { claims: two } }",
            "  tub: { inputs: [join], stash: { claims: two, broken: true } }",
        )],
        prepare: nothing,
        is_it: not_built,
        untouched: false,
    },
    Failing {
        why: "a sink that stays hangs",
        edits: &[("inputs: [a], tally: {}", "inputs: [a], tally: { window: 20 }")],
        prepare: |site| tray(Mode::Hangs)(site),
        is_it: blocked_by_tray,
        untouched: false,
    },
    Failing {
        why: "a sink that stays fails",
        edits: &[("window: 7", "window: 8"), ("stash: { shown", "stash: { version: 1, shown")],
        prepare: |site| tray(Mode::Fails)(site),
        is_it: blocked_by_tray,
        untouched: false,
    },
    Failing {
        why: "a sink that stays cannot flush",
        edits: &[
            MUCH[0],
            MUCH[1],
            MUCH[3],
            MUCH[8],
            ("[join, a]", "[join, a2]"),
            ("inputs: [a, b, t, fork]", "inputs: [a2, b, t, fork2]"),
            ("[fork, b]", "[fork2, b]"),
        ],
        prepare: |site| tray(Mode::FlushFails)(site),
        is_it: blocked_by_tray,
        untouched: false,
    },
    Failing {
        why: "a sink that is replaced cannot be closed",
        edits: &[
            ("claims: two", "claims: two, version: 2"),
            ("count: 40", "count: 41"),
            ("keeps_position: true", "keeps_position: true, version: 2"),
        ],
        prepare: |site| tray(Mode::CloseFails)(site),
        is_it: |error| matches!(error, NotApplied::NotClosed(_)),
        untouched: false,
    },
    Failing {
        why: "the checkpoint cannot be written",
        edits: MUCH,
        prepare: |site| site.memory.lock().checkpoints_fail = true,
        is_it: |error| matches!(error, NotApplied::NotKept(NoCheckpoint::Disk(_))),
        untouched: false,
    },
];

/// Sends a few numbers from everyone.
fn send(site: &Site, next: &mut i64, count: i64) {
    for sender in ["a", "b", "c"] {
        site.world.send(sender, *next..*next + count);
        *next += count;
    }
}

fn fails(failing: &Failing, count: i64, crash: bool) {
    let (before, after) = (graph(GRAPH), graph(&edited(failing.edits)));
    let site = Site::new();
    site.begin(&before);
    let mut next = 2_000_000;
    let made = |site: &Site| site.world.lock().stores["tray"].made;
    let states = site.live(&before, async |life| {
        life.topology.release();
        for _ in 0..3 {
            send(&site, &mut next, count);
            life.pass(2.1).await;
        }
        let (checkpoint, objects) = (site.memory.latest(), made(&site));
        (failing.prepare)(&site);
        // Some of it is under way, and some comes meanwhile.
        send(&site, &mut next, count);
        life.steps(7).await;
        send(&site, &mut next, count);
        let applied = life.apply_meanwhile(&after, async {
            for _ in 0..5 {
                send(&site, &mut next, count);
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
        });
        let began = Instant::now();
        let error = applied.await.expect_err(failing.why);
        assert!((failing.is_it)(&error), "{}: {error:?}", failing.why);
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{}: {:?}",
            failing.why,
            began.elapsed()
        );
        assert_eq!(site.memory.latest(), checkpoint, "{}", failing.why);
        let addresses = |graph: &crate::plan::Graph| -> Vec<_> {
            graph.nodes().map(|(_, node)| node.address.clone()).collect()
        };
        assert_eq!(addresses(life.topology.graph()), addresses(&before));
        site.memory.lock().checkpoints_fail = false;
        site.world.set("tray", Mode::Fine);
        send(&site, &mut next, count);
        life.until("it goes on", |life| life.site.world.acked("c").contains(&(next - 1))).await;
        life.pass(70.0).await;
        send(&site, &mut next, count);
        life.pass(30.0).await;
        if failing.untouched {
            let by: Vec<u32> = site.world.kept("tray").iter().map(|item| item.by).collect();
            assert!(by.iter().all(|by| *by == objects), "{}: the old one goes on", failing.why);
        }
        if crash {
            life.topology.checkpoint().await.unwrap();
            send(&site, &mut next, count);
            life.steps(9).await;
            return Vec::new();
        }
        life.end().await
    });
    let states = match crash {
        true => {
            site.crash(Crash::Kill);
            site.finish(&before)
        }
        false => states,
    };
    let (expected, expected_states) = site.reference(&before);
    for (store, owes, like) in SINKS {
        let owes = if crash { owes } else { Owes::Once };
        site.assert_owed(store, owes, &expected[like]);
    }
    assert_eq!(states, expected_states, "{}", failing.why);
    assert_eq!(site.letters.all(), [], "{}", failing.why);
}

#[test]
fn an_apply_that_fails_changes_nothing_wherever_it_fails() {
    for failing in &FAILING {
        fails(failing, 3, false);
        // With so much that queues are full.
        fails(failing, 900, false);
    }
}

#[test]
fn a_crash_after_an_apply_that_failed_finds_the_old_graph() {
    for failing in &FAILING {
        fails(failing, 3, true);
        fails(failing, 900, true);
    }
}
