//! What can be wrong with the settings.

use smollama_engine::registry::Problem;

use super::MqttConfig;

/// The longest topic filter there is.
const FILTER_MAX: usize = 65_535;

impl MqttConfig {
    /// All that is wrong with the settings.
    #[must_use]
    pub fn all_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_topics(&mut problems);
        problems.extend(self.message().problems());
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
