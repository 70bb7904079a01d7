//! Rows by pages, and the way around what cannot be read.

use ring::digest;
use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, Row};
use smollama_engine::time::Timestamp;
use uuid::Uuid;

use super::Database;
use super::error::Result;

/// The most rows of a page.
const PAGE_ROWS: i64 = 4_096;
/// A page of long texts ends sooner.
const PAGE_BYTES: usize = 4 << 20;
/// How far is looked for what can be read again: twice as far each time.
const JUMPS_MAX: u32 = 62;

/// Some rows in the order of their ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// What could be read.
    pub rows: Vec<T>,
    /// What could not.
    pub damage: Vec<Damage>,
    /// The id up to which this is all there is: what the next page comes after.
    pub upto: i64,
}

/// Rows that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The id of the first. What was damaged may hold fewer rows than ids.
    pub first: i64,
    /// The id of the last.
    pub last: i64,
    /// What is wrong with them.
    pub why: String,
}

/// A row of `readings_log`, as it stands there.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Its number; never used twice.
    pub id: i64,
    /// When it was measured: ISO 8601, in the zone of the machine where it names none.
    pub timestamp: String,
    /// When it was written down, in UTC: `2026-06-21 08:00:00`.
    pub created_at: Option<String>,
    /// The type part of its source; of an edge node's reading its name.
    pub source_type: String,
    /// The id of its source.
    pub source_id: String,
    /// The value as JSON.
    pub value: String,
    /// Its unit, as it was written.
    pub unit: Option<String>,
    /// What else was said of it, as JSON.
    pub metadata: Option<String>,
}

/// A row of `observations`, as it stands there.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Its number.
    pub id: i64,
    /// When it was made, as in [`Reading::timestamp`].
    pub timestamp: String,
    /// When it was written down, in UTC.
    pub created_at: Option<String>,
    /// What it says.
    pub text: String,
    /// How sure it is, from 0 to 1.
    pub confidence: Option<f64>,
    /// `pattern`, `anomaly`, `status`, `general`, `summary`, or anything else that a model wrote.
    pub observation_type: String,
    /// Its sources, as a JSON list.
    pub related_sources: Option<String>,
    /// The node whose model wrote it.
    pub node_id: String,
}

impl Observation {
    /// An id (UUID version 7) that is the same whenever and wherever it is asked for.
    #[must_use]
    pub fn uuid(&self, time: Timestamp) -> Uuid {
        let mut hash = digest::Context::new(&digest::SHA256);
        let id = self.id.to_string();
        for part in [&self.node_id, &id, &self.timestamp, &self.text] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let mut random = [0; 10];
        for (to, from) in random.iter_mut().zip(hash.finish().as_ref()) {
            *to = *from;
        }
        let millis = u64::try_from(time.as_micros().div_euclid(1_000)).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

/// How rows of a table are read.
pub(super) struct Form<T> {
    pub(super) table: &'static str,
    /// The columns without which nothing can be made of a row.
    pub(super) needed: &'static [&'static str],
    /// All that are read, in this order behind the id; those a table lacks are empty.
    columns: &'static [&'static str],
    read: fn(i64, &mut Cells<'_, '_>) -> std::result::Result<T, String>,
    /// About how many bytes a row holds.
    bytes: fn(&T) -> usize,
}

pub(super) const READINGS: Form<Reading> = Form {
    table: "readings_log",
    needed: &["id", "timestamp", "source_type", "source_id", "value"],
    columns: &["timestamp", "created_at", "source_type", "source_id", "value", "unit", "metadata"],
    read: |id, cells| {
        Ok(Reading {
            id,
            timestamp: cells.needed("timestamp")?,
            created_at: cells.text()?,
            source_type: cells.needed("source_type")?,
            source_id: cells.needed("source_id")?,
            value: cells.needed("value")?,
            unit: cells.text()?,
            metadata: cells.text()?,
        })
    },
    bytes: |row| {
        row.value.len() + row.metadata.as_ref().map_or(0, String::len) + row.source_id.len()
    },
};

pub(super) const OBSERVATIONS: Form<Observation> = Form {
    table: "observations",
    needed: &["id", "timestamp", "text"],
    columns: &[
        "timestamp",
        "created_at",
        "text",
        "confidence",
        "observation_type",
        "related_sources",
        "node_id",
    ],
    read: |id, cells| {
        Ok(Observation {
            id,
            timestamp: cells.needed("timestamp")?,
            created_at: cells.text()?,
            text: cells.needed("text")?,
            confidence: cells.text()?.and_then(|text| text.parse().ok()),
            observation_type: cells.text()?.unwrap_or_else(|| "general".into()),
            related_sources: cells.text()?,
            node_id: cells.text()?.unwrap_or_default(),
        })
    },
    bytes: |row| row.text.len() + row.related_sources.as_ref().map_or(0, String::len),
};

