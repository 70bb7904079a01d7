//! All generated files of `docs/`.

use super::{markdown, node};
use crate::diagnostic::rules;
use crate::registry::Registry;
use crate::schema;

/// A generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it lies below `docs/`: `nodes/transform-dedup.md`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Every file of `docs/` that comes from the code: pages of nodes and rules with their lists, and the schemas.
#[must_use]
pub fn pages(registry: &Registry) -> Vec<Page> {
    let page = |path: String, text: String| Page { path, text };
    let nodes = node::all(registry);
    let mut all = vec![
        page("nodes/README.md".into(), markdown::index(&nodes)),
        page("rules/README.md".into(), markdown::rule_index()),
    ];
    all.extend(
        nodes.iter().map(|one| page(format!("nodes/{}.md", one.slug()), markdown::node(one))),
    );
    all.extend(
        rules::all().map(|rule| page(format!("rules/{}.md", rule.id), markdown::rule(rule))),
    );
    let schemas = [
        ("pipeline", schema::pipeline_schema(registry)),
        ("config", schema::config_schema()),
        ("items", schema::items_schema()),
        ("backtest", schema::backtest_schema()),
    ];
    // `{:#}` of a JSON value is the same value with line breaks.
    all.extend(
        schemas.map(|(name, schema)| {
            page(format!("schema/{name}.schema.json"), format!("{schema:#}\n"))
        }),
    );
    all
}
