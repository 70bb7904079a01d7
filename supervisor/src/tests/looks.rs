//! What `status` says of a disk that does not do what it should, and of a queue that fills.

use smollama_engine::control::{Control, Status};
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
