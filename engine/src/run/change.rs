//! An apply on a running graph, in three steps: *prepare* builds what is new, *cut* lets a barrier through the parts that change and
//! stops them between two events, *commit* writes the checkpoint that names the new revision and lets the new parts go on. What fails
//! before the commit leaves the old graph running.

mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use petgraph::stable_graph::NodeIndex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use self::scope::Scope;
use super::barrier::{NoCheckpoint, PASS_WITHIN};
use super::dead_letter::{DeadContent, DeadLetter};
use super::heritage::Heritage;
use super::keep::PartCut;
use super::part::Command;
use super::queue::{Parcel, Taker};
use super::raise::Raised;
use super::sink::{Remains, SinkCommand};
use super::slot::Slot;
use super::stats::NodeStats;
use super::topology::{BuildError, SourceHandle, Topology, make};
use crate::node::{Node, State};
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
    /// Nothing of it changed: it lives on as it is.
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
    #[error("{} could not be made", names(.0))]
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

fn names(errors: &[BuildError]) -> String {
    let names: Vec<String> = errors.iter().map(|error| format!("`{}`", error.address)).collect();
    names.join(", ")
}

/// What an apply has taken apart and must put together again if it fails.
#[derive(Default)]
struct Undo {
    heritage: Heritage,
    /// Transforms that have a successor, or none.
    aside: BTreeMap<Arc<str>, Slot>,
    /// What sinks left that were closed, by their old address.
    remains: BTreeMap<Arc<str>, Remains>,
    stats: BTreeMap<Arc<str>, Arc<NodeStats>>,
    /// Sources that were stopped, by their old address.
    stopped: BTreeMap<Arc<str>, SourceHandle>,
}

impl Topology {
    /// Makes the graph another one. `revision` is what the checkpoint that commits it names.
    ///
    /// # Errors
    /// Why not; then the old graph runs on.
    pub async fn apply(
        &mut self,
        new: Graph,
        transition: &Transition,
        revision: u64,
    ) -> Result<Applied, NotApplied> {
        let scope = Scope::of(&self.graph, &new, transition);
        let (now, later): (Vec<_>, Vec<_>) = scope.to_make.iter().copied().partition(|n| {
            let claims = &new.dag[*n].profile.claims;
            claims.is_empty() || !claims.iter().any(|claim| scope.given_up.contains(claim))
        });
        let mut made = make(now.into_iter(), &new, &self.host).map_err(NotApplied::Build)?;
        let mut undo = Undo { stats: self.stats.clone(), ..Undo::default() };
        let began = Instant::now();
        let changed = self.cut(&new, &scope, transition, &later, &mut made, &mut undo).await;
        let (mut raised, mut applied) = match changed {
            Ok(changed) => changed,
            Err(error) => {
                self.put_back(&scope, transition, Vec::new(), undo);
                return Err(error);
            }
        };
        let wrote = Instant::now();
        if let Err(error) = self.commit(&scope, &mut raised, revision).await {
            self.put_back(&scope, transition, raised, undo);
            return Err(error.into());
        }
        applied.disk = wrote.elapsed();
        self.graph = new;
        for part in raised {
            self.set_going(part);
        }
        applied.paused = began.elapsed();
        self.let_go(&scope, undo).await;
        Ok(applied)
    }

    /// The state of a running transform, for whoever wants to know whether it fits other settings.
    pub async fn states(&self) -> BTreeMap<Arc<str>, State> {
        let mut states = BTreeMap::new();
        for part in &self.parts {
            let (reply, answer) = oneshot::channel();
            let _ = part.commands.send(Command::States(reply));
            let deadline = Instant::now() + PASS_WITHIN;
            if let Ok(Ok(found)) = timeout_at(deadline, answer).await {
                states.extend(found);
            }
        }
        states
    }

