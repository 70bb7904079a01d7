//! What holds for any two graphs.

use proptest::prelude::*;

use super::*;

/// Some nodes of a graph: which there are, how they are set, and what reads from what.
fn any_graph() -> impl Strategy<Value = String> {
    let node = (0..5u8, 0..3u8, any::<u8>());
    (proptest::collection::vec(node, 1..9), any::<bool>()).prop_map(|(nodes, house)| {
        let mut transforms = String::new();
        let mut sinks = String::new();
        let mut names = vec!["air".to_owned(), "soil".to_owned()];
        for (position, (name, setting, from)) in nodes.into_iter().enumerate() {
            let input = &names[usize::from(from) % names.len()];
            let own = format!("n{name}");
            if names.contains(&own) {
                sinks += &format!(
                    "  s{position}: {{ inputs: [{input}], post: {{ to: \"{setting}\" }} }}\n"
                );
                continue;
            }
            let settings = match setting {
                0 => "pass: {}".to_owned(),
                other => format!("smooth: {{ band: {other} }}"),
            };
            transforms += &format!("  {own}: {{ inputs: [{input}], {settings} }}\n");
            names.push(own);
        }
        let name = if house { "house" } else { "home" };
        format!(
            "pipeline: {name}\nsources:\n  air: {{ feed: {{}} }}\n  soil: {{ feed: {{}}, as: soil }}\ntransforms:\n{transforms}sinks:\n{sinks}  end: {{ inputs: [air], post: {{}} }}\n"
        )
    })
}

proptest! {
    #[test]
    fn a_graph_is_itself(yaml in any_graph()) {
        let graph = graph(&yaml);
        let changes = diff(&graph, &graph, &nobody_asked);
        prop_assert!(changes.is_empty());
        prop_assert!(changes.nodes.iter().all(|node| node.change == Change::Kept));
    }

    #[test]
    fn every_node_and_edge_is_told_of_once(old in any_graph(), new in any_graph()) {
        let (old, new) = (graph(&old), graph(&new));
        let changes = diff(&old, &new, &nobody_asked);
        let olds: Vec<_> = changes.nodes.iter().filter_map(|node| node.old).collect();
        let news: Vec<_> = changes.nodes.iter().filter_map(|node| node.new).collect();
        let set = |nodes: &[NodeIndex]| nodes.iter().copied().collect::<BTreeSet<_>>();
        prop_assert_eq!(olds.len(), set(&olds).len());
        prop_assert_eq!(news.len(), set(&news).len());
        prop_assert_eq!(set(&olds), set(&old.order));
        prop_assert_eq!(set(&news), set(&new.order));
        for node in &changes.nodes {
            prop_assert_eq!(node.old.is_none(), node.change == Change::Added);
            prop_assert_eq!(node.new.is_none(), node.change == Change::Removed);
        }
        prop_assert_eq!(
            old.dag.edge_count() - changes.edges_removed.len(),
            new.dag.edge_count() - changes.edges_added.len()
        );
        let affected = changes.affected(&old, &new);
        for (index, _) in new.nodes() {
            let before = changes.predecessor(index);
            let both = before.is_none_or(|before| affected.old.contains(&before) == affected.new.contains(&index));
            prop_assert!(both);
            if let Some(before) = before {
                prop_assert_eq!(changes.successor(before), Some(index));
            }
        }
        // Outside the affected part nothing differs.
        for one in &changes.edges_added {
            prop_assert!(affected.new.contains(&one.to));
        }
        for one in &changes.edges_removed {
            prop_assert!(affected.old.contains(&one.to));
        }
    }
}
