//! Every check there is, each with a stable id and what its page says.
//!
//! An id is never used for another rule, also after its rule has gone. The pages under `docs/rules/` are generated
//! from this table by [`page`].

mod files;
mod graph;
mod pipeline;
mod values;
mod yaml;

use std::fmt::Write as _;

pub use files::*;
pub use graph::*;
pub use pipeline::*;
pub use values::*;
pub use yaml::*;

/// One check.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// `SM0012`: what scripts and people refer to.
    pub id: &'static str,
    /// `duplicate-key`: the same in words.
    pub name: &'static str,
    /// One line, lower case.
    pub title: &'static str,
    /// What is wrong and why it matters, a few sentences.
    pub meaning: &'static str,
    /// A file, or a part of one, that breaks the rule.
    pub example: &'static str,
    /// How it is mended.
    pub fix: Fix,
}

/// How the example of a [`Rule`] is mended.
#[derive(Debug, PartialEq, Eq)]
pub enum Fix {
    /// The example, mended.
    Yaml(&'static str),
    /// Where there is no single way.
    Words(&'static str),
}

impl Rule {
    /// The text of a `serde::de::Error::custom` that is to be reported under this rule, at the value being read.
    ///
    /// Lines of `message` that begin with `help: ` become help lines.
    pub fn says(&self, message: impl std::fmt::Display) -> String {
        format!("{}: {message}", self.id)
    }

    /// The rule with this id.
    pub fn by_id(id: &str) -> Option<&'static Self> {
        all().find(|rule| rule.id == id)
    }
}

/// Every rule, by id.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [files::ALL, yaml::ALL, values::ALL, pipeline::ALL, graph::ALL].into_iter().flatten().copied()
}

/// The page of a rule, as Markdown.
pub fn page(rule: &Rule) -> String {
    let mut page =
        format!("# {}: {}\n\n`{}`\n\n{}\n", rule.id, rule.title, rule.name, rule.meaning);
    let yaml = |page: &mut String, heading: &str, text: &str| {
        // Writing to a `String` cannot fail.
        let _ = write!(page, "\n## {heading}\n\n```yaml\n{}\n```\n", text.trim_end());
    };
    if !rule.example.is_empty() {
        yaml(&mut page, "Example", rule.example);
    }
    match rule.fix {
        Fix::Yaml(text) => yaml(&mut page, "Fix", text),
        Fix::Words(text) => {
            let _ = write!(page, "\n## Fix\n\n{text}\n");
        }
    }
    page
}
