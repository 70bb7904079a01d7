//! What can go wrong with revisions.

use std::io;
use std::path::{Path, PathBuf};

use super::{BYTES_MAX, REVISION_BYTES_MAX};

/// Why a revision could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// There is none of that number, or none any more.
    #[error("there is no revision {number}; `smollama history` lists those that are kept")]
    Missing {
        /// The number.
        number: u64,
    },
    /// The bytes are not those that were written.
    #[error("revision {number} cannot be read: `{}` {reason}", path.display())]
    Damaged {
        /// The number.
        number: u64,
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A later release wrote it.
    #[error("revision {number} cannot be read: `{}` {reason}", path.display())]
    Newer {
        /// The number.
        number: u64,
        /// Its file.
        path: PathBuf,
        /// Its format, who wrote it, and what to do.
        reason: String,
    },
    /// It holds more than a revision may.
    #[error(
        "the files of this revision take {bytes} bytes compressed, and a revision may take {REVISION_BYTES_MAX} \
         of the {BYTES_MAX} for all of them: split the tables, or read them with a source instead"
    )]
    TooLarge {
        /// How many bytes it takes.
        bytes: u64,
    },
    /// The key of the hashes is not a key.
    #[error(
        "`{}` has {len} bytes, and the key of the hashes of secrets has 32: remove the file, and each secret counts as \
         changed once", path.display()
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// How long it is.
        len: usize,
    },
    /// The machine gives no random numbers.
    #[error("cannot make the key of the hashes of secrets: the system gives no random numbers")]
    NoRandomness,
}

impl Error {
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Disk { action, path: path.to_owned(), source }
    }
}

/// What [`Revisions`](super::Revisions) returns.
pub type Result<T> = std::result::Result<T, Error>;
