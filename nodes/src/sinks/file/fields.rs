//! What a row can hold: the words a user chooses columns by.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use smollama_engine::batch::ItemKind;

/// One thing a row can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// When: a reading's and an observation's time, the end of a window.
    Time,
    /// `type:id`.
    Source,
    /// The type part of the source.
    Type,
    /// The id part of the source; an observation's own id.
    Id,
    /// The host the source belongs to.
    Host,
    /// A reading's value.
    Value,
    /// The unit.
    Unit,
    /// All labels.
    Labels,
    /// One label.
    Label(Box<str>),
    /// Whether the series is a counter.
    Monotonic,
    /// How newsworthy it is.
    Score,
    /// How many readings it stands for.
    Count,
    /// The start of a window.
    Start,
    /// The end of a window.
    End,
    /// Why a window closed.
    Cause,
    /// The least value in a window.
    Min,
    /// The greatest value in a window.
    Max,
    /// The mean of a window.
    Mean,
    /// The sample standard deviation of a window.
    Stddev,
    /// The earliest value in a window.
    First,
    /// The latest value in a window.
    Last,
    /// Who wrote an observation.
    Author,
    /// What sort of observation it is.
    Kind,
    /// An observation's text.
    Text,
    /// How sure its author is.
    Confidence,
    /// What an observation is about.
    Sources,
    /// The model that wrote it.
    Model,
    /// Who wrote it: a model, statistics or a rule.
    Rung,
}

/// The words for them; beside these there is `label.NAME`.
pub(crate) const WORDS: [(&str, Field); 27] = [
    ("time", Field::Time),
    ("source", Field::Source),
    ("type", Field::Type),
    ("id", Field::Id),
    ("host", Field::Host),
    ("value", Field::Value),
    ("unit", Field::Unit),
    ("labels", Field::Labels),
    ("monotonic", Field::Monotonic),
    ("score", Field::Score),
    ("count", Field::Count),
    ("start", Field::Start),
    ("end", Field::End),
    ("cause", Field::Cause),
    ("min", Field::Min),
    ("max", Field::Max),
    ("mean", Field::Mean),
    ("stddev", Field::Stddev),
    ("first", Field::First),
    ("last", Field::Last),
    ("author", Field::Author),
    ("kind", Field::Kind),
    ("text", Field::Text),
    ("confidence", Field::Confidence),
    ("sources", Field::Sources),
    ("model", Field::Model),
    ("rung", Field::Rung),
];

impl Field {
    /// What a word stands for.
    pub(crate) fn parse(word: &str) -> Option<Field> {
        if let Some(label) = word.strip_prefix("label.").filter(|label| !label.is_empty()) {
            return Some(Field::Label(label.into()));
        }
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, field)| field.clone())
    }
}

/// The columns of a row, in order: each has a name and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fields(pub(crate) Vec<(String, Field)>);

impl Fields {
    /// The columns a row has where the user chose none.
    pub(crate) fn usual(kind: ItemKind, table: bool) -> Fields {
        let words: &[&str] = match kind {
            // Labels and the counter's mark come with JSON only: there they cost nothing where they are absent.
            ItemKind::Readings if table => &["time", "source", "value", "unit", "score", "count"],
            ItemKind::Readings => {
                &["time", "source", "value", "unit", "labels", "monotonic", "score", "count"]
            }
            ItemKind::Windows => &[
                "start", "end", "cause", "source", "unit", "count", "min", "max", "mean", "stddev",
                "first", "last", "score",
            ],
            ItemKind::Observations => {
                &["time", "id", "author", "kind", "text", "confidence", "sources", "model", "rung"]
            }
        };
        let field = |word: &&str| Some(((*word).to_owned(), Field::parse(word)?));
        Fields(words.iter().filter_map(field).collect())
    }

    fn push<E: Error>(&mut self, name: String, word: &str) -> Result<(), E> {
        let Some(field) = Field::parse(word) else {
            let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            return Err(E::custom(format!(
                "`{word}` is nothing a row can hold; it can hold {} and label.NAME",
                words.join(", ")
            )));
        };
        if self.0.iter().any(|(known, _)| *known == name) {
            return Err(E::custom(format!("two columns are named `{name}`")));
        }
        self.0.push((name, field));
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Columns)
    }
}

struct Columns;

impl<'de> Visitor<'de> for Columns {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from column name to what it holds, or a list of what the columns hold")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some((name, word)) = map.next_entry::<String, String>()? {
            fields.push(name, &word)?;
        }
        Ok(fields)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(word) = words.next_element::<String>()? {
            fields.push(word.strip_prefix("label.").unwrap_or(&word).to_owned(), &word)?;
        }
        Ok(fields)
    }
}

impl JsonSchema for Fields {
    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
        let word = serde_json::json!({
            "anyOf": [{ "enum": words }, { "type": "string", "pattern": "^label\\..+$" }]
        });
        json_schema!({
            "description": "The columns of a row, in order: a map from name to what it holds, or a list of what they hold.",
            "oneOf": [
                { "type": "object", "minProperties": 1, "additionalProperties": word },
                { "type": "array", "minItems": 1, "items": word }
            ],
            "examples": [{ "ts": "time", "room": "label.room", "value": "value" }]
        })
    }
}
