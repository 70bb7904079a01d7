//! Rows from bytes: JSON lines and CSV, decoded by configured field names as fast as a loop that has them compiled in.
//!
//! A decoder is given the bytes that are there and says where the next row begins; it never reads, blocks or keeps
//! bytes. What it found lies in [`Cell`]s, one for each wanted field, whose texts are places in those bytes.

pub mod csv;
pub mod form;
pub mod json;
pub mod number;
pub mod path;
pub mod series;
pub mod template;
mod text;
pub mod time;

use std::fmt;

/// How much of a refused row goes to the dead letters.
pub const REJECTED_BYTES: usize = 4 << 10;

/// What stands in one wanted field of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// The row has no such field.
    Missing,
    /// JSON's null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number with decimals, with an exponent, or too large for an integer.
    Float(f64),
    /// An instant, in microseconds since 1970: for formats that know what a time is.
    Time(i64),
    /// A text as it stands in the bytes.
    Text(Place),
    /// A text whose escapes or doubled quotes were resolved; it lies in the decoder's scratch.
    Unescaped(Place),
    /// A JSON object or array, as it stands in the bytes.
    Nested(Place),
}

/// From where to where, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    start: u32,
    end: u32,
}

impl Place {
    /// Chunks are far below 4 GiB, so that both ends fit.
    #[inline]
    fn new(start: usize, end: usize) -> Self {
        Place { start: start as u32, end: end as u32 }
    }

    #[inline]
    fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// One decoded row, until the decoder goes on.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    bytes: &'a [u8],
    scratch: &'a [u8],
    cells: &'a [Cell],
}

impl<'a> Row<'a> {
    /// What stands in the field that got the number `slot`.
    #[inline]
    #[must_use]
    pub fn cell(&self, slot: usize) -> Cell {
        self.cells.get(slot).copied().unwrap_or(Cell::Missing)
    }

    /// The text of a cell; for a nested one its JSON. Valid UTF-8. Empty for the other cells.
    #[inline]
    #[must_use]
    pub fn text(&self, cell: Cell) -> &'a [u8] {
        match cell {
            Cell::Text(place) | Cell::Nested(place) => place.of(self.bytes),
            Cell::Unescaped(place) => place.of(self.scratch),
            _ => &[],
        }
    }
}

impl<'a> Row<'a> {
    /// A row that was not decoded from bytes: its cells, and what their [`Cell::Unescaped`] texts are places in.
    #[must_use]
    pub fn of_cells(cells: &'a [Cell], texts: &'a [u8]) -> Self {
        Row { bytes: &[], scratch: texts, cells }
    }
}

/// Appends a text to the texts of a row and gives the cell that stands for it.
pub fn push_text(text: &str, texts: &mut Vec<u8>) -> Cell {
    let start = texts.len();
    texts.extend_from_slice(text.as_bytes());
    Cell::Unescaped(Place::new(start, texts.len()))
}

/// What turns bytes into rows.
pub trait RowDecoder {
    /// Decodes the row that begins at a position. With `last`, no bytes come behind these.
    fn decode(&mut self, bytes: &[u8], at: usize, last: bool) -> Step;
    /// What the last [`Step::Row`] found, in the same bytes.
    fn row<'a>(&'a self, bytes: &'a [u8]) -> Row<'a>;
    /// How many lines the last step ended.
    fn lines(&self) -> usize;
    /// Whether the last step left the rest of a refused row, so that what follows is no row.
    fn is_within_row(&self) -> bool;
}

/// What a decoder found at a position.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A row; the next one begins at `next`.
    Row {
        /// Where the next row begins.
        next: usize,
    },
    /// Nothing but blanks.
    Blank {
        /// Where the next row begins.
        next: usize,
    },
    /// A row that is not what it should be.
    Rejected {
        /// Where the next row begins.
        next: usize,
        /// What is wrong with it.
        reason: Reject,
    },
    /// The row goes on behind the bytes that are there.
    Incomplete,
}

/// Why a row is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// What is wrong.
    pub reason: RejectReason,
    /// At which byte of the row, counted from 1; 0 where it is the whole row.
    pub column: usize,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectReason {
    /// Not what the format allows here.
    Syntax(&'static str),
    /// Longer than the bound.
    TooLong {
        /// The bound in bytes.
        max: usize,
    },
    /// A CSV row with another number of fields than the header.
    Ragged {
        /// Fields in the header.
        expected: usize,
        /// Fields in the row.
        found: usize,
    },
}

impl Reject {
    fn syntax(reason: &'static str, column: usize) -> Self {
        Reject { reason: RejectReason::Syntax(reason), column }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            RejectReason::Syntax(reason) => f.write_str(reason)?,
            RejectReason::TooLong { max } => {
                write!(f, "longer than `max_line` ({max} bytes)")?;
            }
            RejectReason::Ragged { expected, found } => {
                write!(f, "{found} fields where the header has {expected}")?;
            }
        }
        if self.column > 0 { write!(f, " at byte {}", self.column) } else { Ok(()) }
    }
}

/// Eight bytes at a position as a word, lowest byte first; `None` near the end.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*eight))
}
