//! A program that is run once each time the engine asks.

use memchr::memchr;
use serde::de::IgnoredAny;
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{NodeError, Read, SourceBatch};
use smollama_engine::registry::Problem;
use smollama_engine::trouble::Trouble;
use tokio::time::{Instant, sleep_until};

use super::config::ExecConfig;
use super::running::Running;
use crate::io::child::{Input, Output, Program};
use crate::io::message::{Bodies, BodyFormat, rejected};

/// See the module.
pub(super) struct RunsEach {
    program: Program,
    every: Duration,
    timeout: Duration,
    largest: usize,
    bodies: Bodies,
    format: BodyFormat,
    /// What runs, and since when.
    run: Option<(Running, Instant)>,
    /// A run failed: the next one comes not before.
    due: Option<Instant>,
    trouble: Trouble,
}

/// How a run ended.
enum Ended {
    /// All by itself.
    Done,
    /// Its output is larger than it may be.
    TooLarge,
    /// It took too long.
    Late,
}

impl RunsEach {
    /// `every`: how often it is asked.
    pub(super) fn new(
        config: &ExecConfig,
        every: Duration,
        context: &Context,
        trouble: Trouble,
    ) -> Result<RunsEach, Problem> {
        Ok(RunsEach {
            program: config.launch().program(context)?,
            every,
            timeout: config.timeout(),
            largest: config.largest(),
            bodies: Bodies::new(&config.message(), context)?,
            format: config.format,
            run: None,
            due: None,
            trouble,
        })
    }

    pub(super) async fn close(&mut self) {
        if let Some((mut running, _)) = self.run.take() {
            running.child.stop(self.program.patience, false).await;
        }
    }

    /// See [`smollama_engine::node::Source::read`].
    pub(super) async fn read(&mut self) -> Result<Read, NodeError> {
        if let Some(due) = self.due {
            sleep_until(due).await;
            self.due = None;
        }
        if self.run.is_none() {
            let child = self.program.start(Input::Empty, Output::Pipe, &[]);
            let child = child.map_err(|why| self.failed(Instant::now(), why))?;
            self.run = Some((Running::of_one_text(child), Instant::now()));
        }
        let Some((running, began)) = &mut self.run else { return Ok(nothing()) };
        let (name, began) = (self.program.name().to_owned(), *began);
        let ended = wait_for(running, began + self.timeout.to_std(), self.largest).await;
        let why = match ended {
            Ended::Done => {
                let words = running.child.last_words().await;
                let is_well = running.child.exited().is_some_and(|status| status.success());
                (!is_well).then(|| format!("`{name}` {words}"))
            }
            Ended::TooLarge => None,
            Ended::Late => {
                running.child.stop(self.program.patience, false).await;
                let words = running.child.last_words().await;
                let timeout = self.timeout;
                Some(format!(
                    "`{name}` still ran after {timeout} (`timeout`), was told to end, and {words}"
                ))
            }
        };
        // It is no more from here on, whatever is left of it.
        let Some((mut running, _)) = self.run.take() else { return Ok(nothing()) };
        if let Some(why) = why {
            return Err(self.failed(began, why));
        }
        self.trouble.set(None);
        let output = running.lines.rest().unwrap_or_default();
        let (mut readings, mut rejects) = (Vec::new(), Vec::new());
        if output.len() > self.largest {
            let largest = self.largest;
            rejects.push(rejected(format!("more than `max_size` ({largest} bytes)"), name, output));
        } else {
            let is_lines = is_lines(self.format, output);
            self.bodies.read((&name, &name), output, is_lines, &mut readings, &mut rejects);
        }
        Ok(Read::Batch(SourceBatch { rejects, ..SourceBatch::readings(readings) }))
    }

    /// A run that began then failed: the next one comes at its time.
    fn failed(&mut self, began: Instant, why: String) -> NodeError {
        self.due = Some(began + self.every.to_std());
        self.trouble.set(Some(why.clone()));
        NodeError::Retry(why)
    }
}

fn nothing() -> Read {
    Read::Batch(SourceBatch::readings(Vec::new()))
}

/// Waits for the end of a run. Cancel-safe.
async fn wait_for(running: &mut Running, until: Instant, largest: usize) -> Ended {
    let ended = async {
        while running.next().await {
            if running.lines.len() > largest {
                return Ended::TooLarge;
            }
        }
        running.child.exit().await;
        Ended::Done
    };
    tokio::select! {
        biased;
        ended = ended => ended,
        () = sleep_until(until) => Ended::Late,
    }
}

/// Whether each line of an output is a message: said so, or JSON whose first line is whole and not all of it.
fn is_lines(format: BodyFormat, output: &[u8]) -> bool {
    let output = output.trim_ascii();
    match (format, memchr(b'\n', output)) {
        (BodyFormat::JsonLines, _) => true,
        (BodyFormat::Auto, Some(end)) if output.starts_with(b"{") || output.starts_with(b"[") => {
            let first = output.get(..end).unwrap_or_default();
            serde_json::from_slice::<IgnoredAny>(first).is_ok()
        }
        _ => false,
    }
}
