//! Parameters with their types, and the arguments of a use.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{INPUT, Template};
use crate::bytes::ByteSize;
use crate::config::{
    self,
    pipeline::check_name,
    spanned::{Spanned, Text},
    tree::{Entry, Mapping, Node, Scalar, Style, Value},
};
use crate::diagnostic::{Diagnostic, Diagnostics, Span, nearest, one_of, quoted, rules};
use crate::duration::Duration;

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Any text; a secret, too.
    Text,
    /// A finite number.
    Number,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Bool,
    /// `10s`, `1h30m`.
    Duration,
    /// `64KiB`.
    Size,
    /// A list of such values.
    List,
    /// One of the words under `one_of`.
    Enum,
}

impl ParamType {
    /// All of them, as they are listed in messages.
    pub const ALL: [Self; 8] = [
        Self::Text,
        Self::Number,
        Self::Integer,
        Self::Bool,
        Self::Duration,
        Self::Size,
        Self::List,
        Self::Enum,
    ];

    /// As it is written.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Bool => "bool",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::List => "list",
            Self::Enum => "enum",
        }
    }
}

/// A parameter as it was declared.
#[derive(Debug)]
pub(super) struct Param {
    pub(super) name: Text,
    pub(super) kind: ParamType,
    pub(super) default: Option<Node>,
    one_of: Vec<String>,
}

/// What stands under a parameter, but for `default`: that stays a tree.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParamSpec {
    #[serde(rename = "type")]
    kind: ParamType,
    #[serde(default)]
    one_of: Option<Spanned<Vec<String>>>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    /// Only to be listed among the keys.
    #[serde(default, rename = "default")]
    _default: (),
}

/// Reads what stands under `params`.
pub(super) fn params(entry: &Entry, diagnostics: &mut Diagnostics) -> Vec<Param> {
    match &entry.value.value {
        Value::Mapping(params) => {
            params.entries().iter().filter_map(|entry| param(entry, diagnostics)).collect()
        }
        Value::Broken => Vec::new(),
        _ if entry.value.is_null() => Vec::new(),
        _ => {
            let message = format!("`params` takes a mapping, found {}", entry.value.describe());
            let error = Diagnostic::error(&rules::WRONG_TYPE, entry.value.span, message);
            diagnostics.push(error.help("write each as `name: { type: text }`"));
            Vec::new()
        }
    }
}

