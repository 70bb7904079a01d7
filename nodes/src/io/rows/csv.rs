//! CSV as RFC 4180 has it: quoted fields, doubled quotes, newlines within quotes, `\n` or `\r\n` at the end.
//!
//! A row without a quote is split in place; any other goes through `csv-core`, which unescapes into the scratch. Quotes
//! inside an unquoted field are part of it. Every row must have as many fields as the header.

#[cfg(test)]
mod tests;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::path::{Fields, NONE};
use super::{Cell, Place, Reject, RejectReason, Row, RowDecoder, Step, word};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Decodes CSV rows into the cells of the wanted columns.
#[derive(Debug)]
pub struct CsvRows {
    reader: Box<Reader>,
    delimiter: u8,
    /// The slot of each column; `NONE` for those nobody wants.
    slots: Vec<u16>,
    cells: Vec<Cell>,
    scratch: Vec<u8>,
    ends: Vec<usize>,
    lines: usize,
    /// Within a line that was refused before all of it was there.
    skipping: bool,
    max_line: usize,
}

/// A wanted column that the header does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the file has no column `{name}`; it has {}", list(.columns))]
pub struct NoSuchColumn {
    /// The wanted column.
    pub name: String,
    /// What the header has.
    pub columns: Vec<String>,
}

fn list(columns: &[String]) -> String {
    let shown: Vec<_> = columns.iter().take(20).map(|column| format!("`{column}`")).collect();
    shown.join(", ")
}

impl RowDecoder for CsvRows {
    #[inline]
    fn decode(&mut self, bytes: &[u8], at: usize, last: bool) -> Step {
        if self.skipping {
            return self.skip(bytes, at);
        }
        self.lines = 1;
        match self.plain(bytes, at) {
            Some(step) => step,
            None => self.decode_other(bytes, at, last),
        }
    }

    #[inline]
    fn row<'a>(&'a self, bytes: &'a [u8]) -> Row<'a> {
        Row { bytes, scratch: &self.scratch, cells: &self.cells }
    }

    #[inline]
    fn lines(&self) -> usize {
        self.lines
    }

    #[inline]
    fn is_within_row(&self) -> bool {
        self.skipping
    }
}

impl CsvRows {
    /// A decoder that refuses rows of more than `max_line` bytes. It knows no columns before [`CsvRows::header`] or
    /// [`CsvRows::choose`].
    #[must_use]
    pub fn new(delimiter: u8, max_line: usize) -> Self {
        CsvRows {
            reader: Box::new(ReaderBuilder::new().delimiter(delimiter).build()),
            delimiter,
            slots: Vec::new(),
            cells: Vec::new(),
            scratch: vec![0; 256],
            ends: vec![0; 16],
            lines: 0,
            skipping: false,
            max_line,
        }
    }

    /// Reads a header row: the names of the columns, without blanks around them. `None` with [`Step::Row`] alone.
    pub fn header(&mut self, bytes: &[u8], at: usize, last: bool) -> (Step, Option<Vec<String>>) {
        if let Some(next) = blank_line(bytes, at, last) {
            self.lines = 1;
            return (Step::Blank { next }, None);
        }
        let step = self.quoted(bytes, at, last, true);
        let Step::Row { .. } = step else { return (step, None) };
        let mut names = Vec::with_capacity(self.cells.len());
        for cell in &self.cells {
            let Cell::Unescaped(place) = cell else { continue };
            names.push(String::from_utf8_lossy(place.of(&self.scratch)).trim().to_owned());
        }
        (step, Some(names))
    }

    /// Sets which columns are wanted.
    ///
    /// # Errors
    /// A wanted field that is no column.
    pub fn choose(&mut self, columns: &[String], wanted: &Fields) -> Result<(), NoSuchColumn> {
        self.slots = vec![NONE; columns.len()];
        for (slot, name) in wanted.names().iter().enumerate() {
            let column = columns.iter().position(|column| column == name);
            let place = column.and_then(|column| self.slots.get_mut(column));
            let missing = || NoSuchColumn { name: name.clone(), columns: columns.to_vec() };
            *place.ok_or_else(missing)? = slot as u16;
        }
        self.cells = vec![Cell::Missing; wanted.names().len()];
        Ok(())
    }

