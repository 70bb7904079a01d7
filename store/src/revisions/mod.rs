//! Revisions on disk: a file each, whole or not there. Which one runs is not said here but by the checkpoint that committed it
//! (`docs/adr/0006-delivery.md`), so a revision that was staged and never committed does no harm.
//!
//! Each holds all its files, compressed together, and shares nothing with others: so there is nothing to collect and nothing that could
//! be missing, and damage to one is damage to one. Pipelines are small; what that costs is a shorter history where they are not.

mod error;
mod form;
mod key;
mod revision;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ring::hmac;
use smollama_engine::bytes::ByteSize;
use smollama_engine::config::{ReadFile, Variable};
use smollama_engine::context::Host;
use smollama_engine::disk::{Disk, create_dir_durably, write_privately};

pub use self::error::{Error, Result};
pub(crate) use self::form::KIND;
pub use self::revision::{
    Listed, Revision, RevisionBeside, RevisionFile, RevisionPipeline, RevisionVariable, Role,
    SecretHash, Standing, Stored, Summary, VariableValue,
};

use crate::envelope::Unreadable;

/// How many revisions are kept.
pub const REVISIONS_MAX: usize = 100;
/// How many bytes all of them may take on disk. The oldest go first, never the one that runs.
pub const BYTES_MAX: ByteSize = ByteSize::mib(16);
/// How many bytes one may take: half, so that the one that runs and its successor always find room together.
pub const REVISION_BYTES_MAX: ByteSize = ByteSize::mib(8);

/// The revisions of a host, in the folder `revisions` of its data directory: `<number>.rev`, and `key`. Only their owner may
/// read them: pipelines and variables can hold passwords.
#[derive(Debug)]
pub struct Revisions {
    host: Arc<Host>,
    folder: PathBuf,
    /// Opened at first use.
    key: Mutex<Option<hmac::Key>>,
    /// The number given last. Held while one is staged: one is staged at a time.
    staged: Mutex<u64>,
}

