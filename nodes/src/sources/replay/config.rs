//! What can be said about a recording.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::bytes::ByteSize;
use smollama_engine::glob::Glob;
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::registry::Problem;

use super::template::{Part, Template};
use crate::io::rows::time::{TimeFormat, settings};

/// Reads recordings: CSV, JSON lines and Parquet, a file, many, or standard input.
///
/// What this program wrote itself (the sinks `file`, `console` as JSON, `parquet`) needs no settings but `path`. Of any other file
/// it must know which fields make time, source and value. In a table it finds out itself: the time is the column `time`, `timestamp`,
/// `ts`, `datetime` or `date`, otherwise the first; the value is the column `value`, and its source then has the name of the file
/// without extension; without a column `value`, every other column of numbers becomes a source with the column's name.
///
/// A row that cannot be read (broken syntax, a wrong number of fields, no time or one before 1970 or after 2199, NaN or an infinity,
/// not a number where one must stand) goes to the dead letters with its file and line, and the rest goes on. Times out of order
/// are passed on as they are. Many files are read one after the other, by name.
///
/// A host that is started again goes on with the very next row. Files that grew meanwhile are read on; where a file no longer begins with
/// what was read of it, the whole recording is read from its beginning. Packed files are unpacked again up to the place. Standard
/// input cannot be gone on with.
///
/// In JSON a dot leads into nested objects: `value: payload.temperature`; a dot that is part of a key is written `\.`. Of a key that
/// stands twice the last one counts.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// A file, a folder (its files directly in it), a pattern such as `data/*.csv` or `data/**/*.csv`, or `-` for standard input.
    /// Relative to the pipeline file. `.gz` and `.zst` are decompressed on the way.
    pub path: PathBuf,
    /// `csv`, `jsonl` or `parquet`. Default: by the file's extension (`.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json`, `.parquet`); a
    /// folder's other files are then left alone.
    #[serde(default)]
    pub format: Option<Format>,
    /// The field with the time. Default: `time`; in a table see above.
    #[serde(default)]
    pub time: Option<String>,
    /// How times are written: `s`, `ms`, `us` or `ns` since 1970, or a pattern such as `%d.%m.%Y %H:%M:%S`. Default: as
    /// RFC 3339 or `2026-11-21 01:02:03.5`, or a number since 1970, whose size tells its unit.
    #[serde(default)]
    pub time_format: Option<String>,
    /// The zone of times that do not say it, such as `Europe/Berlin`. A time that the clocks show twice in autumn is taken as the
    /// first; one that they skip in spring is moved on by an hour. Default: UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// What a reading's source is called, composed of fields: `"{source}/{metric}"`. `{column}` is the name of the value's column,
    /// `{file}` that of the file without extension. Default: the field `source`, if there is one, which then names the whole source with
    /// its type; otherwise see above.
    #[serde(default)]
    pub source: Option<String>,
    /// The field with the value. Default: `value`.
    #[serde(default)]
    pub value: Option<String>,
    /// Several columns with values, for files with one row per time: a map from field to its settings, such as
    /// `{ temp: { unit: °C }, hum: {} }`. Default in a table without a column `value`: every column of numbers.
    #[serde(default)]
    pub columns: Option<BTreeMap<String, Column>>,
    /// What a value may be: `number` (anything else refuses the row), or `any` (also true, false, texts, JSON). Default: `number` for
    /// CSV, `any` otherwise, and for tables with the columns `source` and `value`.
    #[serde(default)]
    pub values: Option<Values>,
    /// The field with the unit. Default: `unit`, if there is one.
    #[serde(default)]
    pub unit: Option<String>,
    /// Fields that become labels. Default: those in the field `labels`, if it is there and neither `source` nor `value` was set.
    #[serde(default)]
    pub labels: OneOrMany<String>,
    /// Texts and numbers that stand for "no value", such as `[NaN, -999]`; such cells are skipped. Empty cells and JSON's `null` always
    /// are. Default: `[NA, N/A, null]`.
    #[serde(default)]
    pub missing: Option<OneOrMany<String>>,
    /// What separates the fields of CSV. Default: a tab for `.tsv`, otherwise a comma.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// The columns' names, for CSV whose first line is already a row. Default: the first line names them.
    #[serde(default)]
    pub header: Option<Vec<String>>,
    /// The longest row; a longer one is refused. Default: 1MiB.
    #[serde(default)]
    pub max_line: Option<ByteSize>,
}

