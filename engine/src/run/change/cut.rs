//! The cut: the parts that change stop between two events, their sinks have what came before, and the new parts are built out of what
//! is left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::scope::Scope;
use super::undo::Undo;
use super::{Applied, NotApplied, Transition};
use crate::batch::Batch;
use crate::node::Node;
use crate::plan::Graph;
use crate::run::barrier::{NoCheckpoint, PASS_WITHIN};
use crate::run::command::Command;
use crate::run::inbox::Entrance;
use crate::run::making::make;
use crate::run::queue::Giver;
use crate::run::raise::Raised;
use crate::run::sink::{Remains, Retire, SinkCommand};
use crate::run::slot::restore;
use crate::run::stats::NodeStats;
use crate::run::topology::{SourceState, Topology};

/// How long a sink that takes nothing may take to leave, and then a call of it to return.
const LEAVE_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

impl Topology {
    /// Stops what changes, and builds what comes instead out of it.
    pub(super) async fn cut(
        &mut self,
        new: &Graph,
        scope: &Scope,
        transition: &Transition,
        later: &[NodeIndex],
        made: &mut BTreeMap<NodeIndex, Node>,
        undo: &mut Undo,
    ) -> Result<(Vec<Raised>, Applied), NotApplied> {
        let deadline = Instant::now() + PASS_WITHIN;
        self.stop_sources(scope, undo, deadline).await?;
        self.stop_parts(scope, undo, deadline).await?;
        undo.forget_ends(&scope.stopped_sources);
        let late = self.pass_barrier(scope, undo, deadline).await?;
        let leaving = scope.replaced_sinks.keys().chain(&scope.sinks_with_claims);
        for address in leaving.chain(late.iter().filter(|one| scope.removed_sinks.contains(*one))) {
            if !undo.remains.contains_key(address) {
                let left = self.retire(address, late.contains(address)).await;
                undo.remains.insert(address.clone(), left.map_err(NotApplied::NotClosed)?);
            }
        }
        if self.options.keep.is_some() {
            late.iter().for_each(|address| undo.set_late_aside(address));
        }
        made.extend(make(later.iter().copied(), new, &self.host).map_err(NotApplied::Build)?);
        let mut applied = Applied::default();
        self.hand_over_states(new, scope, transition, made, undo, &mut applied)?;
        undo.heritage.rename_all(&scope.renames);
        let mut remains: BTreeMap<Arc<str>, Remains> = BTreeMap::new();
        for (old, new_address) in &scope.replaced_sinks {
            remains.extend(undo.remains.remove(old).map(|left| (new_address.clone(), left)));
        }
        self.stats = counters(new, transition, &undo.stats);
        for new_address in scope.replaced_sinks.values() {
            if let Some(giver) = undo.heritage.givers.get_mut(new_address)
                && let Some(index) = new.find(new_address)
            {
                giver.set_spec(new.dag[index].queue, self.stats[new_address].clone());
            }
        }
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

    /// Ends the loops of sources that do not live on.
    async fn stop_sources(
        &mut self,
        scope: &Scope,
        undo: &mut Undo,
        deadline: Instant,
    ) -> Result<(), NotApplied> {
        let mut stopping = Vec::new();
        for address in &scope.stopped_sources {
            let Some(mut handle) = self.sources.remove(address) else { continue };
            handle.stop.cancel();
            let state = std::mem::replace(&mut handle.state, SourceState::Ended);
            undo.stopped.insert(address.clone(), handle);
            if let SourceState::Running(task) = state {
                stopping.push((address.clone(), task));
            }
        }
        let mut busy = None;
        for (address, task) in stopping {
            if !self.has_ended(task, deadline).await {
                busy = Some(address);
            }
        }
        busy.map_or(Ok(()), |busy| Err(NotApplied::Busy(busy)))
    }

    /// Lets the parts that change come to a stop between two events.
    async fn stop_parts(
        &mut self,
        scope: &Scope,
        undo: &mut Undo,
        deadline: Instant,
    ) -> Result<(), NotApplied> {
        let until = self.ledger.last();
        let changes = |nodes: &[Arc<str>]| nodes.iter().any(|n| scope.old_nodes.contains(n));
        let (stopping, staying): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.parts).into_iter().partition(|part| changes(&part.nodes));
        self.parts = staying;
        let mut answers = Vec::new();
        for part in stopping {
            let (reply, answer) = oneshot::channel();
            let _ = part.commands.unbounded_send(Command::Yield { until, reply });
            answers.push((part, answer));
        }
        let mut busy = None;
        for (part, mut answer) in answers {
            let answered = timeout_at(deadline, &mut answer).await.ok().and_then(Result::ok);
            // What was handed over in the last moment must not be lost.
            answer.close();
            match answered.or_else(|| answer.try_recv().ok()) {
                Some(body) => undo.heritage.take(body),
                None => {
                    busy = part.waits_for.get().or_else(|| part.nodes.first().cloned());
                    self.parts.push(part);
                }
            }
        }
        busy.map_or(Ok(()), |busy| Err(NotApplied::Busy(busy)))
    }

