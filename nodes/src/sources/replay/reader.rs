//! One file of a recording, from its bytes to readings.

use std::io;

use smollama_engine::context::Context;
use smollama_engine::node::{Position, Reject};
use smollama_engine::reading::Reading;
use smollama_engine::registry::Problem;

use super::config::{Format, ReplayConfig};
use super::files::{Feed, Recording};
use super::layout::FileFacts;
use super::mapper::Mapper;
use super::parquet::ParquetTable;
use super::place::Place;
use crate::io::rows::csv::CsvRows;
use crate::io::rows::json::JsonLines;
use crate::io::rows::path::Fields;
use crate::io::rows::{REJECTED_BYTES, RowDecoder, Step, number};

/// The most readings of one batch, but for rows with more.
pub(super) const READINGS_MAX: usize = 1_024;
/// The most rejects of one batch.
const REJECTS_MAX: usize = 256;
/// In how many rows columns of numbers are looked for.
const SAMPLE_ROWS: usize = 100;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// An open file.
pub(super) struct RecordingReader {
    pub(super) recording: Recording,
    rows: Rows,
    /// Lines or rows that lie behind.
    line: u64,
    pub(super) rejected: u64,
}

enum Rows {
    /// Its fields are not known before its head was read.
    New(Box<Feed>),
    Json(Box<Feed>, Box<JsonLines>, Box<Mapper>),
    Csv(Box<Feed>, Box<CsvRows>, Box<Mapper>),
    Parquet(Box<ParquetTable>, Box<Mapper>),
}

/// What a file gave in one go.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) readings: Vec<Reading>,
    pub(super) rejects: Vec<Reject>,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.readings.len() >= READINGS_MAX || self.rejects.len() >= REJECTS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.readings.is_empty() && self.rejects.is_empty()
    }
}

/// How a call left the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There may be more at once.
    Ready,
    /// More bytes must be read first.
    Hungry,
    /// There is nothing more.
    Ended,
}

impl RecordingReader {
    pub(super) fn open(
        recording: &Recording,
        config: &ReplayConfig,
        context: &Context,
    ) -> Result<Self, Problem> {
        let rows = if recording.format == Format::Parquet {
            let (table, layout) = ParquetTable::open(recording, config, context, 0)?;
            Rows::Parquet(Box::new(table), Box::new(Mapper::new(config, layout, context)))
        } else {
            let feed = Feed::open(recording).map_err(|error| unreadable(recording, &error))?;
            Rows::New(Box::new(feed))
        };
        Ok(RecordingReader { recording: recording.clone(), rows, line: 0, rejected: 0 })
    }

    /// Opens a file to go on where an earlier reader stopped.
    pub(super) fn resume(
        recording: &Recording,
        place: &Place,
        config: &ReplayConfig,
        context: &Context,
    ) -> Result<Self, Problem> {
        let changed = || {
            let shown = &recording.shown;
            Problem::at("path", format!("`{shown}` no longer begins with what was read of it"))
        };
        let mut reader = RecordingReader::open(recording, config, context)?;
        reader.prepare_now(config, context)?;
        match &mut reader.rows {
            Rows::Parquet(table, mapper) => {
                if table.fingerprint != place.fingerprint {
                    return Err(changed());
                }
                let (rest, layout) = ParquetTable::open(recording, config, context, place.line)?;
                (**table, **mapper) = (rest, Mapper::new(config, layout, context));
            }
            Rows::New(feed) | Rows::Json(feed, ..) | Rows::Csv(feed, ..) => {
                let reached = feed.advance_to(place.offset);
                let reached = reached.map_err(|error| unreadable(recording, &error))?;
                if !reached || feed.fingerprint() != place.fingerprint {
                    return Err(changed());
                }
            }
        }
        reader.line = place.line;
        Ok(reader)
    }

    /// Whether the bytes that were read end within a row that was refused.
    pub(super) fn is_within_row(&self) -> bool {
        match &self.rows {
            Rows::New(_) | Rows::Parquet(..) => false,
            Rows::Json(_, decoder, _) => decoder.is_within_row(),
            Rows::Csv(_, decoder, _) => decoder.is_within_row(),
        }
    }

    /// Reads the head of a file that is not standard input.
    pub(super) fn prepare_now(
        &mut self,
        config: &ReplayConfig,
        context: &Context,
    ) -> Result<(), Problem> {
        while self.prepare(config, context)? == State::Hungry {
            if let Rows::New(feed) = &mut self.rows {
                feed.fill_now().map_err(|error| unreadable(&self.recording, &error))?;
            }
        }
        Ok(())
    }

