//! The task that owns the running graph: applies, checkpoints, stops.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use smollama_engine::clock::Clock;
use smollama_engine::control::{
    ApplyReply, ApplyRequest, CheckpointStatus, ControlError, ErrorKind, PlanReply, PlanRequest,
    RevisionRow, RollbackPlanRequest, RollbackRequest,
};
use smollama_engine::diagnostic::{Diagnostic, Diagnostics, Files, rules};
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, State};
use smollama_engine::plan::diff::StateFate;
use smollama_engine::plan::{Changes, Graph, PlannedNode, diff};
use smollama_engine::registry::Registry;
use smollama_engine::run::{
    BuildError, DeadLetters, NoCheckpoint, NotApplied, NotStarted, Options, Topology, Watch,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::candidate::{self, Candidate, Sources};
use crate::handle::Handle;
use crate::kept::Kept;
use crate::letters::{self, Inject};
use crate::logs::Logs;
use crate::revision::{self, Credit, load};
use crate::status::Overview;
use crate::taps::Taps;

/// How often it is looked whether a checkpoint is due, and counters are sampled.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What an engine is started with.
#[derive(Debug)]
pub struct Start {
    /// What it keeps.
    pub kept: Kept,
    /// The types of node there are.
    pub registry: Registry,
    /// The host's clock.
    pub clock: Arc<dyn Clock>,
    /// How many seconds of a recording pass in one second; `None` for as fast as possible.
    pub speed: Option<f64>,
    /// Who looks at everything that moves.
    pub view: Option<Arc<dyn Watch>>,
    /// The log.
    pub logs: Arc<Logs>,
}

/// A running engine. Dropped, its nodes are abandoned where they are: [`Handle::stop`] ends it.
#[derive(Debug)]
pub struct Supervisor {
    handle: Handle,
    task: JoinHandle<()>,
}

/// What the task is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    Plan(PlanRequest, oneshot::Sender<Result<PlanReply, ControlError>>),
    Apply(ApplyRequest, String, oneshot::Sender<Result<ApplyReply, ControlError>>),
    History(oneshot::Sender<Result<Vec<RevisionRow>, ControlError>>),
    PlanRollback(RollbackPlanRequest, oneshot::Sender<Result<PlanReply, ControlError>>),
    Rollback(RollbackRequest, String, oneshot::Sender<Result<ApplyReply, ControlError>>),
    Checkpoint(oneshot::Sender<Result<CheckpointStatus, ControlError>>),
    Inject(Inject, oneshot::Sender<Result<(), ControlError>>),
    /// Ports are looked at that were not before.
    Look,
    /// Sources may begin.
    Release,
    Stop(oneshot::Sender<Vec<String>>),
}

impl Supervisor {
    /// Resumes the revision that ran, from its last checkpoint. Its sources wait for [`Handle::release`], so that an apply can come
    /// first.
    ///
    /// # Errors
    /// The revision cannot be built any more.
    pub fn start(start: Start) -> Result<Supervisor, ControlError> {
        let Start { kept, registry, clock, speed, view, logs } = start;
        let kept = Arc::new(kept);
        let revision = kept.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.revision);
        let (graph, sources, files) = match revision {
            0 => (Graph::default(), Sources::default(), Files::default()),
            _ => {
                let stored = load(&kept.revisions, revision)?;
                let candidate = candidate::stored(&stored, &registry, speed)?;
                (candidate.graph, candidate.sources, candidate.files)
            }
        };
        let taps = Taps::new(view);
        let options = Options {
            clock: clock.clone(),
            dead: kept.letters.clone(),
            speed,
            once: false,
            watch: Some(taps.clone()),
            keep: Some(kept.keep.clone()),
        };
        let topology = Topology::resume(&graph, &kept.host, options, kept.checkpoint.as_ref())
            .map_err(|error| match error {
                NotStarted::Build(errors) => cannot_build(&errors, &files),
                NotStarted::Journal(_) => ControlError::failed(error.to_string()),
            })?;
        let overview = Overview::new(&kept, clock.now());
        let (ask, asked) = mpsc::channel(16);
        let (ended, ends) = watch::channel(false);
        let handle = Handle {
            ask,
            overview: overview.clone(),
            taps,
            logs: logs.clone(),
            clock: clock.clone(),
            ended: ends,
        };
        let engine = Engine {
            kept,
            registry,
            clock,
            speed,
            topology,
            sources,
            revision,
            overview,
            logs,
            ended,
        };
        engine.show();
        let task = tokio::spawn(engine.run(asked));
        Ok(Supervisor { handle, task })
    }

    /// What others use it by.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends it: what is under way goes through, and a checkpoint is taken. The errors are what nodes could not do.
    pub async fn stop(self) -> Vec<String> {
        let (reply, answer) = oneshot::channel();
        let _ = self.handle.ask.send(Ask::Stop(reply)).await;
        let errors = answer.await;
        let _ = self.task.await;
        errors.unwrap_or_else(|_| vec!["the engine ended before it was told to".into()])
    }
}

