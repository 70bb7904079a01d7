//! How a source's name is composed of fields.

use smollama_engine::registry::Problem;

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
        let bad = |message: String| {
            Problem::at("source", message).help("write it like \"{building}/{room}\"")
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let (before, behind) = (&rest[..start], &rest[start + 1..]);
            let length = behind.find('}').ok_or_else(|| bad("a `{` is not closed".into()))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match &behind[..length] {
                "" => return Err(bad("there is no field between `{` and `}`".into())),
                "column" => Part::Column,
                "file" => Part::File,
                field => Part::Field(field.to_owned()),
            });
            rest = &behind[length + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() { Err(bad("it is empty".into())) } else { Ok(Template { parts }) }
    }
}
