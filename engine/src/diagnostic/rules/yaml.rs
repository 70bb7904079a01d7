//! Rules about YAML itself, and about what is interpolated into it.

use super::{Fix, Rule};

/// This table, by id.
pub(super) static ALL: &[&Rule] = &[
    &NOT_YAML,
    &TAB_INDENTATION,
    &DUPLICATE_KEY,
    &NESTING_TOO_DEEP,
    &TOO_MANY_NODES,
    &ALIAS_BOMB,
    &UNKNOWN_ALIAS,
    &UNKNOWN_TAG,
    &BAD_MERGE,
    &KEY_NOT_TEXT,
    &UNSET_VARIABLE,
    &BAD_INTERPOLATION,
    &SECRET_UNREADABLE,
    &BAD_SECRET,
    &SECRET_SHOWN,
];

/// The text is not YAML.
pub static NOT_YAML: Rule = Rule {
    id: "SM0010",
    name: "not-yaml",
    title: "the text is not YAML",
    meaning: "The file breaks the grammar of YAML 1.2 at this place: a bracket or quote that is never \
        closed, a missing `:`, lines that are indented unevenly. What follows in this document \
        could not be read; other documents and files were.",
    example: "\
pipeline: home
sources:
  board: { system: {}",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  board: { system: {} }",
    ),
};

/// A tab is used for indentation.
pub static TAB_INDENTATION: Rule = Rule {
    id: "SM0011",
    name: "tab-indentation",
    title: "a tab is used for indentation",
    meaning: "YAML allows only spaces for indentation, since a tab has no fixed width.",
    example: "\
pipeline: home
sources:
	board: { system: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  board: { system: {} }",
    ),
};

/// A key stands twice in one mapping.
pub static DUPLICATE_KEY: Rule = Rule {
    id: "SM0012",
    name: "duplicate-key",
    title: "a key stands twice in one mapping",
    meaning: "Only one of the two values could be used, and nobody could see which. The message shows \
        both places.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
  air: { system: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }
  board: { system: {} }",
    ),
};

/// Lists and mappings are nested too deeply.
pub static NESTING_TOO_DEEP: Rule = Rule {
    id: "SM0013",
    name: "nesting-too-deep",
    title: "lists and mappings are nested too deeply",
    meaning: "At most 64 levels are read. No real pipeline comes near, and the limit keeps a hostile \
        file from exhausting the stack.",
    example: "",
    fix: Fix::Words(
        "Take levels out. If a deep value is data for a node, put it into a file of its own.",
    ),
};

/// A file holds too many values.
pub static TOO_MANY_NODES: Rule = Rule {
    id: "SM0014",
    name: "too-many-nodes",
    title: "a file holds too many values",
    meaning: "All files of one command may hold 2,000,000 values together, which bounds the memory \
        they can take.",
    example: "",
    fix: Fix::Words(
        "Take tables of data out of the pipeline and let a node read them from a file.",
    ),
};

/// Aliases expand to too much.
pub static ALIAS_BOMB: Rule = Rule {
    id: "SM0015",
    name: "alias-bomb",
    title: "aliases expand to too much",
    meaning: "Aliases (`*name`) may add 100,000 values to what is literally written. A few lines of \
        aliases of aliases can stand for billions of values.",
    example: "\
a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
e: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]",
    fix: Fix::Words("Write the values out, or use fewer levels of aliases."),
};

/// An alias names no anchor.
pub static UNKNOWN_ALIAS: Rule = Rule {
    id: "SM0016",
    name: "unknown-alias",
    title: "an alias names no anchor",
    meaning: "`*name` repeats the value marked `&name` earlier in the same document. There is none of \
        that name. A text that begins with `*`, such as a glob, has to be quoted.",
    example: "\
pipeline: home
sources:
  air: { simulate: {} }
transforms:
  some:
    inputs: [air]
    filter: { sources: [*temp] }",
    fix: Fix::Yaml(
        r#"pipeline: home
sources:
  air: { simulate: {} }
transforms:
  some:
    inputs: [air]
    filter: { sources: ["*temp"] }"#,
    ),
};