    /// A row without quotes that ends well within the bytes; `None` for any other.
    #[inline]
    fn plain(&mut self, bytes: &[u8], start: usize) -> Option<Step> {
        let (mut at, mut from, mut column, mut high) = (start, start, 0, 0);
        let delimiters = ONES * u64::from(self.delimiter);
        let next = 'row: loop {
            let word = word(bytes, at)?;
            let mut stops = exact_zeros(word ^ delimiters)
                | exact_zeros(word ^ (ONES * b'\n' as u64))
                | exact_zeros(word ^ (ONES * b'\r' as u64))
                | exact_zeros(word ^ (ONES * b'"' as u64));
            while stops != 0 {
                let bits = stops.trailing_zeros() & !7;
                let end = at + bits as usize / 8;
                let byte = (word >> bits) as u8;
                if byte == b'"' {
                    return None;
                }
                self.put(column, from, end);
                column += 1;
                from = end + 1;
                if byte != self.delimiter {
                    high |= word & HIGHS & ((1 << bits) - 1);
                    if byte == b'\n' {
                        break 'row end + 1;
                    }
                    // A `\r` alone is for the thorough way.
                    break 'row (bytes.get(end + 1) == Some(&b'\n')).then_some(end + 2)?;
                }
                stops &= stops - 1;
            }
            high |= word & HIGHS;
            at += 8;
        };
        if column != self.slots.len() || high != 0 || next - start > self.max_line {
            return None;
        }
        Some(Step::Row { next })
    }

    #[inline]
    fn put(&mut self, column: usize, start: usize, end: usize) {
        let slot = self.slots.get(column).copied().unwrap_or(NONE);
        if let Some(cell) = self.cells.get_mut(usize::from(slot)) {
            *cell = Cell::Text(Place::new(start, end));
        }
    }

    fn decode_other(&mut self, bytes: &[u8], at: usize, last: bool) -> Step {
        if let Some(next) = blank_line(bytes, at, last) {
            return Step::Blank { next };
        }
        self.quoted(bytes, at, last, false)
    }

    /// Any row, through `csv-core`. A header's cells are all of its fields.
    fn quoted(&mut self, bytes: &[u8], at: usize, last: bool, header: bool) -> Step {
        let rest = bytes.get(at..).unwrap_or_default();
        let within = rest.get(..=self.max_line).unwrap_or(rest);
        self.reader.reset();
        let Some((length, fields)) = self.record(within, last && within.len() == rest.len()) else {
            let reason = if rest.len() > self.max_line {
                RejectReason::TooLong { max: self.max_line }
            } else if last {
                RejectReason::Syntax("a quoted field without an end")
            } else {
                return Step::Incomplete;
            };
            return self.skip_line(bytes, at, Reject { reason, column: 0 });
        };
        let mut next = at + length;
        if rest.get(..length).is_some_and(|row| row.ends_with(b"\r")) {
            match bytes.get(next) {
                Some(b'\n') => next += 1,
                None if !last => return Step::Incomplete,
                _ => {}
            }
        }
        self.lines =
            memchr::memchr_iter(b'\n', bytes.get(at..next).unwrap_or_default()).count().max(1);
        if !header && fields != self.slots.len() {
            let reason = RejectReason::Ragged { expected: self.slots.len(), found: fields };
            return Step::Rejected { next, reason: Reject { reason, column: 0 } };
        }
        if header {
            self.slots = (0..fields.min(usize::from(NONE)) as u16).collect();
            self.cells = vec![Cell::Missing; self.slots.len()];
        }
        match self.take_fields(fields) {
            Ok(()) => Step::Row { next },
            Err(reason) => Step::Rejected { next, reason },
        }
    }

    /// Cuts one record into the scratch; gives its length in bytes and its number of fields. `None` where the bytes end
    /// within it.
    fn record(&mut self, input: &[u8], last: bool) -> Option<(usize, usize)> {
        let (mut read, mut written, mut fields) = (0, 0, 0);
        // The end of the input ends a record just as a newline does, but not a quoted field.
        let newline: &[u8] = if last { b"\n" } else { b"" };
        loop {
            let rest = input.get(read..).filter(|rest| !rest.is_empty()).unwrap_or(newline);
            if rest.is_empty() || read > input.len() {
                return None;
            }
            let output = self.scratch.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(fields..).unwrap_or_default();
            let (result, took, gave, ended) = self.reader.read_record(rest, output, ends);
            read += took;
            written += gave;
            fields += ended;
            match result {
                ReadRecordResult::Record => return Some((read.min(input.len()), fields)),
                ReadRecordResult::OutputFull => self.scratch.resize(self.scratch.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::End => return None,
            }
        }
    }

    fn take_fields(&mut self, fields: usize) -> Result<(), Reject> {
        let mut start = 0;
        for column in 0..fields {
            let end = self.ends.get(column).copied().unwrap_or(start);
            let text = self.scratch.get(start..end).unwrap_or_default();
            if !text.is_ascii() && std::str::from_utf8(text).is_err() {
                return Err(Reject::syntax("bytes that are not UTF-8", 0));
            }
            let slot = self.slots.get(column).copied().unwrap_or(NONE);
            if let Some(cell) = self.cells.get_mut(usize::from(slot)) {
                *cell = Cell::Unescaped(Place::new(start, end));
            }
            start = end;
        }
        Ok(())
    }

    /// Goes on to the end of a refused line, whose number was counted already.
    #[cold]
    fn skip(&mut self, bytes: &[u8], at: usize) -> Step {
        self.lines = 0;
        if at >= bytes.len() {
            Step::Incomplete
        } else {
            Step::Blank { next: self.line_end(bytes, at) }
        }
    }

    /// Refuses one line, so that a quote that nobody closed does not take the rest of the file with it.
    fn skip_line(&mut self, bytes: &[u8], at: usize, reason: Reject) -> Step {
        self.lines = 1;
        Step::Rejected { next: self.line_end(bytes, at), reason }
    }

    /// Where the next line begins, or the end of the bytes; then the rest of the line is skipped when it comes.
    fn line_end(&mut self, bytes: &[u8], at: usize) -> usize {
        let newline = memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default());
        self.skipping = newline.is_none();
        newline.map_or(bytes.len(), |length| at + length + 1)
    }
}

/// Marks exactly the bytes that are zero, by their highest bit.
#[inline]
fn exact_zeros(word: u64) -> u64 {
    let low = (word & !HIGHS).wrapping_add(!HIGHS);
    !(low | word | !HIGHS)
}

/// Where the next line begins, if the one at a position is empty.
fn blank_line(bytes: &[u8], at: usize, last: bool) -> Option<usize> {
    match bytes.get(at..)? {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        [b'\r'] if last => Some(at + 1),
        [] if last => Some(at),
        _ => None,
    }
}
