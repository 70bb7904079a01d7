//! Tables that do not grow for ever.

use super::*;

#[test]
fn rows_go_when_they_are_too_old() {
    for (time, key) in [("rfc3339", json!([])), ("ms", json!([])), ("s", json!(["source"]))] {
        let columns = ["time", "source", "value"];
        let mut bench = Bench::new(
            json!({ "columns": columns, "time": time, "keep": "1h", "key": key, "create": true }),
        );
        let one = |bench: &Bench, minute: i64| {
            let series = Series::new(SourceKey::parse(&format!("t:{minute}")));
            bench.reading(minute * 60, series, minute)
        };
        for minute in 0..180 {
            bench.now = START + Duration::from_mins(minute);
            let items = Items::Readings(vec![one(&bench, minute)]);
            bench.put(items);
        }
        let there = || {
            (
                bench.number("SELECT min(value) FROM readings"),
                bench.number("SELECT count(*) FROM readings"),
            )
        };
        assert_eq!(there(), (119, 61), "{time} {key}");
        // While nothing comes, the engine flushes every five seconds.
        bench.now = START + Duration::from_mins(200);
        bench.flush().unwrap();
        let there = || {
            (
                bench.number("SELECT min(value) FROM readings"),
                bench.number("SELECT count(*) FROM readings"),
            )
        };
        assert_eq!(there(), (140, 40), "{time} {key}");
    }
}

/// Many that are too old at once go a few hundred at a time, and without a minute between.
#[test]
fn rows_that_are_too_old_go_in_steps() {
    let mut bench = Bench::new(json!({ "keep": "1h" }));
    let items = bench.values(0..700);
    bench.put(items);
    bench.now = START + Duration::from_hours(3);
    let left: Vec<i64> = (0..4)
        .map(|_| {
            bench.flush().unwrap();
            bench.number("SELECT count(*) FROM readings")
        })
        .collect();
    assert_eq!(left, [500, 300, 100, 0]);
}

/// In a table of others, what is no such time is left alone.
#[test]
fn rows_whose_time_is_of_another_sort_stay() {
    let mut bench = Bench::beside(
        "CREATE TABLE log (ts, value); INSERT INTO log VALUES (5, 'number'), (NULL, 'none'), ('2020-01-01 00:00', 'old');",
        json!({ "table": "log", "columns": { "ts": "time", "value": "value" }, "keep": "1d" }),
    );
    bench.now = START + Duration::from_secs(10);
    let items = bench.values(0..1);
    bench.put(items);
    bench.now = START + Duration::from_days(3);
    bench.flush().unwrap();
    assert_eq!(bench.rows("SELECT value FROM log"), ["'number'", "'none'"]);
}

/// What the database and its log take on disk, in bytes.
fn size(bench: &Bench) -> u64 {
    let len =
        |name: &str| std::fs::metadata(bench.folder.path().join(name)).map_or(0, |it| it.len());
    len("x.db") + len("x.db-wal") + len("x.db-shm")
}

/// Rows of 8 KiB of text.
fn heavy(bench: &Bench, numbers: std::ops::Range<i64>) -> Items {
    let one = |number: i64| {
        let text = Value::text(&format!("{number:08192}"));
        bench.reading(number, Series::new(SourceKey::parse("t:a")), text)
    };
    Items::Readings(numbers.map(one).collect())
}

#[test]
fn the_first_rows_go_before_the_database_is_too_large() {
    let mut bench = Bench::new(json!({ "max_size": "64MiB" }));
    let mut largest = 0;
    for step in 0..60 {
        let items = heavy(&bench, step * 200..(step + 1) * 200);
        bench.put(items);
        largest = largest.max(size(&bench));
    }
    assert!(largest < 64 << 20, "{largest}");
    let (count, last) = (bench.number("SELECT count(*) FROM readings"), 60 * 200 - 1);
    assert!((2_000..4_000).contains(&count), "{count}");
    let there = "SELECT max(CAST(value AS INTEGER)) - min(CAST(value AS INTEGER)) + 1 = count(*) FROM readings";
    assert_eq!(bench.number(there), 1, "the oldest have gone, and none of the others");
    assert_eq!(bench.number("SELECT max(CAST(value AS INTEGER)) FROM readings"), last);
}

