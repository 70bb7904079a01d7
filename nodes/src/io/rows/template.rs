//! Names that settings compose of fields: `"{building}/{room}"`.

/// Text, or what stands between braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// The name of what is put here.
    Field(String),
}

/// The pieces of a template.
///
/// # Errors
/// An opened brace that is not closed, none between, or no piece at all.
pub fn pieces(text: &str) -> Result<Vec<Piece>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, behind) = (&rest[..start], &rest[start + 1..]);
        let length = behind.find('}').ok_or("a `{` is not closed")?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        match &behind[..length] {
            "" => return Err("there is no field between `{` and `}`"),
            field => pieces.push(Piece::Field(field.to_owned())),
        }
        rest = &behind[length + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    if pieces.is_empty() { Err("it is empty") } else { Ok(pieces) }
}
