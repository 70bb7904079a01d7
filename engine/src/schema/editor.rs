//! From what is derived from a Rust type to what suits an editor: misspelt keys are refused, a variable may stand for any
//! scalar, and comments read well in a hover.

use serde_json::{Map, Value, json};

/// A whole scalar that is a variable, `${NAME}`, or a template's parameter, `$(name)`.
pub(super) const VARIABLE: &str = r"^\$(\{[^}]*\}|\([^)]*\))$";

/// Rewrites the derived schema of settings, with all that lies in it.
pub(super) fn settings(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    describe(map);
    // Editors write defaults out when they complete; nothing is no help there.
    let empty = |value: &Value| {
        value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
    };
    if map.get("default").is_some_and(empty) {
        map.remove("default");
    }
    for key in ["properties", "patternProperties", "$defs"] {
        if let Some(inner) = map.get_mut(key).and_then(Value::as_object_mut) {
            inner.values_mut().for_each(settings);
        }
    }
    for key in ["additionalProperties", "items", "contains"] {
        map.get_mut(key).into_iter().for_each(settings);
    }
    for key in ["prefixItems", "allOf"] {
        let lists = map.get_mut(key).and_then(Value::as_array_mut);
        lists.into_iter().flatten().for_each(settings);
    }
    close(map);
    // With variables allowed, two alternatives may fit one text; one that fits is enough.
    if let Some(one_of) = map.remove("oneOf") {
        map.insert("anyOf".into(), one_of);
    }
    match map.get_mut("anyOf").and_then(Value::as_array_mut) {
        Some(alternatives) => any_of(alternatives),
        None => scalar(map),
    }
}

/// A comment as one paragraph a paragraph, and once more as Markdown where it is, for editors that show that.
fn describe(map: &mut Map<String, Value>) {
    let Some(text) = map.get("description").and_then(Value::as_str) else { return };
    let text = unwrapped(text);
    if text.contains(['`', '*']) {
        map.insert("markdownDescription".into(), text.as_str().into());
    }
    map.insert("description".into(), text.into());
}

/// The text with the lines of each paragraph joined. Lists and indented lines stay as they are.
pub(crate) fn unwrapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let apart = line.trim().is_empty()
            || line.starts_with([' ', '-', '|', '#'])
            || line.starts_with("```")
            || line.starts_with("* ");
        if !out.is_empty() {
            out.push(if apart || out.ends_with('\n') { '\n' } else { ' ' });
        }
        out.push_str(line);
    }
    out
}

/// The engine knows all keys of settings, and takes nothing at all for settings that need no key.
fn close(map: &mut Map<String, Value>) {
    if map.get("type").and_then(Value::as_str) != Some("object") || !map.contains_key("properties")
    {
        return;
    }
    map.entry("additionalProperties").or_insert(Value::Bool(false));
    if !map.contains_key("required") {
        map.insert("type".into(), json!(["object", "null"]));
    }
}

/// Alternatives: where one is a word, a variable may stand for it.
fn any_of(alternatives: &mut Vec<Value>) {
    let mut words = false;
    for alternative in alternatives.iter_mut() {
        let word = alternative.get("const").is_some() || alternative.get("enum").is_some();
        words |= word;
        match alternative.as_object_mut() {
            Some(map) if word => describe(map),
            _ => settings(alternative),
        }
    }
    if words {
        alternatives.push(variable());
    }
}

fn variable() -> Value {
    json!({ "type": "string", "pattern": VARIABLE })
}

/// What keys constrain a scalar.
const CONSTRAINTS: [&str; 5] = ["type", "const", "enum", "pattern", "format"];

/// What an editor says of text that does not fit, instead of showing the pattern.
fn such_as(map: &Map<String, Value>) -> Option<String> {
    let examples = map.get("examples")?.as_array()?;
    let examples: Vec<&str> = examples.iter().filter_map(Value::as_str).collect();
    (!examples.is_empty()).then(|| format!("expected text such as {}", examples.join(" or ")))
}

/// Lets a variable stand for a scalar.
pub(super) fn scalar(map: &mut Map<String, Value>) {
    let mut types: Vec<String> = match map.get("type") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => {
            all.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect()
        }
        _ => Vec::new(),
    };
    let is = |types: &[String], wanted: &str| types.iter().any(|one| one == wanted);
    let fixed = map.contains_key("const") || map.contains_key("enum");
    let text = is(&types, "string");
    let dated = text && map.contains_key("format");
    if fixed || dated {
        let kept: Map<String, Value> = CONSTRAINTS
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), map.remove(key)?)))
            .collect();
        map.insert("anyOf".into(), json!([kept, variable()]));
        return;
    }
    if text {
        match map.get("pattern").and_then(Value::as_str) {
            Some(pattern) => {
                let either = format!("{pattern}|{VARIABLE}");
                map.insert("pattern".into(), either.into());
                if let Some(message) = such_as(map) {
                    map.entry("patternErrorMessage").or_insert(message.into());
                }
                return;
            }
            // Text is taken as it is written, also where it looks like a number.
            None => {
                let more = ["number", "boolean"].into_iter().filter(|one| !is(&types, one));
                let more: Vec<String> = more.map(str::to_owned).collect();
                types.extend(more);
            }
        }
    } else if ["number", "integer", "boolean"].iter().any(|one| is(&types, one)) {
        let message = format!("expected {}, or a variable: ${{NAME}}", types.join(" or "));
        types.push("string".into());
        map.insert("pattern".into(), VARIABLE.into());
        map.insert("patternErrorMessage".into(), message.into());
    } else {
        return;
    }
    map.insert("type".into(), types.into());
}
