//! Old readings and observations as history.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use smollama_engine::observation::ObservationKind;
use smollama_engine::time::Timestamp;

use super::old::{Old, Row};
use crate::place::{text, wait_until};

const ROWS: [Row<'_>; 9] = [
    ("2026-06-21T10:00:00.250000", "system", "cpu_temp", "45.5", Some("celsius"), None),
    ("2026-06-21T10:00:00.250000", "system", "mem_available_mb", "512", Some("mb"), None),
    ("2026-06-21T10:00:01", "gpio", "17", "1", Some("boolean"), Some(r#"{"name":"door"}"#)),
    ("2026-06-21T10:00:02", "hcsr04", "distance", "null", Some("cm"), None),
    (
        "2026-06-21T10:15:00",
        "jetson_inference",
        "top_object",
        "\"dog\"",
        None,
        Some(r#"{"objects":{"dog":2}}"#),
    ),
    (
        "2026-06-21T08:15:01+00:00",
        "attic",
        "system:cpu_temp",
        "40.0",
        Some("celsius"),
        Some(r#"{"node":"attic"}"#),
    ),
    // Of the edge node nothing more came, and the old program wrote it down again at each of its turns.
    (
        "2026-06-21T08:15:01+00:00",
        "attic",
        "system:cpu_temp",
        "40.0",
        Some("celsius"),
        Some(r#"{"node":"attic"}"#),
    ),
    ("2026-06-21T10:30:00", "system", "cpu_temp", "46.0", Some("celsius"), None),
    (
        "2026-06-21T08:15:01+00:00",
        "attic",
        "system:cpu_temp",
        "40.0",
        Some("celsius"),
        Some(r#"{"node":"attic"}"#),
    ),
];

const HISTORY: [&str; 7] = [
    "2026-06-21T08:00:00.250Z system:cpu_temp 45.5 °C",
    "2026-06-21T08:00:00.250Z system:mem_available_mb 512 MiB",
    "2026-06-21T08:00:01Z gpio:17 1 boolean",
    "2026-06-21T08:15:00Z jetson_inference:top_object \"dog\" -",
    "2026-06-21T08:15:00Z jetson_inference:top_object/objects {\"dog\":2} -",
    "2026-06-21T08:15:01Z attic:system:cpu_temp 40 °C",
    "2026-06-21T08:30:00Z system:cpu_temp 46 °C",
];

fn tally(report: &Value) -> [u64; 5] {
    let keys = ["readings", "readings_known", "without_value", "damaged", "observations"];
    keys.map(|key| report["history"][key].as_u64().unwrap_or(u64::MAX))
}

#[test]
fn old_readings_are_history_once_however_often_they_are_imported() {
    let old = Old::new();
    old.config("node: { name: pi }\n");
    let connection = old.database();
    old.log(&connection, &ROWS);
    // The cache knows one that was written down, and one that was not.
    let cache = json!({
        "attic:system:cpu_temp": { "node": "attic", "source": "system:cpu_temp", "value": 40.0,
            "timestamp": "2026-06-21T10:15:01+02:00", "unit": "celsius" },
        "shed:door": { "node": "shed", "source": "gpio:4", "value": true, "timestamp": "2026-06-21T08:20:00+00:00", "unit": null },
        "shed:none": { "node": "shed", "source": "x:y", "value": null, "timestamp": "2026-06-21T08:20:00+00:00" },
        "shed:bad": { "node": "shed", "value": 1 },
    });
    fs::write(old.own("mqtt_bridge_cache.json"), cache.to_string()).unwrap();
    let before = old.looks();
    let report = old.import(&[]);
    assert_eq!(tally(&report), [8, 3, 2, 1, 0], "{report}");
    assert_eq!(
        report["history"]["damage"][0],
        json!({ "place": "edge cache", "why": "`shed:bad`: it has no `source`" })
    );
    assert_eq!(report["history"]["sources"], 7);
    let mut wanted: Vec<String> = HISTORY.map(ToOwned::to_owned).into();
    wanted.insert(6, "2026-06-21T08:20:00Z shed:gpio:4 true -".into());
    assert_eq!(old.history(), wanted);

    let again = old.import(&[]);
    assert_eq!(tally(&again), [0, 11, 2, 1, 0], "{again}");
    assert_eq!((old.history(), old.looks()), (wanted.clone(), before));

    // What came meanwhile is put in.
    old.log(
        &connection,
        &[("2026-06-21T10:45:00", "system", "cpu_temp", "47", Some("celsius"), None)],
    );
    assert_eq!(tally(&old.import(&[]))[..2], [1, 11]);
    wanted.push("2026-06-21T08:45:00Z system:cpu_temp 47 °C".into());
    assert_eq!(old.history(), wanted);
}

#[test]
fn pipelines_are_tried_on_what_was_imported() {
    let old = Old::new();
    old.config("node: { name: pi }\n");
    let times: Vec<String> =
        (0..240).map(|at| format!("2026-06-21T{:02}:{:02}:00", 10 + at / 60, at % 60)).collect();
    let rows: Vec<Row<'_>> = times
        .iter()
        .map(|time| (&**time, "system", "mem_percent", "41.5", Some("percent"), None))
        .collect();
    old.log(&old.database(), &rows);
    old.import(&[]);
    let said = old.says(&["backtest", "pipelines", "--since", "2026-06-21T00:00:00Z", "--json"]);
    let outcome: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(outcome["report"]["readings"], 240, "{outcome}");
    // One every 15 minutes of four hours.
    assert_eq!(outcome["report"]["sinks"][0]["sent"]["candidate"]["readings"], 16, "{outcome}");
}

#[test]
fn a_database_that_is_written_to_is_read_and_not_touched() {
    let old = Old::new();
    let connection = old.database();
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;").unwrap();
    old.log(&connection, &ROWS);
    let before = old.looks();
    assert!(before.contains_key(&old.own("memory.db-wal")));
    assert_eq!(tally(&old.import(&[]))[0], 7);
    assert_eq!((old.history(), old.looks()), (HISTORY.map(ToOwned::to_owned).into(), before));
    assert!(!old.place.path("data/import").exists(), "the copy is gone");
}

/// So many rows that it takes a while.
fn many(old: &Old, rows: i64) {
    let connection = old.database();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 - 1)
        INSERT INTO readings_log (timestamp, source_type, source_id, value, unit, node_id, created_at)
        SELECT strftime('%Y-%m-%dT%H:%M:%S', 1750000000 + i / 10 * 60, 'unixepoch', '+2 hours'), 'system', 's' || (i % 10),
            i || '.5', 'celsius', 'pi', datetime(1750000000 + i / 10 * 60, 'unixepoch') FROM n";
    connection.execute(sql, [rows]).unwrap();
}

#[test]
fn killed_in_the_middle_it_goes_on_with_nothing_lost_or_twice() {
    let old = Old::new();
    many(&old, 150_000);
    let history = old.place.path("data/history/readings");
    let files = || {
        fs::read_dir(&history).map_or(0, |all| {
            all.filter(|one| {
                one.as_ref()
                    .is_ok_and(|one| one.path().extension().is_some_and(|name| name == "parquet"))
            })
            .count()
        })
    };
    let mut kills = 0;
    for wanted in 1..4 {
        let had = files();
        let mut child =
            old.command(&["--json"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("it has come further", || {
            files() >= had + wanted || child.try_wait().unwrap().is_some()
        });
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 0, "it was killed at work at least once");
    let report = old.import(&[]);
    let [new, known, ..] = tally(&report);
    assert_eq!(new + known, 150_000);
    assert!(known >= 32_768 && new > 0, "{known} were there");
    let lines = old.history();
    let mut once = lines.clone();
    once.dedup();
    assert_eq!((lines.len(), once.len()), (150_000, 150_000));
    assert_eq!(lines.first().map(String::as_str), Some("2025-06-15T15:06:40Z system:s0 0.5 °C"));
    assert!(!history.parent().unwrap().join("import").exists());
}

#[test]
fn rows_and_files_that_make_no_sense_are_said_and_the_rest_is_taken() {
    let old = Old::new();
    let connection = old.database();
    old.log(&connection, &ROWS);
    connection
        .execute_batch(
            "UPDATE readings_log SET value = '{broken' WHERE id = 1;
             UPDATE readings_log SET timestamp = 'yesterday' WHERE id = 2;
             UPDATE readings_log SET value = x'00' WHERE id = 3;
             UPDATE readings_log SET timestamp = '1970-01-01T00:00:01' WHERE id = 8;",
        )
        .unwrap();
    fs::write(old.own("mqtt_bridge_cache.json"), "{ half").unwrap();
    let report = old.import(&[]);
    assert_eq!(tally(&report), [3, 2, 1, 5, 0], "{report}");
    let places: Vec<&str> = report["history"]["damage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["place"].as_str().unwrap())
        .collect();
    assert_eq!(
        places,
        ["readings_log 3", "readings_log 1", "readings_log 2", "readings_log 8", "edge cache"]
    );
    let said = text(&old.run(&[]).stdout);
    assert!(said.contains("damaged   readings_log 2: `yesterday` is no time"), "{said}");
}

#[test]
fn what_is_no_old_database_stops_it_before_anything_is_written() {
    let old = Old::new();
    old.config("node: { name: pi }\n");
    let refused = |part: &str| {
        let output = old.run(&[]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(part) && said.contains("help: "), "{said}");
        assert!(!old.place.path("new").exists() && !old.place.path("data/history").exists());
    };
    fs::write(old.own("memory.db"), "this is a text").unwrap();
    refused("is no SQLite database");
    fs::remove_file(old.own("memory.db")).unwrap();
    let connection = rusqlite::Connection::open(old.own("memory.db")).unwrap();
    connection.execute_batch("CREATE TABLE birds (name TEXT)").unwrap();
    refused("has none of the tables of a Python Smollama");
    connection
        .execute_batch("CREATE TABLE readings_log (id INTEGER PRIMARY KEY, at TEXT, payload TEXT)")
        .unwrap();
    refused("has no column `timestamp`");
}

#[test]
fn beside_an_engine_nothing_is_imported() {
    let old = Old::new();
    old.log(&old.database(), &ROWS);
    let yaml = "pipeline: p\nsources: { a: { simulate: {} } }\nsinks: { b: { inputs: [a], discard: {} } }\n";
    let mut engine = old.place.engine(yaml);
    let output = old.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("an engine (process") && said.contains("help: stop it first"), "{said}");
    assert!(!old.place.path("new").exists());
    engine.stop();
    assert_eq!(tally(&old.import(&[]))[0], 7);
}

#[test]
fn times_of_another_zone_are_noticed_before_anything_is_written() {
    let old = Old::new();
    many(&old, 1_000);
    let mut command = old.place.command(&["import", "--to", "new"]);
    let output = old.at_home(&mut command).env("TZ", "America/New_York").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("lie 6 h after they were written down") && said.contains("--timezone"),
        "{said}"
    );
    assert!(!old.place.path("new").exists() && !old.place.path("data/history").exists());
    // Who says it knows better, and is told.
    let mut command = old.place.command(&["import", "--to", "new", "--timezone", "UTC", "--json"]);
    let output = old.at_home(&mut command).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["history"]["zone"], json!({ "rows": 1_000, "minutes": 120 }));
}

#[test]
fn old_observations_are_history_and_memories_stay_where_they_are() {
    let old = Old::new();
    let connection = old.database();
    connection
        .execute_batch(
            r#"INSERT INTO observations (timestamp, text, confidence, observation_type, related_sources, node_id) VALUES
                ('2026-06-21T10:00:00', 'It is warm', 0.7, 'pattern', '["system:cpu_temp"]', 'pi'),
                ('2026-06-21T11:00:00', 'Too warm', 2.0, 'anomaly', NULL, 'pi'),
                ('2026-06-21T12:00:00', 'A word of the model', NULL, 'musing', 'x', 'pi'),
                ('never', 'No time', 0.5, 'status', NULL, 'pi');
             INSERT INTO memories (text, node_id) VALUES ('Mornings are cold', 'pi'), ('The vent sticks', 'pi');"#,
        )
        .unwrap();
    let report = old.import(&[]);
    assert_eq!(tally(&report), [0, 0, 0, 1, 3], "{report}");
    assert_eq!(report["old"]["rows"]["memories"], 2);
    assert_eq!(tally(&old.import(&[]))[4], 0);
    let rows = old.reader().observations(Timestamp::MIN..Timestamp::MAX).unwrap();
    let kept: Vec<_> = rows.flat_map(|rows| rows.unwrap()).collect();
    let said: Vec<_> = kept.iter().map(|one| (&*one.text, one.kind, one.confidence)).collect();
    assert_eq!(
        said,
        [
            ("It is warm", ObservationKind::Pattern, 0.7),
            ("Too warm", ObservationKind::Anomaly, 1.0),
            ("A word of the model", ObservationKind::General, 0.8),
        ]
    );
    assert_eq!((&*kept[0].author, kept[0].sources.len()), ("python/pi", 1));
    assert_eq!(kept[0].time.to_string(), "2026-06-21T08:00:00Z");
    let said = text(&old.run(&[]).stdout);
    assert!(said.contains("2 memories") && said.contains("They stay in memory.db"), "{said}");
}
