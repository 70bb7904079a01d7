//! The ids that readings can have, as far as the settings tell.

use smollama_engine::glob::Glob;

use super::MqttConfig;
use crate::io::message::{Fields, Format, Part};
use crate::io::rows::path::plain;

impl MqttConfig {
    /// Patterns of all ids below the node's type part; `None` where they cannot be known.
    #[must_use]
    pub fn ids(&self) -> Option<Vec<Glob>> {
        let template = self.message().template().ok()?;
        let mut patterns = Vec::new();
        for (filter, _) in self.filters() {
            for topics in below(filter) {
                let id: String =
                    template.parts().iter().map(|part| written(part, &topics)).collect();
                // Two that touch are one.
                let id = id.replace("****", "**");
                for pattern in self.with_fields(&id) {
                    patterns.push(Glob::new(&pattern.replace("***", "**")).ok()?);
                }
            }
        }
        Some(patterns)
    }

    fn with_fields(&self, id: &str) -> Vec<String> {
        if matches!(self.format, Format::Number | Format::Text | Format::Edge) {
            return vec![id.to_owned()];
        }
        let named = match &self.fields {
            Some(Fields::Named(named)) if !self.others => named,
            _ => return vec![id.to_owned(), format!("{id}/**")],
        };
        let wanted = named.iter().filter(|(_, field)| !field.skip);
        let mut ids: Vec<String> = wanted
            .flat_map(|(name, field)| {
                let name = literal(field.id.as_deref().unwrap_or(&plain(name)));
                // With its place, where it was an entry of an array.
                [format!("{id}/{name}"), format!("{id}/*/{name}")]
            })
            .collect();
        if self.format == Format::Auto {
            ids.push(id.to_owned());
        }
        ids
    }
}

/// The topics that fit a filter, as patterns: `a/#` is also `a`.
fn below(filter: &str) -> Vec<Vec<String>> {
    let mut levels: Vec<String> = filter
        .split('/')
        .map(|level| match level {
            "+" => "*".to_owned(),
            "#" => "**".to_owned(),
            level => literal(level),
        })
        .collect();
    let mut all = vec![levels.clone()];
    if levels.len() > 1 && filter.ends_with('#') {
        levels.pop();
        all.push(levels);
    }
    all
}

fn literal(text: &str) -> String {
    text.replace('*', "?")
}

fn written(part: &Part, topic: &[String]) -> String {
    match part {
        Part::Text(text) => literal(text),
        Part::Topic => topic.join("/"),
        Part::Level(level) => {
            let open = topic.last().is_some_and(|last| last == "**");
            match topic.get(level.wrapping_sub(1)) {
                Some(known) if !(open && *level == topic.len()) => known.clone(),
                _ if open => "*".to_owned(),
                _ => "?".to_owned(),
            }
        }
        Part::Field(_) => "**".to_owned(),
    }
}
