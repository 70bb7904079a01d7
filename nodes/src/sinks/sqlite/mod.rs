//! Writes into a table of a SQLite database: one that is there already, whatever its columns, or one of its own.

mod bounds;
mod columns;
mod database;
mod row;
mod table;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::bytes::ByteSize;
use smollama_engine::context::{Context, Host};
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, NodeError, Refused, Sink};
use smollama_engine::registry::{Delivery, NodeConfig, Problem, Profile, Section};
use smollama_engine::time::Timestamp;
use uuid::Uuid;

use super::file::TimeForm;
pub use columns::{Columns, Content};
use database::{Database, Place};
use table::{Table, Unfit};
use writer::Writer;

/// How large a database of our own may become unless the user says otherwise.
const SIZE: ByteSize = ByteSize::mib(1_024);
/// The log of a database takes half of it at most.
const SIZE_LEAST: ByteSize = ByteSize::mib(64);
/// Rows wait in memory for no longer: series that were silent for a day may give their slots back.
const COMMIT_MAX: Duration = Duration::from_hours(1);

/// Writes readings, windows and observations into a table of a SQLite database.
///
/// The database may be one that other programs use. `columns` says what goes where: the words of the sink `file` (`time`, `source`,
/// `type`, `id`, `host`, `value`, `unit`, `labels`, `label.NAME`, and those of windows and observations), and also `value.number`
/// (`NULL` for a text), `value.json` (a text with its quotes) and `{ fixed: garden }` (the same in every row). A table that is there is never altered:
/// columns that it lacks, that need a value and get none, or that are declared for numbers where times would be texts, are named at the
/// start, before anything is written. A window is a row for each of its series. On and off are 1 and 0; what an item does not have is `NULL`.
///
/// For a table such as `CREATE TABLE readings_log (id INTEGER PRIMARY KEY, timestamp TEXT NOT NULL, source_type TEXT NOT NULL, source_id TEXT NOT NULL,
/// value TEXT NOT NULL, value_numeric REAL, unit TEXT, metadata TEXT, node_id TEXT NOT NULL)` write
/// `columns: { timestamp: time, source_type: type, source_id: id, value: value.json, value_numeric: value.number, unit: unit, metadata: labels, node_id: host }`.
/// With `key: [source]` a table holds one row for each source, its current value: a later reading takes the row's place, an older one does not.
///
/// Rows are written in transactions, of at most 1,000 items. How far the stream has come is written with them, into the table `_smollama_position` of the
/// same database, so that after `kill -9` or a power cut every item is there exactly once. While another program writes to the database, or the disk
/// is full, rows wait in the host's journal and nothing is lost; a database that is locked for more than ten seconds at the start of the host may
/// get items twice. A row that a constraint or a trigger refuses goes to the dead letters, with the reason; the others go on.
///
/// A database that this program made is in WAL mode and has a bound, `max_size`: before it is reached, the rows that came first go. The
/// file never shrinks; room that became free is used again. In a database that others made, the mode stays what it is, and rows go only by
/// the `keep` or `max_size` that you write.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {
    /// The database. A relative path lies in the data directory; missing folders are made.
    pub path: PathBuf,
    /// The table. Default: `readings`, `windows` or `observations`, by what comes.
    #[serde(default)]
    pub table: Option<String>,
    /// The columns that are written: a map from name to what it holds, such as `{ ts: time, room: label.room, value: value }`, or a list such as
    /// `[time, source, value]`. Only items that have all of it are taken. Default: for readings `time`, `source`, `value`, `unit`, `score` and `count`; for windows and
    /// observations those of the sink `file` in CSV.
    #[serde(default)]
    pub columns: Option<Columns>,
    /// How times are written: `rfc3339` (the default, with six decimals, so that texts sort as times do), or whole seconds, milliseconds,
    /// microseconds or nanoseconds since 1970 (`s`, `ms`, `us`, `ns`).
    #[serde(default)]
    pub time: TimeForm,
    /// Columns that together say what a row is about, such as `[source]`: for each of them there is one row. A table that is there needs an index
    /// that says so. Default: every item is a row of its own.
    #[serde(default)]
    pub key: Vec<String>,
    /// What becomes of an item whose row is there already, by the `key` or, without one, by any constraint that says what is unique. Default: `update` with
    /// `key`, `reject` without.
    #[serde(default)]
    pub on_conflict: Option<OnConflict>,
    /// Whether a missing database or table is made, with an index by source and time, or by `key`. Default: a missing database is, and a missing table in one that this program made.
    #[serde(default)]
    pub create: Option<bool>,
    /// `kept` (the default): how far the stream has come is kept in the table `_smollama_position` of the database, so that no item is there twice. `none`:
    /// no such table is made, and what was written in the last quarter of a second before a crash may be there twice.
    #[serde(default)]
    pub position: PositionKept,
    /// How long rows wait in memory for more of them. Longer is gentler to SD cards; what waits is safe in the host's journal. One hour
    /// at most. Default: `0s`, rows are there a tenth of a second after the input pauses, and four times a second while it does not.
    #[serde(default)]
    pub commit: Duration,
    /// How long rows are kept, such as `90d`, by the column with `time` (or `end`). This goes for all rows of the table, whoever
    /// wrote them. Default: for good, or until `max_size`.
    #[serde(default)]
    pub keep: Option<Duration>,
    /// How large the database may become with its log. At least `64MiB`. Default: `1GiB` for a database that this program made, none for others.
    #[serde(default)]
    pub max_size: Option<ByteSize>,
}

