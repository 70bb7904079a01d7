//! Texts that a user composes of an item: bodies, payloads, topics.

use minijinja::value::Serde;
use minijinja::{Environment, Error, UndefinedBehavior};
use serde_json::{Map, Value};
use smollama_engine::batch::Items;
use smollama_engine::diagnostic::{all_of, nearest};
use smollama_engine::registry::Problem;

/// Steps that one item may cost; a loop over all summaries of a window is a small part of it.
const FUEL: u64 = 100_000;
const NAME: &str = "text";

/// What a template can speak of: the fields of the three JSON forms, and some more.
const FIELDS: [&str; 27] = [
    "author",
    "cause",
    "confidence",
    "count",
    "end",
    "evidence",
    "host",
    "id",
    "item",
    "kind",
    "labels",
    "model",
    "monotonic",
    "rung",
    "score",
    "source",
    "sources",
    "start",
    "summaries",
    "text",
    "time",
    "time_ms",
    "time_ns",
    "time_s",
    "time_us",
    "unit",
    "value",
];

/// A template that was read.
#[derive(Debug)]
pub struct Template(Environment<'static>);

impl Template {
    /// Reads it. `field` is the setting it stands in.
    ///
    /// # Errors
    /// It is no template.
    pub fn new(field: &str, text: &str) -> Result<Template, Problem> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        // Of a reading without labels, `labels.room` is empty too.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| Problem::at(field, said(&error)))?;
        Ok(Template(environment))
    }

    /// Appends what it makes of an item.
    ///
    /// # Errors
    /// Why it makes nothing of it.
    pub fn render(&self, fields: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), String> {
        let template = self.0.get_template(NAME).map_err(|error| said(&error))?;
        let text = template.render(Serde(fields)).map_err(|error| said(&error))?;
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// The first field it speaks of, in the order of the alphabet, that is none of these.
    #[must_use]
    pub fn first_but(&self, fields: &[&str]) -> Option<String> {
        let template = self.0.get_template(NAME).ok()?;
        let strange = template.undeclared_variables(false).into_iter();
        let global = |name: &str| self.0.globals().any(|(global, _)| global == name);
        strange.filter(|name| !fields.contains(&name.as_str()) && !global(name)).min()
    }

    /// What is wrong with a text that may speak of these fields. `whose`: how a message begins, such as "an alarm knows no".
    #[must_use]
    pub fn problem(field: &str, text: &str, fields: &[&str], whose: &str) -> Option<Problem> {
        let template = match Template::new(field, text) {
            Ok(template) => template,
            Err(problem) => return Some(problem),
        };
        let unknown = template.first_but(fields)?;
        let problem = Problem::at(field, format!("{whose} `{unknown}`"));
        Some(match nearest(&unknown, fields.iter().copied()) {
            Some(known) => problem.help(format!("did you mean `{known}`?")),
            None => problem.help(format!("there are {}", all_of(fields.iter().copied()))),
        })
    }

    /// Whether it speaks of nothing but these fields.
    #[must_use]
    pub fn speaks_only_of(&self, fields: &[&str]) -> bool {
        let template = self.0.get_template(NAME);
        template.is_ok_and(|template| {
            template.undeclared_variables(false).iter().all(|name| fields.contains(&name.as_str()))
        })
    }
}

/// What a template is given of an item: its JSON form, and what that lacks.
#[must_use]
pub fn fields(items: &Items, index: usize, form: &[u8], host: &str) -> Map<String, Value> {
    // What was just written reads back.
    let mut fields: Map<String, Value> = serde_json::from_slice(form).unwrap_or_default();
    let micros = items.time(index).map_or(0, smollama_engine::time::Timestamp::as_micros);
    let more = [
        ("item", Value::Object(fields.clone())),
        ("host", host.into()),
        ("time_s", micros.div_euclid(1_000_000).into()),
        ("time_ms", micros.div_euclid(1_000).into()),
        ("time_us", micros.into()),
        ("time_ns", micros.saturating_mul(1_000).into()),
    ];
    fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    fields
}

/// What is wrong with a template before anything came.
#[must_use]
pub fn problems(field: &str, text: &str) -> Vec<Problem> {
    let template = match Template::new(field, text) {
        Ok(template) => template,
        Err(problem) => return vec![problem],
    };
    let mut unknown: Vec<String> = template
        .0
        .get_template(NAME)
        .map(|template| template.undeclared_variables(false).into_iter().collect())
        .unwrap_or_default();
    unknown.retain(|name| !FIELDS.contains(&name.as_str()));
    unknown.retain(|name| template.0.globals().all(|(global, _)| global != name));
    unknown.sort_unstable();
    unknown
        .into_iter()
        .map(|name| {
            let problem = Problem::at(field, format!("no item has a field `{name}`"));
            match nearest(&name, FIELDS) {
                Some(known) => problem.help(format!("did you mean `{known}`?")),
                None => problem.help(format!("there are {}", all_of(FIELDS))),
            }
        })
        .collect()
}

fn said(error: &Error) -> String {
    let detail = error.detail().map(str::to_owned);
    let what = detail.unwrap_or_else(|| error.kind().to_string());
    match error.line() {
        Some(line) => format!("the template fails in line {line}: {what}"),
        None => format!("the template fails: {what}"),
    }
}
