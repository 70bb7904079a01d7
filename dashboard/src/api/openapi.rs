//! The OpenAPI document, from the list of endpoints and the schemas of the types.

use axum::http::Method;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::answer::{ErrorBody, Json};
use super::endpoints::{ENDPOINTS, Endpoint, Gives, Takes};
use crate::access::{Need, Role};

pub(super) async fn openapi() -> Json<Value> {
    Json(document())
}

/// The document.
pub(super) fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for endpoint in &ENDPOINTS {
        let path = endpoint.path.replace("{*", "{");
        let operations = paths.entry(path.clone()).or_insert_with(|| json!({}));
        operations[endpoint.method.as_str().to_ascii_lowercase()] =
            operation(endpoint, &path, &mut generator, &json!(error));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Smollama",
            "description": "The API of a running engine.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(
    endpoint: &Endpoint,
    path: &str,
    generator: &mut schemars::SchemaGenerator,
    error: &Value,
) -> Value {
    let (content_type, schema) = match endpoint.gives {
        Gives::Json(schema) => ("application/json", json!(schema(generator))),
        Gives::Lines(schema) => ("application/x-ndjson", json!(schema(generator))),
        Gives::Text(content_type) => (content_type, json!({ "type": "string" })),
    };
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.text,
        "description": match endpoint.need {
            Need::Nothing => "Anyone may ask.",
            Need::Nearby => "Without a token only on the same machine.",
            Need::Role(Role::Read) => "Needs a token, for reading or for everything.",
            Need::Role(Role::Operate) => "Needs the token for everything.",
        },
        "responses": {
            "200": { "description": "Done.", "content": { content_type: { "schema": schema } } },
            "default": { "description": "Not done.", "content": { "application/json": { "schema": error } } },
        },
    });
    if matches!(endpoint.need, Need::Role(_)) {
        operation["security"] = json!([{ "token": [] }]);
    }
    let mut parameters: Vec<Value> = path
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}'))
        .map(|(name, _)| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    match endpoint.takes {
        Takes::Nothing => {}
        Takes::Query(schema) => parameters.extend(query(&json!(schema(generator)))),
        Takes::Body(schema) => {
            let schema = json!(schema(generator));
            let content = json!({ "application/json": { "schema": schema } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    operation
}

/// The keys of a type, as parameters behind the `?`.
fn query(schema: &Value) -> Vec<Value> {
    let keys = schema["properties"].as_object().into_iter().flatten();
    keys.map(|(name, schema)| {
        let mut schema = schema.clone();
        let text = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({ "name": name, "in": "query", "description": text, "schema": schema })
    })
    .collect()
}

/// `get_api_dlq_id`.
fn operation_id(endpoint: &Endpoint) -> String {
    let method = if endpoint.method == Method::GET { "get" } else { "post" };
    let words = endpoint.path.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    format!("{method}_{}", words.join("_"))
}
