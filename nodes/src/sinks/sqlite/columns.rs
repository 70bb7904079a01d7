//! What the columns of a table hold: the words of the sink `file`, and three more for tables that others made.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use smollama_engine::batch::ItemKind;
use smollama_engine::diagnostic::nearest;

use crate::sinks::file::fields::WORDS;
use crate::sinks::file::{Field, Fields, TimeForm};

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// What the word of the sink `file` says.
    Field(Field),
    /// A reading's value where it is a number, on as 1 and off as 0; `NULL` for texts and JSON.
    Number,
    /// A reading's value as JSON: a text with its quotes.
    Json,
    /// The same text in every row.
    Fixed(Box<str>),
}

const NUMBER: &str = "value.number";
const JSON: &str = "value.json";

impl Content {
    fn parse(word: &str) -> Option<Content> {
        match word {
            NUMBER => Some(Content::Number),
            JSON => Some(Content::Json),
            word => Field::parse(word).map(Content::Field),
        }
    }

    /// Whether items of a kind have such a thing.
    fn is_of(&self, kind: ItemKind) -> bool {
        use Field as F;
        let field = match self {
            Content::Field(field) => field,
            Content::Number | Content::Json => return kind == ItemKind::Readings,
            Content::Fixed(_) => return true,
        };
        match field {
            F::Time | F::Source | F::Id | F::Host => true,
            F::Value => kind == ItemKind::Readings,
            F::Type | F::Unit | F::Labels | F::Label(_) | F::Monotonic | F::Score | F::Count => {
                kind != ItemKind::Observations
            }
            F::Start | F::End | F::Cause | F::Min | F::Max | F::Mean => kind == ItemKind::Windows,
            F::Stddev | F::First | F::Last => kind == ItemKind::Windows,
            F::Author | F::Kind | F::Text | F::Confidence => kind == ItemKind::Observations,
            F::Sources | F::Model | F::Rung => kind == ItemKind::Observations,
        }
    }

    /// Whether it is an instant.
    pub(super) fn is_time(&self) -> bool {
        matches!(self, Content::Field(Field::Time | Field::Start | Field::End))
    }

    /// Whether it is the time that an item has, the one that rows are kept by.
    fn dates(&self, kind: ItemKind) -> bool {
        match self {
            Content::Field(Field::Time) => true,
            Content::Field(Field::End) => kind == ItemKind::Windows,
            _ => false,
        }
    }

    /// The type of such a column in a table that this sink makes; none for what may be a number or a text.
    pub(super) fn declared(&self, time: TimeForm) -> &'static str {
        use Field as F;
        let field = match self {
            Content::Field(field) => field,
            Content::Number => return "REAL",
            Content::Json | Content::Fixed(_) => return "TEXT",
        };
        match field {
            F::Time | F::Start | F::End if time == TimeForm::Rfc3339 => "TEXT NOT NULL",
            F::Time | F::Start | F::End => "INTEGER NOT NULL",
            F::Value | F::First | F::Last => "",
            F::Monotonic | F::Count => "INTEGER",
            F::Score | F::Min | F::Max | F::Mean | F::Stddev | F::Confidence => "REAL",
            _ => "TEXT",
        }
    }
}

/// The columns that are written, in order: each has a name and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Columns(pub(super) Vec<(String, Content)>);

impl Columns {
    /// The columns of a table where the user chose none.
    pub(super) fn usual(kind: ItemKind) -> Columns {
        let Fields(fields) = Fields::usual(kind, true);
        Columns(fields.into_iter().map(|(name, field)| (name, Content::Field(field))).collect())
    }

    /// Whether items of a kind have something for every column.
    pub(super) fn fit(&self, kind: ItemKind) -> bool {
        self.0.iter().all(|(_, content)| content.is_of(kind))
    }

    /// The name of the column with the time of items of a kind.
    pub(super) fn dated(&self, kind: ItemKind) -> Option<&str> {
        self.0.iter().find(|(_, content)| content.dates(kind)).map(|(name, _)| name.as_str())
    }

    /// The name of the first column with something of a field's in it.
    pub(super) fn of(&self, field: &Field) -> Option<&str> {
        let holds = |content: &Content| matches!(content, Content::Field(one) if one == field);
        self.0.iter().find(|(_, content)| holds(content)).map(|(name, _)| name.as_str())
    }

    fn push<E: Error>(&mut self, name: String, content: Content) -> Result<(), E> {
        // SQLite does not tell them apart by case.
        if self.0.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            return Err(E::custom(format!("two columns are named `{name}`")));
        }
        if name.is_empty() || name.contains('\0') {
            return Err(E::custom("a column needs a name"));
        }
        self.0.push((name, content));
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the column holds, such as `time`, or `{ fixed: a text }`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Content, E> {
        Content::parse(word).ok_or_else(|| {
            let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            let known = words.join(", ");
            let meant = nearest(word, words.iter().copied().chain([NUMBER, JSON]));
            let meant = meant.map_or(String::new(), |meant| format!(" (did you mean `{meant}`?)"));
            E::custom(format!(
                "`{word}` is nothing a column can hold{meant}; it can hold {known}, {NUMBER}, {JSON}, label.NAME and {{ fixed: a text }}"
            ))
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut text = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "fixed" {
                return Err(A::Error::unknown_field(&key, &["fixed"]));
            }
            text = Some(map.next_value::<String>()?);
        }
        let text = text.ok_or_else(|| A::Error::missing_field("fixed"))?;
        Ok(Content::Fixed(text.into()))
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnsVisitor)
    }
}

struct ColumnsVisitor;

impl<'de> Visitor<'de> for ColumnsVisitor {
    type Value = Columns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from column name to what it holds, or a list of what the columns hold")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
        let mut columns = Columns::default();
        while let Some((name, content)) = map.next_entry::<String, Content>()? {
            columns.push(name, content)?;
        }
        Ok(columns)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Columns, A::Error> {
        let mut columns = Columns::default();
        while let Some(word) = words.next_element::<String>()? {
            let content = ContentVisitor.visit_str(&word)?;
            columns.push(word.strip_prefix("label.").unwrap_or(&word).to_owned(), content)?;
        }
        Ok(columns)
    }
}

impl JsonSchema for Columns {
    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).chain([NUMBER, JSON]).collect();
        let word = serde_json::json!({
            "anyOf": [{ "enum": words }, { "type": "string", "pattern": "^label\\..+$" }]
        });
        let fixed = serde_json::json!({
            "type": "object",
            "properties": { "fixed": { "type": "string", "description": "What stands in every row." } },
            "required": ["fixed"],
            "additionalProperties": false
        });
        json_schema!({
            "description": "The columns that are written: a map from name to what it holds, or a list of what they hold.",
            "oneOf": [
                { "type": "object", "minProperties": 1, "additionalProperties": { "anyOf": [word, fixed] } },
                { "type": "array", "minItems": 1, "items": word }
            ],
            "examples": [{ "ts": "time", "room": "label.room", "value": "value" }]
        })
    }
}
