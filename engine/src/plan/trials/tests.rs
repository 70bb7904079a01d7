//! Templates in the whole plan: what they expand to is what a user would have written, and what is wrong is shown at both places.

use std::path::Path;

use insta::assert_snapshot;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::config::Loader;
use crate::plan::test_nodes::registry;
use crate::plan::{Graph, Planned, plan_loaded};
use crate::testing;

fn planned(files: &[(&str, &str)]) -> Planned {
    let mut loader = Loader::new(&|_| None);
    for (path, text) in files {
        loader.text(Path::new(path), text);
    }
    plan_loaded(loader.finish(), &registry())
}

fn report(files: &[(&str, &str)]) -> String {
    let planned = planned(files);
    assert_eq!(planned.graph.is_none(), planned.diagnostics.has_errors());
    planned.diagnostics.render(&planned.files, false)
}

/// All of a graph that a user decides, a line for each node and edge; `>` in names becomes `-`, as nobody can write it.
fn shown(graph: &Graph) -> Vec<String> {
    let mut lines: Vec<String> = graph
        .nodes()
        .flat_map(|(index, node)| {
            let settings = &node.written.settings;
            let part = (&node.section, &node.type_name, &node.type_part, &node.unit, node.every);
            let line = format!("{} {part:?} {settings}", node.address);
            let edges = graph.outgoing(index).into_iter().map(move |(from, to, port)| {
                format!("{} .{from} -> {} .{port}", node.address, graph.dag[to].address)
            });
            std::iter::once(line).chain(edges)
        })
        .map(|line| line.replace(">", "-").replace("-- ", "-> "))
        .collect();
    lines.sort();
    lines
}

/// A node of a chain: its settings with parameters in them, and how far back in the chain it reads.
#[derive(Debug, Clone)]
struct Link {
    settings: &'static str,
    back: usize,
    late: bool,
}

fn link() -> impl Strategy<Value = Link> {
    let settings = prop::sample::select(vec![
        "smooth: { band: $(band) }",
        "smooth: { memory: $(memory), band: 0.5 }",
        "smooth: { band: $(band), overrides: [{ of: '$(room)/*', band: $(band) }] }",
        "pass: { label: $(room) }",
        "pass: { label: '$(room) at $(band), $(room)' }",
    ]);
    (settings, 0usize..4, any::<bool>()).prop_map(|(settings, back, late)| Link {
        settings,
        back,
        late,
    })
}

