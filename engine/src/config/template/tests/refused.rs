//! What bad templates and bad uses get, word for word.

use insta::assert_snapshot;

use super::ROOM;
use crate::config::tests::{parse_all, report};

/// What is wrong with a pipeline that uses [`ROOM`].
fn used(transforms: &str) -> String {
    report(&format!(
        "pipeline: home\nsources:\n  air: {{ simulate: {{}} }}\ntransforms:\n{transforms}{ROOM}"
    ))
}

#[test]
fn what_is_wrong_with_arguments_is_said_at_the_use() {
    assert_snapshot!(used("  hall: { inputs: [air], use: { rom: { room: hall } } }\n"), @r#"
error[SM0064]: there is no template `rom`
 --> home.yaml:5:33
  |
5 |   hall: { inputs: [air], use: { rom: { room: hall } } }
  |                                 ^^^
  |
  = help: did you mean `room`?

1 error
"#);
    assert_snapshot!(used("  hall: { inputs: [air], use: { room: { band: wide, rom: hall } } }\n"), @r#"
error[SM0065]: `band` takes a number, found the text `wide`
  --> home.yaml:5:47
   |
 5 |   hall: { inputs: [air], use: { room: { band: wide, rom: hall } } }
   |                                               ^^^^
...
11 |       band: { type: number, default: 0.2 }
   |       ---- the parameter

error[SM0065]: the template `room` has no parameter `rom`
 --> home.yaml:5:53
  |
5 |   hall: { inputs: [air], use: { room: { band: wide, rom: hall } } }
  |                                                     ^^^
  |
  = help: did you mean `room`?

2 errors
"#);
    assert_snapshot!(used("  hall: { inputs: [air], room: hall, dedup: {}, use: { room: } }\n"), @r#"
error[SM0030]: unknown key `room` beside `use`
 --> home.yaml:5:26
  |
5 |   hall: { inputs: [air], room: hall, dedup: {}, use: { room: } }
  |                          ^^^^                   --- stands for a type
  |
  = help: it is a parameter: `use: { room: { room: ... } }`

error[SM0030]: unknown key `dedup` beside `use`
 --> home.yaml:5:38
  |
5 |   hall: { inputs: [air], room: hall, dedup: {}, use: { room: } }
  |                                      ^^^^^      --- stands for a type
  |
  = help: a node has one type, or one template

error[SM0065]: the template `room` needs `room`
  --> home.yaml:5:56
   |
 5 |   hall: { inputs: [air], room: hall, dedup: {}, use: { room: } }
   |                                                        ^^^^
...
10 |       room: { type: text }
   |       ---- it has no default
   |
   = help: write `use: { room: { room: ... } }`

3 errors
"#);
}

#[test]
fn a_use_names_one_template_in_its_section_with_its_inputs() {
    assert_snapshot!(used("  hall: { use: { room: { room: hall } } }\n"), @r#"
error[SM0076]: the template `room` has inputs, and nothing is given to it
  --> home.yaml:5:3
   |
 5 |   hall: { use: { room: { room: hall } } }
   |   ^^^^
...
13 |       scored: { inputs: [$(in)], novelty: {} }
   |                          ----- read here
   |
   = help: name the nodes it reads from: `inputs: [...]`

1 error
"#);
    assert_snapshot!(used("  hall: { inputs: { mian: [air] }, use: { room: { room: hall } } }\n"), @r#"
error[SM0069]: the template `room` has no input `mian`
 --> home.yaml:5:21
  |
5 |   hall: { inputs: { mian: [air] }, use: { room: { room: hall } } }
  |                     ^^^^
  |
  = help: did you mean `main`?

1 error
"#);
    assert_snapshot!(used("  hall: { inputs: [air], use: room }\n  a: { use: { room: {}, floor: {} } }\n"), @r#"
error[SM0069]: `use` takes one template with its arguments, found the text `room`
 --> home.yaml:5:26
  |
5 |   hall: { inputs: [air], use: room }
  |                          ^^^
  |
  = help: write `use: { template: { parameter: value } }`

error[SM0069]: `use` takes one template with its arguments, found 2 of them
 --> home.yaml:6:8
  |
6 |   a: { use: { room: {}, floor: {} } }
  |        ^^^
  |
  = help: write `use: { template: { parameter: value } }`

2 errors
"#);
    assert_snapshot!(used("  a: { inputs: [air], dedup: {} }\nsinks:\n  hall: { inputs: [air], use: { room: { room: hall } } }\n"), @r#"
error[SM0069]: the template `room` ends in a transform, and cannot be a sink
 --> home.yaml:7:33
  |
7 |   hall: { inputs: [air], use: { room: { room: hall } } }
  |                                 ^^^^
  |
  = help: use it under `transforms:`

1 error
"#);
}

#[test]
fn what_is_wrong_in_a_template_is_said_at_its_line_with_its_uses() {
    let wrong = ROOM.replace("novelty: {}", "novelty: {}, evry: 1s");
    let yaml = format!(
        "pipeline: home\nsources:\n  air: {{ simulate: {{}} }}\ntransforms:\n  hall: {{ inputs: [air], use: {{ room: {{ room: hall }} }} }}\n  bath: {{ inputs: [air], use: {{ room: {{ room: bath }} }} }}\n{wrong}"
    );
    assert_snapshot!(report(&yaml), @r#"
error[SM0030]: unknown key `evry` beside the type `novelty`
  --> home.yaml:14:47
   |
 5 |   hall: { inputs: [air], use: { room: { room: hall } } }
   |                                 ---- used here
...
14 |       scored: { inputs: [$(in)], novelty: {}, evry: 1s }
   |                                  -------      ^^^^
   |                                  |
   |                                  the type
   |
   = help: if it is a setting of `novelty`, write it under that key
   = help: another use of the template has it, too

1 error
"#);
}

#[test]
fn the_shape_of_a_template_is_checked_without_a_use() {
    assert_snapshot!(report("
templates:
  Room: 5
  a: { nodes: {}, transforms: { in: { inputs: [$(in)], dedup: {} } }, sinks: { in: {} } }
  b: { transforms: { x: { inputs: [$(in), $(in.gate)], dedup: {} }, in-gate: { inputs: [x], dedup: {} } }, out: y }
"), @r#"
error[SM0052]: `Room` cannot be the name of a template
 --> home.yaml:3:3
  |
3 |   Room: 5
  |   ^^^^
  |
  = help: names begin with a small letter and go on with small letters, digits, `_` and `-`
  = help: for example `room`

error[SM0063]: the template `Room` is no mapping: the number `5`
 --> home.yaml:3:3
  |
3 |   Room: 5
  |   ^^^^
  |
  = help: write `Room: { transforms: ..., out: node }`

error[SM0063]: the template `a` has no `out`
 --> home.yaml:4:3
  |
4 |   a: { nodes: {}, transforms: { in: { inputs: [$(in)], dedup: {} } }, sinks: { in: {} } }
  |   ^
  |
  = help: name the node that stands for the whole where it is used: `out: in`

error[SM0063]: a template has no key `nodes`
 --> home.yaml:4:8
  |
4 |   a: { nodes: {}, transforms: { in: { inputs: [$(in)], dedup: {} } }, sinks: { in: {} } }
  |        ^^^^^
  |
  = help: a template has `params`, nodes under `sources`, `transforms`, `agents` and `sinks`, `out` and `tests`

error[SM0063]: a node of a template cannot be called `in`
 --> home.yaml:4:33
  |
4 |   a: { nodes: {}, transforms: { in: { inputs: [$(in)], dedup: {} } }, sinks: { in: {} } }
  |                                 ^^
  |
  = help: `$(in)` stands for what is given to a use; rename the node

error[SM0063]: a node of a template cannot be called `in`
 --> home.yaml:4:80
  |
4 |   a: { nodes: {}, transforms: { in: { inputs: [$(in)], dedup: {} } }, sinks: { in: {} } }
  |                                                                                ^^
  |
  = help: `$(in)` stands for what is given to a use; rename the node

error[SM0053]: two nodes have the name `in`
 --> home.yaml:4:80
  |
4 |   a: { nodes: {}, transforms: { in: { inputs: [$(in)], dedup: {} } }, sinks: { in: {} } }
  |                                 -- first here                                  ^^ again here
  |
  = help: names are unique over all four sections; rename one

error[SM0063]: a node of this template cannot be called `in-gate`
 --> home.yaml:5:3
  |
5 |   b: { transforms: { x: { inputs: [$(in), $(in.gate)], dedup: {} }, in-gate: { inputs: [x], dedup: {} } }, out: y }
  |   ^
  |
  = help: in its tests that is what is given to `$(in.gate)`; rename the node

error[SM0063]: the template `b` has no node `y`
 --> home.yaml:5:113
  |
5 |   b: { transforms: { x: { inputs: [$(in), $(in.gate)], dedup: {} }, in-gate: { inputs: [x], dedup: {} } }, out: y }
  |                                                                                                                 ^
  |
  = help: its nodes are x, in-gate

9 errors
"#);
}

#[test]
fn parameters_are_checked_without_a_use() {
    assert_snapshot!(report("
templates:
  a:
    params: { in: { type: text }, n: { type: nmber }, w: { type: enum }, d: { type: integer, default: 1.5, one_of: [1] } }
    sources: { x: { simulate: {} } }
    out: x
"), @r#"
error[SM0063]: a parameter cannot be called `in`
 --> home.yaml:4:15
  |
4 |     params: { in: { type: text }, n: { type: nmber }, w: { type: enum }, d: { type: integer, default: 1.5, one_of: [1] } }
  |               ^^
  |
  = help: `$(in)` stands for what is given to a use; rename the parameter

error[SM0034]: `type` takes `text`, `number`, `integer`, `bool`, `duration`, `size`, `list` or `enum`, found `nmber`
 --> home.yaml:4:46
  |
4 |     params: { in: { type: text }, n: { type: nmber }, w: { type: enum }, d: { type: integer, default: 1.5, one_of: [1] } }
  |                                              ^^^^^
  |
  = help: did you mean `number`?

error[SM0063]: the parameter `w` has no words to take
 --> home.yaml:4:55
  |
4 |     params: { in: { type: text }, n: { type: nmber }, w: { type: enum }, d: { type: integer, default: 1.5, one_of: [1] } }
  |                                                       ^
  |
  = help: list them: `{ type: enum, one_of: [low, high] }`

error[SM0065]: the default of `d` takes a whole number, found the number `1.5`
 --> home.yaml:4:103
  |
4 |     params: { in: { type: text }, n: { type: nmber }, w: { type: enum }, d: { type: integer, default: 1.5, one_of: [1] } }
  |                                                                          - the parameter              ^^^

error[SM0063]: `one_of` means nothing to the type `integer`
 --> home.yaml:4:116
  |
4 |     params: { in: { type: text }, n: { type: nmber }, w: { type: enum }, d: { type: integer, default: 1.5, one_of: [1] } }
  |                                                                                                                    ^^^
  |
  = help: write `type: enum`, or remove `one_of`

5 errors
"#);
}

#[test]
fn what_a_template_refers_to_is_checked_without_a_use() {
    assert_snapshot!(report("
templates:
  a:
    params: { n: { type: number }, list: { type: list } }
    transforms:
      x: { inputs: [$(in), elsewhere, other/node], dedup: { $(n): 1, a: $(m), b: 'x $(list)', c: $(in), d: $(open } }
    out: x
"), @r#"
error[SM0071]: the template `a` has no node `elsewhere`
 --> home.yaml:6:28
  |
6 |       x: { inputs: [$(in), elsewhere, other/node], dedup: { $(n): 1, a: $(m), b: 'x $(list)', c: $(in), d: $(open } }
  |                            ^^^^^^^^^
  |
  = help: a template reads from its own nodes, from `pipeline/node`, or from what is given to a use: `$(in)`

error[SM0066]: `$(n)` is a key: parameters stand only in values
 --> home.yaml:6:61
  |
6 |       x: { inputs: [$(in), elsewhere, other/node], dedup: { $(n): 1, a: $(m), b: 'x $(list)', c: $(in), d: $(open } }
  |                                                             ^^^^
  |
  = help: write the key out, or one node for each

error[SM0066]: the template `a` has no parameter `m`
 --> home.yaml:6:73
  |
6 |       x: { inputs: [$(in), elsewhere, other/node], dedup: { $(n): 1, a: $(m), b: 'x $(list)', c: $(in), d: $(open } }
  |                                                                         ^^^^
  |
  = help: its parameters are n, list
  = help: write a dollar sign that is meant as such as `$$`

error[SM0066]: `$(list)` is a list and cannot stand inside other text
 --> home.yaml:6:82
  |
4 |     params: { n: { type: number }, list: { type: list } }
  |                                    ---- declared here
5 |     transforms:
6 |       x: { inputs: [$(in), elsewhere, other/node], dedup: { $(n): 1, a: $(m), b: 'x $(list)', c: $(in), d: $(open } }
  |                                                                                  ^^^^^^^^^^^
  |
  = help: let it stand alone, in place of a whole list

error[SM0066]: `$(in)` stands alone, and only under `inputs`
 --> home.yaml:6:98
  |
6 |       x: { inputs: [$(in), elsewhere, other/node], dedup: { $(n): 1, a: $(m), b: 'x $(list)', c: $(in), d: $(open } }
  |                                                                                                  ^^^^^
  |
  = help: write `inputs: [$(in)]`

error[SM0066]: `$(` is not closed by `)`
 --> home.yaml:6:108
  |
6 |       x: { inputs: [$(in), elsewhere, other/node], dedup: { $(n): 1, a: $(m), b: 'x $(list)', c: $(in), d: $(open } }
  |                                                                                                            ^^^^^^
  |
  = help: write a dollar sign that is meant as such as `$$`

6 errors
"#);
}

#[test]
fn templates_that_lie_in_each_other_without_end_are_refused() {
    assert_snapshot!(report("
pipeline: home
sources:
  air: { use: { a: {} } }
  other: { use: { outer: {} } }
templates:
  a: { sources: { x: { use: { b: {} } } }, out: x }
  b: { sources: { x: { simulate: {} }, y: { use: { c: {} } } }, out: y }
  c: { sources: { x: { use: { a: {} } } }, out: x }
  self: { sources: { x: { use: { self: {} } } }, out: x }
  outer: { sources: { x: { use: { a: {} } } }, out: x }
"), @r#"
error[SM0067]: the template `a` uses itself: a > b > c > a
 --> home.yaml:7:31
  |
7 |   a: { sources: { x: { use: { b: {} } } }, out: x }
  |                               ^
8 |   b: { sources: { x: { simulate: {} }, y: { use: { c: {} } } }, out: y }
  |                                                    - and on
9 |   c: { sources: { x: { use: { a: {} } } }, out: x }
  |                               - and on
  |
  = help: take one of these uses out

error[SM0067]: the template `self` uses itself: self > self
  --> home.yaml:10:34
   |
10 |   self: { sources: { x: { use: { self: {} } } }, out: x }
   |                                  ^^^^
   |
   = help: take one of these uses out

2 errors
"#);
    let chain = |levels: usize| {
        let level = |level: usize| {
            let uses = format!("use: {{ t{}: {{}} }}", level + 1);
            let inner = if level + 1 == levels { "simulate: {}" } else { &uses };
            format!("  t{level}: {{ sources: {{ x: {{ {inner} }} }}, out: x }}\n")
        };
        let levels: String = (0..levels).map(level).collect();
        report(&format!(
            "pipeline: home\nsources:\n  air: {{ use: {{ t0: {{}} }} }}\ntemplates:\n{levels}"
        ))
    };
    assert_eq!(chain(16), "");
    assert_eq!(chain(17).matches("error[SM0067]").count(), 1);
    assert_eq!(chain(3000).matches("error[SM0067]").count(), 1000);
}

#[test]
fn two_templates_of_one_name_name_both_files() {
    let lookup = |_: &str| None;
    let mut loader = crate::config::Loader::new(&lookup);
    let template = "templates:\n  room: { sources: { air: { simulate: {} } }, out: air }\n";
    loader.text(std::path::Path::new("a.yaml"), template);
    loader.text(std::path::Path::new("b.yaml"), &format!("# another\n{template}"));
    let mut loaded = loader.finish();
    assert!(parse_all(&mut loaded).is_empty());
    assert_snapshot!(loaded.diagnostics.render(&loaded.files, false), @r#"
error[SM0068]: two templates are named `room`
 --> b.yaml:3:3
  |
3 |   room: { sources: { air: { simulate: {} } }, out: air }
  |   ^^^^ again here
  |
 ::: a.yaml:2:3
  |
2 |   room: { sources: { air: { simulate: {} } }, out: air }
  |   ---- first here
  |
  = help: a template is known in all files that are applied; rename one

1 error
"#);
}
