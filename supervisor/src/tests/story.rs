//! What happens in the lives of a host.

use std::fs;
use std::path::Path;

use smollama_engine::duration::Duration;

use super::site::{Ended, Life};

/// Which pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    First,
    /// A sink is changed, one removed, one added; the rest lives on.
    Second,
}

const TAPE: &str = "
pipeline: old
sources: { tape: { as: tape, tape: {} } }
sinks: { kept: { inputs: [tape], parquet: { path: tape } } }
";

const ALWAYS: &str = "
pipeline: p
sources:
  a: { as: a, feed: {} }
  b: { as: b, feed: {} }
transforms:
  sums: { inputs: [a, b], window: { length: 5s } }
  news: { inputs: [a], dedup: {} }
sinks:
  history: { inputs: [a, b], parquet: { path: history } }
  windows: { inputs: [sums], parquet: { path: windows } }
  log: { inputs: [b], file: { path: log.jsonl } }
";

/// Writes the files of the pipelines.
pub(super) fn write(folder: &Path, version: Version) {
    let sinks = match version {
        Version::First => {
            "  out: { inputs: [a, b], sent: {} }\n  gone: { inputs: [news], sent: {} }\n"
        }
        Version::Second => {
            "  out: { inputs: [a, b], sent: { version: 2 } }\n  more: { inputs: [news], parquet: { path: more } }\n"
        }
    };
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("old.yaml"), TAPE).unwrap();
    fs::write(folder.join("p.yaml"), format!("{ALWAYS}{sinks}")).unwrap();
}

/// Whether what fails is tried again, as a user would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Trusting,
    Stubborn,
}

impl Mood {
    async fn does<T>(
        self,
        life: &Life,
        mut work: impl AsyncFnMut(&Life) -> Result<T, Ended>,
    ) -> Result<T, Ended> {
        let mut tries = 0;
        loop {
            match work(life).await {
                Err(Ended::Failed(_)) if self == Mood::Stubborn && tries < 20 => tries += 1,
                done => return done,
            }
            life.pass(Duration::from_secs(5)).await?;
        }
    }
}

/// The first life: two versions of the pipelines, with receivers away when the second comes.
pub(super) async fn first(life: Life, mood: Mood) -> Result<(), Ended> {
    mood.does(&life, async |life| life.apply(Version::First).await).await?;
    life.world.lock().confirmed = Some(Version::First);
    life.release().await;
    life.send(4).await?;
    life.pass(Duration::from_secs(6)).await?;
    mood.does(&life, async |life| life.checkpoint().await).await?;
    life.world.set_away("out", true);
    life.world.set_away("gone", true);
    life.send(3).await?;
    life.pass(Duration::from_millis(200)).await?;
    mood.does(&life, async |life| life.apply(Version::Second).await).await?;
    life.world.lock().confirmed = Some(Version::Second);
    life.send(3).await?;
    life.world.set_away("out", false);
    life.pass(Duration::from_secs(6)).await?;
    life.send(2).await?;
    let errors = life.stop().await?;
    // What a node could not do because of its disk is done in the next life.
    if errors.is_empty() || mood == Mood::Stubborn {
        Ok(())
    } else {
        Err(Ended::Failed(errors.join("; ")))
    }
}

/// What a life after the first begins with: the second version is applied, where it does not run. What was confirmed must run.
async fn go_on(life: &Life) -> Result<(), Ended> {
    life.world.set_away("out", false);
    life.world.set_away("gone", false);
    let confirmed = life.world.lock().confirmed;
    let revision = life.apply(Version::Second).await?;
    match confirmed {
        Some(Version::Second) if revision != life.revision => {
            return Err(Ended::Failed("P1: what was applied is not what runs".into()));
        }
        Some(_) if life.revision == 0 => {
            return Err(Ended::Failed("P1: what was applied does not run".into()));
        }
        _ => {}
    }
    life.world.lock().confirmed = Some(Version::Second);
    life.release().await;
    Ok(())
}

/// A life after a crash that works on for a while, and is not stopped.
pub(super) async fn on(life: Life) -> Result<(), Ended> {
    go_on(&life).await?;
    life.send(3).await
}

/// The last life: all that waits goes out, and it ends in peace.
pub(super) async fn last(life: Life) -> Result<(), Ended> {
    go_on(&life).await?;
    life.world.play_on();
    life.send(5).await?;
    life.pass(Duration::from_secs(12)).await?;
    life.checkpoint().await?;
    let errors = life.stop().await?;
    if errors.is_empty() { Ok(()) } else { Err(Ended::Failed(errors.join("; "))) }
}
