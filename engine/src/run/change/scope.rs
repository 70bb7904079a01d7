//! What an apply touches: whole connected parts of the old and of the new graph.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;

use super::Transition;
use crate::config::Section;
use crate::plan::{Graph, PlannedNode};
use crate::registry::Claim;
use crate::run::raise::in_virtual_time;

/// An edge of a node: the output port, where it ends, and the input port there.
type EdgeFrom = (usize, Arc<str>, usize);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The nodes of the old graph whose parts change, by address.
    pub(super) old_nodes: BTreeSet<Arc<str>>,
    /// The nodes of the new graph that stand in parts which are new.
    pub(super) new_nodes: BTreeSet<NodeIndex>,
    /// The nodes to be made.
    pub(super) to_make: Vec<NodeIndex>,
    /// What old nodes hold that do not live on, and what no new node of their type takes over while they still have it.
    pub(super) given_up: BTreeSet<Claim>,
    /// Old addresses, and new ones.
    pub(super) renames: BTreeMap<Arc<str>, Arc<str>>,
    /// Sources that do not live on.
    pub(super) stopped_sources: Vec<Arc<str>>,
    /// Those of them that none takes the place of.
    pub(super) removed_sources: Vec<Arc<str>>,
    /// Sinks that another takes the place of, old address and new.
    pub(super) replaced_sinks: BTreeMap<Arc<str>, Arc<str>>,
    /// Sinks that none takes the place of.
    pub(super) removed_sinks: BTreeSet<Arc<str>>,
    /// Those of them that hold what a new node wants.
    pub(super) sinks_with_claims: BTreeSet<Arc<str>>,
    /// Transforms that do not live on.
    pub(super) gone_transforms: Vec<Arc<str>>,
}

impl Scope {
    /// `once`: see [`crate::run::Options`].
    pub(super) fn of(old: &Graph, new: &Graph, transition: &Transition, once: bool) -> Scope {
        let mut scope = Scope::default();
        let mut kept: BTreeSet<NodeIndex> = BTreeSet::new();
        for (index, node) in new.nodes() {
            match transition.origins.get(&node.address) {
                Some(origin) if origin.kept && origin.address == node.address => {
                    kept.insert(index);
                }
                origin => {
                    scope.to_make.push(index);
                    let renamed = origin.filter(|origin| origin.address != node.address);
                    let renamed = renamed.map(|one| (one.address.clone(), node.address.clone()));
                    scope.renames.extend(renamed);
                }
            }
        }
        scope.spread(old, new, transition);
        scope.make_anew_what_changes_its_time(old, new, &mut kept, once);
        let lives_on = |address: &Arc<str>| new.find(address).is_some_and(|n| kept.contains(&n));
        let origins = transition.origins.iter();
        let successors: BTreeMap<&Arc<str>, &Arc<str>> = origins
            .filter(|(address, _)| new.find(address).is_some())
            .map(|(address, origin)| (&origin.address, address))
            .collect();
        let wanted: BTreeSet<&Claim> =
            scope.to_make.iter().flat_map(|n| &new.dag[*n].profile.claims).collect();
        for (_, node) in old.nodes().filter(|(_, node)| !lives_on(&node.address)) {
            // Where it listens is leased: made before the old one stops, the new one has it without a moment in between.
            let taken_over = |claim: &Claim| {
                let mut made = scope.to_make.iter().map(|n| &*new.dag[*n]);
                let successor = |new: &PlannedNode| {
                    new.type_name == node.type_name && new.profile.claims.contains(claim)
                };
                claim.is_listening() && made.any(successor)
            };
            let claims = node.profile.claims.iter();
            let given_up: Vec<_> = claims.filter(|claim| !taken_over(claim)).cloned().collect();
            scope.given_up.extend(given_up);
            let address = node.address.clone();
            match (node.section, successors.get(&address)) {
                (Section::Sources, successor) => {
                    if successor.is_none() {
                        scope.removed_sources.push(address.clone());
                    }
                    scope.stopped_sources.push(address);
                }
                (Section::Sinks, Some(&new)) => {
                    scope.replaced_sinks.insert(address, new.clone());
                }
                (Section::Sinks, None) => {
                    if node.profile.claims.iter().any(|claim| wanted.contains(claim)) {
                        scope.sinks_with_claims.insert(address.clone());
                    }
                    scope.removed_sinks.insert(address);
                }
                _ => scope.gone_transforms.push(address),
            }
        }
        scope
    }

