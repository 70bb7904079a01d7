//! Typed settings out of a tree, with every error at its place.
//!
//! serde stops at the first error, so reading is repeated: a value that fails is reported and left out of the next
//! attempt, until the rest reads or only required keys are missing. What fails below is reported once and silences
//! the mapping around it.

mod access;
mod error;
mod scalar;
mod session;
#[cfg(test)]
mod tests;
mod value;

use serde::de::DeserializeOwned;

use self::{
    session::Session,
    value::{At, Name},
};
use super::tree::Node;
use crate::diagnostic::{Diagnostics, Span};

/// Reads `node` as `T`, reporting everything that is wrong with it.
///
/// `key` is where to point when something is missing, `what` the words for it in messages ("the settings of `dedup`",
/// "`queue`"). Unknown keys are reported and do not keep the value from coming back; anything else that is wrong
/// does. Nothing at all (`dedup:`) reads as `{}` where `T` is a struct.
pub fn read<T: DeserializeOwned>(
    node: &Node,
    key: Span,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    read_showable(node, key, what, diagnostics).map(|(value, _)| value)
}

/// As [`read`], and gives the tree in a form that may be shown: what was read as a [`Secret`](super::Secret) is one in it, also
/// where it was written out.
pub fn read_showable<T: DeserializeOwned>(
    node: &Node,
    key: Span,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<(T, Node)> {
    let session = Session::default();
    let at = At { node, key, name: Name::Whole(what), path: 0, session: &session };
    let value = loop {
        session.begin_attempt();
        match T::deserialize(at) {
            Ok(value) => break Some(value).filter(|_| session.is_whole()),
            Err(error) => {
                at.locate(error);
                if !session.may_retry() {
                    break None;
                }
            }
        }
    };
    let (found, secrets) = session.finish();
    diagnostics.extend(found);
    value.map(|value| (value, node.with_secrets(&secrets)))
}