/// A YAML tag that means nothing here.
pub static UNKNOWN_TAG: Rule = Rule {
    id: "SM0017",
    name: "unknown-tag",
    title: "a YAML tag that means nothing here",
    meaning: "Tags (`!name`) of other programs, such as `!secret` or `!include`, have no meaning in a \
        pipeline.",
    example: "\
pipeline: home
sources:
  air: { simulate: { seed: !secret seed } }",
    fix: Fix::Yaml(
        r#"pipeline: home
sources:
  air: { simulate: { seed: "${SEED:-1}" } }"#,
    ),
};

/// `<<` does not name a mapping.
pub static BAD_MERGE: Rule = Rule {
    id: "SM0018",
    name: "bad-merge",
    title: "`<<` does not name a mapping",
    meaning: "The merge key `<<` takes over the keys of another mapping, or of each mapping in a list. \
        Its value is neither.",
    example: "\
pipeline: home
sources:
  air: { simulate: { <<: 3 } }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: &common { seed: 3 } }
  soil: { as: soil, simulate: { <<: *common } }",
    ),
};

/// A key is not text.
pub static KEY_NOT_TEXT: Rule = Rule {
    id: "SM0019",
    name: "key-not-text",
    title: "a key is not text",
    meaning: "Keys are words. A list or mapping as a key (`[a, b]: c`, `{a: b}: c`) has no meaning \
        here; it often comes from a `{{ ... }}` or `[...]` that should have been quoted.",
    example: "\
pipeline: home
description: { {{ name }}: x }
sources:
  air: { simulate: {} }",
    fix: Fix::Yaml(
        r#"pipeline: home
description: "{{ name }}"
sources:
  air: { simulate: {} }"#,
    ),
};

/// A variable is not set.
pub static UNSET_VARIABLE: Rule = Rule {
    id: "SM0020",
    name: "unset-variable",
    title: "a variable is not set",
    meaning: "`${NAME}` takes the value of the environment variable NAME when the pipeline is loaded, \
        and it has none. `${NAME:-text}` gives a default, `${NAME:?text}` says what is missing.",
    example: "\
pipeline: home
description: ${GREETING}",
    fix: Fix::Yaml(
        "\
pipeline: home
description: ${GREETING:-Good morning}
sources:
  air: { simulate: {} }",
    ),
};

/// `${` is not followed by a variable.
pub static BAD_INTERPOLATION: Rule = Rule {
    id: "SM0021",
    name: "bad-interpolation",
    title: "`${` is not followed by a variable",
    meaning: "`${` begins a variable: `${NAME}`, `${NAME:-default}` or `${NAME:?message}`, where NAME \
        is made of letters, digits and `_`. A dollar sign that is meant as such is written `$$`.",
    example: "\
pipeline: home
description: costs ${5",
    fix: Fix::Yaml(
        "\
pipeline: home
description: costs $${5
sources:
  air: { simulate: {} }",
    ),
};

/// A secret cannot be read.
pub static SECRET_UNREADABLE: Rule = Rule {
    id: "SM0022",
    name: "secret-unreadable",
    title: "a secret cannot be read",
    meaning: "`secret://env/NAME` reads an environment variable, `secret://file/run/secrets/name` the \
        file `/run/secrets/name`, `secret://file/./name` a file beside the pipeline. What it \
        names does not exist, cannot be read, is empty, or is larger than 64 KiB.",
    example: "\
pipeline: home
description: secret://env/NO_SUCH_NAME",
    fix: Fix::Words(
        "Set the variable, or create the file so that the user who runs the engine can read it.",
    ),
};

/// Not a form of `secret://` that exists.
pub static BAD_SECRET: Rule = Rule {
    id: "SM0023",
    name: "bad-secret",
    title: "not a form of `secret://` that exists",
    meaning: "A secret is written `secret://env/NAME` or `secret://file/PATH`, as the whole value.",
    example: "\
pipeline: home
description: secret://vault/password",
    fix: Fix::Words("Write `secret://env/NAME` or `secret://file/PATH`."),
};

/// A secret where the value would be shown.
pub static SECRET_SHOWN: Rule = Rule {
    id: "SM0024",
    name: "secret-shown",
    title: "a secret where the value would be shown",
    meaning: "Values of most fields appear in plans, logs and pages. A secret may stand only in a \
        field that is made for one, such as a password or token, so that it is never printed.",
    example: "\
pipeline: home
description: secret://env/HOME",
    fix: Fix::Words(
        "Use `${NAME}` if the value is no secret; otherwise move it to the field made for it.",
    ),
};
