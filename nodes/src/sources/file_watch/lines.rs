//! From the bytes of a file that grows to readings.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memchr;
use smollama_engine::context::Context;
use smollama_engine::reading::Reading;
use smollama_engine::registry::Problem;

use super::config::{FileWatchConfig, Format};
use crate::io::message::Decoder;
use crate::io::rows::csv::CsvRows;
use crate::io::rows::path::Fields;
use crate::io::rows::{RowDecoder, Step, number};
use crate::sources::replay;
use crate::sources::replay::layout::FileFacts;
use crate::sources::replay::mapper::Mapper;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How the lines of one file are read.
pub(super) enum Lines {
    /// Each on its own.
    Messages {
        /// Within a line that is too long.
        skips: bool,
    },
    /// As rows; `None` while their header was not read.
    Csv(Option<Box<(CsvRows, Mapper)>>),
}

/// What a step through the bytes found.
pub(super) enum Taken {
    /// A line, or a part of one that is skipped.
    Line {
        /// How long it is.
        length: usize,
        /// How many lines end with it.
        lines: u64,
        /// Why it gives not all it could.
        refused: Option<String>,
    },
    /// Nothing that is whole.
    Nothing,
}

/// What goes with every file.
pub(super) struct Reader {
    pub(super) config: FileWatchConfig,
    pub(super) context: Context,
    /// Reads texts and JSON; one for each format that stands in lines.
    jsonl: Decoder,
    text: Decoder,
}

/// The head of a CSV file.
pub(super) enum Head {
    /// Not all of it is there.
    Incomplete,
    /// The rows begin behind so many bytes and lines.
    Read { length: u64, lines: u64 },
}

impl Reader {
    pub(super) fn new(config: &FileWatchConfig, context: &Context) -> Result<Reader, Problem> {
        // Where a setting is for JSON alone, lines of text do not see it.
        let text = FileWatchConfig {
            fields: None,
            others: false,
            value: None,
            each: None,
            time: None,
            ..config.clone()
        };
        let jsonl = match config.format {
            Some(Format::Csv | Format::Text) => &text,
            _ => config,
        };
        let mut text = text.message(Format::Text);
        // A text has no fields that could name it.
        if text.template()?.fields().next().is_some() {
            text.id = None;
        }
        let jsonl = jsonl.message(Format::Jsonl);
        Ok(Reader {
            jsonl: Decoder::new(&jsonl, context)?,
            text: Decoder::new(&text, context)?,
            config: config.clone(),
            context: context.clone(),
        })
    }

    /// Reads a whole text: the reason where not all of it could be understood.
    pub(super) fn read(
        &mut self,
        name: &str,
        format: Format,
        text: &[u8],
        readings: &mut Vec<Reading>,
    ) -> Option<String> {
        match format {
            Format::Text => self.text.read(name, text, readings),
            _ => self.jsonl.read(name, text, readings),
        }
    }
}

impl Lines {
    pub(super) fn new(format: Format) -> Lines {
        match format {
            Format::Csv => Lines::Csv(None),
            _ => Lines::Messages { skips: false },
        }
    }

    /// Whether what was taken last ends within a line that is refused.
    pub(super) fn is_within_line(&self) -> bool {
        match self {
            Lines::Messages { skips } => *skips,
            Lines::Csv(rows) => rows.as_ref().is_some_and(|rows| rows.0.is_within_row()),
        }
    }

    /// Whether the head of the file must be read first.
    pub(super) fn lacks_head(&self) -> bool {
        matches!(self, Lines::Csv(None))
    }

    /// Forgets the series that gave their slots back. Called before each block of lines.
    pub(super) fn refresh(&mut self) {
        if let Lines::Csv(Some(rows)) = self {
            rows.1.refresh();
        }
    }

    /// Takes the first line of some bytes. With `last`, nothing comes behind them.
    pub(super) fn step(
        &mut self,
        bytes: &[u8],
        last: bool,
        (name, format): (&str, Format),
        reader: &mut Reader,
        readings: &mut Vec<Reading>,
    ) -> Taken {
        if bytes.is_empty() {
            return Taken::Nothing;
        }
        match self {
            Lines::Messages { skips } => {
                message(skips, (bytes, last), (name, format), reader, readings)
            }
            Lines::Csv(None) => Taken::Nothing,
            Lines::Csv(Some(rows)) => {
                let (decoder, mapper) = &mut **rows;
                let (next, refused) = match decoder.decode(bytes, 0, last) {
                    Step::Row { next } => (next, mapper.take(decoder.row(bytes), readings).err()),
                    Step::Blank { next } => (next, None),
                    Step::Rejected { next, reason } => (next, Some(reason.to_string())),
                    Step::Incomplete => return Taken::Nothing,
                };
                Taken::Line { length: next, lines: decoder.lines() as u64, refused }
            }
        }
    }

