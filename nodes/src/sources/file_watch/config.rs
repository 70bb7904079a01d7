//! What can be said about files that are watched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::bytes::ByteSize;
use smollama_engine::duration::Duration;
use smollama_engine::one_or_many::OneOrMany;
use smollama_engine::registry::Problem;

use crate::io::message::{self, Fields, Settings, ValueType};
use crate::sources::replay::{self, Column, ReplayConfig, Values};

/// Follows files that other programs write: each new line becomes a reading, or several.
///
/// A line of JSON is a reading in the form that the sinks `file` and `console` write (`{"source":"kitchen","value":21.5}`), or an object of which each
/// number, text, true and false is a reading: `fields` says which ones, with their units; `value` says where the only one lies. A line of CSV is a
/// row, read as `replay` reads it. Any other line is a text, or what `type` says. The id begins with the file's name without extension:
/// `file_watch:air/temperature` for the field `temperature` in `air.jsonl`.
///
/// A file is read to its end, and then looked at every `poll`. Half a line waits for its rest. A file that is renamed and begun anew, or
/// copied and emptied (`logrotate` with and without `copytruncate`), is read to its end first, also where that happened while the host was
/// down, as long as the old file lies in the same folder and is not packed yet. A file that vanishes is waited for, and read from its
/// beginning when it comes back. The place in each file is kept with the readings in the journal: a host that is started again goes on
/// with the very next line, nothing is left out and nothing comes twice.
///
/// With `format: json` a file is one JSON text, which is rewritten each time there is something new. It is read whenever it was
/// written; readings without a time of their own have that of the file. `format: jetson` is the file in which the Python original's
/// `jetson_inference` gets what a camera sees: `{ts, model, fps, readings: [{name, value, unit, metadata}]}`. Each entry is a reading with the entry's name as
/// its id and `ts` as its time, and so is each field of its `metadata`, with the id `name/field`.
///
/// A line that cannot be understood, or is longer than `max_line`, goes to the dead letters with its file and line. What cannot be
/// opened, listed or found shows in `smollama status`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileWatchConfig {
    /// A file, a folder (its files directly in it), or a pattern such as `logs/*.csv` or `logs/**/*.jsonl`, with 1,000 files at most. Relative to the
    /// pipeline file. Hidden files are left alone.
    pub path: PathBuf,
    /// `jsonl`, `csv`, `text`, `json` (the whole file is one JSON text) or `jetson`. Default: by the file's extension (`.jsonl`, `.ndjson`, `.csv`, `.tsv`,
    /// `.json`); any other file is `text`, but in a folder only `.log` and `.txt` are.
    #[serde(default)]
    pub format: Option<Format>,
    /// Where files begin that are there when the node first runs: `start`, or `end` for what comes from now on. Files that appear later are
    /// read from their start. Default: `start`.
    #[serde(default)]
    pub begin: Begin,
    /// How often the files are looked at. Default: `1s`.
    #[serde(default = "poll")]
    pub poll: Duration,
    /// The longest line, and the largest file of `json` and `jetson`, `64MiB` at most. Default: `1MiB`.
    #[serde(default = "max_line")]
    pub max_line: ByteSize,
    /// What is older than this when it is read is no reading: for `json` and `jetson`, whose writer may have died. Default: `30s` for `jetson`,
    /// otherwise any age.
    #[serde(default)]
    pub max_age: Option<Duration>,
    /// The fields of JSON that become readings: `all`, a list such as `[temperature, humidity]`, or a map from field to unit, `skip`, or settings:
    /// `{ temperature: °C, humidity: { unit: "%", id: rh } }`. A dot leads into nested objects and arrays. Default: see above.
    #[serde(default)]
    pub fields: Option<Fields>,
    /// Takes the fields that `fields` does not name, too. Default: false.
    #[serde(default)]
    pub others: bool,
    /// The field, or the column, with the only value. The id gets nothing appended. Default for CSV: `value`, if there is such a column.
    #[serde(default)]
    pub value: Option<String>,
    /// What a line of text or `value` in JSON is: `number`, `bool` (`ON`, `off`, `true`, `1` ...) or `text`. Default: a line of text is a text.
    #[serde(default, rename = "type")]
    pub kind: Option<ValueType>,
    /// The field of JSON with an array whose entries are objects of their own.
    #[serde(default)]
    pub each: Option<String>,
    /// The field, or the column, with the time. Default in JSON: `time`, `Time`, `timestamp` or `ts`, if it tells an instant since 2015, otherwise the time at
    /// which the line was read; in CSV the column `time`, `timestamp`, `ts`, `datetime` or `date`, otherwise the first.
    #[serde(default)]
    pub time: Option<String>,
    /// How times are written: `s`, `ms`, `us` or `ns` since 1970, or a pattern such as `%d.%m.%Y %H:%M:%S`. Default: as
    /// RFC 3339 or `2026-11-21 01:02:03.5`, or a number since 1970, whose size tells its unit.
    #[serde(default)]
    pub time_format: Option<String>,
    /// The zone of times that do not say it, such as `Europe/Berlin`. Default: UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// The id of the readings, composed of the file's name and fields: `"{file}"`, `"{station}/{sensor}"`; of a file in a subfolder, `{1}` is
    /// the folder. In CSV `{column}` is the name of the value's column. Default: `"{file}"`, and behind it the field's name.
    #[serde(default)]
    pub id: Option<String>,
    /// Takes a `source` with a type (`air:north/temperature`) as the whole name of what was measured, in place of an id below `as`. For files
    /// that pass on what other hosts said. Default: false.
    #[serde(default)]
    pub whole_sources: bool,
    /// The columns of CSV with values: a map from column to its settings, such as `{ temp: { unit: °C }, hum: {} }`. Default: without a
    /// column `value` every column that holds a number in the first row.
    #[serde(default)]
    pub columns: Option<BTreeMap<String, Column>>,
    /// What a value in CSV may be: `number` (anything else refuses the row), or `any`. Default: `number`.
    #[serde(default)]
    pub values: Option<Values>,
    /// The column of CSV with the unit. Default: `unit`, if there is one.
    #[serde(default)]
    pub unit: Option<String>,
    /// Columns of CSV that become labels.
    #[serde(default)]
    pub labels: OneOrMany<String>,
    /// Texts and numbers in CSV that stand for "no value". Empty cells always do. Default: `[NA, N/A, null]`.
    #[serde(default)]
    pub missing: Option<OneOrMany<String>>,
    /// What separates the fields of CSV. Default: a tab for `.tsv`, otherwise a comma.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// The columns' names, for CSV whose first line is already a row. Default: the first line names them.
    #[serde(default)]
    pub header: Option<Vec<String>>,
}

