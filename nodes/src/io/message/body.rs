//! Bodies: what a request or a run of a program brings at once, as one message or one a line.

use memchr::memchr;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::context::Context;
use smollama_engine::node::Reject;
use smollama_engine::reading::Reading;
use smollama_engine::registry::Problem;

use super::{Decoder, Format, Settings};
use crate::io::rows::REJECTED_BYTES;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// By its first character.
    #[default]
    Auto,
    /// JSON.
    Json,
    /// A JSON text a line.
    JsonLines,
    /// CBOR (RFC 8949).
    Cbor,
    /// A number.
    Number,
    /// A text.
    Text,
}

impl BodyFormat {
    /// What each message of a body is.
    #[must_use]
    pub fn of_message(self) -> Format {
        match self {
            BodyFormat::Auto => Format::Auto,
            BodyFormat::Json | BodyFormat::JsonLines => Format::Json,
            BodyFormat::Cbor => Format::Cbor,
            BodyFormat::Number => Format::Number,
            BodyFormat::Text => Format::Text,
        }
    }
}

/// Makes readings of bodies.
pub struct Bodies {
    decoder: Decoder,
}

impl Bodies {
    /// A reader for the node of a context.
    ///
    /// # Errors
    /// The settings have a problem, as [`Settings::problems`] says.
    pub fn new(settings: &Settings, context: &Context) -> Result<Bodies, Problem> {
        Ok(Bodies { decoder: Decoder::new(settings, context)? })
    }

    /// Appends the readings of a body, and what could not be understood of it: one reject a message at most. `name` is what ids are
    /// composed of, `origin` where it came from; with `lines` each line is a message of its own.
    pub fn read(
        &mut self,
        (name, origin): (&str, &str),
        body: &[u8],
        lines: bool,
        readings: &mut Vec<Reading>,
        rejects: &mut Vec<Reject>,
    ) {
        if !lines {
            if let Some(reason) = self.decoder.read(name, body, readings) {
                rejects.push(rejected(reason, origin.to_owned(), body));
            }
            return;
        }
        let (mut rest, mut line) = (body, 0_u64);
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let (text, behind) = rest.split_at(end);
            (rest, line) = (behind, line + 1);
            if let Some(reason) = self.decoder.read(name, text.trim_ascii(), readings) {
                rejects.push(rejected(reason, format!("{origin} line {line}"), text));
            }
        }
    }
}

/// A message, cut to what goes to the dead letters.
#[must_use]
pub fn rejected(reason: String, origin: String, bytes: &[u8]) -> Reject {
    Reject { reason, origin, bytes: bytes.get(..REJECTED_BYTES).unwrap_or(bytes).to_vec() }
}
