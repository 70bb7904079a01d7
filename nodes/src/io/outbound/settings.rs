//! What can be said about what goes out.

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::bytes::ByteSize;
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

use crate::io::template;

/// What goes out of items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A JSON object a line.
    #[default]
    JsonLines,
    /// A JSON array of objects.
    Json,
    /// What this makes of each item, a line for each. It knows the fields of the JSON form: `time`, `source`, `value`, `unit`, `labels`,
    /// `score`, `count` of a reading, `start`, `end`, `cause`, `summaries` of a window, `author`, `kind`, `text`, `confidence`, `sources`, `evidence`
    /// and more of an observation; `item`, all of them as one; `host`, the name of this one; and `time_s`, `time_ms`, `time_us`, `time_ns`, the
    /// time since 1970. The language is Jinja's: `{{ value|round(1) }}`, `{% if unit %}..{% endif %}`; `|tojson` makes a text
    /// safe for JSON. An item that it fails on goes to the dead letters.
    Template(String),
}

/// How much goes out at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSpec {
    /// How many items. 1 for receivers that take one at a time. Default: 500.
    pub items: usize,
    /// How many bytes, before compression; one item may be larger. Default: `256KiB`.
    pub bytes: ByteSize,
    /// How long items wait for more of them while nothing comes; what is full goes at once. Five seconds at most, and while items keep coming
    /// those that wait go every five seconds. Default: `0s`, everything goes at once.
    pub wait: Duration,
}

impl Default for BatchSpec {
    fn default() -> BatchSpec {
        BatchSpec { items: 500, bytes: ByteSize::kib(256), wait: Duration::ZERO }
    }
}

/// The engine flushes as often while items keep coming.
const WAIT_MAX: Duration = Duration::from_secs(5);
const ITEMS_MAX: usize = 10_000;
const BYTES_MAX: ByteSize = ByteSize::mib(16);

impl Body {
    /// What is wrong with it, as the setting `body`.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        match self {
            Body::Template(text) => template::problems("body.template", text),
            Body::JsonLines | Body::Json => Vec::new(),
        }
    }
}

impl BatchSpec {
    /// What is wrong with it, as the setting `batch`.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(1..=ITEMS_MAX).contains(&self.items) {
            let message = format!("it must lie between 1 and {ITEMS_MAX}");
            problems.push(Problem::at("batch.items", message));
        }
        if self.bytes.0 == 0 || self.bytes > BYTES_MAX {
            let message = format!("it must lie between 1B and {BYTES_MAX}");
            problems.push(Problem::at("batch.bytes", message));
        }
        if self.wait > WAIT_MAX {
            problems.push(Problem::at("batch.wait", format!("it can be {WAIT_MAX} at most")));
        }
        problems
    }
}
