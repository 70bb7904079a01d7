//! How a source's name is composed of fields.

use smollama_engine::registry::Problem;

use crate::io::rows::template::{Piece, pieces};

/// Text with fields in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// What stands in a field of the row.
    Field(String),
    /// The name of the column the value stands in.
    Column,
    /// The name of the file, without extension.
    File,
}

impl Template {
    /// # Errors
    /// An opened brace that is not closed, or none between.
    pub(super) fn new(text: &str) -> Result<Self, Problem> {
        let bad =
            |message| Problem::at("source", message).help("write it like \"{building}/{room}\"");
        let part = |piece| match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Field(field) if field == "column" => Part::Column,
            Piece::Field(field) if field == "file" => Part::File,
            Piece::Field(field) => Part::Field(field),
        };
        Ok(Template { parts: pieces(text).map_err(bad)?.into_iter().map(part).collect() })
    }
}
