//! A disk that counts what it is asked to write, by kind of file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smollama_engine::disk::{Disk, DiskEntry, DiskFile};

/// What a file system writes at least.
pub(super) const BLOCK: u64 = 4_096;

/// What one kind of file cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    /// Bytes handed over.
    pub(super) bytes: u64,
    /// Blocks that the bytes lie in, counted anew for each sync, and one for each sync of a folder in which a name had changed.
    pub(super) blocks: u64,
    /// Syncs of files.
    pub(super) syncs: u64,
    /// Syncs of folders.
    pub(super) folder_syncs: u64,
    /// Files made.
    pub(super) made: u64,
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), |sum, cost| Cost {
            bytes: sum.bytes + cost.bytes,
            blocks: sum.blocks + cost.blocks,
            syncs: sum.syncs + cost.syncs,
            folder_syncs: sum.folder_syncs + cost.folder_syncs,
            made: sum.made + cost.made,
        })
    }
}

#[derive(Debug, Default)]
struct Counts {
    kinds: BTreeMap<String, Cost>,
    /// What was written to a file since its last sync.
    unsynced: BTreeMap<PathBuf, Range<u64>>,
    /// Folders in which a name changed since their last sync.
    changed: BTreeSet<PathBuf>,
}

/// See the module. Clones share the counts.
#[derive(Debug, Clone)]
pub(super) struct CountedDisk {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    counts: Arc<Mutex<Counts>>,
}

impl CountedDisk {
    /// Kinds are named after what lies directly in `root`.
    pub(super) fn new(disk: Arc<dyn Disk>, root: &Path) -> CountedDisk {
        CountedDisk { disk, root: root.to_owned(), counts: Arc::default() }
    }

    /// What was counted, by kind. What no sync has asked for is taken as written by the kernel in the end.
    pub(super) fn costs(&self) -> BTreeMap<String, Cost> {
        let unsynced: Vec<PathBuf> = self.counts().unsynced.keys().cloned().collect();
        unsynced.iter().for_each(|path| self.write_back(path));
        self.counts().kinds.clone()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, path: &Path, add: impl FnOnce(&mut Cost)) {
        let kind = path.strip_prefix(&self.root).ok().and_then(|path| path.components().next());
        let kind =
            kind.map_or_else(|| "data directory".into(), |kind| kind.as_os_str().to_string_lossy());
        add(self.counts().kinds.entry(kind.into_owned()).or_default());
    }

    fn write_back(&self, path: &Path) {
        let Some(bytes) = self.counts().unsynced.remove(path) else { return };
        let blocks = bytes.end.div_ceil(BLOCK) - bytes.start / BLOCK;
        self.count(path, |cost| cost.blocks += blocks);
    }

    fn name_changed(&self, path: &Path) {
        let folder = path.parent().unwrap_or(path).to_owned();
        self.counts().changed.insert(folder);
    }

    fn made(&self, path: &Path) {
        self.name_changed(path);
        self.count(path, |cost| cost.made += 1);
    }

    fn counted(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(CountedFile { file, path: path.to_owned(), disk: self.clone() })
    }
}

impl Disk for CountedDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.create_new(path)?;
        self.made(path);
        Ok(self.counted(path, file))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let is_there = self.disk.exists(path)?;
        let file = self.disk.append(path)?;
        if !is_there {
            self.made(path);
        }
        Ok(self.counted(path, file))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        self.name_changed(from);
        self.name_changed(to);
        let mut counts = self.counts();
        if let Some(bytes) = counts.unsynced.remove(from) {
            counts.unsynced.insert(to.to_owned(), bytes);
        }
        Ok(())
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)?;
        self.write_back(path);
        self.name_changed(path);
        Ok(())
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        self.disk.list(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)?;
        let changed = self.counts().changed.remove(path);
        self.count(path, |cost| {
            cost.folder_syncs += 1;
            cost.blocks += u64::from(changed);
        });
        Ok(())
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
}

#[derive(Debug)]
struct CountedFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    disk: CountedDisk,
}

impl DiskFile for CountedFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let begin = self.file.len()?;
        self.file.write_all(bytes)?;
        let end = begin + bytes.len() as u64;
        self.disk.count(&self.path, |cost| cost.bytes += bytes.len() as u64);
        let mut counts = self.disk.counts();
        counts.unsynced.entry(self.path.clone()).or_insert(begin..end).end = end;
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.disk.write_back(&self.path);
        self.disk.count(&self.path, |cost| cost.syncs += 1);
        Ok(())
    }
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}
