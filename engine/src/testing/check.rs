//! Checks `tests:` before anything runs: what is written, and whether what it names exists.

use std::collections::{BTreeSet, HashMap};

use super::faults::{FAULTS_MAX, Fault};
use super::given::{READINGS_MAX, Supply, Wrong, source_of, wrong};
use super::spec::{ExpectSpec, FaultSpec, GivenSpec, TestSpec};
use crate::batch::ItemKind;
use crate::config::{self, Address, Node as Tree, PipelineSpec, Section, Spanned, Value};
use crate::diagnostic::{Diagnostic, Diagnostics, Rule, Span, nearest, quoted, rules};
use crate::plan::{Graph, Resolved, unread};
use crate::registry::{Pace, Profile};
use crate::run::Port;

/// Reports what is wrong with the tests of all pipelines. With a graph, it is also checked that nodes give what is expected of them.
pub(crate) fn check(
    specs: &[PipelineSpec],
    nodes: &[Resolved<'_>],
    graph: Option<&Graph>,
    diagnostics: &mut Diagnostics,
) {
    if specs.iter().all(|spec| spec.tests.is_none()) {
        return;
    }
    let by_address = nodes.iter().map(|one| ((&**one.pipeline.name, &**one.spec.name), one));
    let checker = Checker { by_address: by_address.collect(), unread: unread(specs), graph };
    for spec in specs {
        let mut names: HashMap<String, Span> = HashMap::new();
        for (span, test) in read(spec.tests.as_ref(), diagnostics) {
            if let Some(first) = names.insert(test.name.value.clone(), test.name.span) {
                let message = format!("two tests have the name {}", quoted(&test.name));
                let error = Diagnostic::error(&rules::BAD_TEST, test.name.span, message)
                    .also(first, "first here");
                diagnostics.push(error.help("rename one"));
            }
            if test.name.trim().is_empty() || test.name.contains(char::is_control) {
                let error = wrong("the name of a test is one line of text", "write what it shows");
                push(&rules::BAD_TEST, test.name.span, error, diagnostics);
            }
            checker.test(&spec.name, span, &test, diagnostics);
        }
    }
}

/// Reads what stands under `tests:`, each test with its place.
pub(super) fn read(tests: Option<&Tree>, diagnostics: &mut Diagnostics) -> Vec<(Span, TestSpec)> {
    let Some(tree) = tests.filter(|tree| !tree.is_null()) else { return Vec::new() };
    let Value::Sequence(tests) = &tree.value else {
        if !matches!(tree.value, Value::Broken) {
            let message = format!("`tests` takes a list, found {}", tree.describe());
            let error = Diagnostic::error(&rules::WRONG_TYPE, tree.span, message);
            diagnostics.push(error.help("write each test as `- name: ...`"));
        }
        return Vec::new();
    };
    let read = |test: &Tree| {
        let spec = config::read(test, test.span, "the test", diagnostics)?;
        Some((test.span, spec))
    };
    tests.iter().filter_map(read).collect()
}

/// Where an address of a test lies: an output port, or the input of a sink. The error names the ports there are.
pub(super) fn port_of<'a>(
    section: Section,
    profile: &'a Profile,
    address: &Address,
) -> Result<Port, Vec<&'a str>> {
    if section == Section::Sinks {
        return match address.port {
            None => Ok(Port::Input),
            Some(_) => Err(Vec::new()),
        };
    }
    let wanted = address.port_or_main();
    let found = profile.outputs.iter().position(|port| port.name == wanted);
    found.map(Port::Output).ok_or_else(|| profile.outputs.iter().map(|port| &*port.name).collect())
}

struct Checker<'a> {
    by_address: HashMap<(&'a str, &'a str), &'a Resolved<'a>>,
    /// Nodes that could not be read, which was reported.
    unread: BTreeSet<(&'a str, &'a str)>,
    graph: Option<&'a Graph>,
}