impl Revisions {
    /// The revisions of a host. Makes the folder, and removes what a crash left half written.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn open(host: &Arc<Host>) -> Result<Revisions> {
        let folder = host.data_dir.join("revisions");
        let disk = &*host.disk;
        create_dir_durably(disk, &folder).map_err(Error::disk("make", &folder))?;
        for entry in disk.list(&folder).map_err(Error::disk("list", &folder))? {
            if entry.name.starts_with('.') && entry.name.ends_with(".tmp") {
                let path = folder.join(&entry.name);
                disk.remove_file(&path).map_err(Error::disk("remove", &path))?;
            }
        }
        // What a killed process had renamed and not synced is there for us, and must be there after a power cut if we build on it.
        disk.sync_dir(&folder).map_err(Error::disk("sync", &folder))?;
        let host = host.clone();
        Ok(Revisions { host, folder, key: Mutex::default(), staged: Mutex::default() })
    }

    /// The revisions of a host, for reading alone: nothing is made and nothing removed, as an engine may be at work there.
    #[must_use]
    pub fn look(host: &Arc<Host>) -> Revisions {
        let folder = host.data_dir.join("revisions");
        Revisions { host: host.clone(), folder, key: Mutex::default(), staged: Mutex::default() }
    }

    fn disk(&self) -> &dyn Disk {
        &*self.host.disk
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.rev"))
    }

    /// The numbers of those that are there, and the bytes they take.
    fn sizes(&self) -> Result<BTreeMap<u64, u64>> {
        let entries = self.disk().list(&self.folder).map_err(Error::disk("list", &self.folder))?;
        Ok(entries.iter().filter_map(|entry| Some((number(&entry.name)?, entry.len))).collect())
    }

    /// What a file that was read is remembered as.
    ///
    /// # Errors
    /// The key of the hashes can be neither read nor made.
    pub fn file(&self, read: &ReadFile) -> Result<RevisionFile> {
        let ReadFile { path, text, variables, beside } = read;
        let beside = beside.iter().map(|(path, bytes)| RevisionBeside {
            path: path.clone(),
            role: Role::Table,
            bytes: bytes.to_vec(),
        });
        Ok(RevisionFile {
            path: path.clone(),
            text: (**text).into(),
            variables: variables.iter().map(|one| self.variable(one)).collect::<Result<_>>()?,
            beside: beside.collect(),
        })
    }

    fn variable(&self, variable: &Variable) -> Result<RevisionVariable> {
        let value = match &variable.value {
            None => VariableValue::Unset,
            Some(secret) if variable.is_secret => {
                VariableValue::Secret(self.hash(&variable.name, secret.expose())?)
            }
            Some(plain) => VariableValue::Plain(plain.expose().into()),
        };
        Ok(RevisionVariable { name: (*variable.name).into(), value })
    }

    fn hash(&self, name: &str, value: &str) -> Result<SecretHash> {
        let mut opened = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match opened.take() {
            Some(key) => key,
            None => key::open(self.disk(), &self.folder.join("key"))?,
        };
        let hash = key::hash(&key, name, value);
        *opened = Some(key);
        Ok(hash)
    }

    /// Keeps a revision under a new number, durably. It runs once a checkpoint that names it is written. Before that it is a revision that
    /// was not applied; its number is not used again. `current`: the one that runs, 0 for none; it is not removed to make room.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or whatever the disk says; then there is no such revision.
    pub fn stage(&self, revision: &Revision, current: u64) -> Result<u64> {
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sizes = self.sizes()?;
        let newest = sizes.keys().next_back().copied().unwrap_or(0);
        let number = newest.max(current).max(*staged).saturating_add(1);
        let path = self.path(number);
        let bytes = form::encode(number, current, revision)
            .map_err(|error| Error::disk("write", &path)(io::Error::other(error)))?;
        let needed = bytes.len() as u64;
        if needed > REVISION_BYTES_MAX.0 {
            return Err(Error::TooLarge { bytes: needed });
        }
        // Before the new one is there, so that they never take more than they may.
        self.make_room(&mut sizes, needed, current)?;
        if let Err(error) = write_privately(self.disk(), &path, &bytes) {
            // The name may be there where only the last step failed.
            let _ = self.disk().remove_file(&path);
            return Err(Error::disk("write", &path)(error));
        }
        *staged = number;
        Ok(number)
    }

    fn make_room(&self, sizes: &mut BTreeMap<u64, u64>, needed: u64, current: u64) -> Result<()> {
        while sizes.len() >= REVISIONS_MAX || sizes.values().sum::<u64>() + needed > BYTES_MAX.0 {
            let Some(oldest) = sizes.keys().copied().find(|&number| number != current) else {
                return Ok(());
            };
            let path = self.path(oldest);
            self.disk().remove_file(&path).map_err(Error::disk("remove", &path))?;
            sizes.remove(&oldest);
        }
        Ok(())
    }

    /// A revision, with all its files.
    ///
    /// # Errors
    /// It is not there, damaged, or of a later release; or whatever the disk says.
    pub fn load(&self, number: u64) -> Result<Stored> {
        form::decode(&self.read(number)?, number).map_err(|reason| self.unreadable(number, reason))
    }

    /// Those that are there, the newest first, without their files. One that cannot be read is in the list, and says why. `current`: the
    /// one that runs, 0 for none.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn list(&self, current: u64) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        // Whoever is in this chain ran: each says which one ran before it.
        let mut next = current;
        for number in self.sizes()?.into_keys().rev() {
            let read = self.read(number).and_then(|file| {
                form::summary(&file, number).map_err(|reason| self.unreadable(number, reason))
            });
            let summary = match read {
                // A newer one was staged since the names were read, and took its place.
                Err(Error::Missing { .. }) => continue,
                read => read,
            };
            let standing = match number {
                _ if number == current => Standing::Current,
                // Where the chain is broken nobody knows; most revisions did run.
                _ if number <= next => Standing::Applied,
                _ => Standing::NotApplied,
            };
            if number <= next {
                next = summary.as_ref().map_or(number - 1, |summary| summary.previous);
            }
            listed.push(Listed { number, standing, summary });
        }
        Ok(listed)
    }

    fn read(&self, number: u64) -> Result<Vec<u8>> {
        let path = self.path(number);
        self.disk().read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing { number },
            _ => Error::disk("read", &path)(error),
        })
    }

    fn unreadable(&self, number: u64, unreadable: Unreadable) -> Error {
        let (path, reason) = (self.path(number), unreadable.to_string());
        match unreadable {
            Unreadable::Damaged(_) => Error::Damaged { number, path, reason },
            Unreadable::Newer { .. } => Error::Newer { number, path, reason },
        }
    }
}

/// The number that the name of a revision says.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".rev")?;
    let number: u64 = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits).then_some(number)
}
