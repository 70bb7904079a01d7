//! From a message and the name of what brought it (a topic, a file) to readings.
//!
//! A message that is like earlier ones costs no allocation but for texts: JSON is held against the shapes of earlier payloads, and series
//! are found by topic and field as they stand in the message. All that is remembered of senders has a bound.

mod body;
mod cbor;
mod edge;
mod fields;
mod found;
mod line;
mod objects;
mod series;
mod settings;
mod template;
#[cfg(test)]
mod tests;
mod times;
mod value;

use smollama_engine::context::Context;
use smollama_engine::log_limit::LogLimit;
use smollama_engine::node::Reject;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::Problem;

use crate::io::rows::form::Refused;
use crate::io::rows::time::settings as time_settings;
use crate::io::rows::{Cell, number};
use edge::Edge;
use found::Found;
use objects::Objects;

pub use body::{Bodies, BodyFormat, rejected};
pub use fields::{Field, Fields, ValueType};
pub use settings::{Format, Settings};
pub use template::{Part, Template};

/// Makes readings of messages.
pub struct Decoder {
    format: Format,
    kind: Option<ValueType>,
    objects: Objects,
    /// Where the original's payload can come: it is large, and few sources have it.
    edge: Option<Box<Edge>>,
    json: Vec<u8>,
    context: Context,
    lacking_series: u64,
    unmatched: u64,
    /// Which lines on what is unmatched the log gets.
    limit: LogLimit,
}

impl Decoder {
    /// A decoder for the node of a context.
    ///
    /// # Errors
    /// The settings have a problem, as [`Settings::problems`] says.
    pub fn new(config: &Settings, context: &Context) -> Result<Decoder, Problem> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(problem);
        }
        let zone = time_settings::zone(config.zone.as_deref()).unwrap_or(jiff::tz::TimeZone::UTC);
        let template = config.template()?;
        let automatic = config.is_automatic() && config.each.is_none() && config.id.is_none();
        let looks_for_edge = config.looks_for_edge && config.format == Format::Auto && automatic;
        let is_edge = looks_for_edge || config.format == Format::Edge;
        Ok(Decoder {
            format: config.format,
            kind: config.kind,
            objects: Objects::new(config, template, &zone, context),
            edge: is_edge.then(|| Box::new(Edge::new(config, zone, context))),
            json: Vec::new(),
            context: context.clone(),
            lacking_series: 0,
            unmatched: 0,
            limit: LogLimit::default(),
        })
    }

    /// Appends the readings of a message, and what could not be understood of it: one reject at most. A reading whose message says no time
    /// is dated [`Timestamp::ON_RECEIPT`].
    ///
    /// [`Timestamp::ON_RECEIPT`]: smollama_engine::time::Timestamp::ON_RECEIPT
    #[inline]
    pub fn decode(
        &mut self,
        topic: &str,
        payload: &[u8],
        readings: &mut Vec<Reading>,
        rejects: &mut Vec<Reject>,
    ) {
        if let Some(reason) = self.read(topic, payload, readings) {
            rejects.push(rejected(reason, format!("topic {topic}"), payload));
        }
    }

    /// As [`Decoder::decode`], for what is no topic: says why not all of the message could be understood.
    #[inline]
    pub fn read(
        &mut self,
        name: &str,
        payload: &[u8],
        readings: &mut Vec<Reading>,
    ) -> Option<String> {
        if payload.is_empty() {
            return None;
        }
        self.objects.refresh();
        self.edge.iter_mut().for_each(|edge| edge.refresh());
        let mut found = Found::new(readings);
        if let Err(refused) = self.take(name, payload, &mut found) {
            found.refuse_all(refused);
        }
        let (reason, lacks_series) = (found.reason(), found.lacks_series);
        if found.is_nothing() && !is_null(payload) {
            self.note_unmatched(name);
        }
        self.lacking_series += u64::from(lacks_series);
        reason
    }

    /// How many messages held none of the wanted fields.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// How many messages were of series beyond what the node or the host may hold.
    #[must_use]
    pub fn lacking_series(&self) -> u64 {
        self.lacking_series
    }

    #[inline]
    fn take(&mut self, topic: &str, payload: &[u8], found: &mut Found<'_>) -> Result<(), Refused> {
        match self.format {
            Format::Auto if !matches!(payload.trim_ascii_start().first(), Some(b'{' | b'[')) => {
                self.plain(topic, payload, None, found)
            }
            Format::Auto | Format::Json => {
                if topic.ends_with("/readings")
                    && let Some(edge) = &mut self.edge
                    && let Some(taken) = edge.take(topic, payload, found)
                {
                    return taken;
                }
                self.objects.take(topic, payload, found)
            }
            Format::Cbor => {
                self.json.clear();
                cbor::to_json(payload, &mut self.json)?;
                self.objects.take(topic, &self.json, found)
            }
            Format::Number => self.plain(topic, payload, Some(ValueType::Number), found),
            Format::Text => self.plain(topic, payload, Some(ValueType::Text), found),
            Format::Edge => self
                .edge
                .as_mut()
                .and_then(|edge| edge.take(topic, payload, found))
                .unwrap_or_else(|| Err("no array `readings`, as the original sends it".into())),
        }
    }

    fn plain(
        &mut self,
        topic: &str,
        payload: &[u8],
        kind: Option<ValueType>,
        found: &mut Found<'_>,
    ) -> Result<(), Refused> {
        let text = std::str::from_utf8(payload).map_err(|error| {
            format!("bytes that are not UTF-8 at byte {}", error.valid_up_to() + 1)
        })?;
        let value = match self.kind.or(kind) {
            None => guessed(text),
            kind => value::of_text(text, kind),
        };
        match value.map_err(|bad| format!("the payload {bad}"))? {
            Some(value) => self.objects.push_plain(topic, value, found),
            None => Ok(()),
        }
    }

    #[cold]
    fn note_unmatched(&mut self, topic: &str) {
        self.unmatched += 1;
        let node = &self.context.address;
        if self.limit.admits(Some(node), "") {
            tracing::warn!(%node, topic, "a message holds none of the wanted fields");
        }
    }
}

/// The value of a plain payload that nothing is said about.
fn guessed(text: &str) -> Result<Option<Value>, String> {
    let trimmed = text.trim();
    Ok(Some(match number::from_text(trimmed.as_bytes()) {
        Some(Cell::Int(number)) => Value::Int(number),
        Some(Cell::Float(number)) => Value::Float(number),
        _ => match trimmed {
            "" | "null" => return Ok(None),
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ if number::is_not_finite(trimmed) => {
                return Err(format!("is `{trimmed}`, not a finite number"));
            }
            _ => return value::of_text(text, None),
        },
    }))
}

/// Whether a payload says that there is no value.
fn is_null(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii(), b"" | b"null" | b"\xF6" | b"\xF7")
}