/// One column of values.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Column {
    /// What the source is called, in place of the column's name.
    pub id: Option<String>,
    /// The unit, such as `°C`.
    pub unit: Option<String>,
}

/// How a recording is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Rows of fields with a header, as RFC 4180.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// Numbers, true and false.
    Number,
    /// Also texts and JSON.
    Any,
}

/// The most that a row may be long.
const MAX_LINE_MAX: ByteSize = ByteSize::mib(64);

impl ReplayConfig {
    /// Whether it is standard input that is read.
    pub(super) fn is_piped(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    pub(super) fn longest_line(&self) -> usize {
        let max = self.max_line.unwrap_or(ByteSize::mib(1)).min(MAX_LINE_MAX);
        usize::try_from(max.0).unwrap_or(usize::MAX)
    }

    pub(super) fn time_format(&self) -> TimeFormat {
        settings::format(self.time_format.as_deref())
    }

    pub(super) fn zone(&self) -> Option<TimeZone> {
        settings::zone(self.zone.as_deref())
    }

    /// The ids that readings can have, as far as the settings tell.
    pub(super) fn ids(&self) -> Option<Vec<Glob>> {
        if let Some(text) = &self.source {
            let template = Template::new(text).ok()?;
            let part = |part: &Part| match part {
                Part::Text(text) => text.replace('*', "?"),
                _ => "**".to_owned(),
            };
            let pattern = template.parts.iter().map(part).collect::<String>().replace("****", "**");
            return Glob::new(&pattern).ok().map(|glob| vec![glob]);
        }
        let columns = self.columns.as_ref()?;
        let id = |(name, column): (&String, &Column)| column.id.clone().unwrap_or(name.clone());
        columns.iter().map(|column| Glob::new(&id(column)).ok()).collect()
    }

    pub(in crate::sources) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(Err(problem)) = self.source.as_deref().map(Template::new) {
            problems.push(problem);
        }
        if self.value.is_some() && self.columns.is_some() {
            problems.push(
                Problem::at("columns", "`value` and `columns` are both set")
                    .help("`value` is for one reading a row, `columns` for several"),
            );
        }
        if self.columns.as_ref().is_some_and(BTreeMap::is_empty) {
            problems.push(
                Problem::at("columns", "there is none").help("leave `columns` out to find them"),
            );
        }
        problems.extend(settings::problems(self.zone.as_deref(), self.time_format.as_deref()));
        problems.extend(self.problem_of_format());
        if self.max_line.is_some_and(|max| max > MAX_LINE_MAX || max.0 == 0) {
            problems.push(Problem::at(
                "max_line",
                format!("it must lie between 1B and {MAX_LINE_MAX}"),
            ));
        }
        problems
    }

    fn problem_of_format(&self) -> Option<Problem> {
        if self.is_piped() {
            return match self.format {
                None => Some(
                    Problem::at("format", "standard input has no name that tells its format")
                        .help("set `format: jsonl` or `format: csv`"),
                ),
                Some(Format::Parquet) => Some(
                    Problem::at(
                        "format",
                        "Parquet cannot be read from standard input: it begins at its end",
                    )
                    .help("write it to a file first"),
                ),
                _ => None,
            };
        }
        if self.delimiter.is_some_and(|c| !c.is_ascii() || matches!(c, '"' | '\n' | '\r')) {
            let message = "it must be one ASCII character that is neither a quote nor a line break";
            return Some(Problem::at("delimiter", message));
        }
        None
    }
}
