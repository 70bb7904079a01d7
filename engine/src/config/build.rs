//! From the events of the YAML parser to trees, within limits.
//!
//! Nothing here recurses, and a limit is checked before what it bounds is allocated: a hostile file costs no more
//! than an honest one of its size.

use std::sync::Arc;

use foldhash::fast::RandomState;
use granit_parser::{Event, Parser, ScalarStyle, Tag};
use hashbrown::{HashMap, HashSet};

use super::{
    syntax,
    tree::{Entry, Key, Mapping, Node, Scalar, Style, Value},
};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Span, quoted, rules};

/// Levels of lists and mappings in each other.
pub const DEPTH_MAX: usize = 64;
/// Values in all files of one load, as written.
pub const NODES_MAX: usize = 2_000_000;
/// Values that aliases may add to those.
pub const ALIAS_NODES_MAX: usize = 100_000;
/// Above this many keys a mapping looks for duplicates by hash.
const KEYS_SEARCHED_MAX: usize = 16;

/// What one load may still read.
pub(super) struct Budget {
    nodes: usize,
    alias_nodes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: NODES_MAX, alias_nodes: ALIAS_NODES_MAX }
    }
}

/// Turns the text of a scalar into its value; the caller knows variables and secrets.
pub(super) type Interpolate<'a> = dyn FnMut(&str, Style, Span, &mut Diagnostics) -> Value + 'a;

/// Reads every document of a file; one that breaks off is left out, and reported.
pub(super) fn documents(
    file: FileId,
    text: &str,
    budget: &mut Budget,
    interpolate: &mut Interpolate<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        // One level more than ours, so that ours speaks first and theirs still bounds the scanner.
        flow_nesting_limit: DEPTH_MAX + 2,
        block_nesting_limit: DEPTH_MAX + 2,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder {
        budget,
        interpolate,
        diagnostics,
        frames: Vec::new(),
        anchors: HashMap::default(),
        root: None,
        last_end: 0,
        tag_span: None,
    };
    let mut documents = Vec::new();
    while let Some(next) = parser.next() {
        let stop = match next {
            Ok((Event::DocumentEnd, _)) => {
                documents.extend(builder.finish_document());
                continue;
            }
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                builder.tag_span = span.tag_span().map(|tag| place(file, tag));
                match builder.event(event, place(file, span)) {
                    Ok(()) => continue,
                    Err(stop) => stop,
                }
            }
            Err(error) => {
                builder.diagnostics.push(syntax::diagnostic(file, text, &error));
                Stop::Document
            }
        };
        builder.finish_document();
        match stop {
            Stop::Document if parser.proceed_next_document().unwrap_or(false) => {}
            Stop::Document | Stop::File => break,
        }
    }
    documents
}

/// What cannot be read on after an error.
enum Stop {
    Document,
    File,
}

/// A list or mapping that is not yet closed.
struct Frame {
    open: Open,
    start: Span,
    anchor: usize,
    /// Values in it and under it, itself included.
    size: usize,
    /// Levels under it.
    height: usize,
}

/// The keys of a large mapping and where they stand.
type Seen = HashMap<Arc<str>, Span, RandomState>;

enum Open {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: Option<Seen>, merges: Vec<Node>, key: Pending },
}

/// What a mapping waits for.
enum Pending {
    Key,
    Value(Key),
    /// The value of `<<`.
    Merge,
    /// The value of a key that was refused.
    Dropped,
}

/// What an anchor stands for.
struct Anchored {
    node: Node,
    size: usize,
    height: usize,
}

struct Builder<'a, 'b> {
    budget: &'a mut Budget,
    interpolate: &'a mut Interpolate<'b>,
    diagnostics: &'a mut Diagnostics,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchored, RandomState>,
    root: Option<Node>,
    last_end: u32,
    /// Where the tag of the event at hand stands.
    tag_span: Option<Span>,
}

