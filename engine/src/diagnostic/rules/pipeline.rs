//! Rules about the form of a pipeline and its tests.

use super::{Fix, Rule};

/// This table, by id.
pub(super) static ALL: &[&Rule] = &[
    &NOT_A_PIPELINE,
    &UNKNOWN_SECTION,
    &INVALID_NAME,
    &DUPLICATE_NAME,
    &NO_NODE_TYPE,
    &TWO_NODE_TYPES,
    &MISPLACED_WORD,
    &BAD_ADDRESS,
    &NO_NODES,
    &BAD_TEST,
    &TEST_UNKNOWN_NODE,
    &BAD_FAULT,
    &BAD_TEMPLATE,
    &UNKNOWN_TEMPLATE,
    &BAD_ARGUMENT,
    &UNKNOWN_PARAMETER,
    &TEMPLATE_RECURSION,
    &DUPLICATE_TEMPLATE,
    &BAD_USE,
];

/// A document is not a pipeline.
pub static NOT_A_PIPELINE: Rule = Rule {
    id: "SM0050",
    name: "not-a-pipeline",
    title: "a document is not a pipeline",
    meaning: "A pipeline is a mapping with `pipeline` (its name) and the sections `sources`, \
        `transforms`, `agents`, `sinks` and `tests`. This document is something else: a list, or \
        a single value.",
    example: "\
- air
- board",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }",
    ),
};

/// Not a section of a pipeline.
pub static UNKNOWN_SECTION: Rule = Rule {
    id: "SM0051",
    name: "unknown-section",
    title: "not a section of a pipeline",
    meaning: "At the top of a pipeline stand only `pipeline`, `description`, `sources`, `transforms`, \
        `agents`, `sinks`, `tests` and `templates`.",
    example: "\
pipeline: home
source:
  air: { simulate: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }",
    ),
};

/// A name with letters that names cannot have.
pub static INVALID_NAME: Rule = Rule {
    id: "SM0052",
    name: "invalid-name",
    title: "a name with letters that names cannot have",
    meaning: "Names of pipelines and nodes begin with a small letter and go on with small letters, \
        digits, `_` and `-`. They are parts of addresses (`pipeline/node.port`) and of file \
        names.",
    example: "\
pipeline: home
sources:
  Living Room: { simulate: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  living-room: { simulate: {} }",
    ),
};

/// Two nodes of one name.
pub static DUPLICATE_NAME: Rule = Rule {
    id: "SM0053",
    name: "duplicate-name",
    title: "two nodes of one name",
    meaning: "A name is unique over all four sections of a pipeline, since an input names a node \
        without its section.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  air: { inputs: [air], console: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [air], console: {} }",
    ),
};

/// A node without a type.
pub static NO_NODE_TYPE: Rule = Rule {
    id: "SM0054",
    name: "no-node-type",
    title: "a node without a type",
    meaning: "The type of a node is a key, and its settings lie under it: `system: {}`. Besides engine \
        words such as `inputs` and `every` a node has exactly one key.",
    example: "\
pipeline: home
sources:
  board: { every: 10s }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  board: { every: 10s, system: {} }",
    ),
};

/// A node with two types.
pub static TWO_NODE_TYPES: Rule = Rule {
    id: "SM0055",
    name: "two-node-types",
    title: "a node with two types",
    meaning: "Besides engine words such as `inputs` and `every` a node has exactly one key, which is \
        its type. Settings of the type lie under it, not beside it.",
    example: "\
pipeline: home
sources:
  board: { system: {}, simulate: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  board: { system: {} }
  air: { simulate: {} }",
    ),
};

/// An engine word in the wrong section.
pub static MISPLACED_WORD: Rule = Rule {
    id: "SM0056",
    name: "misplaced-word",
    title: "an engine word in the wrong section",
    meaning: "Engine words have their sections: a source has no `inputs`, only a source has `every`, \
        only agents and sinks have a `queue`. Some words also want a type of node that has a use for them: \
        `every` one that is polled, `spool` one that sends to another side.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [air], every: 10s, console: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { every: 10s, simulate: {} }
sinks:
  screen: { inputs: [air], console: {} }",
    ),
};

/// Not the address of a node or port.
pub static BAD_ADDRESS: Rule = Rule {
    id: "SM0057",
    name: "bad-address",
    title: "not the address of a node or port",
    meaning: "An input is written `node`, `node.port`, `pipeline/node` or `pipeline/node.port`.",
    example: r#"pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: ["air."], console: {} }"#,
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [air], console: {} }",
    ),
};

/// A pipeline without nodes.
pub static NO_NODES: Rule = Rule {
    id: "SM0059",
    name: "no-nodes",
    title: "a pipeline without nodes",
    meaning: "Nothing would run: the pipeline has no sources, transforms, agents or sinks.",
    example: "pipeline: home",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }",
    ),
};

/// A test case that cannot be run.
pub static BAD_TEST: Rule = Rule {
    id: "SM0060",
    name: "bad-test",
    title: "a test case that cannot be run",
    meaning: "A test has a `name`, what is `given` (readings of sources, at times) and what to \
        `expect` (readings, windows, observations or counts at an address).",
    example: "",
    fix: Fix::Words("See the message; `docs/testing.md` lists what a test may hold."),
};

/// A test names a node or port that does not exist.
pub static TEST_UNKNOWN_NODE: Rule = Rule {
    id: "SM0061",
    name: "test-unknown-node",
    title: "a test names a node or port that does not exist",
    meaning: "`given` names a source, `expect` any node or port, of this pipeline or of another one that is \
        checked with it (`pipeline/node`).",
    example: "",
    fix: Fix::Words("Use a name that stands in the pipeline."),
};

