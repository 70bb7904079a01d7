//! Rules about the graph that the pipelines make together.

use super::{Fix, Rule};

/// This table, by id.
pub(super) static ALL: &[&Rule] = &[
    &UNKNOWN_NODE_TYPE,
    &DANGLING_INPUT,
    &UNKNOWN_PORT,
    &KIND_MISMATCH,
    &SELF_LOOP,
    &CYCLE,
    &NO_INPUTS,
    &DUPLICATE_INPUT,
    &DUPLICATE_PIPELINE,
    &OUTPUT_CONFLICT,
    &SOURCE_CONFLICT,
    &RESOURCE_CONFLICT,
    &UNUSED_OUTPUT,
    &MIXED_TIME,
    &POSSIBLE_SOURCE_CONFLICT,
    &NODE_CANNOT_START,
    &BAD_RENAME,
    &PIPELINE_OF_ANOTHER_FILE,
    &UNKNOWN_BROKER,
    &MESSAGE_LOOP,
    &UNITS_DO_NOT_FIT,
    &NOT_HERE,
];

/// There is no such type of node.
pub static UNKNOWN_NODE_TYPE: Rule = Rule {
    id: "SM0070",
    name: "unknown-node-type",
    title: "there is no such type of node",
    meaning: "The key of a node that is no engine word is its type, and this section has no type of \
        that name. `smollama nodes` lists all.",
    example: "\
pipeline: home
sources:
  air: { simulat: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }",
    ),
};

/// An input names no node.
pub static DANGLING_INPUT: Rule = Rule {
    id: "SM0071",
    name: "dangling-input",
    title: "an input names no node",
    meaning: "The node that the input names does not exist in this pipeline or, when written \
        `pipeline/node`, in the other one.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [iar], console: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [air], console: {} }",
    ),
};

/// A node has no such port.
pub static UNKNOWN_PORT: Rule = Rule {
    id: "SM0072",
    name: "unknown-port",
    title: "a node has no such port",
    meaning: "An input names a port of another node that it does not have, or gives readings to a port \
        that this node does not have.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [air.late], console: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [air], console: {} }",
    ),
};

/// An edge between ports of different kinds.
pub static KIND_MISMATCH: Rule = Rule {
    id: "SM0073",
    name: "kind-mismatch",
    title: "an edge between ports of different kinds",
    meaning: "Every port carries readings, windows or observations. An edge joins two ports of one \
        kind.",
    example: "",
    fix: Fix::Words(
        "Put a node between that turns one kind into the other, or read from another port.",
    ),
};

/// A node reads from itself.
pub static SELF_LOOP: Rule = Rule {
    id: "SM0074",
    name: "self-loop",
    title: "a node reads from itself",
    meaning: "A node cannot be its own input: it would wait for itself.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
transforms:
  news: { inputs: [air, news], dedup: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
transforms:
  news: { inputs: [air], dedup: {} }",
    ),
};

/// Nodes read from each other in a circle.
pub static CYCLE: Rule = Rule {
    id: "SM0075",
    name: "cycle",
    title: "nodes read from each other in a circle",
    meaning: "Every edge leads onwards; a circle of nodes would wait for itself. The message names the \
        circle node by node.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
transforms:
  a: { inputs: [air, b], dedup: {} }
  b: { inputs: [a], dedup: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
transforms:
  a: { inputs: [air], dedup: {} }
  b: { inputs: [a], dedup: {} }",
    ),
};

/// A node that reads from nothing.
pub static NO_INPUTS: Rule = Rule {
    id: "SM0076",
    name: "no-inputs",
    title: "a node that reads from nothing",
    meaning: "Transforms, agents and sinks work on what other nodes send them; without `inputs` this \
        one would never do anything.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { console: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [air], console: {} }",
    ),
};

