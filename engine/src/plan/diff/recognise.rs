//! Renames that nobody declared: nodes that are what they were, between the same neighbours, under another name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use petgraph::Direction;
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef;

use super::pairs::Pairs;
use super::settings::differences;
use crate::plan::graph::{Graph, PlannedNode};

/// A difference that is further away than this many nodes keeps nobody from being recognised.
const REACH_MAX: usize = 32;

/// A node without its name: equal for nodes that could be one another.
fn likeness(node: &PlannedNode) -> String {
    let type_part = (!node.has_default_type_part()).then_some(&node.type_part);
    format!(
        "{:?} {} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        node.section,
        node.type_name,
        node.written.settings,
        type_part,
        node.unit,
        node.labels,
        node.labels_from.as_ref().map(|(_, table)| table),
        node.every,
        node.when,
        node.queue,
        node.retry,
    )
}

/// Pairs nodes without a partner. They are told apart by what they are and by what lies around them (colour refinement, as
/// Weisfeiler and Leman have it); where one of a look is left on either side, the two are one node. First those that kept their
/// name within their pipeline: in a pipeline that has a new name, that tells twins apart.
pub(super) fn recognise(old: &Graph, new: &Graph, pairs: &mut Pairs) {
    for by_name in [true, false] {
        for (before, after) in alike(old, new, pairs, by_name) {
            pairs.add(before, after);
        }
    }
}

fn alike(old: &Graph, new: &Graph, pairs: &Pairs, by_name: bool) -> Vec<(NodeIndex, NodeIndex)> {
    let mut colours = Colours::new(old, new, pairs, by_name);
    for _ in 0..REACH_MAX {
        if !colours.refine() {
            break;
        }
    }
    let mut of_colour: BTreeMap<usize, (Vec<NodeIndex>, Vec<NodeIndex>)> = BTreeMap::new();
    for (&index, &colour) in &colours.old {
        of_colour.entry(colour).or_default().0.push(index);
    }
    for (&index, &colour) in &colours.new {
        of_colour.entry(colour).or_default().1.push(index);
    }
    let mut found = Vec::new();
    for (before, after) in of_colour.values() {
        if let (&[before], &[after]) = (&before[..], &after[..])
            && differences(&old.dag[before], &new.dag[after]).is_empty()
        {
            found.push((before, after));
        }
    }
    found
}

/// What is known of the nodes without a partner: nodes of one colour look alike.
struct Colours<'a> {
    graphs: (&'a Graph, &'a Graph),
    pairs: &'a Pairs,
    old: HashMap<NodeIndex, usize>,
    new: HashMap<NodeIndex, usize>,
}

/// A node at the other end of an edge: one with a partner by the index its partner has in the candidate, or a colour.
type Neighbour = (Option<NodeIndex>, usize);
/// A colour, and what lies around: direction, neighbour, port there, port here.
type Look = (usize, Vec<(bool, Neighbour, usize, usize)>);

impl<'a> Colours<'a> {
    fn new(old: &'a Graph, new: &'a Graph, pairs: &'a Pairs, by_name: bool) -> Colours<'a> {
        let mut seen: HashMap<(String, Option<Arc<str>>), usize> = HashMap::new();
        let mut colour = |node: &PlannedNode| {
            let next = seen.len();
            let name = by_name.then(|| node.name.clone());
            *seen.entry((likeness(node), name)).or_insert(next)
        };
        let olds = old.nodes().filter(|&(index, _)| pairs.new_of(index).is_none());
        let olds = olds.map(|(index, node)| (index, colour(node))).collect();
        let news = new.nodes().filter(|&(index, _)| pairs.old_of(index).is_none());
        let news = news.map(|(index, node)| (index, colour(node))).collect();
        Colours { graphs: (old, new), pairs, old: olds, new: news }
    }

    /// Looks one node further; whether that told any apart.
    fn refine(&mut self) -> bool {
        let before = self.count();
        let mut seen: HashMap<Look, usize> = HashMap::new();
        let mut colour = |look: Look| {
            let next = seen.len();
            *seen.entry(look).or_insert(next)
        };
        let (old, new) = self.graphs;
        let in_old = |index| (self.pairs.new_of(index), *self.old.get(&index).unwrap_or(&0));
        let in_new = |index: NodeIndex| match self.new.get(&index) {
            Some(&colour) => (None, colour),
            None => (Some(index), 0),
        };
        let olds: HashMap<_, _> =
            self.old.iter().map(|(&i, &c)| (i, colour(look(old, i, c, &in_old)))).collect();
        let news: HashMap<_, _> =
            self.new.iter().map(|(&i, &c)| (i, colour(look(new, i, c, &in_new)))).collect();
        (self.old, self.new) = (olds, news);
        self.count() > before
    }

    fn count(&self) -> usize {
        let all = self.old.values().chain(self.new.values());
        all.collect::<BTreeSet<_>>().len()
    }
}

fn look(
    graph: &Graph,
    index: NodeIndex,
    colour: usize,
    neighbour: &dyn Fn(NodeIndex) -> Neighbour,
) -> Look {
    let incoming = graph
        .dag
        .edges_directed(index, Direction::Incoming)
        .map(|edge| (true, neighbour(edge.source()), edge.weight().from, edge.weight().to));
    let outgoing = graph
        .dag
        .edges(index)
        .map(|edge| (false, neighbour(edge.target()), edge.weight().to, edge.weight().from));
    let mut around: Vec<_> = incoming.chain(outgoing).collect();
    around.sort_unstable();
    (colour, around)
}
