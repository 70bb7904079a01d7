//! The sink as the engine uses it, with a real database. What fits into a table lies in `fits`, what goes wrong in `trouble`, what keeps
//! tables small in `bounded`.

mod bounded;
mod fits;
mod trouble;

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::json;
use smollama_engine::batch::Items;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::testing::START;
use smollama_engine::window::{Accumulator, Cause, Window};

use super::*;

const STREAM: Uuid = Uuid::from_u128(7);

/// A sink into `x.db`, in a folder of its own.
struct Bench {
    folder: tempfile::TempDir,
    host: Arc<Host>,
    settings: serde_json::Value,
    sink: Option<Box<dyn Sink>>,
    now: Timestamp,
    end: u64,
}

/// Nothing in the sink waits, so the simplest runtime will do.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Bench {
    fn new(mut settings: serde_json::Value) -> Bench {
        settings["path"] = "x.db".into();
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::for_tests(folder.path()));
        Bench { folder, host, settings, sink: None, now: START, end: 0 }
    }

    /// With a database that is there already.
    fn beside(sql: &str, settings: serde_json::Value) -> Bench {
        let bench = Bench::new(settings);
        bench.other().execute_batch(sql).unwrap();
        bench
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("x.db")
    }

    /// Another program with the database open.
    fn other(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn config(&self) -> SqliteConfig {
        serde_json::from_value(self.settings.clone()).unwrap()
    }

    fn build(&self) -> Result<Box<dyn Sink>, Problem> {
        let config = self.config();
        assert_eq!(config.problems(), []);
        match config.build(&Context::new(self.host.clone(), "p/db", "db"))? {
            Node::Sink(sink) => Ok(sink),
            other => panic!("{other:?}"),
        }
    }

    /// Made as the engine does it, which then asks what is there already.
    fn sink(&mut self) -> &mut Box<dyn Sink> {
        if self.sink.is_none() {
            let mut sink = self.build().unwrap();
            self.end = sink.position(STREAM, ItemKind::Readings).unwrap_or(self.end);
            self.sink = Some(sink);
        }
        self.sink.as_mut().unwrap()
    }

    fn write(&mut self, items: Items) -> Result<(), NodeError> {
        self.sink();
        let end = self.end + items.len() as u64;
        let batch = Batch { end, ..Batch::new(items, self.now) };
        block_on(self.sink().write(&batch))?;
        self.end = end;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), NodeError> {
        let now = self.now;
        block_on(self.sink().flush(now))
    }

    /// Writes and commits.
    fn put(&mut self, items: Items) {
        self.write(items).unwrap();
        self.flush().unwrap();
    }

    /// Rows of a query, each as a text.
    fn rows(&self, sql: &str) -> Vec<String> {
        let other = self.other();
        let mut query = other.prepare(sql).unwrap();
        let columns = query.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let cell = |index| match row.get(index).unwrap() {
                Cell::Null => "NULL".to_owned(),
                Cell::Integer(value) => value.to_string(),
                Cell::Real(value) => format!("{value:?}"),
                Cell::Text(value) => format!("'{value}'"),
                Cell::Blob(value) => format!("{value:?}"),
            };
            Ok((0..columns).map(cell).collect::<Vec<_>>().join(" "))
        };
        query.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    fn number(&self, sql: &str) -> i64 {
        self.other().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// A reading so many seconds after the start.
    fn reading(&self, seconds: i64, series: Series, value: impl Into<Value>) -> Reading {
        let series = self.host.series.intern(&series).unwrap();
        Reading::new(START + Duration::from_secs(seconds), series, value)
    }

    fn values(&self, seconds: std::ops::Range<i64>) -> Items {
        let one = |s| self.reading(s, Series::new(SourceKey::parse("t:a")), s);
        Items::Readings(seconds.map(one).collect())
    }

    fn window(&self, sources: &[&str]) -> Items {
        let summary = |source: &&str| {
            let reading = self.reading(1, Series::new(SourceKey::parse(source)), 2.5);
            Accumulator::new(&reading).summary(reading.series)
        };
        let summaries = sources.iter().map(summary).collect();
        let (start, end) = (START, START + Duration::from_secs(60));
        Items::Windows(vec![Window { start, end, cause: Cause::Time, summaries }])
    }
}

fn observation() -> Items {
    Items::Observations(vec![Observation {
        id: Uuid::from_u128(1),
        time: START,
        author: "p/frost".into(),
        kind: ObservationKind::Anomaly,
        text: "it's cold; DROP TABLE x".into(),
        confidence: 1.0,
        sources: vec!["t:a".into()],
        evidence: Evidence::default(),
        model: None,
        rung: Rung::Rule,
    }])
}

fn kitchen() -> Series {
    Series::new(SourceKey::parse("mqtt:t/a")).with_unit("°C").with_label("room", "kitchen")
}

#[test]
fn without_settings_each_kind_has_a_table_with_an_index() {
    let mut bench = Bench::new(json!({}));
    let mut news = bench.reading(0, kitchen(), 21.5);
    (news.score, news.count) = (1.5, 3);
    let text = bench.reading(1, Series::new(SourceKey::parse("t:b")), Value::text("on"));
    bench.put(Items::Readings(vec![news, text]));
    let windows = bench.window(&["t:a", "t:b"]);
    bench.put(windows);
    bench.put(observation());
    assert_eq!(
        bench.rows("SELECT * FROM readings"),
        [
            "'2026-01-01T00:00:00.000000Z' 'mqtt:t/a' 21.5 '°C' 1.5 3",
            "'2026-01-01T00:00:01.000000Z' 't:b' 'on' NULL NULL 1"
        ]
    );
    assert_eq!(
        bench.rows("SELECT * FROM windows"),
        ["t:a", "t:b"].map(|source| format!(
            "'2026-01-01T00:00:00.000000Z' '2026-01-01T00:01:00.000000Z' 'time' '{source}' NULL 1 2.5 2.5 2.5 0.0 2.5 2.5 NULL"
        ))
    );
    assert_eq!(
        bench.rows("SELECT author, kind, text, sources, model, rung FROM observations"),
        [r#"'p/frost' 'anomaly' 'it's cold; DROP TABLE x' '["t:a"]' NULL 'rule'"#]
    );
    let plan =
        bench.rows("EXPLAIN QUERY PLAN SELECT * FROM readings WHERE source = 'x' AND time > ''");
    assert!(plan[0].contains("USING INDEX readings_by_source_time"), "{plan:?}");
    assert_eq!(bench.rows("PRAGMA journal_mode"), ["'wal'"]);
    assert_eq!(bench.rows("PRAGMA integrity_check"), ["'ok'"]);
}

/// The table of the Python Smollama, as it stands in the documentation of this node.
#[test]
fn the_log_of_the_python_smollama_is_continued() {
    let sql = "CREATE TABLE readings_log (
        id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, source_type TEXT NOT NULL,
        source_id TEXT NOT NULL, full_id TEXT GENERATED ALWAYS AS (source_type || ':' || source_id) STORED,
        value TEXT NOT NULL, value_numeric REAL, unit TEXT, metadata TEXT, node_id TEXT NOT NULL,
        created_at TEXT NOT NULL DEFAULT (datetime('now')));
        INSERT INTO readings_log (timestamp, source_type, source_id, value, node_id)
        VALUES ('2025-12-31T23:59:59+00:00', 'gpio', '17', '1', 'old');";
    let mut bench = Bench::beside(
        sql,
        json!({ "table": "readings_log", "columns": {
            "timestamp": "time", "source_type": "type", "source_id": "id", "value": "value.json",
            "value_numeric": "value.number", "unit": "unit", "metadata": "labels", "node_id": "host"
        } }),
    );
    let items = vec![
        bench.reading(0, kitchen(), 21.5),
        bench.reading(1, Series::new(SourceKey::parse("gpio:17")), true),
        bench.reading(2, Series::new(SourceKey::parse("mqtt:t/b")), Value::text("a\"b")),
    ];
    bench.put(Items::Readings(items));
    assert_eq!(
        bench.rows("SELECT id, full_id, value, value_numeric, unit, metadata, node_id FROM readings_log WHERE id > 1"),
        [
            r#"2 'mqtt:t/a' '21.5' 21.5 '°C' '{"room":"kitchen"}' 'test'"#,
            "3 'gpio:17' 'true' 1.0 NULL NULL 'test'",
            r#"4 'mqtt:t/b' '"a\"b"' NULL NULL NULL 'test'"#,
        ]
    );
    assert_eq!(
        bench.number("SELECT count(*) FROM readings_log WHERE created_at LIKE '20__-__-__ %'"),
        4
    );
    assert_eq!(bench.rows("PRAGMA journal_mode"), ["'delete'"], "it stays as it was");
    assert_eq!(bench.number("PRAGMA application_id"), 0);
}

#[test]
fn times_have_the_form_that_is_asked_for() {
    for (time, cell) in [
        ("rfc3339", "'2026-01-01T00:00:00.250000Z'"),
        ("s", "1767225600"),
        ("ms", "1767225600250"),
        ("us", "1767225600250000"),
        ("ns", "1767225600250000000"),
    ] {
        let mut bench = Bench::new(json!({ "time": time, "columns": { "t": "time" } }));
        let mut reading = bench.reading(0, kitchen(), 1i64);
        reading.time = START + Duration::from_millis(250);
        bench.put(Items::Readings(vec![reading]));
        assert_eq!(bench.rows("SELECT t FROM readings"), [cell]);
    }
}

#[test]
fn names_may_hold_anything() {
    let mut bench = Bench::new(json!({
        "table": "a \"b\"; DROP TABLE x --",
        "columns": { "select": "time", "c'\"d": "label.room", "ünit": "unit", "": "value" },
    }));
    assert!(serde_json::from_value::<SqliteConfig>(bench.settings.clone()).is_err(), "no name");
    bench.settings["columns"] =
        json!({ "select": "time", "c'\"d": "label.room", "ü": { "fixed": "it's" } });
    let reading = bench.reading(0, kitchen(), 1i64);
    bench.put(Items::Readings(vec![reading]));
    assert_eq!(
        bench.rows("SELECT \"c'\"\"d\", ü FROM \"a \"\"b\"\"; DROP TABLE x --\""),
        ["'kitchen' 'it's'"]
    );
}

/// A table of current values: the row of a source is that of its latest reading, however they come.
#[test]
fn with_a_key_the_latest_reading_has_the_row() {
    let columns = ["source", "time", "value"];
    let mut bench = Bench::new(json!({ "table": "now", "columns": columns, "key": ["source"] }));
    let at = |bench: &Bench, seconds, millis, value: i64| {
        let mut reading = bench.reading(seconds, kitchen(), value);
        reading.time = reading.time + Duration::from_millis(millis);
        reading
    };
    let items = vec![at(&bench, 5, 0, 1), at(&bench, 5, 500, 2), at(&bench, 4, 0, 3)];
    bench.put(Items::Readings(items));
    assert_eq!(bench.rows("SELECT value FROM now"), ["2"]);
    let items = vec![at(&bench, 3, 0, 4), at(&bench, 6, 0, 5)];
    bench.put(Items::Readings(items));
    assert_eq!(bench.rows("SELECT source, value FROM now"), ["'mqtt:t/a' 5"]);

    bench.settings["on_conflict"] = "ignore".into();
    bench.sink = None;
    let items = vec![at(&bench, 9, 0, 6)];
    bench.put(Items::Readings(items));
    assert_eq!(bench.rows("SELECT value FROM now"), ["5"]);
}

/// Where no position is kept there is no table for it, and what is flushed is there.
#[test]
fn without_a_position_there_is_no_other_table() {
    let mut bench = Bench::new(json!({ "position": "none" }));
    assert!(!bench.sink().keeps_position());
    assert_eq!(bench.sink().position(STREAM, ItemKind::Readings), None);
    let items = bench.values(0..3);
    bench.put(items);
    assert_eq!(bench.rows("SELECT name FROM sqlite_master WHERE type = 'table'"), ["'readings'"]);
    assert_eq!(bench.number("SELECT count(*) FROM readings"), 3);
}

#[test]
fn rows_wait_for_more_of_them_where_that_is_asked_for() {
    let mut bench = Bench::new(json!({ "commit": "1m" }));
    let items = bench.values(0..3);
    bench.write(items).unwrap();
    bench.flush().unwrap();
    bench.now = START + Duration::from_secs(59);
    bench.flush().unwrap();
    assert!(!bench.path().exists(), "nothing is there yet");
    bench.now = START + Duration::from_secs(60);
    bench.flush().unwrap();
    assert_eq!(bench.number("SELECT count(*) FROM readings"), 3);
    let (items, now) = (bench.values(3..5), bench.now);
    bench.write(items).unwrap();
    block_on(bench.sink().checkpoint(now)).unwrap();
    assert_eq!(bench.number("SELECT count(*) FROM readings"), 5);
}

/// The position is that of the rows: another life, or another sink of the stream, goes on there.
#[test]
fn a_successor_knows_how_far_it_had_come() {
    let mut bench = Bench::new(json!({}));
    let items = bench.values(0..2_500);
    bench.put(items);
    let items = bench.values(2_500..2_510);
    bench.write(items).unwrap();
    bench.sink = None;
    let mut next = bench.build().unwrap();
    assert_eq!(next.position(STREAM, ItemKind::Readings), Some(2_500));
    assert_eq!(next.position(STREAM, ItemKind::Windows), Some(2_500));
    assert_eq!(next.reach(), 2_500);
    let mut other = bench.build().unwrap();
    assert_eq!(other.position(Uuid::from_u128(8), ItemKind::Readings), Some(0));
    assert_eq!(bench.number("SELECT count(*) FROM readings"), 2_500);
}

#[test]
fn positions_of_former_streams_go_after_a_week() {
    let mut bench = Bench::new(json!({}));
    let items = bench.values(0..1);
    bench.put(items);
    for (days, stream, left) in [(6, 8, 2), (8, 9, 2)] {
        bench.now = START + Duration::from_days(days);
        bench.sink = Some(bench.build().unwrap());
        bench.sink().position(Uuid::from_u128(stream), ItemKind::Readings);
        let items = bench.values(0..1);
        bench.put(items);
        assert_eq!(bench.number("SELECT count(*) FROM _smollama_position"), left);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However the input is cut and wherever it is flushed, each row is there once, and in order.
    #[test]
    fn the_table_is_the_same_however_the_input_is_cut(
        cuts in proptest::collection::vec((1_i64..1_500, any::<bool>(), any::<bool>()), 1..6),
    ) {
        let mut bench = Bench::new(json!({ "columns": ["value"] }));
        let mut next = 0;
        for (length, flush, die) in cuts {
            let items = bench.values(next..next + length);
            bench.write(items).unwrap();
            next += length;
            if flush {
                bench.flush().unwrap();
            }
            if die {
                // What it had not committed comes again.
                bench.sink = None;
                bench.sink();
                next = bench.end as i64;
            }
        }
        // The table is made with its first row.
        let items = bench.values(next..next + 1);
        bench.put(items);
        next += 1;
        let there = bench.rows("SELECT value FROM readings ORDER BY rowid");
        prop_assert_eq!(there, (0..next).map(|value| value.to_string()).collect::<Vec<_>>());
    }
}
