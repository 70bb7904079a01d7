//! Items wait in memory, and go into the database in transactions: the rows, and how far the stream has come with them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::context::Host;
use smollama_engine::node::{NodeError, Refused};
use smollama_engine::time::Timestamp;

use super::SqliteConfig;
use super::bounds::Bounds;
use super::database::{self, Database, Place};
use super::row::{Rows, bind, reverse, rows_of, take};
use super::table::{Table, Unfit};

/// Items of a transaction, and about their bytes: more would be a long one, for which other programs wait, and a log of many pages.
const ITEMS: usize = 1_000;
const BYTES: usize = 4 << 20;

/// What waits, and where it goes.
pub(super) struct Writer {
    config: Arc<SqliteConfig>,
    path: PathBuf,
    host: Arc<Host>,
    open: Option<Open>,
    /// Whose position is kept; `None` where none is.
    pub(super) place: Option<Place>,
    pending: VecDeque<Chunk>,
    pending_items: usize,
    /// As they were taken.
    pending_bytes: usize,
    refused: Vec<Refused>,
    /// The latest time that was told.
    pub(super) now: Timestamp,
    /// How far the stream has come in the database.
    pub(super) position: u64,
}

/// Items of one kind, as many as one transaction takes.
struct Chunk {
    items: Items,
    bytes: usize,
    /// The offset after the last of them.
    end: u64,
}

/// The database, and what is known of it.
struct Open {
    database: Database,
    targets: [Option<Target>; 3],
    /// Whether there is room for positions, and none of former streams.
    positions: bool,
}

/// Where the rows of a kind go.
struct Target {
    insert: String,
    rows: Rows,
    bounds: Bounds,
}

/// A row that the table does not take: of which chunk, which item, and which of its summaries; and why.
struct Refusal {
    chunk: usize,
    item: usize,
    summary: Option<usize>,
    why: String,
}

/// How a transaction ended.
enum Outcome {
    /// All rows but these are there.
    Committed(Vec<Refusal>),
    /// Nothing is there: first these are to go to the dead letters.
    Refused(Vec<Refusal>),
    /// Nothing is there: the rows break a constraint together.
    AllRefused(String),
}

impl Writer {
    pub(super) fn new(config: Arc<SqliteConfig>, path: PathBuf, host: Arc<Host>) -> Writer {
        Writer {
            config,
            path,
            host,
            open: None,
            place: None,
            pending: VecDeque::new(),
            pending_items: 0,
            pending_bytes: 0,
            refused: Vec::new(),
            now: Timestamp::MIN,
            position: 0,
        }
    }

    /// Whether rows wait.
    pub(super) fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether as many rows wait as a transaction takes.
    pub(super) fn is_full(&self) -> bool {
        self.pending_items >= ITEMS || self.pending_bytes >= BYTES
    }

    /// Takes a batch.
    pub(super) fn put(&mut self, batch: &Batch) {
        let len = batch.items.len();
        let each = (batch.items.bytes() / len.max(1)).max(1);
        let step = (BYTES / each).clamp(1, ITEMS);
        for start in (0..len).step_by(step) {
            let stop = (start + step).min(len);
            let items = batch.items.slice(start..stop);
            let (bytes, end) = (items.bytes(), batch.end.saturating_sub((len - stop) as u64));
            self.pending_items += items.len();
            self.pending_bytes += bytes;
            self.pending.push_back(Chunk { items, bytes, end });
        }
    }

    /// What the tables refused since the last call.
    pub(super) fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    /// Asks the database how far the stream has come. It is not made for that.
    pub(super) fn read_position(&mut self) -> Result<u64, String> {
        let Some(place) = &self.place else { return Ok(0) };
        let stream = place.stream;
        let position = match self.open(false) {
            Ok(Some(open)) => open.database.position(stream),
            Ok(None) => Ok(0),
            Err(error) => Err(error),
        };
        // Whoever writes opens it in another way.
        self.open = None;
        self.position = position.map_err(|error| error.to_string())?;
        Ok(self.position)
    }

