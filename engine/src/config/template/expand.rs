//! One use: the nodes of its template under their new names, with what they read from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Budget, Template, Templates, VALUES_MAX,
    fill::Filler,
    names::{Inputs, Names, Place, own_name},
};
use crate::config::{
    pipeline::{Address, EngineWord, Section},
    tree::{Entry, Key, Mapping, Node, Value},
};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Files, Span, nearest, quoted, rules};

impl Templates {
    /// The nodes that stand for an entry with the word `use`; `None` if something is wrong with the use or its template, which is reported.
    pub fn expand(
        &mut self,
        entry: &Entry,
        section: Section,
        files: &mut Files,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<(Section, Entry)>> {
        let names = used_names(entry);
        self.used.extend(names.iter().map(|name| name.key.text.clone()));
        if let [only] = names
            && !self.by_name.contains_key(&only.key.text)
        {
            diagnostics.push(self.unknown(&only.key.text, only.key.span));
            return None;
        }
        let path = entry.key.text.clone();
        let mut nodes = Vec::new();
        let Templates { by_name, budget, .. } = self;
        let mut expansion =
            Expansion { by_name, budget, files, diagnostics, nodes: &mut nodes, is_whole: true };
        expansion.put(entry, section, Place { path, was: None });
        expansion.is_whole.then_some(nodes)
    }
}

/// What stands below the names under `use`.
fn used_names(entry: &Entry) -> &[Entry] {
    let used = entry.value.as_mapping().and_then(|words| words.get("use"));
    used.and_then(|used| used.value.as_mapping()).map_or(&[], |names| names.entries())
}

/// What is made of one use.
pub(super) struct Expansion<'a> {
    pub(super) by_name: &'a BTreeMap<Arc<str>, Template>,
    pub(super) budget: &'a mut Budget,
    pub(super) files: &'a mut Files,
    pub(super) diagnostics: &'a mut Diagnostics,
    pub(super) nodes: &'a mut Vec<(Section, Entry)>,
    /// Whether all could be made.
    pub(super) is_whole: bool,
}

/// A use in words.
pub(super) struct Call<'a> {
    pub(super) template: &'a Template,
    pub(super) bound: BTreeMap<Arc<str>, Node>,
    pub(super) inputs: Inputs,
    /// The other words of the engine: they go to the `out` node.
    pub(super) words: Vec<Entry>,
    pub(super) renamed_from: Option<Address>,
    /// Where the name of the template stands.
    pub(super) at: Span,
}

impl<'a> Expansion<'a> {
    /// Adds the nodes of the use in `entry`, whose `out` node takes the name of the entry.
    fn put(&mut self, entry: &Entry, section: Section, place: Place) {
        match self.call(entry, section) {
            _ if self.budget.spent => self.is_whole = false,
            Some(call) => {
                let to = self.files.instance(call.template.file, call.at);
                self.instance(call, &entry.key, place, to);
            }
            None => self.is_whole = false,
        }
    }

