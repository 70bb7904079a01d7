//! One thing by its name: a type, a setting, an engine word, a key of a file, or a rule.

use serde::Serialize;
use serde_json::{Map, Value};

use super::fields::{ANY_KEY, Schemas, Setting};
use super::node::{self, NodePage};
use crate::config::{EngineWord, Section};
use crate::diagnostic::{Rule, nearest, rules};
use crate::registry::Registry;
use crate::schema;

/// Something that was asked for.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Entry {
    /// A type of node.
    Node(NodePage),
    /// An engine word, a key at the top of a pipeline file, or `config.yaml`.
    Topic {
        /// As it is written.
        name: String,
        /// What it is: "a word of the engine, for transforms, agents and sinks".
        what: String,
        /// What it takes.
        takes: String,
        /// What it is for.
        text: String,
        /// What lies below it.
        settings: Vec<Setting>,
    },
    /// A setting.
    Setting {
        /// What it belongs to: "transform dedup", "when".
        owner: String,
        /// The setting.
        setting: Setting,
        /// What lies below it.
        below: Vec<Setting>,
    },
    /// A rule, as its page.
    Rule {
        /// `SM0071`.
        id: String,
        /// Markdown.
        page: String,
    },
}

/// All that goes by a name: `dedup`, `transform-dedup`, `dedup.overrides.match`, `when.value`, `tests`, `config.limits`,
/// `SM0071` or `dangling-input`.
///
/// # Errors
/// There is nothing of that name; the text is the message, and where one is near, a help line with it.
pub fn explain(registry: &Registry, what: &str) -> Result<Vec<Entry>, String> {
    if let Some(rule) = rules::all().find(|rule| is_rule(rule, what)) {
        return Ok(vec![Entry::Rule { id: rule.id.to_owned(), page: rules::page(rule) }]);
    }
    let (first, rest) = what.split_once('.').unwrap_or((what, ""));
    let mut owners: Vec<Owner> = node::all(registry)
        .into_iter()
        .filter(|page| page.name == first || page.slug() == first)
        .map(Owner::Node)
        .collect();
    owners.extend(topic(registry, first).map(Owner::Topic));
    if owners.is_empty() {
        return Err(unknown(registry, first));
    }
    let found: Vec<Entry> = owners.iter().filter_map(|owner| owner.find(rest)).collect();
    if found.is_empty() { Err(unknown_setting(&owners, first, rest)) } else { Ok(found) }
}

fn is_rule(rule: &Rule, what: &str) -> bool {
    rule.id.eq_ignore_ascii_case(what) || rule.name == what
}

struct Topic {
    name: String,
    what: String,
    takes: String,
    text: String,
    settings: Vec<Setting>,
}

enum Owner {
    Node(NodePage),
    Topic(Topic),
}

impl Owner {
    fn settings(&self) -> &[Setting] {
        match self {
            Owner::Node(page) => &page.settings,
            Owner::Topic(topic) => &topic.settings,
        }
    }

    fn find(&self, path: &str) -> Option<Entry> {
        if path.is_empty() {
            return Some(match self {
                Owner::Node(page) => Entry::Node(page.clone()),
                Owner::Topic(topic) => Entry::Topic {
                    name: topic.name.clone(),
                    what: topic.what.clone(),
                    takes: topic.takes.clone(),
                    text: topic.text.clone(),
                    settings: topic.settings.clone(),
                },
            });
        }
        let settings = self.settings();
        let setting = settings.iter().find(|setting| fits(&setting.path, path))?;
        let below = settings.iter().filter(|other| {
            let rest = other.path.strip_prefix(&setting.path);
            rest.is_some_and(|rest| rest.starts_with('.') || rest.starts_with('['))
        });
        let owner = match self {
            Owner::Node(page) => format!("{} {}", page.kind, page.name),
            Owner::Topic(topic) => topic.name.clone(),
        };
        Some(Entry::Setting { owner, setting: setting.clone(), below: below.cloned().collect() })
    }
}

/// Whether a setting's path is what was asked for: without the marks of lists, and with or without the names of entries.
fn fits(path: &str, asked: &str) -> bool {
    let path = path.replace("[]", "");
    let asked: Vec<&str> = asked.split('.').collect();
    let without: Vec<&str> = path.split('.').filter(|part| *part != ANY_KEY).collect();
    let with: Vec<&str> = path.split('.').collect();
    without == asked
        || (with.len() == asked.len()
            && with.iter().zip(&asked).all(|(part, asked)| *part == ANY_KEY || part == asked))
}

