//! Notices when files are saved, by looking: a look at a handful of files costs nothing, and works on every file system.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use smollama_engine::config::pipelines_in;

/// How long between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How long the files must have stayed as they are: an editor writes in several steps, and many files are saved one by one.
const SETTLED: Duration = Duration::from_millis(300);

/// What tells a saved file from what it was before. An editor that writes another file and renames it changes the number of it.
pub(crate) type Marks = BTreeMap<PathBuf, (i64, i64, u64, u64)>;

/// Files and folders, and what they looked like when it was last said that they changed.
#[derive(Debug)]
pub(crate) struct Watcher<'a> {
    paths: &'a [PathBuf],
    marks: Marks,
}

impl<'a> Watcher<'a> {
    /// Takes things as they are now for seen.
    pub(crate) fn new(paths: &'a [PathBuf]) -> Watcher<'a> {
        Watcher { paths, marks: marks(paths) }
    }

    /// Returns once something has changed and then stayed as it is for a moment. Can be dropped and called again.
    pub(crate) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let mut found = marks(self.paths);
            if found == self.marks {
                continue;
            }
            loop {
                tokio::time::sleep(SETTLED).await;
                let later = marks(self.paths);
                if later == found {
                    break;
                }
                found = later;
            }
            self.marks = found;
            return;
        }
    }
}

/// What files and the pipeline files in folders look like now.
pub(crate) fn marks(paths: &[PathBuf]) -> Marks {
    let mut marks = Marks::new();
    let mut mark = |path: &Path| {
        if let Ok(found) = path.metadata() {
            let mark = (found.mtime(), found.mtime_nsec(), found.len(), found.ino());
            marks.insert(path.to_owned(), mark);
        }
    };
    for path in paths {
        match path.is_dir() {
            true => pipelines_in(path).unwrap_or_default().iter().for_each(|path| mark(path)),
            false => mark(path),
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Lets so many looks pass, and says whether a change was noticed.
    async fn noticed(watcher: &mut Watcher<'_>) -> bool {
        tokio::time::timeout(LOOK * 2 + SETTLED, watcher.changed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_come_change_and_go_are_noticed_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().to_owned()];
        let file = folder.path().join("home.yaml");
        let mut watcher = Watcher::new(&paths);
        assert!(!noticed(&mut watcher).await);
        for text in ["pipeline: home", "pipeline: house"] {
            std::fs::write(&file, text).unwrap();
            assert!(noticed(&mut watcher).await, "{text}");
            assert!(!noticed(&mut watcher).await, "{text}");
        }
        let other = folder.path().join(".other");
        std::fs::write(&other, "pipeline: horse").unwrap();
        assert!(!noticed(&mut watcher).await, "no pipeline");
        std::fs::rename(&other, &file).unwrap();
        assert!(noticed(&mut watcher).await, "another file of the same name and size");
        std::fs::remove_file(&file).unwrap();
        assert!(noticed(&mut watcher).await, "gone");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_being_written_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("home.yaml")];
        let mut watcher = Watcher::new(&paths);
        let changed = watcher.changed();
        tokio::pin!(changed);
        for length in 1..10 {
            std::fs::write(&paths[0], "x".repeat(length)).unwrap();
            assert!(changed.as_mut().now_or_never().is_none());
            // Each write comes before the last one has settled.
            let pause = if length == 1 { LOOK } else { SETTLED - Duration::from_millis(1) };
            tokio::time::advance(pause).await;
            assert!(changed.as_mut().now_or_never().is_none(), "{length} bytes");
        }
        tokio::time::timeout(SETTLED * 2, changed).await.unwrap();
    }
}
