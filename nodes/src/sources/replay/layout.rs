//! Which fields of a file make time, source and value: what the settings say, and what the file itself tells.

use smollama_engine::registry::Problem;

use super::config::{Column, Format, ReplayConfig, Values};
use super::template::{Part, Template};
use crate::io::rows::path::Fields;

/// The columns that hold the time in a table whose settings do not say it, best first.
const TIME_COLUMNS: [&str; 5] = ["time", "timestamp", "ts", "datetime", "date"];
/// Where our own Parquet files keep values, the exact one first: an integer is also in `value`, as a double.
const VALUE_COLUMNS: [&str; 5] = ["value_int", "value", "value_bool", "value_text", "value_json"];

/// The fields of a file by slot.
#[derive(Debug)]
pub(in crate::sources) struct Layout {
    pub(in crate::sources) fields: Fields,
    pub(super) time: usize,
    pub(super) values: Vec<ValueField>,
    pub(super) kind: Values,
    pub(super) identity: Identity,
    /// Where a row says how newsworthy it is and how many readings it stands for.
    pub(super) score: Option<usize>,
    pub(super) count: Option<usize>,
}

/// One reading of a row.
#[derive(Debug)]
pub(super) struct ValueField {
    /// The first of these that is there is the value.
    pub(super) slots: Vec<usize>,
    pub(super) column: String,
    /// Whether a row without it is refused.
    pub(super) required: bool,
    pub(super) unit: Option<String>,
    pub(super) id: Option<String>,
}

/// What makes the series of a reading.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) name: Vec<NamePart>,
    /// The field that names the whole source with its type; the name above is for rows that lack it.
    pub(super) whole: Option<usize>,
    pub(super) unit: Option<usize>,
    pub(super) labels: Vec<(String, usize)>,
    pub(super) labels_map: Option<usize>,
    pub(super) monotonic: Option<usize>,
}

#[derive(Debug)]
pub(super) enum NamePart {
    Text(String),
    Field(String, usize),
    Column,
}

impl Identity {
    /// All slots that tell series apart.
    pub(super) fn slots(&self) -> Vec<usize> {
        let name = self.name.iter().filter_map(|part| match part {
            NamePart::Field(_, slot) => Some(*slot),
            _ => None,
        });
        let labels = self.labels.iter().map(|(_, slot)| *slot);
        let rest = [self.whole, self.unit, self.labels_map, self.monotonic];
        let mut slots: Vec<usize> = name.chain(labels).chain(rest.into_iter().flatten()).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }
}

/// What is known of a file before its rows are read.
#[derive(Debug)]
pub(in crate::sources) struct FileFacts<'a> {
    pub(in crate::sources) format: Format,
    /// The columns; `None` for JSON lines, whose fields show in each line.
    pub(in crate::sources) columns: Option<&'a [String]>,
    /// The name without extensions.
    pub(in crate::sources) stem: &'a str,
}

impl FileFacts<'_> {
    fn has(&self, field: &str) -> bool {
        self.columns.is_none_or(|columns| columns.iter().any(|column| column == field))
    }

    fn time_column(&self) -> String {
        let Some(columns) = self.columns else { return "time".into() };
        let named = |name: &&str| columns.iter().find(|column| column.eq_ignore_ascii_case(name));
        let found = TIME_COLUMNS.iter().find_map(named).or(columns.first());
        found.cloned().unwrap_or_default()
    }
}

impl ReplayConfig {
    /// Whether the columns of values are still to be found in a table's rows.
    pub(in crate::sources) fn looks_for_values(&self, facts: &FileFacts<'_>) -> bool {
        self.columns.is_none()
            && self.value.is_none()
            && !VALUE_COLUMNS.iter().any(|name| facts.has(name))
    }

