//! The schemas, held against shipped files by a validator that is not ours, and against misspelt ones.

use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use smollama_engine::config::{self, Loader};
use smollama_engine::registry::Section;
use smollama_engine::schema;

use crate::project::{pipelines, shown, text};

static PIPELINE: LazyLock<Validator> =
    LazyLock::new(|| validator(&schema::pipeline_schema(&smollama_nodes::registry())));

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::meta::validate(schema).expect("it is a schema");
    jsonschema::draft202012::new(schema).expect("it compiles")
}

/// YAML as an editor sees it: plain data, each document by itself.
fn documents(yaml: &str) -> Vec<Value> {
    let none = |_: &str| None;
    let mut loader = Loader::new(&none);
    // Variables stay as they are written: an editor does not know their values.
    loader.text(Path::new("file.yaml"), &yaml.replace('$', "$$"));
    let loaded = loader.finish();
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}",
        loaded.diagnostics.render(&loaded.files, false)
    );
    loaded.documents.iter().map(|document| plain(&document.root)).collect()
}

fn plain(node: &config::Node) -> Value {
    match &node.value {
        config::Value::Sequence(all) => all.iter().map(plain).collect(),
        config::Value::Mapping(mapping) => {
            let entries = mapping.entries().iter();
            Value::Object(
                entries.map(|one| (one.key.text.to_string(), plain(&one.value))).collect(),
            )
        }
        config::Value::Scalar(scalar) if scalar.is_null() => Value::Null,
        config::Value::Scalar(scalar) => None
            .or_else(|| scalar.as_bool().map(Value::from))
            .or_else(|| {
                scalar.as_integer().and_then(|one| i64::try_from(one).ok()).map(Value::from)
            })
            .or_else(|| scalar.as_float().map(Value::from))
            .unwrap_or_else(|| scalar.text().into()),
        config::Value::Broken => panic!("nothing is broken"),
    }
}