impl Checker<'_> {
    fn test(&self, pipeline: &str, span: Span, test: &TestSpec, diagnostics: &mut Diagnostics) {
        if test.expect.is_empty() {
            let message = format!("the test {} expects nothing", quoted(&test.name));
            let error = Diagnostic::error(&rules::BAD_TEST, span, message);
            diagnostics.push(error.help("say what must come out: `expect: [...]`"));
        }
        let mut total = 0;
        for given in &test.given {
            total += self.given(pipeline, given, diagnostics);
        }
        if total > READINGS_MAX {
            let message = format!("{total} readings are more than a test may give");
            let error = Diagnostic::error(&rules::BAD_TEST, span, message);
            diagnostics.push(error.help(format!("give {READINGS_MAX} at most")));
        }
        if test.faults.len() > FAULTS_MAX {
            let message = format!("{} faults are more than a test may have", test.faults.len());
            let error = Diagnostic::error(&rules::BAD_FAULT, span, message);
            diagnostics.push(error.help(format!("write {FAULTS_MAX} at most, or several tests")));
        }
        for fault in &test.faults {
            self.fault(pipeline, fault, diagnostics);
        }
        for expect in &test.expect {
            self.expect(pipeline, expect, diagnostics);
            if let Some(wrong) = without_faults(test, expect) {
                push(&rules::BAD_FAULT, expect.span, wrong, diagnostics);
            }
        }
    }

    fn fault(&self, pipeline: &str, fault: &Spanned<FaultSpec>, diagnostics: &mut Diagnostics) {
        let named = match Fault::new(fault) {
            Err(wrong) => return push(&rules::BAD_FAULT, fault.span, wrong, diagnostics),
            Ok(Fault::Down { sink, .. }) => (sink, true),
            Ok(Fault::Breaks { node, .. }) => (node, false),
            Ok(Fault::Full { .. } | Fault::Clock(_) | Fault::Restart(_)) => return,
        };
        let (written, only_sinks) = named;
        let Some((address, node)) = self.node(pipeline, written, false, diagnostics) else {
            return;
        };
        let section = node.spec.section;
        let wrong = if let Some(port) = &address.port {
            Some(wrong(
                format!("a fault is of a node, not of its port `{port}`"),
                format!("write `{}`", address.node),
            ))
        } else if only_sinks && section != Section::Sinks {
            Some(wrong(
                format!("`{}` is {}, and has no other side", address.node, section.with_article()),
                "name a sink, or write `node` in place of `sink`",
            ))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            push(&rules::BAD_FAULT, written.span, wrong, diagnostics);
        }
    }

    /// Checks an entry of `given`; says how many readings it gives.
    fn given(
        &self,
        pipeline: &str,
        given: &Spanned<GivenSpec>,
        diagnostics: &mut Diagnostics,
    ) -> u64 {
        let count = match Supply::new(given) {
            Ok(supply) => supply.count(),
            Err(wrong) => {
                push(&rules::BAD_TEST, given.span, wrong, diagnostics);
                0
            }
        };
        let Some((address, node)) = self.node(pipeline, &given.node, true, diagnostics) else {
            return count;
        };
        if node.spec.section != Section::Sources {
            let message = format!(
                "`{}` is {}, but only sources can say something",
                address.node,
                node.spec.section.with_article()
            );
            let error = wrong(message, "name a source of the pipeline");
            push(&rules::TEST_UNKNOWN_NODE, given.node.span, error, diagnostics);
            return count;
        }
        if let Some(port) = &address.port {
            let error = wrong(
                format!("a source has no port `{port}`"),
                format!("write `{}`", address.node),
            );
            push(&rules::TEST_UNKNOWN_NODE, given.node.span, error, diagnostics);
        }
        if let (Some(plan), Some(written)) = (&node.plan, &given.source) {
            let source = source_of(given, &plan.type_part, None);
            let own = &*plan.type_part;
            if !written.contains(':') {
                let error = wrong(
                    format!("{} is not a source such as `type:id`", quoted(written)),
                    format!("write `{own}:{}`", &**written),
                );
                push(&rules::BAD_TEST, written.span, error, diagnostics);
            } else if source.type_part() != own && plan.profile.pace != Some(Pace::Recorded) {
                let error = wrong(
                    format!(
                        "`{}` gives sources of type `{own}`, not {}",
                        address.node,
                        quoted(source.type_part())
                    ),
                    format!(
                        "write `{own}:{}`, or give the node `as: {}`",
                        source.id(),
                        source.type_part()
                    ),
                );
                push(&rules::BAD_TEST, written.span, error, diagnostics);
            }
        }
        count
    }

    fn expect(&self, pipeline: &str, expect: &Spanned<ExpectSpec>, diagnostics: &mut Diagnostics) {
        if let Some(wrong) = contradiction(expect) {
            push(&rules::BAD_TEST, expect.span, wrong, diagnostics);
        }
        let Some((address, node)) = self.node(pipeline, &expect.node, false, diagnostics) else {
            return;
        };
        let Some(plan) = &node.plan else { return };
        let port = match port_of(node.spec.section, &plan.profile, &address) {
            Ok(port) => port,
            Err(known) => {
                let named = address.port_or_main();
                let help = match nearest(named, known.iter().copied()) {
                    Some(near) => format!("did you mean `{}.{near}`?", address.node),
                    None if known.is_empty() => {
                        format!("write `{}`: what arrives at the sink is meant", address.node)
                    }
                    None => format!("its ports are {}", known.join(", ")),
                };
                let error =
                    wrong(format!("`{}` has no port {}", address.node, quoted(named)), help);
                push(&rules::TEST_UNKNOWN_NODE, expect.node.span, error, diagnostics);
                return;
            }
        };
        if port != Port::Input && (expect.lost.is_some() || expect.doubled.is_some()) {
            let message =
                format!("`{}` is no sink: nothing is lost or doubled there", address.node);
            let error = wrong(message, "name a sink");
            push(&rules::BAD_FAULT, expect.node.span, error, diagnostics);
        }
        let wanted = [
            (ItemKind::Readings, "reading", expect.reading.is_some()),
            (ItemKind::Windows, "window", expect.window.is_some()),
            (ItemKind::Observations, "observation", expect.observation.is_some()),
        ];
        let carried = self.carried(&plan.address, port);
        for (kind, word, asked) in wanted {
            if asked && !carried.is_empty() && !carried.contains(&kind) {
                let carried: Vec<&str> = carried.iter().map(|kind| kind.as_str()).collect();
                let carried = carried.join(" and ");
                let verb = if port == Port::Input { "gets" } else { "gives" };
                let error = wrong(
                    format!(
                        "`{}` {verb} {carried}, so no {word} can be expected there",
                        &*expect.node
                    ),
                    format!("expect {carried}, or name another port"),
                );
                push(&rules::BAD_TEST, expect.node.span, error, diagnostics);
            }
        }
    }

    /// The kinds of item that pass a port; none where that is not known.
    fn carried(&self, address: &str, port: Port) -> BTreeSet<ItemKind> {
        let Some((graph, node)) = self.graph.and_then(|graph| Some((graph, graph.find(address)?)))
        else {
            return BTreeSet::new();
        };
        match port {
            Port::Output(port) => graph.dag[node].carries.get(port).copied().into_iter().collect(),
            Port::Input => {
                let inputs = graph.inputs(node).into_iter();
                inputs
                    .filter_map(|(from, port)| graph.dag[from].carries.get(port).copied())
                    .collect()
            }
        }
    }

    fn node(
        &self,
        pipeline: &str,
        written: &Spanned<String>,
        sources_only: bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Address, &Resolved<'_>)> {
        let address = match Address::parse(written) {
            Ok(address) => address,
            Err(why) => {
                let help = "write it like `node`, `node.port` or `pipeline/node.port`";
                push(&rules::BAD_ADDRESS, written.span, wrong(why, help), diagnostics);
                return None;
            }
        };
        let of = address.pipeline.as_deref().unwrap_or(pipeline);
        if let Some(node) = self.by_address.get(&(of, &*address.node)).copied() {
            return Some((address.clone(), node));
        }
        if self.unread.contains(&(of, address.head())) {
            return None;
        }
        let place = match &address.pipeline {
            None => "in this pipeline".to_owned(),
            Some(other) => format!("in pipeline {}", quoted(other)),
        };
        let mut names: Vec<&str> = self
            .by_address
            .iter()
            .filter(|((other, _), node)| {
                *other == of && (!sources_only || node.spec.section == Section::Sources)
            })
            .map(|((_, name), _)| *name)
            .collect();
        names.sort_unstable();
        let help = match nearest(&address.node, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => {
                "name the file that holds it on the command line too".into()
            }
            None => {
                let what = if sources_only { "sources" } else { "nodes" };
                format!("the {what} {place} are {}", names.join(", "))
            }
        };
        let error = wrong(format!("there is no node {} {place}", quoted(&address.node)), help);
        push(&rules::TEST_UNKNOWN_NODE, written.span, error, diagnostics);
        None
    }
}

