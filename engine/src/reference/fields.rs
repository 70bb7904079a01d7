//! The settings that a schema describes, as rows of a table.

use serde::Serialize;
use serde_json::{Map, Value};

use super::unwrapped;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Where it stands below what it belongs to: `overrides[].match`, `series.NAME.wave`.
    pub path: String,
    /// What it takes: "duration", "one of `first`, `last`".
    pub takes: String,
    /// What holds where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether it can be left out.
    pub required: bool,
    /// What it is for.
    pub text: String,
    /// The words it takes, where each has a meaning of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

/// One of the words that a setting takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The word.
    pub word: String,
    /// What it means.
    pub text: String,
}

/// A place in a mapping where the user names the key.
pub(super) const ANY_KEY: &str = "NAME";

/// The types that have a word of their own in the tables.
const KNOWN: [(&str, &str); 8] = [
    ("Duration", "duration"),
    ("ByteSize", "size"),
    ("Glob", "pattern"),
    ("TimeOfDay", "span of the day"),
    ("Days", "days of the week"),
    ("Secret", "secret"),
    ("Timezone", "time zone"),
    ("address", "node or port"),
];

/// Levels of settings within settings that are listed; more would be a type that holds itself.
const DEPTH_MAX: usize = 6;

/// What the schemas refer to by name.
pub(super) struct Schemas<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Schemas<'a> {
    /// All settings below a schema, those within settings after them.
    pub(super) fn settings(&self, schema: &'a Value) -> Vec<Setting> {
        let mut rows = Vec::new();
        self.rows(schema, "", 0, &mut rows);
        rows
    }

    /// The comment of a schema: its own, or that of what it refers to.
    pub(super) fn text(&self, schema: &Value) -> String {
        let own = schema.get("description").and_then(Value::as_str);
        let referred = || self.referred(schema)?.1.get("description")?.as_str();
        unwrapped(own.or_else(referred).unwrap_or_default())
    }

    fn rows(&self, schema: &'a Value, path: &str, depth: usize, rows: &mut Vec<Setting>) {
        if depth > DEPTH_MAX {
            return;
        }
        let (schema, path) = self.structure(schema, path.to_owned());
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            let required = schema.get("required").and_then(Value::as_array);
            for (name, field) in properties {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let needed = required.is_some_and(|all| all.iter().any(|one| one == name));
                rows.push(self.setting(field, &path, needed));
                self.rows(field, &path, depth + 1, rows);
            }
        }
        for alternative in alternatives(schema) {
            let first = rows.len();
            self.rows(alternative, &path, depth + 1, rows);
            // One way of several to write it, named by its key: needed only for that way, whose comment is the key's.
            if let Some(field) = only_key(alternative)
                && let Some(row) = rows.get_mut(first)
            {
                row.required = false;
                if field.get("description").is_none() {
                    row.text = self.text(alternative);
                }
            }
        }
    }

    /// The settings that stand below a schema, through lists and mappings.
    fn structure(&self, mut schema: &'a Value, mut path: String) -> (&'a Value, String) {
        for _ in 0..DEPTH_MAX {
            if let Some((name, referred)) = self.referred(schema) {
                if KNOWN.iter().any(|(known, _)| *known == name) {
                    break;
                }
                schema = referred;
            } else if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
                // What is a list as a whole needs no mark.
                let mark = if path.is_empty() { "" } else { "[]" };
                (schema, path) = (items, path + mark);
            } else if let Some(values) = values(schema) {
                (schema, path) = (values, format!("{path}.{ANY_KEY}"));
            } else {
                break;
            }
        }
        (schema, path)
    }

    fn setting(&self, schema: &Value, path: &str, required: bool) -> Setting {
        let (said, text) = said_default(self.text(schema));
        let written = schema.get("default").filter(|value| !value.is_null()).and_then(plain);
        let written = written.filter(|value| !matches!(value.as_str(), "" | "{}" | "[]"));
        Setting {
            path: path.to_owned(),
            takes: self.takes(schema, 0),
            default: said.or(written).filter(|_| !required),
            required,
            choices: self.choices(schema),
            text,
        }
    }

    fn referred<'b>(&self, schema: &'b Value) -> Option<(&'b str, &'a Value)> {
        let name = schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
        Some((name, self.0.get(name)?))
    }

    /// What a value is, in words.
    pub(super) fn takes(&self, schema: &Value, depth: usize) -> String {
        if depth > DEPTH_MAX {
            return "settings".into();
        }
        if let Some((name, referred)) = self.referred(schema) {
            let known = KNOWN.iter().find(|(known, _)| *known == name);
            return known
                .map_or_else(|| self.takes(referred, depth + 1), |(_, word)| (*word).into());
        }
        if let Some(word) = schema.get("const") {
            return format!("`{}`", plain(word).unwrap_or_default());
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return words
                .iter()
                .filter_map(plain)
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", ");
        }
        let among: Vec<&Value> = alternatives(schema).collect();
        if !among.is_empty() {
            let mut kinds: Vec<String> =
                among.into_iter().map(|one| self.takes(one, depth + 1)).collect();
            kinds.retain(|kind| kind != "nothing");
            let mut seen = std::collections::BTreeSet::new();
            kinds.retain(|kind| seen.insert(kind.clone()));
            let words = kinds.iter().all(|kind| kind.starts_with('`'));
            return kinds.join(if words { ", " } else { " or " });
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let kinds = types.iter().filter(|one| **one != "null");
        let kinds: Vec<String> = kinds.map(|one| self.one_type(one, schema, depth)).collect();
        match (kinds.is_empty(), types.is_empty()) {
            (false, _) => kinds.join(" or "),
            (true, false) => "nothing".into(),
            (true, true) => "any value".into(),
        }
    }

    fn one_type(&self, name: &str, schema: &Value, depth: usize) -> String {
        match name {
            "string" => "text".into(),
            "integer" => "whole number".into(),
            "number" => "number".into(),
            "boolean" => "`true`, `false`".into(),
            "array" => match schema.get("items") {
                Some(items) => format!("list of {}", plural(&self.takes(items, depth + 1))),
                None => "list".into(),
            },
            "object" => match values(schema) {
                Some(values) => {
                    format!("mapping from names to {}", plural(&self.takes(values, depth + 1)))
                }
                None => "settings".into(),
            },
            other => other.into(),
        }
    }

    fn choices(&self, schema: &Value) -> Vec<Choice> {
        let schema = self.referred(schema).map_or(schema, |(_, referred)| referred);
        let inner = alternatives(schema).map(|one| self.referred(one).map_or(one, |(_, to)| to));
        let mut found: Vec<Choice> = Vec::new();
        for one in inner {
            let text = one.get("description").and_then(Value::as_str);
            match (one.get("const").and_then(plain), text) {
                (Some(word), Some(text)) => found.push(Choice { word, text: unwrapped(text) }),
                _ => found.extend(self.choices(one)),
            }
        }
        found
    }
}