    /// Writes all that waits. After an error what is not there still waits.
    pub(super) fn commit(&mut self) -> Result<(), NodeError> {
        while self.waits() {
            if let Err(error) = self.prepare() {
                return Err(self.judge(error));
            }
            match self.transact() {
                Ok(Outcome::Committed(refusals)) => self.committed(refusals),
                Ok(Outcome::Refused(refusals)) => {
                    let rows = refusals.len();
                    self.refuse(refusals);
                    return Err(self.go_on_without(rows));
                }
                Ok(Outcome::AllRefused(why)) => {
                    let rows = self.refuse_all(&why);
                    return Err(self.go_on_without(rows));
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(())
    }

    /// Removes what is too old, where no rows come that would do it on their way.
    pub(super) fn tidy(&mut self) {
        let (now, Some(open)) = (self.now, &mut self.open) else { return };
        let Open { database, targets, .. } = open;
        if !targets.iter().flatten().any(|target| target.bounds.is_due(now)) {
            return;
        }
        let tidied = transaction(&mut database.connection).and_then(|within| {
            for target in targets.iter_mut().flatten() {
                target.bounds.trim(0, now, &within)?;
            }
            within.commit()
        });
        if let Err(error) = tidied {
            let path = self.path.display();
            tracing::debug!(%path, "rows that are too old stay a little longer: {error}");
        }
    }

    /// How many chunks the next transaction takes.
    fn chunks(&self) -> usize {
        let (mut items, mut bytes) = (0, 0);
        let fits = self.pending.iter().take_while(|chunk| {
            items += chunk.items.len();
            bytes += chunk.bytes;
            items <= ITEMS && bytes <= BYTES
        });
        fits.count().max(1)
    }

    /// Opens the database and looks at the tables that the next transaction needs; makes what is missing and may be made.
    fn prepare(&mut self) -> Result<(), (ItemKind, Unfit)> {
        // Of a chunk that was refused as a whole only the offset is left.
        let chunks = self.pending.iter().take(self.chunks()).filter(|it| !it.items.is_empty());
        let kinds: Vec<ItemKind> = chunks.map(|chunk| chunk.items.kind()).collect();
        let first = kinds.first().copied().unwrap_or(ItemKind::Readings);
        let (config, wants_place) = (self.config.clone(), self.place.is_some());
        let host: Arc<str> = self.host.name.as_str().into();
        let open = match self.open(config.create != Some(false)) {
            Ok(Some(open)) => open,
            Ok(None) => return Err((first, Unfit::Gone)),
            Err(error) => return Err((first, error.into())),
        };
        for kind in kinds {
            open.look_at(kind, &config, &host).map_err(|unfit| (kind, unfit))?;
        }
        if wants_place && !open.positions {
            open.database.prepare_positions().map_err(|error| (first, error.into()))?;
        }
        Ok(())
    }

    fn open(&mut self, make: bool) -> rusqlite::Result<Option<&mut Open>> {
        if self.open.as_ref().is_some_and(|open| !open.database.is_there()) {
            self.open = None;
        }
        if self.open.is_none() {
            let cap = |ours| self.config.cap(ours);
            let Some(database) = Database::open(&self.path, make, cap)? else { return Ok(None) };
            self.open = Some(Open { database, targets: [const { None }; 3], positions: false });
        }
        Ok(self.open.as_mut())
    }

    fn transact(&mut self) -> rusqlite::Result<Outcome> {
        let (count, now) = (self.chunks(), self.now);
        let Some(open) = &mut self.open else { return Ok(Outcome::Committed(Vec::new())) };
        if !open.database.empties_log()? {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            let why = "its log is full, as another program reads without a pause";
            return Err(rusqlite::Error::SqliteFailure(full, Some(why.into())));
        }
        let table = &self.host.series;
        let within = transaction(&mut open.database.connection)?;
        let mut refusals = Vec::new();
        for (number, chunk) in self.pending.iter().take(count).enumerate() {
            let Some(target) = &mut open.targets[chunk.items.kind() as usize] else { continue };
            target.bounds.trim(chunk.items.len(), now, &within)?;
            target.rows.refresh(table);
            let mut into = within.prepare_cached(&target.insert)?;
            for (item, summary) in rows_of(&chunk.items) {
                bind(&mut target.rows, &chunk.items, (item, summary), table, &mut into)?;
                let Err(error) = into.raw_execute() else { continue };
                let Some(why) = database::refusal(&error) else { return Err(error) };
                refusals.push(Refusal { chunk: number, item, summary, why });
                // A trigger may have ended all of it, and what comes next would be there at once.
                if within.is_autocommit() {
                    return Ok(Outcome::Refused(refusals));
                }
            }
        }
        if let Some(place) = &self.place {
            // Should this process be killed right after the commit, the rows that were refused would lie nowhere.
            if !refusals.is_empty() {
                return Ok(Outcome::Refused(refusals));
            }
            let end = self.pending.get(count - 1).map_or(0, |chunk| chunk.end);
            place.note(end, now, &within)?;
            if !open.positions {
                place.forget_former(now, &within)?;
            }
        }
        match within.commit() {
            Ok(()) => {
                open.positions = self.place.is_some();
                Ok(Outcome::Committed(refusals))
            }
            // A constraint that is looked at only now, which may be broken by any of them.
            Err(error) => match database::refusal(&error) {
                Some(why) => Ok(Outcome::AllRefused(why)),
                None => Err(error),
            },
        }
    }

    fn committed(&mut self, refusals: Vec<Refusal>) {
        let count = self.chunks();
        self.refuse(refusals);
        for chunk in self.pending.drain(..count) {
            self.pending_items -= chunk.items.len();
            self.pending_bytes -= chunk.bytes;
            self.position = self.position.max(chunk.end);
        }
    }

    /// Takes rows out of what waits, for the dead letters.
    fn refuse(&mut self, refusals: Vec<Refusal>) {
        let mut letters: Vec<Refused> = Vec::new();
        // From the last to the first, so that the numbers of the others stay what they are.
        for Refusal { chunk, item, summary, why } in refusals.into_iter().rev() {
            let Some(chunk) = self.pending.get_mut(chunk) else { continue };
            let (taken, items) = take(&mut chunk.items, item, summary);
            self.pending_items -= items;
            match letters.last_mut() {
                Some(last) if last.reason == why && last.items.kind() == taken.kind() => {
                    last.items.append(taken);
                }
                _ => letters.push(Refused { items: taken, reason: why }),
            }
        }
        letters.iter_mut().for_each(|letter| reverse(&mut letter.items));
        self.refused.extend(letters.into_iter().rev());
    }

    fn refuse_all(&mut self, why: &str) -> usize {
        let mut rows = 0;
        for index in 0..self.chunks() {
            let Some(chunk) = self.pending.get_mut(index) else { continue };
            let none = Items::none(chunk.items.kind());
            let items = std::mem::replace(&mut chunk.items, none);
            rows += items.len();
            self.pending_items -= items.len();
            if !items.is_empty() {
                self.refused.push(Refused { items, reason: why.to_owned() });
            }
        }
        rows
    }

    fn go_on_without(&self, rows: usize) -> NodeError {
        let path = self.path.display();
        let what = if rows == 1 { "a row" } else { "rows" };
        NodeError::Retry(format!("`{path}` refuses {what}; the others follow"))
    }

    /// What is to be done where a table does not do.
    fn judge(&mut self, (kind, unfit): (ItemKind, Unfit)) -> NodeError {
        match unfit {
            Unfit::Sqlite(error) => self.failed(&error),
            Unfit::Gone => NodeError::Retry(format!("`{}` is gone", self.path.display())),
            // The one table has the columns of another kind, and never those of this one.
            Unfit::Problem(problem)
                if self.config.table.is_some() && self.config.columns.is_none() =>
            {
                let count = self.chunks();
                let why = problem.message;
                let mut rows = 0;
                for chunk in self.pending.iter_mut().take(count) {
                    if chunk.items.kind() == kind {
                        let items = std::mem::replace(&mut chunk.items, Items::none(kind));
                        rows += items.len();
                        self.refused.push(Refused { items, reason: why.clone() });
                    }
                }
                self.pending_items -= rows;
                self.go_on_without(rows)
            }
            Unfit::Problem(problem) => {
                NodeError::Retry(format!("`{}`: {}", self.path.display(), problem.message))
            }
        }
    }

    fn failed(&mut self, error: &rusqlite::Error) -> NodeError {
        match &mut self.open {
            Some(_) if database::breaks(error) => self.open = None,
            // Somebody may have altered a table, or dropped it.
            Some(open) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => {
                open.targets = [const { None }; 3];
                open.positions = false;
            }
            _ => {}
        }
        database::node_error(&self.path, error)
    }
}

impl Open {
    /// Makes the table of a kind where it is missing and may be made, and looks whether rows fit into it.
    fn look_at(
        &mut self,
        kind: ItemKind,
        config: &SqliteConfig,
        host: &Arc<str>,
    ) -> Result<(), Unfit> {
        let target = &mut self.targets[kind as usize];
        if target.is_some() {
            return Ok(());
        }
        let (table, database) = (Table::new(config, kind), &self.database);
        let found = match table.find(&database.connection)? {
            Some(found) => found,
            None if config.create.unwrap_or(database.ours) => {
                database.connection.execute_batch(&table.create())?;
                let found = table.find(&database.connection)?;
                found.ok_or(rusqlite::Error::QueryReturnedNoRows)?
            }
            None => return Err(table.missing(&database.connection)),
        };
        table.check(&found, &database.connection)?;
        let pages_max = database.pages_max;
        *target = Some(Target {
            insert: table.insert(),
            rows: Rows::new(&table.columns, config.time, host.clone()),
            bounds: Bounds::new(&table, found.has_rowid, config.keep, pages_max, config.time),
        });
        Ok(())
    }
}

fn transaction(connection: &mut Connection) -> rusqlite::Result<rusqlite::Transaction<'_>> {
    // The lock at once: one that is asked for in the middle may be refused without waiting for it.
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}
