//! Looking at what flows.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Chunk, Lines, Listener, Piece};
use crate::batch::Items;
use crate::context::Host;
use crate::json::write_item;

/// How much waits for the reader of a tap, in bytes; what finds no room is missed.
pub const TAP_BYTES_MAX: usize = 256 * 1024;

/// Where to look, and how closely.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TapRequest {
    /// `pipeline/node.port`, or `pipeline/node` for its main port; `pipeline/node>` for what enters a node.
    pub address: String,
    /// To end after so many items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// To show at most so many items in a second, and count the others as missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u64>,
}

/// What was taken off a graph, as the lines that [`Control::tap`](super::Control::tap) gives. All the work of writing is done here, on
/// the side of whoever looks.
#[must_use]
pub fn tap_lines(listener: Listener<Items>, host: Arc<Host>, request: &TapRequest) -> Lines {
    let writer = Writer {
        host,
        left: request.limit.unwrap_or(u64::MAX),
        per_second: request.per_second.unwrap_or(u64::MAX),
        second: None,
        shown: 0,
    };
    let chunks = stream::unfold((listener, writer), async |(mut listener, mut writer)| {
        if writer.left == 0 {
            return None;
        }
        let chunk = match listener.next().await? {
            Piece::Missed(missed) => Chunk { lines: Vec::new(), missed },
            Piece::Kept(items) => writer.write(&items, Instant::now()),
        };
        Some((chunk, (listener, writer)))
    });
    chunks.boxed()
}

struct Writer {
    host: Arc<Host>,
    left: u64,
    per_second: u64,
    /// When the present second began.
    second: Option<Instant>,
    shown: u64,
}

impl Writer {
    fn write(&mut self, items: &Items, now: Instant) -> Chunk {
        if self.second.is_none_or(|began| now - began >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.shown = 0;
        }
        let mut chunk = Chunk::default();
        for index in 0..items.len() {
            if self.left == 0 {
                break;
            }
            if self.shown >= self.per_second {
                chunk.missed += 1;
                continue;
            }
            write_item(items, index, &self.host.series, &mut chunk.lines);
            chunk.lines.push(b'\n');
            self.shown += 1;
            self.left -= 1;
        }
        chunk
    }
}
