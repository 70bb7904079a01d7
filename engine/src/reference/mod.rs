//! The reference: what every type of node, engine word, key and rule is, taken from the code. The command line shows it, and
//! [`pages`] writes it as Markdown.

mod explain;
mod fields;
mod markdown;
mod node;
mod pages;
#[cfg(test)]
mod tests;

pub use explain::{Entry, explain};
pub use fields::{Choice, Setting};
pub use node::{NodePage, Port, all};
pub use pages::{Page, pages};

pub(crate) use crate::schema::unwrapped;

/// The first sentence of a text.
#[must_use]
pub fn first_sentence(text: &str) -> &str {
    let end = text.match_indices(". ").map(|(at, _)| at + 1);
    let end = end.chain(text.find(".\n").map(|at| at + 1)).min().unwrap_or(text.len());
    let colon = text.find(":\n").unwrap_or(text.len());
    text[..end.min(colon)].trim()
}
