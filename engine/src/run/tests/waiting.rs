//! What nodes say keeps them from their work while none of their calls fails.

use super::site::{Life, Site, graph};
use super::world::Mode;

const GRAPH: &str = "
sources:
  a: { as: a, feed: { says: the broker is away } }
  b: { as: b, feed: { careless: true } }
sinks:
  post: { inputs: [a, b], stash: { says: nobody listens } }
";

fn trouble(life: &Life<'_>, name: &str) -> Option<String> {
    life.stats(name).trouble()
}

#[test]
fn a_node_that_only_waits_says_what_for() {
    let site = Site::new();
    site.live(&graph(GRAPH), async |life| {
        life.topology.release();
        life.until("both say so", |life| {
            trouble(life, "a").as_deref() == Some("the broker is away")
                && trouble(life, "post").as_deref() == Some("nobody listens")
        })
        .await;
        assert_eq!(life.stats("a").errors(), 0);
        site.world.set("post", Mode::Fails);
        site.world.send("a", 1..2);
        life.until("a call that fails is said first", |life| {
            trouble(life, "post").is_some_and(|why| why != "nobody listens")
        })
        .await;
        assert_eq!(trouble(life, "a"), None, "it works again");
        site.world.set("post", Mode::Fine);
        life.until("what it says itself is back", |life| {
            trouble(life, "post").as_deref() == Some("nobody listens")
        })
        .await;
        life.end().await;
    });
}

#[test]
fn a_successor_says_its_own_and_one_that_stays_goes_on_saying() {
    let site = Site::new();
    site.live(&graph(GRAPH), async |life| {
        life.topology.release();
        life.rest().await;
        let broken = GRAPH.replace("the broker is away", "another, broken: true");
        life.apply(&graph(&broken)).await.unwrap_err();
        life.rest().await;
        assert_eq!(trouble(life, "a").as_deref(), Some("the broker is away"));

        // The successor is made while the disk does not take what must be kept first: the old one is put back.
        site.world.set("post", Mode::Hangs);
        site.world.send("b", 1..3);
        let new = GRAPH.replace("the broker is away", "another broker is away");
        life.apply(&graph(&new)).await.unwrap_err();
        site.world.set("post", Mode::Fine);
        life.until("the old one is back", |life| {
            trouble(life, "a").as_deref() == Some("the broker is away")
        })
        .await;

        life.apply(&graph(&new)).await.unwrap();
        life.until("the new one says", |life| {
            trouble(life, "a").as_deref() == Some("another broker is away")
        })
        .await;
        life.apply(&graph(&GRAPH.replace("says: the broker is away", ""))).await.unwrap();
        life.until("the next has nothing to say", |life| trouble(life, "a").is_none()).await;
        assert_eq!(trouble(life, "post").as_deref(), Some("nobody listens"));
        life.end().await;
    });
}
