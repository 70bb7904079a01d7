//! `${NAME}` and `secret://`, inside one scalar.
//!
//! What comes out is never read as YAML again, so a value cannot add keys, and every place stays what it was.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    secret::Secret,
    tree::{Origin, Scalar, Style, Value},
};
use crate::diagnostic::{Diagnostic, Diagnostics, Rule, Span, quoted, rules};

/// The largest secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// What interpolation may add to the texts of one load, all together.
pub(super) const INTERPOLATED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Defaults within defaults: `${A:-${B:-${C}}}`.
const DEFAULTS_DEPTH_MAX: usize = 8;

/// Looks up a variable of the environment.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A variable or secret that the pipelines took a value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// `NAME`, or `secret://...`.
    pub name: Arc<str>,
    /// Its value, hidden also where it is no secret; absent if it is not set and a default was taken.
    pub value: Option<Secret>,
    /// Whether it was named by `secret://`.
    pub is_secret: bool,
}

impl Variable {
    /// A variable that is no secret, as it was when something was read.
    pub fn plain(name: &str, value: Option<String>) -> Variable {
        let value = value.map(|value| Secret::new(format!("${{{name}}}"), value));
        Variable { name: name.into(), value, is_secret: false }
    }

    /// The file that a secret was read from, where it was one. `folder` is that of the file that names it.
    pub fn file(&self, folder: &Path) -> Option<PathBuf> {
        Some(secret_path(self.name.strip_prefix("secret://file/")?, folder))
    }
}

/// Replaces in the scalars of one file.
pub(super) struct Interpolator<'a> {
    pub(super) lookup: &'a Lookup<'a>,
    /// Where the file lies; what `secret://file/./name` begins at.
    pub(super) folder: &'a Path,
    pub(super) used: &'a mut BTreeMap<Arc<str>, Variable>,
    /// What may still be added to texts.
    pub(super) bytes_left: &'a mut usize,
}

impl Interpolator<'_> {
    /// The value of a scalar as it stands in the file.
    pub(super) fn value(
        &mut self,
        text: &str,
        style: Style,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> Value {
        if !text.contains('$') && !text.starts_with("secret://") {
            return Value::Scalar(Scalar::new(text, style));
        }
        let read = self.replace(text, 0).and_then(|replaced| {
            let Replaced { text: replaced, parameters } = replaced;
            match text.strip_prefix("secret://").and(replaced.strip_prefix("secret://")) {
                Some(what) => self.secret(&replaced, what).map(|(text, o)| (text, Some(o))),
                None if replaced == text => Ok((Arc::from(text), None)),
                None => {
                    let parameters = parameters.into_boxed_slice();
                    let origin = Origin::Variables { written: text.into(), parameters };
                    Ok((Arc::from(replaced), Some(origin)))
                }
            }
        });
        match read {
            Ok((text, origin)) => {
                Value::Scalar(Scalar { text, style, origin: origin.map(Arc::new) })
            }
            Err(Problem { rule, message, help, at }) => {
                let span = narrow(text, style, span, at);
                let error = Diagnostic::error(rule, span, message);
                diagnostics.push(if help.is_empty() { error } else { error.help(help) });
                Value::Broken
            }
        }
    }

    fn replace(&mut self, text: &str, depth: usize) -> Result<Replaced, Problem> {
        let mut out = String::with_capacity(text.len());
        let mut parameters = Vec::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, after) = rest.split_at(dollar);
            let at = text.len() - after.len();
            out.push_str(before);
            if let Some(escaped) = after.strip_prefix("$$") {
                out.push('$');
                rest = escaped;
            } else if let Some(inner) = after.strip_prefix("${") {
                let end = closing(inner).ok_or_else(|| bad(at, "`${` is not closed by `}`"))?;
                let value = self.variable(&inner[..end], at..at + end + 3, depth)?;
                *self.bytes_left = self
                    .bytes_left
                    .checked_sub(value.text.len())
                    .ok_or_else(|| bad(at, "variables add more than 16 MiB to the pipelines"))?;
                parameters.extend(value.parameters.iter().map(|at| out.len() + at));
                out.push_str(&value.text);
                rest = &inner[end + 1..];
            } else {
                if after.starts_with("$(") {
                    parameters.push(out.len());
                }
                out.push('$');
                rest = &after[1..];
            }
        }
        out.push_str(rest);
        Ok(Replaced { text: out, parameters })
    }

    /// The value of what stands between `${` and `}`.
    fn variable(
        &mut self,
        inner: &str,
        at: std::ops::Range<usize>,
        depth: usize,
    ) -> Result<Replaced, Problem> {
        if depth == DEFAULTS_DEPTH_MAX {
            return Err(bad(at.start, "more than 8 defaults lie in each other"));
        }
        let name_end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (name, rest) = inner.split_at(name_end.unwrap_or(inner.len()));
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Problem {
                rule: &rules::BAD_INTERPOLATION,
                message: format!(
                    "{} does not begin with the name of a variable",
                    quoted(&format!("${{{inner}}}"))
                ),
                help: "write a dollar sign that is meant as such as `$$`".to_owned(),
                at,
            });
        }
        // As in a shell, `:-` and `:?` also stand in for a variable that is set to nothing.
        let value = (self.lookup)(name).filter(|value| !value.is_empty() || rest.is_empty());
        let unset = |message: String, help: String| Problem {
            rule: &rules::UNSET_VARIABLE,
            message,
            help,
            at: at.clone(),
        };
        let result = match (rest.get(..2), &value) {
            (None, Some(value)) if rest.is_empty() => Ok(Replaced::value(value)),
            (None, None) if rest.is_empty() => Err(unset(
                format!("the variable `{name}` is not set"),
                format!("set it, or give a default: `${{{name}:-default}}`"),
            )),
            (Some(":-" | ":?"), Some(value)) => Ok(Replaced::value(value)),
            (Some(":-"), None) => {
                self.replace(&rest[2..], depth + 1).map_err(|p| Problem { at: at.clone(), ..p })
            }
            (Some(":?"), None) => {
                let reason = rest[2..].trim();
                let reason = if reason.is_empty() { "it has no default" } else { reason };
                Err(unset(format!("the variable `{name}` is not set: {reason}"), String::new()))
            }
            _ => Err(Problem {
                rule: &rules::BAD_INTERPOLATION,
                message: format!("{} follows the name `{name}`", quoted(rest)),
                help: format!(
                    "write `${{{name}}}`, `${{{name}:-default}}` or `${{{name}:?message}}`"
                ),
                at: at.clone(),
            }),
        };
        if result.is_ok() {
            self.used.insert(name.into(), Variable::plain(name, value));
        }
        result
    }

    fn secret(&mut self, reference: &str, what: &str) -> Result<(Arc<str>, Origin), Problem> {
        let unreadable = |message: String, help: String| Problem {
            rule: &rules::SECRET_UNREADABLE,
            message,
            help,
            at: 0..usize::MAX,
        };
        let value = match what.split_once('/') {
            Some(("env", name)) if !name.is_empty() => (self.lookup)(name).ok_or_else(|| {
                unreadable(
                    format!("the variable `{name}` of this secret is not set"),
                    format!("set `{name}` in the environment of the engine"),
                )
            })?,
            Some(("file", path)) if !path.is_empty() => {
                let path = secret_path(path, self.folder);
                read_secret(&path).map_err(|reason| {
                    let message = format!("cannot read the secret in `{}`: {reason}", path.display());
                    unreadable(message, "`secret://file/run/x` is `/run/x`, `secret://file/./x` lies beside this file".to_owned())
                })?
            }
            _ => {
                return Err(Problem {
                    rule: &rules::BAD_SECRET,
                    message: format!("{} is not a reference to a secret", quoted(reference)),
                    help: "write `secret://env/NAME` or `secret://file/PATH`".to_owned(),
                    at: 0..usize::MAX,
                });
            }
        };
        if value.is_empty() {
            return Err(unreadable(
                format!("the secret {} is empty", quoted(reference)),
                String::new(),
            ));
        }
        let name: Arc<str> = reference.into();
        let secret = Secret::new(name.clone(), value);
        let variable =
            Variable { name: name.clone(), value: Some(secret.clone()), is_secret: true };
        self.used.insert(name.clone(), variable);
        Ok((name, Origin::Secret(secret)))
    }
}