/// How a watched file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON text a line.
    Jsonl,
    /// Rows of fields with a header, as RFC 4180.
    Csv,
    /// A text a line.
    Text,
    /// One JSON text, rewritten as a whole.
    Json,
    /// What a camera sees, as the Python original takes it.
    Jetson,
}

impl Format {
    /// Whether the file is rewritten as a whole.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Format::Json | Format::Jetson)
    }

    /// What the name of a file tells.
    pub(super) fn of_name(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "jsonl" | "ndjson" => Format::Jsonl,
            "csv" | "tsv" => Format::Csv,
            "json" => Format::Json,
            "log" | "txt" => Format::Text,
            _ => return None,
        })
    }
}

/// Where files begin that are there at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// With their first line.
    #[default]
    Start,
    /// Behind their last one.
    End,
}

const fn poll() -> Duration {
    Duration::from_secs(1)
}

const fn max_line() -> ByteSize {
    ByteSize::mib(1)
}

const MAX_LINE_MAX: ByteSize = ByteSize::mib(64);
const POLL_MIN: Duration = Duration::from_millis(10);
/// How old what a camera saw may be, as in the original.
const MAX_AGE_OF_JETSON: Duration = Duration::from_secs(30);

impl FileWatchConfig {
    pub(super) fn longest_line(&self) -> usize {
        usize::try_from(self.max_line.0.min(MAX_LINE_MAX.0)).unwrap_or(usize::MAX)
    }

    pub(super) fn max_age(&self, format: Format) -> Option<Duration> {
        self.max_age.or((format == Format::Jetson).then_some(MAX_AGE_OF_JETSON))
    }

    /// Whether the path is a pattern.
    pub(super) fn is_pattern(&self) -> bool {
        self.path.to_string_lossy().contains(['*', '?'])
    }

    /// How lines that are no rows are read.
    pub(super) fn message(&self, format: Format) -> Settings {
        Settings {
            format: match (format, self.kind) {
                (Format::Text, Some(ValueType::Number)) => message::Format::Number,
                (Format::Text, _) => message::Format::Text,
                _ => message::Format::Json,
            },
            fields: self.fields.clone(),
            others: self.others,
            value: self.value.clone(),
            kind: self.kind,
            each: self.each.clone(),
            time: self.time.clone(),
            time_format: self.time_format.clone(),
            zone: self.zone.clone(),
            id: self.id.clone(),
            whole_sources: self.whole_sources,
            ..Settings::new("file", "{file}")
        }
    }