    /// Reads the head of a CSV file, where that was not done. It tells which columns are what, so it is read again after a restart.
    ///
    /// # Errors
    /// The file cannot be read; or, within, it is not what the settings say.
    pub(super) fn read_head(
        &mut self,
        file: &File,
        (name, is_tab_separated): (&str, bool),
        reader: &Reader,
    ) -> io::Result<Result<Head, String>> {
        let longest = reader.config.longest_line();
        let mut bytes = vec![0; longest.saturating_mul(2).min(256 << 10).max(longest)];
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match file.read_at(room, filled as u64)? {
                0 => break,
                length => filled += length,
            }
        }
        bytes.truncate(filled);
        Ok(self.prepare(&bytes, name, is_tab_separated, reader).map_err(|problem| problem.message))
    }

    fn prepare(
        &mut self,
        bytes: &[u8],
        name: &str,
        is_tab_separated: bool,
        reader: &Reader,
    ) -> Result<Head, Problem> {
        let config = &reader.config;
        let delimiter = match config.delimiter {
            Some(character) => u8::try_from(character).unwrap_or(b','),
            None if is_tab_separated => b'\t',
            None => b',',
        };
        let mut decoder = CsvRows::new(delimiter, config.longest_line());
        let mut at = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let mut lines = 0;
        let columns = match &config.header {
            Some(names) => names.clone(),
            None => loop {
                let (step, names) = decoder.header(bytes, at, false);
                lines += decoder.lines() as u64;
                match (step, names) {
                    (Step::Row { next }, Some(names)) => {
                        at = next;
                        break names;
                    }
                    (Step::Blank { next } | Step::Row { next }, _) if next > at => at = next,
                    (Step::Rejected { reason, .. }, _) => {
                        let message = format!("the header cannot be read: {reason}");
                        return Err(Problem::at("path", message));
                    }
                    _ => return Ok(Head::Incomplete),
                }
            },
        };
        let facts = FileFacts { format: replay::Format::Csv, columns: Some(&columns), stem: name };
        let has = |name: &str| columns.iter().any(|column| column == name);
        let own = config.value.is_none() && config.columns.is_none();
        let many = config.value.is_none() && !(own && has("value"));
        let rows = config.rows(name, own && has("source") && has("value"), many);
        rows.check_header(&facts)?;
        let mut numeric = Vec::new();
        if rows.looks_for_values(&facts) {
            match numeric_columns(&mut decoder, &columns, bytes, at) {
                Some(found) => numeric = found,
                None => return Ok(Head::Incomplete),
            }
        }
        let layout = rows.layout(&facts, &numeric)?;
        let missing = decoder.choose(&columns, &layout.fields);
        missing.map_err(|missing| Problem::at("columns", missing.to_string()))?;
        let mapper = Mapper::new(&rows, layout, &reader.context);
        *self = Lines::Csv(Some(Box::new((decoder, mapper))));
        Ok(Head::Read { length: at as u64, lines })
    }
}

/// The columns in which the first row has a number; `None` while there is no row. What comes later in the file tells nothing: after a
/// restart the columns are the same.
fn numeric_columns(
    decoder: &mut CsvRows,
    columns: &[String],
    bytes: &[u8],
    mut at: usize,
) -> Option<Vec<String>> {
    let mut all = Fields::default();
    let slots: Vec<usize> = columns.iter().map(|column| all.slot(column)).collect();
    // All of them are columns of the header, so none is missing.
    decoder.choose(columns, &all).ok()?;
    loop {
        match decoder.decode(bytes, at, false) {
            Step::Row { .. } => {
                let row = decoder.row(bytes);
                let is_number = |slot: &usize| {
                    number::from_text(row.text(row.cell(*slot)).trim_ascii()).is_some()
                };
                let found = columns.iter().zip(&slots).filter(|(_, slot)| is_number(slot));
                return Some(found.map(|(column, _)| column.clone()).collect());
            }
            Step::Blank { next } | Step::Rejected { next, .. } if next > at => at = next,
            _ => return None,
        }
    }
}

fn message(
    skips: &mut bool,
    (bytes, last): (&[u8], bool),
    (name, format): (&str, Format),
    reader: &mut Reader,
    readings: &mut Vec<Reading>,
) -> Taken {
    let longest = reader.config.longest_line();
    let (line, length) = match memchr(b'\n', bytes) {
        Some(end) => (bytes.get(..end).unwrap_or_default(), end + 1),
        None if last => (bytes, bytes.len()),
        None if *skips => return Taken::Line { length: bytes.len(), lines: 0, refused: None },
        None if bytes.len() > longest => {
            *skips = true;
            let refused = Some(too_long(longest));
            return Taken::Line { length: bytes.len(), lines: 0, refused };
        }
        None => return Taken::Nothing,
    };
    if std::mem::take(skips) {
        return Taken::Line { length, lines: 1, refused: None };
    }
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let refused = if text.len() > longest {
        Some(too_long(longest))
    } else if text.trim_ascii().is_empty() {
        None
    } else {
        reader.read(name, format, text, readings)
    };
    Taken::Line { length, lines: 1, refused }
}

fn too_long(longest: usize) -> String {
    format!("longer than `max_line` ({longest} bytes)")
}
