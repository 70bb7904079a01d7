//! Why an old database cannot be read.

use std::io;
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another kind of file.
    #[error("`{}` is no SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A database of another program.
    #[error("`{}` has none of the tables of a Python Smollama", path.display())]
    NotOurs {
        /// The database.
        path: PathBuf,
    },
    /// A form of the table that is not known.
    #[error("`{table}` in `{}` has no column `{column}`", path.display())]
    NoColumn {
        /// The database.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// What it lacks.
        column: &'static str,
    },
    /// Somebody writes to it all the time.
    #[error("`{}` changes all the time, so that it cannot be copied", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("cannot read `{}`: {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// What reading an old database gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Disk { action, path: path.to_owned(), source }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Error::NotADatabase { .. } | Error::NotOurs { .. } => {
                "name the folder of its memory.db, or leave the readings behind by moving that file away"
            }
            Error::NoColumn { .. } => {
                "it was written by a release of the Python Smollama that this one does not know; its readings stay where they are"
            }
            Error::Busy { .. } | Error::Sqlite { .. } => "stop the Python Smollama first",
            Error::Disk { .. } => {
                "this user must be allowed to read it, and there must be room for a copy"
            }
        }
    }
}
