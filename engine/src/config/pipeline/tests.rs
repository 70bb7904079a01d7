use insta::assert_snapshot;

use super::{Address, is_name};
use crate::config::tests::{good, report};

#[test]
fn a_whole_pipeline() {
    let pipelines = good(
        "
pipeline: greenhouse
description: Soil and air
sources:
  air: { as: climate, unit: °C, labels: { room: '${ROOM}', floor: 1 }, labels_from: rooms.csv, every: 10s, simulate: {} }
transforms:
  frost: { inputs: { main: [air], other: [weather/out.late] }, dedup: }
sinks:
  screen: { inputs: [air, frost.dropped], when: { kind: anomaly }, queue: { size: 1MiB }, retry: {}, renamed_from: tv, console: {} }
tests: []
",
    );
    let pipeline = &pipelines[0];
    assert_eq!(
        (&**pipeline.name, pipeline.description.as_deref().map(|d| &**d)),
        ("greenhouse", Some("Soil and air"))
    );
    let names: Vec<_> =
        pipeline.nodes.iter().map(|n| format!("{}:{}", &**n.name, &**n.type_name)).collect();
    assert_eq!(names, ["air:simulate", "frost:dedup", "screen:console"]);
    let air = pipeline.node("air").unwrap();
    let labels: Vec<_> = air.labels.iter().map(|(k, v)| format!("{}={}", &**k, &**v)).collect();
    assert_eq!(labels, ["room=kitchen", "floor=1"]);
    assert_eq!(air.as_type.as_ref().map(|t| &***t), Some("climate"));
    let inputs = |node: &str| -> Vec<String> {
        let inputs = &pipeline.node(node).unwrap().inputs;
        inputs.iter().map(|i| format!("{}<-{}", &**i.port, *i.from)).collect()
    };
    assert_eq!(inputs("frost"), ["main<-air", "other<-weather/out.late"]);
    assert_eq!(inputs("screen"), ["main<-air", "main<-frost.dropped"]);
    assert!(pipeline.tests.is_some());
}

