//! A source is closed before another takes its place, when it has ended, and at a stop.

use super::site::{Site, graph};

fn closed(site: &Site) -> u32 {
    site.world.lock().senders.entry("a".into()).or_default().closed
}

fn of(version: u32) -> String {
    format!(
        "sources:\n  in: {{ feed: {{ from: a, version: {version} }} }}\nsinks:\n  out: {{ inputs: [in], stash: {{ into: out }} }}\n"
    )
}

#[test]
fn before_another_takes_its_place_and_at_a_stop() {
    let (site, first, second) = (Site::new(), graph(&of(1)), graph(&of(2)));
    site.begin(&first);
    site.live(&first, async |life| {
        life.topology.release();
        site.world.send("a", 1..3);
        life.until("it arrived", |_| site.world.values("out") == [1, 2]).await;
        assert_eq!(closed(&site), 0);
        life.apply(&second).await.unwrap();
        assert_eq!(closed(&site), 1, "the one that was there");
        site.world.send("a", 3..4);
        life.until("it arrived", |_| site.world.values("out") == [1, 2, 3]).await;
        life.end().await;
        assert_eq!(closed(&site), 2);
    });
}

#[test]
fn when_it_has_ended() {
    let (site, graph) = (Site::new(), graph(&of(1)));
    site.begin(&graph);
    site.live(&graph, async |life| {
        life.topology.release();
        site.world.end("a");
        life.until("it was closed", |_| closed(&site) == 1).await;
        life.end().await;
        assert_eq!(closed(&site), 1, "once");
    });
}
