//! What keeps a table from growing for ever: rows go by age, and before the database grows beyond its bound. A few go with each
//! transaction, so that nobody waits for it.

use rusqlite::{Connection, params};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;

use super::row::Times;
use super::table::{Table, quoted};
use crate::sinks::file::TimeForm;

/// How often it is asked for rows that are too old, once there are none.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Rows that go at once at least.
const STEP: usize = 200;

/// How long rows of a table stay, and how many.
pub(super) struct Bounds {
    keep: Option<Duration>,
    pages_max: Option<u64>,
    /// How old rows are found; `None` where their time is not written, or nothing is too old.
    too_old: Option<String>,
    /// Removes the rows that came first.
    first: Option<String>,
    /// Its rows take each other's place, so it does not grow by itself.
    keyed: bool,
    time: TimeForm,
    looked: Option<Timestamp>,
}

impl Bounds {
    pub(super) fn new(
        table: &Table,
        has_rowid: bool,
        keep: Option<Duration>,
        pages_max: Option<u64>,
        time: TimeForm,
    ) -> Bounds {
        let name = quoted(&table.name);
        let too_old = table.dated.as_deref().filter(|_| keep.is_some()).map(|dated| {
            let (dated, text) = (quoted(dated), time == TimeForm::Rfc3339);
            // Others may have written other things there, and SQLite has an order for all of them.
            let types = if text { "('text')" } else { "('integer', 'real')" };
            let old = format!("{dated} < ?1 AND typeof({dated}) IN {types}");
            match (has_rowid, table.is_keyed()) {
                (false, _) => format!("DELETE FROM {name} WHERE {old} AND ?2 > 0"),
                // Its rows are in no order of time, and not many.
                (true, true) => format!(
                    "DELETE FROM {name} WHERE rowid IN (SELECT rowid FROM {name} WHERE {old} LIMIT ?2)"
                ),
                // Those that came first are the oldest but for a few, so no index is needed.
                (true, false) => format!(
                    "DELETE FROM {name} WHERE rowid IN (SELECT rowid FROM {name} ORDER BY rowid LIMIT ?2) AND {old}"
                ),
            }
        });
        let first = has_rowid.then(|| {
            format!(
                "DELETE FROM {name} WHERE rowid IN (SELECT rowid FROM {name} ORDER BY rowid LIMIT ?1)"
            )
        });
        Bounds { keep, pages_max, too_old, first, keyed: table.is_keyed(), time, looked: None }
    }

    /// Whether rows may be too old by now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let looked =
            self.looked.is_some_and(|looked| looked <= now && now.since(looked) < LOOK_EVERY);
        self.too_old.is_some() && !looked
    }

    /// Removes, in the transaction that is open, some of what is too old or too much. `coming`: how many rows are about to be written.
    pub(super) fn trim(
        &mut self,
        coming: usize,
        now: Timestamp,
        database: &Connection,
    ) -> rusqlite::Result<()> {
        let step = STEP.max(2 * coming);
        if let (Some(keep), Some(sql), true) = (self.keep, &self.too_old, self.is_due(now)) {
            let mut text = Vec::new();
            let mut times = Times::new(self.time);
            let before = times.cell(now - keep, &mut text);
            let before = rusqlite::types::ToSqlOutput::Borrowed(before);
            let limit = i64::try_from(step).unwrap_or(i64::MAX);
            let gone = database.prepare_cached(sql)?.execute(params![before, limit])?;
            self.looked = (gone < step).then_some(now);
        }
        if let (Some(max), Some(sql)) = (self.pages_max, &self.first) {
            // Each table gives twice what it takes, so that those of one database stay as large as they are beside each other; more only
            // where that is not enough.
            let used = used_pages(database)?;
            let step = match () {
                () if used > max - max / 16 => step,
                () if used > max - max / 8 && !self.keyed => 2 * coming,
                () => return Ok(()),
            };
            database.prepare_cached(sql)?.execute([i64::try_from(step).unwrap_or(i64::MAX)])?;
        }
        Ok(())
    }
}

/// How many pages hold something.
fn used_pages(database: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count";
    let used: i64 = database.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(used).unwrap_or(0))
}
