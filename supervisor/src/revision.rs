//! Between what an apply is made of and what a revision keeps.

use std::path::PathBuf;
use std::sync::Arc;

use smollama_engine::control::{ControlError, RevisionRow};
use smollama_engine::plan::Graph;
use smollama_engine::time::Timestamp;
use smollama_store::revisions::{Revision, RevisionFile, RevisionPipeline, Revisions, Standing};

use crate::candidate::Sources;
use crate::kept::Kept;

/// Who applied what, for the history.
#[derive(Debug, Clone)]
pub(crate) struct Credit {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) actor: String,
    pub(crate) message: String,
    pub(crate) time: Timestamp,
}

fn failed(error: &smollama_store::revisions::Error) -> ControlError {
    ControlError::failed(error.to_string())
}

/// Does what waits for the disk where that is allowed.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ControlError::failed(error.to_string())))
}

/// Keeps a revision under a new number; it runs once a checkpoint names it.
///
/// # Errors
/// The disk does not take it.
pub(crate) async fn stage(
    kept: &Arc<Kept>,
    sources: &Sources,
    graph: &Graph,
    credit: Credit,
    current: u64,
) -> Result<u64, ControlError> {
    let pipelines = graph.pipelines.iter().map(|pipeline| RevisionPipeline {
        name: pipeline.name.to_string(),
        file: pipeline.file.clone(),
    });
    let pipelines = pipelines.collect();
    let (kept, reads) = (kept.clone(), sources.reads.clone());
    on_a_thread(move || {
        let revisions = &kept.revisions;
        let files = reads.iter().map(|read| revisions.file(read));
        let files = files.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
        let Credit { paths, actor, message, time } = credit;
        let revision = Revision { time, actor, message, paths, files, pipelines };
        revisions.stage(&revision, current).map_err(|error| failed(&error))
    })
    .await
}

/// Reads the files of a revision.
///
/// # Errors
/// It is not there, damaged, or of a later release.
pub(crate) fn load(revisions: &Revisions, number: u64) -> Result<Sources, ControlError> {
    let stored = revisions.load(number).map_err(|error| failed(&error))?;
    let Revision { files, paths, .. } = stored.revision;
    let reads = files.into_iter().map(RevisionFile::into_read).collect();
    Ok(Sources { reads, paths })
}

/// The applied revisions, the newest first.
///
/// # Errors
/// They cannot be listed.
pub(crate) fn history(
    revisions: &Revisions,
    current: u64,
) -> Result<Vec<RevisionRow>, ControlError> {
    let listed = revisions.list(current).map_err(|error| failed(&error))?;
    let rows = listed.into_iter().map(|one| {
        let (time, actor, message) = match one.summary {
            Ok(summary) => (summary.time, summary.actor, summary.message),
            Err(error) => (Timestamp::EPOCH, String::new(), error.to_string()),
        };
        let message = match one.standing {
            Standing::NotApplied => format!("not applied: {message}"),
            Standing::Current | Standing::Applied => message,
        };
        let current = one.standing == Standing::Current;
        RevisionRow { number: one.number, time, actor, message, current }
    });
    Ok(rows.collect())
}
