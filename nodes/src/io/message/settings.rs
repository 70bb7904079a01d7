//! What can be said about messages, whoever brings them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::registry::Problem;

use super::fields::{Fields, ValueType};
use super::template::Template;
use crate::io::rows::time::settings;

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// By its first character and by the topic.
    #[default]
    Auto,
    /// JSON.
    Json,
    /// CBOR (RFC 8949).
    Cbor,
    /// A number.
    Number,
    /// A text.
    Text,
    /// What the Python original sends.
    Edge,
}

impl Format {
    /// Whether there can be fields in a payload.
    #[must_use]
    pub fn has_fields(self) -> bool {
        matches!(self, Format::Auto | Format::Json | Format::Cbor)
    }
}

/// The settings of a [`super::Decoder`]. Nodes have them under the same names among their own; what they mean stands there.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What stands in an id for the whole name of what brought the message: `topic`, `file`.
    pub word: &'static str,
    /// The id where `id` does not say it. Empty where fields alone name the readings.
    pub default_id: &'static str,
    /// Whether the original's payload is recognised by the name of what brought it.
    pub looks_for_edge: bool,
    /// What a payload is.
    pub format: Format,
    /// The fields that become readings.
    pub fields: Option<Fields>,
    /// Takes the fields that `fields` does not name, too.
    pub others: bool,
    /// The field with the only value.
    pub value: Option<String>,
    /// What a plain payload or `value` is.
    pub kind: Option<ValueType>,
    /// The field with an array whose entries are messages of their own.
    pub each: Option<String>,
    /// The field with the time.
    pub time: Option<String>,
    /// How times are written.
    pub time_format: Option<String>,
    /// The zone of times that do not say it.
    pub zone: Option<String>,
    /// The id of the readings.
    pub id: Option<String>,
    /// Labels from levels of the name.
    pub topic_labels: BTreeMap<String, usize>,
    /// Takes a `source` with a type as the whole name of what was measured.
    pub whole_sources: bool,
}

impl Settings {
    /// Settings that say nothing, for what is called so in ids.
    #[must_use]
    pub fn new(word: &'static str, default_id: &'static str) -> Settings {
        Settings {
            word,
            default_id,
            looks_for_edge: false,
            format: Format::Auto,
            fields: None,
            others: false,
            value: None,
            kind: None,
            each: None,
            time: None,
            time_format: None,
            zone: None,
            id: None,
            topic_labels: BTreeMap::new(),
            whole_sources: false,
        }
    }

    /// Whether objects are taken as they come: in the one JSON form, or with all their fields.
    pub(super) fn is_automatic(&self) -> bool {
        self.fields.is_none() && self.value.is_none()
    }

    /// How ids are composed.
    ///
    /// # Errors
    /// `id` cannot be read.
    pub fn template(&self) -> Result<Template, Problem> {
        match self.id.as_deref() {
            None if self.default_id.is_empty() => Ok(Template::default()),
            id => Template::new(id.unwrap_or(self.default_id), self.word),
        }
    }

    /// All that is wrong with them.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_fields(&mut problems);
        if let Err(problem) = self.template() {
            problems.push(problem);
        }
        for (label, level) in &self.topic_labels {
            if *level == 0 {
                let problem = Problem::at(format!("topic_labels.{label}"), "there is no level 0");
                problems.push(problem.help("levels are counted from 1"));
            }
        }
        problems.extend(settings::problems(self.zone.as_deref(), self.time_format.as_deref()));
        problems
    }

    fn check_fields(&self, problems: &mut Vec<Problem>) {
        if self.value.is_some() && self.fields.is_some() {
            problems.push(
                Problem::at("fields", "`value` and `fields` are both set")
                    .help("`value` is for one reading a message, `fields` for several"),
            );
        }
        match &self.fields {
            Some(Fields::Named(named)) if named.is_empty() && !self.others => problems.push(
                Problem::at("fields", "there is none").help("leave `fields` out to take all"),
            ),
            Some(Fields::Named(_)) => {}
            _ if self.others => problems.push(
                Problem::at("others", "it goes with a map in `fields`")
                    .help("leave it out: without `fields` all of them are taken"),
            ),
            _ => {}
        }
        if self.format.has_fields() {
            return;
        }
        let format = match self.format {
            Format::Edge => "edge",
            Format::Number => "number",
            _ => "text",
        };
        let set = [
            ("fields", self.fields.is_some()),
            ("value", self.value.is_some()),
            ("each", self.each.is_some()),
            ("time", self.time.is_some()),
            ("id", self.format == Format::Edge && self.id.is_some()),
            ("type", self.format == Format::Edge && self.kind.is_some()),
        ];
        for (field, _) in set.into_iter().filter(|(_, set)| *set) {
            problems.push(
                Problem::at(field, format!("it means nothing with `format: {format}`"))
                    .help("take it away, or write `format: json`"),
            );
        }
        let fields = self.id.is_some().then(|| self.template().ok()).flatten();
        if fields.is_some_and(|template| template.fields().next().is_some()) {
            let message = format!("there are no fields with `format: {format}`");
            let help = format!("use `{{{}}}` or its levels, `{{2}}`", self.word);
            problems.push(Problem::at("id", message).help(help));
        }
    }
}
