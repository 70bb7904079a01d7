//! The examples of the rules: each breaks the rule it stands for, and its mended form does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use smollama_engine::config::Loader;
use smollama_engine::diagnostic::Rule;
use smollama_engine::diagnostic::rules::{self, Fix};
use smollama_engine::plan::plan_loaded;

/// The ids of everything that is wrong with a file.
fn reported(yaml: &str) -> BTreeSet<&'static str> {
    let variables = |name: &str| (name == "HOME").then(|| "/home/sam".to_owned());
    let mut loader = Loader::new(&variables);
    loader.text(Path::new("example.yaml"), yaml);
    let planned = plan_loaded(loader.finish(), &smollama_nodes::registry());
    planned.diagnostics.iter().map(|found| found.rule.id).collect()
}

/// Whether a file speaks of types of node that this version has not: then it says nothing about other rules.
fn needs_other_types(rule: &Rule, found: &BTreeSet<&str>) -> bool {
    rule.id != rules::UNKNOWN_NODE_TYPE.id && found.contains(rules::UNKNOWN_NODE_TYPE.id)
}

#[test]
fn every_example_breaks_its_rule() {
    for rule in rules::all().filter(|rule| !rule.example.is_empty()) {
        let found = reported(rule.example);
        let excused = needs_other_types(rule, &found);
        assert!(found.contains(rule.id) || excused, "{}: {found:?}", rule.id);
    }
}

#[test]
fn every_fix_mends_the_example() {
    for rule in rules::all() {
        let Fix::Yaml(mended) = rule.fix else { continue };
        let found = reported(mended);
        // That nobody reads from a node is a warning, and examples are short.
        let wrong: Vec<_> = found.iter().filter(|id| **id != rules::UNUSED_OUTPUT.id).collect();
        assert!(wrong.is_empty() || needs_other_types(rule, &found), "{}: {wrong:?}", rule.id);
    }
}

#[test]
fn ids_and_names_are_unique_and_every_rule_is_explained() {
    let mut seen = BTreeMap::new();
    for rule in rules::all() {
        for word in [rule.id, rule.name] {
            assert_eq!(seen.insert(word, rule.id), None, "{word} is used twice");
        }
        let digits = rule.id.strip_prefix("SM").unwrap_or_default();
        assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", rule.id);
        assert!(!rule.title.is_empty() && rule.meaning.len() > 20, "{}", rule.id);
        assert_eq!(Rule::by_id(rule.id).map(|one| one.id), Some(rule.id));
        let fix = match rule.fix {
            Fix::Yaml(text) | Fix::Words(text) => text,
        };
        assert!(!fix.is_empty(), "{}", rule.id);
        let mends = matches!(rule.fix, Fix::Yaml(_));
        assert!(!mends || !rule.example.is_empty(), "{} mends nothing", rule.id);
    }
}
