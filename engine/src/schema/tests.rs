use serde_json::{Value, json};

use super::editor::{self, VARIABLE};
use super::*;
use crate::config::{EngineWord, Section};
use crate::registry::Registry;

fn rewritten(mut schema: Value) -> Value {
    editor::settings(&mut schema);
    schema
}

#[test]
fn a_variable_may_stand_for_any_scalar() {
    let number = rewritten(json!({ "type": "number", "minimum": 0 }));
    assert_eq!(number["type"], json!(["number", "string"]));
    assert_eq!((&number["minimum"], &number["pattern"]), (&json!(0), &json!(VARIABLE)));
    let text = rewritten(json!({ "type": "string", "pattern": "^[0-9]+s$" }));
    assert_eq!(text["pattern"], json!(format!("^[0-9]+s$|{VARIABLE}")));
    let word = rewritten(json!({ "type": "string", "enum": ["a", "b"], "description": "Which." }));
    let variable = json!({ "type": "string", "pattern": VARIABLE });
    assert_eq!(word["anyOf"], json!([{ "type": "string", "enum": ["a", "b"] }, variable]));
    assert_eq!(word["description"], json!("Which."));
    let words = json!({ "oneOf": [{ "const": "a", "description": "First." }, { "const": "b" }] });
    assert_eq!(rewritten(words)["anyOf"].as_array().map(Vec::len), Some(3));
    let optional = rewritten(json!({ "type": ["boolean", "null"], "default": null }));
    assert_eq!(optional.get("default"), None);
    assert_eq!(optional["type"], json!(["boolean", "null", "string"]));
}

#[test]
fn free_text_takes_what_looks_like_a_number() {
    let literal = rewritten(json!({ "type": ["number", "string"] }));
    assert_eq!(literal["type"], json!(["number", "string", "boolean"]));
}

#[test]
fn settings_are_closed_and_may_be_left_out_where_no_key_is_needed() {
    let inner =
        json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] });
    let outer = rewritten(
        json!({ "type": "object", "properties": { "list": { "type": "array", "items": inner } } }),
    );
    assert_eq!(outer["type"], json!(["object", "null"]));
    assert_eq!(outer["additionalProperties"], json!(false));
    let inner = &outer["properties"]["list"]["items"];
    assert_eq!((&inner["type"], &inner["additionalProperties"]), (&json!("object"), &json!(false)));
    let mapping =
        rewritten(json!({ "type": "object", "additionalProperties": { "type": "integer" } }));
    assert_eq!(mapping["type"], json!("object"));
    assert_eq!(mapping["additionalProperties"]["type"], json!(["integer", "string"]));
}

#[test]
fn comments_become_paragraphs() {
    let text = "One line\nof `two`.\n\n- a list\n- of two\n\nAnd\nmore.";
    assert_eq!(unwrapped(text), "One line of `two`.\n\n- a list\n- of two\n\nAnd more.");
    let schema = rewritten(json!({ "type": "array", "description": "Of `words`\nin lines." }));
    assert_eq!(schema["markdownDescription"], json!("Of `words` in lines."));
}

#[test]
fn every_section_has_its_words_and_no_others() {
    let schema = pipeline_schema(&Registry::new());
    for section in Section::ALL {
        let properties = &schema["$defs"][section.singular()]["properties"];
        for word in EngineWord::ALL {
            let has = properties.get(word.key()).is_some();
            assert_eq!(has, word.sections().contains(&section), "{} {}", section.key(), word.key());
        }
    }
    for key in super::top_keys() {
        assert!(schema["properties"][key]["description"].is_string(), "{key}");
        assert!(top_key(key).is_some());
    }
}

#[test]
fn everything_referred_to_is_there() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let schema = pipeline_schema(&Registry::new());
    let mut found = Vec::new();
    references(&schema, &mut found);
    assert!(found.len() > 10);
    for path in found {
        assert!(schema.pointer(path.trim_start_matches('#')).is_some(), "{path}");
    }
}
