//! A graph run in this process, in the foreground, until it ends or is told to stop.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use smollama_engine::clock::SystemClock;
use smollama_engine::context::Host;
use smollama_engine::diagnostic::{Diagnostic, Diagnostics, Files, rules};
use smollama_engine::plan::{Graph, PlannedNode};
use smollama_engine::run::{BuildError, NodeStats, NotStarted, Options, Topology, Watch};
use smollama_store::dead_letters::DeadLetterFile;
use tokio::sync::Notify;

use crate::cli::Global;
use crate::cli::commands::Speed;
use crate::live::View;
use crate::signals::Signals;
use crate::terminal::{self, Failure, Stdout};

/// What to run, and how.
pub(crate) struct Engine<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) files: &'a Files,
    pub(crate) speed: Option<Speed>,
    pub(crate) once: bool,
    pub(crate) view: Arc<View>,
    /// Say once that it runs, where no view can show it.
    pub(crate) announces: bool,
}

/// How it ended: what `run --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) errors: Vec<String>,
    #[serde(rename = "readings")]
    read: u64,
    rejected: u64,
    dropped: u64,
    corrected: u64,
    data_dir: std::path::PathBuf,
}

impl Outcome {
    /// Out of what nodes counted and could not do.
    pub(crate) fn of(
        stats: &[(Arc<PlannedNode>, Arc<NodeStats>)],
        mut errors: Vec<String>,
        host: &Host,
    ) -> Outcome {
        errors.sort();
        let (mut read, mut rejected, mut dropped, mut corrected) = (0, 0, 0, 0);
        for (node, stats) in stats {
            read += if node.profile.pace.is_some() { stats.emitted(0) } else { 0 };
            rejected += stats.rejected();
            dropped += stats.dropped();
            corrected += stats.corrected();
        }
        if host.series.collisions() > 0 {
            errors.push(format!(
                "{} sources were given readings by two nodes, which are mixed up now; tell the nodes apart with `as`",
                host.series.collisions()
            ));
        }
        Outcome { errors, read, rejected, dropped, corrected, data_dir: host.data_dir.clone() }
    }

    /// One or two lines: what went through, and where the data lie.
    pub(crate) fn summary(&self) -> String {
        let mut text =
            format!("Done: {} reading{}", self.read, if self.read == 1 { "" } else { "s" });
        if self.rejected > 0 {
            text += &format!(", {} to the dead letters", self.rejected);
        }
        if self.corrected > 0 {
            text += &format!(
                ", {} with an absurd time that took that of their receipt",
                self.corrected
            );
        }
        if self.dropped > 0 {
            text += &format!(", {} dropped", self.dropped);
        }
        format!("{text}.\nThe data lie in {}", self.data_dir.display())
    }
}

impl Engine<'_> {
    /// Runs until all sources have ended, a signal comes, or nobody reads standard output any more.
    pub(crate) fn run(self, global: &Global) -> Result<Outcome, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .enable_io()
            .build()
            .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        runtime.block_on(self.run_async(global))
    }

    async fn run_async(self, global: &Global) -> Result<Outcome, Failure> {
        // Before anything else, so that a signal during the start is not lost.
        let mut signals = Signals::new()?;
        let console = Stdout::default();
        let closed = console.closed();
        let host = Arc::new(crate::host::open(global, Arc::new(console))?);
        let dead = DeadLetterFile::open(&host)
            .map_err(|error| Failure::Failed(format!("cannot open the dead letters: {error}")))?;
        self.view.knows(&host);
        let options = Options {
            clock: Arc::new(SystemClock::default()),
            dead: Arc::new(dead),
            speed: match self.speed {
                Some(Speed::Times(times)) => Some(times),
                Some(Speed::Max) | None => None,
            },
            once: self.once,
            watch: self.view.watches().then(|| self.view.clone() as Arc<dyn Watch>),
            keep: None,
        };
        let mut topology =
            Topology::start(self.graph, &host, options).map_err(|error| match &error {
                NotStarted::Build(errors) => self.cannot_build(errors),
                NotStarted::Journal(_) => Failure::Failed(error.to_string()),
            })?;
        let errors = self.until_the_end(&mut topology, &mut signals, &closed).await;
        self.view.close();
        Ok(Outcome::of(&topology.stats(), errors, &host))
    }

    async fn until_the_end(
        &self,
        topology: &mut Topology,
        signals: &mut Signals,
        closed: &Notify,
    ) -> Vec<String> {
        let mut redraw = tokio::time::interval(Duration::from_secs(1));
        redraw.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let stats = topology.stats();
        let announce = tokio::time::sleep(Duration::from_millis(500));
        tokio::pin!(announce);
        let mut announced = self.view.watches() || !self.announces;
        let told = {
            let ended = topology.ended();
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    () = &mut ended => break false,
                    _ = redraw.tick(), if self.view.watches() => self.view.draw(&stats),
                    () = &mut announce, if !announced => {
                        announced = true;
                        self.announce(&stats);
                    }
                    () = signals.stop() => break true,
                    () = closed.notified() => break true,
                }
            }
        };
        self.view.close();
        if told {
            terminal::say(
                "Stopping: letting everything under way go through. Once more to stop at once.",
            );
        }
        tokio::select! {
            errors = topology.stop() => errors,
            () = signals.stop() => vec!["stopped at once: what was under way may be lost".into()],
        }
    }

    /// Says once that it runs, where no view can show it.
    fn announce(&self, stats: &[(Arc<PlannedNode>, Arc<NodeStats>)]) {
        let sources = stats.iter().filter(|(node, _)| node.profile.pace.is_some());
        let read: u64 = sources.map(|(_, counters)| counters.emitted(0)).sum();
        terminal::say(&format!("Running: {read} readings so far. Ctrl-C stops."));
    }

    fn cannot_build(&self, errors: &[BuildError]) -> Failure {
        cannot_build(errors, self.files)
    }
}

/// Shows which nodes cannot be made, and why.
pub(crate) fn cannot_build(errors: &[BuildError], files: &Files) -> Failure {
    let mut found = Diagnostics::new();
    for BuildError { address, span, problem } in errors {
        let message = format!("`{address}` cannot be made: {}", problem.message);
        let error = Diagnostic::error(&rules::NODE_CANNOT_START, *span, message);
        found.push(match &problem.help {
            Some(help) => error.help(help.clone()),
            None => error,
        });
    }
    let _ = terminal::diagnostics(&found, files);
    Failure::BadInput
}