/// The nodes of a chain as YAML, under these names, reading first from `input`.
fn chain(links: &[Link], name: &dyn Fn(usize) -> String, input: &str) -> String {
    let mut text = String::new();
    for (at, link) in links.iter().enumerate() {
        let from = match at.checked_sub(link.back + 1) {
            None => input.to_owned(),
            // Only what smooths has a port for what is late.
            Some(from) if link.late && links[from].settings.starts_with("smooth") => {
                format!("{}.late", name(from))
            }
            Some(from) => name(from),
        };
        text += &format!("    {}: {{ inputs: [{from}], {} }}\n", name(at), link.settings);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The other way of expansion: texts are replaced in texts, before YAML is read.
    #[test]
    fn a_use_is_what_would_have_been_written_by_hand(
        links in vec(link(), 1..6),
        out in 0usize..6,
        uses in vec(("[a-z]{1,6}", 0u32..1000, proptest::option::of(0u32..100)), 1..4),
    ) {
        let out = out % links.len();
        let node = |at: usize| format!("n{at}");
        let mut used = String::from("pipeline: home\nsources:\n    air: { feed: {} }\ntransforms:\n");
        let mut by_hand = used.clone();
        let mut from = "air".to_owned();
        for (index, (room, band, memory)) in uses.iter().enumerate() {
            let name = format!("u{index}");
            let arguments = match memory {
                Some(memory) => format!("room: {room}, band: {band}, memory: {memory}"),
                None => format!("room: {room}, band: {band}"),
            };
            used += &format!("    {name}: {{ inputs: [{from}], use: {{ t: {{ {arguments} }} }} }}\n");
            let inner = |at: usize| if at == out { name.clone() } else { format!("{name}-n{at}") };
            by_hand += &chain(&links, &inner, &from)
                // Text stays text, whatever it looks like.
                .replace("label: $(room)", &format!("label: '{room}'"))
                .replace("$(room)", room)
                .replace("$(band)", &band.to_string())
                .replace("$(memory)", &memory.unwrap_or(9).to_string());
            from = name;
        }
        let params = "{ room: { type: text }, band: { type: number }, memory: { type: integer, default: 9 } }";
        let template = chain(&links, &node, "$(in)");
        let templates =
            format!("templates:\n  t:\n    params: {params}\n    transforms:\n{template}    out: n{out}\n");
        let templates = templates.replace("\n    n", "\n      n");
        let expanded = planned(&[("home.yaml", &used), ("lib.yaml", &templates)]);
        let Some(expanded) = expanded.graph else {
            panic!("{used}{templates}{}", expanded.diagnostics.render(&expanded.files, false))
        };
        let by_hand = planned(&[("home.yaml", &by_hand)]).graph.expect("a graph by hand");
        prop_assert_eq!(shown(&expanded), shown(&by_hand));
    }
}

const LIBRARY: &str = "\
templates:
  room:
    params: { band: { type: number }, label: { type: text, default: x } }
    transforms:
      calm: { inputs: [$(in)], smooth: { band: $(band), memory: $(label) } }
      late: { inputs: [calm.lte], pass: { label: $(label) } }
    out: late
";

#[test]
fn an_error_in_a_node_of_a_template_shows_its_line_and_the_use() {
    let home = "\
pipeline: home
sources: { air: { feed: {} } }
transforms:
  hall: { inputs: [air], use: { room: { band: 1 } } }
  bath: { inputs: [hall.nothing, hall>calm.late, hall>clam], use: { room: { band: 2 } } }
";
    assert_snapshot!(report(&[("home.yaml", home), ("lib.yaml", LIBRARY)]), @r#"
error[SM0071]: there is no node `hall>clam` in this pipeline
 --> home.yaml:5:50
  |
5 |   bath: { inputs: [hall.nothing, hall>calm.late, hall>clam], use: { room: { band: 2 } } }
  |                                                  ^^^^^^^^^
  |
  = help: did you mean `hall>calm`?

error[SM0032]: `memory` takes a whole number, found the text `x` in quotes
 --> lib.yaml:5:65
  |
5 |       calm: { inputs: [$(in)], smooth: { band: $(band), memory: $(label) } }
  |                                                                 ^^^^^^^^
  |
 ::: home.yaml:4:33
  |
4 |   hall: { inputs: [air], use: { room: { band: 1 } } }
  |                                 ---- used here
  |
  = help: another use of the template has it, too

2 errors
"#);
    let json = {
        let planned = planned(&[("home.yaml", home), ("lib.yaml", LIBRARY)]);
        let json = planned.diagnostics.to_json(&planned.files);
        let of = |file: &str| json.iter().find(|one| one.file.as_deref() == Some(file)).cloned();
        of("lib.yaml").unwrap()
    };
    assert_eq!((json.line, json.column), (5, 65));
    assert_eq!(
        json.help.as_deref(),
        Some("another use of the template has it, too\nused in home.yaml:4:33")
    );
}

/// A node that could not be read is not reported again by everything that reads from it.
#[test]
fn a_bad_use_is_reported_once() {
    let home = "\
pipeline: home
sources: { air: { feed: {} } }
transforms:
  hall: { inputs: [air], use: { room: { bnd: 1 } } }
sinks:
  out: { inputs: [hall, hall>calm], post: {} }
";
    let library = LIBRARY.replace("calm.lte", "calm.late").replace("memory: $(label)", "memory: 1");
    assert_snapshot!(report(&[("home.yaml", home), ("lib.yaml", &library)]), @r#"
error[SM0065]: the template `room` has no parameter `bnd`
 --> home.yaml:4:41
  |
4 |   hall: { inputs: [air], use: { room: { bnd: 1 } } }
  |                                         ^^^
  |
  = help: did you mean `band`?

1 error
"#);
}

#[test]
fn a_template_is_checked_without_a_use_as_far_as_it_can_be() {
    let library = LIBRARY.replace("type: number }", "type: number, default: 1 }");
    assert_snapshot!(report(&[("lib.yaml", &library)]), @r#"
error[SM0032]: `memory` takes a whole number, found the text `x` in quotes
 --> lib.yaml:5:65
  |
5 |       calm: { inputs: [$(in)], smooth: { band: $(band), memory: $(label) } }
  |                                                                 ^^^^^^^^

1 error
"#);
    assert_eq!(report(&[("lib.yaml", LIBRARY)]), "", "`band` has no default");
    let elsewhere =
        "templates: { t: { transforms: { a: { inputs: [other/node], pass: {} } }, out: a } }";
    assert_eq!(report(&[("lib.yaml", elsewhere)]), "");
}

const TESTED: &str = "\
templates:
  late:
    params: { room: { type: text } }
    transforms:
      first: { inputs: { main: [$(in), $(in.more)] }, pass: { label: $(room) } }
      second: { inputs: [first], pass: {} }
    out: second
    tests:
      - name: all passes
        with: { room: hall }
        given:
          - { node: in, source: \"any:a\", from: 0s, every: 1s, count: 3, value: 1 }
          - { node: in-more, source: \"other:b\", at: 1s, value: 2 }
        expect:
          - { node: first, count: 4 }
          - { node: second, at: 1s, reading: { source: \"other:b\", value: 2 } }
";

#[test]
fn the_tests_of_a_template_run_on_its_nodes_alone() {
    let planned = planned(&[("lib.yaml", TESTED)]);
    assert!(
        planned.diagnostics.is_empty(),
        "{}",
        planned.diagnostics.render(&planned.files, false)
    );
    assert!(planned.graph.is_some_and(|graph| graph.order.is_empty()), "nothing of it runs");
    let [graph] = &planned.trials[..] else { panic!("one test") };
    let [case] = &testing::tests(graph)[..] else { panic!("one test") };
    assert_eq!((&*case.pipeline, case.name()), ("late", "all passes"));
    let place = planned.files.position(case.span.file, case.span.start);
    assert_eq!((planned.files.path(case.span.file), place.line), (Path::new("lib.yaml"), 9));
}

#[test]
fn what_is_wrong_with_the_tests_of_a_template_is_reported() {
    assert_snapshot!(report(&[("lib.yaml", &TESTED.replace("room: hall", "rom: hall"))]), @r#"
error[SM0065]: the template `late` has no parameter `rom`
  --> lib.yaml:10:17
   |
10 |         with: { rom: hall }
   |                 ^^^
   |
   = help: did you mean `room`?

1 error
"#);
    assert_snapshot!(report(&[("lib.yaml", &TESTED.replace("with: { room: hall }", "seed: 1"))]), @r#"
error[SM0065]: the template `late` needs `room`
 --> lib.yaml:9:9
  |
3 |     params: { room: { type: text } }
  |               ---- it has no default
...
9 |       - name: all passes
  |         ^^^^^^^^^^^^^^^^
  |
  = help: write `with: { room: ... }`

1 error
"#);
    let wrong =
        TESTED.replace("node: in-more", "node: in-moer").replace("node: first", "node: third");
    assert_snapshot!(report(&[("lib.yaml", &wrong)]), @r#"
error[SM0061]: there is no node `in-moer` in this pipeline
  --> lib.yaml:13:21
   |
13 |           - { node: in-moer, source: "other:b", at: 1s, value: 2 }
   |                     ^^^^^^^
   |
   = help: did you mean `in-more`?

error[SM0061]: there is no node `third` in this pipeline
  --> lib.yaml:15:21
   |
15 |           - { node: third, count: 4 }
   |                     ^^^^^
   |
   = help: the nodes in this pipeline are first, in, in-more, second

2 errors
"#);
    assert_snapshot!(report(&[("lib.yaml", &TESTED.replace("with:", "wiht:"))]), @r#"
error[SM0030]: the test has no key `wiht`
  --> lib.yaml:10:9
   |
10 |         wiht: { room: hall }
   |         ^^^^
   |
   = help: did you mean `with`?

1 error
"#);
}
