//! The schema of a pipeline file.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::words::{NAME, word_schema};
use super::{DRAFT, definitions, editor, generator};
use crate::config::{EngineWord, ParamType, Section};
use crate::registry::Registry;
use crate::testing::TestSpec;

/// The schema of a pipeline file with these types of node.
#[must_use]
pub fn pipeline_schema(registry: &Registry) -> Value {
    let mut generator = generator();
    let nodes = Section::ALL.map(|section| (section, node(section, registry, &mut generator)));
    let tests = tests(&mut generator);
    let mut defs = definitions(&mut generator);
    for (section, schema) in nodes {
        defs.insert(section.singular().into(), schema);
    }
    defs.insert("address".into(), address());
    defs.insert("template".into(), template());
    let trial = template_test(&defs);
    defs.insert("TemplateTest".into(), trial);
    // Nodes of one section are never null, and have exactly one type: that part is not derived and stays as it is.
    for (name, schema) in &mut defs {
        match Section::ALL.iter().any(|section| section.singular() == name) || name == "template" {
            true => inner(schema),
            false => editor::settings(schema),
        }
    }
    let mut properties = Map::new();
    for (key, what) in TOP {
        properties.insert((*key).into(), top(key, what));
    }
    let mut name = json!({ "type": "string", "pattern": format!("^{NAME}$") });
    name.as_object_mut().into_iter().for_each(editor::scalar);
    merge(&mut properties, "pipeline", name);
    merge(&mut properties, "tests", tests);
    json!({
        "$schema": DRAFT,
        "title": "Smollama pipeline",
        "description": "One pipeline: sources, what becomes of their readings, and where that goes.",
        "type": "object",
        "anyOf": [
            { "required": ["pipeline"] },
            { "required": ["templates"], "errorMessage": "a pipeline has a name: `pipeline: home`" }
        ],
        "additionalProperties": false,
        "properties": properties,
        "$defs": defs
    })
}

/// The keys at the top of a pipeline file, and what each is for.
const TOP: [(&str, &str); 8] = [
    (
        "pipeline",
        "The name of the pipeline: small letters, digits, `_` and `-`, and no other pipeline's.",
    ),
    ("description", "What the pipeline is for, in a line."),
    ("sources", "What makes readings: each node has a name and, under it, one type."),
    ("transforms", "What turns items into other items."),
    ("agents", "What thinks about items."),
    ("sinks", "What carries items out."),
    (
        "tests",
        "Tests in virtual time: what is given, and what to expect. `smollama test` runs them.",
    ),
    ("templates", "Groups of nodes with parameters, for use under the word `use`."),
];

/// What a key at the top of a pipeline file is for.
#[must_use]
pub fn top_key(key: &str) -> Option<&'static str> {
    TOP.iter().find(|(name, _)| *name == key).map(|(_, what)| *what)
}

/// The keys at the top of a pipeline file.
pub(crate) fn top_keys() -> impl Iterator<Item = &'static str> {
    TOP.iter().map(|(name, _)| *name)
}

fn top(key: &str, what: &str) -> Value {
    let mut schema = match Section::from_key(key) {
        Some(section) => nodes(section),
        None if key == "templates" => json!({
            "type": ["object", "null"],
            "propertyNames": name_pattern(),
            "additionalProperties": { "$ref": "#/$defs/template" }
        }),
        None => json!({ "type": ["string", "number", "boolean"] }),
    };
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".into(), what.into());
    }
    schema
}

fn merge(properties: &mut Map<String, Value>, key: &str, with: Value) {
    if let (Some(Value::Object(into)), Value::Object(from)) = (properties.get_mut(key), with) {
        into.extend(from);
    }
}

fn name_pattern() -> Value {
    json!({
        "pattern": format!("^{NAME}$"),
        "patternErrorMessage": "names begin with a small letter and go on with small letters, digits, _ and -"
    })
}

fn nodes(section: Section) -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": name_pattern(),
        "additionalProperties": { "$ref": format!("#/$defs/{}", section.singular()) }
    })
}

