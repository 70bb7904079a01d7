//! From lines to readings.

use jiff::tz::TimeZone;
use smollama_engine::context::Context;
use smollama_engine::reading::Reading;

use super::config::SocketConfig;
use crate::io::rows::form::{FormReader, Origin};
use crate::io::rows::json::JsonLines;
use crate::io::rows::path::Fields;
use crate::io::rows::{RowDecoder, Step};

/// Reads lines of all connections of a node.
pub(super) struct LineReader {
    decoder: JsonLines,
    form: FormReader,
    longest: usize,
}

/// What a line was.
pub(super) struct Line {
    /// Where the next one begins.
    pub(super) next: usize,
    /// Why it was refused, where it was.
    pub(super) refused: Option<String>,
}

impl LineReader {
    pub(super) fn new(config: &SocketConfig, context: &Context) -> LineReader {
        let mut fields = Fields::default();
        let form = FormReader::new(&mut fields, TimeZone::UTC, config.whole_sources, context);
        let longest = config.longest_line();
        LineReader { decoder: JsonLines::new(&fields, longest), form, longest }
    }

    /// How long a line may be, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Forgets the series that gave their slots back. Called before each block of lines.
    pub(super) fn refresh(&mut self) {
        self.form.refresh();
    }

    /// Reads the line that begins at a position; it must end within the bytes, or at their end.
    #[inline]
    pub(super) fn read(&mut self, bytes: &[u8], at: usize, out: &mut Vec<Reading>) -> Line {
        match self.decoder.decode(bytes, at, true) {
            Step::Row { next } => {
                let taken = self.form.take(self.decoder.row(bytes), Origin::UNKNOWN, out);
                Line { next, refused: taken.err().map(|refused| refused.to_string()) }
            }
            Step::Blank { next } => Line { next, refused: None },
            Step::Rejected { next, reason } => Line { next, refused: Some(reason.to_string()) },
            Step::Incomplete => Line { next: bytes.len(), refused: None },
        }
    }
}
