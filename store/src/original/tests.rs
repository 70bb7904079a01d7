use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::SystemTime;

use smollama_engine::time::Timestamp;

use super::*;

/// The tables as the old program makes them.
const SCHEMA: &str = include_str!("schema.sql");

struct Old {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Old {
    fn new(more: &str) -> (Old, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old/memory.db");
        fs::create_dir(folder.path().join("old")).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(&format!("{more}{SCHEMA}")).unwrap();
        (Old { folder, path }, connection)
    }

    fn open(&self) -> Result<Database> {
        Database::open(&self.path, &self.folder.path().join("scratch"))
    }

    /// All that lies there, with contents and times of change.
    fn looks(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let entries = fs::read_dir(self.folder.path().join("old")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .map(|path| {
                let changed = fs::metadata(&path).unwrap().modified().unwrap();
                (path.clone(), (fs::read(&path).unwrap(), changed))
            })
            .collect()
    }
}

fn add(connection: &Connection, rows: usize) {
    connection.execute_batch("BEGIN").unwrap();
    let sql = "INSERT INTO readings_log (timestamp, source_type, source_id, value, value_numeric, unit, metadata, node_id)
        VALUES (?1, 'system', 'cpu_temp', ?2, ?2, 'celsius', NULL, 'pi')";
    for row in 0..rows {
        let time = format!("2026-06-21T10:{:02}:{:02}.123456", row / 60 % 60, row % 60);
        connection.execute(sql, (time, row as i64)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// All readings, and what could not be read.
fn all(database: &Database) -> (Vec<Reading>, Vec<Damage>) {
    let (mut rows, mut damage, mut upto) = (Vec::new(), Vec::new(), 0);
    loop {
        let page = database.readings(upto).unwrap();
        rows.extend(page.rows);
        damage.extend(page.damage);
        if page.upto == upto {
            return (rows, damage);
        }
        upto = page.upto;
    }
}

#[test]
fn rows_come_as_they_stand_there_and_nothing_is_changed() {
    let (old, connection) = Old::new("");
    add(&connection, 10_000);
    connection.execute("DELETE FROM readings_log WHERE id % 7 = 0", []).unwrap();
    drop(connection);
    let before = old.looks();
    let database = old.open().unwrap();
    assert!(!database.is_copy());
    assert_eq!(database.last_reading(), Some(10_000));
    let (rows, damage) = all(&database);
    assert_eq!((rows.len(), damage), (8_572, vec![]));
    assert_eq!(
        database.counts(),
        Counts { readings: Some(8_572), observations: Some(0), memories: Some(0) }
    );
    let first = &rows[0];
    assert_eq!((first.id, first.value.as_str(), first.unit.as_deref()), (1, "0", Some("celsius")));
    assert_eq!(first.timestamp, "2026-06-21T10:00:00.123456");
    assert!(first.created_at.is_some() && first.metadata.is_none());
    drop(database);
    assert_eq!(old.looks(), before);
}

#[test]
fn one_with_a_log_is_read_from_a_copy_beside_a_program_that_writes() {
    let (old, connection) = Old::new("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;");
    add(&connection, 100);
    let before = old.looks();
    assert!(before.len() >= 3, "a log lies beside it: {:?}", before.keys());
    let database = old.open().unwrap();
    assert!(database.is_copy());
    assert_eq!(all(&database).0.len(), 100, "also what is only in the log");
    drop(database);
    assert_eq!(old.looks(), before);
    assert!(!old.folder.path().join("scratch").exists(), "the copy is gone");
    // Also what somebody left there who was killed.
    fs::create_dir_all(old.folder.path().join("scratch/left")).unwrap();
    drop(old.open().unwrap());
    assert!(!old.folder.path().join("scratch").exists());
}

#[test]
fn what_a_crash_left_half_written_is_taken_back_in_a_copy() {
    let (old, connection) = Old::new("PRAGMA cache_size=1; PRAGMA synchronous=OFF;");
    add(&connection, 2_000);
    let (whole, committed) = (all(&old.open().unwrap()).0, fs::read(&old.path).unwrap());
    // As it is in the middle of a transaction that has spilled into the file.
    connection
        .execute_batch("BEGIN; UPDATE readings_log SET value = '9999', node_id = 'elsewhere';")
        .unwrap();
    let crashed = old.folder.path().join("crashed");
    fs::create_dir(&crashed).unwrap();
    for name in ["memory.db", "memory.db-journal"] {
        fs::copy(old.path.with_file_name(name), crashed.join(name)).unwrap();
    }
    drop(connection);
    let before = fs::read(crashed.join("memory.db")).unwrap();
    assert!(before != committed, "it has spilled");
    let database =
        Database::open(&crashed.join("memory.db"), &old.folder.path().join("scratch")).unwrap();
    assert!(database.is_copy());
    assert_eq!(all(&database).0, whole);
    assert!(fs::read(crashed.join("memory.db")).unwrap() == before);
    assert!(crashed.join("memory.db-journal").exists());
}

#[test]
fn rows_that_make_no_sense_are_said_and_passed_over() {
    let (old, connection) = Old::new("");
    add(&connection, 3);
    connection
        .execute_batch(
            "UPDATE readings_log SET value = x'00ff' WHERE id = 2;
             UPDATE readings_log SET timestamp = cast(x'ff' AS TEXT) WHERE id = 3;",
        )
        .unwrap();
    let (rows, damage) = all(&old.open().unwrap());
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1]);
    let said: Vec<_> = damage.iter().map(|one| (one.first, one.why.as_str())).collect();
    assert_eq!(said, [(2, "bytes stand where a text should"), (3, "a text in it is not UTF-8")]);
}

#[test]
fn pages_that_cannot_be_read_are_gone_around() {
    let (old, connection) = Old::new("PRAGMA page_size=1024;");
    add(&connection, 5_000);
    let leaves = "SELECT pageno, ncell FROM dbstat WHERE name = 'readings_log' AND pagetype = 'leaf' ORDER BY path LIMIT 3 OFFSET 20";
    let mut statement = connection.prepare(leaves).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let pages: Vec<(i64, i64)> = found.map(|page| page.unwrap()).collect();
    drop(statement);
    drop(connection);
    let file = fs::File::options().write(true).open(&old.path).unwrap();
    for (page, _) in &pages {
        file.write_all_at(&[0xEE; 1024], (page - 1) as u64 * 1024).unwrap();
    }
    let (rows, damage) = all(&old.open().unwrap());
    let lost: i64 = damage.iter().map(|one| one.last - one.first + 1).sum();
    let lay_there: i64 = pages.iter().map(|(_, rows)| rows).sum();
    assert_eq!((lost, rows.len() as i64 + lost), (lay_there, 5_000), "{damage:?}");
    assert!(damage.iter().all(|one| one.why.contains("malformed")), "{damage:?}");
}

#[test]
fn what_is_no_such_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let open = || Database::open(&path, &folder.path().join("scratch")).unwrap_err();
    assert!(matches!(open(), Error::Disk { action: "open", .. }));
    fs::write(&path, "a text, not a database").unwrap();
    assert!(matches!(open(), Error::NotADatabase { .. }));
    fs::write(&path, "").unwrap();
    assert!(matches!(open(), Error::NotOurs { .. }));
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE readings_log (id INTEGER PRIMARY KEY, time TEXT)")
        .unwrap();
    let error = open();
    assert!(matches!(error, Error::NoColumn { column: "timestamp", .. }), "{error}");
    assert!(!error.help().is_empty());
}

#[test]
fn a_later_form_with_more_columns_is_read_and_one_with_fewer_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE readings_log (id INTEGER PRIMARY KEY, quality TEXT, timestamp TEXT, source_type TEXT, source_id TEXT, value TEXT);
             INSERT INTO readings_log VALUES (4, 'good', '2026-06-21T10:00:00', 'gpio', '17', '1');",
        )
        .unwrap();
    let database = Database::open(&path, &folder.path().join("scratch")).unwrap();
    let (rows, _) = all(&database);
    assert_eq!((rows[0].id, rows[0].unit.as_deref(), rows[0].value.as_str()), (4, None, "1"));
    assert_eq!(database.observations(0).unwrap().upto, 0, "there is no such table");
}

#[test]
fn an_observation_has_the_same_id_whenever_it_is_asked_for() {
    let one = Observation {
        id: 7,
        timestamp: "2026-06-21T10:00:00".into(),
        created_at: None,
        text: "warm".into(),
        confidence: Some(0.8),
        observation_type: "status".into(),
        related_sources: None,
        node_id: "pi".into(),
    };
    let time = Timestamp::from_micros(1_782_036_000_000_000);
    let id = one.uuid(time);
    assert_eq!((id, id.get_version_num()), (one.uuid(time), 7));
    let other = Observation { text: "cold".into(), ..one.clone() };
    assert_ne!(other.uuid(time), id);
}
