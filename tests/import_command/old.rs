//! A Python Smollama as it lies on a machine: settings, a database with its schema, and the cache of its edge nodes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, params};
use serde_json::Value;
use smollama_engine::disk::RealDisk;
use smollama_engine::reading::Reading;
use smollama_engine::series::SeriesTable;
use smollama_engine::time::Timestamp;
use smollama_store::history::{Reader, Sources};

use crate::place::{Place, text};

/// The tables as the old program makes them.
const SCHEMA: &str = include_str!("../../store/src/original/schema.sql");

/// One row of `readings_log`: timestamp, type, id, value as JSON, unit, metadata as JSON.
pub(super) type Row<'a> = (&'a str, &'a str, &'a str, &'a str, Option<&'a str>, Option<&'a str>);

/// A place whose home has a Python Smollama in it.
pub(super) struct Old {
    pub(super) place: Place,
}

impl Old {
    pub(super) fn new() -> Old {
        let place = Place::new();
        fs::create_dir_all(place.path("home/.smollama")).expect("a folder");
        Old { place }
    }

    /// Its own folder.
    pub(super) fn own(&self, name: &str) -> PathBuf {
        self.place.path("home/.smollama").join(name)
    }

    pub(super) fn config(&self, text: &str) {
        fs::write(self.own("config.yaml"), text).expect("settings");
    }

    pub(super) fn database(&self) -> Connection {
        let is_new = !self.own("memory.db").exists();
        let connection = Connection::open(self.own("memory.db")).expect("a database");
        if is_new {
            connection.execute_batch(SCHEMA).expect("its tables");
        }
        connection
    }

    /// Adds rows as the old program does, each written down when it was measured (in Berlin, in summer).
    pub(super) fn log(&self, connection: &Connection, rows: &[Row<'_>]) {
        let sql = "INSERT INTO readings_log
            (timestamp, source_type, source_id, value, value_numeric, unit, metadata, node_id, created_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pi', datetime(substr(?1, 1, 19), '-2 hours'))";
        connection.execute_batch("BEGIN").expect("a transaction");
        for (time, source_type, id, value, unit, metadata) in rows {
            let number = value.parse::<f64>().ok();
            let row = params![time, source_type, id, value, number, unit, metadata];
            connection.execute(sql, row).expect("a row");
        }
        connection.execute_batch("COMMIT").expect("it is written");
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(&["import"]);
        command.args(["--timezone", "Europe/Berlin", "--to", "new"]).args(args);
        self.at_home(&mut command);
        command
    }

    /// Makes the place's home that of a command.
    pub(super) fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("HOME", self.place.path("home"))
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    /// What it says as JSON.
    pub(super) fn import(&self, args: &[&str]) -> Value {
        let output = self.command(args).arg("--json").output().expect("the binary runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "nobody looks, so that nothing is drawn");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What another command prints in the new folder.
    pub(super) fn says(&self, args: &[&str]) -> String {
        let mut command = self.place.command(args);
        let command = self.at_home(&mut command).current_dir(self.place.path("new"));
        let output = command.output().expect("the binary runs");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(super) fn new_file(&self, name: &str) -> String {
        self.place.read(&format!("new/{name}"))
    }

    /// All files of the old one, with contents and times of change.
    pub(super) fn looks(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let mut all = BTreeMap::new();
        look_into(&self.place.path("home"), &mut all);
        all
    }

    /// All readings of the history, as `time source value unit`.
    pub(super) fn history(&self) -> Vec<String> {
        let (reader, table) = (self.reader(), SeriesTable::new(100_000));
        let rows = reader.readings(Timestamp::MIN..Timestamp::MAX, Sources::all(), &table);
        let rows = rows.expect("the history").flat_map(|rows| rows.expect("rows"));
        let line = |row: Reading| {
            let series = table.get(row.series);
            let unit = series.unit.as_deref().unwrap_or("-");
            format!("{} {} {:?} {unit}", row.time, series.source, row.value)
        };
        let mut lines: Vec<String> = rows.map(line).collect();
        lines.sort();
        lines
    }

    pub(super) fn reader(&self) -> Reader {
        Reader::new(Arc::new(RealDisk), &self.place.path("data/history"))
    }
}

fn look_into(folder: &Path, all: &mut BTreeMap<PathBuf, (Vec<u8>, SystemTime)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let changed = fs::metadata(&path).expect("its looks").modified().expect("a time");
        match path.is_dir() {
            true => {
                all.insert(path.clone(), (Vec::new(), changed));
                look_into(&path, all);
            }
            false => drop(all.insert(path.clone(), (fs::read(&path).expect("a file"), changed))),
        }
    }
}
