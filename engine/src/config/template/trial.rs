//! The tests of templates: each runs on a pipeline of its own, made of the template's nodes with the arguments that the test gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Budget, INPUT, Template, Templates,
    expand::{Call, Expansion},
    names::{Inputs, Place},
    read::scalar_node,
};
use crate::config::{
    pipeline::{self, PipelineSpec, Section},
    tree::{Entry, Key, Mapping, Node, Value},
};
use crate::diagnostic::{Diagnostic, Diagnostics, Files, Span, nearest, quoted, rules};

/// A template as a pipeline, with one of its tests.
#[derive(Debug)]
pub struct Trial {
    /// Under the name of the template, its nodes under the names that they have there. What is given to a use comes from sources:
    /// `in`, or `in-port`.
    pub pipeline: PipelineSpec,
    /// Whether it was made without a test, to see whether the nodes fit.
    pub is_bare: bool,
}

impl Templates {
    /// A pipeline for each test of each template; and one for each template without tests that is used nowhere, as far as its
    /// parameters have defaults. `input` is the type of source that stands for what is given to a use.
    pub fn trials(
        &mut self,
        input: &'static str,
        files: &mut Files,
        types: &dyn Fn(Section) -> Vec<&'static str>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Trial> {
        let Templates { by_name, used, budget } = self;
        let mut maker = Maker { by_name, budget, input, files, types, diagnostics };
        let mut trials = Vec::new();
        for template in by_name.values().filter(|template| !template.broken) {
            if let Some(tests) = template.tests.as_ref().filter(|tests| !tests.is_null()) {
                maker.tests(template, tests, &mut trials);
                continue;
            }
            let has_defaults = template.params.iter().all(|param| param.default.is_some());
            if has_defaults && !used.contains(&template.name.value) {
                trials.extend(maker.trial(template, None, None, template.name.span));
            }
        }
        trials
    }
}

/// What it takes to make trials.
struct Maker<'a> {
    by_name: &'a BTreeMap<Arc<str>, Template>,
    budget: &'a mut Budget,
    input: &'static str,
    files: &'a mut Files,
    types: &'a dyn Fn(Section) -> Vec<&'static str>,
    diagnostics: &'a mut Diagnostics,
}

impl<'a> Maker<'a> {
    fn tests(&mut self, template: &'a Template, tests: &Node, trials: &mut Vec<Trial>) {
        let Value::Sequence(list) = &tests.value else {
            if !matches!(tests.value, Value::Broken) {
                let message = format!("`tests` takes a list, found {}", tests.describe());
                let error = Diagnostic::error(&rules::WRONG_TYPE, tests.span, message);
                self.diagnostics.push(error.help("write each test as `- name: ...`"));
            }
            return;
        };
        for test in &**list {
            let (test, with) = split(test);
            if let Some(key) = misspelt_with(&test, with.as_ref()) {
                let message = format!("the test has no key {}", quoted(&key.text));
                let error = Diagnostic::error(&rules::UNKNOWN_KEY, key.span, message);
                self.diagnostics.push(error.help("did you mean `with`?"));
                continue;
            }
            let at = with.as_ref().map_or(test.span, |with| with.key.span);
            let arguments = with.as_ref().map(|with| &with.value);
            trials.extend(self.trial(template, arguments, Some(test), at));
        }
    }

    fn trial(
        &mut self,
        template: &'a Template,
        arguments: Option<&Node>,
        test: Option<Node>,
        at: Span,
    ) -> Option<Trial> {
        let bound = template.bind(arguments, at, true, self.diagnostics)?;
        let mut nodes = Vec::new();
        // Several tests may find the same: then each is a use.
        let to = match test {
            Some(_) => self.files.instance(template.file, at),
            None => template.file,
        };
        let mut expansion = Expansion {
            by_name: self.by_name,
            budget: self.budget,
            files: self.files,
            diagnostics: self.diagnostics,
            nodes: &mut nodes,
            is_whole: true,
        };
        let inputs = template.given(&mut expansion, self.input);
        let (words, renamed_from) = (Vec::new(), None);
        let call = Call { template, bound, inputs, words, renamed_from, at };
        let key = Key { text: template.out.clone(), span: template.out_span() };
        expansion.instance(call, &key, Place { path: "".into(), was: None }, to);
        if !expansion.is_whole {
            return None;
        }
        let mut pipeline = PipelineSpec {
            name: template.name.clone(),
            description: None,
            file: template.file,
            span: template.name.span,
            nodes: Vec::new(),
            unread: Vec::new(),
            tests: None,
        };
        for (section, entry) in &nodes {
            let types = (self.types)(*section);
            pipeline.nodes.push(pipeline::read_node(entry, *section, &types, self.diagnostics)?);
        }
        let is_bare = test.is_none();
        pipeline.tests =
            test.map(|test| Node { span: test.span, value: Value::Sequence([test].into()) });
        Some(Trial { pipeline, is_bare })
    }
}

impl Template {
    fn out_span(&self) -> Span {
        let out = self.nodes.iter().find(|(_, entry)| entry.key.text == self.out);
        out.map_or(self.name.span, |(_, entry)| entry.key.span)
    }

    /// Sources for all that is given to a use.
    fn given(&self, expansion: &mut Expansion<'_>, input: &str) -> Inputs {
        let mut inputs = Inputs::new();
        for (port, &span) in &self.ports {
            let name: Arc<str> = match &**port {
                "main" => INPUT.into(),
                port => format!("{INPUT}-{port}").into(),
            };
            let settings = Node { span, value: Value::Mapping(Mapping::default()) };
            let kind = Entry { key: Key { text: input.into(), span }, value: settings };
            let value = Value::Mapping(Mapping::new(vec![kind]));
            let key = Key { text: name.clone(), span };
            expansion.nodes.push((Section::Sources, Entry { key, value: Node { span, value } }));
            inputs.insert(port.clone(), vec![scalar_node(name, span)]);
        }
        inputs
    }
}

/// The key that was meant to be `with`: without its arguments nothing else can be said of a test.
fn misspelt_with<'a>(test: &'a Node, with: Option<&Entry>) -> Option<&'a Key> {
    let keys = test.as_mapping().filter(|_| with.is_none())?.entries().iter();
    keys.map(|entry| &entry.key).find(|key| nearest(&key.text, ["with"]).is_some())
}

/// A test without `with`, and that.
fn split(test: &Node) -> (Node, Option<Entry>) {
    let Some(keys) = test.as_mapping() else { return (test.clone(), None) };
    let rest = keys.entries().iter().filter(|entry| *entry.key.text != *"with").cloned();
    let rest = Value::Mapping(Mapping::new(rest.collect()));
    (Node { span: test.span, value: rest }, keys.get("with").cloned())
}
