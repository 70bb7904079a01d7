//! Who changed what, and who was refused.
//!
//! Changes are rows of `audit.jsonl`, refusals of `refusals.jsonl`, each with one older file behind it. They lie apart so that nobody
//! who is refused, however often, can push a change out.

mod refusals;
mod rotating;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use smollama_engine::clock::Clock;
use smollama_engine::disk::Disk;
use smollama_engine::time::Timestamp;
use tokio::time::Instant;

use refusals::Refusals;
use rotating::Rotating;

/// The most characters kept of a text of a row.
const TEXT_MAX: usize = 300;

/// One thing somebody did, or was kept from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// When.
    pub(crate) time: Timestamp,
    /// Who, such as `uid 1000`, `token operate` or `nobody`.
    pub(crate) actor: String,
    /// Where from: `control socket`, or an address.
    pub(crate) peer: String,
    /// What, such as `apply`.
    pub(crate) action: String,
    /// With what.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) target: String,
    /// `done`, `failed: ...` or `refused: ...`.
    pub(crate) outcome: String,
    /// How often; absent for once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
}

/// Keeps rows.
pub(crate) struct Audit {
    clock: Arc<dyn Clock>,
    changes: Mutex<Rotating>,
    refused: Mutex<(Refusals, Rotating)>,
}

impl Audit {
    /// In a data directory. Files are made with their first row.
    pub(crate) fn new(data_dir: &Path, disk: &Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Arc<Audit> {
        let file = |name| Rotating::new(disk.clone(), data_dir.join(name));
        Arc::new(Audit {
            clock,
            changes: Mutex::new(file("audit.jsonl")),
            refused: Mutex::new((Refusals::default(), file("refusals.jsonl"))),
        })
    }

    /// A row for now.
    pub(crate) fn row(&self, actor: &str, peer: impl fmt::Display, action: &str) -> Row {
        Row {
            time: self.clock.now(),
            actor: actor.to_owned(),
            peer: peer.to_string(),
            action: action.to_owned(),
            target: String::new(),
            outcome: String::new(),
            count: None,
        }
    }

    /// Keeps the row of a change; it is durable once this returns, unless the disk does not take it: the log says so then.
    pub(crate) async fn changed(self: &Arc<Self>, row: Row) {
        let audit = self.clone();
        let kept = blocking(move || {
            let mut file = lock(&audit.changes);
            file.append(&line(&row)?)?;
            file.sync()
        });
        said("a change", kept.await);
    }

    /// Keeps the row of a refusal, or counts it with others of its kind.
    pub(crate) async fn refused(self: &Arc<Self>, source: String, row: Row) {
        let audit = self.clone();
        let kept = blocking(move || {
            let (refusals, file) = &mut *lock(&audit.refused);
            let due = refusals.add(source, row, Instant::now());
            due.iter().try_for_each(|row| file.append(&line(row)?))
        });
        said("a refusal", kept.await);
    }

    /// Writes the rows of refusals that were counted for long enough, or of all.
    pub(crate) async fn settle(self: &Arc<Self>, all: bool) {
        let audit = self.clone();
        let kept = blocking(move || {
            let (refusals, file) = &mut *lock(&audit.refused);
            let due = refusals.due(Instant::now(), all);
            due.iter().try_for_each(|row| file.append(&line(row)?))
        });
        said("a refusal", kept.await);
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Audit")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn said(what: &str, kept: io::Result<()>) {
    if let Err(error) = kept {
        tracing::error!("{what} could not be written to the audit: {error}");
    }
}

fn line(row: &Row) -> io::Result<Vec<u8>> {
    let mut row = row.clone();
    for text in [&mut row.actor, &mut row.peer, &mut row.action, &mut row.target, &mut row.outcome]
    {
        if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
            text.truncate(end);
            text.push('…');
        }
    }
    let mut line = serde_json::to_vec(&row)?;
    line.push(b'\n');
    Ok(line)
}
