//! The shape of a line: all that stands between its scalars, and which scalars are wanted.

use super::scan::scalar;
use crate::io::rows::path::NONE;
use crate::io::rows::{Cell, Place};

/// Lines with more scalars than this get no shape: what it would save is small beside the values themselves.
const MAX_SCALARS: usize = 512;
/// Nor do lines with more bytes between the scalars.
const MAX_BETWEEN: usize = 16 << 10;

/// What the general scan notes about a line.
#[derive(Debug, Default)]
pub(super) struct Learned {
    seen: Vec<bool>,
    twice: bool,
    scalars: Vec<(u16, Place)>,
    nested: Vec<(u16, Place)>,
}

impl Learned {
    pub(super) fn clear(&mut self, nodes: usize) {
        self.seen.clear();
        self.seen.resize(nodes, false);
        self.twice = false;
        self.scalars.clear();
        self.nested.clear();
    }

    /// Notes a wanted key, and says whether it was there before.
    pub(super) fn saw(&mut self, node: u16) -> bool {
        let seen = self.seen.get_mut(usize::from(node));
        seen.is_some_and(|seen| std::mem::replace(seen, true))
    }

    /// What lies below a key that came a second time may come again. Such a line gives no shape.
    pub(super) fn unsee(&mut self, below: u16, node: u16) {
        self.twice = true;
        if let Some(seen) = self.seen.get_mut(usize::from(below)) {
            *seen = below == node;
        }
    }

    pub(super) fn scalar(&mut self, slot: u16, start: usize, end: usize) {
        if self.scalars.len() <= MAX_SCALARS {
            self.scalars.push((slot, Place::new(start, end)));
        }
    }

    /// A wanted object or array begins; gives what [`Learned::close`] needs.
    pub(super) fn open(&mut self, slot: u16, start: usize) -> Option<usize> {
        if slot == NONE {
            return None;
        }
        self.nested.push((slot, Place::new(start, start)));
        Some(self.nested.len() - 1)
    }

    pub(super) fn close(&mut self, mark: Option<usize>, end: usize) {
        if let Some((_, place)) = mark.and_then(|mark| self.nested.get_mut(mark)) {
            place.end = end as u32;
        }
    }
}

/// The shape of a line.
#[derive(Debug)]
pub(super) struct Shape {
    steps: Vec<ShapeStep>,
    /// From behind the last scalar to the end of the line, its newline included.
    tail: Between,
    /// Wanted objects and arrays.
    nested: Vec<NestedPlace>,
    /// Where each stretch between scalars began in the line at hand; kept only if there are wanted objects or arrays.
    starts: Vec<u32>,
    /// The wanted fields that such a line does not have.
    missing: Vec<u16>,
    fits: u32,
}

#[derive(Debug, PartialEq)]
struct ShapeStep {
    before: Between,
    slot: u16,
}

/// What stands before, between or behind scalars.
#[derive(Debug, PartialEq)]
struct Between {
    /// The first up to 16 bytes, lowest first, and which bits of them count.
    head: u128,
    mask: u128,
    length: usize,
    /// What goes on behind the first 16 bytes; mostly nothing.
    rest: Box<[u8]>,
}

/// A wanted object or array: in which stretch and how far in it begins and ends.
#[derive(Debug)]
struct NestedPlace {
    slot: u16,
    start: (u16, u32),
    end: (u16, u32),
}

