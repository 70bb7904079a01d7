//! Items on their way out, each with the text that goes out of it.

use std::ops::Range;
use std::sync::Arc;

use smollama_engine::batch::{ItemKind, Items};
use smollama_engine::context::Host;
use smollama_engine::json;
use smollama_engine::registry::Problem;

use super::settings::Body;
use crate::io::template::{Template, fields};

/// How items become a body.
#[derive(Debug)]
pub(super) struct Form {
    host: Arc<Host>,
    body: Body,
    template: Option<Template>,
    scratch: Vec<u8>,
}

/// Items of one kind, in order.
#[derive(Debug)]
pub(super) struct Held {
    items: Items,
    /// Of each its number in the stream, and where its text ends.
    numbers: Vec<u64>,
    ends: Vec<usize>,
    texts: Vec<u8>,
}

impl Form {
    /// # Errors
    /// The body is a template that cannot be read.
    pub(super) fn new(host: Arc<Host>, body: Body) -> Result<Form, Problem> {
        let template = match &body {
            Body::Template(text) => Some(Template::new("body.template", text)?),
            Body::JsonLines | Body::Json => None,
        };
        Ok(Form { host, body, template, scratch: Vec::new() })
    }

    /// Appends the text of an item, which ends with what separates it from the next.
    fn write(&mut self, items: &Items, index: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let Form { host, body, template, scratch, .. } = self;
        if let Some(template) = template {
            scratch.clear();
            json::write_item(items, index, &host.series, scratch);
            template.render(&fields(items, index, scratch, &host.name), out)?;
        } else {
            json::write_item(items, index, &host.series, out);
        }
        out.push(if *body == Body::Json { b',' } else { b'\n' });
        Ok(())
    }

    /// These texts as one.
    pub(super) fn body(&self, texts: &[u8]) -> Vec<u8> {
        // A template decides about its last line break itself.
        let whole = match self.body {
            Body::JsonLines => texts,
            Body::Json | Body::Template(_) => {
                texts.get(..texts.len().saturating_sub(1)).unwrap_or_default()
            }
        };
        let [before, behind] = match self.body {
            Body::Json => [&b"["[..], b"]"],
            _ => [&b""[..], b""],
        };
        [before, whole, behind].concat()
    }
}

impl Held {
    pub(super) fn new() -> Held {
        Held {
            items: Items::none(ItemKind::Readings),
            numbers: Vec::new(),
            ends: Vec::new(),
            texts: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether items of a kind can stand behind those that are here.
    pub(super) fn takes(&self, kind: ItemKind) -> bool {
        self.is_empty() || self.items.kind() == kind
    }

    /// Takes an item of a batch, with its number.
    ///
    /// # Errors
    /// Why it has no text; then it is not here.
    pub(super) fn push(
        &mut self,
        items: &Items,
        index: usize,
        number: u64,
        form: &mut Form,
    ) -> Result<(), String> {
        let before = self.texts.len();
        if let Err(why) = form.write(items, index, &mut self.texts) {
            self.texts.truncate(before);
            return Err(why);
        }
        if self.is_empty() {
            self.items = Items::none(items.kind());
        }
        match (&mut self.items, items) {
            (Items::Readings(all), Items::Readings(from)) => all.extend(from.get(index).cloned()),
            (Items::Windows(all), Items::Windows(from)) => all.extend(from.get(index).cloned()),
            (Items::Observations(all), Items::Observations(from)) => {
                all.extend(from.get(index).cloned());
            }
            _ => {
                self.texts.truncate(before);
                return Err("it is of another kind than what waits".into());
            }
        }
        self.numbers.push(number);
        self.ends.push(self.texts.len());
        Ok(())
    }

    /// How many of the first go out at once: so many items and bytes at most, but one at least. And whether it is full.
    pub(super) fn first(&self, items: usize, bytes: usize) -> (usize, bool) {
        let by_bytes = self.ends.partition_point(|end| *end <= bytes).max(1);
        let many = items.min(by_bytes).min(self.len());
        (many, many < self.len() || many == items || self.texts.len() >= bytes)
    }

    pub(super) fn texts(&self, range: &Range<usize>) -> &[u8] {
        let end_of = |index: usize| index.checked_sub(1).and_then(|it| self.ends.get(it)).copied();
        let (start, end) = (end_of(range.start).unwrap_or(0), end_of(range.end).unwrap_or(0));
        self.texts.get(start..end).unwrap_or_default()
    }

    /// Where the texts of a range end, counted from its beginning.
    pub(super) fn ends(&self, range: &Range<usize>) -> Vec<usize> {
        let before = range.start.checked_sub(1).and_then(|last| self.ends.get(last)).copied();
        let ends = self.ends.get(range.clone()).unwrap_or_default();
        ends.iter().map(|end| end - before.unwrap_or(0)).collect()
    }

    pub(super) fn items(&self, range: Range<usize>) -> Items {
        self.items.slice(range)
    }

    /// The numbers of the first and the last of a range.
    pub(super) fn numbers(&self, range: &Range<usize>) -> (u64, u64) {
        let number = |index: usize| self.numbers.get(index).copied().unwrap_or_default();
        (number(range.start), number(range.end.saturating_sub(1)))
    }

    /// Forgets the first.
    pub(super) fn drop_first(&mut self, many: usize) {
        let many = many.min(self.len());
        let bytes = many.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        drop_front(&mut self.items, many);
        self.numbers.drain(..many);
        self.ends.drain(..many);
        self.ends.iter_mut().for_each(|end| *end -= bytes);
        self.texts.drain(..bytes);
    }

    /// Forgets all but the first.
    pub(super) fn keep_first(&mut self, many: usize) {
        match &mut self.items {
            Items::Readings(items) => items.truncate(many),
            Items::Windows(items) => items.truncate(many),
            Items::Observations(items) => items.truncate(many),
        }
        self.numbers.truncate(many);
        self.ends.truncate(many);
        self.texts.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

fn drop_front(items: &mut Items, many: usize) {
    match items {
        Items::Readings(items) => drop(items.drain(..many)),
        Items::Windows(items) => drop(items.drain(..many)),
        Items::Observations(items) => drop(items.drain(..many)),
    }
}
