//! `renamed_from`: what it names, and whether that can be.

use std::collections::{BTreeMap, BTreeSet};

use super::resolve::Resolved;
use crate::config::Address;
use crate::diagnostic::{Diagnostic, Diagnostics, Span, quoted, rules};

/// Reports `renamed_from` that names no node, one that is still there, or one that another node names too. That there never was
/// such a node is no error: the word may stay in the file when its work is done.
pub(super) fn renames(nodes: &[Resolved<'_>], diagnostics: &mut Diagnostics) {
    let full = |pipeline: &str, node: &str| format!("{pipeline}/{node}");
    let present: BTreeSet<String> =
        nodes.iter().map(|node| full(&node.pipeline.name, &node.spec.name)).collect();
    let mut first: BTreeMap<String, Span> = BTreeMap::new();
    for node in nodes {
        let Some(word) = &node.spec.renamed_from else { continue };
        let address = match Address::parse(word) {
            Ok(address) if address.port.is_none() => address,
            parsed => {
                let why = parsed.err().unwrap_or_else(|| "a port is no node".to_owned());
                let message = format!("{} names no node: {why}", quoted(word));
                let error = Diagnostic::error(&rules::BAD_ADDRESS, word.span, message);
                diagnostics.push(error.help("write the name it had: `node` or `pipeline/node`"));
                continue;
            }
        };
        let of = address.pipeline.as_deref().unwrap_or(&node.pipeline.name);
        let from = full(of, &address.node);
        if present.contains(&from) {
            let message = format!("`renamed_from` names {}, which is still there", quoted(&from));
            let error = Diagnostic::error(&rules::BAD_RENAME, word.span, message);
            diagnostics.push(error.help("remove one of the two: the word, or that node"));
            continue;
        }
        match first.get(&from) {
            None => {
                first.insert(from, word.span);
            }
            Some(&other) => {
                let message = format!("two nodes say that they were {}", quoted(&from));
                let error = Diagnostic::error(&rules::BAD_RENAME, word.span, message);
                let error = error.help("only one can go on with what it remembers");
                let same_file = other.file == word.span.file;
                diagnostics.push(if same_file { error.also(other, "the other") } else { error });
            }
        }
    }
}