    /// Finds out which fields there are, if the bytes that were read suffice.
    pub(super) fn prepare(
        &mut self,
        config: &ReplayConfig,
        context: &Context,
    ) -> Result<State, Problem> {
        let Rows::New(feed) = &mut self.rows else { return Ok(State::Ready) };
        if feed.bytes().len() < BYTE_ORDER_MARK.len() && !feed.ended() {
            return Ok(State::Hungry);
        }
        if feed.offset() == 0 && feed.bytes().starts_with(BYTE_ORDER_MARK) {
            feed.consume(BYTE_ORDER_MARK.len());
        }
        let stem = self.recording.stem();
        if self.recording.format == Format::Jsonl {
            let facts = FileFacts { format: Format::Jsonl, columns: None, stem: &stem };
            let layout = config.layout(&facts, &[])?;
            let decoder = JsonLines::new(&layout.fields, config.longest_line());
            let mapper = Box::new(Mapper::new(config, layout, context));
            self.swap(|feed| Rows::Json(feed, Box::new(decoder), mapper));
            return Ok(State::Ready);
        }
        let delimiter = match config.delimiter {
            Some(character) => u8::try_from(character).unwrap_or(b','),
            None if self.recording.is_tab_separated() => b'\t',
            None => b',',
        };
        let mut decoder = CsvRows::new(delimiter, config.longest_line());
        let mut at = 0;
        let (columns, lines) = match &config.header {
            Some(names) => (names.clone(), 0),
            None => match read_header(&mut decoder, feed, &mut at)? {
                Some(header) => header,
                None if feed.ended() => return Ok(State::Ended),
                None => return Ok(State::Hungry),
            },
        };
        let facts = FileFacts { format: Format::Csv, columns: Some(&columns), stem: &stem };
        config.check_header(&facts)?;
        let mut numeric = Vec::new();
        if config.looks_for_values(&facts) {
            match numeric_columns(&mut decoder, &columns, feed, at)? {
                Some(found) => numeric = found,
                None if feed.ended() => return Ok(State::Ended),
                None => return Ok(State::Hungry),
            }
        }
        let layout = config.layout(&facts, &numeric)?;
        decoder.choose(&columns, &layout.fields).map_err(|missing| no_column(config, &missing))?;
        let mapper = Box::new(Mapper::new(config, layout, context));
        feed.consume(at);
        self.line += lines;
        self.swap(|feed| Rows::Csv(feed, Box::new(decoder), mapper));
        Ok(State::Ready)
    }

    fn swap(&mut self, make: impl FnOnce(Box<Feed>) -> Rows) {
        let Rows::New(feed) = &mut self.rows else { return };
        let feed = std::mem::replace(feed.as_mut(), Feed::empty());
        self.rows = make(Box::new(feed));
    }

    /// Reads on, where that is needed.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        match &mut self.rows {
            Rows::New(feed) | Rows::Json(feed, ..) | Rows::Csv(feed, ..) => feed.fill().await,
            Rows::Parquet(..) => Ok(()),
        }
    }

    /// Decodes rows until a batch is full or the bytes are used up.
    pub(super) fn gather(&mut self, into: &mut Gathered) -> State {
        let mut place = RowPlace { shown: &self.recording.shown, line: &mut self.line };
        let before = into.rejects.len();
        if let Rows::Json(_, _, mapper) | Rows::Csv(_, _, mapper) | Rows::Parquet(_, mapper) =
            &mut self.rows
        {
            mapper.refresh();
        }
        let state = match &mut self.rows {
            Rows::New(_) => State::Hungry,
            Rows::Json(feed, decoder, mapper) => {
                rows(feed, &mut **decoder, mapper, &mut place, into)
            }
            Rows::Csv(feed, decoder, mapper) => {
                rows(feed, &mut **decoder, mapper, &mut place, into)
            }
            Rows::Parquet(table, mapper) => loop {
                if into.is_full() {
                    break State::Ready;
                }
                let taken = match table.next() {
                    Ok(Some(row)) => mapper.take(row, &mut into.readings),
                    Ok(None) => break State::Ended,
                    Err(reason) => {
                        into.rejects.push(place.reject(reason, &[]));
                        break State::Ended;
                    }
                };
                *place.line += 1;
                if let Err(reason) = taken {
                    into.rejects.push(place.reject(reason, &[]));
                }
            },
        };
        self.rejected += (into.rejects.len() - before) as u64;
        state
    }

    /// Where the next row begins.
    pub(super) fn position(&self) -> Position {
        let (offset, fingerprint) = match &self.rows {
            Rows::New(feed) | Rows::Json(feed, ..) | Rows::Csv(feed, ..) => {
                (feed.offset(), feed.fingerprint())
            }
            Rows::Parquet(table, _) => (0, table.fingerprint),
        };
        Place { offset, line: self.line, fingerprint }.position(&self.recording)
    }

    /// How many cells had no value.
    pub(super) fn skipped(&self) -> u64 {
        match &self.rows {
            Rows::New(_) => 0,
            Rows::Json(_, _, mapper) | Rows::Csv(_, _, mapper) | Rows::Parquet(_, mapper) => {
                mapper.skipped
            }
        }
    }
}

/// Where a row stands.
struct RowPlace<'a> {
    shown: &'a str,
    line: &'a mut u64,
}