struct Engine {
    kept: Arc<Kept>,
    registry: Registry,
    clock: Arc<dyn Clock>,
    speed: Option<f64>,
    topology: Topology,
    sources: Sources,
    revision: u64,
    overview: Arc<Overview>,
    logs: Arc<Logs>,
    ended: watch::Sender<bool>,
}

impl Engine {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut look = tokio::time::interval(LOOK_EVERY.to_std());
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut released = false;
        loop {
            let over = released && *self.ended.borrow();
            let ask = tokio::select! {
                ask = asked.recv() => ask,
                _ = look.tick() => {
                    self.look().await;
                    continue;
                }
                () = self.topology.ended(), if released && !over => {
                    self.ended.send_replace(true);
                    continue;
                }
            };
            match ask {
                Some(Ask::Stop(reply)) => {
                    let errors = self.topology.stop().await;
                    let _ = reply.send(errors);
                    return;
                }
                None => {
                    self.topology.stop().await;
                    return;
                }
                Some(Ask::Release) => {
                    released = true;
                    self.topology.release();
                }
                Some(ask) => self.answer(ask).await,
            }
        }
    }

    async fn look(&mut self) {
        if self.topology.checkpoint_is_due()
            && let Err(why) = self.topology.checkpoint().await
        {
            tracing::warn!("no checkpoint was taken: {why}");
        }
        self.sync_letters().await;
        self.overview.sample(self.clock.now(), self.topology.checkpoint_state());
        self.logs.expire();
    }

    /// What was refused waits no longer for a sync than what entered.
    async fn sync_letters(&self) {
        let Some(since) = self.kept.letters.unsynced_since() else { return };
        let next_look = self.clock.now() + LOOK_EVERY;
        if next_look.since(since) >= self.kept.settings.flush
            && let Err(error) = letters::blocking(&self.kept, |letters| letters.persist()).await
        {
            tracing::warn!("{error}");
        }
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Plan(request, reply) => drop(reply.send(self.plan(&request).await)),
            Ask::Apply(request, actor, reply) => {
                drop(reply.send(self.apply(&request, &actor).await));
            }
            Ask::History(reply) => drop(reply.send(self.history())),
            Ask::PlanRollback(request, reply) => {
                drop(reply.send(self.plan_rollback(&request).await));
            }
            Ask::Rollback(request, actor, reply) => {
                drop(reply.send(self.rollback(&request, &actor).await));
            }
            Ask::Checkpoint(reply) => drop(reply.send(self.checkpoint().await)),
            Ask::Inject(inject, reply) => drop(reply.send(self.inject(inject).await)),
            Ask::Look => self.topology.look(),
            Ask::Release | Ask::Stop(_) => {}
        }
    }

    /// Lets others see what runs now.
    fn show(&self) {
        let graph = self.topology.graph();
        let (pipelines, paths) = (graph.pipelines.clone(), self.sources.paths.clone());
        self.overview.runs(self.revision, pipelines, paths, self.topology.gauges());
        self.overview.sample(self.clock.now(), self.topology.checkpoint_state());
    }

    async fn plan(&mut self, request: &PlanRequest) -> Result<PlanReply, ControlError> {
        let found = candidate::candidate(request, &self.sources, &self.registry, self.speed)?;
        let changes = self.changes(&found.graph).await;
        Ok(self.reply(&found, &changes))
    }

    fn reply(&self, candidate: &Candidate, changes: &Changes) -> PlanReply {
        let waiting = |address: &str| self.overview.waiting(address);
        let shown = changes.plan(self.topology.graph(), &candidate.graph, &waiting);
        let shown = shown.with_cost(self.kept.settings.cost(&candidate.graph));
        let shown = shown.with_left(&|address| self.kept.host.running.left_by(address));
        PlanReply {
            pending: !changes.is_empty(),
            revision: (self.revision > 0).then_some(self.revision),
            changes: serde_json::to_value(&shown).unwrap_or_default(),
            text: shown.text(false),
            diagnostics: candidate.warnings.clone(),
        }
    }

    /// Compares what runs with a candidate; asks each new node whether it takes the state of the one before it.
    async fn changes(&mut self, new: &Graph) -> Changes {
        let states = self.topology.states().await;
        let judge = |old: &PlannedNode, new: &PlannedNode| judge(&self.kept, &states, old, new);
        diff(self.topology.graph(), new, &judge)
    }

    async fn apply(
        &mut self,
        request: &ApplyRequest,
        actor: &str,
    ) -> Result<ApplyReply, ControlError> {
        self.expect(request.expect)?;
        let plan = &request.plan;
        let found = candidate::candidate(plan, &self.sources, &self.registry, self.speed)?;
        self.make_it_so(found, &plan.paths, actor, request.message.as_deref()).await
    }

    fn expect(&self, revision: Option<u64>) -> Result<(), ControlError> {
        match revision {
            Some(expected) if expected != self.revision => Err(ControlError::refused(format!(
                "revision {} runs by now, not {expected}",
                self.revision
            ))
            .help("look at the plan again")),
            _ => Ok(()),
        }
    }

    async fn make_it_so(
        &mut self,
        candidate: Candidate,
        paths: &[PathBuf],
        actor: &str,
        message: Option<&str>,
    ) -> Result<ApplyReply, ControlError> {
        let began = Instant::now();
        let changes = self.changes(&candidate.graph).await;
        let plan = self.reply(&candidate, &changes);
        let PlanReply { pending, changes: shown, text, diagnostics, .. } = plan;
        let reply = |revision, began: Instant, disk: std::time::Duration| ApplyReply {
            revision,
            changes: shown,
            text,
            diagnostics,
            took_ms: began.elapsed().as_secs_f64() * 1e3,
            sync_ms: disk.as_secs_f64() * 1e3,
        };
        if !pending && self.revision > 0 {
            return Ok(reply(self.revision, began, std::time::Duration::ZERO));
        }
        let waiting = |_: &str| None;
        let shown = changes.plan(self.topology.graph(), &candidate.graph, &waiting);
        let message = message.map_or_else(|| shown.summary.to_string(), ToOwned::to_owned);
        let staging = Instant::now();
        // What was applied before and still runs is read again at a reload, too.
        let mut paths = paths.to_vec();
        let reads = &candidate.sources.reads;
        let needed = |path: &&PathBuf| reads.iter().any(|read| candidate::owns(path, &read.path));
        let before = self.sources.paths.iter().filter(needed).cloned();
        paths.extend(before.collect::<Vec<_>>());
        paths.sort();
        paths.dedup();
        let credit = Credit {
            paths: paths.clone(),
            actor: actor.to_owned(),
            message: message.clone(),
            time: self.clock.now(),
        };
        let (graph, sources) = (&candidate.graph, &candidate.sources);
        let revision = revision::stage(&self.kept, sources, graph, credit, self.revision).await?;
        let staged = staging.elapsed();
        let transition = changes.transition(self.topology.graph());
        let Candidate { graph, sources, files, .. } = candidate;
        let applied =
            self.topology.apply(graph, &transition, revision).await.map_err(
                |error| match error {
                    NotApplied::Build(errors) => cannot_build(&errors, &files),
                    other => ControlError::failed(format!("{other}; nothing was changed")),
                },
            )?;
        for (node, why) in &applied.resets {
            tracing::warn!(%node, "its state was reset: {why}");
        }
        (self.revision, self.sources) = (revision, sources);
        self.sources.paths = paths;
        self.ended.send_replace(false);
        self.show();
        tracing::info!(revision, actor, "applied: {message}");
        Ok(reply(revision, began, staged + applied.disk))
    }

    fn history(&self) -> Result<Vec<RevisionRow>, ControlError> {
        revision::history(&self.kept.revisions, self.revision)
    }

    /// The revision to go back to.
    fn earlier(&self, wanted: Option<u64>) -> Result<u64, ControlError> {
        if let Some(wanted) = wanted {
            return Ok(wanted);
        }
        let rows = self.history()?;
        let before = rows.iter().map(|row| row.number).filter(|number| *number < self.revision);
        before.max().ok_or_else(|| ControlError::not_found("there is no earlier revision"))
    }

    fn at_revision(&self, revision: u64) -> Result<Candidate, ControlError> {
        candidate::stored(&load(&self.kept.revisions, revision)?, &self.registry, self.speed)
    }

    async fn plan_rollback(
        &mut self,
        request: &RollbackPlanRequest,
    ) -> Result<PlanReply, ControlError> {
        let found = self.at_revision(self.earlier(request.revision)?)?;
        let changes = self.changes(&found.graph).await;
        Ok(self.reply(&found, &changes))
    }

    async fn rollback(
        &mut self,
        request: &RollbackRequest,
        actor: &str,
    ) -> Result<ApplyReply, ControlError> {
        self.expect(request.expect)?;
        let revision = self.earlier(request.revision)?;
        let found = self.at_revision(revision)?;
        let message = format!("back to revision {revision}");
        self.make_it_so(found, &[], actor, Some(&message)).await
    }

    async fn checkpoint(&mut self) -> Result<CheckpointStatus, ControlError> {
        self.topology.checkpoint().await.map_err(|why| match why {
            NoCheckpoint::Blocked(node) => ControlError::failed(format!(
                "`{node}` did not take in time what came before; the last checkpoint stays"
            )),
            other => ControlError::failed(other.to_string()),
        })?;
        let state = self.topology.checkpoint_state();
        self.overview.sample(self.clock.now(), state.clone());
        Ok(CheckpointStatus { number: state.number, age_s: 0.0, bytes: state.bytes })
    }

    async fn inject(&mut self, inject: Inject) -> Result<(), ControlError> {
        let Inject { address, items } = inject;
        self.topology.give_again(&address, items).await.map_err(ControlError::refused)
    }
}

