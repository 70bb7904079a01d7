//! Which node is taken for which.

use super::*;
use crate::plan::test_nodes::try_graph;

#[test]
fn a_rename_that_is_declared_takes_the_state_whatever_else_changes() {
    for was in ["news", "home/news"] {
        let renamed = HOME
            .replace("  news: {", "  fresh: {")
            .replace("[news", "[fresh")
            .replace("smooth: {}", &format!("renamed_from: {was}, smooth: {{ band: 0.5 }}"));
        assert_eq!(
            lines(&compare(HOME, &renamed)),
            ["~ home/fresh was home/news smooth.band: - -> 0.5 | Keeps"],
            "{was}"
        );
        // Once it is applied the word says nothing.
        assert_eq!(lines(&compare(&renamed, &renamed)), [""; 0]);
        assert_eq!(
            lines(&compare(&renamed, &renamed.replace("band: 0.5", "band: 0.7"))),
            ["~ home/fresh smooth.band: 0.5 -> 0.7 | Keeps"]
        );
    }
}

#[test]
fn a_declared_rename_wins_over_the_name() {
    // `pass` goes, and what was `news` takes its name.
    let renamed = "\
pipeline: home
sources:
  air: { feed: { topic: air } }
  soil: { feed: { topic: soil }, as: soil }
transforms:
  pass: { inputs: [air, soil], renamed_from: news, smooth: {} }
sinks:
  alerts: { inputs: [pass], post: { to: broker } }
  late: { inputs: [pass.late], post: { to: disk, delivery: kept } }
";
    assert_eq!(
        lines(&compare(HOME, renamed)),
        ["~ home/pass was home/news | Keeps", "= home/alerts inputs: pass -> pass", "- home/pass",]
    );
}

#[test]
fn a_rename_without_a_word_is_recognised_by_settings_and_neighbours() {
    let renamed = HOME.replace("  news: {", "  fresh: {").replace("[news", "[fresh");
    let changes = compare(HOME, &renamed);
    assert_eq!(lines(&changes), ["~ home/fresh was home/news | Keeps"]);
    assert_eq!((changes.edges_added, changes.edges_removed), (vec![], vec![]));
    // A whole row of them.
    let renamed = renamed.replace("  pass: {", "  through: {").replace("[pass]", "[through]");
    assert_eq!(
        lines(&compare(HOME, &renamed)),
        ["~ home/fresh was home/news | Keeps", "~ home/through was home/pass | Stateless"]
    );
}

#[test]
fn another_setting_or_neighbour_is_another_node() {
    let renamed = HOME.replace("  news: {", "  fresh: {").replace("[news", "[fresh");
    for other in [
        renamed.replace("smooth: {}", "smooth: { band: 0.5 }"),
        renamed.replace("[air, soil]", "[air]"),
        renamed.replace("inputs: [air, soil], smooth", "inputs: [air, soil], as: x, smooth"),
    ] {
        let lines = lines(&compare(HOME, &other));
        assert!(lines.contains(&"+ home/fresh".to_owned()), "{lines:?}");
        assert!(lines.contains(&"- home/news".to_owned()), "{lines:?}");
    }
}

#[test]
fn twins_are_taken_for_nobody() {
    let twins = |one: &str, other: &str| {
        home(
            "sinks:\n",
            &format!(
                "  {one}: {{ inputs: [air], pass: {{}} }}\n  {other}: {{ inputs: [air], pass: {{}} }}\nsinks:\n  all: {{ inputs: [{one}, {other}], post: {{}} }}\n"
            ),
        )
    };
    let lines = lines(&compare(&twins("a", "b"), &twins("c", "d")));
    let added = lines.iter().filter(|line| line.starts_with("+ ")).count();
    assert_eq!((lines.len(), added), (5, 2), "{lines:?}");
}

#[test]
fn a_pipeline_with_another_name_is_that_for_all_its_nodes() {
    // Twins too: within a pipeline they keep their names.
    let home = home(
        "sinks:\n",
        "  a: { inputs: [air], pass: {} }\n  b: { inputs: [air], pass: {} }\nsinks:\n  all: { inputs: [a, b], post: {} }\n",
    );
    let renamed = home.replace("pipeline: home", "pipeline: house");
    let changes = compare(&home, &renamed);
    assert_eq!(changes.nodes.len(), 9);
    for node in &changes.nodes {
        let was = node.renamed_from.as_deref().expect("it had another name");
        assert_eq!(was.replace("home/", "house/"), *node.address);
    }
    assert!(changes.edges_added.is_empty() && changes.edges_removed.is_empty());
    let [pipeline] = &changes.pipelines[..] else { panic!("{:?}", changes.pipelines) };
    assert_eq!(pipeline.renamed_from.as_deref(), Some("home"));
    assert_eq!(pipeline.fate, PipelineFate::Changed);
}

#[test]
fn a_pipeline_of_the_same_shape_with_other_settings_is_another_one() {
    let other = HOME.replace("pipeline: home", "pipeline: shed").replace("to: broker", "to: shed");
    let changes = compare(HOME, &other);
    let fates: Vec<_> = changes.pipelines.iter().map(|one| one.fate).collect();
    assert_eq!(fates, [PipelineFate::Added, PipelineFate::Removed]);
    assert!(
        changes.nodes.iter().all(|node| matches!(node.change, Change::Added | Change::Removed))
    );
}

#[test]
fn a_node_that_becomes_another_kind_is_two() {
    let other = HOME.replace("  alerts: { inputs: [pass], post: { to: broker } }\n", "").replace(
        "sinks:\n",
        "  alerts: { inputs: [pass], pass: {} }\nsinks:\n  end: { inputs: [alerts], post: {} }\n",
    );
    assert_eq!(lines(&compare(HOME, &other)), ["+ home/alerts", "+ home/end", "- home/alerts"]);
}

#[test]
fn a_rename_from_what_is_there_or_from_what_another_claims_is_an_error() {
    let said = |yaml: &str| try_graph("/etc/home.yaml", yaml, &|_| None).unwrap_err();
    let there = said(&home("smooth: {}", "renamed_from: pass, smooth: {}"));
    assert!(
        there.contains("SM0086") && there.contains("`home/pass`, which is still there"),
        "{there}"
    );
    let itself = said(&home("smooth: {}", "renamed_from: news, smooth: {}"));
    assert!(itself.contains("SM0086"), "{itself}");
    let both = home("smooth: {}", "renamed_from: old, smooth: {}")
        .replace("pass: {}", "renamed_from: home/old, pass: {}");
    let both = said(&both);
    assert!(
        both.contains("SM0086") && both.contains("two nodes say that they were `home/old`"),
        "{both}"
    );
    let port = said(&home("smooth: {}", "renamed_from: old.late, smooth: {}"));
    assert!(port.contains("SM0057"), "{port}");
}