impl Builder<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(span)?;
                let node = self.scalar(&text, style, tag.as_deref(), span);
                self.last_end = span.end;
                self.add(node, anchor, 1, 0);
                Ok(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Open::Sequence(Vec::new()), anchor, tag.as_deref(), span)
            }
            Event::MappingStart(_, anchor, tag) => {
                let key = Pending::Key;
                let open =
                    Open::Mapping { entries: Vec::new(), seen: None, merges: Vec::new(), key };
                self.open(open, anchor, tag.as_deref(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close(span);
                Ok(())
            }
            Event::Alias(id) => self.alias(id, span),
            Event::UnresolvedAlias(name) => {
                let message = format!("no `&{name}` stands before this alias");
                let error = Diagnostic::error(&rules::UNKNOWN_ALIAS, span, message)
                    .help(format!("to write the text `*{name}`, put it in quotes"));
                self.broken(error, span);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let text = if span.start == span.end { "" } else { text };
        let is_text_tag = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        let style = match style {
            ScalarStyle::Plain if !is_text_tag => Style::Plain,
            _ => Style::Text,
        };
        let value = if self.refuse_tag(tag, span) {
            Value::Broken
        } else if self.expects_value() {
            (self.interpolate)(text, style, span, self.diagnostics)
        } else {
            Value::Scalar(Scalar::new(text, style))
        };
        Node { span, value }
    }

    /// Whether what comes next is a value, not a key.
    fn expects_value(&self) -> bool {
        !matches!(
            self.frames.last(),
            Some(Frame { open: Open::Mapping { key: Pending::Key, .. }, .. })
        )
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema() && tag.original() != "!")
        else {
            return false;
        };
        let message = format!("the tag {} has no meaning here", quoted(&tag.original()));
        let error = Diagnostic::error(&rules::UNKNOWN_TAG, self.tag_span.unwrap_or(span), message);
        self.diagnostics.push(match tag.suffix() {
            "secret" | "env_var" => error
                .help("write a secret as `secret://env/NAME` or `secret://file/PATH`, a variable as `${NAME}`"),
            _ => error.help("take the tag out"),
        });
        true
    }

    fn spend(&mut self, span: Span) -> Result<(), Stop> {
        if self.budget.nodes == 0 {
            let message = format!("more than {NODES_MAX} values");
            let error = Diagnostic::error(&rules::TOO_MANY_NODES, span, message)
                .label("reading stopped here")
                .help("keep tables of data in a file that a node reads");
            self.diagnostics.push(error);
            return Err(Stop::File);
        }
        self.budget.nodes -= 1;
        Ok(())
    }

    fn open(
        &mut self,
        open: Open,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Stop> {
        self.spend(span)?;
        if self.frames.len() >= DEPTH_MAX {
            return Err(self.too_deep(span));
        }
        self.refuse_tag(tag, span);
        self.last_end = span.end;
        self.frames.push(Frame { open, start: span, anchor, size: 1, height: 0 });
        Ok(())
    }

    fn too_deep(&mut self, span: Span) -> Stop {
        self.diagnostics.push(syntax::too_deep(span));
        Stop::Document
    }

    fn close(&mut self, end: Span) {
        let Some(frame) = self.frames.pop() else { return };
        // A block ends where its last value ends, a flow collection at its bracket.
        self.last_end = if end.end > end.start { end.end } else { self.last_end };
        let span = frame.start.to(Span { end: self.last_end, ..frame.start });
        let value = match frame.open {
            Open::Sequence(nodes) => Value::Sequence(nodes.into()),
            Open::Mapping { entries, merges, .. } => {
                Value::Mapping(Mapping::new(self.merged(entries, &merges)))
            }
        };
        self.add(Node { span, value }, frame.anchor, frame.size, frame.height);
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&id) else {
            let message = "this alias stands inside the value it repeats";
            self.broken(Diagnostic::error(&rules::UNKNOWN_ALIAS, span, message), span);
            return Ok(());
        };
        let (node, size, height) = (anchored.node.clone(), anchored.size, anchored.height);
        let Some(left) = self.budget.alias_nodes.checked_sub(size) else {
            let message = format!("aliases add more than {ALIAS_NODES_MAX} values");
            let error = Diagnostic::error(&rules::ALIAS_BOMB, span, message)
                .label(format!("this one stands for {size} values"))
                .help("write the values out, or use fewer levels of aliases");
            self.diagnostics.push(error);
            return Err(Stop::File);
        };
        if self.frames.len() + height > DEPTH_MAX {
            return Err(self.too_deep(span));
        }
        self.budget.alias_nodes = left;
        self.last_end = span.end;
        self.add(node, 0, size, height);
        Ok(())
    }

    fn broken(&mut self, error: Diagnostic, span: Span) {
        self.diagnostics.push(error);
        self.last_end = span.end;
        self.add(Node { span, value: Value::Broken }, 0, 1, 0);
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize, size: usize, height: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), size, height });
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return;
        };
        frame.size = frame.size.saturating_add(size);
        frame.height = frame.height.max(height + 1);
        match &mut frame.open {
            Open::Sequence(nodes) => nodes.push(node),
            Open::Mapping { entries, seen, merges, key } => {
                match std::mem::replace(key, Pending::Key) {
                    Pending::Key => *key = pending(node, entries, seen, self.diagnostics),
                    Pending::Value(key) => entries.push(Entry { key, value: node }),
                    Pending::Merge => merges.push(node),
                    Pending::Dropped => {}
                }
            }
        }
    }

    /// Entries, then those of `<<` whose keys are not there yet.
    fn merged(&mut self, mut entries: Vec<Entry>, merges: &[Node]) -> Vec<Entry> {
        if merges.is_empty() {
            return entries;
        }
        let mut seen: HashSet<Arc<str>, RandomState> =
            entries.iter().map(|entry| entry.key.text.clone()).collect();
        for merge in merges {
            let sources = merge.as_sequence().unwrap_or(std::slice::from_ref(merge));
            for source in sources {
                match &source.value {
                    Value::Mapping(mapping) => entries.extend(
                        mapping
                            .entries()
                            .iter()
                            .filter(|e| seen.insert(e.key.text.clone()))
                            .cloned(),
                    ),
                    Value::Broken => {}
                    _ => {
                        let message = format!("`<<` takes a mapping, found {}", source.describe());
                        let error = Diagnostic::error(&rules::BAD_MERGE, source.span, message)
                            .help("write `<<: *name` with the `&name` of a mapping");
                        self.diagnostics.push(error);
                    }
                }
            }
        }
        entries
    }

    fn finish_document(&mut self) -> Option<Node> {
        self.frames.clear();
        self.anchors.clear();
        self.root.take().filter(|root| !root.is_null())
    }
}