#[test]
fn addresses() {
    for text in
        ["air", "frost.news", "weather/out", "weather/out.late", "hall>air", "home/hall>a>b.late"]
    {
        assert_eq!(Address::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "", ".", "air.", "/air", "a/b/c", "Air", "a.b.c", "a b", "air/", ">air", "hall>", "a>>b",
        "a>B",
    ] {
        assert!(Address::parse(text).is_err(), "{text}");
    }
    assert_eq!(Address::parse("air").unwrap().port_or_main(), "main");
    assert_eq!(Address::parse("home/hall>a>b.late").unwrap().head(), "hall");
}

#[test]
fn names() {
    assert!(["a", "a1", "a-b_c", "living-room"].into_iter().all(is_name));
    assert!(!["", "1a", "A", "a.b", "a b", "ä", "-a", "_a"].into_iter().any(is_name));
    assert_snapshot!(report("pipeline: My Home\nsources:\n  Living Room: { simulate: {} }\n  42: { system: {} }\n"), @r#"
error[SM0052]: `My Home` cannot be the name of a pipeline
 --> home.yaml:1:11
  |
1 | pipeline: My Home
  |           ^^^^^^^
  |
  = help: names begin with a small letter and go on with small letters, digits, `_` and `-`
  = help: for example `my-home`

error[SM0052]: `Living Room` cannot be the name of a source
 --> home.yaml:3:3
  |
3 |   Living Room: { simulate: {} }
  |   ^^^^^^^^^^^
  |
  = help: names begin with a small letter and go on with small letters, digits, `_` and `-`
  = help: for example `living-room`

error[SM0052]: `42` cannot be the name of a source
 --> home.yaml:4:3
  |
4 |   42: { system: {} }
  |   ^^
  |
  = help: names begin with a small letter and go on with small letters, digits, `_` and `-`

3 errors
"#);
    assert_snapshot!(report("sources:\n  air: { simulate: {} }\n"), @r#"
error[SM0031]: the key `pipeline` is missing
 --> home.yaml:1:1
  |
1 | sources:
  | ^^^^^^^
  |
  = help: name the pipeline: `pipeline: home`

1 error
"#);
    assert_snapshot!(report("pipeline:\nsources:\n  air: { simulate: {} }\n"), @r#"
error[SM0032]: `pipeline` takes text, found nothing
 --> home.yaml:1:1
  |
1 | pipeline:
  | ^^^^^^^^

1 error
"#);
}

#[test]
fn sections() {
    assert_snapshot!(report("pipelin: home\nsource:\n  air: { simulate: {} }\nnodes: {}\n"), @r#"
error[SM0051]: `pipelin` is not a section of a pipeline
 --> home.yaml:1:1
  |
1 | pipelin: home
  | ^^^^^^^
  |
  = help: did you mean `pipeline`?

error[SM0051]: `source` is not a section of a pipeline
 --> home.yaml:2:1
  |
2 | source:
  | ^^^^^^
  |
  = help: did you mean `sources`?

error[SM0051]: `nodes` is not a section of a pipeline
 --> home.yaml:4:1
  |
4 | nodes: {}
  | ^^^^^
  |
  = help: at the top stand `pipeline`, `description`, `sources`, `transforms`, `agents`, `sinks`, `tests` and `templates`

3 errors
"#);
    assert_snapshot!(report("pipeline: home\nsystem: {}\nsources: [air]\n"), @r#"
error[SM0051]: `system` is not a section of a pipeline
 --> home.yaml:2:1
  |
2 | system: {}
  | ^^^^^^
  |
  = help: `system` is a type of node; write it under `sources:`

error[SM0032]: `sources` takes a mapping, found a list
 --> home.yaml:3:10
  |
3 | sources: [air]
  |          ^^^^^
  |
  = help: write each node as `name: { type: {} }`

2 errors
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n"), @r#"
error[SM0059]: the pipeline `home` has no nodes
 --> home.yaml:1:11
  |
1 | pipeline: home
  |           ^^^^
  |
  = help: add a source under `sources:`, such as `board: { system: {} }`

1 error
"#);
}

#[test]
fn two_nodes_of_one_name() {
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { simulate: {} }\nsinks:\n  air: { inputs: [air], console: {} }\n"), @r#"
error[SM0053]: two nodes have the name `air`
 --> home.yaml:5:3
  |
3 |   air: { simulate: {} }
  |   --- first here
4 | sinks:
5 |   air: { inputs: [air], console: {} }
  |   ^^^ again here
  |
  = help: names are unique over all four sections; rename one

1 error
"#);
}

#[test]
fn the_type_of_a_node() {
    assert_snapshot!(report("pipeline: home\nsources:\n  board: { every: 10s }\n  air:\n  sky: simulate\n"), @r#"
error[SM0054]: the source `board` has no type
 --> home.yaml:3:3
  |
3 |   board: { every: 10s }
  |   ^^^^^
  |
  = help: the types of sources are `replay`, `simulate` and `system`
  = help: besides its type a source may have `as`, `every`, `unit`, `labels`, `labels_from` and `renamed_from`

error[SM0054]: the source `air` has no type
 --> home.yaml:4:3
  |
4 |   air:
  |   ^^^
  |
  = help: the types of sources are `replay`, `simulate` and `system`
  = help: besides its type a source may have `as`, `every`, `unit`, `labels`, `labels_from` and `renamed_from`

error[SM0032]: the source `sky` takes a mapping, found the text `simulate`
 --> home.yaml:5:8
  |
5 |   sky: simulate
  |        ^^^^^^^^
  |
  = help: write its type as a key: `sky: { simulate: {} }`

3 errors
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  board: { system: {}, simulate: {} }\n"), @r#"
error[SM0055]: `system` and `simulate` are both types, a node has one
 --> home.yaml:3:24
  |
3 |   board: { system: {}, simulate: {} }
  |            ------      ^^^^^^^^ a second type
  |            |
  |            the first
  |
  = help: write two nodes, each with a name of its own

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  board: { evry: 10s, sytem: {} }\n"), @r#"
error[SM0030]: unknown key `evry` beside the type `sytem`
 --> home.yaml:3:12
  |
3 |   board: { evry: 10s, sytem: {} }
  |            ^^^^       ----- the type
  |
  = help: did you mean `every`?

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  board: { seed: 3, simulate: {} }\n"), @r#"
error[SM0030]: unknown key `seed` beside the type `simulate`
 --> home.yaml:3:12
  |
3 |   board: { seed: 3, simulate: {} }
  |            ^^^^     -------- the type
  |
  = help: if it is a setting of `simulate`, write it under that key

1 error
"#);
}

#[test]
fn engine_words_have_their_sections() {
    assert_snapshot!(report("
pipeline: home
sources:
  air: { inputs: [air], queue: {}, simulate: {} }
transforms:
  news: { inputs: [air], retry: {}, every: 1s, dedup: {} }
sinks:
  screen: { inputs: [air], as: x, console: {} }
"), @r#"
error[SM0056]: a source has no `inputs`
 --> home.yaml:4:10
  |
4 |   air: { inputs: [air], queue: {}, simulate: {} }
  |          ^^^^^^
  |
  = help: only transforms, agents and sinks have it

error[SM0056]: a source has no `queue`
 --> home.yaml:4:25
  |
4 |   air: { inputs: [air], queue: {}, simulate: {} }
  |                         ^^^^^
  |
  = help: only agents and sinks have it

error[SM0056]: a transform has no `retry`
 --> home.yaml:6:26
  |
6 |   news: { inputs: [air], retry: {}, every: 1s, dedup: {} }
  |                          ^^^^^
  |
  = help: only agents and sinks have it

error[SM0056]: a transform has no `every`
 --> home.yaml:6:37
  |
6 |   news: { inputs: [air], retry: {}, every: 1s, dedup: {} }
  |                                     ^^^^^
  |
  = help: only sources have it

error[SM0056]: a sink has no `as`
 --> home.yaml:8:28
  |
8 |   screen: { inputs: [air], as: x, console: {} }
  |                            ^^
  |
  = help: only sources and transforms have it

5 errors
"#);
}

#[test]
fn inputs() {
    assert_snapshot!(report("
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  a: { inputs: air, console: {} }
  b: { inputs: [air., [x], ~], console: {} }
  c: { inputs: { main: air }, console: {} }
  d: { inputs: , console: {} }
  e: { inputs: [a/b/c, 'Air'], console: {} }
"), @r#"
error[SM0032]: `inputs` takes a list, or a mapping from ports to lists, found the text `air`
 --> home.yaml:6:16
  |
6 |   a: { inputs: air, console: {} }
  |                ^^^
  |
  = help: write `inputs: [air]`

error[SM0057]: `air.` is not an address: the name of the port is missing
 --> home.yaml:7:17
  |
7 |   b: { inputs: [air., [x], ~], console: {} }
  |                 ^^^^
  |
  = help: write `node`, `node.port`, `pipeline/node` or `pipeline/node.port`

error[SM0032]: expected the address of a node, found a list
 --> home.yaml:7:23
  |
7 |   b: { inputs: [air., [x], ~], console: {} }
  |                       ^^^
  |
  = help: an input is a node, or a port of it: `air`, `frost.news`, `weather/outdoor`

error[SM0032]: expected the address of a node, found nothing
 --> home.yaml:7:28
  |
7 |   b: { inputs: [air., [x], ~], console: {} }
  |                            ^
  |
  = help: an input is a node, or a port of it: `air`, `frost.news`, `weather/outdoor`

error[SM0032]: `main` takes a list of nodes, found the text `air`
 --> home.yaml:8:24
  |
8 |   c: { inputs: { main: air }, console: {} }
  |                        ^^^
  |
  = help: write `main: [air]`

error[SM0032]: `inputs` takes a list, or a mapping from ports to lists, found nothing
 --> home.yaml:9:14
  |
9 |   d: { inputs: , console: {} }
  |              ^
  |
  = help: write `inputs: [node]`

error[SM0057]: `a/b/c` is not an address: `b/c` cannot be the name of a node
  --> home.yaml:10:17
   |
10 |   e: { inputs: [a/b/c, 'Air'], console: {} }
   |                 ^^^^^
   |
   = help: write `node`, `node.port`, `pipeline/node` or `pipeline/node.port`

error[SM0057]: `Air` is not an address: `Air` cannot be the name of a node
  --> home.yaml:10:24
   |
10 |   e: { inputs: [a/b/c, 'Air'], console: {} }
   |                        ^^^^^
   |
   = help: write `node`, `node.port`, `pipeline/node` or `pipeline/node.port`

8 errors
"#);
}

#[test]
fn engine_words_of_wrong_types() {
    assert_snapshot!(report("
pipeline: [home]
description: {}
sources:
  air: { as: [], unit: , labels: [a], renamed_from: secret://env/TOKEN, simulate: {} }
  sky: { labels: { a: [1], b: ~ }, simulate: {} }
"), @r#"
error[SM0032]: `pipeline` takes text, found a list
 --> home.yaml:2:11
  |
2 | pipeline: [home]
  |           ^^^^^^

error[SM0032]: `description` takes text, found a mapping
 --> home.yaml:3:14
  |
3 | description: {}
  |              ^^

error[SM0032]: `as` takes text, found a list
 --> home.yaml:5:14
  |
5 |   air: { as: [], unit: , labels: [a], renamed_from: secret://env/TOKEN, simulate: {} }
  |              ^^

error[SM0032]: `unit` takes text, found nothing
 --> home.yaml:5:18
  |
5 |   air: { as: [], unit: , labels: [a], renamed_from: secret://env/TOKEN, simulate: {} }
  |                  ^^^^

error[SM0032]: `labels` takes a mapping from names to texts, found a list
 --> home.yaml:5:34
  |
5 |   air: { as: [], unit: , labels: [a], renamed_from: secret://env/TOKEN, simulate: {} }
  |                                  ^^^
  |
  = help: write `labels: { room: kitchen }`

error[SM0024]: `renamed_from` is shown in plans and logs and cannot hold a secret
 --> home.yaml:5:53
  |
5 |   air: { as: [], unit: , labels: [a], renamed_from: secret://env/TOKEN, simulate: {} }
  |                                                     ^^^^^^^^^^^^^^^^^^
  |
  = help: use `${NAME}` if the value is no secret

error[SM0032]: `a` takes text, found a list
 --> home.yaml:6:23
  |
6 |   sky: { labels: { a: [1], b: ~ }, simulate: {} }
  |                       ^^^

error[SM0032]: `b` takes text, found nothing
 --> home.yaml:6:31
  |
6 |   sky: { labels: { a: [1], b: ~ }, simulate: {} }
  |                               ^

8 errors
"#);
}
