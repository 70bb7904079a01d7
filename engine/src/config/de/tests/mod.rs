//! Settings of every shape, and what is said about bad ones.

mod errors;

use std::{collections::BTreeMap, num::NonZeroU32};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    config::{Secret, Spanned, read, tests::load_text},
    diagnostic::rules,
};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    deadband: f64,
    heartbeat: Option<Span10>,
    keep: Keep,
    overrides: Vec<Override>,
    names: BTreeMap<String, u8>,
    pair: (i64, String),
    port: Spanned<u16>,
    password: Option<Secret>,
    text: String,
    on: bool,
    start: Start,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadband: 0.0,
            heartbeat: None,
            keep: Keep::First,
            overrides: Vec::new(),
            names: BTreeMap::new(),
            pair: (0, String::new()),
            port: 80.into(),
            password: None,
            text: String::new(),
            on: false,
            start: Start::Now,
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    r#match: String,
    deadband: f64,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Keep {
    First,
    Last,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Start {
    Now,
    After { seconds: u32 },
    Walk(Walk),
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Walk {
    step: f64,
}

/// Reads `10s` and reports under the rule of durations, as the engine's own types do.
#[derive(Debug, PartialEq)]
struct Span10;

impl<'de> Deserialize<'de> for Span10 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "10s" => Ok(Self),
            other => Err(D::Error::custom(
                rules::BAD_DURATION.says(format!("`{other}` is not a duration\nhelp: write `10s`")),
            )),
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Needs {
    path: String,
    every: NonZeroU32,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Unit;

/// What is said about `yaml`, the settings of `dedup`, and whether a value came back.
fn said<T: serde::de::DeserializeOwned>(yaml: &str) -> String {
    let mut loaded = load_text(&format!("dedup:{yaml}\n"));
    let top = loaded.documents[0].root.as_mapping().unwrap();
    let entry = top.get("dedup").unwrap();
    let value: Option<T> = read(&entry.value, entry.key.span, "`dedup`", &mut loaded.diagnostics);
    let text = loaded.diagnostics.render(&loaded.files, false);
    format!("{text}{}", if value.is_some() { "a value" } else { "no value" })
}

fn good<T: serde::de::DeserializeOwned>(yaml: &str) -> T {
    let mut loaded = load_text(&format!("dedup:{yaml}\n"));
    let entry = loaded.documents[0].root.as_mapping().unwrap().get("dedup").unwrap();
    let value = read(&entry.value, entry.key.span, "`dedup`", &mut loaded.diagnostics);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics.render(&loaded.files, false));
    value.unwrap()
}

#[test]
fn everything_reads() {
    let settings: Settings = good(
        "
  deadband: 2
  heartbeat: 10s
  keep: last
  overrides: [{ match: a, deadband: 1e-3 }]
  names: { one: 1, '2': 2 }
  pair: [-1, 21]
  port: ${PORT}
  password: secret://env/TOKEN
  text: 21
  on: true
  start: { after: { seconds: 3 } }",
    );
    assert_eq!(settings.deadband, 2.0);
    assert_eq!(settings.heartbeat, Some(Span10));
    assert_eq!(settings.keep, Keep::Last);
    assert_eq!(settings.overrides, [Override { r#match: "a".into(), deadband: 0.001 }]);
    assert_eq!(settings.names, BTreeMap::from([("one".into(), 1), ("2".into(), 2)]));
    assert_eq!(settings.pair, (-1, "21".into()));
    assert_eq!(*settings.port, 8080);
    assert!(settings.port.span.is_somewhere());
    assert_eq!(settings.password.unwrap().expose(), "hunter2");
    assert_eq!((settings.text.as_str(), settings.on), ("21", true));
    assert_eq!(settings.start, Start::After { seconds: 3 });
    // YAML demands the quotes here; they do not make it text.
    assert_eq!(*good::<Settings>(" { port: '${PORT}' }").port, 8080);
}

#[test]
fn nothing_reads_as_defaults() {
    assert_eq!(good::<Settings>(""), Settings::default());
    assert_eq!(good::<Settings>(" {}"), Settings::default());
    assert_eq!(good::<Settings>(" { heartbeat: , password: ~ }"), Settings::default());
    assert_eq!(good::<Settings>(" { start: walk }").start, Start::Walk(Walk::default()));
    assert_eq!(good::<Settings>(" { start: { walk: } }").start, Start::Walk(Walk::default()));
    assert_eq!(good::<Unit>(""), Unit);
    assert_eq!(good::<Unit>(" {}"), Unit);
    assert_eq!(
        good::<serde_json::Value>(" { a: [1, x, ~, 0.5, true, -3] }").to_string(),
        r#"{"a":[1,"x",null,0.5,true,-3]}"#
    );
}

#[test]
fn other_deserialisers_read_the_same_types() {
    let json = r#"{ "port": 81, "password": "hunter2", "text": "x" }"#;
    let settings: Settings = serde_json::from_str(json).unwrap();
    assert_eq!((*settings.port, settings.port.span.is_somewhere()), (81, false));
    assert_eq!(format!("{:?}", settings.password), "Some((hidden))");
}

#[test]
fn secrets_show_their_reference() {
    let settings: Settings = good(" { password: secret://env/TOKEN }");
    assert_eq!(format!("{:?}", settings.password), "Some(secret://env/TOKEN)");
    let settings: Settings = good(" { password: '${TOKEN}' }");
    assert_eq!(format!("{:?}", settings.password), "Some(${TOKEN})");
    assert_eq!(settings.password.unwrap().expose(), "hunter2");
    let settings: Settings = good(" { password: 1234 }");
    assert_eq!(format!("{:?}", settings.password), "Some((hidden))");
}