/// Whether a node takes the state that its predecessor has now.
fn judge(
    kept: &Kept,
    states: &BTreeMap<Arc<str>, State>,
    old: &PlannedNode,
    new: &PlannedNode,
) -> StateFate {
    let Some(state) = states.get(&old.address) else { return StateFate::Unknown };
    match new.build(&kept.host) {
        Ok(Node::Transform(mut node)) => match node.restore(state) {
            Ok(()) => StateFate::Keeps,
            Err(why) => StateFate::Resets { why: why.to_string() },
        },
        _ => StateFate::Unknown,
    }
}

/// Says which nodes could not be made, where they stand.
fn cannot_build(errors: &[BuildError], files: &Files) -> ControlError {
    let mut found = Diagnostics::new();
    for BuildError { address, span, problem } in errors {
        let message = format!("`{address}` cannot be made: {}", problem.message);
        let error = Diagnostic::error(&rules::NODE_CANNOT_START, *span, message);
        found.push(match &problem.help {
            Some(help) => error.help(help.clone()),
            None => error,
        });
    }
    ControlError {
        kind: ErrorKind::BadInput,
        message: "nodes could not be made; nothing was changed".into(),
        help: None,
        text: Some(found.render(files, false)),
        diagnostics: found.to_json(files),
    }
}