fn complaints(document: &Value) -> Vec<String> {
    PIPELINE
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

fn takes(yaml: &str) {
    for document in documents(yaml) {
        assert_eq!(complaints(&document), Vec::<String>::new(), "{yaml}");
    }
}

fn refuses(yaml: &str) {
    let fits = documents(yaml).iter().all(|document| PIPELINE.is_valid(document));
    assert!(!fits, "the schema takes\n{yaml}");
}

/// The types on the shelf of one kind; some tests need one with settings.
fn types(kind: Section) -> Vec<String> {
    let registry = smollama_nodes::registry();
    registry.iter().filter(|one| one.section == kind).map(|one| one.name.to_owned()).collect()
}

#[test]
fn every_shipped_pipeline_fits_the_schema() {
    for path in pipelines() {
        for document in documents(&text(&path)) {
            assert_eq!(complaints(&document), Vec::<String>::new(), "{}", shown(&path));
        }
    }
}

/// Every key of every shipped pipeline, misspelt one at a time: keys of settings, engine words, types and sections.
#[test]
fn every_shipped_pipeline_is_refused_with_a_misspelt_key() {
    for path in pipelines() {
        for document in documents(&text(&path)) {
            let mut tried = 0;
            misspell(&document, &mut Vec::new(), &mut |at, wrong| {
                if is_the_users_own_key(at) {
                    return;
                }
                tried += 1;
                assert!(!PIPELINE.is_valid(wrong), "{}: misspelt {}", shown(&path), at.join("."));
            });
            assert!(tried > 3, "{}", shown(&path));
        }
    }
}

/// Calls `check` with the document once for each key, that key with a letter too many.
fn misspell(document: &Value, path: &mut Vec<String>, check: &mut dyn FnMut(&[String], &Value)) {
    let here = path.iter().try_fold(document, |at, key| match at {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    });
    let keys: Vec<String> = match here {
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        Some(Value::Array(list)) => (0..list.len()).map(|at| at.to_string()).collect(),
        _ => return,
    };
    let is_mapping = here.is_some_and(Value::is_object);
    for key in keys {
        path.push(key.clone());
        if is_mapping {
            check(path, &with_misspelt(document, path));
        }
        misspell(document, path, check);
        path.pop();
    }
}

fn with_misspelt(document: &Value, path: &[String]) -> Value {
    let mut wrong = document.clone();
    let (last, above) = path.split_last().expect("a path to a key");
    let mut at = &mut wrong;
    for key in above {
        at = match at {
            Value::Array(list) => &mut list[key.parse::<usize>().expect("a position")],
            other => &mut other[key],
        };
    }
    let map = at.as_object_mut().expect("a mapping");
    *map = std::mem::take(map)
        .into_iter()
        .map(|(key, value)| if key == *last { (format!("{key}x"), value) } else { (key, value) })
        .collect::<Map<_, _>>();
    wrong
}

/// Names of nodes, ports, labels and series are the user's: the schema cannot know them.
fn is_the_users_own_key(path: &[String]) -> bool {
    const NAMED: [&str; 3] = ["labels", "inputs", "sources"];
    // In a template everything lies two levels deeper; its own name, its parameters and the arguments of uses are the user's, too.
    if path[0] == "templates" && path.len() > 2 {
        let is_parameter = path.len() == 4 && path[2] == "params";
        return is_parameter || is_the_users_own_key(&path[2..]);
    }
    if path[..path.len() - 1].iter().any(|key| key == "use" || key == "with") {
        return true;
    }
    let in_tests = path[0] == "tests";
    let is_node = path.len() == 2 && !in_tests;
    is_node
        || path.iter().skip(1).rev().skip(1).any(|key| NAMED.contains(&key.as_str()))
        || (path.len() > 4 && !in_tests && maps_from_names(path))
}

/// Whether a setting above the last key of this path is a mapping from names of the user.
fn maps_from_names(path: &[String]) -> bool {
    let registry = smollama_nodes::registry();
    let Some(section) = config::Section::from_key(&path[0]) else { return false };
    let Some(node_type) = registry.get(section, &path[2]) else { return false };
    let page = smollama_engine::reference::NodePage::of(node_type);
    let above = path[3..path.len() - 1].iter().filter(|part| part.parse::<usize>().is_err());
    let above = above.cloned().collect::<Vec<_>>().join(".");
    let found =
        page.settings.iter().find(|one| one.path.replace("[]", "").replace(".NAME", "") == above);
    found.is_some_and(|setting| setting.takes.contains("mapping from names"))
}

#[test]
fn a_node_has_exactly_one_type_and_known_words() {
    let (Some(source), Some(sink)) = (types(Section::Sources).pop(), types(Section::Sinks).pop())
    else {
        return;
    };
    let with = |node: &str| format!("pipeline: home\nsources:\n  a: {node}\n");
    takes(&with("{ use: { room_sensor: { room: kitchen, band: 0.2 } } }"));
    refuses(&with("{}"));
    refuses(&with("{ every: 10s }"));
    refuses(&with(&format!("{{ {source}x: {{}} }}")));
    refuses(&with(&format!("{{ {source}: {{}}, evry: 10s }}")));
    refuses(&with(&format!("{{ {source}: {{}}, every: 10 }}")));
    refuses(&with(&format!("{{ {source}: {{}}, inputs: [b] }}")));
    refuses(&with(&format!("{{ {source}: {{}}, queue: {{}} }}")));
    refuses(&with(&format!("{{ {source}: {{ no_such_setting: 1 }} }}")));
    refuses(&with(&format!("{{ {source}: {{}} }}")).replace("  a:", "  A b:"));
    refuses(&with(&format!("{{ {source}: {{}} }}")).replace("sources:", "source:"));
    if let [first, second, ..] = types(Section::Sources).as_slice() {
        refuses(&with(&format!("{{ {first}: {{}}, {second}: {{}} }}")));
    }
    let end = |node: &str| format!("pipeline: home\nsinks:\n  a: {node}\n");
    let policy = "queue: { size: 1MiB, when_full: latest }";
    takes(&end(&format!(
        "{{ inputs: [b, c.late, other/d], {policy}, use: {{ pair: {{ a: 1 }} }} }}"
    )));
    refuses(&end(&format!("{{ {sink}: {{}} }}")));
    refuses(&end(&format!("{{ inputs: [B], {sink}: {{}} }}")));
    refuses(&end(&format!("{{ inputs: [b], every: 1s, {sink}: {{}} }}")));
    refuses(&end(&format!("{{ inputs: [b], queue: {{ when_full: explode }}, {sink}: {{}} }}")));
}

#[test]
fn a_variable_or_parameter_may_stand_for_any_scalar() {
    let words = r#"every: "${EVERY}", as: $(name), unit: "${UNIT:-°C}", use: { pair: {} }"#;
    takes(&format!("pipeline: ${{NAME}}\nsources:\n  a: {{ {words} }}\n"));
    let queue =
        r#"queue: { size: "${SIZE}", when_full: "${POLICY}" }, retry: { attempts: "${TRIES}" }"#;
    let when = r#"when: { value: { above: $(limit) }, not: "${NOT}", kind: $(kind) }"#;
    takes(&format!(
        "pipeline: a\nsinks:\n  a: {{ inputs: [$(from)], {queue}, {when}, use: {{ pair: {{}} }} }}\n"
    ));
    let wrong = queue.replace("${TRIES}", "${TRIES} times");
    refuses(&format!(
        "pipeline: a\nsinks:\n  a: {{ inputs: [b], {wrong}, use: {{ pair: {{}} }} }}\n"
    ));
    let wrong = when.replace("${NOT}", "no");
    refuses(&format!(
        "pipeline: a\nsinks:\n  a: {{ inputs: [b], {wrong}, use: {{ pair: {{}} }} }}\n"
    ));
}

#[test]
fn templates_have_nodes_parameters_and_an_end() {
    let template = "params: { room: { type: text }, band: { type: number, default: 0.2 } }";
    let nodes = "sources: { a: { as: $(room), use: { other: {} } } }";
    takes(&format!("pipeline: a\ntemplates: {{ pair: {{ {template}, {nodes}, out: a }} }}\n"));
    takes(&format!("templates: {{ pair: {{ {template}, {nodes}, out: a }} }}\n"));
    refuses("description: neither a pipeline nor templates\n");
    let test = "name: x, given: [{ node: in, at: 0s, value: 1 }], expect: [{ node: a, count: 1 }]";
    let tested = |with: &str| {
        format!("templates: {{ pair: {{ {nodes}, out: a, tests: [{{ {with}, {test} }}] }} }}\n")
    };
    takes(&tested("with: { room: hall, band: 1 }"));
    refuses(&tested("wiht: { room: hall }"));
    let typed = |param: &str| {
        format!("templates: {{ pair: {{ params: {{ x: {param} }}, {nodes}, out: a }} }}\n")
    };
    takes(&typed("{ type: enum, one_of: [low, 5], default: low, description: A word }"));
    refuses(&typed("{ type: nmber }"));
    refuses(&typed("{ default: 1 }"));
    refuses(&format!("pipeline: a\ntemplates: {{ pair: {{ {template}, {nodes} }} }}\n"));
    refuses(&format!("pipeline: a\ntemplates: {{ pair: {{ parms: {{}}, {nodes}, out: a }} }}\n"));
}

#[test]
fn the_other_schemas_take_what_is_right_and_refuse_what_is_misspelt() {
    let config = validator(&schema::config_schema());
    assert!(config.is_valid(&json!({ "name": "kitchen", "limits": { "series": 1000 } })));
    assert!(
        config.is_valid(&json!({ "data_dir": "${DATA}", "limits": { "series": "${SERIES}" } }))
    );
    assert!(config.is_valid(&json!({ "ollama": { "host": "http://localhost" } })));
    assert!(!config.is_valid(&json!({ "nam": "kitchen" })));
    assert!(!config.is_valid(&json!({ "limits": { "sereis": 1000 } })));
    let items = validator(&schema::items_schema());
    let reading = json!({ "time": "2026-11-21T01:02:03Z", "source": "air:a", "value": 21.5 });
    assert!(items.is_valid(&reading));
    assert!(!items.is_valid(&json!({ "time": "2026-11-21T01:02:03Z", "source": "air:a" })));
}
