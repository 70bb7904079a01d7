//! What an old node measured and heard as a pipeline of ours.

use super::old::{Old, Tree, value};
use super::settings::{Role, absolute};
use crate::commands::init::files::PIPELINE_SCHEMA;
use crate::text::plain;

/// How often the old program observed, and wrote readings down, where nobody said otherwise.
const OBSERVED_EVERY_MIN: u64 = 15;
/// How old the file of a camera may be.
const CAMERA_MAX_AGE_S: u64 = 30;

/// What the old node measured and heard.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// `None` where it measured nothing and heard nobody.
    pub(super) text: Option<String>,
    /// Subscriptions that have no place here, with the reason.
    pub(super) refused: Vec<(String, String)>,
}

/// Writes it.
pub(super) fn pipeline(old: &Old, role: &Role) -> Pipeline {
    let (mut sources, mut names) = (String::new(), Vec::new());
    let every = if role.is_edge { role.every_s } else { role.every_s.min(30) };
    if is_on(old, "system") {
        names.push("system");
        let origin = plugin_origin(old, "system");
        sources += &format!(
            "  # {origin}. The same sources under the same names, and those beside them.
  system:
    every: {every}s
    system: {{ metrics: [temperature, frequency, load, memory] }}
"
        );
    }
    if let Some(camera) = camera(old) {
        names.push("jetson_inference");
        sources += &camera;
    }
    let measured = names.clone();
    let (edges, refused) = if role.is_edge { (String::new(), Vec::new()) } else { edges(old) };
    if !edges.is_empty() {
        names.push("edges");
        sources += &edges;
    }
    if names.is_empty() {
        return Pipeline { text: None, refused };
    }
    let heartbeat = old.number("memory.observation_interval_minutes");
    let heartbeat = heartbeat.unwrap_or(OBSERVED_EVERY_MIN).clamp(1, 1_440);
    let (state, sink) = published(role, &measured);
    let text = format!(
        "# yaml-language-server: $schema=../{PIPELINE_SCHEMA}
#
# What the Python Smollama of this machine measured and heard, written by `smollama import`. What it had that has no place here
# yet stands at the end of config.yaml. `smollama nodes` lists what else there is.
pipeline: home
description: What the Python Smollama of this machine measured and heard

sources:
{sources}
transforms:
  # The old program wrote down one reading of each source every {heartbeat} minutes ({origin}).
  # Here what moved is kept, and what did not as often as that.
  changes:
    inputs: [{inputs}]
    dedup: {{ deadband: 2%, heartbeat: {heartbeat}m }}
{state}
sinks:
  # Also where `smollama import` put the old readings: in the data directory, below `history`. Any Parquet reader opens it.{age}
  history:
    inputs: [changes]
    parquet: {{}}
{sink}
tests:
  - name: what does not move is kept every {heartbeat} minutes
    given:
      - {{ node: {first}, source: \"{source}\", from: 0s, every: {heartbeat}m, count: 3, value: 41.5 }}
      - {{ node: {first}, source: \"{source}\", at: {between}s, value: 41.6 }}
    expect:
      - {{ node: changes, count: 3 }}
",
        origin = plain(&old.origin("memory.observation_interval_minutes")),
        inputs = names.join(", "),
        age = age(old),
        first = names.first().copied().unwrap_or_default(),
        source = match names.first().copied().unwrap_or_default() {
            "system" => "system:mem_percent",
            "edges" => "attic:system:mem_percent",
            _ => "jetson_inference:person_count",
        },
        between = heartbeat * 30,
    );
    Pipeline { text: Some(text), refused }
}

/// How long readings were kept, which is not taken over: it would remove what was imported.
fn age(old: &Old) -> String {
    let Some(days) = old.number("memory.readings_max_age_days") else { return String::new() };
    format!(
        "\n  # The old program removed readings after {days} days ({}): `parquet: {{ keep: {days}d }}` does so too.",
        plain(&old.origin("memory.readings_max_age_days"))
    )
}

/// Whether a plugin was to run. Without any plugins in its settings the old program measured the machine.
fn is_on(old: &Old, name: &str) -> bool {
    match old.get(&format!("plugins.builtin.{name}")) {
        Some(plugin) => plugin.get("enabled").and_then(Tree::as_bool) != Some(false),
        None => name == "system",
    }
}

fn plugin_origin(old: &Old, name: &str) -> String {
    let key = format!("plugins.builtin.{name}");
    match old.get(&key) {
        Some(plugin) => format!("{key}, {}", plain(&old.place(plugin))),
        None => {
            "The old program measured the machine it ran on, also where nobody asked for it".into()
        }
    }
}

/// The file of a camera.
fn camera(old: &Old) -> Option<String> {
    let name = "jetson_inference";
    old.get(&format!("plugins.builtin.{name}")).filter(|_| is_on(old, name))?;
    let set = |key: &str| old.text(&format!("plugins.builtin.{name}.config.{key}"));
    let path = set("file_path").unwrap_or_else(|| "~/.smollama/jetson_inference.json".into());
    let path = value(&absolute(&path).display().to_string());
    let max_age = set("max_age_seconds").and_then(|text| text.parse::<f64>().ok());
    let max_age =
        max_age.filter(|age| *age >= 1.0).map_or(CAMERA_MAX_AGE_S, |age| age.ceil() as u64);
    let as_type = set("source_type").filter(|word| word != name && !word.is_empty());
    let as_type = as_type.map(|word| format!("    as: {}\n", value(&word))).unwrap_or_default();
    Some(format!(
        "  # {origin}. The file in which a vision program says what it sees.
  {name}:
{as_type}    file_watch: {{ path: {path}, format: jetson, max_age: {max_age}s }}
",
        origin = plugin_origin(old, name)
    ))
}

/// What edge nodes publish, and the subscriptions that were for something else.
fn edges(old: &Old) -> (String, Vec<(String, String)>) {
    let key = "mqtt.topics.subscribe";
    let written = old.get(key).map(Tree::elements).unwrap_or_default();
    let mut filters: Vec<&str> = written.iter().filter_map(Tree::as_text).collect();
    if filters.is_empty() {
        filters.push("smollama/#");
    }
    let mut topics: Vec<String> = Vec::new();
    let mut others = Vec::new();
    for filter in filters {
        let topic = readings_of(filter);
        if topic.as_deref() != Some(filter) {
            others.push(value(filter));
        }
        match topic {
            Some(topic) if topics.iter().any(|known| covers(known, &topic)) => {}
            Some(topic) => {
                topics.retain(|known| !covers(&topic, known));
                topics.push(topic);
            }
            None => {}
        }
    }
    let why = format!(
        "what came on {} and was no reading of an edge node went to the agent as text, and there is no agent here yet",
        others.join(", ")
    );
    let refused = if others.is_empty() { Vec::new() } else { vec![(key.to_owned(), why)] };
    if topics.is_empty() {
        return (String::new(), refused);
    }
    let topics: Vec<String> = topics.iter().map(|topic| value(topic)).collect();
    let text = format!(
        "  # {}. What edge nodes publish: each reading is a source of theirs, such as attic:system:cpu_temp.
  edges:
    mqtt: {{ topics: [{}], format: edge, qos: 0 }}
",
        plain(&old.origin(key)),
        topics.join(", ")
    );
    (text, refused)
}

/// The topics below a filter on which edge nodes publish readings: those that end so, and name a node before it.
fn readings_of(filter: &str) -> Option<String> {
    let levels: Vec<&str> = filter.split('/').collect();
    let (last, front) = levels.split_last()?;
    let front = front.join("/");
    match (*last, front.split('/').count()) {
        ("#", _) if front.is_empty() => Some("+/+/readings".into()),
        ("#", 1) => Some(format!("{front}/+/readings")),
        ("#", _) if front.starts_with("smollama/") => Some(format!("{front}/readings")),
        ("#", _) => Some(format!("{front}/+/readings")),
        ("readings" | "+", 2..) => Some(format!("{front}/readings")),
        _ => None,
    }
}

/// Whether one filter has all topics of another that `readings_of` gave.
fn covers(filter: &str, other: &str) -> bool {
    let (one, two): (Vec<&str>, Vec<&str>) =
        (filter.split('/').collect(), other.split('/').collect());
    one.len() == two.len() && one.iter().zip(&two).all(|(a, b)| a == b || *a == "+")
}

/// What an edge host publishes by itself is on `smollama/<name>/readings`; elsewhere it is two nodes.
fn published(role: &Role, measured: &[&str]) -> (String, String) {
    let Some(prefix) = role.prefix.as_ref().filter(|_| role.is_edge && !measured.is_empty()) else {
        return (String::new(), String::new());
    };
    let state = format!(
        "  # What `role: edge` would publish on smollama/<name>/readings goes where the old program published (mqtt.topics.publish_prefix).
  edge_state:
    inputs: [{}]
    latest: {{ every: {}s }}
",
        measured.join(", "),
        role.every_s
    );
    let topic = value(&format!("{prefix}/readings"));
    let sink = format!(
        "  edge:\n    inputs: [edge_state]\n    mqtt: {{ topic: {topic}, payload: edge }}\n"
    );
    (state, sink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_narrowed_to_what_edge_nodes_publish() {
        for (filter, wanted) in [
            ("smollama/#", Some("smollama/+/readings")),
            ("smollama/attic/#", Some("smollama/attic/readings")),
            ("smollama/+/readings", Some("smollama/+/readings")),
            ("smollama/attic/+", Some("smollama/attic/readings")),
            ("home/floor/#", Some("home/floor/+/readings")),
            ("#", Some("+/+/readings")),
            ("smollama/broadcast", None),
            ("readings", None),
            ("attic/readings", None),
        ] {
            assert_eq!(readings_of(filter).as_deref(), wanted, "{filter}");
        }
        assert!(covers("smollama/+/readings", "smollama/attic/readings"));
        assert!(!covers("smollama/attic/readings", "smollama/+/readings"));
    }
}