    /// Stops what changes, and builds what comes instead out of it.
    async fn cut(
        &mut self,
        new: &Graph,
        scope: &Scope,
        transition: &Transition,
        later: &[NodeIndex],
        made: &mut BTreeMap<NodeIndex, Node>,
        undo: &mut Undo,
    ) -> Result<(Vec<Raised>, Applied), NotApplied> {
        let mut applied = Applied::default();
        for address in &scope.stopped_sources {
            if let Some(mut handle) = self.sources.remove(address) {
                handle.stop.cancel();
                let state =
                    std::mem::replace(&mut handle.state, super::topology::SourceState::Ended);
                self.join_source(state).await;
                undo.stopped.insert(address.clone(), handle);
            }
        }
        self.stop_parts(scope, undo).await?;
        let late = self.pass_barrier(scope, undo).await?;
        for (old, new_address) in &scope.replaced_sinks {
            let remains = self.retire(old).await.map_err(NotApplied::NotClosed)?;
            undo.remains.insert(old.clone(), remains);
            if let Some(giver) = undo.heritage.givers.get_mut(old)
                && let Some(index) = new.find(new_address)
            {
                giver.set_spec(new.dag[index].queue);
            }
        }
        if self.options.keep.is_some() {
            for address in &late {
                self.bury_what_is_late(address, undo);
            }
        }
        made.extend(make(later.iter().copied(), new, &self.host).map_err(NotApplied::Build)?);
        for address in &scope.gone_transforms {
            if let Some(slot) = undo.heritage.slots.remove(address) {
                undo.aside.insert(address.clone(), slot);
            }
        }
        for (index, node) in new.nodes() {
            let Some(Node::Transform(transform)) = made.get_mut(&index) else { continue };
            let origin = transition.origins.get(&node.address);
            let Some(slot) = origin.and_then(|origin| undo.aside.get_mut(&origin.address)) else {
                continue;
            };
            if let Err(why) = transform.restore(&slot.snapshot()) {
                applied.resets.push((node.address.clone(), why.to_string()));
                // Half restored is neither old nor new.
                let remade = make(std::iter::once(index), new, &self.host);
                made.extend(remade.map_err(NotApplied::Build)?);
            }
        }
        undo.heritage.rename_all(&scope.renames);
        let mut remains: BTreeMap<Arc<str>, Remains> = BTreeMap::new();
        for (old, new_address) in &scope.replaced_sinks {
            remains.extend(undo.remains.remove(old).map(|left| (new_address.clone(), left)));
        }
        self.stats = new
            .nodes()
            .map(|(_, node)| {
                let old = transition.origins.get(&node.address).map(|origin| &origin.address);
                let ports = node.profile.outputs.len();
                let stats = old.and_then(|old| undo.stats.get(old));
                let stats = stats.filter(|stats| stats.ports() == ports && !stats.failed());
                (node.address.clone(), stats.cloned().unwrap_or_else(|| NodeStats::new(ports)))
            })
            .collect();
        let entrances = self.entrances(scope, undo);
        let mut raised = Vec::new();
        for part in new.parts() {
            if part.iter().any(|n| scope.new_nodes.contains(n)) {
                let yard = self.yard(new, &entrances);
                raised.push(yard.raise(&part, made, &mut remains, &mut undo.heritage));
            }
        }
        Ok((raised, applied))
    }

    /// The ways in of sources that have one, by their new address.
    fn entrances(
        &self,
        scope: &Scope,
        undo: &Undo,
    ) -> BTreeMap<Arc<str>, Arc<super::inbox::Entrance>> {
        let handles = self.sources.iter().chain(&undo.stopped);
        handles
            .filter_map(|(address, handle)| {
                let address = scope.renames.get(address).unwrap_or(address);
                Some((address.clone(), handle.entrance.clone()?))
            })
            .collect()
    }

    /// Lets the parts that change come to a stop between two events.
    async fn stop_parts(&mut self, scope: &Scope, undo: &mut Undo) -> Result<(), NotApplied> {
        let until = self.ledger.last();
        let deadline = Instant::now() + PASS_WITHIN;
        let changes = |nodes: &[Arc<str>]| nodes.iter().any(|n| scope.old_nodes.contains(n));
        let (stopping, staying) =
            std::mem::take(&mut self.parts).into_iter().partition(|part| changes(&part.nodes));
        self.parts = staying;
        let mut stopping: Vec<super::topology::PartHandle> = stopping;
        let mut answers = Vec::new();
        for part in stopping.drain(..) {
            let (reply, answer) = oneshot::channel();
            let _ = part.commands.send(Command::Yield { until, reply });
            answers.push((part, answer));
        }
        let mut busy = None;
        for (part, answer) in answers {
            match timeout_at(deadline, answer).await {
                Ok(Ok(body)) => undo.heritage.take(body),
                _ => {
                    busy = part.nodes.first().cloned();
                    self.parts.push(part);
                }
            }
        }
        match busy {
            Some(busy) => Err(NotApplied::Busy(busy)),
            None => Ok(()),
        }
    }

