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
    &TEMPLATES_UNAVAILABLE,
    &NO_NODES,
    &BAD_TEST,
    &TEST_UNKNOWN_NODE,
    &BAD_FAULT,
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

/// Templates are not available in this version.
pub static TEMPLATES_UNAVAILABLE: Rule = Rule {
    id: "SM0058",
    name: "templates-unavailable",
    title: "templates are not available in this version",
    meaning: "`templates:` and `use:` are reserved for templates of nodes, which this version does not \
        have.",
    example: "\
pipeline: home
templates: {}
sources:
  air: { simulate: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }",
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
