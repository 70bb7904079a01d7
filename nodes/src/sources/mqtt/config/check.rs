//! What can be wrong with the settings.

use smollama_engine::registry::Problem;

use super::{Fields, Format, MqttConfig};
use crate::io::rows::time::settings;
use crate::sources::mqtt::decode::Template;

/// The longest topic filter there is.
const FILTER_MAX: usize = 65_535;

impl MqttConfig {
    /// All that is wrong with the settings.
    #[must_use]
    pub fn all_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_topics(&mut problems);
        self.check_fields(&mut problems);
        if let Some(Err(problem)) = self.id.as_deref().map(Template::new) {
            problems.push(problem);
        }
        for (label, level) in &self.topic_labels {
            if *level == 0 {
                let problem = Problem::at(format!("topic_labels.{label}"), "there is no level 0");
                problems.push(problem.help("levels are counted from 1"));
            }
        }
        problems.extend(settings::problems(self.zone.as_deref(), self.time_format.as_deref()));
        problems
    }

    fn check_topics(&self, problems: &mut Vec<Problem>) {
        match (&self.topic, self.topics.is_empty()) {
            (None, true) => problems.push(
                Problem::at("", "nothing says which topics to take")
                    .help("write `topic: greenhouse/+/air`, or several in `topics`"),
            ),
            (Some(_), false) => problems.push(
                Problem::at("topics", "`topic` and `topics` are both set")
                    .help("put the filter of `topic` into `topics`"),
            ),
            _ => {}
        }
        let one = self.topic.iter().map(|topic| ("topic".to_owned(), topic));
        let many = self.topics.iter().enumerate();
        let many = many.map(|(place, one)| (format!("topics[{place}]"), &one.topic));
        for (field, filter) in one.chain(many) {
            if let Some((message, help)) = problem_of_filter(filter) {
                problems.push(Problem::at(field, message).help(help));
            }
        }
        if self
            .share
            .as_ref()
            .is_some_and(|group| group.is_empty() || group.contains(['/', '+', '#', '\0']))
        {
            let message = "the name of a group must not be empty, nor hold `/`, `+` or `#`";
            problems
                .push(Problem::at("share", message).help("write a name such as `share: hosts`"));
        }
    }

    fn check_fields(&self, problems: &mut Vec<Problem>) {
        if self.value.is_some() && self.fields.is_some() {
            problems.push(
                Problem::at("fields", "`value` and `fields` are both set")
                    .help("`value` is for one reading a message, `fields` for several"),
            );
        }
        match &self.fields {
            Some(Fields::Named(named)) if named.is_empty() && !self.others => problems.push(
                Problem::at("fields", "there is none").help("leave `fields` out to take all"),
            ),
            Some(Fields::Named(_)) => {}
            _ if self.others => problems.push(
                Problem::at("others", "it goes with a map in `fields`")
                    .help("leave it out: without `fields` all of them are taken"),
            ),
            _ => {}
        }
        if self.format.has_fields() {
            return;
        }
        let format = match self.format {
            Format::Edge => "edge",
            Format::Number => "number",
            _ => "text",
        };
        let set = [
            ("fields", self.fields.is_some()),
            ("value", self.value.is_some()),
            ("each", self.each.is_some()),
            ("time", self.time.is_some()),
            ("id", self.format == Format::Edge && self.id.is_some()),
            ("type", self.format == Format::Edge && self.kind.is_some()),
        ];
        for (field, _) in set.into_iter().filter(|(_, set)| *set) {
            problems.push(
                Problem::at(field, format!("it means nothing with `format: {format}`"))
                    .help("take it away, or write `format: json`"),
            );
        }
        let fields = self.id.as_deref().and_then(|id| Template::new(id).ok());
        if fields.is_some_and(|template| template.fields().next().is_some()) {
            let message = format!("there are no fields with `format: {format}`");
            problems.push(Problem::at("id", message).help("use `{topic}` or its levels, `{2}`"));
        }
    }
}

/// What is wrong with a topic filter, and how to mend it.
fn problem_of_filter(filter: &str) -> Option<(String, &'static str)> {
    if filter.is_empty() {
        return Some(("it is empty".into(), "write a topic such as `greenhouse/+/air`"));
    }
    if filter.len() > FILTER_MAX {
        return Some((format!("it is longer than {FILTER_MAX} bytes"), "take a shorter one"));
    }
    if filter.contains('\0') {
        return Some(("it holds a NUL character".into(), "no topic can hold one"));
    }
    if filter.starts_with("$share/") {
        return Some((format!("`{filter}` names a group"), "write the group's name in `share`"));
    }
    let levels = filter.split('/').count();
    for (place, level) in filter.split('/').enumerate() {
        if level.contains('#') && (level != "#" || place + 1 < levels) {
            let help = "`#` stands alone behind the last `/`, for all levels that are left";
            return Some((format!("`{filter}` is no topic filter"), help));
        }
        if level.contains('+') && level != "+" {
            let help = "`+` stands for a whole level: `a/+/b`";
            return Some((format!("`{filter}` is no topic filter"), help));
        }
    }
    None
}
