//! One value as a serde `Deserializer`.

use serde::de::{self, Deserializer, Visitor};

use super::{
    access::{Entries, EnumAccess, ListAccess, MapAccess, SecretAccess, SpannedAccess},
    error::Error,
    session::{Path, Session},
};
use crate::{
    config::{
        secret, spanned,
        tree::{Entry, Key, Node, Scalar, Style, Value},
    },
    diagnostic::{Diagnostic, Span, all_of, nearest, quoted, rules},
};

/// A value, and what is needed to talk about it.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    /// The key it stands under; of an element its own place.
    pub(super) key: Span,
    pub(super) name: Name<'a>,
    pub(super) path: Path,
    pub(super) session: &'a Session,
}

/// What a value is called in messages.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    /// What is read as a whole, in the caller's words.
    Whole(&'a str),
    /// The value of a key.
    Key(&'a str),
    /// An element of the list under a key.
    Element(&'a str),
    /// A key itself.
    KeyItself(&'a str),
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(what) => f.write_str(what),
            Self::Key(key) => write!(f, "`{key}`"),
            Self::Element(key) => write!(f, "an element of `{key}`"),
            Self::KeyItself(key) => write!(f, "the key `{key}`"),
        }
    }
}

impl<'a> At<'a> {
    /// Reports an error that has no place yet at this value.
    pub(super) fn locate(&self, error: Error) -> Error {
        let (rule, message, helps) = match error {
            Error::Reported | Error::LeftOut => return error,
            Error::Missing(key) => return self.missing(key),
            Error::Raised { rule, message, helps } => (rule, message, helps),
            Error::Unexpected { rule, expected } => {
                let message =
                    format!("{} takes {expected}, found {}", self.name, self.node.describe());
                (rule, message, Vec::new())
            }
        };
        let mut diagnostic = Diagnostic::error(rule, self.place(), message);
        diagnostic.helps = helps;
        self.session.report(diagnostic);
        Error::Reported
    }

    /// Where to point: the value, or its key where nothing stands.
    fn place(&self) -> Span {
        if self.node.span.start == self.node.span.end { self.key } else { self.node.span }
    }

    fn missing(&self, key: &'static str) -> Error {
        let was_left_out = Entries::of(self)
            .any(|(entry, at)| &*entry.key.text == key && self.session.is_left_out(at.path));
        if !was_left_out {
            let message = format!("the key `{key}` is missing in {}", self.name);
            let error = Diagnostic::error(&rules::MISSING_KEY, self.key, message);
            self.session.report(error.help(format!("add `{key}: ...`")));
        }
        Error::Reported
    }

    /// The error of a value that is something else than what its field takes.
    pub(super) fn wrong_type(&self, expected: &str) -> Error {
        if matches!(self.node.value, Value::Broken) {
            return Error::Reported;
        }
        if let Some(secret) = self.node.as_scalar().and_then(Scalar::secret) {
            let message = format!(
                "{} is shown in plans and logs and cannot hold the secret `{secret}`",
                self.name
            );
            return Error::raised(&rules::SECRET_SHOWN, message)
                .with_help("use `${NAME}` if the value is no secret");
        }
        let message = format!("{} takes {expected}, found {}", self.name, self.node.describe());
        Error::raised(&rules::WRONG_TYPE, message)
    }

    /// The scalar, unless it is a secret.
    pub(super) fn scalar(&self, expected: &str) -> Result<&'a Scalar, Error> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.secret().is_none() => Ok(scalar),
            _ => Err(self.wrong_type(expected)),
        }
    }

    /// The value under an entry of this mapping.
    pub(super) fn under(&self, entry: &'a Entry, path: Path) -> Self {
        let name = Name::Key(&entry.key.text);
        Self { node: &entry.value, key: entry.key.span, name, path, session: self.session }
    }

    pub(super) fn element(&self, node: &'a Node, path: Path) -> Self {
        let name = match self.name {
            Name::Key(key) | Name::Element(key) => Name::Element(key),
            other => other,
        };
        Self { node, key: node.span, name, path, session: self.session }
    }

    fn unknown_key(&self, key: &Key, known: &[&str]) -> Diagnostic {
        let message = format!("{} has no key {}", self.name, quoted(&key.text));
        let error = Diagnostic::error(&rules::UNKNOWN_KEY, key.span, message);
        match nearest(&key.text, known.iter().copied()) {
            Some(name) => error.help(format!("did you mean `{name}`?")),
            None if known.is_empty() => error.help(format!("{} takes no settings", self.name)),
            None => error.help(format!("known are {}", all_of(known.iter().copied()))),
        }
    }

    /// A mapping whose keys are known.
    pub(super) fn fields<'de, V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Mapping(_) => {}
            Value::Scalar(scalar) if scalar.is_null() => {}
            _ => return Err(self.wrong_type("a mapping")),
        }
        for (entry, _) in Entries::of(&self) {
            self.session.visit(1);
            if !known.contains(&&*entry.key.text) {
                let rule = &rules::UNKNOWN_KEY;
                self.session
                    .report_once(rule, entry.key.span, || self.unknown_key(&entry.key, known));
            }
        }
        visitor.visit_map(MapAccess::new(self, Some(known))).map_err(|error| match error {
            Error::Missing(_) => self.locate(error),
            other => other,
        })
    }
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Sequence(_) => visitor.visit_seq(ListAccess::new(self, true)),
            Value::Mapping(_) => visitor.visit_map(MapAccess::new(self, None)),
            _ => self.any_scalar(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.bool()?)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i8(self.integer(i8::MIN, i8::MAX)?)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i16(self.integer(i16::MIN, i16::MAX)?)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i32(self.integer(i32::MIN, i32::MAX)?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(self.integer(i64::MIN, i64::MAX)?)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i128(self.integer(i128::MIN, i128::MAX)?)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(self.integer(u8::MIN, u8::MAX)?)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u16(self.integer(u16::MIN, u16::MAX)?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u32(self.integer(u32::MIN, u32::MAX)?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.integer(u64::MIN, u64::MAX)?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text("one character")?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text("text")?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bytes(self.text("text")?.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() { visitor.visit_unit() } else { Err(self.wrong_type("nothing")) }
    }

    /// A type without settings: `{}` or nothing.
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        struct Empty<V>(V);
        impl<'de, V: Visitor<'de>> Visitor<'de> for Empty<V> {
            type Value = V::Value;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                self.0.expecting(f)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
                self.0.visit_unit()
            }
        }
        self.fields(&[], Empty(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            spanned::NEWTYPE => visitor.visit_seq(SpannedAccess::new(self)),
            secret::NEWTYPE => match &self.node.value {
                Value::Scalar(scalar) if !scalar.is_null() => {
                    self.session.hide(self.node.span);
                    visitor.visit_seq(SecretAccess::new(scalar))
                }
                _ => Err(self.wrong_type("a secret such as `secret://env/NAME`")),
            },
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Sequence(_) => visitor.visit_seq(ListAccess::new(self, true)),
            Value::Scalar(scalar) if scalar.is_null() => {
                Err(self.wrong_type("a list").with_help("an empty list is written `[]`"))
            }
            Value::Scalar(scalar) if scalar.secret().is_none() => {
                let written = scalar.written().unwrap_or(scalar.text());
                let quote = if scalar.style() == Style::Text { "\"" } else { "" };
                let help = format!("a list of one is written `[{quote}{written}{quote}]`");
                Err(self.wrong_type("a list").with_help(help))
            }
            _ => Err(self.wrong_type("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        let expected = format!("a list of {len}");
        match self.node.as_sequence() {
            Some(list) if list.len() == len => visitor.visit_seq(ListAccess::new(self, false)),
            Some(list) => {
                let message =
                    format!("{} takes {expected}, found {} elements", self.name, list.len());
                Err(Error::raised(&rules::BAD_VALUE, message))
            }
            None => Err(self.wrong_type(&expected)),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Mapping(_) => visitor.visit_map(MapAccess::new(self, None)),
            Value::Scalar(scalar) if scalar.is_null() => {
                Err(self.wrong_type("a mapping").with_help("an empty mapping is written `{}`"))
            }
            _ => Err(self.wrong_type("a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.fields(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(EnumAccess::new(self, variants)?)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}
