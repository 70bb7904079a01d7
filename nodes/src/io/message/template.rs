//! How an id is composed of the topic and fields.

use smollama_engine::registry::Problem;

use crate::io::rows::template::{Piece, pieces};

/// Text with parts of the topic and of the message in braces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Text(String),
    /// The whole topic.
    Topic,
    /// A level of the topic, counted from 1.
    Level(usize),
    /// What stands in a field of the message.
    Field(String),
}

impl Template {
    /// Reads one, in which `word` stands for the whole name of what brought the message.
    ///
    /// # Errors
    /// An opened brace that is not closed, none between, or level 0.
    pub fn new(text: &str, word: &str) -> Result<Template, Problem> {
        let bad = |message| {
            Problem::at("id", message)
                .help(format!("write it like \"{{{word}}}\" or \"{{2}}/{{3}}\""))
        };
        let part = |piece| match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Field(field) if field == word => Part::Topic,
            Piece::Field(field) => match field.parse() {
                Ok(level) => Part::Level(level),
                Err(_) => Part::Field(field),
            },
        };
        let parts: Vec<Part> = pieces(text).map_err(bad)?.into_iter().map(part).collect();
        if parts.contains(&Part::Level(0)) {
            return Err(bad("there is no level 0"));
        }
        Ok(Template { parts })
    }

    /// What it is made of, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The fields it needs.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field.as_str()),
            _ => None,
        })
    }
}