    /// What stands in virtual time now and did not, or the other way round, is made anew in place of what it was: loops of sources and
    /// sinks differ.
    fn make_anew_what_changes_its_time(
        &mut self,
        old: &Graph,
        new: &Graph,
        kept: &mut BTreeSet<NodeIndex>,
        once: bool,
    ) {
        let mut was_virtual: BTreeMap<&Arc<str>, bool> = BTreeMap::new();
        for part in old.parts() {
            let virtual_time = in_virtual_time(old, &part, once);
            was_virtual.extend(part.iter().map(|n| (&old.dag[*n].address, virtual_time)));
        }
        for part in new.parts() {
            let virtual_time = in_virtual_time(new, &part, once);
            for n in part {
                let node = &new.dag[n];
                let changes =
                    was_virtual.get(&node.address).is_some_and(|was| *was != virtual_time);
                if changes && node.section != Section::Transforms && kept.remove(&n) {
                    self.to_make.push(n);
                }
            }
        }
    }

    /// Whole parts change, and what they share with parts of the other graph.
    fn spread(&mut self, old: &Graph, new: &Graph, transition: &Transition) {
        let was = |address: &Arc<str>| {
            transition
                .origins
                .get(address)
                .map_or_else(|| address.clone(), |one| one.address.clone())
        };
        let edges = |graph: &Graph, name: &dyn Fn(&Arc<str>) -> Arc<str>| {
            let mut edges: BTreeMap<Arc<str>, Vec<EdgeFrom>> = BTreeMap::new();
            for (index, node) in graph.nodes() {
                let out = graph.outgoing(index).into_iter();
                let out = out.map(|(from, to, port)| (from, name(&graph.dag[to].address), port));
                edges.insert(name(&node.address), out.collect());
            }
            edges
        };
        let (before, after) = (edges(old, &|address| address.clone()), edges(new, &was));
        let making: BTreeSet<NodeIndex> = self.to_make.iter().copied().collect();
        let mut new_dirty: BTreeSet<NodeIndex> = new
            .nodes()
            .filter(|(index, node)| {
                let address = was(&node.address);
                making.contains(index) || before.get(&address) != after.get(&address)
            })
            .map(|(index, _)| index)
            .collect();
        let survivors: BTreeMap<Arc<str>, NodeIndex> =
            new.nodes().map(|(index, node)| (was(&node.address), index)).collect();
        let mut old_dirty: BTreeSet<Arc<str>> = old
            .nodes()
            .filter(|(_, node)| {
                survivors.get(&node.address).is_none_or(|index| new_dirty.contains(index))
            })
            .map(|(_, node)| node.address.clone())
            .collect();
        let (old_parts, new_parts) = (old.parts(), new.parts());
        loop {
            let before = (old_dirty.len(), new_dirty.len());
            for part in &old_parts {
                if part.iter().any(|n| old_dirty.contains(&old.dag[*n].address)) {
                    for n in part {
                        let address = &old.dag[*n].address;
                        new_dirty.extend(survivors.get(address));
                        old_dirty.insert(address.clone());
                    }
                }
            }
            for part in &new_parts {
                if part.iter().any(|n| new_dirty.contains(n)) {
                    for n in part {
                        let address = was(&new.dag[*n].address);
                        if old.find(&address).is_some() {
                            old_dirty.insert(address);
                        }
                        new_dirty.insert(*n);
                    }
                }
            }
            if before == (old_dirty.len(), new_dirty.len()) {
                break;
            }
        }
        (self.old_nodes, self.new_nodes) = (old_dirty, new_dirty);
    }
}
