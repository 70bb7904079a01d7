//! What an apply has taken apart, and how it is put together again if the apply fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;

use super::leftovers::drain;
use super::scope::Scope;
use crate::batch::Batch;
use crate::run::heritage::Heritage;
use crate::run::making::make_one;
use crate::run::raise::Raised;
use crate::run::sink::Remains;
use crate::run::slot::Slot;
use crate::run::stats::NodeStats;
use crate::run::topology::{BuildError, SourceHandle, Topology};

/// See the module.
pub(super) struct Undo {
    pub(super) heritage: Heritage,
    /// Transforms that have a successor, or none.
    pub(super) aside: BTreeMap<Arc<str>, Slot>,
    /// What sinks left that were closed, by their old address.
    pub(super) remains: BTreeMap<Arc<str>, Remains>,
    /// What sinks that leave could not take, and lies only in memory, by their old address: once the new graph runs it is in the dead
    /// letters.
    pub(super) late: BTreeMap<Arc<str>, Vec<Batch>>,
    pub(super) stats: BTreeMap<Arc<str>, Arc<NodeStats>>,
    /// Sources that were stopped, by their old address.
    pub(super) stopped: BTreeMap<Arc<str>, SourceHandle>,
    /// Those of them that had come to their end, and those whose part had emitted what it held.
    ended: BTreeSet<Arc<str>>,
    finished: BTreeSet<Arc<str>>,
}

impl Undo {
    /// `begin`: the number of the last event before it.
    pub(super) fn new(stats: BTreeMap<Arc<str>, Arc<NodeStats>>, begin: u64) -> Undo {
        Undo {
            heritage: Heritage { begin, ..Heritage::default() },
            aside: BTreeMap::new(),
            remains: BTreeMap::new(),
            late: BTreeMap::new(),
            stats,
            stopped: BTreeMap::new(),
            ended: BTreeSet::new(),
            finished: BTreeSet::new(),
        }
    }

    /// That the old sources had ended says nothing of the new ones.
    pub(super) fn forget_ends(&mut self, sources: &[Arc<str>]) {
        for address in sources {
            self.ended.extend(self.heritage.ended.take(address));
            self.finished.extend(self.heritage.finished.take(address));
        }
    }

    /// What a sink that leaves could not take is behind the cut.
    pub(super) fn set_late_aside(&mut self, address: &Arc<str>) {
        let late = self.late.entry(address.clone()).or_default();
        if let Some(remains) = self.remains.get_mut(address) {
            late.append(&mut remains.unwritten);
            late.extend(drain(&mut remains.taker));
        }
        let mine = self.heritage.unsent.extract_if(.., |(sink, _)| sink == address);
        late.extend(mine.map(|(_, batch)| batch));
    }
}

impl Topology {
    /// Puts the old graph together again and lets it go on.
    pub(super) fn put_back(&mut self, scope: &Scope, raised: Vec<Raised>, undo: Undo) {
        let Undo { mut heritage, aside, mut remains, late, stats, stopped, ended, finished } = undo;
        let renamed = !raised.is_empty();
        // What they lease is still theirs when the old ones are made again.
        let mut leases = Vec::new();
        for part in raised {
            leases.push(part.sources);
            for sink in part.sinks {
                let left = sink.run.into_remains();
                remains.insert(sink.address, left);
            }
            heritage.take(part.body);
        }
        if renamed {
            let back: BTreeMap<_, _> =
                scope.renames.iter().map(|(old, new)| (new.clone(), old.clone())).collect();
            heritage.rename_all(&back);
            let left: Vec<_> = scope
                .replaced_sinks
                .iter()
                .filter_map(|(old, new)| Some((old.clone(), remains.remove(new)?)))
                .collect();
            remains.extend(left);
        }
        for (address, batches) in late {
            if let Some(remains) = remains.get_mut(&address) {
                remains.unwritten.splice(0..0, batches);
            } else {
                heritage.unsent.extend(batches.into_iter().map(|batch| (address.clone(), batch)));
            }
        }
        heritage.slots.extend(aside);
        heritage.ended.extend(ended);
        heritage.finished.extend(finished);
        self.stats = stats;
        let graph = std::mem::take(&mut self.graph);
        let again = graph.nodes().filter(|(_, node)| {
            let address = &node.address;
            let closed = remains.contains_key(address) && !self.sinks.contains_key(address);
            closed || stopped.contains_key(address)
        });
        let again: Vec<NodeIndex> = again.map(|(index, _)| index).collect();
        let mut made = BTreeMap::new();
        for index in again {
            match make_one(&graph.dag[index], &self.host) {
                Ok(one) => drop(made.insert(index, one)),
                Err(BuildError { address, problem, .. }) => {
                    tracing::error!(node = %address, "it could not be started again: {}", problem.message);
                    self.stats[&address].set_failed();
                }
            }
        }
        drop(leases);
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
