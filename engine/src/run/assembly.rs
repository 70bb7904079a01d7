//! Putting an island together out of a part of the graph: the same for live runs, recordings and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;

use super::exits::Exit;
use super::fan::{Fan, Target};
use super::heritage::Stream;
use super::island::{Entry, Island};
use super::making::make_one;
use super::slot::Slot;
use super::stats::NodeStats;
use super::watch::Watch;
use crate::condition::Predicate;
use crate::config::Section;
use crate::context::Host;
use crate::node::{Node, Outputs, Transform};
use crate::plan::{Graph, PlannedNode};

/// A connected part of the graph by what its nodes are, each list in the order of the graph. An island's entries, slots and exits are
/// numbered by these lists.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) sources: Vec<NodeIndex>,
    pub(crate) transforms: Vec<NodeIndex>,
    pub(crate) sinks: Vec<NodeIndex>,
}

impl Part {
    pub(crate) fn new(graph: &Graph, nodes: &[NodeIndex]) -> Part {
        let of = |section| {
            nodes.iter().copied().filter(|&n| graph.dag[n].section == section).collect::<Vec<_>>()
        };
        Part {
            sources: of(Section::Sources),
            transforms: of(Section::Transforms),
            sinks: of(Section::Sinks),
        }
    }
}

/// What an island is made with.
#[derive(Clone, Copy)]
pub(crate) struct Assembly<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) host: &'a Arc<Host>,
    pub(crate) watch: Option<&'a Arc<dyn Watch>>,
    pub(crate) stats: &'a BTreeMap<Arc<str>, Arc<NodeStats>>,
}

impl Assembly<'_> {
    /// Makes the island of a part; its transforms are taken out of `made`, or go on in their slots. `streams`: by sink.
    pub(crate) fn island(
        &self,
        part: &Part,
        made: &mut BTreeMap<NodeIndex, Node>,
        slots: &mut BTreeMap<Arc<str>, Slot>,
        streams: Vec<Stream>,
    ) -> Island {
        let place = |list: &[NodeIndex]| -> BTreeMap<NodeIndex, usize> {
            list.iter().enumerate().map(|(position, &n)| (n, position)).collect()
        };
        let (slot_of, sink_of) = (place(&part.transforms), place(&part.sinks));
        let targets = |n: NodeIndex| {
            let mut targets = vec![Vec::new(); self.graph.dag[n].profile.outputs.len()];
            for (from, to, port) in self.graph.outgoing(n) {
                let target = match (slot_of.get(&to), sink_of.get(&to)) {
                    (Some(&slot), _) => Target::Transform { slot, port },
                    (None, Some(&sink)) => Target::Sink(sink),
                    (None, None) => continue,
                };
                targets[from].push(target);
            }
            targets
        };
        let mut all = Vec::with_capacity(part.transforms.len());
        all.extend(part.transforms.iter().filter_map(|&n| match made.remove(&n) {
            Some(Node::Transform(transform)) => Some(self.slot(n, transform, &targets(n))),
            _ => {
                let mut slot = slots.remove(&self.graph.dag[n].address)?;
                slot.outputs = self.outputs(n, &targets(n));
                Some(slot)
            }
        }));
        let entries = part.sources.iter().map(|&n| Entry {
            address: self.graph.dag[n].address.clone(),
            fan: Fan::new(targets(n).into_iter().flatten().collect()),
            meets_again: self.meets_again(n),
        });
        let exits = part.sinks.iter().zip(streams).map(|(&n, stream)| Exit {
            address: self.graph.dag[n].address.clone(),
            when: self.predicate(n),
            stream: stream.id,
            sent: stream.sent,
            spool: stream.spool,
            known: stream.known,
            reach: stream.reach,
        });
        let fans = |&n: &NodeIndex| targets(n).into_iter().map(Fan::new).collect();
        let fans = part.transforms.iter().map(fans).collect();
        Island::new(all, fans, entries.collect(), exits.collect(), self.watch.cloned())
    }

    fn slot(&self, n: NodeIndex, transform: Box<dyn Transform>, targets: &[Vec<Target>]) -> Slot {
        let node = &self.graph.dag[n];
        let outputs = self.outputs(n, targets);
        let rebuild = rebuild(node, self.host, |made| match made {
            Node::Transform(transform) => Some(transform),
            _ => None,
        });
        let when = self.predicate(n);
        Slot::new(
            node.address.clone(),
            transform,
            outputs,
            self.stats[&node.address].clone(),
            when,
            Box::new(rebuild),
        )
    }

    /// Few nodes have one, and all would have to have room for it.
    fn predicate(&self, n: NodeIndex) -> Option<Box<Predicate>> {
        let when = self.graph.dag[n].when.as_ref()?;
        Some(Box::new(Predicate::new(when, self.host)))
    }

    fn outputs(&self, n: NodeIndex, targets: &[Vec<Target>]) -> Outputs {
        // Someone who looks sees every port, so every port must be filled then.
        let watched = self.watch.is_some();
        let ports = self.graph.dag[n].carries.iter().zip(targets);
        Outputs::new(ports.map(|(kind, targets)| (*kind, watched || !targets.is_empty())))
    }

    /// Whether two ways lead from a source to one node: then the order of items there depends on how they are cut into batches.
    fn meets_again(&self, source: NodeIndex) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![source];
        while let Some(node) = waiting.pop() {
            for (_, next, _) in self.graph.outgoing(node) {
                if !seen.insert(next) {
                    return true;
                }
                waiting.push(next);
            }
        }
        false
    }
}

/// How a node that broke is made anew: from the settings it was made from.
pub(crate) fn rebuild<T: 'static>(
    node: &Arc<PlannedNode>,
    host: &Arc<Host>,
    pick: fn(Node) -> Option<T>,
) -> impl Fn() -> Result<T, String> + Send + Sync + 'static {
    let (node, host) = (node.clone(), host.clone());
    move || {
        let made = make_one(&node, &host).map_err(|error| error.problem.message)?;
        pick(made).ok_or_else(|| "its settings make another kind of node now".to_owned())
    }
}