/// What becomes of an item whose row is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It goes to the dead letters.
    Reject,
    /// It is dropped, and the row stays as it is.
    Ignore,
    /// It takes the row's place, unless it is older.
    Update,
}

/// Whether the database knows how far the stream has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PositionKept {
    /// In a table of its own.
    #[default]
    Kept,
    /// It does not.
    None,
}

impl SqliteConfig {
    fn on_conflict(&self) -> OnConflict {
        let default = if self.key.is_empty() { OnConflict::Reject } else { OnConflict::Update };
        self.on_conflict.unwrap_or(default)
    }

    /// How large the database may become, by whether this program made it.
    fn cap(&self, ours: bool) -> Option<u64> {
        self.max_size.or_else(|| ours.then_some(SIZE)).map(|size| size.0)
    }

    /// The kinds of items that have something for every column.
    fn kinds(&self) -> Vec<ItemKind> {
        let fits = |kind: &ItemKind| self.columns.as_ref().is_none_or(|all| all.fit(*kind));
        ItemKind::ALL.into_iter().filter(fits).collect()
    }

    /// Looks whether rows will fit into what is there; makes nothing.
    fn check(&self, path: &Path) -> Result<(), Problem> {
        let trouble = |error: &dyn std::fmt::Display| {
            let message = format!("`{}` cannot be opened: {error}", path.display());
            Problem::at("path", message)
                .help("check that it is a SQLite database, and who may write it")
        };
        let database = match Database::open(path, false, |_| None) {
            Ok(Some(database)) => database,
            Ok(None) if self.create == Some(false) => {
                let message = format!("there is no database `{}`", path.display());
                let help = "correct the path, or leave `create: false` out";
                return Err(Problem::at("path", message).help(help));
            }
            Ok(None) => return Ok(()),
            Err(error) if is_locked(&error) => return Ok(()),
            Err(error) => return Err(trouble(&error)),
        };
        if database.is_read_only() {
            return Err(trouble(&"it may only be read"));
        }
        let mut unfit = None;
        for kind in self.kinds() {
            match self.check_table(kind, &database) {
                Ok(()) => return Ok(()),
                Err(Unfit::Sqlite(error)) if is_locked(&error) => return Ok(()),
                Err(other) => unfit = unfit.or(Some(other)),
            }
        }
        match unfit {
            Some(Unfit::Problem(problem)) => Err(problem),
            Some(Unfit::Sqlite(error)) => Err(trouble(&error)),
            Some(Unfit::Gone) | None => Ok(()),
        }
    }

    fn check_table(&self, kind: ItemKind, database: &Database) -> Result<(), Unfit> {
        let table = Table::new(self, kind);
        match table.find(&database.connection)? {
            Some(found) => table.check(&found, &database.connection),
            None if self.create.unwrap_or(database.ours) => Ok(()),
            None => Err(table.missing(&database.connection)),
        }
    }

    fn problems_of_columns(&self, columns: &Columns) -> Vec<Problem> {
        let mut problems = Vec::new();
        if columns.0.is_empty() {
            let problem = Problem::at("columns", "`columns` chooses no column");
            problems.push(problem.help("leave it out for the usual ones"));
        } else if self.kinds().is_empty() {
            let message = "nothing has all of these: some are of readings and some of others";
            let problem = Problem::at("columns", message);
            problems.push(problem.help("use a sink for each kind of item"));
        }
        for (index, key) in self.key.iter().enumerate() {
            if !columns.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(key)) {
                let problem = Problem::at(
                    format!("key.{index}"),
                    format!("`{key}` is no column of `columns`"),
                );
                problems.push(problem.help("say in `columns` what it holds"));
            }
        }
        let undated = self.kinds().iter().any(|kind| columns.dated(*kind).is_none());
        if self.keep.is_some() && undated {
            let problem = Problem::at("keep", "no column says how old a row is");
            problems.push(problem.help("add one that holds `time`"));
        }
        problems
    }
}

