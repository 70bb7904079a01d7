//! The database: opened as others left it, or made; what its errors mean; and how far a stream has come, kept beside the rows.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use smollama_engine::node::NodeError;
use smollama_engine::time::Timestamp;
use uuid::Uuid;

/// `Smol`: what says in a database's header that this program made it.
const OURS: i32 = 0x536d_6f6c;
/// How long another program is waited for in one call.
const BUSY: Duration = Duration::from_secs(1);
/// How long another program is waited for where nothing can be tried again.
const BUSY_LONGEST: Duration = Duration::from_secs(10);
/// The write-ahead log is emptied beyond this size. It takes four times less unless somebody reads without a pause.
const LOG_MAX: u64 = 16 << 20;
/// What of `max_size` is left to the log: its size, and the largest transaction behind it.
const LOG_ROOM: u64 = 2 * LOG_MAX;
/// How long the position of a stream that is no more is kept beside that of its successor.
const FORMER: i64 = 7 * 86_400;

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    path: PathBuf,
    /// Device and number of the file that is open.
    file: (u64, u64),
    /// Whether this program made it, or nobody has yet.
    pub(super) ours: bool,
    /// Pages that it may have, where it is bounded.
    pub(super) pages_max: Option<u64>,
}

impl Database {
    /// Opens it; `make`s it where it is missing, and gives `None` where it is missing and not to be made. `cap`: how large it may
    /// become, if that is said, and if this program made it.
    pub(super) fn open(
        path: &Path,
        make: bool,
        cap: impl FnOnce(bool) -> Option<u64>,
    ) -> rusqlite::Result<Option<Database>> {
        if !make && !path.exists() {
            return Ok(None);
        }
        if let Some(folder) = path.parent().filter(|_| make) {
            // What is wrong with the folder is what opening says.
            drop(std::fs::create_dir_all(folder));
        }
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, make);
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        let number =
            |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let empty = number("page_count")? == 0;
        let ours = empty || number("application_id")? == i64::from(OURS);
        // Readers and this writer then do not wait for each other. Of another's database that is not ours to say.
        if make && ours {
            if empty {
                connection.pragma_update(None, "application_id", OURS)?;
            }
            connection.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()))?;
            connection.query_row("PRAGMA journal_size_limit = 4194304", [], |_| Ok(()))?;
        }
        // What was committed survives a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let page_size = number("page_size")?;
        let pages_max = cap(ours).map(|cap| {
            cap.saturating_sub(LOG_ROOM) / u64::try_from(page_size).unwrap_or(4096).max(512)
        });
        if let Some(pages) = pages_max {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        }
        let file = file(path).unwrap_or_default();
        Ok(Some(Database { connection, path: path.to_owned(), file, ours, pages_max }))
    }

    /// Whether the file that is open is still the one of its name: not removed, and no backup put in its place.
    pub(super) fn is_there(&self) -> bool {
        file(&self.path).is_ok_and(|file| file == self.file)
    }

    /// Whether it may only be read.
    pub(super) fn is_read_only(&self) -> bool {
        self.connection.is_readonly("main").unwrap_or(false)
    }

    /// Empties a log that has grown beyond its bound. False where somebody reads in it and that cannot be done.
    pub(super) fn empties_log(&self) -> rusqlite::Result<bool> {
        if self.pages_max.is_none() {
            return Ok(true);
        }
        let mut log = OsString::from(&self.path);
        log.push("-wal");
        if std::fs::metadata(&log).map_or(0, |log| log.len()) <= LOG_MAX {
            return Ok(true);
        }
        let is_busy = |row: &rusqlite::Row<'_>| row.get::<_, bool>(0);
        Ok(!self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], is_busy)?)
    }

    /// The offset up to which it has the items of a stream; 0 where it knows nothing of the stream. Waits long for others.
    pub(super) fn position(&self, stream: Uuid) -> rusqlite::Result<u64> {
        self.connection.busy_timeout(BUSY_LONGEST)?;
        let position = self.read_position(stream);
        self.connection.busy_timeout(BUSY)?;
        position
    }

    fn read_position(&self, stream: Uuid) -> rusqlite::Result<u64> {
        if !self.connection.table_exists(Some("main"), "_smollama_position")? {
            return Ok(0);
        }
        let sql = "SELECT position FROM main._smollama_position WHERE stream = ?1";
        let stream = stream.hyphenated().to_string();
        let position: Option<i64> =
            self.connection.query_row(sql, [stream], |row| row.get(0)).optional()?;
        Ok(position.and_then(|position| u64::try_from(position).ok()).unwrap_or(0))
    }

    /// Makes room for positions.
    pub(super) fn prepare_positions(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS main._smollama_position (\n  \
             stream TEXT PRIMARY KEY,\n  host TEXT NOT NULL,\n  node TEXT NOT NULL,\n  \
             position INTEGER NOT NULL,\n  written INTEGER NOT NULL\n) WITHOUT ROWID",
        )
    }
}

/// Whose position is kept.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) stream: Uuid,
    /// The id of the host.
    pub(super) host: Uuid,
    /// The address of the node.
    pub(super) node: String,
}

impl Place {
    /// Notes, in the transaction that is open, that all up to an offset is there.
    pub(super) fn note(
        &self,
        position: u64,
        now: Timestamp,
        database: &Connection,
    ) -> rusqlite::Result<()> {
        let written = now.as_micros().div_euclid(1_000_000);
        let stream = self.stream.hyphenated().to_string();
        let host = self.host.hyphenated().to_string();
        let sql = "INSERT INTO main._smollama_position (stream, host, node, position, written) \
                   VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (stream) DO UPDATE \
                   SET node = excluded.node, position = excluded.position, written = excluded.written";
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let mut note = database.prepare_cached(sql)?;
        note.execute(params![stream, host, self.node, position, written])?;
        Ok(())
    }

    /// Forgets the streams of earlier nodes of the same address: a host that runs `--once` has a new one each time.
    pub(super) fn forget_former(
        &self,
        now: Timestamp,
        database: &Connection,
    ) -> rusqlite::Result<()> {
        let before = now.as_micros().div_euclid(1_000_000) - FORMER;
        let sql = "DELETE FROM main._smollama_position \
                   WHERE host = ?1 AND node = ?2 AND stream <> ?3 AND written < ?4";
        let (host, stream) = (self.host.hyphenated(), self.stream.hyphenated());
        database.execute(sql, params![host.to_string(), self.node, stream.to_string(), before])?;
        Ok(())
    }
}

/// Device and number of a file.
fn file(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Why a row is refused and the others are not, if the error is about one row.
pub(super) fn refusal(error: &rusqlite::Error) -> Option<String> {
    let about_row = matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    );
    about_row.then(|| format!("the table refuses it: {error}"))
}

/// Whether a connection is not to be used any more after an error.
pub(super) fn breaks(error: &rusqlite::Error) -> bool {
    use ErrorCode as E;
    let code = error.sqlite_error_code();
    matches!(code, Some(E::SystemIoFailure | E::DatabaseCorrupt | E::NotADatabase | E::ReadOnly))
}

/// What the engine is to do about an error. All but damage may pass: locks, full disks, tables that somebody alters.
pub(super) fn node_error(path: &Path, error: &rusqlite::Error) -> NodeError {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            NodeError::Retry(format!("another program writes to `{path}`"))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => NodeError::Fatal(format!(
            "`{path}` is damaged, or no database: {error}; `PRAGMA integrity_check` says more"
        )),
        _ => NodeError::Retry(format!("`{path}` cannot be written: {error}")),
    }
}
