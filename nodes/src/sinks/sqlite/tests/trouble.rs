//! Other programs, constraints, damage.

use super::*;

fn reasons(bench: &mut Bench) -> Vec<(Vec<String>, String)> {
    let value = |reading: &Reading| reading.value.to_string();
    let refused = bench.sink().take_refused().into_iter();
    let values = |items: &Items| match items {
        Items::Readings(readings) => readings.iter().map(value).collect(),
        other => vec![format!("{other:?}")],
    };
    refused.map(|one| (values(&one.items), one.reason)).collect()
}

#[test]
fn while_another_program_writes_rows_wait() {
    for sql in ["", "PRAGMA journal_mode = wal;"] {
        let mut bench = Bench::beside(
            &format!("{sql} CREATE TABLE readings (value)"),
            json!({ "columns": ["value"] }),
        );
        let other = bench.other();
        other.execute_batch("BEGIN IMMEDIATE; INSERT INTO readings VALUES ('theirs')").unwrap();
        let items = bench.values(0..3);
        bench.write(items).unwrap();
        for _ in 0..2 {
            let Err(NodeError::Retry(why)) = bench.flush() else { panic!("it is locked") };
            assert!(why.starts_with("another program writes to `"), "{why}");
        }
        other.execute_batch("COMMIT").unwrap();
        bench.flush().unwrap();
        assert_eq!(bench.rows("SELECT value FROM readings"), ["'theirs'", "0", "1", "2"]);
    }
}

/// While nothing can be written, no more is taken than one transaction holds, and one batch.
#[test]
fn a_batch_that_is_not_taken_leaves_nothing_behind() {
    let mut bench = Bench::beside("CREATE TABLE readings (value)", json!({ "columns": ["value"] }));
    let other = bench.other();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    bench.settings["position"] = "none".into();
    let items = bench.values(0..1_200);
    bench.write(items).unwrap();
    let items = bench.values(1_200..1_300);
    assert!(matches!(bench.write(items.clone()), Err(NodeError::Retry(_))));
    other.execute_batch("COMMIT").unwrap();
    bench.put(items);
    assert_eq!(bench.rows("SELECT count(*), max(value) FROM readings"), ["1300 1299"]);
}

/// A row that is refused goes to the dead letters before the position says that it is done: a kill between the two loses nothing.
#[test]
fn rows_that_are_refused_are_given_back_before_the_others_are_there() {
    let table = "CREATE TABLE t (value INTEGER CHECK (value % 10 <> 5), UNIQUE (value))";
    let mut bench = Bench::beside(table, json!({ "table": "t", "columns": ["value"] }));
    let items = bench.values(0..30);
    bench.write(items).unwrap();
    let items = bench.values(3..4);
    bench.write(items).unwrap();
    let Err(NodeError::Retry(why)) = bench.flush() else { panic!("some are refused") };
    assert!(why.ends_with("refuses rows; the others follow"), "{why}");
    assert_eq!(bench.number("SELECT count(*) FROM t"), 0);
    let check = "the table refuses it: CHECK constraint failed: value % 10 <> 5".to_owned();
    let unique = "the table refuses it: UNIQUE constraint failed: t.value".to_owned();
    let checked = ["5", "15", "25"].map(str::to_owned).to_vec();
    assert_eq!(reasons(&mut bench), [(checked, check), (vec!["3".to_owned()], unique)]);
    bench.flush().unwrap();
    assert_eq!(bench.number("SELECT count(*) FROM t"), 27);
    assert_eq!(bench.number("SELECT position FROM _smollama_position"), 31);
    assert_eq!(reasons(&mut bench), []);
}

/// Also where nothing is left but the position.
#[test]
fn a_batch_that_is_refused_as_a_whole_is_passed() {
    let table = "CREATE TABLE t (value INTEGER CHECK (value < 0))";
    let mut bench = Bench::beside(table, json!({ "table": "t", "columns": ["value"] }));
    let items = bench.values(0..2);
    bench.write(items).unwrap();
    assert!(matches!(bench.flush(), Err(NodeError::Retry(_))));
    bench.flush().unwrap();
    assert_eq!(bench.number("SELECT position FROM _smollama_position"), 2);
    assert_eq!(bench.sink().take_refused().len(), 1);
}

#[test]
fn without_a_position_the_others_are_there_at_once() {
    let table = "CREATE TABLE t (value INTEGER CHECK (value <> 5))";
    let settings = json!({ "table": "t", "columns": ["value"], "position": "none" });
    let mut bench = Bench::beside(table, settings);
    let items = bench.values(0..10);
    bench.put(items);
    assert_eq!(bench.number("SELECT count(*) FROM t"), 9);
    assert_eq!(reasons(&mut bench)[0].0, ["5"]);
}

