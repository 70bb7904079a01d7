//! A program that runs on, and writes a line whenever it has something.

use std::sync::Arc;

use smollama_engine::context::Context;
use smollama_engine::node::{NodeError, Read, Reject, SourceBatch};
use smollama_engine::reading::Reading;
use smollama_engine::registry::Problem;
use smollama_engine::trouble::Trouble;
use tokio::time::sleep_until;

use super::config::ExecConfig;
use super::running::Running;
use crate::io::child::{Input, Line, Output, Program, Restart, Restarts};
use crate::io::message::{Decoder, rejected};

/// The most readings and refused lines of one batch.
const READINGS_MAX: usize = 1_024;
const REJECTS_MAX: usize = 256;

/// See the module.
pub(super) struct RunsOn {
    address: Arc<str>,
    program: Program,
    restart: Restart,
    restarts: Restarts,
    decoder: Decoder,
    longest: usize,
    running: Option<Running>,
    state: State,
    /// Whether it gave anything since it was made.
    gave: bool,
    trouble: Trouble,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It runs, or is started when it is due.
    On,
    /// It failed, and nobody was told yet. It is started again.
    Failed(String),
    /// It is not started again. Why, where it failed.
    Over(Option<String>),
}

/// What a program gave.
#[derive(Default)]
struct Gathered {
    readings: Vec<Reading>,
    rejects: Vec<Reject>,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.readings.is_empty() && self.rejects.is_empty()
    }

    fn is_full(&self) -> bool {
        self.readings.len() >= READINGS_MAX || self.rejects.len() >= REJECTS_MAX
    }

    fn batch(self) -> Read {
        let Gathered { readings, rejects } = self;
        Read::Batch(SourceBatch { rejects, ..SourceBatch::readings(readings) })
    }
}

impl RunsOn {
    pub(super) fn new(
        config: &ExecConfig,
        context: &Context,
        trouble: Trouble,
    ) -> Result<RunsOn, Problem> {
        Ok(RunsOn {
            address: context.address.clone(),
            program: config.launch().program(context)?,
            restart: config.restart(),
            restarts: Restarts::new(&context.address),
            decoder: Decoder::new(&config.message(), context)?,
            longest: config.largest(),
            running: None,
            state: State::On,
            gave: false,
            trouble,
        })
    }

    pub(super) async fn close(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.stop(self.program.patience, false).await;
        }
    }

    /// How many bytes of it wait here.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.lines.len())
    }

    /// See [`smollama_engine::node::Source::read`].
    pub(super) async fn read(&mut self) -> Result<Read, NodeError> {
        loop {
            match std::mem::replace(&mut self.state, State::On) {
                State::On => {}
                State::Failed(why) => return Err(NodeError::Retry(why)),
                State::Over(why) => {
                    self.state = State::Over(why.clone());
                    let Some(why) = why else { return Ok(Read::Finished) };
                    if self.gave {
                        // It is not made anew, since it gave something before.
                        return Err(NodeError::Fatal(why));
                    }
                    self.gave = true;
                    return Ok(Gathered::default().batch());
                }
            }
            if self.running.is_none() {
                if let Some(due) = self.restarts.due() {
                    sleep_until(due).await;
                }
                self.start();
            }
            let Some(running) = &mut self.running else { continue };
            let mut gathered = Gathered::default();
            running.gather(&self.program, &mut self.decoder, &mut gathered);
            if gathered.is_empty() && !running.next().await {
                self.end(&mut gathered).await;
            }
            if !gathered.is_empty() {
                self.gave = true;
                return Ok(gathered.batch());
            }
        }
    }

    fn start(&mut self) {
        match self.program.start(Input::Pipe, Output::Pipe, &[]) {
            Ok(child) => {
                self.restarts.begins();
                self.trouble.set(None);
                self.running = Some(Running::of_lines(child, self.longest));
            }
            Err(why) => self.failed(why),
        }
    }

    fn failed(&mut self, why: String) {
        if self.restart == Restart::Never {
            self.state = State::Over(Some(why));
            return;
        }
        let pause = self.restarts.ended();
        self.trouble.set(Some(format!("{why}; it is started again in {pause:.1?}")));
        self.state = State::Failed(why);
    }

    /// The program has ended, and all it wrote was read but for what is behind its last whole line.
    async fn end(&mut self, into: &mut Gathered) {
        let Some(running) = &mut self.running else { return };
        let status = running.child.exit().await;
        // The last to be waited for: where the future is dropped here, it comes by again.
        let words = running.child.last_words().await;
        let name = self.program.name();
        running.gather_last(status.success(), &self.program, &mut self.decoder, into);
        self.running = None;
        let why = format!("`{name}` {words}");
        match self.restart {
            _ if !status.success() => self.failed(why),
            Restart::OnFailure | Restart::Never => self.state = State::Over(None),
            Restart::Always => {
                let why = format!("{why}; it is started again in {:.1?}", self.restarts.ended());
                tracing::warn!(node = %self.address, "{why}");
                let help = "for one that runs once each time, set `every` beside `exec`";
                self.trouble.set(Some(format!("{why} ({help})")));
            }
        }
    }
}

impl Running {
    /// Takes lines that are whole, as many as make a batch.
    fn gather(&mut self, program: &Program, decoder: &mut Decoder, into: &mut Gathered) {
        while !into.is_full()
            && let Some(line) = self.lines.next_line()
        {
            let (line, reason) = match line {
                Line::Whole(line) => {
                    (line, decoder.read(program.name(), line.trim_ascii(), &mut into.readings))
                }
                Line::TooLong(line) => (line, Some("longer than `max_size`".to_owned())),
            };
            if let Some(reason) = reason {
                let mut reject = rejected(reason, String::new(), line);
                reject.origin = format!("{} line {}", program.name(), self.lines.count());
                into.rejects.push(reject);
            }
        }
    }

    /// Takes what is behind the last whole line. It counts where the program was through.
    fn gather_last(
        &mut self,
        counts: bool,
        program: &Program,
        decoder: &mut Decoder,
        into: &mut Gathered,
    ) {
        let origin = format!("{} line {}", program.name(), self.lines.count() + 1);
        let Some(rest) = self.lines.rest() else { return };
        if !counts {
            let bytes = rest.len();
            tracing::warn!(bytes, "{origin} is cut off, and discarded: the program failed");
            return;
        }
        let reason = decoder.read(program.name(), rest.trim_ascii(), &mut into.readings);
        into.rejects.extend(reason.map(|reason| rejected(reason, origin, rest)));
    }
}
