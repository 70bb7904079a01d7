//! The general scan of one JSON line: checks all of its syntax, finds the wanted fields, and notes what a shape is made
//! of.

use super::shape::Learned;
use crate::io::rows::number::{BadNumber, json_number};
use crate::io::rows::path::{NONE, PathTree, ROOT};
use crate::io::rows::text::json_string;
use crate::io::rows::{Cell, Place, Reject};

/// How deep objects and arrays may lie in each other; the same bound as serde_json's.
pub(super) const MAX_DEPTH: usize = 127;

pub(super) struct Scan<'a> {
    /// Up to the end of the line.
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    tree: &'a PathTree,
    cells: &'a mut [Cell],
    scratch: &'a mut Vec<u8>,
    learned: &'a mut Learned,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        at: usize,
        tree: &'a PathTree,
        cells: &'a mut [Cell],
        scratch: &'a mut Vec<u8>,
        learned: &'a mut Learned,
    ) -> Self {
        Scan { bytes, at, depth: 0, tree, cells, scratch, learned }
    }

    /// The whole line: one object and blanks around it.
    pub(super) fn line(&mut self) -> Result<(), Reject> {
        if self.skip_blanks() != Some(b'{') {
            return Err(self.bad("not a JSON object"));
        }
        self.object(ROOT)?;
        if self.skip_blanks().is_some() {
            Err(self.bad("more than one JSON value"))
        } else {
            Ok(())
        }
    }

    fn bad(&self, reason: &'static str) -> Reject {
        Reject::syntax(reason, self.at + 1)
    }

    fn skip_blanks(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn object(&mut self, node: u16) -> Result<(), Reject> {
        self.enter()?;
        let mut first = true;
        loop {
            match (self.skip_blanks(), first) {
                (Some(b'}'), true) => break,
                (Some(b'"'), _) => {}
                _ => return Err(self.bad("no key where one must stand")),
            }
            first = false;
            let child = self.key(node)?;
            if self.skip_blanks() != Some(b':') {
                return Err(self.bad("no `:` behind a key"));
            }
            self.at += 1;
            self.value(child)?;
            match self.skip_blanks() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.bad("neither `,` nor `}` behind a value")),
            }
        }
        self.leave();
        Ok(())
    }

    /// Reads a key and gives the wanted node that it leads to.
    fn key(&mut self, node: u16) -> Result<u16, Reject> {
        let before = self.scratch.len();
        let (key, end) = json_string(self.bytes, self.at + 1, self.scratch)?;
        self.at = end;
        if node == NONE {
            self.scratch.truncate(before);
            return Ok(NONE);
        }
        let key = match key {
            Cell::Unescaped(place) => place.of(self.scratch),
            Cell::Text(place) => place.of(self.bytes),
            _ => &[],
        };
        let child = self.tree.child(node, key).unwrap_or(NONE);
        self.scratch.truncate(before);
        if child != NONE && self.learned.saw(child) {
            self.forget(child);
        }
        Ok(child)
    }

    /// A key stands a second time: what stood below the first one counts no more.
    fn forget(&mut self, node: u16) {
        let end = self.tree.nodes[usize::from(node)].end;
        for below in node..end {
            self.learned.unsee(below, node);
            let slot = usize::from(self.tree.nodes[usize::from(below)].slot);
            if let Some(cell) = self.cells.get_mut(slot) {
                *cell = Cell::Missing;
            }
        }
    }

    fn array(&mut self) -> Result<(), Reject> {
        self.enter()?;
        if self.skip_blanks() == Some(b']') {
            self.leave();
            return Ok(());
        }
        loop {
            self.value(NONE)?;
            match self.skip_blanks() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.bad("neither `,` nor `]` behind a value")),
            }
        }
        self.leave();
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Reject> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.bad("nested too deeply"));
        }
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    fn value(&mut self, node: u16) -> Result<(), Reject> {
        let first = self.skip_blanks();
        let slot = self.tree.nodes.get(usize::from(node)).map_or(NONE, |node| node.slot);
        let start = self.at;
        let cell = match first {
            Some(b'{' | b'[') => {
                let mark = self.learned.open(slot, start);
                if first == Some(b'{') {
                    self.object(node)?
                } else {
                    self.array()?
                }
                self.learned.close(mark, self.at);
                Cell::Nested(Place::new(start, self.at))
            }
            _ => {
                let (cell, end) = scalar(self.bytes, start, self.scratch)?;
                self.at = end;
                self.learned.scalar(slot, start, end);
                cell
            }
        };
        if let Some(wanted) = self.cells.get_mut(usize::from(slot)) {
            *wanted = cell;
        }
        Ok(())
    }
}

/// Reads the string, number, true, false or null at a position and says where it ends.
#[inline]
pub(super) fn scalar(
    bytes: &[u8],
    at: usize,
    scratch: &mut Vec<u8>,
) -> Result<(Cell, usize), Reject> {
    let Some(&first) = bytes.get(at) else {
        return Err(Reject::syntax("no value where one must stand", at + 1));
    };
    if first == b'"' {
        return json_string(bytes, at + 1, scratch);
    }
    if first == b'-' || first.is_ascii_digit() {
        return json_number(bytes, at).map_err(|bad| match bad {
            BadNumber::Syntax(at) => Reject::syntax("not a number as JSON writes them", at + 1),
            BadNumber::TooLarge => Reject::syntax("a number too large for any type", at + 1),
        });
    }
    word_value(bytes, at)
}

fn word_value(bytes: &[u8], at: usize) -> Result<(Cell, usize), Reject> {
    let rest = bytes.get(at..).unwrap_or_default();
    let words: [(&[u8], Cell); 3] =
        [(b"true", Cell::Bool(true)), (b"false", Cell::Bool(false)), (b"null", Cell::Null)];
    let found = words.into_iter().find(|(word, _)| rest.starts_with(word));
    let (word, cell) =
        found.ok_or_else(|| Reject::syntax("no value where one must stand", at + 1))?;
    Ok((cell, at + word.len()))
}
