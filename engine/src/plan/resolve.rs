//! From words to typed settings: each node's type is looked up and its settings and engine words are read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::brokers;
use super::graph::{PlannedNode, Written, default_type_part};
use crate::condition::Condition;
use crate::config::{
    self, Address, Node as Tree, NodeSpec, PipelineSpec, Section, Spanned, Tables,
};
use crate::diagnostic::{Diagnostic, Diagnostics, Files, Span, quoted, rules};
use crate::duration::Duration;
use crate::registry::{Delivery, Pace, Problem, Profile, Registry, Settings};
use crate::run::{QueueSpec, RetrySpec};

/// A node with its place in what was written. A node whose type or settings could not be read has no plan, but others may still
/// name it without being told that it does not exist.
#[derive(Debug)]
pub struct Resolved<'a> {
    /// The pipeline it stands in.
    pub pipeline: &'a PipelineSpec,
    /// As it was written.
    pub spec: &'a NodeSpec,
    /// What became of it.
    pub plan: Option<PlannedNode>,
}

/// Reads the settings of all nodes.
#[must_use]
pub fn resolve<'a>(
    specs: &'a [PipelineSpec],
    files: &Files,
    tables: &Tables,
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) -> Vec<Resolved<'a>> {
    let mut nodes = Vec::new();
    for pipeline in specs {
        let folder = files.path(pipeline.file).parent().unwrap_or(Path::new("")).to_owned();
        for spec in &pipeline.nodes {
            let settings = settings(spec, registry, diagnostics);
            let words = words(spec, diagnostics);
            let plan = settings.zip(words).map(|(settings, words)| {
                let profile = paced(settings.0.profile(), words.every);
                for problem in settings.0.problems_with(words.every) {
                    diagnostics.push(problem_at(spec, problem));
                }
                for Problem { field, message, help } in settings.0.missing(&folder) {
                    let span = span_of(&spec.settings, &field).unwrap_or(spec.type_name.span);
                    let warning = Diagnostic::warning(&rules::NOT_HERE, span, message);
                    diagnostics.push(with_help(warning, help));
                }
                check_every(spec, &profile, diagnostics);
                check_spool(spec, &profile, diagnostics);
                brokers::check_name(spec, &profile, registry, diagnostics);
                planned(pipeline, spec, settings, profile, words, &folder, tables)
            });
            nodes.push(Resolved { pipeline, spec, plan });
        }
    }
    nodes
}

fn settings(
    spec: &NodeSpec,
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) -> Option<(Arc<dyn Settings>, Tree)> {
    let Some(node_type) = registry.get(spec.section, &spec.type_name) else {
        diagnostics.push(unknown_type(spec, registry));
        return None;
    };
    let what = format!("`{}`", &**spec.type_name);
    let read = node_type.read(&spec.settings, spec.type_name.span, &what, diagnostics)?;
    for problem in read.0.problems() {
        diagnostics.push(problem_at(spec, problem));
    }
    Some(read)
}

fn unknown_type(spec: &NodeSpec, registry: &Registry) -> Diagnostic {
    let (section, name) = (spec.section, &**spec.type_name);
    let message = format!("there is no {} of type {}", section.singular(), quoted(name));
    let error = Diagnostic::error(&rules::UNKNOWN_NODE_TYPE, spec.type_name.span, message);
    let known = registry.names(section);
    let near = crate::diagnostic::nearest(name, known.iter().copied());
    let elsewhere = Section::ALL.into_iter().find(|&other| registry.names(other).contains(&name));
    match (near, elsewhere) {
        (Some(near), _) => error.help(format!("did you mean `{near}`?")),
        (None, Some(other)) => error.help(format!(
            "`{name}` is {}; it belongs under `{}:`",
            other.with_article(),
            other.key()
        )),
        (None, None) if known.is_empty() => {
            error.help(format!("this version has no {}", section.key()))
        }
        (None, None) => {
            error.help(format!("the types of {} are {}", section.key(), known.join(", ")))
        }
    }
}

fn problem_at(spec: &NodeSpec, problem: Problem) -> Diagnostic {
    let span = span_of(&spec.settings, &problem.field).unwrap_or(spec.type_name.span);
    with_help(Diagnostic::error(&rules::SETTINGS_CONFLICT, span, problem.message), problem.help)
}

fn with_help(error: Diagnostic, help: Option<String>) -> Diagnostic {
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}

/// Where a dotted path below a node's settings stands; list elements are named by their position.
pub(super) fn span_of(tree: &Tree, path: &str) -> Option<Span> {
    let mut at = tree;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        at = match part.parse::<usize>() {
            Ok(index) => at.as_sequence()?.get(index)?,
            Err(_) => &at.as_mapping()?.get(part)?.value,
        };
    }
    (!path.is_empty()).then_some(at.span)
}

#[derive(Default)]
struct Words {
    every: Option<Duration>,
    when: Option<Condition>,
    queue: Option<QueueSpec>,
    retry: Option<RetrySpec>,
}

