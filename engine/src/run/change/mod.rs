//! An apply on a running graph, in three steps: *prepare* builds what is new, *cut* lets a barrier through the parts that change and
//! stops them between two events, *commit* writes the checkpoint that names the new revision and lets the new parts go on. What fails
//! before the commit leaves the old graph running.

mod cut;
mod leftovers;
mod scope;
mod undo;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use self::scope::Scope;
use self::undo::Undo;
use super::barrier::{NoCheckpoint, PASS_WITHIN};
use super::command::{Command, Yielded};
use super::keep::{PartCut, SinkCut};
use super::making::make;
use super::raise::Raised;
use super::topology::{BuildError, Topology, could_not_be_made};
use crate::node::State;
use crate::plan::Graph;

/// Where the nodes of a new graph come from, by their new address; one that is not here is new.
#[derive(Debug, Clone, Default)]
pub struct Transition {
    /// By new address.
    pub origins: BTreeMap<Arc<str>, Origin>,
}

/// What a node was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its address then.
    pub address: Arc<str>,
    /// Nothing of it changed: it lives on as it is. One that has another address now is made anew all the same.
    pub kept: bool,
}

/// What an apply did.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// The nodes whose state did not fit their new settings, with why.
    pub resets: Vec<(Arc<str>, String)>,
    /// How long the parts that changed stood still.
    pub paused: std::time::Duration,
    /// How much of that was the disk's.
    pub disk: std::time::Duration,
}

/// Why an apply did not happen. What ran before runs on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotApplied {
    /// Nodes that could not be made.
    #[error("{}", could_not_be_made(.0))]
    Build(Vec<BuildError>),
    /// What came before could not be made durable.
    #[error("the states were not kept: {0}")]
    NotKept(#[from] NoCheckpoint),
    /// A node that is to be replaced could not be closed.
    #[error("{0}")]
    NotClosed(String),
    /// A part of the graph does not answer.
    #[error("`{0}` is busy and did not stop in time")]
    Busy(Arc<str>),
}

impl Topology {
    /// Makes the graph another one. `revision` is what the checkpoint that commits it names. To be waited for to the end: what is
    /// dropped half-way leaves neither the old graph nor the new one.
    ///
    /// # Errors
    /// Why not; then the old graph runs on.
    pub async fn apply(
        &mut self,
        new: Graph,
        transition: &Transition,
        revision: u64,
    ) -> Result<Applied, NotApplied> {
        let scope = Scope::of(&self.graph, &new, transition, self.options.once);
        let (now, later): (Vec<_>, Vec<_>) = scope.to_make.iter().copied().partition(|n| {
            let claims = &new.dag[*n].profile.claims;
            !claims.iter().any(|claim| scope.given_up.contains(claim))
        });
        let mut made = make(now.into_iter(), &new, &self.host).map_err(NotApplied::Build)?;
        let mut undo = Undo::new(self.stats.clone(), self.ledger.last());
        let began = Instant::now();
        let changed = self.cut(&new, &scope, transition, &later, &mut made, &mut undo).await;
        let (mut raised, mut applied) = match changed {
            Ok(changed) => changed,
            Err(error) => {
                self.put_back(&scope, Vec::new(), undo);
                return Err(error);
            }
        };
        let wrote = Instant::now();
        if let Err(error) = self.commit(&scope, &mut raised, revision, &mut undo).await {
            self.put_back(&scope, raised, undo);
            return Err(error.into());
        }
        applied.disk = wrote.elapsed();
        self.graph = new;
        // Before any of them does something.
        self.say_what_runs(&scope.renames);
        for address in scope.removed_sources.iter().chain(scope.renames.keys()) {
            self.host.series.forget_giver(address);
        }
        for part in &mut raised {
            if let Yielded::Live(part) = &mut part.body {
                // As after a crash: a node that breaks is made anew from here.
                part.island.snapshot();
            }
        }
        for part in raised {
            self.set_going(part);
        }
        applied.paused = began.elapsed();
        self.copy_checkpoint().await;
        self.let_go(&scope, undo).await;
        let stats = &self.stats;
        self.passes.retain(|sink| stats.contains_key(sink));
        Ok(applied)
    }

    /// The states of the running transforms, for whoever wants to know whether they fit other settings.
    pub async fn states(&mut self) -> BTreeMap<Arc<str>, State> {
        let deadline = Instant::now() + PASS_WITHIN;
        let mut states = BTreeMap::new();
        for part in &self.parts {
            let (reply, answer) = oneshot::channel();
            let _ = part.commands.unbounded_send(Command::States(reply));
            if let Ok(Ok(found)) = timeout_at(deadline, answer).await {
                states.extend(found);
            }
        }
        states
    }

    /// Writes the checkpoint that names the revision: from here on the new graph is what runs.
    async fn commit(
        &mut self,
        scope: &Scope,
        // Mutable only because what is in them need not be `Sync`.
        raised: &mut [Raised],
        revision: u64,
        undo: &mut Undo,
    ) -> Result<(), NoCheckpoint> {
        let Some(keep) = self.options.keep.clone() else { return Ok(()) };
        // What is behind the cut and in no node's hands is nowhere else once this is done.
        let kept = self.bury_what_is_left(scope, undo);
        kept.map_err(|error| NoCheckpoint::Disk(error.to_string()))?;
        let untouched = |nodes: &[Arc<str>]| !nodes.iter().any(|n| scope.old_nodes.contains(n));
        let cuts = self.barriers.cuts().iter().filter(|(nodes, _)| untouched(nodes)).cloned();
        let new = raised.iter().map(|part| (part.nodes.clone(), part.body.cut()));
        let cuts: Vec<(Vec<Arc<str>>, PartCut)> = cuts.chain(new).collect();
        let gone = scope.removed_sinks.iter().filter_map(|address| {
            let stream = undo.heritage.streams.get(address)?;
            stream.spool.is_some().then(|| SinkCut {
                address: address.clone(),
                stream: stream.id,
                sent: stream.sent,
                spool: stream.spool.clone(),
            })
        });
        let before = self.barriers.gone.len();
        self.barriers.gone.extend(gone);
        let number = self.barriers.next_number();
        let written = self.write_checkpoint(keep, number, revision, cuts).await;
        if written.is_err() {
            self.barriers.gone.truncate(before);
        }
        written
    }
}
