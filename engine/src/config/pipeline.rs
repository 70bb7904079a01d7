//! What the user wrote as a pipeline: names, sections and engine words, with their places.
//!
//! Settings of nodes stay trees; only the registry knows their types. A [`PipelineSpec`] holds as much as could be
//! read, so that later stages report their errors in the same run.

mod address;
mod inputs;
mod node;
mod parse;
#[cfg(test)]
mod tests;
mod words;

pub use address::Address;
pub(super) use node::{read as read_node, text_of as node_text};
pub(super) use parse::check_name;
pub use parse::{is_name, parse};
pub use words::EngineWord;

use std::sync::Arc;

use super::{Spanned, Text, tree::Node};
use crate::diagnostic::{FileId, Span};

/// One pipeline as it was written.
#[derive(Clone, Debug)]
pub struct PipelineSpec {
    /// `pipeline:`; if that is missing (which was reported), the name of the file.
    pub name: Text,
    /// `description:`
    pub description: Option<Text>,
    /// The file it stands in.
    pub file: FileId,
    /// The whole document.
    pub span: Span,
    /// The nodes of all sections in the order of the file, no name twice.
    pub nodes: Vec<NodeSpec>,
    /// The names of nodes that could not be read, which was reported.
    pub unread: Vec<Arc<str>>,
    /// `tests:`, not yet read.
    pub tests: Option<Node>,
}

impl PipelineSpec {
    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&NodeSpec> {
        self.nodes.iter().find(|node| *node.name.value == *name)
    }

    /// The nodes of one section, in the order of the file.
    pub fn section(&self, section: Section) -> impl Iterator<Item = &NodeSpec> {
        self.nodes.iter().filter(move |node| node.section == section)
    }
}

/// Where a node stands, and so what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `sources:`
    Sources,
    /// `transforms:`
    Transforms,
    /// `agents:`
    Agents,
    /// `sinks:`
    Sinks,
}

impl Section {
    /// All four, in the order of the graph.
    pub const ALL: [Self; 4] = [Self::Sources, Self::Transforms, Self::Agents, Self::Sinks];

    /// The key in the pipeline: `sources`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Transforms => "transforms",
            Self::Agents => "agents",
            Self::Sinks => "sinks",
        }
    }

    /// One node of it: `source`.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Sources => "source",
            Self::Transforms => "transform",
            Self::Agents => "agent",
            Self::Sinks => "sink",
        }
    }

    /// `a source`, `an agent`.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Sources => "a source",
            Self::Transforms => "a transform",
            Self::Agents => "an agent",
            Self::Sinks => "a sink",
        }
    }

    /// The section of a key.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.key() == key)
    }
}

/// One node as it was written.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Its name, at its key; a node inside a template is `use>name`.
    pub name: Text,
    /// The section it stands in.
    pub section: Section,
    /// All of its value.
    pub span: Span,
    /// The key that is its type. A node without one (which was reported) is not kept.
    pub type_name: Text,
    /// What stands under the type.
    pub settings: Node,
    /// `inputs:`, in the order of the file.
    pub inputs: Vec<InputSpec>,
    /// The value of `inputs:`, or the name if it is missing: where to complain about inputs as a whole.
    pub inputs_span: Span,
    /// Whether `inputs:` or one of its elements was wrong and has been reported.
    pub inputs_broken: bool,
    /// `as:`
    pub as_type: Option<Text>,
    /// `unit:`
    pub unit: Option<Text>,
    /// `labels:`, name and text.
    pub labels: Vec<(Text, Text)>,
    /// `labels_from:`
    pub labels_from: Option<Text>,
    /// `renamed_from:`
    pub renamed_from: Option<Text>,
    /// `every:`, not yet read; if nothing stands there, with the place of its key.
    pub every: Option<Node>,
    /// `when:`, not yet read; if nothing stands there, with the place of its key.
    pub when: Option<Node>,
    /// `queue:`, not yet read; if nothing stands there, with the place of its key.
    pub queue: Option<Node>,
    /// `retry:`, not yet read; if nothing stands there, with the place of its key.
    pub retry: Option<Node>,
}

/// One input of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// The port of this node that it goes to: `main` unless `inputs:` is a mapping.
    pub port: Text,
    /// Where it comes from, at the text of the address.
    pub from: Spanned<Address>,
}
