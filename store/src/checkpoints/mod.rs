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
            let path = self.path(number);
            let bytes = self.disk().read(&path)?;
            let read = form::decode(&bytes, &self.host).and_then(|checkpoint| {
                if checkpoint.number == number {
                    return Ok(checkpoint);
                }
                Err(Unreadable::Damaged(format!("it is number {}", checkpoint.number)))
            });
            match read {
                Ok(checkpoint) => {
                    *newest = number;
                    return Ok(Some(checkpoint));
                }
                Err(reason @ Unreadable::Newer { .. }) => {
                    let message = format!("`{}` {reason}", path.display());
                    return Err(io::Error::new(io::ErrorKind::Unsupported, message));
                }
                Err(reason @ Unreadable::Damaged(_)) => self.put_aside(&path, &reason),
            }
        }
        Ok(None)
    }
}