impl NodeConfig for SqliteConfig {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "sqlite";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let size = self.max_size.or_else(|| (self.create != Some(false)).then_some(SIZE));
        let profile = Profile::sink(&self.kinds()).delivery(Delivery::Kept).disk(size);
        match self.position {
            PositionKept::Kept => profile.keeps_position(),
            PositionKept::None => profile,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.path.file_name().is_none() {
            let problem = Problem::at("path", format!("`{}` names no file", self.path.display()));
            problems.push(problem.help("write a file name, such as readings.db"));
        }
        if self.table.as_ref().is_some_and(|table| table.is_empty() || table.contains('\0')) {
            problems.push(Problem::at("table", "the table has no name"));
        }
        match &self.columns {
            Some(columns) => problems.extend(self.problems_of_columns(columns)),
            None if !self.key.is_empty() => {
                let problem = Problem::at("key", "`key` needs `columns`");
                problems.push(problem.help("add `columns: [time, source, value, unit]`"));
            }
            None => {}
        }
        if self.on_conflict == Some(OnConflict::Update) && self.key.is_empty() {
            let problem = Problem::at("on_conflict", "nothing says which row to update");
            problems.push(problem.help("add `key: [source]`"));
        }
        if self.commit > COMMIT_MAX {
            problems.push(Problem::at("commit", format!("it can be {COMMIT_MAX} at most")));
        }
        if !self.commit.is_zero() && self.position == PositionKept::None {
            let problem =
                Problem::at("commit", "rows that wait would be lost where no position is kept");
            problems.push(problem.help("leave `position: none` out, or `commit`"));
        }
        if self.keep.is_some_and(|keep| keep < Duration::from_mins(1)) {
            let problem = Problem::at("keep", "it is looked at once a minute");
            problems.push(problem.help("write a minute or more, such as `30d`"));
        }
        if self.max_size.is_some_and(|size| size < SIZE_LEAST) {
            let problem =
                Problem::at("max_size", format!("the database and its log need {SIZE_LEAST}"));
            problems.push(problem.help(format!("write `{SIZE_LEAST}` or more")));
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let path = context.output_path(&self.path);
        self.check(&path)?;
        let (config, host) = (Arc::new(self.clone()), context.host.clone());
        Ok(Node::Sink(Box::new(SqliteSink {
            node: context.address.to_string(),
            writer: Writer::new(config.clone(), path, host.clone()),
            config,
            host,
            waiting_since: None,
        })))
    }
}

fn is_locked(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

struct SqliteSink {
    config: Arc<SqliteConfig>,
    /// The address of the node.
    node: String,
    host: Arc<Host>,
    writer: Writer,
    /// The first flush that found rows in memory.
    waiting_since: Option<Timestamp>,
}

impl SqliteSink {
    fn commit(&mut self) -> Result<(), NodeError> {
        self.writer.commit()?;
        self.waiting_since = None;
        Ok(())
    }
}

#[async_trait]
impl Sink for SqliteSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), NodeError> {
        self.writer.now = self.writer.now.max(batch.received);
        if self.writer.is_full() {
            self.commit()?;
        }
        self.writer.put(batch);
        Ok(())
    }

    async fn flush(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.writer.now = now;
        if !self.writer.waits() {
            self.writer.tidy();
            return Ok(());
        }
        let since = *self.waiting_since.get_or_insert(now);
        if self.config.commit.is_zero() || now.since(since) >= self.config.commit {
            self.commit()?;
        }
        Ok(())
    }

    /// What was committed survives a power cut.
    async fn checkpoint(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.writer.now = now;
        self.commit()
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        self.writer.take_refused()
    }

    fn position(&mut self, stream: Uuid, _: ItemKind) -> Option<u64> {
        if self.config.position == PositionKept::None {
            return None;
        }
        // All kinds are in the same transactions, so there is one position.
        if self.writer.place.as_ref().is_none_or(|place| place.stream != stream) {
            let place = Place { stream, host: self.host.id, node: self.node.clone() };
            self.writer.place = Some(place);
            if let Err(error) = self.writer.read_position() {
                tracing::warn!(node = %self.node, "how far the database had come is not known, so items may be in it twice: {error}");
                return None;
            }
        }
        Some(self.writer.position)
    }

    fn reach(&mut self) -> u64 {
        self.writer.position
    }

    fn keeps_position(&self) -> bool {
        self.config.position == PositionKept::Kept
    }

    fn longest_pause(&self) -> Option<Duration> {
        Some(Duration::from_secs(5))
    }

    async fn close(&mut self, now: Timestamp) -> Result<(), NodeError> {
        self.writer.now = now;
        self.commit()
    }

    fn blocks(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
