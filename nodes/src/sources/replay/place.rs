//! Places in recordings, as the engine keeps them.

use smollama_engine::node::Position;

use super::files::Recording;

/// A place in a file, and what the file is known again by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) line: u64,
    pub(super) fingerprint: u64,
}

impl Place {
    /// Behind all of a file, however long it is: it was given up.
    const THROUGH: Place = Place { offset: u64::MAX, line: 0, fingerprint: 0 };

    /// Behind all of a file.
    pub(super) fn through(recording: &Recording) -> Position {
        Place::THROUGH.position(recording)
    }

    pub(super) fn is_through(self) -> bool {
        self == Place::THROUGH
    }

    /// `data/air.csv@00f3a6c0911d25be`: by its name alone a file would not be known again.
    pub(super) fn position(self, recording: &Recording) -> Position {
        let Place { offset, line, fingerprint } = self;
        Position { part: format!("{}@{fingerprint:016x}", recording.shown), offset, line }
    }

    /// The file's name, and the place in it.
    pub(super) fn parse(position: &Position) -> Option<(&str, Place)> {
        let (shown, fingerprint) = position.part.rsplit_once('@')?;
        let fingerprint = u64::from_str_radix(fingerprint, 16).ok()?;
        Some((shown, Place { offset: position.offset, line: position.line, fingerprint }))
    }
}