/// What a mapping waits for after the node that stands in the place of a key.
fn pending(
    node: Node,
    entries: &[Entry],
    seen: &mut Option<Seen>,
    diagnostics: &mut Diagnostics,
) -> Pending {
    let scalar = match &node.value {
        Value::Scalar(scalar) if !scalar.text().is_empty() => scalar,
        Value::Broken => return Pending::Dropped,
        _ => {
            let found = match node.describe() {
                found if found == "nothing" => "an empty key".to_owned(),
                found => format!("{found} as a key"),
            };
            let error =
                Diagnostic::error(&rules::KEY_NOT_TEXT, node.span, format!("found {found}"))
                    .help("text with `{` or `[` has to stand in quotes");
            diagnostics.push(error);
            return Pending::Dropped;
        }
    };
    if scalar.text() == "<<" && scalar.style() == Style::Plain {
        return Pending::Merge;
    }
    let key = Key { text: scalar.text.clone(), span: node.span };
    let Some(first) = earlier(&key, entries, seen) else { return Pending::Value(key) };
    diagnostics.push_error(|| {
        let message = format!("the key {} stands here twice", quoted(&key.text));
        Diagnostic::error(&rules::DUPLICATE_KEY, key.span, message)
            .label("again here")
            .also(first, "first here")
            .help("take one of them out, or rename it")
    });
    Pending::Dropped
}

/// Where this key stood before; many keys are looked up by hash.
fn earlier(key: &Key, entries: &[Entry], seen: &mut Option<Seen>) -> Option<Span> {
    if entries.len() < KEYS_SEARCHED_MAX {
        return entries.iter().find(|entry| entry.key.text == key.text).map(|entry| entry.key.span);
    }
    let place = |entry: &Entry| (entry.key.text.clone(), entry.key.span);
    let seen = seen.get_or_insert_with(|| entries.iter().map(place).collect());
    let first = seen.get(&key.text).copied();
    if first.is_none() {
        seen.insert(key.text.clone(), key.span);
    }
    first
}

fn place(file: FileId, span: granit_parser::Span) -> Span {
    let range = span.byte_range().unwrap_or(0..0);
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: offset(range.start), end: offset(range.end) }
}
