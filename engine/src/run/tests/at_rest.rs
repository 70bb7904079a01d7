//! A sink that has nothing to tend is left alone while nothing comes, and only then.

use super::site::{Life, Site, graph};
use super::world::Mode;
use crate::plan::Graph;

const KINDS: [&str; 4] = ["", "keeps_position: true, ", "sent: true, ", "shown: true, "];

fn of(kind: &str, sleeps: bool) -> Graph {
    graph(&format!(
        "sources:\n  a: {{ as: a, feed: {{}} }}\nsinks:\n  out: {{ inputs: [a], stash: {{ {kind}sleeps: {sleeps} }} }}\n"
    ))
}

/// How often it is called in a minute.
async fn calls_in_a_minute(life: &Life<'_>) -> u32 {
    let calls = || life.site.world.with_store("out", |store| store.tries);
    let before = calls();
    life.pass(60.0).await;
    calls() - before
}

#[test]
fn a_sink_is_called_while_nothing_comes_only_where_it_has_something_to_tend() {
    for kind in KINDS {
        for sleeps in [false, true] {
            let (site, graph) = (Site::new(), of(kind, sleeps));
            site.begin(&graph);
            site.live(&graph, async |life| {
                life.topology.release();
                let calls = if sleeps { 0 } else { 12 };
                for number in 0..3 {
                    site.world.send("a", number..number + 1);
                    life.pass(10.0).await;
                    assert_eq!(calls_in_a_minute(life).await, calls, "{kind} {number}");
                    if number == 1 {
                        life.topology.checkpoint().await.unwrap();
                        life.pass(10.0).await;
                        assert_eq!(calls_in_a_minute(life).await, calls, "{kind} a barrier");
                    }
                }
                life.end().await;
                assert_eq!(site.world.values("out"), [0, 1, 2]);
            });
        }
    }
}

#[test]
fn what_could_not_be_flushed_is_tried_again_though_nothing_comes() {
    for kind in ["", "sent: true, "] {
        let (site, graph) = (Site::new(), of(kind, true));
        site.begin(&graph);
        site.live(&graph, async |life| {
            life.topology.release();
            site.world.set("out", Mode::FlushFails);
            site.world.send("a", 0..1);
            life.pass(10.0).await;
            assert!(calls_in_a_minute(life).await > 0, "{kind}");
            site.world.set("out", Mode::Fine);
            life.until("it is out", |_| site.world.values("out") == [0]).await;
            life.pass(10.0).await;
            assert_eq!(calls_in_a_minute(life).await, 0, "{kind}");
        });
    }
}