    /// Waits until the sinks of what changes have what came before. Those that do not, and are replaced or removed, come back.
    async fn pass_barrier(
        &mut self,
        scope: &Scope,
        undo: &mut Undo,
    ) -> Result<BTreeSet<Arc<str>>, NotApplied> {
        if self.options.keep.is_none() {
            return Ok(BTreeSet::new());
        }
        let deadline = Instant::now() + PASS_WITHIN;
        let leaves = |address: &Arc<str>| {
            scope.replaced_sinks.contains_key(address) || scope.removed_sinks.contains(address)
        };
        for (address, batch) in std::mem::take(&mut undo.heritage.unsent) {
            let mut batch = Some(batch);
            if let Some(giver) = undo.heritage.givers.get(&address) {
                let _ = timeout_at(deadline, giver.give(&mut batch)).await;
            }
            undo.heritage.unsent.extend(batch.map(|batch| (address, batch)));
        }
        let full = undo.heritage.unsent.iter().map(|(address, _)| address);
        if let Some(full) = full.clone().find(|address| !leaves(address)) {
            return Err(NoCheckpoint::Blocked(full.clone()).into());
        }
        let mut late: BTreeSet<Arc<str>> = full.cloned().collect();
        let number = self.barriers.next_number();
        let mut waiting = BTreeSet::new();
        for (address, giver) in &undo.heritage.givers {
            if !late.contains(address) {
                giver.barrier(number);
                waiting.insert(address.clone());
            }
        }
        let not_passed = self.barriers.pass(number, waiting).await;
        if let Some(blocking) = not_passed.iter().find(|address| !leaves(address)) {
            return Err(NoCheckpoint::Blocked(blocking.clone()).into());
        }
        late.extend(not_passed);
        // One that is only removed is closed here too, as nobody takes over what it has.
        for address in late.iter().filter(|address| scope.removed_sinks.contains(*address)) {
            let remains = self.retire(address).await.map_err(NotApplied::NotClosed)?;
            undo.remains.insert(address.clone(), remains);
        }
        Ok(late)
    }

    /// Ends the loop of a sink and takes what it leaves.
    async fn retire(&mut self, address: &Arc<str>) -> Result<Remains, String> {
        let Some(handle) = self.sinks.get(address) else {
            return Err(format!("`{address}` does not run"));
        };
        let (reply, answer) = oneshot::channel();
        let _ = handle.retire.send(true);
        let _ = handle.commands.send(SinkCommand::Retire(reply));
        let deadline = Instant::now() + 2 * PASS_WITHIN;
        match timeout_at(deadline, answer).await {
            Ok(Ok(Ok(remains))) => {
                if let Some(handle) = self.sinks.remove(address) {
                    self.join(handle.task).await;
                }
                Ok(remains)
            }
            Ok(Ok(Err(why))) => {
                let _ = handle.retire.send(false);
                Err(why)
            }
            Ok(Err(_)) => Err(format!("`{address}` has ended")),
            Err(_) => {
                let _ = handle.retire.send(false);
                Err(format!("`{address}` is busy and was not closed in time"))
            }
        }
    }

    /// What a sink that is replaced or removed could not take lies only in memory, and the cut is behind it: it goes to the dead
    /// letters. What is in a spool stays there for the successor.
    fn bury_what_is_late(&self, address: &Arc<str>, undo: &mut Undo) {
        let reason = "the node was changed while it could not take this";
        let mut batches = Vec::new();
        if let Some(remains) = undo.remains.get_mut(address).filter(|left| left.spool.is_none()) {
            batches.append(&mut remains.unwritten);
            batches.extend(drain(&mut remains.taker));
        }
        let (mine, others) = std::mem::take(&mut undo.heritage.unsent)
            .into_iter()
            .partition::<Vec<_>, _>(|(sink, _)| sink == address);
        undo.heritage.unsent = others;
        batches.extend(mine.into_iter().map(|(_, batch)| batch));
        for batch in batches {
            self.bury(address, reason, batch);
        }
    }

    fn bury(&self, address: &Arc<str>, reason: &str, batch: crate::batch::Batch) {
        let letter = DeadLetter {
            address: address.clone(),
            time: self.options.clock.now(),
            reason: reason.into(),
            content: DeadContent::Items(batch.items),
        };
        if let Err(error) = self.options.dead.put(&letter) {
            tracing::error!(node = %address, "a dead letter could not be kept: {error}");
        }
    }