/// A constraint or a trigger may end the whole transaction, and a foreign key may be looked at only at its end.
#[test]
fn constraints_that_end_the_transaction_cost_only_their_rows() {
    let rollback =
        "CREATE TABLE t (value INTEGER UNIQUE ON CONFLICT ROLLBACK); INSERT INTO t VALUES (5)";
    let trigger = "CREATE TABLE t (value INTEGER); CREATE TRIGGER no BEFORE INSERT ON t WHEN NEW.value = 5 \
                   BEGIN SELECT RAISE(ROLLBACK, 'not five'); END; INSERT INTO t VALUES (99)";
    for position in ["kept", "none"] {
        for table in [rollback, trigger] {
            let settings = json!({ "table": "t", "columns": ["value"], "position": position });
            let mut bench = Bench::beside(table, settings);
            let items = bench.values(0..10);
            bench.write(items).unwrap();
            assert!(matches!(bench.flush(), Err(NodeError::Retry(_))));
            assert_eq!(bench.number("SELECT count(*) FROM t"), 1);
            bench.flush().unwrap();
            assert_eq!(bench.number("SELECT count(*) FROM t"), 10);
            assert_eq!(reasons(&mut bench)[0].0, ["5"]);
        }
    }
    let deferred = "CREATE TABLE known (id INTEGER PRIMARY KEY); INSERT INTO known VALUES (7);
        CREATE TABLE t (value INTEGER REFERENCES known (id) DEFERRABLE INITIALLY DEFERRED)";
    let mut bench = Bench::beside(deferred, json!({ "table": "t", "columns": ["value"] }));
    let items = bench.values(5..6);
    bench.write(items).unwrap();
    assert!(matches!(bench.flush(), Err(NodeError::Retry(_))));
    let refused = reasons(&mut bench);
    assert!(refused[0].1.contains("FOREIGN KEY constraint failed"), "{refused:?}");
    let items = bench.values(7..8);
    bench.put(items);
    assert_eq!(bench.rows("SELECT value FROM t"), ["7"]);
}

/// Of a window only the series goes to the dead letters whose row is refused.
#[test]
fn a_window_goes_on_without_the_series_that_is_refused() {
    let table = "CREATE TABLE t (source TEXT CHECK (source <> 't:b'), mean)";
    let mut bench = Bench::beside(table, json!({ "table": "t", "columns": ["source", "mean"] }));
    let windows = bench.window(&["t:a", "t:b", "t:c"]);
    bench.write(windows).unwrap();
    assert!(matches!(bench.flush(), Err(NodeError::Retry(_))));
    let Items::Windows(windows) = bench.sink().take_refused().remove(0).items else { panic!() };
    let source = bench.host.series.get(windows[0].summaries[0].series).source.to_string();
    assert_eq!((windows[0].summaries.len(), source.as_str()), (1, "t:b"));
    bench.flush().unwrap();
    assert_eq!(bench.rows("SELECT source FROM t"), ["'t:a'", "'t:c'"]);
}

/// Whoever removes the database, or puts a backup in its place, gets what comes then in the one that lies there.
#[test]
fn a_database_that_was_replaced_is_opened_anew() {
    let mut bench = Bench::new(json!({}));
    let items = bench.values(0..3);
    bench.put(items);
    for name in ["x.db", "x.db-wal", "x.db-shm"] {
        std::fs::remove_file(bench.folder.path().join(name)).unwrap();
    }
    let items = bench.values(3..5);
    bench.put(items);
    assert_eq!(bench.number("SELECT count(*) FROM readings"), 2);
    assert_eq!(bench.number("SELECT position FROM _smollama_position"), 5);
}

/// Somebody alters the table while it is written: rows wait until it fits again.
#[test]
fn a_table_that_is_altered_makes_rows_wait() {
    let mut bench =
        Bench::beside("CREATE TABLE t (value)", json!({ "table": "t", "columns": ["value"] }));
    let items = bench.values(0..1);
    bench.put(items);
    bench.other().execute_batch("ALTER TABLE t RENAME COLUMN value TO v").unwrap();
    let items = bench.values(1..2);
    bench.write(items).unwrap();
    let said: Vec<String> = (0..2).map(|_| bench.flush().unwrap_err().to_string()).collect();
    assert!(said[1].contains("the table `t` has no column `value`; it has `v`"), "{said:?}");
    bench.other().execute_batch("ALTER TABLE t RENAME COLUMN v TO value").unwrap();
    bench.flush().unwrap();
    assert_eq!(bench.rows("SELECT value FROM t"), ["0", "1"]);
}

/// A file that somebody made and put nothing into is a database of our own, and a table of positions that was dropped is made anew.
#[test]
fn what_is_missing_is_made() {
    let mut bench = Bench::new(json!({}));
    std::fs::write(bench.path(), "").unwrap();
    let items = bench.values(0..2);
    bench.put(items);
    assert_eq!(bench.rows("PRAGMA journal_mode"), ["'wal'"]);
    bench.other().execute_batch("DROP TABLE _smollama_position; DROP TABLE readings").unwrap();
    let items = bench.values(2..3);
    bench.write(items).unwrap();
    assert!(matches!(bench.flush(), Err(NodeError::Retry(_))));
    bench.flush().unwrap();
    assert_eq!(bench.rows("SELECT value FROM readings"), ["2"]);
    assert_eq!(bench.number("SELECT position FROM _smollama_position"), 3);
}

/// Damage does not pass, so the engine makes the sink anew, and that says what is wrong.
#[test]
fn damage_is_fatal() {
    let mut bench =
        Bench::beside("CREATE TABLE t (value)", json!({ "table": "t", "columns": ["value"] }));
    let items = bench.values(0..1_000);
    bench.put(items);
    let mut bytes = std::fs::read(bench.path()).unwrap();
    // All but the page with the header and the tables.
    bytes[4_096..].fill(0xa5);
    std::fs::write(bench.path(), bytes).unwrap();
    bench.sink = None;
    // Where positions lie is damaged, too, so that it cannot say how far it had come.
    assert_eq!(bench.sink().position(STREAM, ItemKind::Readings), Some(0));
    let items = bench.values(0..1);
    bench.write(items).unwrap();
    let Err(NodeError::Fatal(why)) = bench.flush() else { panic!("it is damaged") };
    assert!(why.contains("is damaged, or no database"), "{why}");
}
