//! The engine words: what each is for, and its schema.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use crate::condition::Condition;
use crate::config::EngineWord;
use crate::duration::Duration;
use crate::run::{QueueSpec, RetrySpec};

/// The names of pipelines, nodes and ports.
pub(super) const NAME: &str = "[a-z][a-z0-9_-]*";

/// What an engine word is for, as users read it.
#[must_use]
pub fn word_text(word: EngineWord) -> &'static str {
    match word {
        EngineWord::Inputs => {
            "Where items come from: a list of nodes, or a mapping from this node's input ports to such lists. \
             `air` is a node of this pipeline, `news.dropped` a port of it, `weather/outdoor` a node of another pipeline."
        }
        EngineWord::As => {
            "The type part of the sources this node makes, so that two thermometers do not share ids. Default: a source's \
             type; for a transform that makes a new quantity `pipeline.node`."
        }
        EngineWord::Every => {
            "How often a source is asked, such as `10s`. Only for sources that are asked; the default is the type's own."
        }
        EngineWord::Unit => {
            "The unit of the source's values where the source itself says none: `°C`, `%`, `hPa`, `lx`, `W`."
        }
        EngineWord::Labels => "Labels for all series of the source: `{ room: kitchen }`.",
        EngineWord::LabelsFrom => {
            "A table of labels, a CSV file beside the pipeline; its first column holds sources or patterns over them."
        }
        EngineWord::When => "Only items that meet this condition enter the node.",
        EngineWord::Queue => {
            "How much may wait in front of the node, and what happens when that much does."
        }
        EngineWord::Retry => "How the node tries again when it could not do its work.",
        EngineWord::RenamedFrom => {
            "The name this node had before, so that it goes on with the state kept under that name."
        }
        EngineWord::Use => {
            "A template in place of a type, with its arguments: `use: { room_sensor: { room: kitchen } }`. Other words beside it go to the template's `out` node, and `inputs` to where it reads from `$(in)`."
        }
    }
}

/// The schema of what stands under an engine word, as derived.
#[must_use]
pub fn word_schema(word: EngineWord, generator: &mut SchemaGenerator) -> Value {
    let mut schema = match word {
        EngineWord::Inputs => {
            let list = json!({ "type": "array", "items": { "$ref": "#/$defs/address" }, "uniqueItems": true });
            let ports = json!({
                "type": "object",
                "propertyNames": { "pattern": format!("^{NAME}$") },
                "additionalProperties": list
            });
            json!({ "anyOf": [list, ports], "examples": [["air"]] })
        }
        EngineWord::As | EngineWord::LabelsFrom => json!({ "type": "string", "minLength": 1 }),
        EngineWord::Unit => {
            json!({ "type": "string", "examples": ["°C", "%", "hPa", "lx", "W", "kWh"] })
        }
        EngineWord::Labels => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        EngineWord::RenamedFrom => {
            json!({ "type": "string", "pattern": format!("^({NAME}/)?{NAME}(>{NAME})*$") })
        }
        EngineWord::Every => generator.subschema_for::<Duration>().to_value(),
        EngineWord::When => generator.subschema_for::<Condition>().to_value(),
        EngineWord::Queue => generator.subschema_for::<QueueSpec>().to_value(),
        EngineWord::Retry => generator.subschema_for::<RetrySpec>().to_value(),
        EngineWord::Use => json!({
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": { "type": ["object", "null"] }
        }),
    };
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".into(), word_text(word).into());
    }
    schema
}
