//! What a Python Smollama kept in its `memory.db` (SQLite), as plain rows. Nothing of it is ever changed.
//!
//! A database in the journal mode that the old program uses is read where it lies, beside the program if need be: a reader's locks leave
//! no trace. One with a write-ahead log, or one that a crash left half written, cannot be read without writing beside it; it
//! is copied first ([`Database::open`]).
//!
//! Rows come in the order of their ids, some thousand at a time, so that whoever writes is never kept waiting for long and memory
//! stays bounded. A row that makes no sense, and a page that cannot be read, are said and passed over.

mod copy;
mod error;
mod rows;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use self::copy::Copy;
pub use self::error::{Error, Result};
pub use self::rows::{Damage, Observation, Page, Reading};

/// How long a writer may take to finish what it is at.
const PATIENCE: Duration = Duration::from_secs(10);

/// An old program's database.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    path: PathBuf,
    tables: Tables,
    /// Removed with this; after the connection is closed, since fields are dropped in their order.
    copy: Option<Copy>,
}

/// The columns of its tables; none where there is no such table.
#[derive(Debug, Default)]
struct Tables {
    readings: Vec<String>,
    observations: Vec<String>,
    memories: Vec<String>,
}

impl Database {
    /// Opens a database to read it. `scratch` is a folder of this process alone, which need not be there: where the database has to be copied,
    /// the copy lies in it, and it is removed with this.
    ///
    /// # Errors
    /// It is no such database, somebody writes to it all the time, or the disk refuses.
    pub fn open(path: &Path, scratch: &Path) -> Result<Database> {
        let header = copy::header(path)?;
        if header.has_log {
            return Database::open_copy(path, scratch);
        }
        match Database::open_at(path, OpenFlags::SQLITE_OPEN_READ_ONLY, path, None) {
            // A transaction that was under way in a crash would have to be taken back first.
            Err(Error::Sqlite { source, .. }) if wants_to_write(&source) => {
                Database::open_copy(path, scratch)
            }
            opened => opened,
        }
    }

    fn open_copy(path: &Path, scratch: &Path) -> Result<Database> {
        let copy = Copy::make(path, scratch)?;
        let at = copy.path().to_owned();
        Database::open_at(&at, OpenFlags::SQLITE_OPEN_READ_WRITE, path, Some(copy))
    }

    fn open_at(at: &Path, flags: OpenFlags, path: &Path, copy: Option<Copy>) -> Result<Database> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let failed = |source| Error::Sqlite { path: path.to_owned(), source };
        let connection = Connection::open_with_flags(at, flags).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        let tables = Tables::of(&connection).map_err(failed)?;
        tables.check(path)?;
        Ok(Database { connection, path: path.to_owned(), tables, copy })
    }

    /// Whether it had to be copied to be read.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// How many rows of each table there are, as far as they can be counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |columns: &[String], table: &str| {
            let sql = format!("SELECT count(*) FROM {table}");
            let rows = || self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).ok();
            if columns.is_empty() { Some(0) } else { rows() }.and_then(|rows| rows.try_into().ok())
        };
        Counts {
            readings: count(&self.tables.readings, "readings_log"),
            observations: count(&self.tables.observations, "observations"),
            memories: count(&self.tables.memories, "memories"),
        }
    }

    /// The largest id of a reading so far, where it can be told: for whoever shows how far he is.
    #[must_use]
    pub fn last_reading(&self) -> Option<i64> {
        if self.tables.readings.is_empty() {
            return None;
        }
        let sql = "SELECT max(id) FROM readings_log";
        self.connection.query_row(sql, [], |row| row.get(0)).ok()
    }

    /// The readings after the one with this id, in the order of their ids. A page that goes no further than this id is the end.
    ///
    /// # Errors
    /// Somebody writes to it all the time, or the disk refuses; not a damaged row or page.
    pub fn readings(&self, after: i64) -> Result<Page<Reading>> {
        rows::page(self, rows::READINGS, &self.tables.readings, after)
    }

    /// The observations after the one with this id, as [`Database::readings`].
    ///
    /// # Errors
    /// As there.
    pub fn observations(&self, after: i64) -> Result<Page<Observation>> {
        rows::page(self, rows::OBSERVATIONS, &self.tables.observations, after)
    }

    fn failed(&self, source: rusqlite::Error) -> Error {
        Error::Sqlite { path: self.path.clone(), source }
    }
}

/// How many rows there are; `None` where they cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// In `readings_log`.
    pub readings: Option<u64>,
    /// In `observations`.
    pub observations: Option<u64>,
    /// In `memories`, those included that were taken back.
    pub memories: Option<u64>,
}

impl Tables {
    fn of(connection: &Connection) -> rusqlite::Result<Tables> {
        let columns = |table: &str| {
            let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo(?1)")?;
            let names = statement.query_map([table], |row| row.get(0))?;
            names.collect::<rusqlite::Result<Vec<String>>>()
        };
        Ok(Tables {
            readings: columns("readings_log")?,
            observations: columns("observations")?,
            memories: columns("memories")?,
        })
    }

    /// Whether it has what is read. A later release of the old program may have more.
    fn check(&self, path: &Path) -> Result<()> {
        let tables = [
            (rows::READINGS.table, rows::READINGS.needed, &self.readings),
            (rows::OBSERVATIONS.table, rows::OBSERVATIONS.needed, &self.observations),
        ];
        if [&self.readings, &self.observations, &self.memories].iter().all(|one| one.is_empty()) {
            return Err(Error::NotOurs { path: path.to_owned() });
        }
        for (table, needed, columns) in tables.into_iter().filter(|(.., found)| !found.is_empty()) {
            if let Some(column) = needed.iter().find(|name| !columns.iter().any(|one| one == *name))
            {
                return Err(Error::NoColumn { path: path.to_owned(), table, column });
            }
        }
        Ok(())
    }
}

/// Whether SQLite would have to write, to read.
fn wants_to_write(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
}
