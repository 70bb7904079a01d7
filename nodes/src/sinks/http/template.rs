//! Bodies that a user composes.

use minijinja::value::Serde;
use minijinja::{Environment, Error, UndefinedBehavior};
use smollama_engine::diagnostic::{all_of, nearest};
use smollama_engine::registry::Problem;

/// Steps that one item may cost; a loop over all summaries of a window is a small part of it.
const FUEL: u64 = 100_000;
const NAME: &str = "body";

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
pub(super) struct Template(Environment<'static>);

impl Template {
    pub(super) fn new(text: &str) -> Result<Template, Problem> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        // Of a reading without labels, `labels.room` is empty too.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| Problem::at("body.template", said(&error)))?;
        Ok(Template(environment))
    }

    /// Appends what it makes of an item.
    ///
    /// # Errors
    /// Why it makes nothing of it.
    pub(super) fn render(
        &self,
        fields: serde_json::Map<String, serde_json::Value>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let template = self.0.get_template(NAME).map_err(|error| said(&error))?;
        let text = template.render(Serde(&fields)).map_err(|error| said(&error))?;
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// What is wrong with a template before anything came.
pub(super) fn problems(text: &str) -> Vec<Problem> {
    let template = match Template::new(text) {
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
            let problem = Problem::at("body.template", format!("no item has a field `{name}`"));
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