fn push(rule: &'static Rule, span: Span, wrong: Wrong, diagnostics: &mut Diagnostics) {
    diagnostics.push(Diagnostic::error(rule, span, wrong.message).help(wrong.help));
}

/// What is expected of faults, where there is none, or where it means nothing.
fn without_faults(test: &TestSpec, expect: &ExpectSpec) -> Option<Wrong> {
    let keys = [
        ("lost", expect.lost.is_some()),
        ("doubled", expect.doubled.is_some()),
        ("dead", expect.dead.is_some()),
    ];
    let (key, _) = keys.into_iter().find(|(_, given)| *given)?;
    if test.faults.is_empty() {
        let message = format!("`{key}` is expected, and nothing goes wrong");
        return Some(wrong(message, "say what goes wrong: `faults: [...]`"));
    }
    let others = [
        expect.at.is_some(),
        expect.by.is_some(),
        expect.between.is_some(),
        expect.reading.is_some(),
        expect.window.is_some(),
        expect.observation.is_some(),
        expect.count.is_some(),
        expect.none,
    ];
    others.contains(&true).then(|| {
        let help = "write an expectation of its own for each";
        wrong(format!("`{key}` is about all items, not only about some"), help)
    })
}

/// Settings of an expectation that say two things at once.
fn contradiction(expect: &ExpectSpec) -> Option<Wrong> {
    let two = |keys: &[(&'static str, bool)]| {
        let given: Vec<&str> = keys.iter().filter(|(_, on)| *on).map(|(key, _)| *key).collect();
        (given.len() > 1).then(|| {
            wrong(
                format!("`{}` and `{}` are both given", given[0], given[1]),
                "remove one, or write two expectations",
            )
        })
    };
    if let Some([from, to]) = expect.between.filter(|[from, to]| from > to) {
        let message = format!("{from} is after {to}, so nothing lies between them");
        return Some(wrong(message, "swap the two"));
    }
    two(&[
        ("at", expect.at.is_some()),
        ("by", expect.by.is_some()),
        ("between", expect.between.is_some()),
    ])
    .or_else(|| {
        two(&[
            ("reading", expect.reading.is_some()),
            ("window", expect.window.is_some()),
            ("observation", expect.observation.is_some()),
        ])
    })
    .or_else(|| two(&[("count", expect.count.is_some()), ("none", expect.none)]))
}