    /// Writes the checkpoint that names the revision: from here on the new graph is what runs.
    async fn commit(
        &mut self,
        scope: &Scope,
        raised: &mut [Raised],
        revision: u64,
    ) -> Result<(), NoCheckpoint> {
        if self.options.keep.is_none() {
            return Ok(());
        }
        let mut cuts: Vec<(Vec<Arc<str>>, PartCut)> = self
            .barriers
            .cuts()
            .iter()
            .filter(|(nodes, _)| !nodes.iter().any(|node| scope.old_nodes.contains(node)))
            .cloned()
            .collect();
        for part in raised {
            let cut = part.body.cut();
            cuts.push((part.nodes.clone(), cut));
        }
        let number = self.barriers.next_number();
        self.write_checkpoint(number, revision, cuts).await
    }

    /// Lets what has no place in the new graph come to its end.
    async fn let_go(&mut self, scope: &Scope, mut undo: Undo) {
        for address in &scope.removed_sinks {
            let remains = match undo.remains.remove(address) {
                Some(remains) => Some(remains),
                None => match self.retire(address).await {
                    Ok(remains) => Some(remains),
                    Err(why) => {
                        tracing::error!(node = %address, "{why}");
                        None
                    }
                },
            };
            let Some(Remains { mut taker, spool, unwritten }) = remains else { continue };
            let reason = "the node was removed while this waited";
            if let Some(mut spool) = spool {
                spool.rewind();
                while let Ok(Some(batch)) = spool.next() {
                    self.bury(address, reason, batch);
                }
                drop(spool);
                let name = undo.heritage.streams.get(address).and_then(|one| one.spool.clone());
                if let (Some(keep), Some(name)) = (&self.options.keep, name)
                    && let Err(error) = keep.spools.remove(&name)
                {
                    tracing::warn!(node = %address, "its spool is still there: {error}");
                }
            }
            for batch in unwritten.into_iter().chain(drain(&mut taker)) {
                self.bury(address, reason, batch);
            }
        }
    }

    /// Puts the old graph together again and lets it go on.
    fn put_back(
        &mut self,
        scope: &Scope,
        transition: &Transition,
        raised: Vec<Raised>,
        undo: Undo,
    ) {
        let Undo { mut heritage, aside, mut remains, stats, stopped } = undo;
        for part in raised {
            for sink in part.sinks {
                let left = sink.run.into_remains();
                remains.insert(sink.address, left);
            }
            heritage.take(part.body);
        }
        let back: BTreeMap<_, _> =
            scope.renames.iter().map(|(old, new)| (new.clone(), old.clone())).collect();
        heritage.rename_all(&back);
        for (old, new) in &scope.replaced_sinks {
            if let Some(left) = remains.remove(new) {
                remains.insert(old.clone(), left);
            }
        }
        let _ = transition;
        heritage.slots.extend(aside);
        self.stats = stats;
        let graph = std::mem::take(&mut self.graph);
        let closed =
            |address: &Arc<str>| remains.contains_key(address) && !self.sinks.contains_key(address);
        let again = graph
            .nodes()
            .filter(|(_, node)| closed(&node.address) || stopped.contains_key(&node.address));
        let again: Vec<NodeIndex> = again.map(|(index, _)| index).collect();
        let mut made = BTreeMap::new();
        for index in again {
            match make(std::iter::once(index), &graph, &self.host) {
                Ok(one) => made.extend(one),
                Err(errors) => {
                    for BuildError { address, problem, .. } in errors {
                        tracing::error!(node = %address, "it could not be started again: {}", problem.message);
                        self.stats[&address].set_failed();
                    }
                }
            }
        }
        let handles = self.sources.iter().chain(&stopped);
        let entrances = handles
            .filter_map(|(address, handle)| Some((address.clone(), handle.entrance.clone()?)))
            .collect();
        let mut raised = Vec::new();
        for part in graph.parts() {
            let runs = |n: &NodeIndex| {
                self.parts.iter().any(|part| part.nodes.contains(&graph.dag[*n].address))
            };
            if part.iter().any(|n| scope.old_nodes.contains(&graph.dag[*n].address))
                && !part.iter().any(runs)
            {
                let yard = self.yard(&graph, &entrances);
                raised.push(yard.raise(&part, &mut made, &mut remains, &mut heritage));
            }
        }
        self.graph = graph;
        for part in raised {
            self.set_going(part);
        }
    }
}

/// What lies in a queue that nobody gives to any more.
fn drain(taker: &mut Taker) -> Vec<crate::batch::Batch> {
    let mut batches = Vec::new();
    while let Some(Some(parcel)) = futures::FutureExt::now_or_never(taker.next()) {
        if let Parcel::Batch(batch) = parcel {
            batches.push(batch);
        }
    }
    batches
}