/// The cells of a row behind its id, one after the other.
pub(super) struct Cells<'a, 'r> {
    row: &'a Row<'r>,
    next: usize,
}

impl Cells<'_, '_> {
    /// The next cell. SQLite keeps what it is given: a number in a column of texts is one.
    fn text(&mut self) -> std::result::Result<Option<String>, String> {
        self.next += 1;
        let cell = self.row.get_ref(self.next).map_err(|error| error.to_string())?;
        match cell {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => Ok(Some(number.to_string())),
            ValueRef::Real(number) => Ok(Some(number.to_string())),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err("a text in it is not UTF-8".into()),
            },
            ValueRef::Blob(_) => Err("bytes stand where a text should".into()),
        }
    }

    fn needed(&mut self, name: &str) -> std::result::Result<String, String> {
        self.text()?.ok_or_else(|| format!("`{name}` is empty"))
    }
}

/// The rows after an id.
pub(super) fn page<T>(
    database: &Database,
    form: Form<T>,
    columns: &[String],
    after: i64,
) -> Result<Page<T>> {
    let mut page = Page { rows: Vec::new(), damage: Vec::new(), upto: after };
    if columns.is_empty() {
        return Ok(page);
    }
    let Err(error) = read(database, &form, columns, PAGE_ROWS, &mut page) else { return Ok(page) };
    let is_damage = matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    );
    if !is_damage {
        return Err(database.failed(error));
    }
    if page.upto == after {
        go_around(database, &form, after, &error.to_string(), &mut page);
    }
    Ok(page)
}

/// Reads rows into a page, up to the first that cannot be read.
fn read<T>(
    database: &Database,
    form: &Form<T>,
    columns: &[String],
    most: i64,
    page: &mut Page<T>,
) -> rusqlite::Result<()> {
    let there = |name: &&'static str| columns.iter().any(|column| column == name);
    let names = form.columns.iter().map(|name| if there(name) { name } else { "NULL" });
    let names: Vec<&str> = names.collect();
    let sql = format!(
        "SELECT id, {} FROM {} WHERE id >= ?1 ORDER BY id LIMIT ?2",
        names.join(", "),
        form.table
    );
    let mut statement = database.connection.prepare(&sql)?;
    // Not `id > upto`: SQLite would look for that row first, and it may lie where nothing can be read.
    let mut rows = statement.query([page.upto.saturating_add(1), most])?;
    let mut bytes = 0;
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let id: i64 = row.get(0)?;
        match (form.read)(id, &mut Cells { row, next: 0 }) {
            Ok(row) => {
                bytes += (form.bytes)(&row);
                page.rows.push(row);
            }
            Err(why) => page.damage.push(Damage { first: id, last: id, why }),
        }
        page.upto = id;
    }
    Ok(())
}

/// Finds the next id behind damaged pages from which on rows can be read, and says what lies between.
fn go_around<T>(database: &Database, form: &Form<T>, after: i64, why: &str, page: &mut Page<T>) {
    let sql =
        format!("SELECT id FROM {} NOT INDEXED WHERE id >= ?1 ORDER BY id LIMIT 1", form.table);
    // The id of the next row that can be read; `Ok(None)` where there is none.
    let probe = |after: i64| -> rusqlite::Result<Option<i64>> {
        let mut statement = database.connection.prepare(&sql)?;
        let mut rows = statement.query([after.saturating_add(1)])?;
        rows.next()?.map(|row| row.get(0)).transpose()
    };
    let mut found = None;
    let (mut bad, mut good) = (0, i64::MAX);
    for jump in (0..JUMPS_MAX).map(|power| 1_i64 << power) {
        let Some(from) = after.checked_add(jump) else { break };
        match probe(from) {
            Ok(next) => {
                (good, found) = (jump, next);
                break;
            }
            Err(_) => bad = jump,
        }
    }
    while found.is_some() && good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        match probe(after + middle) {
            Ok(next) => (good, found) = (middle, next),
            Err(_) => bad = middle,
        }
    }
    let last = found.map_or(i64::MAX, |next| next - 1);
    page.damage.push(Damage { first: after.saturating_add(1), last, why: why.to_owned() });
    page.upto = last;
}