impl Shape {
    /// The shape of the line from `at` to `next`; `None` where it has no use.
    pub(super) fn new(
        learned: &Learned,
        bytes: &[u8],
        at: usize,
        next: usize,
        slots: usize,
    ) -> Option<Shape> {
        if learned.twice
            || learned.scalars.len() > MAX_SCALARS
            || bytes.get(next - 1) != Some(&b'\n')
        {
            return None;
        }
        let mut stretches = Vec::with_capacity(learned.scalars.len() + 1);
        let mut from = at;
        for (_, place) in &learned.scalars {
            stretches.push((from, place.start as usize));
            from = place.end as usize;
        }
        stretches.push((from, next));
        if stretches.iter().map(|(start, end)| end - start).sum::<usize>() > MAX_BETWEEN {
            return None;
        }
        let mut between: Vec<Between> = stretches
            .iter()
            .map(|&(start, end)| Between::new(bytes.get(start..end).unwrap_or_default()))
            .collect();
        let tail = between.pop()?;
        let steps = between.into_iter().zip(&learned.scalars);
        let steps = steps.map(|(before, &(slot, _))| ShapeStep { before, slot }).collect();
        let locate = |at: u32, is_end: bool| {
            // A place is counted from the stretch it lies in; an end from the one it closes.
            let index =
                stretches.partition_point(|&(start, _)| start < at as usize + usize::from(!is_end));
            let index = index.checked_sub(1)?;
            Some((index as u16, at - stretches.get(index)?.0 as u32))
        };
        let nested = learned.nested.iter().map(|&(slot, place)| {
            Some(NestedPlace {
                slot,
                start: locate(place.start, false)?,
                end: locate(place.end, true)?,
            })
        });
        let nested = nested.collect::<Option<Vec<_>>>()?;
        let filled = |slot: &u16| {
            learned.scalars.iter().map(|(slot, _)| slot).any(|known| known == slot)
                || nested.iter().any(|place| place.slot == *slot)
        };
        let missing = (0..slots as u16).filter(|slot| !filled(slot)).collect();
        Some(Shape { steps, tail, nested, starts: Vec::new(), missing, fits: 0 })
    }

    /// Whether the same lines fit.
    pub(super) fn same(&self, other: &Shape) -> bool {
        self.steps == other.steps && self.tail == other.tail
    }

    /// How many lines fitted.
    pub(super) fn fits(&self) -> u32 {
        self.fits
    }

    /// Fills the cells from the line that begins at a position, if it has this shape, and says where the next begins.
    /// The cells mean nothing if it does not.
    #[inline]
    pub(super) fn fit(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        cells: &mut [Cell],
        scratch: &mut Vec<u8>,
    ) -> Option<usize> {
        let nested = !self.nested.is_empty();
        self.starts.clear();
        for step in &self.steps {
            if nested {
                self.starts.push(at as u32);
            }
            at = step.before.pass(bytes, at)?;
            let (cell, end) = scalar(bytes, at, scratch).ok()?;
            at = end;
            if let Some(wanted) = cells.get_mut(usize::from(step.slot)) {
                *wanted = cell;
            }
        }
        if nested {
            self.starts.push(at as u32);
            self.place_nested(cells);
        }
        for &slot in &self.missing {
            if let Some(cell) = cells.get_mut(usize::from(slot)) {
                *cell = Cell::Missing;
            }
        }
        let next = self.tail.pass(bytes, at)?;
        self.fits = self.fits.saturating_add(1);
        Some(next)
    }

    fn place_nested(&self, cells: &mut [Cell]) {
        let find = |(stretch, inside): (u16, u32)| {
            self.starts.get(usize::from(stretch)).map_or(0, |start| start + inside)
        };
        for NestedPlace { slot, start, end } in &self.nested {
            if let Some(cell) = cells.get_mut(usize::from(*slot)) {
                *cell = Cell::Nested(Place { start: find(*start), end: find(*end) });
            }
        }
    }
}

impl Between {
    fn new(text: &[u8]) -> Self {
        let mut head = [0; 16];
        let mut mask = [0; 16];
        for ((head, mask), byte) in head.iter_mut().zip(&mut mask).zip(text) {
            (*head, *mask) = (*byte, 0xFF);
        }
        let rest = text.get(16..).unwrap_or_default().into();
        let (head, mask) = (u128::from_le_bytes(head), u128::from_le_bytes(mask));
        Between { head, mask, length: text.len(), rest }
    }

    /// The position behind it, if it stands at this one.
    #[inline]
    fn pass(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let here = bytes.get(at..)?;
        let first = u128::from_le_bytes(*here.first_chunk::<16>()?);
        if (first ^ self.head) & self.mask != 0 {
            return None;
        }
        if !self.rest.is_empty() && !here.get(16..)?.starts_with(&self.rest) {
            return None;
        }
        Some(at + self.length)
    }
}
