//! JSON Schemas (draft 2020-12) of what users write: they drive completion, hovers and checks in any editor with a YAML
//! language server. All of it comes from the code: engine words, node types, and their comments.
//!
//! A schema is a little wider than the engine in one way: a whole scalar `${NAME}` or `$(name)` may stand for any value.

mod editor;
mod pipeline;
#[cfg(test)]
mod tests;
mod words;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::backtest::Outcome;
use crate::config::host::{HostConfig, ORIGINAL_SECTIONS};

pub(crate) use self::editor::unwrapped;
pub use self::pipeline::{pipeline_schema, top_key};
pub(crate) use self::pipeline::{raw_template_schema, raw_tests_schema, top_keys};
pub use self::words::{word_schema, word_text};
pub use crate::json::item_schema as items_schema;

/// The draft that the schemas are written in.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// What makes schemas of Rust types here.
pub(crate) fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

/// The schema of `config.yaml`.
#[must_use]
pub fn config_schema() -> Value {
    let mut schema = raw_config_schema();
    editor::settings(&mut schema);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for section in ORIGINAL_SECTIONS {
            let text = "Of the Python original; means nothing to this version.";
            properties.insert(section.into(), json!({ "description": text, "deprecated": true }));
        }
    }
    schema
}

/// The schema of what `smollama backtest --json` prints.
#[must_use]
pub fn backtest_schema() -> Value {
    let mut schema = generator().into_root_schema_for::<Outcome>().to_value();
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".into(), "Smollama backtest".into());
    }
    schema
}

/// The schema of `config.yaml` as derived.
pub(crate) fn raw_config_schema() -> Value {
    let mut schema = generator().into_root_schema_for::<HostConfig>().to_value();
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".into(), "Smollama host".into());
    }
    schema
}

/// The definitions of everything that `generator` was asked for.
pub(crate) fn definitions(generator: &mut SchemaGenerator) -> Map<String, Value> {
    generator.take_definitions(true)
}
