//! Places in files: how far they were read, and what a file is known again by.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use smollama_engine::node::Position;

use crate::fnv::{fnv1a, fnv1a_more};

/// How many bytes of the beginning, and of those before the place, a file is known again by.
const HEAD: usize = 256;
const TAIL: usize = 64;

/// How far a file was read, with what lies there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The first byte not read.
    pub(super) offset: u64,
    /// Lines that lie behind.
    pub(super) line: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Place {
    /// Goes on by some bytes.
    pub(super) fn pass(&mut self, bytes: &[u8], lines: u64) {
        let of_head = bytes.len().min(HEAD - self.head.len());
        self.head.extend_from_slice(bytes.get(..of_head).unwrap_or_default());
        let of_tail = bytes.len().saturating_sub(TAIL);
        self.tail.extend_from_slice(bytes.get(of_tail..).unwrap_or_default());
        let old = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..old);
        self.offset += bytes.len() as u64;
        self.line += lines;
    }

    /// The place at an offset of a file; `None` where the file does not go so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn of(file: &File, offset: u64, line: u64) -> io::Result<Option<Place>> {
        let head = usize::try_from(offset).unwrap_or(usize::MAX).min(HEAD);
        let tail = usize::try_from(offset).unwrap_or(usize::MAX).min(TAIL);
        let before_tail = offset - tail as u64;
        let (mut head, mut tail) = (vec![0; head], vec![0; tail]);
        let read = file
            .read_exact_at(&mut head, 0)
            .and_then(|()| file.read_exact_at(&mut tail, before_tail));
        match read {
            Ok(()) => Ok(Some(Place { offset, line, head, tail })),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a file holds the same up to this place, as far as one looks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn is_in(&self, file: &File) -> io::Result<bool> {
        Ok(Place::of(file, self.offset, self.line)?.is_some_and(|there| there == *self))
    }

    /// What lies there, as a number.
    pub(super) fn print(&self) -> u64 {
        fnv1a_more(fnv1a(&self.head), &self.tail)
    }
}

/// A place as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The file, as the user would write it.
    pub(super) shown: String,
    /// What a file that was renamed is found by.
    pub(super) inode: u64,
    pub(super) offset: u64,
    pub(super) line: u64,
    /// What lies before the place; of a file that is rewritten, all of it.
    pub(super) print: u64,
}

/// The places in all files, as one position.
pub(super) fn position(places: &[Saved]) -> Position {
    let of = |one: &Saved| (one.shown.clone(), one.inode, one.offset, one.line, one.print);
    let all: Vec<_> = places.iter().map(of).collect();
    // Texts and numbers always become JSON.
    let part = serde_json::to_string(&all).unwrap_or_default();
    Position { part, offset: 0, line: 0 }
}

/// What [`position`] was made of.
///
/// # Errors
/// It was made by another source.
pub(super) fn places(position: &Position) -> Result<Vec<Saved>, String> {
    let all: Vec<(String, u64, u64, u64, u64)> = serde_json::from_str(&position.part)
        .map_err(|error| format!("its position says no places in files: {error}"))?;
    let of = |(shown, inode, offset, line, print)| Saved { shown, inode, offset, line, print };
    Ok(all.into_iter().map(of).collect())
}
