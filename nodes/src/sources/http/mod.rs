//! Asks a web server every so often.

mod config;
mod server;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, NodeError, Read, Source, SourceBatch};
use smollama_engine::registry::{NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::Trouble;
use tokio::time::{Instant, sleep_until};

use crate::fnv::fnv1a;
use crate::io::message::{Bodies, BodyFormat, rejected};
pub use config::HttpConfig;
use server::{Answer, Server};

/// How often the server is asked where `every` does not say it.
const EVERY: Duration = Duration::from_mins(1);
/// The most that a host asks later than on the full step of the clock, and the part of a step that it may be.
const LATER_MAX: Duration = Duration::from_secs(10);
const LATER_SHARE: f64 = 0.1;

impl NodeConfig for HttpConfig {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "http";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::source(Pace::Polled(EVERY))
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Source(Box::new(Http::new(self, context)?)))
    }
}

struct Http {
    server: Server,
    bodies: Bodies,
    /// Whether each line of an answer is a message of its own.
    is_lines: bool,
    /// How much later than on the step of the clock this host asks.
    later: std::time::Duration,
    /// The server asked for a pause until then.
    pause: Option<Instant>,
    /// Whether the server was asked before: then it is asked a little later.
    has_asked: bool,
    trouble: Trouble,
}

impl Http {
    fn new(config: &HttpConfig, context: &Context) -> Result<Http, Problem> {
        // The same at each step, so that the steps stay equal, and another one on each host and for each node.
        let spread = format!("{}{}", context.host.id, context.address);
        let share = (fnv1a(spread.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64;
        let most = context.every.unwrap_or(EVERY).mul_f64(LATER_SHARE).min(LATER_MAX);
        Ok(Http {
            server: Server::new(config, context)?,
            bodies: Bodies::new(&config.message(), context)?,
            is_lines: config.format == BodyFormat::JsonLines,
            later: most.mul_f64(share).to_std(),
            pause: None,
            has_asked: false,
            trouble: Trouble::default(),
        })
    }

    fn batch(&mut self, body: &[u8]) -> SourceBatch {
        let (mut readings, mut rejects) = (Vec::new(), Vec::new());
        let from = (self.server.host(), self.server.name());
        self.bodies.read(from, body, self.is_lines, &mut readings, &mut rejects);
        SourceBatch { rejects, ..SourceBatch::readings(readings) }
    }
}

fn nothing() -> SourceBatch {
    SourceBatch::readings(Vec::new())
}

#[async_trait]
impl Source for Http {
    /// Dropped while it waits, it has changed nothing: the server is asked once more.
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        if let Some(pause) = self.pause {
            sleep_until(pause).await;
        } else if self.has_asked {
            tokio::time::sleep(self.later).await;
        }
        let answer = self.server.ask().await;
        (self.has_asked, self.pause) = (true, None);
        let batch = match answer {
            Answer::New(body) => self.batch(&body),
            Answer::Same => nothing(),
            Answer::TooLarge(why, beginning) => {
                let rejects = vec![rejected(why, self.server.name().to_owned(), &beginning)];
                SourceBatch { rejects, ..nothing() }
            }
            Answer::None(why, pause) => {
                self.pause = pause.map(|pause| Instant::now() + pause);
                self.trouble.set(Some(why.clone()));
                return Err(NodeError::Retry(why));
            }
        };
        self.trouble.set(None);
        Ok(Read::Batch(batch))
    }

    fn trouble(&self) -> Option<Trouble> {
        Some(self.trouble.clone())
    }
}