/// A node: engine words, and exactly one type.
fn node(section: Section, registry: &Registry, generator: &mut SchemaGenerator) -> Value {
    let mut properties = Map::new();
    let mut choice = Vec::new();
    for node_type in registry.iter().filter(|one| one.section == section) {
        properties.insert(node_type.name.into(), node_type.schema(generator).to_value());
        choice.push(node_type.name);
    }
    let template = std::iter::once(EngineWord::Use);
    for word in EngineWord::of(section).chain(template) {
        properties.insert(word.key().into(), word_schema(word, generator));
    }
    let message = match choice.as_slice() {
        [] => format!("this version has no {}", section.key()),
        all => format!("{} has exactly one type: {}", section.with_article(), all.join(", ")),
    };
    let choice: Vec<Value> = choice
        .into_iter()
        .chain(["use"])
        .map(|key| json!({ "required": [key], "errorMessage": message }))
        .collect();
    let mut node = json!({
        "description": format!("{}: its type as a key with the settings under it, and words of the engine.", section.with_article()),
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "oneOf": choice
    });
    if section != Section::Sources
        && let Some(map) = node.as_object_mut()
    {
        // A template may have its inputs inside.
        map.insert("if".into(), json!({ "required": ["use"] }));
        map.insert("then".into(), Value::Bool(true));
        map.insert("else".into(), json!({ "required": ["inputs"] }));
    }
    node
}

/// Rewrites what lies in the properties of a schema, and leaves the schema itself as it is.
fn inner(schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(editor::settings);
    }
}

fn address() -> Value {
    json!({
        "description": "A node or a port of it: `air`, `news.dropped`, `weather/outdoor`; inside a use of a template `kitchen>scored`.",
        "type": "string",
        "pattern": format!(r"^({NAME}/)?{NAME}(>{NAME})*(\.{NAME})?$"),
        "examples": ["air", "news.dropped", "weather/outdoor", "kitchen>scored"]
    })
}

fn template() -> Value {
    let mut properties = Map::new();
    properties.insert(
        "description".into(),
        json!({ "type": "string", "description": "What the template is for, in a line." }),
    );
    properties.insert(
        "params".into(),
        json!({
            "description": "The parameters: in the nodes, `$(name)` is the value of one.",
            "type": ["object", "null"],
            "propertyNames": name_pattern(),
            "additionalProperties": param()
        }),
    );
    for section in Section::ALL {
        let mut nodes = nodes(section);
        if let (Some(map), Some(what)) = (nodes.as_object_mut(), top_key(section.key())) {
            map.insert("description".into(), what.into());
        }
        properties.insert(section.key().into(), nodes);
    }
    let out = "The node that stands for the whole: it takes the name of the use, and its section is where the template can be used.";
    properties.insert("out".into(), json!({ "type": "string", "description": out }));
    let tests = "Tests in virtual time, on the template's nodes alone, with the arguments under `with`. What is given to a use comes from \
        a source called `in`, or `in-port`.";
    properties.insert(
        "tests".into(),
        json!({
            "type": ["array", "null"],
            "items": { "$ref": "#/$defs/TemplateTest" },
            "description": tests
        }),
    );
    json!({
        "description": "A group of nodes with parameters.",
        "type": "object",
        "additionalProperties": false,
        "required": ["out"],
        "properties": properties
    })
}

fn param() -> Value {
    let types = ParamType::ALL.map(ParamType::key);
    json!({
        "description": "A parameter.",
        "type": "object",
        "additionalProperties": false,
        "required": ["type"],
        "properties": {
            "type": { "enum": types, "description": "What it takes." },
            "default": { "description": "What it is where a use does not say; without one every use must." },
            "one_of": {
                "type": "array",
                "items": { "type": ["string", "number", "boolean"] },
                "description": "The words that a parameter of type `enum` takes."
            },
            "description": { "type": "string", "description": "What it is for, in a line." }
        }
    })
}

/// A test as in a pipeline, with arguments.
fn template_test(defs: &Map<String, Value>) -> Value {
    let mut test = defs.get("TestSpec").cloned().unwrap_or_default();
    let with = json!({
        "type": ["object", "null"],
        "description": "The arguments with which the template is tested."
    });
    if let Some(properties) = test.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("with".into(), with);
    }
    test
}

/// The schema of one template, without what nodes and tests hold: they are explained by themselves.
pub(crate) fn raw_template_schema() -> Value {
    let mut template = template();
    if let Some(properties) = template.get_mut("properties").and_then(Value::as_object_mut) {
        for (key, property) in properties {
            if Section::from_key(key).is_some() || key == "tests" {
                let text = property.get("description").cloned().unwrap_or_default();
                let takes = if key == "tests" { "array" } else { "object" };
                *property = json!({ "type": takes, "description": text });
            }
        }
    }
    template
}

fn tests(generator: &mut SchemaGenerator) -> Value {
    let test = generator.subschema_for::<TestSpec>().to_value();
    json!({ "type": ["array", "null"], "items": test })
}

/// The schema of `tests:` as derived, with what it refers to.
pub(crate) fn raw_tests_schema() -> (Value, Map<String, Value>) {
    let mut generator = generator();
    let schema = tests(&mut generator);
    (schema, definitions(&mut generator))
}