/// The engine words that are trees; `None` if one of them could not be read.
fn words(spec: &NodeSpec, diagnostics: &mut Diagnostics) -> Option<Words> {
    fn word<T: serde::de::DeserializeOwned>(
        name: &str,
        tree: Option<&Tree>,
        ok: &mut bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<T> {
        let tree = tree?;
        let read = config::read(tree, tree.span, &format!("`{name}`"), diagnostics);
        *ok &= read.is_some();
        read
    }
    let mut ok = true;
    let words = Words {
        every: word("every", spec.every.as_ref(), &mut ok, diagnostics),
        when: word("when", spec.when.as_ref(), &mut ok, diagnostics),
        queue: word("queue", spec.queue.as_ref(), &mut ok, diagnostics),
        retry: word("retry", spec.retry.as_ref(), &mut ok, diagnostics),
    };
    if let (Some(when), Some(tree)) = (&words.when, &spec.when) {
        for problem in when.problems() {
            let span = span_of(tree, &problem.field).unwrap_or(tree.span);
            diagnostics.push(with_help(
                Diagnostic::error(&rules::SETTINGS_CONFLICT, span, problem.message),
                problem.help,
            ));
            ok = false;
        }
    }
    if let (Some(every), Some(tree)) = (words.every, &spec.every)
        && every < EVERY_MIN
    {
        let message = format!("`every` is {every}, less than the least of {EVERY_MIN}");
        let error = Diagnostic::error(&rules::BAD_DURATION, tree.span, message);
        diagnostics.push(error.help("write a longer time, such as `every: 1s`"));
        ok = false;
    }
    ok.then_some(words)
}

/// A source is not polled more often than this.
const EVERY_MIN: Duration = Duration::from_millis(1);

/// A source of which `every` decides whether it is polled.
fn paced(profile: Profile, every: Option<Duration>) -> Profile {
    match every {
        Some(every) if profile.takes_every => {
            Profile { pace: Some(Pace::Polled(every)), ends: false, ..profile }
        }
        _ => profile,
    }
}

fn check_every(spec: &NodeSpec, profile: &Profile, diagnostics: &mut Diagnostics) {
    let polled = matches!(profile.pace, Some(Pace::Polled(_) | Pace::Simulated(_)));
    if let Some(every) = spec.every.as_ref().filter(|_| !polled) {
        let message =
            format!("`{}` is not polled, so `every` means nothing to it", &**spec.type_name);
        let error = Diagnostic::error(&rules::MISPLACED_WORD, every.span, message);
        diagnostics.push(error.help("remove `every`"));
    }
}

fn check_spool(spec: &NodeSpec, profile: &Profile, diagnostics: &mut Diagnostics) {
    let spool = spec.queue.as_ref().and_then(|queue| queue.as_mapping()?.get("spool"));
    let sends = spec.section != Section::Sinks || profile.delivery == Delivery::Sent;
    if let Some(spool) = spool.filter(|_| !sends) {
        let message = format!(
            "`{}` sends to no other side, so nothing waits for it in a `spool`",
            &**spec.type_name
        );
        let error = Diagnostic::error(&rules::MISPLACED_WORD, spool.key.span, message);
        diagnostics.push(error.help("remove `spool`; `size` says how much may wait in memory"));
    }
}

fn planned(
    pipeline: &PipelineSpec,
    spec: &NodeSpec,
    (settings, shown): (Arc<dyn Settings>, Tree),
    profile: Profile,
    words: Words,
    folder: &Path,
    tables: &Tables,
) -> PlannedNode {
    let address: Arc<str> = format!("{}/{}", &**pipeline.name, &**spec.name).into();
    let default_type = default_type_part(spec.section, &spec.type_name, &address);
    let text = |word: &Spanned<Arc<str>>| word.value.clone();
    let table =
        |path: &Spanned<Arc<str>>| tables.get(&(pipeline.file, path.value.clone())).cloned();
    let labels: BTreeMap<_, _> =
        spec.labels.iter().map(|(name, value)| (text(name), text(value))).collect();
    PlannedNode {
        address,
        pipeline: text(&pipeline.name),
        name: text(&spec.name),
        section: spec.section,
        type_name: text(&spec.type_name),
        profile,
        settings,
        written: Written { settings: shown, when: spec.when.clone() },
        carries: Vec::new(),
        type_part: spec.as_type.as_ref().map_or(default_type, text),
        unit: spec.unit.as_ref().map(text),
        labels,
        labels_from: spec.labels_from.as_ref().and_then(table),
        every: words.every,
        when: words.when.map(Box::new),
        queue: words.queue.unwrap_or_default(),
        retry: words.retry.unwrap_or_default(),
        folder: folder.to_owned(),
        renamed_from: renamed_from(pipeline, spec),
        span: spec.name.span,
        type_span: spec.type_name.span,
    }
}

/// The full address that `renamed_from` means; nothing for one that is wrong, which is reported where all nodes are known.
fn renamed_from(pipeline: &PipelineSpec, spec: &NodeSpec) -> Option<Arc<str>> {
    let address = Address::parse(spec.renamed_from.as_deref()?).ok()?;
    let of = address.pipeline.as_deref().unwrap_or(&pipeline.name);
    Some(format!("{of}/{}", address.node).into())
}
