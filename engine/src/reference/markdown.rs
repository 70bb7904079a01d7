//! Pages as Markdown.

use std::fmt::Write as _;

use super::fields::Setting;
use super::node::{NodePage, Port};
use crate::registry::Section;

/// The first line of every generated page.
const MARK: &str =
    "<!-- Generated from the code; `UPDATE=1 cargo test --test all reference` writes it. -->\n";

/// The page of a type of node.
pub(super) fn node(page: &NodePage) -> String {
    let mut out = format!("{MARK}# {} ({})\n\n{}\n", page.name, page.kind, page.text.trim());
    out.push_str("\n## Ports\n\n");
    for (word, ports) in [("In", &page.inputs), ("Out", &page.outputs)] {
        for port in ports {
            // Writing to a `String` cannot fail.
            let _ = writeln!(out, "- {word}: `{}`, {}", port.name, kinds(port));
        }
    }
    if let Some(pace) = &page.pace {
        let _ = write!(out, "\nThis source is {}.\n", pace.replace("speaks", "one that speaks"));
    }
    if page.settings.is_empty() {
        let _ = write!(out, "\n## Settings\n\nNone: `{}: {{}}`.\n", page.name);
    } else {
        out.push_str("\n## Settings\n\n| setting | takes | default | |\n|---|---|---|---|\n");
        page.settings.iter().for_each(|setting| row(&mut out, setting));
    }
    let _ = write!(out, "\n## Example\n\n```yaml\n{}\n```\n", page.example.trim_end());
    out
}

fn kinds(port: &Port) -> String {
    port.kinds.join(", ")
}

fn row(out: &mut String, setting: &Setting) {
    let default = match &setting.default {
        Some(default) if default.contains([' ', '`']) => default.clone(),
        Some(default) => format!("`{default}`"),
        None if setting.required => "needed".into(),
        None => String::new(),
    };
    let mut text = setting.text.clone();
    for choice in &setting.choices {
        let _ = write!(text, "<br>`{}`: {}", choice.word, choice.text);
    }
    let cells = [format!("`{}`", setting.path), setting.takes.clone(), default, text];
    let _ = writeln!(out, "| {} |", cells.map(|text| cell(&text)).join(" | "));
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace("\n\n", "<br>").replace('\n', " ")
}

/// The list of all types.
pub(super) fn index(pages: &[NodePage]) -> String {
    let mut out = format!(
        "{MARK}# Nodes\n\nEvery type of node there is. A page is also shown by `smollama nodes TYPE`, a setting by `smollama explain TYPE.SETTING`.\n"
    );
    for kind in Section::ALL {
        let of_kind = pages.iter().filter(|page| page.kind == kind.singular());
        let lines: String = of_kind
            .map(|page| {
                let text = cell(page.summary());
                format!("| [{}]({}.md) | {text} |\n", page.name, page.slug())
            })
            .collect();
        if !lines.is_empty() {
            let section = kind.key();
            let _ = write!(out, "\n## `{section}`\n\n| type | |\n|---|---|\n{lines}");
        }
    }
    out
}

/// The list of all rules.
pub(super) fn rule_index() -> String {
    let mut out = format!(
        "{MARK}# Rules\n\nWhat the checker finds wrong, each with an id that never changes its meaning. `smollama explain ID` shows a page.\n\n| id | name | |\n|---|---|---|\n"
    );
    for rule in crate::diagnostic::rules::all() {
        let _ =
            writeln!(out, "| [{0}]({0}.md) | `{1}` | {2} |", rule.id, rule.name, cell(rule.title));
    }
    out
}

/// The page of a rule.
pub(super) fn rule(rule: &crate::diagnostic::Rule) -> String {
    format!("{MARK}{}", crate::diagnostic::rules::page(rule))
}
