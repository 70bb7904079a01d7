//! Circles in a graph, named node by node.

use petgraph::algo::tarjan_scc;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};

/// One shortest circle for each set of nodes that read from each other, beginning with the node that comes first. Nodes that read
/// from themselves are not among them.
pub(super) fn cycles<N, E>(graph: &StableDiGraph<N, E>) -> Vec<Vec<NodeIndex>> {
    let mut found: Vec<Vec<NodeIndex>> = tarjan_scc(graph)
        .into_iter()
        .filter(|set| set.len() > 1)
        .filter_map(|set| shortest_circle(graph, &set))
        .collect();
    found.sort();
    found
}

/// The shortest circle through the first node of a strongly connected set, by breadth-first search.
fn shortest_circle<N, E>(graph: &StableDiGraph<N, E>, set: &[NodeIndex]) -> Option<Vec<NodeIndex>> {
    let start = *set.iter().min()?;
    let mut came_from: std::collections::BTreeMap<NodeIndex, NodeIndex> = Default::default();
    let mut waiting = std::collections::VecDeque::from([start]);
    while let Some(node) = waiting.pop_front() {
        let mut next: Vec<NodeIndex> = graph.neighbors(node).collect();
        next.sort();
        for next in next {
            if next == start && node != start {
                let mut circle = vec![node];
                while let Some(&before) = circle
                    .last()
                    .filter(|&&last| last != start)
                    .and_then(|last| came_from.get(last))
                {
                    circle.push(before);
                }
                circle.reverse();
                return Some(circle);
            }
            if next != start && set.contains(&next) && !came_from.contains_key(&next) {
                came_from.insert(next, node);
                waiting.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_circle_in_order() {
        let mut graph = StableDiGraph::<(), ()>::new();
        let n: Vec<_> = (0..5).map(|_| graph.add_node(())).collect();
        for (a, b) in [(0, 1), (1, 3), (3, 2), (2, 1), (3, 4), (4, 4)] {
            graph.add_edge(n[a], n[b], ());
        }
        assert_eq!(cycles(&graph), [vec![n[1], n[3], n[2]]]);
    }
}
