//! Lists, mappings and enums, each giving serde what has not been left out.

use serde::de::{self, DeserializeSeed, IntoDeserializer as _, Visitor, value::StrDeserializer};

use super::{
    error::Error,
    session::child,
    value::{At, Name},
};
use crate::{
    config::tree::{Entry, Key, Node, Scalar, Style, Value},
    diagnostic::{Diagnostic, one_of, quoted, rules},
};

/// The entries of a mapping with what lies under them; of nothing, none.
pub(super) struct Entries<'a> {
    at: At<'a>,
    entries: &'a [Entry],
    next: usize,
}

impl<'a> Entries<'a> {
    pub(super) fn of(at: &At<'a>) -> Self {
        let entries = at.node.as_mapping().map_or(&[][..], |mapping| mapping.entries());
        Self { at: *at, entries, next: 0 }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a Entry, At<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.get(self.next)?;
        let path = child(self.at.path, self.next);
        self.next += 1;
        Some((entry, self.at.under(entry, path)))
    }
}

pub(super) struct MapAccess<'a> {
    entries: Entries<'a>,
    known: Option<&'static [&'static str]>,
    value: Option<At<'a>>,
}

impl<'a> MapAccess<'a> {
    /// With `known`, entries of other keys are passed over.
    pub(super) fn new(at: At<'a>, known: Option<&'static [&'static str]>) -> Self {
        Self { entries: Entries::of(&at), known, value: None }
    }
}

impl<'de> de::MapAccess<'de> for MapAccess<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let known = self.known;
        let next = self.entries.find(|(entry, at)| {
            known.is_none_or(|known| known.contains(&&*entry.key.text))
                && !at.session.is_left_out(at.path)
        });
        let Some((entry, value)) = next else { return Ok(None) };
        self.value = Some(value);
        if self.known.is_some() {
            let text: StrDeserializer<'_, Error> = entry.key.text.as_ref().into_deserializer();
            return seed.deserialize(text).map(Some);
        }
        let node = key_node(&entry.key);
        let name = Name::KeyItself(&entry.key.text);
        let key = At { node: &node, key: entry.key.span, name, ..value };
        seed.deserialize(key).map(Some).map_err(|error| leave_out(&value, key.locate(error)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(at) = self.value.take() else {
            return Err(Error::raised(&rules::BAD_VALUE, "a value was asked for before its key"));
        };
        seed.deserialize(at).map_err(|error| leave_out(&at, at.locate(error)))
    }
}

/// A key read as a value: keys may be globs, numbers or words of an enum.
fn key_node(key: &Key) -> Node {
    let scalar = Scalar { text: key.text.clone(), style: Style::Plain, origin: None };
    Node { span: key.span, value: Value::Scalar(scalar) }
}

fn leave_out(at: &At<'_>, error: Error) -> Error {
    match error {
        Error::Reported => {
            at.session.leave_out(at.path);
            Error::LeftOut
        }
        other => other,
    }
}

pub(super) struct ListAccess<'a> {
    at: At<'a>,
    elements: &'a [Node],
    next: usize,
    /// Whether the list may do without an element; a tuple may not.
    skips: bool,
}

impl<'a> ListAccess<'a> {
    pub(super) fn new(at: At<'a>, skips: bool) -> Self {
        Self { at, elements: at.node.as_sequence().unwrap_or_default(), next: 0, skips }
    }
}

impl<'de> de::SeqAccess<'de> for ListAccess<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        while let Some(element) = self.elements.get(self.next) {
            let at = self.at.element(element, child(self.at.path, self.next));
            self.next += 1;
            if self.skips && at.session.is_left_out(at.path) {
                continue;
            }
            return seed.deserialize(at).map(Some).map_err(|error| match at.locate(error) {
                error if self.skips => leave_out(&at, error),
                error => error,
            });
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len() - self.next)
    }
}

/// File, start, end, value.
pub(super) struct SpannedAccess<'a> {
    at: At<'a>,
    next: u8,
}

