//! Checkpoints on disk: a file each, the newest two, so that there is one to go back to where the newest is damaged.

mod form;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use smollama_engine::context::Host;
use smollama_engine::disk::{Disk, create_dir_durably, temporary_name};
use smollama_engine::run::{Checkpoint, Checkpoints};

use crate::envelope::Unreadable;
pub(crate) use form::KIND;

/// How many are kept.
const KEPT: usize = 2;
/// How many damaged ones are kept, for whoever wants to look into them.
const DAMAGED_KEPT: usize = 2;

/// The checkpoints of a host, in the folder `checkpoints` of its data directory: `<number>.ckpt`, and `<number>.ckpt.damaged` for what was put
/// aside.
#[derive(Debug)]
pub struct FileCheckpoints {
    host: Arc<Host>,
    folder: PathBuf,
    /// The number of the newest that is known to be whole. Held while one is written: one is written at a time.
    newest: Mutex<u64>,
    damaged: AtomicU64,
}

impl FileCheckpoints {
    /// The checkpoints of a host. Makes the folder, and removes what a crash left half written.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn open(host: &Arc<Host>) -> io::Result<FileCheckpoints> {
        let folder = host.data_dir.join("checkpoints");
        create_dir_durably(&*host.disk, &folder)?;
        for entry in host.disk.list(&folder)? {
            if entry.name.starts_with('.') && entry.name.ends_with(".ckpt.tmp") {
                host.disk.remove_file(&folder.join(&entry.name))?;
            }
        }
        // What a killed process had renamed and not synced is there for us, and must be there after a power cut if we build on it.
        host.disk.sync_dir(&folder)?;
        let damaged = AtomicU64::new(0);
        Ok(FileCheckpoints { host: host.clone(), folder, newest: Mutex::new(0), damaged })
    }

    /// The revision that the newest readable one names, without touching anything: an engine may be at work here. `None` where there is
    /// none.
    ///
    /// # Errors
    /// Whatever the disk says; a newer release wrote it.
    pub fn revision(host: &Arc<Host>) -> io::Result<Option<u64>> {
        let folder = host.data_dir.join("checkpoints");
        if !host.disk.exists(&folder)? {
            return Ok(None);
        }
        let (newest, damaged) = (Mutex::new(0), AtomicU64::new(0));
        let kept = FileCheckpoints { host: host.clone(), folder, newest, damaged };
        for number in kept.numbers()?.into_iter().rev() {
            match kept.read(number) {
                // One that was removed since the names were read has a successor, unless it is the last one tried.
                Err(Failed::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(Failed::Unreadable(Unreadable::Damaged(_))) => {}
                Err(failed) => return Err(kept.failed(number, failed)),
                Ok(checkpoint) => return Ok(Some(checkpoint.revision)),
            }
        }
        Ok(None)
    }

    fn read(&self, number: u64) -> Result<Checkpoint, Failed> {
        let bytes = self.disk().read(&self.path(number)).map_err(Failed::Disk)?;
        let checkpoint = form::decode(&bytes, &self.host).map_err(Failed::Unreadable)?;
        if checkpoint.number == number {
            return Ok(checkpoint);
        }
        let reason = format!("it is number {}", checkpoint.number);
        Err(Failed::Unreadable(Unreadable::Damaged(reason)))
    }

    fn failed(&self, number: u64, failed: Failed) -> io::Error {
        match failed {
            Failed::Disk(error) => error,
            Failed::Unreadable(reason) => {
                let message = format!("`{}` {reason}", self.path(number).display());
                io::Error::new(io::ErrorKind::Unsupported, message)
            }
        }
    }

    /// How many were found damaged, and put aside, since it was opened.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    fn disk(&self) -> &dyn Disk {
        &*self.host.disk
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.ckpt"))
    }

    /// The numbers of those that are there, ascending.
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers: Vec<u64> = self
            .disk()
            .list(&self.folder)?
            .iter()
            .filter_map(|entry| number(&entry.name))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Writes a file that is there whole or not at all. Where that fails after the rename it is taken back: what was not confirmed must not
    /// be what a restart finds.
    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let (disk, temporary) = (self.disk(), temporary_name(path));
        // One that an earlier try could not remove.
        if disk.exists(&temporary)? {
            disk.remove_file(&temporary)?;
        }
        let mut renamed = false;
        let written = (|| {
            let mut file = disk.create_new(&temporary)?;
            file.write_all(bytes)?;
            file.sync()?;
            disk.rename(&temporary, path)?;
            renamed = true;
            disk.sync_dir(&self.folder)
        })();
        if written.is_err() {
            let _ = disk.remove_file(if renamed { path } else { &temporary });
            let _ = disk.sync_dir(&self.folder);
        }
        written
    }

    fn remove_old(&self) -> io::Result<()> {
        let numbers = self.numbers()?;
        for number in numbers.iter().rev().skip(KEPT) {
            self.disk().remove_file(&self.path(*number))?;
        }
        Ok(())
    }

    fn put_aside(&self, path: &Path, reason: &Unreadable) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            "`{}` {reason}; it is put aside, and the one before is taken",
            path.display()
        );
        let aside = path.with_extension("ckpt.damaged");
        if let Err(error) = self.disk().rename(path, &aside).and_then(|()| self.remove_damaged()) {
            tracing::warn!("`{}` cannot be put aside: {error}", path.display());
        }
    }

    fn remove_damaged(&self) -> io::Result<()> {
        let damaged = |name: &str| number(name.strip_suffix(".damaged")?);
        let entries = self.disk().list(&self.folder)?;
        let mut aside: Vec<_> =
            entries.iter().filter_map(|entry| Some((damaged(&entry.name)?, &entry.name))).collect();
        aside.sort_unstable();
        for (_, name) in aside.iter().rev().skip(DAMAGED_KEPT) {
            self.disk().remove_file(&self.folder.join(name))?;
        }
        Ok(())
    }
}

/// Why one cannot be read.
enum Failed {
    Disk(io::Error),
    Unreadable(Unreadable),
}

/// The number that the name of a checkpoint says.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".ckpt")?;
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

impl Checkpoints for FileCheckpoints {
    fn write(&self, checkpoint: &Checkpoint) -> io::Result<u64> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if checkpoint.number <= *newest {
            let message = format!("checkpoint {} is not newer than {newest}", checkpoint.number);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let bytes = form::encode(checkpoint, &self.host.series).map_err(io::Error::other)?;
        self.put(&self.path(checkpoint.number), &bytes)?;
        *newest = checkpoint.number;
        if let Err(error) = self.remove_old() {
            tracing::warn!("old checkpoints cannot be removed: {error}");
        }
        Ok(bytes.len() as u64)
    }

    fn latest(&self) -> io::Result<Option<Checkpoint>> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        for number in self.numbers()?.into_iter().rev() {
            match self.read(number) {
                Ok(checkpoint) => {
                    *newest = number;
                    return Ok(Some(checkpoint));
                }
                Err(Failed::Unreadable(reason @ Unreadable::Damaged(_))) => {
                    self.put_aside(&self.path(number), &reason);
                }
                Err(failed) => return Err(self.failed(number, failed)),
            }
        }
        Ok(None)
    }
}