/// An input is named twice.
pub static DUPLICATE_INPUT: Rule = Rule {
    id: "SM0077",
    name: "duplicate-input",
    title: "an input is named twice",
    meaning: "Every reading would arrive twice.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [air, air], console: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
sinks:
  screen: { inputs: [air], console: {} }",
    ),
};

/// Two pipelines of one name.
pub static DUPLICATE_PIPELINE: Rule = Rule {
    id: "SM0078",
    name: "duplicate-pipeline",
    title: "two pipelines of one name",
    meaning: "The name of a pipeline is part of every address and of what is stored, so no two that \
        run together may share one.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
---
pipeline: home
sources:
  board: { system: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
---
pipeline: board
sources:
  board: { system: {} }",
    ),
};

/// Two nodes write to one place.
pub static OUTPUT_CONFLICT: Rule = Rule {
    id: "SM0079",
    name: "output-conflict",
    title: "two nodes write to one place",
    meaning: "Two sinks that write the same file or folder would destroy each other's output.",
    example: "",
    fix: Fix::Words("Give each its own path, or let one sink take both inputs."),
};

/// Two source nodes emit one id.
pub static SOURCE_CONFLICT: Rule = Rule {
    id: "SM0080",
    name: "source-conflict",
    title: "two source nodes emit one id",
    meaning: "Readings of both would mix in one series. The type part of an id is `as:`, by default \
        the type of the node.",
    example: "\
pipeline: home
sources:
  up: { simulate: {} }
  down: { simulate: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  up: { as: up, simulate: {} }
  down: { as: down, simulate: {} }",
    ),
};

/// Two nodes claim one exclusive thing.
pub static RESOURCE_CONFLICT: Rule = Rule {
    id: "SM0081",
    name: "resource-conflict",
    title: "two nodes claim one exclusive thing",
    meaning: "A listening port, a pin, or an MQTT client id belongs to one node at a time.",
    example: "",
    fix: Fix::Words("Give each node its own."),
};

/// Nobody reads from this node.
pub static UNUSED_OUTPUT: Rule = Rule {
    id: "SM0082",
    name: "unused-output",
    title: "nobody reads from this node",
    meaning: "What the node makes goes nowhere. That is allowed, and rarely meant.",
    example: "",
    fix: Fix::Words("Name the node in the `inputs` of a sink, or take it out."),
};

/// A replayed and a live source are joined.
pub static MIXED_TIME: Rule = Rule {
    id: "SM0083",
    name: "mixed-time",
    title: "a replayed and a live source are joined",
    meaning: "Under `--speed` a replayed source lives in its own time; in one graph with a live source \
        the two would never meet.",
    example: "",
    fix: Fix::Words("Put them into pipelines that do not meet, or run with `--speed 1`."),
};

/// Two source nodes may emit one id.
pub static POSSIBLE_SOURCE_CONFLICT: Rule = Rule {
    id: "SM0084",
    name: "possible-source-conflict",
    title: "two source nodes may emit one id",
    meaning: "Two sources share the type part of their ids, and what follows it is known only when \
        readings arrive. If they do emit one id, it is counted as an error then.",
    example: "",
    fix: Fix::Words("Give them different `as:`."),
};

/// A node could not be made.
pub static NODE_CANNOT_START: Rule = Rule {
    id: "SM0085",
    name: "node-cannot-start",
    title: "a node cannot be made",
    meaning: "The settings are fine, but something outside is missing: a file, a folder, a permission, a \
        device. The message says which. Nothing was started.",
    example: "",
    fix: Fix::Words("Mend what the message names, and apply again."),
};

/// `renamed_from` names a node that cannot be meant.
pub static BAD_RENAME: Rule = Rule {
    id: "SM0086",
    name: "bad-rename",
    title: "`renamed_from` names a node that cannot be meant",
    meaning: "A node with `renamed_from` goes on with the state, the queue and the spool of the node it names. \
        That cannot be one that is still there, and not one that another node goes on for.",
    example: "\
pipeline: home
sources:
  board: { system: {} }
transforms:
  news: { inputs: [board], renamed_from: board, dedup: {} }
sinks:
  show: { inputs: [news], console: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  board: { system: {} }
transforms:
  news: { inputs: [board], renamed_from: changes, dedup: {} }
sinks:
  show: { inputs: [news], console: {} }",
    ),
};