impl<'a> SpannedAccess<'a> {
    pub(super) fn new(at: At<'a>) -> Self {
        Self { at, next: 0 }
    }
}

impl<'de> de::SeqAccess<'de> for SpannedAccess<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let span = self.at.node.span;
        self.next += 1;
        match self.next {
            1 => seed.deserialize(span.file.index().into_deserializer()).map(Some),
            2 => seed.deserialize(span.start.into_deserializer()).map(Some),
            3 => seed.deserialize(span.end.into_deserializer()).map(Some),
            4 => seed.deserialize(self.at).map(Some),
            _ => Ok(None),
        }
    }
}

/// Reference, value.
pub(super) struct SecretAccess<'a> {
    parts: [&'a str; 2],
    next: usize,
}

impl<'a> SecretAccess<'a> {
    pub(super) fn new(scalar: &'a Scalar) -> Self {
        Self { parts: scalar.as_secret(), next: 0 }
    }
}

impl<'de> de::SeqAccess<'de> for SecretAccess<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(part) = self.parts.get(self.next) else { return Ok(None) };
        self.next += 1;
        seed.deserialize((*part).into_deserializer()).map(Some)
    }
}

/// A word, or a mapping whose one key is a word.
pub(super) struct EnumAccess<'a> {
    word: &'a str,
    at: At<'a>,
    /// What stands under the word.
    content: Option<At<'a>>,
}

impl<'a> EnumAccess<'a> {
    pub(super) fn new(at: At<'a>, words: &'static [&'static str]) -> Result<Self, Error> {
        let expected = one_of(words.iter().copied());
        let (word, span, content) = match &at.node.value {
            Value::Scalar(scalar) if scalar.secret().is_none() && !scalar.is_null() => {
                (scalar.text(), at.node.span, None)
            }
            Value::Mapping(_) => {
                let mut entries = Entries::of(&at);
                match (entries.next(), entries.next()) {
                    (Some((entry, content)), None) => {
                        (&*entry.key.text, entry.key.span, Some(content))
                    }
                    (Some(_), Some((second, _))) => {
                        let message =
                            format!("{} takes one of {expected} and nothing beside it", at.name);
                        at.session.report(
                            Diagnostic::error(&rules::BAD_VALUE, second.key.span, message)
                                .label("a second key"),
                        );
                        return Err(Error::Reported);
                    }
                    (None, _) => return Err(at.wrong_type(&expected)),
                }
            }
            _ => return Err(at.wrong_type(&expected)),
        };
        if words.contains(&word) {
            return Ok(Self { word, at, content });
        }
        let message = format!("{} takes {expected}, found {}", at.name, quoted(word));
        let error = Diagnostic::error(&rules::UNKNOWN_VALUE, span, message);
        at.session.report(error.did_you_mean(word, words.iter().copied()));
        Err(Error::Reported)
    }

    /// What stands under the word; a word alone is as good as `word: {}`.
    fn with_content<T>(self, read: impl FnOnce(At<'_>) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(content) = self.content {
            return read(content).map_err(|error| content.locate(error));
        }
        let nothing =
            Node { span: self.at.node.span, value: Value::Scalar(Scalar::new("", Style::Plain)) };
        let name = Name::Key(self.word);
        let at = At { node: &nothing, key: self.at.node.span, name, ..self.at };
        read(at).map_err(|error| at.locate(error))
    }
}

impl<'de> de::EnumAccess<'de> for EnumAccess<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let word: StrDeserializer<'_, Error> = self.word.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for EnumAccess<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            None => Ok(()),
            Some(content) if content.node.is_null() => Ok(()),
            Some(content)
                if content.node.as_mapping().is_some_and(|mapping| mapping.is_empty()) =>
            {
                Ok(())
            }
            Some(content) => Err(content.locate(content.wrong_type("nothing"))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.with_content(|at| seed.deserialize(at))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.with_content(|at| de::Deserializer::deserialize_tuple(at, len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.with_content(|at| at.fields(fields, visitor))
    }
}
