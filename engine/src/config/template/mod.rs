//! Templates: groups of nodes with parameters, written once and put in place of every `use`.
//!
//! ```text
//! Templates::read(&documents, &mut diagnostics)                       read.rs, links.rs: their shape, and how they use each other
//! templates.expand(&entry, section, ..) -> nodes of one use           expand.rs, names.rs, arguments.rs, fill.rs
//! templates.trials(..) -> a pipeline for each of their tests          trial.rs
//! ```
//!
//! Expansion works on trees: what comes out are nodes as a user would write them, under the names `kitchen` (the template's `out`) and
//! `kitchen>inner` (all others), and everything behind it sees no difference. Each use has its places in a file of its own
//! ([`Files::instance`](crate::diagnostic::Files::instance)), so that what is found there is shown at the template's line together
//! with the use. What expansion may add is bounded, and so is how deep templates lie in each other.

mod arguments;
mod expand;
mod fill;
mod links;
mod names;
mod read;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use arguments::ParamType;
pub use trial::Trial;

use self::arguments::Param;
use super::{
    interpolate::INTERPOLATED_BYTES_MAX,
    load::Document,
    pipeline::Section,
    spanned::Text,
    tree::{Entry, Node},
};
use crate::diagnostic::{Diagnostics, FileId, Span};

/// The name under which the nodes of a template read what is given to a use: `$(in)`, or `$(in.port)`.
const INPUT: &str = "in";
/// Templates that lie in each other.
const LEVELS_MAX: usize = 16;
/// Values that templates may add to those that are written in files.
const VALUES_MAX: usize = 500_000;

/// All templates of a load.
#[derive(Debug, Default)]
pub struct Templates {
    by_name: BTreeMap<Arc<str>, Template>,
    /// Those that were used: their nodes are checked where that is.
    used: BTreeSet<Arc<str>>,
    budget: Budget,
}

/// What expansion may still add to the pipelines of one load.
#[derive(Debug)]
struct Budget {
    values: usize,
    bytes: usize,
    /// Whether there was too little, which is reported once.
    spent: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { values: VALUES_MAX, bytes: INTERPOLATED_BYTES_MAX, spent: false }
    }
}

/// One template as it was written.
#[derive(Debug)]
struct Template {
    name: Text,
    file: FileId,
    params: Vec<Param>,
    /// The nodes of all sections in the order of the file, no name twice.
    nodes: Vec<(Section, Entry)>,
    /// The node that stands for the whole, and its section.
    out: Arc<str>,
    section: Section,
    /// The ports under which it reads what is given to a use, each with a place where it does.
    ports: BTreeMap<Arc<str>, Span>,
    tests: Option<Node>,
    /// Whether something about it was wrong and has been reported: its uses stay silent.
    broken: bool,
}

impl Templates {
    /// Reads what stands under `templates:` in all documents, and reports what is wrong with it.
    pub fn read(documents: &[Document], diagnostics: &mut Diagnostics) -> Templates {
        let mut templates = Templates::default();
        for document in documents {
            let top = document.root.as_mapping();
            if let Some(entry) = top.and_then(|top| top.get("templates")) {
                templates.read_all(entry, document.file, diagnostics);
            }
        }
        templates.link(diagnostics);
        templates
    }
}
