//! What can go wrong with the history, each with the file it is about.

use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

use super::table::FORMAT;

/// Why something could not be kept or read.
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
    /// The bytes are not what they should be.
    #[error("`{}` cannot be read as Parquet: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Columns could not be turned into Parquet.
    #[error("cannot encode `{}`: {source}", path.display())]
    Encode {
        /// The file it was for.
        path: PathBuf,
        /// What the encoder said.
        source: ParquetError,
    },
    /// A later release wrote it.
    #[error(
        "`{}` has history format {found}, written by {writer}; this version reads formats up to {FORMAT}: \
         update smollama, or move the file elsewhere", path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
        /// Who wrote it, as it says itself.
        writer: String,
    },
    /// The declared limit leaves no room.
    #[error(
        "`{}` needs {needed} bytes, and the history may have no more than {limit} (`max_size`): \
         raise the limit, or store less", path.display()
    )]
    Full {
        /// The file that found no room.
        path: PathBuf,
        /// How many bytes it needs.
        needed: u64,
        /// How many bytes the history may have in all.
        limit: u64,
    },
    /// A Parquet file from elsewhere has no such column.
    #[error("`{}` has no column `{column}`; it has {known}", path.display())]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        column: String,
        /// What there is.
        known: String,
    },
    /// A column holds what is no single value.
    #[error("column `{column}` of `{}` holds {kind}, which is not a plain value", path.display())]
    NestedColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
}

impl Error {
    /// Whether what was to be read is no longer there.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Error::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Disk { action, path: path.to_owned(), source }
    }
    pub(super) fn damaged<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Error {
        move |reason| Error::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }
    pub(super) fn encode(path: &Path) -> impl FnOnce(ParquetError) -> Error {
        move |source| Error::Encode { path: path.to_owned(), source }
    }
}

/// What the history returns.
pub type Result<T> = std::result::Result<T, Error>;