fn topic(registry: &Registry, name: &str) -> Option<Topic> {
    if name == "config" {
        let schema = schema::raw_config_schema();
        let what = "the file `config.yaml`: settings of the host";
        let defs = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
        return Some(of_schema(name, what.into(), &schema, &defs));
    }
    if let Some(word) = EngineWord::from_key(name) {
        let mut generator = schema::generator();
        let schema = schema::word_schema(word, &mut generator);
        let mut defs = schema::definitions(&mut generator);
        defs.insert("address".into(), Value::Object(Map::new()));
        let sections: Vec<&str> = word.sections().iter().map(|section| section.key()).collect();
        let what = match sections.len() == Section::ALL.len() {
            true => "a word of the engine, for all nodes".to_owned(),
            false => format!("a word of the engine, for {}", sections.join(", ")),
        };
        return Some(of_schema(name, what, &schema, &defs));
    }
    let text = schema::top_key(name)?;
    let what = "a key at the top of a pipeline file".to_owned();
    if name == "templates" {
        let mut topic = of_schema(name, what, &schema::raw_template_schema(), &Map::new());
        text.clone_into(&mut topic.text);
        "templates, by name".clone_into(&mut topic.takes);
        return Some(topic);
    }
    if name == "tests" {
        let (schema, defs) = schema::raw_tests_schema();
        let mut topic = of_schema(name, what, &schema, &defs);
        text.clone_into(&mut topic.text);
        return Some(topic);
    }
    let takes = match Section::from_key(name) {
        Some(section) => {
            format!("nodes of these types: {}", registry.names(section).join(", "))
        }
        None => "text".into(),
    };
    Some(Topic { name: name.to_owned(), what, takes, text: text.to_owned(), settings: Vec::new() })
}

fn of_schema(name: &str, what: String, schema: &Value, defs: &Map<String, Value>) -> Topic {
    let schemas = Schemas(defs);
    let own = schemas.text(schema);
    // What a word is for, and then what the comment of its type says in detail.
    let mut detail = schema.clone();
    detail.as_object_mut().and_then(|map| map.remove("description"));
    let detail = schemas.text(&detail);
    let text = if detail.is_empty() { own } else { format!("{own}\n\n{detail}") };
    // The borrow of the definitions outlives that of the schema, so the rows are made from a definition of its own.
    let mut all = defs.clone();
    all.insert(String::new(), schema.clone());
    let rows = Schemas(&all);
    let settings = all.get("").map(|schema| rows.settings(schema)).unwrap_or_default();
    Topic { name: name.to_owned(), what, takes: schemas.takes(schema, 0), text, settings }
}

fn unknown(registry: &Registry, name: &str) -> String {
    let known = registry
        .iter()
        .map(|one| one.name)
        .chain(EngineWord::ALL.map(EngineWord::key))
        .chain(schema::top_keys())
        .chain(["config"])
        .chain(rules::all().flat_map(|rule| [rule.id, rule.name]));
    let near = nearest(name, known);
    let message = format!(
        "there is no type, engine word, key or rule `{}`",
        crate::diagnostic::shortened(name)
    );
    match near {
        Some(near) => format!("{message}\nhelp: did you mean `{near}`?"),
        None => format!(
            "{message}\nhelp: `smollama nodes` lists the types, docs/rules/README.md the rules"
        ),
    }
}

fn unknown_setting(owners: &[Owner], name: &str, path: &str) -> String {
    let paths: Vec<String> = owners
        .iter()
        .flat_map(|owner| owner.settings().iter().map(|setting| setting.path.replace("[]", "")))
        .collect();
    let message = format!("`{name}` has no setting `{}`", crate::diagnostic::shortened(path));
    // The last word alone too: `dedup.match` is `dedup.overrides.match`.
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let by_last = paths.iter().find(|known| last(known) == last(path));
    match nearest(path, paths.iter().map(String::as_str)).or(by_last.map(String::as_str)) {
        Some(near) => format!("{message}\nhelp: did you mean `{name}.{near}`?"),
        None if paths.is_empty() => format!("{message}\nhelp: it has no settings"),
        None => {
            let top = paths.iter().filter(|path| !path.contains('.')).map(String::as_str);
            format!("{message}\nhelp: it has {}", crate::diagnostic::all_of(top))
        }
    }
}