/// A fault of a test that means nothing.
pub static BAD_FAULT: Rule = Rule {
    id: "SM0062",
    name: "bad-fault",
    title: "a fault of a test that means nothing",
    meaning: "Each entry of `faults` says when (`at`) and what goes wrong: a sink (`sink`, `down`), the disk (`disk: full`, `for`), \
        the clock (`clock: +1h`), a node (`node` with `error` or `panic`), or the host (`restart: stop`, `kill` or \
        `power_cut`). What is expected of them (`lost`, `doubled`, `dead`) needs at least one.",
    example: "",
    fix: Fix::Words("See the message; `docs/testing.md` lists what a fault may hold."),
};

/// Something of a template that cannot be so.
pub static BAD_TEMPLATE: Rule = Rule {
    id: "SM0063",
    name: "bad-template",
    title: "a template that cannot be used",
    meaning: "A template has nodes under `sources`, `transforms`, `agents` and `sinks`, names under `out` the one that \
        stands for the whole where it is used, and may have `params`, `tests` and a `description`.",
    example: "\
templates:
  room:
    transforms:
      news: { inputs: [$(in)], filter: { value: { above: 5 } } }",
    fix: Fix::Yaml(
        "\
templates:
  room:
    transforms:
      news: { inputs: [$(in)], filter: { value: { above: 5 } } }
    out: news",
    ),
};

/// A use of a template that does not exist.
pub static UNKNOWN_TEMPLATE: Rule = Rule {
    id: "SM0064",
    name: "unknown-template",
    title: "there is no template of this name",
    meaning: "Under `use` stands the name of a template in any of the files that are applied together, or that run already.",
    example: "\
pipeline: home
sources:
  air: { use: { rom: {} } }
templates:
  room: { sources: { air: { simulate: {} } }, out: air }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { use: { room: {} } }
templates:
  room: { sources: { air: { simulate: {} } }, out: air }",
    ),
};

/// Arguments that do not fit the parameters.
pub static BAD_ARGUMENT: Rule = Rule {
    id: "SM0065",
    name: "bad-argument",
    title: "an argument that the template does not take",
    meaning: "A use gives every parameter that has no default, each with a value of its type, and nothing else.",
    example: "\
pipeline: home
sources:
  air: { use: { room: { unit: 5, flor: 2 } } }
templates:
  room:
    params: { floor: { type: integer }, unit: { type: text } }
    sources: { air: { unit: $(unit), labels: { floor: $(floor) }, simulate: {} } }
    out: air",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { use: { room: { unit: °C, floor: 2 } } }
templates:
  room:
    params: { floor: { type: integer }, unit: { type: text } }
    sources: { air: { unit: $(unit), labels: { floor: $(floor) }, simulate: {} } }
    out: air",
    ),
};

/// `$(...)` of something that is no parameter.
pub static UNKNOWN_PARAMETER: Rule = Rule {
    id: "SM0066",
    name: "unknown-parameter",
    title: "`$( )` names no parameter, or stands where none can",
    meaning: "In a template `$(name)` is the value of a parameter that stands under `params`; `$(in)`, under `inputs` \
        alone, is what is given to a use. Keys cannot hold parameters. A dollar sign that is meant as such is written `$$`.",
    example: "\
templates:
  room:
    params: { room: { type: text } }
    sources: { air: { as: $(rom), simulate: {} } }
    out: air",
    fix: Fix::Yaml(
        "\
templates:
  room:
    params: { room: { type: text } }
    sources: { air: { as: $(room), simulate: {} } }
    out: air",
    ),
};

/// A template that uses itself.
pub static TEMPLATE_RECURSION: Rule = Rule {
    id: "SM0067",
    name: "template-recursion",
    title: "templates that lie in each other without end",
    meaning: "A template may use others, but not itself, not by way of others either, and not more than 16 in each other.",
    example: "\
templates:
  room: { sources: { air: { use: { floor: {} } } }, out: air }
  floor: { sources: { air: { use: { room: {} } } }, out: air }",
    fix: Fix::Yaml(
        "\
templates:
  room: { sources: { air: { simulate: {} } }, out: air }
  floor: { sources: { air: { use: { room: {} } } }, out: air }",
    ),
};

/// Two templates of one name.
pub static DUPLICATE_TEMPLATE: Rule = Rule {
    id: "SM0068",
    name: "duplicate-template",
    title: "two templates of one name",
    meaning: "A template is known by its name in all files that are applied, so no two have the same.",
    example: "\
templates:
  room: { sources: { air: { simulate: {} } }, out: air }
---
templates:
  room: { sources: { air: { simulate: { } } }, out: air }",
    fix: Fix::Yaml(
        "\
templates:
  room: { sources: { air: { simulate: {} } }, out: air }
---
templates:
  floor: { sources: { air: { simulate: { } } }, out: air }",
    ),
};

/// A template where it cannot stand.
pub static BAD_USE: Rule = Rule {
    id: "SM0069",
    name: "bad-use",
    title: "a template that cannot be used like this",
    meaning: "Under `use` stands one template, in the section of its `out` node, with `inputs` for what it reads as `$(in)`.",
    example: "\
pipeline: home
sinks:
  air: { use: { room: {} } }
templates:
  room: { sources: { air: { simulate: {} } }, out: air }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { use: { room: {} } }
templates:
  room: { sources: { air: { simulate: {} } }, out: air }",
    ),
};
