//! Follows files that other programs write.

mod config;
mod follow;
mod found;
mod jetson;
mod lines;
mod place;
#[cfg(test)]
mod tests;
mod watch;
mod whole;

use async_trait::async_trait;
use smollama_engine::context::Context;
use smollama_engine::node::{Node, NodeError, Position, Read, Receipt, Source, SourceBatch};
use smollama_engine::registry::{NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::Trouble;
use tokio::time::{Instant, sleep_until};

pub use config::{Begin, FileWatchConfig, Format};
use watch::Watch;

impl NodeConfig for FileWatchConfig {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "file_watch";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::source(Pace::Live).waits().reads(&self.path)
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Source(Box::new(FileWatch::new(self, context)?)))
    }
}

struct FileWatch {
    watch: Watch,
    poll: std::time::Duration,
    /// When the files are looked at again.
    due: Instant,
    trouble: Trouble,
}

impl FileWatch {
    fn new(config: &FileWatchConfig, context: &Context) -> Result<FileWatch, Problem> {
        let trouble = Trouble::default();
        Ok(FileWatch {
            watch: Watch::new(config, context, trouble.clone())?,
            poll: config.poll.to_std(),
            due: Instant::now(),
            trouble,
        })
    }
}

#[async_trait]
impl Source for FileWatch {
    /// Nothing is awaited between the taking of lines and the return, so nothing is lost when the future is dropped.
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        let asked = Instant::now();
        loop {
            let time = Instant::now();
            if time >= self.due {
                let passed = i64::try_from((time - asked).as_micros()).unwrap_or(i64::MAX);
                let now = now + smollama_engine::duration::Duration::from_micros(passed);
                self.watch.look(now);
                self.due = time + self.poll;
            }
            let gathered = self.watch.gather();
            if !gathered.is_empty() || gathered.moved || gathered.dropped > 0 {
                // What could not be understood is kept before its place counts as read.
                let receipt = (!gathered.rejects.is_empty()).then(|| Receipt::new(|| ()));
                return Ok(Read::Batch(SourceBatch {
                    rejects: gathered.rejects,
                    position: Some(self.watch.position()),
                    receipt,
                    dropped: gathered.dropped,
                    ..SourceBatch::readings(gathered.readings)
                }));
            }
            sleep_until(self.due).await;
        }
    }

    async fn resume(&mut self, position: &Position) -> Result<(), NodeError> {
        self.watch.resume(position).map_err(NodeError::Reject)
    }

    fn trouble(&self) -> Option<Trouble> {
        Some(self.trouble.clone())
    }

    fn blocks(&self) -> bool {
        true
    }
}