impl RowPlace<'_> {
    fn reject(&self, reason: String, bytes: &[u8]) -> Reject {
        let bytes = bytes.get(..REJECTED_BYTES).unwrap_or(bytes).to_vec();
        Reject { reason, origin: format!("{}:{}", self.shown, self.line), bytes }
    }
}

fn rows<D: RowDecoder>(
    feed: &mut Feed,
    decoder: &mut D,
    mapper: &mut Mapper,
    place: &mut RowPlace<'_>,
    into: &mut Gathered,
) -> State {
    let (bytes, last) = (feed.bytes(), feed.ended());
    let mut at = 0;
    let state = loop {
        // A position lies between rows, also those that are refused.
        if into.is_full() && !decoder.is_within_row() {
            break State::Ready;
        }
        if at >= bytes.len() {
            break if last { State::Ended } else { State::Hungry };
        }
        let (next, refused) = match decoder.decode(bytes, at, last) {
            Step::Row { next } => (next, mapper.take(decoder.row(bytes), &mut into.readings).err()),
            Step::Blank { next } => (next, None),
            Step::Rejected { next, reason } => (next, Some(reason.to_string())),
            Step::Incomplete => break State::Hungry,
        };
        if let Some(reason) = refused {
            // A row is where it begins.
            *place.line += 1;
            into.rejects.push(place.reject(reason, bytes.get(at..next).unwrap_or_default()));
            *place.line -= 1;
        }
        *place.line += decoder.lines() as u64;
        at = next;
    };
    feed.consume(at);
    state
}

/// The names of the columns, and how many lines they took; `at` is then where the rows begin.
fn read_header(
    decoder: &mut CsvRows,
    feed: &Feed,
    at: &mut usize,
) -> Result<Option<(Vec<String>, u64)>, Problem> {
    let mut lines = 0;
    loop {
        let (step, names) = decoder.header(feed.bytes(), *at, feed.ended());
        lines += decoder.lines() as u64;
        match step {
            Step::Row { next } => {
                *at = next;
                return Ok(names.map(|names| (names, lines)));
            }
            Step::Blank { next } if next > *at => *at = next,
            Step::Rejected { reason, .. } => {
                return Err(Problem::at("path", format!("the header cannot be read: {reason}")));
            }
            Step::Blank { .. } | Step::Incomplete => return Ok(None),
        }
    }
}

/// The columns in which the first rows have numbers and nothing else; `None` while there is no row.
fn numeric_columns(
    decoder: &mut CsvRows,
    columns: &[String],
    feed: &Feed,
    mut at: usize,
) -> Result<Option<Vec<String>>, Problem> {
    let mut all = Fields::default();
    let slots: Vec<usize> = columns.iter().map(|column| all.slot(column)).collect();
    let missing =
        |missing: crate::io::rows::csv::NoSuchColumn| Problem::at("path", missing.to_string());
    decoder.choose(columns, &all).map_err(missing)?;
    let mut seen = vec![(0, 0); columns.len()];
    let mut rows = 0;
    while rows < SAMPLE_ROWS && at < feed.bytes().len() {
        match decoder.decode(feed.bytes(), at, feed.ended()) {
            Step::Row { next } => {
                let row = decoder.row(feed.bytes());
                for (slot, (numbers, others)) in slots.iter().zip(&mut seen) {
                    let text = row.text(row.cell(*slot)).trim_ascii();
                    let number = number::from_text(text).is_some();
                    *numbers += usize::from(number);
                    let silent = ["", "na", "n/a", "null", "nan"];
                    let silent =
                        silent.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
                    *others += usize::from(!number && !silent);
                }
                rows += 1;
                at = next;
            }
            Step::Blank { next } | Step::Rejected { next, .. } => at = next,
            Step::Incomplete => break,
        }
    }
    if rows == 0 {
        return Ok(None);
    }
    // One broken cell among many numbers makes no column of texts.
    let is_numeric = |(numbers, others): &(usize, usize)| *numbers > 0 && *others * 10 <= *numbers;
    let numeric = columns.iter().zip(&seen).filter(|(_, seen)| is_numeric(seen));
    Ok(Some(numeric.map(|(column, _)| column.clone()).collect()))
}

fn no_column(config: &ReplayConfig, missing: &crate::io::rows::csv::NoSuchColumn) -> Problem {
    let is = |setting: &Option<String>| setting.as_deref() == Some(missing.name.as_str());
    let field = match () {
        () if is(&config.time) => "time",
        () if is(&config.value) => "value",
        () if is(&config.unit) => "unit",
        () if config.labels.contains(&missing.name) => "labels",
        () if config
            .columns
            .as_ref()
            .is_some_and(|columns| columns.contains_key(&missing.name)) =>
        {
            "columns"
        }
        () if config.source.is_some() => "source",
        () => "path",
    };
    Problem::at(field, missing.to_string())
}

pub(super) fn unreadable(recording: &Recording, error: &io::Error) -> Problem {
    Problem::at("path", format!("`{}` cannot be read: {error}", recording.shown))
}
