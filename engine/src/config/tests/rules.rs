use super::broken_rules;
use crate::diagnostic::rules::{self, Fix};

/// Rules that are checked later than here, or need more than a text.
fn is_checked_here(id: &str) -> bool {
    let number: u32 = id["SM".len()..].parse().unwrap();
    matches!(number, 5 | 10..=12 | 15..=23 | 50..=59)
}

#[test]
fn every_example_breaks_its_rule_and_the_fix_mends_it() {
    for rule in rules::all().filter(|rule| is_checked_here(rule.id)) {
        assert!(!rule.example.is_empty(), "{} has no example", rule.id);
        let broken = broken_rules(rule.example);
        assert!(broken.contains(&rule.id), "{}: the example breaks {broken:?}", rule.id);
        if let Fix::Yaml(fix) = rule.fix {
            let left = broken_rules(fix);
            assert!(left.is_empty(), "{}: the fix breaks {left:?}", rule.id);
        }
    }
}