/// Of two tables in one database the one that grows gives room, and not the one with the current values.
#[test]
fn a_table_of_current_values_stays_beside_one_that_grows() {
    let mut bench = Bench::new(json!({ "max_size": "64MiB" }));
    let columns = ["source", "time", "value"];
    let now = json!({ "path": "x.db", "max_size": "64MiB", "table": "now", "columns": columns, "key": ["source"] });
    let log = std::mem::replace(&mut bench.settings, now);
    let mut now = bench.build().unwrap();
    bench.settings = log;
    let mut sources: Vec<_> = (0..50)
        .map(|n| bench.reading(n, Series::new(SourceKey::parse(&format!("t:{n}"))), n))
        .collect();
    for step in 0..25 {
        let items = heavy(&bench, step * 200..(step + 1) * 200);
        bench.put(items);
        let batch = Batch::new(Items::Readings(sources.clone()), bench.now);
        block_on(now.write(&batch)).unwrap();
        block_on(now.flush(bench.now)).unwrap();
        // The others say nothing more.
        sources.truncate(1);
        assert_eq!(bench.number("SELECT count(*) FROM now"), 50);
    }
    assert!(bench.number("SELECT count(*) FROM readings") < 5_000, "some have gone");
}

/// What others put there counts, too: then rows wait, and go on when there is room.
#[test]
fn a_full_database_makes_rows_wait() {
    let mut bench = Bench::new(json!({ "max_size": "64MiB" }));
    let items = bench.values(0..1);
    bench.put(items);
    bench.other().execute_batch("CREATE TABLE big AS SELECT zeroblob(40000000)").unwrap();
    let items = heavy(&bench, 0..100);
    bench.write(items).unwrap();
    let Err(NodeError::Retry(why)) = bench.flush() else { panic!("it is full") };
    assert!(why.contains("database or disk is full"), "{why}");
    assert_eq!(bench.sink().take_refused(), []);
    bench.other().execute_batch("DROP TABLE big").unwrap();
    bench.flush().unwrap();
    assert_eq!(bench.number("SELECT count(*) FROM readings WHERE length(value) > 100"), 100);
    assert_eq!(bench.number("SELECT position FROM _smollama_position"), 101);
}

/// Somebody who reads without a pause keeps the log from being emptied; it does not grow for ever for that.
#[test]
fn the_log_is_bounded_while_somebody_reads() {
    let mut bench = Bench::new(json!({ "max_size": "64MiB" }));
    let items = bench.values(0..1);
    bench.put(items);
    let reader = bench.other();
    reader.execute_batch("BEGIN; SELECT count(*) FROM readings").unwrap();
    let (mut written, mut why) = (1, String::new());
    for step in 0..40 {
        let items = heavy(&bench, step * 100..(step + 1) * 100);
        bench.write(items).unwrap();
        written += 100;
        if let Err(error) = bench.flush() {
            why = error.to_string();
            break;
        }
    }
    assert!(why.contains("another program reads without a pause"), "{why}");
    assert!(size(&bench) < 64 << 20);
    reader.execute_batch("COMMIT").unwrap();
    bench.flush().unwrap();
    assert_eq!(bench.number("SELECT count(*) FROM readings"), written);
}

/// A database of others has no bound unless the user says so, and its rows stay.
#[test]
fn a_database_of_others_has_no_bound() {
    let bench = Bench::beside("CREATE TABLE t (x)", json!({ "create": true }));
    assert_eq!(bench.config().cap(false), None);
    assert_eq!(bench.config().cap(true), Some(1 << 30));
}