    /// Waits until the sinks of what changes have what came before. Those that do not, and are replaced or removed, come back.
    async fn pass_barrier(
        &mut self,
        scope: &Scope,
        undo: &mut Undo,
        deadline: Instant,
    ) -> Result<BTreeSet<Arc<str>>, NotApplied> {
        if self.options.keep.is_none() {
            return Ok(BTreeSet::new());
        }
        let leaves = |address: &Arc<str>| {
            scope.replaced_sinks.contains_key(address) || scope.removed_sinks.contains(address)
        };
        let number = self.barriers.next_number();
        let mut unsent: BTreeMap<Arc<str>, VecDeque<Batch>> = BTreeMap::new();
        for (address, batch) in std::mem::take(&mut undo.heritage.unsent) {
            unsent.entry(address).or_default().push_back(batch);
        }
        let givers = &undo.heritage.givers;
        // All at once: one that takes nothing must not cost the others their time.
        let giving = givers.iter().map(|(address, giver)| {
            let batches = unsent.remove(address).unwrap_or_default();
            async move { (address.clone(), give_all(giver, batches, number, deadline).await) }
        });
        let giving = futures::future::join_all(giving);
        let passing = self.passes.wait(number, givers.keys().cloned().collect(), deadline);
        let (left, late) = tokio::join!(giving, passing);
        let left = left.into_iter().chain(unsent);
        let left = left.flat_map(|(address, batches)| {
            batches.into_iter().map(move |batch| (address.clone(), batch))
        });
        undo.heritage.unsent = left.collect();
        match late.iter().find(|address| !leaves(address)) {
            Some(blocking) => Err(NoCheckpoint::Blocked(blocking.clone()).into()),
            None => Ok(late),
        }
    }

    /// Ends the loop of a sink and takes what it leaves. `anyway`: also if it cannot be closed.
    pub(super) async fn retire(
        &mut self,
        address: &Arc<str>,
        anyway: bool,
    ) -> Result<Remains, String> {
        let Some(handle) = self.sinks.get(address) else {
            return Err(format!("`{address}` does not run"));
        };
        let (reply, mut answer) = oneshot::channel();
        let _ = handle.retire.send(Retire::Soon);
        let told = handle.commands.unbounded_send(SinkCommand::Retire { anyway, reply });
        let within = if anyway { LEAVE_WITHIN } else { PASS_WITHIN };
        let mut answered = timeout(within, &mut answer).await.ok();
        if answered.is_none() && anyway {
            let _ = handle.retire.send(Retire::Now);
            answered = timeout(LEAVE_WITHIN, &mut answer).await.ok();
        }
        // What was handed over in the last moment must not be lost.
        answer.close();
        let left = match answered {
            Some(Ok(left)) => left,
            Some(Err(_)) if told.is_ok() => Err(format!("`{address}` has ended")),
            _ => answer
                .try_recv()
                .unwrap_or_else(|_| Err(format!("`{address}` is busy and was not closed in time"))),
        };
        match left {
            Ok(remains) => {
                if let Some(handle) = self.sinks.remove(address) {
                    self.join(address, handle.task, Instant::now() + LEAVE_WITHIN).await;
                }
                Ok(remains)
            }
            Err(why) => {
                let _ = handle.retire.send(Retire::No);
                Err(why)
            }
        }
    }

    /// Gives new transforms the states of those they come from.
    fn hand_over_states(
        &self,
        new: &Graph,
        scope: &Scope,
        transition: &Transition,
        made: &mut BTreeMap<NodeIndex, Node>,
        undo: &mut Undo,
        applied: &mut Applied,
    ) -> Result<(), NotApplied> {
        for address in &scope.gone_transforms {
            if let Some(slot) = undo.heritage.slots.remove(address) {
                undo.aside.insert(address.clone(), slot);
            }
        }
        for (index, node) in new.nodes() {
            let Some(Node::Transform(transform)) = made.get_mut(&index) else { continue };
            let origin = transition.origins.get(&node.address);
            let Some(slot) = origin.and_then(|origin| undo.aside.get(&origin.address)) else {
                continue;
            };
            let Some(state) = slot.state() else { continue };
            if let Err(why) = restore(&mut **transform, &state) {
                applied.resets.push((node.address.clone(), why));
                // Half restored is neither old nor new.
                let remade = make(std::iter::once(index), new, &self.host);
                made.extend(remade.map_err(NotApplied::Build)?);
            }
        }
        Ok(())
    }

    /// The ways in of sources that have one, by their new address.
    fn entrances(&self, scope: &Scope, undo: &Undo) -> BTreeMap<Arc<str>, Arc<Entrance>> {
        let handles = self.sources.iter().chain(&undo.stopped);
        let entrances = handles.filter_map(|(address, handle)| {
            let address = scope.renames.get(address).unwrap_or(address);
            Some((address.clone(), handle.entrance.clone()?))
        });
        entrances.collect()
    }
}

/// Gives a sink what is on its way to it, and a barrier behind that. What the sink has no room for by then is given back, without a
/// barrier.
async fn give_all(
    giver: &Giver,
    mut batches: VecDeque<Batch>,
    number: u64,
    deadline: Instant,
) -> VecDeque<Batch> {
    while let Some(batch) = batches.pop_front() {
        let mut batch = Some(batch);
        let _ = timeout_at(deadline, giver.give(&mut batch)).await;
        if let Some(batch) = batch {
            batches.push_front(batch);
            return batches;
        }
    }
    giver.barrier(number);
    batches
}

/// The counters of a graph's nodes: those of the nodes they come from, as far as they still fit.
fn counters(
    new: &Graph,
    transition: &Transition,
    old: &BTreeMap<Arc<str>, Arc<NodeStats>>,
) -> BTreeMap<Arc<str>, Arc<NodeStats>> {
    let of = |(_, node): (NodeIndex, &crate::plan::PlannedNode)| {
        let origin = transition.origins.get(&node.address);
        let kept = origin.is_some_and(|origin| origin.kept && origin.address == node.address);
        let ports = node.profile.outputs.len();
        let stats = origin.and_then(|origin| old.get(&origin.address));
        let stats = stats.filter(|stats| kept || (stats.ports() == ports && !stats.failed()));
        (node.address.clone(), stats.cloned().unwrap_or_else(|| NodeStats::new(ports)))
    };
    new.nodes().map(of).collect()
}