    fn call(&mut self, entry: &Entry, section: Section) -> Option<Call<'a>> {
        let words = entry.value.as_mapping()?;
        let (used, names) = (words.get("use")?, used_names(entry));
        let [name] = names else {
            if !matches!(used.value.value, Value::Broken) {
                let found = match names {
                    [] => used.value.describe(),
                    names => format!("{} of them", names.len()),
                };
                let message = format!("`use` takes one template with its arguments, found {found}");
                let error = Diagnostic::error(&rules::BAD_USE, used.key.span, message);
                self.diagnostics
                    .push(error.help("write `use: { template: { parameter: value } }`"));
            }
            return None;
        };
        let template = self.by_name.get(&name.key.text)?;
        let at = name.key.span;
        let errors_before = self.diagnostics.errors();
        let mut call = Call {
            template,
            bound: BTreeMap::new(),
            inputs: Inputs::new(),
            words: Vec::new(),
            renamed_from: None,
            at,
        };
        for word in words.entries() {
            match EngineWord::from_key(&word.key.text) {
                Some(EngineWord::Use | EngineWord::Inputs) => {}
                Some(kind) => {
                    if kind == EngineWord::RenamedFrom {
                        let text = word.value.as_scalar().map(|scalar| scalar.text());
                        call.renamed_from = text.and_then(|text| Address::parse(text).ok());
                    }
                    call.words.push(word.clone());
                }
                None => self.diagnostics.push(template.surplus(word, used, section)),
            }
        }
        if template.broken {
            return None;
        }
        if template.section != section {
            let message = format!(
                "the template {} ends in {}, and cannot be {}",
                quoted(&template.name),
                template.section.with_article(),
                section.with_article()
            );
            let error = Diagnostic::error(&rules::BAD_USE, at, message);
            self.diagnostics
                .push(error.help(format!("use it under `{}:`", template.section.key())));
        }
        let bound = template.bind(Some(&name.value), at, false, self.diagnostics);
        call.inputs = self.inputs(template, words.get("inputs"), entry.key.span);
        call.bound = bound?;
        (self.diagnostics.errors() == errors_before).then_some(call)
    }

    /// What is given to a use, by port.
    fn inputs(&mut self, template: &Template, inputs: Option<&Entry>, at: Span) -> Inputs {
        let mut given = Inputs::new();
        if let Some(inputs) = inputs {
            let main: Arc<str> = "main".into();
            match &inputs.value.value {
                Value::Sequence(list) => {
                    self.port(template, &main, inputs.key.span, list, &mut given)
                }
                Value::Mapping(ports) => {
                    for port in ports.entries() {
                        let list = port.value.as_sequence().unwrap_or_else(|| {
                            self.no_list(&port.key, &port.value);
                            &[]
                        });
                        self.port(template, &port.key.text, port.key.span, list, &mut given);
                    }
                }
                _ => self.no_list(&inputs.key, &inputs.value),
            }
        }
        for (port, span) in &template.ports {
            if given.contains_key(port) || (inputs.is_some() && template.ports.len() == 1) {
                continue;
            }
            let (name, at) = (quoted(&template.name), inputs.map_or(at, |inputs| inputs.key.span));
            let (message, help) = match &**port {
                "main" => (
                    format!("the template {name} has inputs, and nothing is given to it"),
                    "name the nodes it reads from: `inputs: [...]`".to_owned(),
                ),
                port => (
                    format!(
                        "the template {name} has an input {}, and nothing goes there",
                        quoted(port)
                    ),
                    format!("name the nodes it reads from: `inputs: {{ {port}: [...] }}`"),
                ),
            };
            let error = Diagnostic::error(&rules::NO_INPUTS, at, message);
            self.diagnostics.push(error.also(*span, "read here").help(help));
        }
        given
    }

    fn port(
        &mut self,
        template: &Template,
        port: &Arc<str>,
        at: Span,
        list: &[Node],
        given: &mut Inputs,
    ) {
        given.insert(port.clone(), list.to_vec());
        if template.ports.contains_key(port) {
            return;
        }
        let known: Vec<&str> = template.ports.keys().map(|port| &**port).collect();
        let (name, port) = (quoted(&template.name), quoted(port));
        let (message, help) = match known.as_slice() {
            [] => (
                format!("the template {name} takes no inputs"),
                "remove `inputs`, or read from `$(in)` in the template".to_owned(),
            ),
            known => (
                format!("the template {name} has no input {port}"),
                match nearest(port.trim_matches('`'), known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its inputs are {}", known.join(", ")),
                },
            ),
        };
        self.diagnostics.push(Diagnostic::error(&rules::BAD_USE, at, message).help(help));
    }

    fn no_list(&mut self, key: &Key, value: &Node) {
        if !matches!(value.value, Value::Broken) {
            let message =
                format!("`{}` takes a list of nodes, found {}", key.text, value.describe());
            let span = if value.span.start == value.span.end { key.span } else { value.span };
            let error = Diagnostic::error(&rules::WRONG_TYPE, span, message);
            self.diagnostics.push(error.help(format!("write `{}: [node]`", key.text)));
        }
        self.is_whole = false;
    }

    /// Adds the nodes of a use, with its places in `to`.
    pub(super) fn instance(&mut self, call: Call<'a>, key: &Key, place: Place, to: FileId) {
        let Call { template, bound, inputs, words, renamed_from, at } = call;
        let renamed = renamed_from.map(|address| address.to_string().into());
        let place = Place { was: place.was.or(renamed), ..place };
        let names =
            Names { template, out: key.text.clone(), path: place.path.clone(), inputs: &inputs };
        let mut words = Some(words);
        for (section, node) in &template.nodes {
            if self.budget.spent {
                self.is_whole = false;
                return;
            }
            let is_out = node.key.text == template.out;
            let mut filler = Filler {
                from: template.file,
                to,
                bound: &bound,
                budget: self.budget,
                diagnostics: self.diagnostics,
            };
            let Ok(mut made) = filler.node_of(node, &names, &place) else {
                self.budget.spent = true;
                self.is_whole = false;
                let message =
                    format!("templates add more than {VALUES_MAX} values, or 16 MiB of text");
                let error = Diagnostic::error(&rules::BAD_USE, at, message);
                self.diagnostics.push(error.help("use them less often, or nest them less"));
                return;
            };
            made.key = if is_out {
                key.clone()
            } else {
                Key { text: names.of(&node.key.text), span: made.key.span }
            };
            if is_out && let Some(words) = words.take() {
                with_words(&mut made, words);
            }
            let Some(inner) = made.value.as_mapping().filter(|words| words.get("use").is_some())
            else {
                self.nodes.push((*section, made));
                continue;
            };
            let was =
                match (&place.was, inner.get("renamed_from").and_then(|e| e.value.as_scalar())) {
                    (None, None) => None,
                    (Some(was), _) => Some(Names::under(was, own_name(node))),
                    (None, Some(_)) => Some(Names::under(&place.path, own_name(node))),
                };
            let path = Names::under(&place.path, &node.key.text);
            self.put(&made, *section, Place { path, was });
        }
    }
}

/// Lets the words beside a use take the place of those of its `out` node.
fn with_words(made: &mut Entry, words: Vec<Entry>) {
    let Some(own) = made.value.as_mapping().filter(|_| !words.is_empty()) else { return };
    let is_new = |entry: &&Entry| !words.iter().any(|word| word.key.text == entry.key.text);
    let entries = own.entries().iter().filter(is_new).cloned().collect::<Vec<_>>();
    let entries = entries.into_iter().chain(words).collect();
    made.value.value = Value::Mapping(Mapping::new(entries));
}

impl Template {
    /// A key beside `use` that is no word of the engine.
    fn surplus(&self, word: &Entry, used: &Entry, section: Section) -> Diagnostic {
        let key = quoted(&word.key.text);
        let message = format!("unknown key {key} beside `use`");
        let error = Diagnostic::error(&rules::UNKNOWN_KEY, word.key.span, message)
            .also(used.key.span, "stands for a type");
        if self.params.iter().any(|param| param.name.value == word.key.text) {
            let (template, key) = (&**self.name, &word.key.text);
            return error
                .help(format!("it is a parameter: `use: {{ {template}: {{ {key}: ... }} }}`"));
        }
        match nearest(&word.key.text, EngineWord::of(section).map(EngineWord::key)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help("a node has one type, or one template"),
        }
    }
}