fn param(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Param> {
    let name: Text = Spanned::new(entry.key.text.clone(), entry.key.span);
    check_name("parameter", &name, name.span, diagnostics);
    if **name == *INPUT {
        let message = format!("a parameter cannot be called `{INPUT}`");
        let error = Diagnostic::error(&rules::BAD_TEMPLATE, name.span, message);
        diagnostics.push(
            error.help(format!(
                "`$({INPUT})` stands for what is given to a use; rename the parameter"
            )),
        );
    }
    let mapping = entry.value.as_mapping();
    let default = mapping.and_then(|mapping| mapping.get("default"));
    let rest = match mapping {
        Some(mapping) => {
            let rest = mapping.entries().iter().filter(|entry| *entry.key.text != *"default");
            let rest = Value::Mapping(Mapping::new(rest.cloned().collect()));
            Node { span: entry.value.span, value: rest }
        }
        None => entry.value.clone(),
    };
    let what = format!("the parameter {}", quoted(&name));
    let spec: ParamSpec = config::read(&rest, name.span, &what, diagnostics)?;
    let is_enum = spec.kind == ParamType::Enum;
    let words = spec.one_of.as_ref().map(|words| words.value.as_slice()).unwrap_or_default();
    if is_enum && words.is_empty() {
        let message = format!("the parameter {} has no words to take", quoted(&name));
        let error = Diagnostic::error(&rules::BAD_TEMPLATE, name.span, message);
        diagnostics.push(error.help("list them: `{ type: enum, one_of: [low, high] }`"));
    }
    if let Some(words) = spec.one_of.as_ref().filter(|_| !is_enum) {
        let message = format!("`one_of` means nothing to the type `{}`", spec.kind.key());
        let error = Diagnostic::error(&rules::BAD_TEMPLATE, words.span, message);
        diagnostics.push(error.help("write `type: enum`, or remove `one_of`"));
    }
    let mut param = Param { name, kind: spec.kind, default: None, one_of: words.to_vec() };
    if let Some(default) = default {
        let name = format!("the default of {}", quoted(&param.name));
        // A default that was refused is there all the same: its parameter is not missing in every use.
        let broken = Node { span: default.value.span, value: Value::Broken };
        let taken = param.take(&name, &default.value, default.key.span, diagnostics);
        param.default = Some(taken.unwrap_or(broken));
    }
    Some(param)
}

impl Param {
    /// The value as its type wants it; what does not fit is reported.
    fn take(
        &self,
        name: &str,
        value: &Node,
        key: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Node> {
        match self.fit(value) {
            Ok(value) => Some(value),
            Err(_) if matches!(value.value, Value::Broken) => None,
            Err(Misfit { expected, help }) => {
                let is_empty = value.span.start == value.span.end;
                let span = if is_empty { key } else { value.span };
                let message = format!("{name} takes {expected}, found {}", value.describe());
                let mut error = Diagnostic::error(&rules::BAD_ARGUMENT, span, message);
                error.helps.extend(help);
                if self.name.span != key && key.file == span.file {
                    error = error.also(self.name.span, "the parameter");
                }
                diagnostics.push(error);
                None
            }
        }
    }

    fn fit(&self, value: &Node) -> Result<Node, Misfit> {
        let misfit = |expected: &str| Misfit { expected: expected.to_owned(), help: None };
        if self.kind == ParamType::List {
            let is_plain = |node: &Node| matches!(node.value, Value::Scalar(_) | Value::Broken);
            let fits = value.as_sequence().is_some_and(|list| list.iter().all(is_plain));
            return if fits { Ok(value.clone()) } else { Err(misfit("a list of plain values")) };
        }
        let scalar = value.as_scalar().filter(|scalar| !scalar.is_null());
        let is_secret = scalar.is_some_and(|scalar| scalar.secret().is_some());
        let taken = match (self.kind, scalar.filter(|_| !is_secret)) {
            // Text without quotes is not to be taken for a number where it is put in.
            (ParamType::Text, Some(text)) => Scalar { style: Style::Text, ..text.clone() },
            (ParamType::Text, None) => match scalar {
                Some(secret) => secret.clone(),
                None => return Err(misfit("text")),
            },
            (ParamType::Number, found) => {
                typed(found, "a number", |plain| plain.as_float().is_some_and(f64::is_finite))?
            }
            (ParamType::Integer, found) => {
                typed(found, "a whole number", |plain| plain.as_integer().is_some())?
            }
            (ParamType::Bool, found) => {
                typed(found, "`true` or `false`", |plain| plain.as_bool().is_some())?
            }
            (ParamType::Duration, found) => {
                match found.map(|it| (it, it.text().parse::<Duration>())) {
                    Some((text, Ok(_))) => text.clone(),
                    _ => return Err(misfit("a duration such as `10s` or `1h30m`")),
                }
            }
            (ParamType::Size, found) => match found.map(|it| (it, it.text().parse::<ByteSize>())) {
                Some((text, Ok(_))) => text.clone(),
                _ => return Err(misfit("a size such as `64KiB`")),
            },
            (ParamType::Enum, found) => {
                let words = || self.one_of.iter().map(String::as_str);
                match found.filter(|word| words().any(|one| one == word.text())) {
                    Some(word) => word.clone(),
                    None => {
                        let near = found.and_then(|word| nearest(word.text(), words()));
                        let help = near.map(|near| format!("did you mean `{near}`?"));
                        return Err(Misfit { expected: one_of(words()), help });
                    }
                }
            }
            (ParamType::List, _) => return Err(misfit("a list of plain values")),
        };
        Ok(Node { span: value.span, value: Value::Scalar(taken) })
    }
}

/// What a value should have been.
struct Misfit {
    expected: String,
    help: Option<String>,
}

/// A scalar that is not text, without the quotes that YAML demands around a variable.
fn typed(
    found: Option<&Scalar>,
    expected: &str,
    fits: impl Fn(&Scalar) -> bool,
) -> Result<Scalar, Misfit> {
    let misfit = |help: Option<&str>| Misfit {
        expected: expected.to_owned(),
        help: help.map(str::to_owned),
    };
    let scalar = found.ok_or_else(|| misfit(None))?;
    if fits(scalar) {
        return Ok(scalar.clone());
    }
    match scalar.unquoted().filter(|plain| fits(plain)) {
        Some(plain) => Ok(plain),
        None if scalar.style() == Style::Text
            && fits(&Scalar::new(scalar.text(), Style::Plain)) =>
        {
            Err(misfit(Some("text in quotes is always text; take the quotes away")))
        }
        None => Err(misfit(None)),
    }
}

impl Template {
    /// The value of each parameter in a use; `None` if something is wrong with the arguments, which is reported.
    pub(super) fn bind(
        &self,
        arguments: Option<&Node>,
        at: Span,
        in_test: bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<BTreeMap<Arc<str>, Node>> {
        let errors_before = diagnostics.errors();
        let given: &[Entry] = match arguments.map(|node| (node, &node.value)) {
            None => &[],
            Some((_, Value::Mapping(mapping))) => mapping.entries(),
            Some((_, Value::Broken)) => return None,
            Some((node, _)) if node.is_null() => &[],
            Some((node, _)) => {
                let found = node.describe();
                let message =
                    format!("the arguments of {} are a mapping, found {found}", quoted(&self.name));
                let error = Diagnostic::error(&rules::BAD_ARGUMENT, node.span, message);
                diagnostics.push(error.help(self.example(in_test)));
                return None;
            }
        };
        let mut bound = BTreeMap::new();
        for entry in given {
            let Some(param) = self.params.iter().find(|param| param.name.value == entry.key.text)
            else {
                diagnostics.push(self.unknown_argument(entry));
                continue;
            };
            let name = format!("`{}`", entry.key.text);
            let taken = param.take(&name, &entry.value, entry.key.span, diagnostics);
            let broken = Node { span: entry.value.span, value: Value::Broken };
            bound.insert(entry.key.text.clone(), taken.unwrap_or(broken));
        }
        for param in &self.params {
            if bound.contains_key(&**param.name) {
                continue;
            }
            match &param.default {
                Some(default) => drop(bound.insert(param.name.value.clone(), default.clone())),
                None => {
                    // A misspelt argument is told once, as what it is.
                    let is_misspelt = given
                        .iter()
                        .any(|entry| nearest(&entry.key.text, [&*param.name.value]).is_some());
                    if !is_misspelt {
                        let (template, name) = (quoted(&self.name), quoted(&param.name));
                        let message = format!("the template {template} needs {name}");
                        let error = Diagnostic::error(&rules::BAD_ARGUMENT, at, message);
                        let error = error.also(param.name.span, "it has no default");
                        diagnostics.push(error.help(self.example(in_test)));
                    }
                }
            }
        }
        (diagnostics.errors() == errors_before).then_some(bound)
    }

    fn unknown_argument(&self, entry: &Entry) -> Diagnostic {
        let (template, key) = (quoted(&self.name), quoted(&entry.key.text));
        let message = format!("the template {template} has no parameter {key}");
        let error = Diagnostic::error(&rules::BAD_ARGUMENT, entry.key.span, message);
        let known: Vec<&str> = self.params.iter().map(|param| &*param.name.value).collect();
        match nearest(&entry.key.text, known.iter().copied()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => error.help("it has no parameters"),
            None => error.help(format!("its parameters are {}", known.join(", "))),
        }
    }

    /// How a use, or a test, would be written.
    fn example(&self, in_test: bool) -> String {
        let needed = self.params.iter().filter(|param| param.default.is_none());
        let needed: Vec<String> = needed.map(|param| format!("{}: ...", &**param.name)).collect();
        let arguments = match needed.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{ {} }}", needed.join(", ")),
        };
        match in_test {
            true => format!("write `with: {arguments}`"),
            false => format!("write `use: {{ {}: {arguments} }}`", &**self.name),
        }
    }
}
