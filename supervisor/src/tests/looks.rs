//! What `status` says of a disk that does not do what it should, and of a queue that fills.

use smollama_engine::control::{Control, NodeStatus, Status};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;
use smollama_store::log::Durability;

use super::site::{Ended, Life, Site};
use super::story::Version;

impl Life {
    async fn status(&self) -> Status {
        self.supervisor.handle().status().await.expect("it runs")
    }

    async fn reasons(&self) -> Vec<String> {
        self.supervisor.handle().ready().await.expect("it runs").reasons
    }

    async fn node(&self, address: &str) -> NodeStatus {
        let nodes = self.status().await.nodes;
        nodes.into_iter().find(|node| node.address == address).expect("a node that runs")
    }
}

/// Since when the journal cannot be written, and why; and whether `ready` says the same.
async fn journal_failure(life: &Life) -> Option<(Timestamp, String)> {
    let failure = life.status().await.journal.expect("a journal").failure;
    let reasons = life.reasons().await;
    let said = reasons.iter().find(|reason| reason.starts_with("the journal cannot be written"));
    assert_eq!(said.is_some(), failure.is_some(), "{reasons:?}");
    failure.map(|failure| {
        let said = said.expect("it was looked for");
        let (since, error) = (failure.since.to_string(), failure.error);
        assert!(said.contains(&since) && said.contains(&error), "{said}");
        (failure.since, error)
    })
}

#[test]
fn a_journal_that_cannot_be_written_is_said_since_when_and_why_until_it_can() {
    for durability in [Durability::Power, Durability::Process] {
        let mut site = Site::new(1, durability);
        let lived = site.live(async |life| {
            life.apply(Version::First).await?;
            life.release().await;
            // The next message is none that goes to the dead letters first.
            life.send(5).await?;
            assert_eq!(journal_failure(&life).await, None);
            let full_at = life.status().await.timestamp;
            life.disk.capacity(Some(life.disk.used()));
            life.world.send(3);
            life.pass(Duration::from_secs(2)).await?;
            let (since, why) = journal_failure(&life).await.expect("the disk is full");
            assert!((0.0..=1.5).contains(&since.since(full_at).as_secs_f64()), "{since}");
            assert!(why.contains("storage space") || why.contains("No space"), "{why}");
            life.pass(Duration::from_mins(2)).await?;
            let later = journal_failure(&life).await.expect("the disk is full still");
            assert_eq!(later, (since, why), "it began when it began");
            life.disk.capacity(None);
            life.send(1).await?;
            assert_eq!(journal_failure(&life).await, None, "it can be written");
            Ok::<_, Ended>(())
        });
        lived.unwrap_or_else(|ended| panic!("{durability:?}: {ended}\n{}", site.log()));
    }
}

#[test]
fn how_long_a_spool_will_do_is_said_while_it_fills_and_only_then() {
    let mut site = Site::new(1, Durability::Process);
    let lived = site.live(async |life| {
        life.apply(Version::First).await?;
        life.release().await;
        let spool = async || life.node("p/out").await.spool.expect("it has a spool");
        assert_eq!(spool().await.hours_left, None);
        life.world.set_away("out", true);
        let feed = async |seconds: i64| {
            for _ in 0..seconds {
                life.send(10).await?;
                life.pass(Duration::from_secs(1)).await?;
            }
            Ok::<_, Ended>(life.status().await.timestamp)
        };
        // Before a checkpoint it is written to; afterwards, what comes waits in memory until the next.
        feed(150).await?;
        life.checkpoint().await?;
        let (begun, before) = (feed(0).await?, spool().await);
        let between = feed(90).await.map(async |_| spool().await)?.await;
        life.checkpoint().await?;
        let (ended, after) = (feed(0).await?, spool().await);
        assert_eq!(between.bytes, before.bytes, "nothing was written");
        let growth = (after.bytes - before.bytes) as f64 / ended.since(begun).as_secs_f64();
        for spool in [before, between, after] {
            let expected = (spool.cap - spool.bytes) as f64 / growth / 3600.0;
            let said = spool.hours_left.expect("it fills");
            assert!((said / expected - 1.0).abs() < 0.25, "{said} h, not {expected} h");
        }
        life.pass(Duration::from_mins(3)).await?;
        let idle = spool().await;
        assert_eq!(idle.hours_left, None, "nothing comes, so it never gets full");
        assert!(idle.items > 0, "what waits is there still");
        Ok::<_, Ended>(())
    });
    lived.unwrap_or_else(|ended| panic!("{ended}\n{}", site.log()));
}