    /// How the rows of a CSV file are read. `names_itself`: its rows say their whole source.
    pub(super) fn rows(&self, file: &str, names_itself: bool, many: bool) -> ReplayConfig {
        let below = |id: &Option<String>| id.as_ref().map(|id| format!("{file}/{id}"));
        let columns = self.columns.as_ref().map(|columns| {
            let column = |(name, column): (&String, &Column)| {
                let id = if self.id.is_some() { column.id.clone() } else { below(&column.id) };
                (name.clone(), Column { id, unit: column.unit.clone() })
            };
            columns.iter().map(column).collect()
        });
        let source = match &self.id {
            Some(id) => Some(id.clone()),
            None if names_itself => None,
            None if many => Some("{file}/{column}".into()),
            None => Some("{file}".into()),
        };
        ReplayConfig {
            path: PathBuf::new(),
            format: Some(replay::Format::Csv),
            time: self.time.clone(),
            time_format: self.time_format.clone(),
            zone: self.zone.clone(),
            source,
            value: self.value.clone(),
            columns,
            values: self.values,
            unit: self.unit.clone(),
            labels: self.labels.clone(),
            missing: self.missing.clone(),
            delimiter: self.delimiter,
            header: self.header.clone(),
            max_line: Some(self.max_line),
        }
    }

    /// The format of all files, where the settings tell it.
    fn known_format(&self) -> Option<Format> {
        self.format.or_else(|| Format::of_name(&self.path))
    }

    pub(super) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.path.as_os_str().is_empty() {
            problems.push(Problem::at("path", "it is empty").help("name a file, or a folder"));
        }
        if self.poll < POLL_MIN {
            problems.push(Problem::at("poll", format!("it is shorter than {POLL_MIN}")));
        }
        if self.max_line > MAX_LINE_MAX || self.max_line.0 == 0 {
            let message = format!("it must lie between 1B and {MAX_LINE_MAX}");
            problems.push(Problem::at("max_line", message));
        }
        let format = self.known_format();
        self.check_what_goes_together(format, &mut problems);
        match format {
            Some(Format::Csv) => {
                let rows = self.rows("file", false, true).all_problems();
                problems.extend(rows.into_iter().map(|mut problem| {
                    // What `replay` calls `source` is called `id` here.
                    if problem.field == "source" {
                        problem.field = "id".into();
                    }
                    problem
                }));
            }
            Some(format) => problems.extend(self.message(format).problems()),
            None => problems.extend(self.message(Format::Jsonl).problems()),
        }
        problems
    }

    fn check_what_goes_together(&self, format: Option<Format>, problems: &mut Vec<Problem>) {
        let of_csv = [
            ("columns", self.columns.is_some()),
            ("values", self.values.is_some()),
            ("unit", self.unit.is_some()),
            ("labels", !self.labels.is_empty()),
            ("missing", self.missing.is_some()),
            ("delimiter", self.delimiter.is_some()),
            ("header", self.header.is_some()),
        ];
        let of_messages = [
            ("fields", self.fields.is_some()),
            ("others", self.others),
            ("each", self.each.is_some()),
            ("type", self.kind.is_some()),
        ];
        let of_jetson = [
            ("fields", self.fields.is_some()),
            ("value", self.value.is_some()),
            ("each", self.each.is_some()),
            ("type", self.kind.is_some()),
            ("time", self.time.is_some()),
            ("id", self.id.is_some()),
        ];
        let mut refuse = |set: &[(&str, bool)], message: &str, help: &str| {
            for (field, _) in set.iter().filter(|(_, set)| *set) {
                problems.push(Problem::at(*field, message).help(help));
            }
        };
        match format {
            Some(Format::Csv) => {
                let help = "the columns of CSV are named in `columns`, or the only one in `value`";
                refuse(&of_messages, "it means nothing in CSV", help);
            }
            Some(_) => refuse(&of_csv, "it is for CSV", "write `format: csv`, or take it away"),
            None => {}
        }
        if format == Some(Format::Jetson) {
            let message = "the file of a camera says this itself";
            refuse(&of_jetson, message, "take it away, or write `format: json`");
        }
        if self.max_age.is_some() && format.is_some_and(|format| !format.is_whole()) {
            let help = "take it away: of a file that grows, every line is read";
            refuse(&[("max_age", true)], "it is for `format: json` and `format: jetson`", help);
        }
    }
}