/// Absolute as in any URL, unless it begins with `./` or `../`.
fn secret_path(path: &str, folder: &Path) -> PathBuf {
    if path.starts_with("./") || path.starts_with("../") {
        folder.join(path)
    } else {
        Path::new("/").join(path.trim_start_matches('/'))
    }
}

/// A text with its variables put in.
struct Replaced {
    text: String,
    /// Where a `$(` begins that stands in the file.
    parameters: Vec<usize>,
}

impl Replaced {
    /// The value of a variable: nothing in it means anything.
    fn value(text: &str) -> Self {
        Replaced { text: text.to_owned(), parameters: Vec::new() }
    }
}

struct Problem {
    rule: &'static Rule,
    message: String,
    help: String,
    /// Bytes of the scalar's text.
    at: std::ops::Range<usize>,
}

fn bad(at: usize, message: &str) -> Problem {
    Problem {
        rule: &rules::BAD_INTERPOLATION,
        message: message.to_owned(),
        help: "write a dollar sign that is meant as such as `$$`".to_owned(),
        at: at..at + 2,
    }
}

/// Where the `}` of a `${` is, past those of variables in its default.
fn closing(inner: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut previous = 0;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' if previous == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        previous = byte;
    }
    None
}

fn read_secret(path: &Path) -> Result<String, String> {
    let reason = |error: std::io::Error| error.to_string();
    if !path.metadata().map_err(reason)?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(reason)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(reason)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err("it is larger than 64 KiB".to_owned());
    }
    let trimmed = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(trimmed);
    Ok(text)
}

/// The part of a plain scalar that is meant; of one whose text differs from what stands in the file, all of it.
fn narrow(text: &str, style: Style, span: Span, at: std::ops::Range<usize>) -> Span {
    if style != Style::Plain
        || (span.end - span.start) as usize != text.len()
        || at.end > text.len()
    {
        return span;
    }
    let offset = |at: usize| span.start + u32::try_from(at).unwrap_or(0);
    Span { start: offset(at.start), end: offset(at.end), ..span }
}
