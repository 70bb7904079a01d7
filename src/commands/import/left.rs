//! What stood in the old settings and has no place here: said with the reason, and quoted in the new `config.yaml`.

use serde::Serialize;

use super::old::{Old, Tree};

/// Settings that have no place.
#[derive(Debug, Serialize)]
pub(super) struct Left {
    /// The key, such as `plugins.builtin.gpio`.
    pub(super) key: String,
    /// Where it stands: `config.yaml:12`.
    pub(super) from: String,
    pub(super) why: String,
    /// As it stood there.
    #[serde(skip)]
    yaml: String,
}

const UNKNOWN: &str = "the old program did not know it, either";

/// The sections of the old program, with the keys that are taken over and why the rest is not.
const SECTIONS: [(&str, &[&str], &str); 13] = [
    ("node", &["name"], UNKNOWN),
    ("mqtt", &["broker", "port", "username", "password", "topics"], UNKNOWN),
    ("ollama", &[], "nothing here asks a model yet"),
    ("gpio", &[], PINS),
    ("agent", &["mode", "edge_publish_interval_seconds"], "there is no agent here yet"),
    (
        "memory",
        &["db_path", "observation_interval_minutes", "readings_max_age_days"],
        "nothing here observes or remembers yet",
    ),
    ("sync", &[], "hosts do not tell each other what they know yet"),
    ("mem0", &[], "hosts do not tell each other what they know yet"),
    ("discovery", &[], "hosts do not look for each other yet"),
    ("cluster", &[], PLANNED),
    ("openclaw", &[], PLANNED),
    ("plugins", &["paths", "builtin", "custom"], UNKNOWN),
    ("logging", &[], UNKNOWN),
];

const PLANNED: &str = "the old program had plans for it, and did nothing with it";
const PINS: &str = "no source here reads pins yet";
const DRIVES: &str = "no sink here drives pins or displays yet";
const PYTHON: &str = "a plugin in Python cannot run here";

/// Plugins of the old program that nothing here stands for.
const PLUGINS: [(&str, &str); 8] = [
    ("gpio", PINS),
    ("dht11", PINS),
    ("hcsr04", PINS),
    ("led", DRIVES),
    ("lcd1602", DRIVES),
    ("s5161as", DRIVES),
    ("sh5461as", DRIVES),
    ("macos_temp", "the source `system` reads Linux only"),
];

/// Plugins that sources here stand for.
pub(super) const TAKEN: [&str; 2] = ["system", "jetson_inference"];

/// All that is not taken over. `refused` are keys that would be, but whose values cannot.
pub(super) fn left(old: &Old, refused: &[(String, String)]) -> Vec<Left> {
    let mut found = Vec::new();
    let mut add = |key: &str, tree: &Tree, why: &str| {
        let name = key.rsplit('.').next().unwrap_or(key);
        found.push(Left {
            key: key.to_owned(),
            from: old.place(tree),
            why: why.to_owned(),
            yaml: tree.yaml(name),
        });
    };
    for (key, why) in refused {
        if let Some(tree) = old.get(key) {
            add(key, tree, why);
        }
    }
    for (section, tree) in old.root.as_map().unwrap_or_default() {
        let known = SECTIONS.iter().find(|(name, ..)| name == section);
        let (taken, why) = known.map_or((&[][..], UNKNOWN), |(_, taken, why)| (*taken, *why));
        if let Some(rest) = tree.without(taken).filter(|rest| !is_nothing(rest)) {
            add(section, &rest, why);
        }
    }
    if let Some(paths) = old.get("plugins.paths").filter(|paths| !paths.elements().is_empty()) {
        add("plugins.paths", paths, PYTHON);
    }
    for (name, tree) in old.get("plugins.builtin").and_then(Tree::as_map).unwrap_or_default() {
        let key = format!("plugins.builtin.{name}");
        let is_off = tree.get("enabled").and_then(Tree::as_bool) == Some(false);
        let why = PLUGINS.iter().find(|(known, _)| known == name).map(|(_, why)| *why);
        match (TAKEN.contains(&name.as_str()), is_off) {
            (true, false) => {}
            (true, true) => add(&key, tree, "it was switched off"),
            (false, true) => {
                let why = why.unwrap_or(PYTHON);
                add(&key, tree, &format!("it was switched off, and {why}"));
            }
            (false, false) => add(&key, tree, why.unwrap_or(PYTHON)),
        }
    }
    for tree in old.get("plugins.custom").map(Tree::elements).unwrap_or_default() {
        let name = tree.get("name").and_then(Tree::as_text).unwrap_or("custom");
        add(&format!("plugins.custom.{name}"), tree, PYTHON);
    }
    found
}

/// Whether nothing stands there that could be missed.
fn is_nothing(tree: &Tree) -> bool {
    tree.is_null() || tree.as_map().is_some_and(<[_]>::is_empty)
}

impl Left {
    /// As a comment in YAML.
    pub(super) fn comment(&self) -> String {
        let Left { key, from, why, yaml } = self;
        let from = if from.is_empty() { String::new() } else { format!(", {from}") };
        let quoted: String = yaml.lines().map(|line| format!("#   {line}\n")).collect();
        format!("# {key}{from}: {why}.\n{quoted}")
    }
}