/// The schema of the values under keys that the user names.
fn values(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|values| values.is_object())
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array());
    lists.flatten()
}

/// What stands under the key of a mapping that must have just this one.
fn only_key(schema: &Value) -> Option<&Value> {
    let properties = schema.get("properties")?.as_object().filter(|all| all.len() == 1)?;
    let (name, field) = properties.iter().next()?;
    let required = schema.get("required")?.as_array()?;
    required.iter().any(|one| one == name).then_some(field)
}

/// A value as it is written in YAML, where that is short.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(map) if !map.is_empty() => None,
        Value::Array(list) if !list.is_empty() => None,
        other => Some(other.to_string()),
    }
}

/// What a comment says the default is ("Default: `5m`.", "`rfc3339` (the default)"), and the comment without the sentence that
/// says only that.
fn said_default(text: String) -> (Option<String>, String) {
    if let Some(at) = text.rfind("Default") {
        let said = text[at + "Default".len()..].trim_start_matches(':').trim_start();
        let end = said.find(". ").or_else(|| said.trim_end().strip_suffix('.').map(str::len));
        let (said, rest) = said.split_at(end.unwrap_or(said.len()));
        let rest = rest.trim_start_matches(['.', ' ']);
        let without =
            format!("{}{}{rest}", text[..at].trim_end(), if rest.is_empty() { "" } else { " " });
        return (Some(bare(said)).filter(|said| !said.is_empty()), without.trim().to_owned());
    }
    let before = text.split_once("` (the default").map(|(before, _)| before);
    let word = before.and_then(|before| before.rsplit('`').next()).map(str::to_owned);
    (word, text)
}

/// Without the backticks around it.
fn bare(said: &str) -> String {
    let said = said.trim();
    let inner = said.strip_prefix('`').and_then(|said| said.strip_suffix('`'));
    inner.filter(|inner| !inner.contains('`')).unwrap_or(said).to_owned()
}

/// Several of something.
fn plural(kinds: &str) -> String {
    let one = |kind: &str| match kind.ends_with(['s', '`']) || kind.contains("day") {
        true => kind.to_owned(),
        false => format!("{kind}s"),
    };
    kinds.split(" or ").map(one).collect::<Vec<_>>().join(" or ")
}
