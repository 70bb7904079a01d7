//! The names of files and folders: as processes see them, and as a power cut leaves them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::content::Content;
use super::random::Random;

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Folder,
    File(Arc<Mutex<Content>>),
}

/// What one call changed: a name and what it stands for from then on. All of a call survives or nothing of it, as a rename is
/// atomic on every journaling file system.
type Change = Vec<(PathBuf, Option<Entry>)>;

#[derive(Debug, Default)]
pub(super) struct Names {
    cached: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    unsynced: Vec<Change>,
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<&Entry> {
        if is_root(path) {
            return Some(&Entry::Folder);
        }
        self.cached.get(path)
    }

    /// What lies directly in a folder.
    pub(super) fn children(&self, folder: &Path) -> impl Iterator<Item = (&Path, &Entry)> {
        self.cached
            .iter()
            .filter(move |(path, _)| path.parent() == Some(folder))
            .map(|(path, entry)| (path.as_path(), entry))
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<Mutex<Content>>> {
        self.cached.values().filter_map(|entry| match entry {
            Entry::File(content) => Some(content),
            Entry::Folder => None,
        })
    }

    pub(super) fn change(&mut self, change: Change) {
        set(&mut self.cached, &change);
        self.unsynced.push(change);
    }

    /// Makes durable every change that touches a name directly in a folder.
    pub(super) fn sync(&mut self, folder: &Path) {
        let mut left: Vec<Change> = Vec::new();
        for change in std::mem::take(&mut self.unsynced) {
            if change.iter().all(|(path, _)| path.parent() != Some(folder)) {
                left.push(change);
                continue;
            }
            // What an earlier change did to a name in another folder is past: it must not come back behind this one.
            for earlier in &mut left {
                earlier.retain(|(path, _)| change.iter().all(|(changed, _)| changed != path));
            }
            set(&mut self.durable, &change);
        }
        self.unsynced = left;
    }

    /// What is there when power is back: all that was synced, and of the rest a prefix or a choice. What lay in a folder that is gone is
    /// gone with it.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        let changes = std::mem::take(&mut self.unsynced);
        let survivors = random.up_to(changes.len());
        let in_order = random.coin();
        for (index, change) in changes.iter().enumerate() {
            if if in_order { index < survivors } else { random.coin() } {
                set(&mut self.durable, change);
            }
        }
        let mut left = BTreeMap::new();
        for (path, entry) in std::mem::take(&mut self.durable) {
            // Folders come before what lies in them.
            let parent = path.parent().unwrap_or(Path::new(""));
            if is_root(parent) || matches!(left.get(parent), Some(Entry::Folder)) {
                left.insert(path, entry);
            }
        }
        self.durable.clone_from(&left);
        self.cached = left;
    }
}

fn set(names: &mut BTreeMap<PathBuf, Entry>, change: &Change) {
    for (path, entry) in change {
        match entry {
            Some(entry) => names.insert(path.clone(), entry.clone()),
            None => names.remove(path),
        };
    }
}

/// Where paths begin; it is always there.
fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty() || path == Path::new("/") || path == Path::new(".")
}
