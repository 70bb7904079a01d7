//! A disk in memory that can lose power at any call. It knows what a process sees (the page cache) from what a power cut leaves, so
//! a test can let it crash at every call and look whether what was promised is there.

mod content;
mod medium;
mod names;
mod random;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use content::Content;
use medium::{Medium, Outcome, lock};
use names::Entry;

use super::{Disk, DiskEntry, DiskFile};

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process: what it wrote stays in the page cache, and the next process finds it.
    Kill,
    /// The machine. Of each file what was synced survives. Of the rest, by the seed, nothing, all, the first so many writes, or
    /// any of them (where an earlier one is missing there are zeros); any may be torn. Names that were not synced
    /// ([`Disk::sync_dir`]) may be as before, each call for itself or from some call on; a rename is atomic.
    Power,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing and fails. Where it is the sync of a file, what that had to write is never written:
    /// see [`SimulatedDisk::violations`].
    Error(io::ErrorKind),
    /// A write writes some of its bytes and fails, as a real one may; any other call does nothing and fails.
    TornWrite,
    /// The crash comes in the middle: the call may have been done, a write in part.
    Crash(Crash),
}

/// A disk in memory, for tests of what must survive. Clones share it, threads may too. The same seed and the same calls give the
/// same crashes.
///
/// After a crash every call through this value, its clones and the files opened by them fails: they belong to the process that
/// died. [`SimulatedDisk::restart`] gives the disk as the next process finds it.
///
/// ```
/// use smollama_engine::disk::{Crash, Disk, SimulatedDisk, write_atomically};
/// use std::path::Path;
///
/// let disk = SimulatedDisk::new(1);
/// write_atomically(&disk, Path::new("/kept"), b"all of it")?;
/// disk.crash(Crash::Power);
/// assert_eq!(disk.restart().read(Path::new("/kept"))?, b"all of it");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    medium: Arc<Mutex<Medium>>,
    life: u64,
}

impl SimulatedDisk {
    /// An empty disk: nothing but the root folder. `seed` decides what a crash takes.
    #[must_use]
    pub fn new(seed: u64) -> SimulatedDisk {
        SimulatedDisk { medium: Arc::new(Mutex::new(Medium::new(seed))), life: 0 }
    }

    /// A handle as the engine wants it; this value goes on controlling the same disk.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        lock(&self.medium)
    }

    /// Crashes now. Nothing happens where it has crashed already.
    pub fn crash(&self, how: Crash) {
        let mut medium = self.medium();
        if medium.life == self.life {
            medium.crash(how);
        }
    }

    /// Whether the process this value belongs to has died, by [`SimulatedDisk::crash`] or [`Fault::Crash`].
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.medium().life != self.life
    }

    /// The disk as the next process finds it, with no faults waiting. Where this one lives, it is killed first.
    #[must_use = "the old disk is dead"]
    pub fn restart(&self) -> SimulatedDisk {
        self.crash(Crash::Kill);
        let mut medium = self.medium();
        medium.faults.clear();
        (medium.failing, medium.failing_reads) = (None, None);
        // Whoever else restarted from the same crash is another process, and a disk belongs to one.
        medium.life += 1;
        SimulatedDisk { medium: self.medium.clone(), life: medium.life }
    }

    /// Whether calls that read something count, and can fail in their turn, as those that change something do.
    pub fn count_reads(&self, count: bool) {
        self.medium().counts_reads = count;
    }

    /// How many calls there were that change or sync something.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.medium().calls
    }

    /// Lets one of the next calls that change or sync something fail: 0 is the next one.
    pub fn fail_at(&self, n: u64, fault: Fault) {
        let mut medium = self.medium();
        let call = medium.calls + n;
        medium.faults.insert(call, fault);
    }

    /// Lets all calls that change or sync something fail until [`SimulatedDisk::heal`].
    pub fn fail_all(&self, error: io::ErrorKind) {
        self.medium().failing = Some(error);
    }

    /// Lets all calls that read something fail until [`SimulatedDisk::heal`].
    pub fn fail_reads(&self, error: io::ErrorKind) {
        self.medium().failing_reads = Some(error);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut medium = self.medium();
        medium.faults.clear();
        (medium.failing, medium.failing_reads) = (None, None);
    }

    /// How many bytes all files together may hold; `None`, as it begins, for any number. A write that does not fit writes what
    /// does, and fails with [`io::ErrorKind::StorageFull`].
    pub fn capacity(&self, bytes: Option<u64>) {
        self.medium().capacity = bytes;
    }

    /// How many bytes all files together hold.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.medium().used()
    }

    /// How many bytes were written since it was made.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.medium().written
    }

    /// Whether syncs claim success and do nothing, so that a test can see that it would notice a sync that is missing.
    pub fn ignore_syncs(&self, ignore: bool) {
        self.medium().ignores_syncs = ignore;
    }

    /// What was done that no program may do. So far: a file synced again after its sync had failed. Such a sync succeeds, but what was
    /// written before the failed one is lost with the power, though reads show it until then.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.medium().violations.clone()
    }

    /// Does a call that changes something, as far as the faults let it. `act` gets the bytes of it that may be written.
    fn change(
        &self,
        bytes: usize,
        act: impl FnOnce(&mut Medium, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut medium = self.living()?;
        match medium.outcome(bytes) {
            Outcome::Done => act(&mut medium, bytes),
            Outcome::Fails(error, 0) => Err(error),
            Outcome::Fails(error, part) => act(&mut medium, part).and(Err(error)),
            Outcome::Crashes(how, part) => {
                // Before the call, after it, or in the middle of its bytes.
                if part > 0 || (bytes == 0 && medium.random.coin()) {
                    let _ = act(&mut medium, part);
                }
                medium.crash(how);
                Err(dead())
            }
        }
    }

    fn living(&self) -> io::Result<MutexGuard<'_, Medium>> {
        let medium = self.medium();
        if medium.life == self.life { Ok(medium) } else { Err(dead()) }
    }

    fn reading(&self) -> io::Result<MutexGuard<'_, Medium>> {
        let mut medium = self.living()?;
        let outcome = if medium.counts_reads { medium.outcome(0) } else { Outcome::Done };
        match (outcome, medium.failing_reads) {
            (Outcome::Fails(error, _), _) => Err(error),
            (Outcome::Crashes(how, _), _) => {
                medium.crash(how);
                Err(dead())
            }
            (Outcome::Done, Some(kind)) => Err(kind.into()),
            (Outcome::Done, None) => Ok(medium),
        }
    }

    fn file(&self, path: &Path, content: Arc<Mutex<Content>>, writes: bool) -> Box<dyn DiskFile> {
        let path = path.to_owned();
        Box::new(SimulatedFile { disk: self.clone(), path, content, writes })
    }
}

