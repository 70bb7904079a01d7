//! Whether what the sinks have is what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::Field;
use super::asker::DEADBAND;
use crate::place::{Place, text};

/// A reading as a sink has it: whose, the how manieth of that sender, and the line.
struct Row<'a> {
    sender: usize,
    number: usize,
    line: &'a str,
}

/// How often a sink has the readings.
#[derive(Debug, Default)]
struct Count {
    missing: usize,
    doubled: usize,
    /// What must not be, in words.
    wrong: Vec<String>,
}

/// Fails unless everything acknowledged is everywhere, and twice only where it may be.
pub(super) fn check(field: &Field) {
    let mut out_files = listed(&field.place, "data");
    out_files.retain(|path| name(path).starts_with("out"));
    let file = lines(&field.place, "out", &out_files);
    // Files that were put aside bear the time of their last readings: those of a replay stand among those of before.
    let in_order = field.situation.out.is_empty();
    let out = count(field, "out", &rows(field, &file), in_order);
    let kept_files = listed(&field.place, "data/history/readings");
    let kept = lines(&field.place, "kept", &kept_files);
    let mut kept = count(field, "kept", &rows(field, &kept), false);
    if kept.doubled > 0 {
        kept.wrong.push(format!("kept: {} readings are there twice", kept.doubled));
    }
    let mut table = count(field, "db", &rows(field, &table(&field.place)), true);
    if table.doubled > 0 {
        table.wrong.push(format!("db: {} readings are there twice", table.doubled));
    }
    let mut wrong = [out.wrong, kept.wrong, table.wrong].concat();
    let (mut missing, mut sent) = (out.missing + kept.missing + table.missing, 0);
    if field.situation.away {
        let taken = field.receiver.taken();
        let items: Vec<&str> = taken.items.values().map(String::as_str).collect();
        let items = items.join("\n");
        let mut away = count(field, "away", &rows(field, &items), true);
        if away.doubled > 0 {
            away.wrong.push(format!("away: {} readings have two numbers", away.doubled));
        }
        (missing, sent) = (missing + away.missing, taken.repeated);
        wrong.extend(away.wrong.into_iter().chain(taken.wrong.iter().cloned()));
    }
    wrong.extend(check_state(field));
    let acknowledged: usize = field.senders.iter().map(super::Sender::acknowledged).sum();
    println!(
        "| {} | {} | {acknowledged} | {missing} | {} in `file`, {} in `parquet`, {} in `sqlite`, {sent} by `http` | {:.0} s |",
        field.situation.name,
        field.kills,
        out.doubled,
        kept.doubled,
        table.doubled,
        field.began.elapsed().as_secs_f64()
    );
    println!(
        "{}: {} checkpoints or applies, {} files of history",
        field.situation.name,
        field.asker.answered,
        kept_files.len()
    );
    wrong.truncate(20);
    assert!(wrong.is_empty() && missing == 0, "{missing} are missing; {}", wrong.join("\n"));
}

/// Compares what a sink has with what was said. `in_order` where it keeps the order of what came: then each sender's readings
/// come in the order in which they were said, and after a kill what was said last may come once more, as it was.
fn count(field: &Field, sink: &str, rows: &[Row<'_>], in_order: bool) -> Count {
    let mut count = Count::default();
    for sender in &field.senders {
        let mut first: BTreeMap<usize, &str> = BTreeMap::new();
        let (mut last, mut back) = (None, 0);
        for row in rows.iter().filter(|row| row.sender == sender.name) {
            let newest = first.last_key_value().map(|(number, _)| *number);
            if let Some(before) = first.get(&row.number) {
                count.doubled += 1;
                if *before != row.line {
                    count.wrong.push(format!("{sink}: {before} came again as {}", row.line));
                }
            } else {
                if in_order && newest.is_some_and(|newest| row.number < newest) {
                    count.wrong.push(format!("{sink}: {} came after {newest:?}", row.line));
                }
                first.insert(row.number, row.line);
            }
            back += usize::from(last.is_some_and(|last| row.number <= last));
            last = Some(row.number);
        }
        if in_order && back > field.kills {
            let name = sender.name;
            count.wrong.push(format!("{sink}: {name} came again {back} times without a kill"));
        }
        for (number, (_, acknowledged)) in sender.said.iter().enumerate() {
            if *acknowledged && !first.contains_key(&number) {
                count.missing += 1;
                count.wrong.push(format!("{sink}: {}/{number} is missing", sender.name));
            }
        }
        let heard: BTreeSet<u64> = first.keys().map(|number| sender.said[*number].0).collect();
        let all: BTreeSet<u64> = sender.said.iter().map(|(value, _)| *value).collect();
        if heard != all {
            count.wrong.push(format!("{sink}: {} did not get through with all", sender.name));
        }
    }
    count
}

/// The lines of a sink, understood; each has to be one that was said.
fn rows<'a>(field: &Field, lines: &'a str) -> Vec<Row<'a>> {
    let row = |line: &'a str| {
        let row: Value = serde_json::from_str(line).ok()?;
        let time: jiff::Timestamp = row["time"].as_str()?.parse().ok()?;
        let sender: usize = row["source"].as_str()?.strip_prefix("s:")?.parse().ok()?;
        let who = field.senders.get(sender)?;
        let number = who.number(u64::try_from(time.as_microsecond()).ok()?)?;
        (row["value"].as_u64()? == who.said[number].0).then_some(Row { sender, number, line })
    };
    let row = |line| row(line).unwrap_or_else(|| panic!("nobody said {line}"));
    lines.lines().map(row).collect()
}