    /// Which fields of a file are what. `numeric` are the columns that hold numbers, where they were looked for.
    ///
    /// # Errors
    /// The file lacks a field that is needed, or the settings are wrong.
    pub(in crate::sources) fn layout(
        &self,
        facts: &FileFacts<'_>,
        numeric: &[String],
    ) -> Result<Layout, Problem> {
        let mut fields = Fields::default();
        let time_name = self.time.clone().unwrap_or_else(|| facts.time_column());
        let time = fields.slot(&time_name);
        let own = self.source.is_none()
            && self.value.is_none()
            && self.columns.is_none()
            && VALUE_COLUMNS.iter().any(|name| facts.has(name))
            && facts.has("source");
        let mut identity = Identity::default();
        let optional = |wanted: bool, name: &str, fields: &mut Fields| {
            (wanted && facts.has(name)).then(|| fields.slot(name))
        };
        identity.unit = match &self.unit {
            Some(unit) => Some(fields.slot(unit)),
            None => optional(self.columns.is_none(), "unit", &mut fields),
        };
        identity.labels =
            self.labels.iter().map(|label| (label.clone(), fields.slot(label))).collect();
        identity.whole = optional(own, "source", &mut fields);
        identity.labels_map = optional(own && self.labels.is_empty(), "labels", &mut fields);
        identity.monotonic = optional(own, "monotonic", &mut fields);
        let score = optional(own, "score", &mut fields);
        let count = optional(own, "count", &mut fields);
        identity.name = self.name(facts, &mut fields)?;
        let known: Vec<String> = fields.names().to_vec();
        let numeric = numeric.iter().filter(|column| !known.contains(column));
        let values = self.value_fields(facts, numeric, &mut fields);
        if values.is_empty() {
            return Err(Problem::at(
                "columns",
                format!("`{}` has no column of numbers", facts.stem),
            )
            .help("name the columns with values in `columns`, or the one in `value`"));
        }
        if self.time.is_none() && values.iter().any(|value| value.slots.contains(&time)) {
            return Err(Problem::at(
                "time",
                format!("`{}` has no column of times: `{time_name}` holds the values", facts.stem),
            )
            .help("name the column with the time in `time`"));
        }
        let kind = match (self.values, facts.format) {
            (Some(kind), _) => kind,
            (None, Format::Csv) if !own => Values::Number,
            _ => Values::Any,
        };
        Ok(Layout { fields, time, values, kind, identity, score, count })
    }

    /// Whether the first line of a CSV file can be its header, where the file alone has to tell: other separators make one long name
    /// of it, and a row in its place would be lost without a word.
    ///
    /// # Errors
    /// It cannot.
    pub(in crate::sources) fn check_header(&self, facts: &FileFacts<'_>) -> Result<(), Problem> {
        let (Format::Csv, Some(columns)) = (facts.format, facts.columns) else { return Ok(()) };
        if let ([only], None) = (columns, self.delimiter)
            && let Some(other) = [';', '\t', '|'].into_iter().find(|other| only.contains(*other))
        {
            let found = other.escape_default();
            return Err(Problem::at(
                "delimiter",
                format!("the fields of `{}` seem to be separated by `{found}`", facts.stem),
            )
            .help(format!("set `delimiter: \"{found}\"`")));
        }
        let time = self.time.clone().unwrap_or_else(|| facts.time_column());
        if self.header.is_none() && time.starts_with(|first: char| first.is_ascii_digit()) {
            let help = "name the columns in order, such as `header: [time, value]`";
            let message = format!("the first line of `{}` is a row, not a header", facts.stem);
            return Err(Problem::at("header", message).help(help));
        }
        Ok(())
    }

    fn name(&self, facts: &FileFacts<'_>, fields: &mut Fields) -> Result<Vec<NamePart>, Problem> {
        let Some(text) = &self.source else {
            let by_file = self.columns.is_none()
                && self.value.as_deref().is_none_or(|value| value == "value")
                && !self.looks_for_values(facts);
            return Ok(vec![if by_file {
                NamePart::Text(facts.stem.into())
            } else {
                NamePart::Column
            }]);
        };
        let part = |part| match part {
            Part::Text(text) => NamePart::Text(text),
            Part::Column => NamePart::Column,
            Part::File => NamePart::Text(facts.stem.to_owned()),
            Part::Field(name) => {
                let slot = fields.slot(&name);
                NamePart::Field(name, slot)
            }
        };
        Ok(Template::new(text)?.parts.into_iter().map(part).collect())
    }

    fn value_fields<'a>(
        &self,
        facts: &FileFacts<'_>,
        numeric: impl Iterator<Item = &'a String>,
        fields: &mut Fields,
    ) -> Vec<ValueField> {
        let field = |name: &str, column: &Column, fields: &mut Fields| ValueField {
            slots: vec![fields.slot(name)],
            column: name.to_owned(),
            required: false,
            unit: column.unit.clone(),
            id: column.id.clone(),
        };
        if let Some(columns) = &self.columns {
            return columns.iter().map(|(name, column)| field(name, column, fields)).collect();
        }
        if self.looks_for_values(facts) {
            return numeric.map(|name| field(name, &Column::default(), fields)).collect();
        }
        let slots = match &self.value {
            Some(value) => vec![fields.slot(value)],
            None if facts.columns.is_none() => vec![fields.slot("value")],
            None => {
                let there = VALUE_COLUMNS.iter().filter(|name| facts.has(name));
                there.map(|name| fields.slot(name)).collect()
            }
        };
        let column = self.value.clone().unwrap_or_else(|| "value".into());
        vec![ValueField { slots, column, required: true, unit: None, id: None }]
    }
}