fn dead() -> io::Error {
    io::Error::other("the process that opened this disk has crashed")
}

impl Disk for SimulatedDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut made = None;
        self.change(0, |medium, _| {
            if medium.names.get(path).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            made = Some(medium.create(path)?);
            Ok(())
        })?;
        made.map(|content| self.file(path, content, true)).ok_or_else(dead)
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut opened = None;
        self.change(0, |medium, _| {
            opened = Some(match medium.names.get(path) {
                Some(_) => medium.found(path)?,
                None => medium.create(path)?,
            });
            Ok(())
        })?;
        opened.map(|content| self.file(path, content, true)).ok_or_else(dead)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let content = self.reading()?.found(path)?;
        Ok(self.file(path, content, false))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = self.reading()?.found(path)?;
        let bytes = lock(&content).bytes().to_vec();
        Ok(bytes)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(0, |medium, _| {
            let content = medium.found(from)?;
            medium.parent(to)?;
            if let Some(Entry::Folder) = medium.names.get(to) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if from != to {
                let moved = (to.to_owned(), Some(Entry::File(content)));
                medium.names.change(vec![(from.to_owned(), None), moved]);
            }
            Ok(())
        })
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(0, |medium, _| {
            medium.found(path)?;
            medium.names.change(vec![(path.to_owned(), None)]);
            Ok(())
        })
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.change(0, |medium, _| {
            medium.folder(path)?;
            if medium.names.children(path).next().is_some() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            medium.names.change(vec![(path.to_owned(), None)]);
            Ok(())
        })
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.change(0, |medium, _| {
            let mut above: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
            above.reverse();
            for folder in above {
                match medium.names.get(&folder) {
                    Some(Entry::Folder) => {}
                    Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                    None => medium.names.change(vec![(folder, Some(Entry::Folder))]),
                }
            }
            Ok(())
        })
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        let medium = self.reading()?;
        medium.folder(path)?;
        let entries = medium.names.children(path).filter_map(|(path, entry)| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some(match entry {
                Entry::Folder => DiskEntry { name, len: 0, is_dir: true },
                Entry::File(content) => {
                    DiskEntry { name, len: lock(content).bytes().len() as u64, is_dir: false }
                }
            })
        });
        let mut entries: Vec<DiskEntry> = entries.collect();
        entries.sort();
        Ok(entries)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change(0, |medium, _| {
            medium.folder(path)?;
            if !medium.ignores_syncs {
                medium.names.sync(path);
            }
            Ok(())
        })
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.reading()?.names.get(path).is_some())
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    path: PathBuf,
    content: Arc<Mutex<Content>>,
    writes: bool,
}

impl SimulatedFile {
    /// What the kernel says to a write to a file that was opened for reading.
    fn may_write(&self) -> io::Result<()> {
        if self.writes { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for SimulatedFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.may_write()?;
        self.disk.change(bytes.len(), |medium, part| {
            let room = medium.capacity.map(|capacity| capacity.saturating_sub(medium.used()));
            let fits = room.map_or(part, |room| part.min(usize::try_from(room).unwrap_or(part)));
            lock(&self.content).append(&bytes[..fits]);
            medium.written += fits as u64;
            if fits < part { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }
    fn sync(&mut self) -> io::Result<()> {
        let done = self.disk.change(0, |medium, _| {
            let mut content = lock(&self.content);
            if content.sync_failed() {
                let path = self.path.display();
                medium.violations.push(format!("{path} synced again after its sync had failed"));
            }
            if !medium.ignores_syncs {
                content.sync();
            }
            Ok(())
        });
        if done.is_err() && !self.disk.has_crashed() {
            lock(&self.content).fail_sync();
        }
        done
    }
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let _medium = self.disk.reading()?;
        let content = lock(&self.content);
        let from = usize::try_from(offset).ok().and_then(|offset| content.bytes().get(offset..));
        let Some(bytes) = from.and_then(|bytes| bytes.get(..into.len())) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        into.copy_from_slice(bytes);
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        let _medium = self.disk.reading()?;
        Ok(lock(&self.content).bytes().len() as u64)
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.may_write()?;
        self.disk.change(0, |_, _| {
            let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
            lock(&self.content).cut(len);
            Ok(())
        })
    }
}
