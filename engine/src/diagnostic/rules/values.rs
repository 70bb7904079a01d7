//! Rules about the value of one setting.

use super::{Fix, Rule};

/// This table, by id.
pub(super) static ALL: &[&Rule] = &[
    &UNKNOWN_KEY,
    &MISSING_KEY,
    &WRONG_TYPE,
    &BAD_VALUE,
    &UNKNOWN_VALUE,
    &BAD_DURATION,
    &BAD_SIZE,
    &BAD_GLOB,
    &BAD_TIME,
    &BAD_UNIT,
    &SETTINGS_CONFLICT,
];

/// A key that does not exist here.
pub static UNKNOWN_KEY: Rule = Rule {
    id: "SM0030",
    name: "unknown-key",
    title: "a key that does not exist here",
    meaning: "The settings at this place have no such key. Keys are never ignored, because a misspelt \
        one would silently change nothing.",
    example: "\
pipeline: home
sources:
  air: { simulate: { sed: 3 } }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: { seed: 3 } }",
    ),
};

/// A required key is missing.
pub static MISSING_KEY: Rule = Rule {
    id: "SM0031",
    name: "missing-key",
    title: "a required key is missing",
    meaning: "The settings cannot work without this key, and there is no sensible default.",
    example: "\
sources:
  air: { simulate: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: {} }",
    ),
};

/// A value of the wrong type.
pub static WRONG_TYPE: Rule = Rule {
    id: "SM0032",
    name: "wrong-type",
    title: "a value of the wrong type",
    meaning: "The field takes another type of value: a number where text stands, a list where a single \
        value stands, and so on. Text in quotes is always text; `yes`, `no`, `on` and `off` are \
        text too (YAML 1.2): write `true` or `false`.",
    example: "\
pipeline: home
sources:
  air: { simulate: { seed: lots } }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: { seed: 3 } }",
    ),
};

/// A value that is not allowed.
pub static BAD_VALUE: Rule = Rule {
    id: "SM0033",
    name: "bad-value",
    title: "a value that is not allowed",
    meaning: "The value has the right type but the field does not take it: out of range, of the wrong \
        length, or not of the form it needs.",
    example: "\
pipeline: home
sources:
  air: { simulate: { seed: -1 } }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  air: { simulate: { seed: 1 } }",
    ),
};

/// Not one of the words the field takes.
pub static UNKNOWN_VALUE: Rule = Rule {
    id: "SM0034",
    name: "unknown-value",
    title: "not one of the words the field takes",
    meaning: "The field takes one of a fixed set of words.",
    example: "",
    fix: Fix::Words("Use one of the words in the message."),
};

/// Not a duration.
pub static BAD_DURATION: Rule = Rule {
    id: "SM0035",
    name: "bad-duration",
    title: "not a duration",
    meaning: "A duration is a number with a unit, or several of them: `250ms`, `10s`, `5m`, `1h30m`, \
        `7d`. The unit is never left out.",
    example: "\
pipeline: home
sources:
  board: { every: 10, system: {} }",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  board: { every: 10s, system: {} }",
    ),
};

/// Not a size.
pub static BAD_SIZE: Rule = Rule {
    id: "SM0036",
    name: "bad-size",
    title: "not a size",
    meaning: "A size is a number with a unit: `512B`, `64KiB`, `8MiB`, `2GiB` (powers of 1,024) or \
        `10kB`, `5MB`, `1GB` (powers of 1,000).",
    example: "",
    fix: Fix::Words("Write the unit: `64KiB`."),
};

/// Not a pattern for sources.
pub static BAD_GLOB: Rule = Rule {
    id: "SM0037",
    name: "bad-glob",
    title: "not a pattern for sources",
    meaning: "A glob is text in which `*` stands for anything up to the next `/` or `:`, `**` for \
        anything at all, `?` for one character and `{a,b}` for either.",
    example: "",
    fix: Fix::Words("Close the bracket or brace, or escape it with a backslash."),
};

/// Not a time or time zone.
pub static BAD_TIME: Rule = Rule {
    id: "SM0038",
    name: "bad-time",
    title: "not a time or time zone",
    meaning: "A time is RFC 3339 (`2026-11-21T06:30:00Z`), a time of day `06:30`, a zone its IANA name \
        (`Europe/Berlin`).",
    example: "",
    fix: Fix::Words("Write it in one of these forms."),
};

/// Not a unit, or one of another dimension.
pub static BAD_UNIT: Rule = Rule {
    id: "SM0039",
    name: "bad-unit",
    title: "not a unit, or one of another dimension",
    meaning: "Units are written as Home Assistant writes them: `°C`, `%`, `hPa`, `lx`, `W`, `kWh`. A \
        value can be converted only within its dimension.",
    example: "",
    fix: Fix::Words("Use a unit of the same dimension."),
};

/// Settings that do not go together.
pub static SETTINGS_CONFLICT: Rule = Rule {
    id: "SM0040",
    name: "settings-conflict",
    title: "settings that do not go together",
    meaning: "Each setting is allowed, but not both at once, or one needs another. The message says \
        which.",
    example: "",
    fix: Fix::Words("Take one of them out, or add what it needs."),
};
