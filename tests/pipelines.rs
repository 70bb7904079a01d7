//! Every pipeline that is shipped passes its own tests: the examples of all nodes, and everything under `pipelines/`. Each test is
//! also run with small batches, and with a restart in the middle: the same bytes must pass every port.

use std::fs;
use std::path::{Path, PathBuf};

use smollama_engine::config::{Loaded, Loader};
use smollama_engine::plan::plan_loaded;
use smollama_engine::testing::{self, Variation};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the tests of loaded pipelines; says what is wrong.
fn problems(name: &str, loaded: Loaded) -> Vec<String> {
    let planned = plan_loaded(loaded, &smollama_nodes::registry());
    if !planned.diagnostics.is_empty() {
        return vec![planned.diagnostics.render(&planned.files, false)];
    }
    let Some(graph) = planned.graph else { return vec![format!("{name} makes no graph")] };
    if testing::tests(&graph).is_empty() {
        return vec![format!("{name} has no tests")];
    }
    let mut problems = Vec::new();
    let graphs = std::iter::once(&graph).chain(&planned.trials);
    for (graph, case) in
        graphs.flat_map(|graph| testing::tests(graph).into_iter().map(move |case| (graph, case)))
    {
        let case = &case;
        for failure in testing::run(graph, case) {
            let place = planned.files.position(failure.span.file, failure.span.start);
            let (line, message, seen) = (place.line, failure.message, failure.seen.join("\n    "));
            problems.push(format!("{name}:{line}: {}: {message}\n    {seen}", case.name()));
        }
        let plain = testing::trace(graph, case, Variation::default());
        for (batch_max, restart_every) in [(1, None), (7, None), (1, Some(1)), (5, Some(3))] {
            let varied = testing::trace(graph, case, Variation { batch_max, restart_every });
            if plain != varied {
                let restarts = restart_every.map_or("no", |_| "some");
                let (plain, varied) = first_difference(&plain, &varied);
                problems.push(format!(
                    "{name}: {}: with batches of {batch_max} and {restarts} restarts\n    {varied}\n    instead of\n    {plain}",
                    case.name()
                ));
            }
        }
    }
    problems
}

fn first_difference(one: &[u8], other: &[u8]) -> (String, String) {
    let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    let (mut ones, mut others) = (one.lines(), other.lines());
    loop {
        match (ones.next(), others.next()) {
            (Some(one), Some(other)) if one == other => {}
            (one, other) => {
                let text = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                return (text(one), text(other));
            }
        }
    }
}

pub(crate) fn text(path: &Path, yaml: &str) -> Loaded {
    let nothing = |_: &str| None;
    let mut loader = Loader::new(&nothing);
    loader.text(path, yaml);
    loader.finish()
}

#[test]
fn the_example_of_every_node_passes_its_tests() {
    let registry = smollama_nodes::registry();
    let found: Vec<String> = registry
        .iter()
        .flat_map(|node| {
            let folder = root().join("nodes/src").join(node.section.key()).join(node.name);
            let path = folder.join("example.yaml");
            problems(
                &format!("{} {}", node.section.singular(), node.name),
                text(&path, node.example),
            )
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_pipeline_that_is_shipped_passes_its_tests() {
    let found: Vec<String> = yaml_under(&root().join("pipelines"))
        .into_iter()
        .flat_map(|path| {
            let yaml = fs::read_to_string(&path).unwrap();
            problems(&path.display().to_string(), text(&path, &yaml))
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Who tries them tries them all.
#[test]
fn all_pipelines_that_are_shipped_run_beside_each_other() {
    let nothing = |_: &str| None;
    let mut loader = Loader::new(&nothing);
    for path in yaml_under(&root().join("pipelines")) {
        loader.text(&path, &fs::read_to_string(&path).unwrap());
    }
    let planned = plan_loaded(loader.finish(), &smollama_nodes::registry());
    let found = planned.diagnostics.render(&planned.files, false);
    assert!(found.is_empty(), "{found}");
}

#[test]
fn the_example_of_the_guide_passes() {
    let guide = fs::read_to_string(root().join("docs/testing.md")).unwrap();
    let yaml = guide.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let found = problems("the guide", text(Path::new("hall.yaml"), yaml));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn yaml_under(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            paths.extend(yaml_under(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths
}

/// A host that is killed in the middle of a test gives what one gives that is not.
#[test]
fn every_example_passes_its_tests_on_a_host_that_is_killed() {
    for node in smollama_nodes::registry().iter() {
        let folder = root().join("nodes/src").join(node.section.key()).join(node.name);
        for (how, at) in [("kill", "61s"), ("stop", "10m1s")] {
            let faults = format!("\n    faults: [{{ restart: {how}, at: {at} }}]\n    expect:");
            let yaml = node.example.replace("\n    expect:", &faults);
            assert!(yaml.contains("faults:"), "{}", node.name);
            let planned =
                plan_loaded(text(&folder.join("example.yaml"), &yaml), &smollama_nodes::registry());
            let found = planned.diagnostics.render(&planned.files, false);
            let graph = planned.graph.unwrap_or_else(|| panic!("{found}"));
            for case in testing::tests(&graph) {
                let failures = testing::run(&graph, &case);
                assert!(failures.is_empty(), "{} {how}: {}: {failures:#?}", node.name, case.name());
            }
        }
    }
}