/// The state of a transform lives on over every kill: a number passes only if it is not too near to the last one that did. What was
/// not acknowledged the transform may never have seen. Returns what is wrong.
fn check_state(field: &Field) -> Vec<String> {
    let news = lines(&field.place, "news", &[field.place.path("data/news.jsonl")]);
    let rows = rows(field, &news);
    let mut wrong = Vec::new();
    for sender in &field.senders {
        let own = rows.iter().filter(|row| row.sender == sender.name);
        let numbers: BTreeSet<usize> = own.map(|row| row.number).collect();
        let passed: Vec<(u64, bool)> = numbers.into_iter().map(|n| sender.said[n]).collect();
        for ((last, acknowledged), (next, _)) in passed.iter().zip(passed.iter().skip(1)) {
            if *acknowledged && last.abs_diff(*next) < DEADBAND {
                wrong.push(format!("news: {} let {next} pass after {last}", sender.name));
            }
        }
    }
    wrong
}

/// The files in a folder of a place.
pub(crate) fn listed(place: &Place, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path(folder)).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

fn name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The rows of the database as JSON lines; it has to be whole.
fn table(place: &Place) -> String {
    let database = rusqlite::Connection::open(place.path("data/db.sqlite")).expect("a database");
    let check: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("an answer of SQLite");
    assert_eq!(check, "ok");
    let sql = "SELECT json_object('time', time, 'source', source, 'value', value) FROM readings ORDER BY rowid";
    let mut rows = database.prepare(sql).expect("a table of readings");
    let rows = rows.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<Vec<String>, _>>().expect("lines").join("\n")
}

/// Files of a sink as JSON lines, read by the engine itself: each has to open, and no row may be torn.
pub(crate) fn lines(place: &Place, sink: &str, files: &[PathBuf]) -> String {
    let folder = place.path(sink);
    fs::create_dir(&folder).expect("a folder for the test");
    for (number, file) in files.iter().enumerate() {
        let name = format!("{number:06}-{}", name(file));
        fs::hard_link(file, folder.join(name)).expect("another name for a file");
    }
    let yaml = format!(
        "pipeline: p\nsources: {{ in: {{ replay: {{ path: {sink} }} }} }}\n\
         sinks: {{ all: {{ inputs: [in], file: {{ path: all.jsonl }} }} }}\n"
    );
    place.write(&format!("{sink}.yaml"), &yaml);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_smollama"));
    command.args(["run", "--once", "--json", &format!("{sink}.yaml")]);
    command.arg("--data-dir").arg(place.path(&format!("{sink}.read")));
    let ran = command.current_dir(place.folder()).output().expect("the binary runs");
    assert!(ran.status.success(), "{sink}: {}", text(&ran.stderr));
    let summary: Value = serde_json::from_slice(&ran.stdout).expect("a summary in JSON");
    assert_eq!((&summary["rejected"], &summary["corrected"]), (&0.into(), &0.into()), "{summary}");
    place.read(&format!("{sink}.read/all.jsonl"))
}
