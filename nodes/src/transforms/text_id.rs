//! The ids of texts that nodes write by rule.

use smollama_engine::context::Context;
use smollama_engine::time::Timestamp;
use uuid::Uuid;

use crate::fnv::{fnv1a, fnv1a_more};

/// The id of a node's text about a source, by its number: ordered by time, and the rest says what it is about, so that a replay gives the same.
pub(super) fn text_id(context: &Context, source: &str, number: u64, at: Timestamp) -> Uuid {
    let mut hash = fnv1a(context.host.id.as_bytes());
    for part in [context.address.as_bytes(), &[0], source.as_bytes(), &[0]] {
        hash = fnv1a_more(hash, part);
    }
    let hash = fnv1a_more(hash, &number.to_le_bytes());
    let more = fnv1a_more(hash, b"more");
    let mut rest = [0; 10];
    rest[..8].copy_from_slice(&hash.to_be_bytes());
    rest[8..].copy_from_slice(&more.to_be_bytes()[6..]);
    let millis = u64::try_from(at.as_micros() / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
}