/// A pipeline of this name runs from another file.
pub static PIPELINE_OF_ANOTHER_FILE: Rule = Rule {
    id: "SM0087",
    name: "pipeline-of-another-file",
    title: "a pipeline of this name runs from another file",
    meaning: "Every running pipeline belongs to the file it was applied from, and an apply changes only what belongs to \
        the files and folders it names. Here a file brings a pipeline whose name belongs to a file that was not named.",
    example: "",
    fix: Fix::Words(
        "Give it another name. If the pipeline has moved to this file, name both files in one `smollama apply`: then \
        the one it has left no longer holds it.",
    ),
};

/// A node names a broker that is not in `config.yaml`.
pub static UNKNOWN_BROKER: Rule = Rule {
    id: "SM0088",
    name: "unknown-broker",
    title: "there is no broker of that name",
    meaning: "A node that speaks MQTT uses the broker whose settings stand directly below `mqtt` in config.yaml, unless its \
        `connection` names another one. That name is a key below `mqtt.connections` there.",
    example: "",
    fix: Fix::Words(
        "Write the name as it stands in config.yaml, or add the broker there: `mqtt: { connections: { garden: { broker: \
        10.0.0.7 } } }`. A config.yaml elsewhere is named with `--config`.",
    ),
};

/// What a sink publishes comes back by a source.
pub static MESSAGE_LOOP: Rule = Rule {
    id: "SM0089",
    name: "message-loop",
    title: "what a sink publishes would come back by a source",
    meaning: "A source of this host subscribes to topics that a sink of this host publishes to, at the same broker. Each message \
        would come back as a new reading; where the two lie in one pipeline, each of those would be published again, without end.",
    example: "",
    fix: Fix::Words(
        "Publish to a topic that no source here subscribes to, or subscribe to less. Where it is meant, say `allow_loop: true` in \
        the settings of the sink.",
    ),
};

/// Readings of two units are put together.
pub static UNITS_DO_NOT_FIT: Rule = Rule {
    id: "SM0090",
    name: "units-do-not-fit",
    title: "readings of two units are put together",
    meaning: "A node puts all that it reads together, as a mean does, and that only makes sense in one unit. Here two of the sources \
        it reads from say two. Where units are known only when readings come, what does not fit is refused then.",
    example: "\
pipeline: home
sources:
  indoor: { as: indoor, unit: °C, simulate: {} }
  outdoor: { as: outdoor, unit: °F, simulate: {} }
transforms:
  mean: { inputs: [indoor, outdoor], combine: { function: mean } }
sinks:
  screen: { inputs: [mean], console: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  indoor: { as: indoor, unit: °C, simulate: {} }
  outdoor: { as: outdoor, unit: °C, simulate: {} }
transforms:
  mean: { inputs: [indoor, outdoor], combine: { function: mean } }
sinks:
  screen: { inputs: [mean], console: {} }",
    ),
};

/// A node names something that this machine has not.
pub static NOT_HERE: Rule = Rule {
    id: "SM0091",
    name: "not-here",
    title: "a node names something that this machine has not",
    meaning: "A program that a node starts, or a folder it works in, is not here, or must not be used. That is a \
        warning: the file may be meant for another machine, and what is missing may come later. A node that \
        runs without it says so in `smollama status`, and tries again.",
    example: "\
pipeline: home
sources:
  radio: { exec: { command: [no-such-program-433] } }
sinks:
  show: { inputs: [radio], console: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  radio: { exec: { command: [sh, /opt/radio/read.sh] } }
sinks:
  show: { inputs: [radio], console: {} }",
    ),
};
