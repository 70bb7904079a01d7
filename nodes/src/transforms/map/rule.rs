//! The settings of `map`, ready to be used: what a series becomes.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use smollama_engine::context::Context;
use smollama_engine::glob::Glob;
use smollama_engine::registry::Problem;
use smollama_engine::series::{Series, SeriesId, SourceKey};
use smollama_engine::unit;

use super::numbers::{Numbers, Whole, whole};
use super::settings::{LabelChanges, MapConfig};
use crate::io::template::Template;

/// What the templates of names can speak of.
const FIELDS: [&str; 6] = ["host", "id", "labels", "source", "type", "unit"];

/// A source has a type and an id, and no more than this in both.
const NAME_BYTES_MAX: usize = 1024;

/// Each override as a whole rule, and last the one for all others.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<(Option<Glob>, Rule)>,
    context: Context,
}

/// What is done with the series that it is for.
#[derive(Debug)]
struct Rule {
    name: Name,
    unit: Option<String>,
    convert: Option<String>,
    numbers: Numbers,
    labels: LabelChanges,
}

/// What a source is called.
#[derive(Debug)]
enum Name {
    /// As before.
    Same,
    /// Of this type, with `type/id` as its id, as what is made from other series is.
    Typed(Arc<str>),
    /// Of its own type or of this one, with an id of its own.
    Id(Option<Arc<str>>, Template),
    /// As the template says.
    Whole(Template),
}

/// What a series becomes.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) series: Series,
    pub(super) numbers: Numbers,
}

/// What is wrong with the template of a name before anything came.
pub(super) fn name_problem(field: &str, text: &str) -> Option<Problem> {
    Template::problem(field, text, &FIELDS, "a series has no")
}

impl Rules {
    pub(super) fn new(config: &MapConfig, context: &Context) -> Result<Rules, Problem> {
        let mut rules = Vec::new();
        for (index, one) in config.overrides.iter().enumerate() {
            let field = format!("overrides.{index}.");
            let rule = Rule::new(&config.with(one), &field, context)?;
            rules.push((Some(one.pattern.clone()), rule));
        }
        rules.push((None, Rule::new(config, "", context)?));
        Ok(Rules { rules, context: context.clone() })
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// What a series becomes, or why it becomes nothing.
    pub(super) fn shape(&self, id: SeriesId) -> Result<Shape, String> {
        let series = self.context.series(id);
        let fits = |glob: &Glob| glob.matches(series.source.name());
        let mut rules = self.rules.iter();
        let rule = rules.find(|(glob, _)| glob.as_ref().is_none_or(fits));
        match rule {
            Some((_, rule)) => rule.shape(&series, &self.context),
            None => Err("there is no rule for it".into()),
        }
    }
}

impl Rule {
    fn new(config: &MapConfig, field: &str, context: &Context) -> Result<Rule, Problem> {
        let named = context.is_named().then(|| context.type_part.clone());
        let name = match (&config.source, &config.id) {
            (Some(_), _) if named.is_some() => {
                let problem = Problem::at(format!("{field}source"), "`as` says the type already");
                return Err(problem.help("use `id`, or leave out `as`"));
            }
            (Some(text), _) => Name::Whole(Template::new(&format!("{field}source"), text)?),
            (None, Some(text)) => Name::Id(named, Template::new(&format!("{field}id"), text)?),
            (None, None) => named.map_or(Name::Same, Name::Typed),
        };
        Ok(Rule {
            name,
            unit: config.unit.clone(),
            convert: config.convert.clone(),
            numbers: numbers(config),
            labels: config.labels.clone(),
        })
    }

    fn shape(&self, from: &Series, context: &Context) -> Result<Shape, String> {
        let mut series = from.clone();
        if let Some(unit) = &self.unit {
            series = series.with_unit(unit);
        }
        let mut numbers = self.numbers.clone();
        if let Some(to) = &self.convert {
            let Some(unit) = &series.unit else {
                return Err(format!(
                    "it has no unit to be converted to `{to}`; say it with `unit`"
                ));
            };
            let conversion = unit::conversion(unit, to).map_err(|error| error.to_string())?;
            series = series.with_unit(to);
            if !conversion.changes_nothing() {
                (numbers.idle, numbers.whole) = (false, None);
                numbers.conversion = Some(conversion);
            }
        }
        // What falls where it rose is no counter.
        series.monotonic &= self.numbers.scale > 0.0;
        self.labels.apply(&mut series);
        series.source = self.source(from, &series, context)?;
        Ok(Shape { series, numbers })
    }

    fn source(&self, from: &Series, to: &Series, context: &Context) -> Result<SourceKey, String> {
        let source = &from.source;
        match &self.name {
            Name::Same => Ok(source.clone()),
            Name::Typed(named) => {
                let id = format!("{}/{}", source.type_part(), source.id());
                Ok(SourceKey::local(named, &id))
            }
            Name::Id(named, template) => {
                let id = rendered(template, from, to, context)?;
                Ok(SourceKey::local(named.as_deref().unwrap_or(source.type_part()), &id))
            }
            Name::Whole(template) => {
                let name = rendered(template, from, to, context)?;
                match name.split_once(':') {
                    Some((kind, id)) if !kind.is_empty() && !id.is_empty() => {
                        Ok(SourceKey::local(kind, id))
                    }
                    _ => Err(format!("`source` makes `{name}` of it, which is no `type:id`")),
                }
            }
        }
    }
}

/// What a template makes of a series that has its new unit and labels.
fn rendered(
    template: &Template,
    from: &Series,
    to: &Series,
    context: &Context,
) -> Result<String, String> {
    let labels = to.labels.iter();
    let labels = labels.map(|(name, value)| (name.to_string(), Json::from(&**value)));
    let fields = [
        ("host", json!(context.host.name)),
        ("id", json!(from.source.id())),
        ("labels", Json::Object(labels.collect())),
        ("source", json!(from.source.name())),
        ("type", json!(from.source.type_part())),
        ("unit", json!(to.unit.as_deref().unwrap_or_default())),
    ];
    let fields: Map<String, Json> =
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut text = Vec::new();
    template.render(&fields, &mut text)?;
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    match text.len() {
        0 => Err("its new name is empty".into()),
        1..=NAME_BYTES_MAX => Ok(text),
        long => Err(format!("its new name has {long} bytes, more than {NAME_BYTES_MAX}")),
    }
}

/// What is done with a value, but for the conversion, which depends on its unit.
fn numbers(config: &MapConfig) -> Numbers {
    let (scale, offset) = (config.scale.unwrap_or(1.0), config.offset.unwrap_or(0.0));
    let range = config.clamp.unwrap_or_default();
    let [least, most] = [range.min, range.max];
    let clamp_whole = || {
        let end = |end: Option<f64>| match end {
            None => Some(None),
            Some(end) => whole(end).map(Some),
        };
        Some([end(least)?, end(most)?])
    };
    let whole = || {
        let (scale, offset) = (whole(scale)?, whole(offset)?);
        Some(Whole { scale, offset, clamp: clamp_whole()? })
    };
    Numbers {
        idle: config.scale.is_none()
            && config.offset.is_none()
            && config.clamp.is_none()
            && config.round.is_none(),
        scale,
        offset,
        conversion: None,
        clamp: [least.unwrap_or(f64::NEG_INFINITY), most.unwrap_or(f64::INFINITY)],
        round: config.round.map(|decimals| 10f64.powi(i32::from(decimals))),
        whole: whole(),
    }
}
