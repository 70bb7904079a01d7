//! JSON lines: each line one object.
//!
//! Lines of one file mostly have one shape: the same keys in the same order with the same blanks, and only the scalars
//! differ. So a line is first held against the [`Shape`]s of earlier lines, which compares all between two scalars at
//! once and so needs no look-up by name; what fits is valid because the earlier line was. Any other line goes through
//! the general scan, which checks the whole of its syntax and may give its shape for those that follow.
//!
//! What serde_json refuses is refused here, and what it accepts is accepted, if it is an object. Of a key that stands
//! twice the last one counts.

mod leaves;
mod scan;
mod shape;
#[cfg(test)]
mod tests;

pub use leaves::{Leaves, TakeLeaf, entries};
use scan::Scan;
use shape::{Learned, Shape};

use super::path::{Fields, PathTree};
use super::{Cell, Reject, RejectReason, Row, RowDecoder, Step};

/// How many shapes are remembered: a file with a few kinds of lines has one for each.
const SHAPES: usize = 4;
/// A shape that fitted fewer lines than this before it was forgotten was not worth learning.
const WORTH: u32 = 8;
/// The most lines between two lessons, for files whose lines never repeat a shape.
const MAX_PAUSE: u32 = 1024;

/// Decodes JSON lines into the cells of the wanted fields.
#[derive(Debug)]
pub struct JsonLines {
    tree: PathTree,
    cells: Vec<Cell>,
    scratch: Vec<u8>,
    learned: Learned,
    shapes: Vec<Shape>,
    /// The shape that fitted last.
    latest: usize,
    /// The next shape to be forgotten.
    oldest: usize,
    pause: u32,
    wait: u32,
    /// Within a line that was refused before all of it was there.
    skipping: bool,
    lines: usize,
    max_line: usize,
}

impl RowDecoder for JsonLines {
    #[inline]
    fn decode(&mut self, bytes: &[u8], at: usize, last: bool) -> Step {
        if self.skipping {
            return self.skip(bytes, at);
        }
        self.lines = 1;
        self.scratch.clear();
        let Self { shapes, latest, cells, scratch, .. } = self;
        if let Some(shape) = shapes.get_mut(*latest)
            && let Some(next) = shape.fit(bytes, at, cells, scratch)
            && next - at <= self.max_line
        {
            return Step::Row { next };
        }
        self.decode_other(bytes, at, last)
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

impl JsonLines {
    /// A decoder of these fields, that refuses lines of more than `max_line` bytes.
    #[must_use]
    pub fn new(fields: &Fields, max_line: usize) -> Self {
        JsonLines {
            tree: PathTree::new(fields),
            cells: vec![Cell::Missing; fields.names().len()],
            scratch: Vec::new(),
            learned: Learned::default(),
            shapes: Vec::new(),
            latest: 0,
            oldest: 0,
            pause: 1,
            wait: 0,
            skipping: false,
            lines: 0,
            max_line,
        }
    }

    /// Goes on to the end of a refused line, whose number was counted already.
    #[cold]
    fn skip(&mut self, bytes: &[u8], at: usize) -> Step {
        self.lines = 0;
        if at >= bytes.len() {
            return Step::Incomplete;
        }
        let newline = memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default());
        self.skipping = newline.is_none();
        Step::Blank { next: newline.map_or(bytes.len(), |length| at + length + 1) }
    }

    /// A line that does not look like the one before it.
    #[cold]
    fn decode_other(&mut self, bytes: &[u8], at: usize, last: bool) -> Step {
        let rest = bytes.get(at..).unwrap_or_default();
        let (length, next) = match memchr::memchr(b'\n', rest) {
            Some(length) => (length, at + length + 1),
            None if last => (rest.len(), bytes.len()),
            None if rest.len() > self.max_line => {
                self.skipping = true;
                (rest.len(), bytes.len())
            }
            None => return Step::Incomplete,
        };
        if length > self.max_line {
            let reason = RejectReason::TooLong { max: self.max_line };
            return Step::Rejected { next, reason: Reject { reason, column: 0 } };
        }
        let line = rest.get(..length).unwrap_or_default();
        if line.iter().all(|byte| b" \t\r".contains(byte)) {
            return Step::Blank { next };
        }
        for index in 0..self.shapes.len() {
            self.scratch.clear();
            let Some(shape) = self.shapes.get_mut(index).filter(|_| index != self.latest) else {
                continue;
            };
            if shape.fit(bytes, at, &mut self.cells, &mut self.scratch) == Some(next) {
                self.latest = index;
                return Step::Row { next };
            }
        }
        match self.scan(bytes, at, at + length) {
            Ok(()) => {
                self.learn(bytes, at, next);
                Step::Row { next }
            }
            Err(mut reason) => {
                reason.column = reason.column.saturating_sub(at);
                Step::Rejected { next, reason }
            }
        }
    }

    fn scan(&mut self, bytes: &[u8], start: usize, end: usize) -> Result<(), Reject> {
        self.scratch.clear();
        self.cells.fill(Cell::Missing);
        self.learned.clear(self.tree.nodes.len());
        let bytes = bytes.get(..end).unwrap_or_default();
        Scan::new(bytes, start, &self.tree, &mut self.cells, &mut self.scratch, &mut self.learned)
            .line()
    }

    fn learn(&mut self, bytes: &[u8], at: usize, next: usize) {
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        let Some(shape) = Shape::new(&self.learned, bytes, at, next, self.cells.len()) else {
            return;
        };
        // Near the end of the bytes even a line of a known shape comes here.
        if let Some(known) = self.shapes.iter().position(|known| known.same(&shape)) {
            self.latest = known;
        } else if self.shapes.len() < SHAPES {
            self.latest = self.shapes.len();
            self.shapes.push(shape);
        } else if let Some(place) = self.shapes.get_mut(self.oldest) {
            self.pause = if place.fits() < WORTH { (self.pause * 2).min(MAX_PAUSE) } else { 1 };
            self.wait = self.pause;
            *place = shape;
            self.latest = self.oldest;
            self.oldest = (self.oldest + 1) % SHAPES;
        }
    }
}
