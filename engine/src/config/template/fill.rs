//! `$(name)` inside one scalar.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::Budget;
use crate::config::tree::{Entry, Mapping, Node, Origin, Scalar, Value};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Span, quoted, rules};

/// A `$(name)`.
#[derive(Debug, PartialEq)]
pub(super) struct Reference<'a> {
    /// The bytes of the text that it takes.
    pub(super) range: Range<usize>,
    /// What stands in the brackets; `None` if they are not closed.
    pub(super) name: Option<&'a str>,
}

/// The references of a scalar in the order of its text. What came out of a variable, or was written `$$(`, is none.
pub(super) fn references(scalar: &Scalar) -> Vec<Reference<'_>> {
    let text = scalar.text();
    let starts: Vec<usize> = match scalar.origin.as_deref() {
        None => text.match_indices("$(").map(|(at, _)| at).collect(),
        Some(Origin::Variables { parameters, .. }) => parameters.to_vec(),
        Some(Origin::Secret(_)) => Vec::new(),
    };
    let mut found: Vec<Reference> = Vec::new();
    for start in starts {
        if found.last().is_some_and(|last| start < last.range.end) {
            continue;
        }
        let name = text.get(start + 2..).and_then(|rest| Some(&rest[..rest.find(')')?]));
        let end = name.map_or(text.len(), |name| start + name.len() + 3);
        found.push(Reference { range: start..end, name });
    }
    found
}

/// The name, if all of a scalar is one reference.
pub(super) fn whole(scalar: &Scalar) -> Option<&str> {
    match references(scalar).as_slice() {
        [one] if one.range == (0..scalar.text().len()) => one.name,
        _ => None,
    }
}

/// The part of a scalar that is meant; all of it where its text differs from what stands in the file.
pub(super) fn narrowed(scalar: &Scalar, span: Span, range: &Range<usize>) -> Span {
    let is_as_written = (span.end - span.start) as usize == scalar.text().len();
    if scalar.origin.is_some() || !is_as_written {
        return span;
    }
    let offset = |at: usize| span.start + u32::try_from(at).unwrap_or(0);
    Span { start: offset(range.start), end: offset(range.end), ..span }
}

/// That the budget is spent.
#[derive(Debug)]
pub(super) struct Spent;

/// Puts arguments into the trees of one use.
pub(super) struct Filler<'a> {
    /// The file of the template, and its places in this use.
    pub(super) from: FileId,
    pub(super) to: FileId,
    pub(super) bound: &'a BTreeMap<Arc<str>, Node>,
    pub(super) budget: &'a mut Budget,
    pub(super) diagnostics: &'a mut Diagnostics,
}

impl Filler<'_> {
    /// A place of the template in this use.
    pub(super) fn place(&self, span: Span) -> Span {
        if span.file == self.from { Span { file: self.to, ..span } } else { span }
    }

    pub(super) fn node(&mut self, node: &Node) -> Result<Node, Spent> {
        self.budget.values = self.budget.values.checked_sub(1).ok_or(Spent)?;
        let span = self.place(node.span);
        let value = match &node.value {
            Value::Scalar(scalar) => self.scalar(scalar, span)?,
            Value::Sequence(nodes) => {
                let nodes = nodes.iter().map(|node| self.node(node));
                Value::Sequence(nodes.collect::<Result<_, _>>()?)
            }
            Value::Mapping(mapping) => {
                let entries = mapping.entries().iter().map(|entry| self.entry(entry));
                Value::Mapping(Mapping::new(entries.collect::<Result<_, _>>()?))
            }
            Value::Broken => Value::Broken,
        };
        Ok(Node { span, value })
    }

    pub(super) fn entry(&mut self, entry: &Entry) -> Result<Entry, Spent> {
        let mut key = entry.key.clone();
        key.span = self.place(key.span);
        Ok(Entry { key, value: self.node(&entry.value)? })
    }

    fn scalar(&mut self, scalar: &Scalar, span: Span) -> Result<Value, Spent> {
        let references = references(scalar);
        if references.is_empty() {
            return Ok(Value::Scalar(scalar.clone()));
        }
        if let Some(name) = whole(scalar) {
            let bound = self.bound.get(name);
            return Ok(bound.map_or(Value::Broken, |node| node.value.clone()));
        }
        let mut text = String::with_capacity(scalar.text().len());
        let mut end = 0;
        for Reference { range, name } in references {
            let Some(value) = name.and_then(|name| self.bound.get(name)).map(|node| &node.value)
            else {
                return Ok(Value::Broken);
            };
            let value = match value {
                Value::Scalar(value) if value.secret().is_none() => value,
                Value::Scalar(_) => {
                    let message = format!(
                        "{} is a secret and cannot stand inside other text",
                        quoted(name.unwrap_or_default())
                    );
                    let error = Diagnostic::error(&rules::BAD_ARGUMENT, span, message);
                    self.diagnostics.push(error.help("let `$(...)` stand alone"));
                    return Ok(Value::Broken);
                }
                _ => return Ok(Value::Broken),
            };
            self.budget.bytes = self.budget.bytes.checked_sub(value.text().len()).ok_or(Spent)?;
            text.push_str(scalar.text().get(end..range.start).unwrap_or(""));
            text.push_str(value.text());
            end = range.end;
        }
        text.push_str(scalar.text().get(end..).unwrap_or(""));
        let written = scalar.written().unwrap_or(scalar.text()).into();
        let origin = Origin::Variables { written, parameters: Box::default() };
        Ok(Value::Scalar(Scalar {
            text: text.into(),
            style: scalar.style(),
            origin: Some(Arc::new(origin)),
        }))
    }
}
