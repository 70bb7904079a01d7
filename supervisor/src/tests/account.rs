//! What was given, what is there, and whether that is right.

use std::collections::{BTreeMap, BTreeSet};

use smollama_engine::context::Host;
use smollama_engine::control::{LetterFilter, Selection};
use smollama_engine::disk::Crash;
use smollama_engine::reading::Value;
use smollama_engine::run::Journal;
use smollama_engine::series::SeriesTable;
use smollama_engine::time::Timestamp;
use smollama_store::history::{Reader, Sources};
use smollama_store::log::Durability;
use std::sync::Arc;

use super::site::{FLUSH, JOURNAL, Site, files};
use super::world::{Desk, ON_TAPE, World, is_rubbish, numbers_of};

/// A number of a source.
type Number = (String, i64);

/// What lies on the disk, and how often.
#[derive(Debug, Default)]
struct Found {
    history: BTreeMap<Number, u32>,
    more: BTreeMap<Number, u32>,
    tape: BTreeMap<Number, u32>,
    log: BTreeMap<Number, u32>,
    /// What a sink did not get before it was changed or removed, by its address.
    buried: BTreeMap<String, BTreeMap<Number, u32>>,
    /// What the windows counted, by source.
    counted: BTreeMap<String, u64>,
    /// What nobody understood, by origin.
    rubbish: BTreeMap<String, u32>,
}

impl World {
    /// A crash came: under `process` a power cut may take what was acknowledged or noted within `flush`.
    pub(super) fn crashed(&self, how: Crash, durability: Durability, at: Timestamp) {
        if (how, durability) != (Crash::Power, Durability::Process) {
            return;
        }
        let mut outside = self.lock();
        let since = at.saturating_sub(FLUSH);
        let late: BTreeSet<(String, u32)> = outside
            .senders
            .iter()
            .flat_map(|(name, sender)| sender.acked.iter().map(move |(m, at)| (name, *m, *at)))
            .filter(|(.., acked)| *acked >= since)
            .map(|(name, message, _)| (name.clone(), message))
            .collect();
        outside.may_lose.extend(late);
        drop(outside);
        self.forget_notes(since);
    }

    /// What was noted to have arrived since then may not be known to the next process.
    pub(super) fn forget_notes(&self, since: Timestamp) {
        for desk in self.lock().desks.values_mut() {
            desk.flushed.retain(|(_, noted)| *noted < since);
        }
    }
}

impl Site {
    fn found(&self) -> Result<Found, String> {
        let (disk, table) = (self.disk.shared(), SeriesTable::default());
        let all = Timestamp::MIN..Timestamp::MAX;
        let readings = |folder: &str| -> Result<BTreeMap<Number, u32>, String> {
            let reader = Reader::new(disk.clone(), &self.data_dir().join(folder));
            let rows = reader.readings(all.clone(), Sources::all(), &table);
            let mut found = BTreeMap::new();
            for row in rows.map_err(|error| error.to_string())? {
                for reading in row.map_err(|error| error.to_string())? {
                    let Value::Int(number) = reading.value else { return Err("no number".into()) };
                    let source = table.get(reading.series).source.type_part().to_owned();
                    *found.entry((source, number)).or_default() += 1;
                }
            }
            Ok(found)
        };
        let mut found = Found {
            history: readings("history")?,
            more: readings("more")?,
            tape: readings("tape")?,
            ..Found::default()
        };
        let reader = Reader::new(disk.clone(), &self.data_dir().join("windows"));
        let rows = reader.windows(all.clone(), Sources::all(), &table);
        for row in rows.map_err(|error| error.to_string())? {
            for window in row.map_err(|error| error.to_string())? {
                for summary in window.summaries {
                    let source = table.get(summary.series).source.type_part().to_owned();
                    *found.counted.entry(source).or_default() += summary.count;
                }
            }
        }
        for file in disk.list(&self.data_dir()).map_err(|error| error.to_string())? {
            if !file.name.starts_with("log") {
                continue;
            }
            let log = disk.read(&self.data_dir().join(&file.name)).unwrap_or_default();
            for line in log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let item = serde_json::from_slice(line).map_err(|error| error.to_string());
                match item.and_then(|item| number(&item)) {
                    Ok(number) => *found.log.entry(number).or_default() += 1,
                    // One that was put aside after a failed sync may end in anything.
                    Err(_) if file.name != "log.jsonl" => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.open_all(&mut found)?;
        Ok(found)
    }

    /// Opens everything as the next start would.
    fn open_all(&self, found: &mut Found) -> Result<(), String> {
        let host = Host { disk: self.disk.shared(), ..Host::for_tests(&self.data_dir()) };
        let kept = self.open(&Arc::new(host), self.now).map_err(|error| error.to_string())?;
        if kept.checkpoint.is_none() {
            return Err("there is no checkpoint".into());
        }
        let listed = kept.revisions.list(0).map_err(|error| error.to_string())?;
        for revision in listed {
            revision.summary.map_err(|error| error.to_string())?;
        }
        let letters = kept.letters.select(&Selection::Filter(LetterFilter::default()));
        for letter in letters.map_err(|error| error.to_string())? {
            if let Some(origin) = letter.origin {
                *found.rubbish.entry(origin).or_default() += 1;
            }
            for item in letter.items {
                let of_node = found.buried.entry(letter.letter.address.clone()).or_default();
                *of_node.entry(number(&item)?).or_default() += 1;
            }
        }
        let mut reader = kept.journal.read_after(0).map_err(|error| error.to_string())?;
        while reader.next().map_err(|error| error.to_string())?.is_some() {}
        let checkpoints = files(&self.disk, &self.data_dir().join("checkpoints"));
        let damaged =
            checkpoints.iter().filter(|(path, _)| path.extension().is_some_and(|x| x == "damaged"));
        match damaged.count() {
            count if count > self.damaged => Err(format!("{count} checkpoints are damaged")),
            _ => Ok(()),
        }
    }

    /// P3: the logs keep to their caps.
    pub(super) fn check_caps(&self) {
        let bytes = |folder: &str| -> u64 {
            files(&self.disk, &self.data_dir().join(folder)).iter().map(|(_, len)| len).sum()
        };
        assert!(bytes("journal") <= JOURNAL.0, "P3: the journal has {} bytes", bytes("journal"));
    }

    /// Whether all is as it was promised, after the last life was stopped. What is wrong is said with what was logged.
    pub(super) fn check(&self, title: &str) {
        self.is_fine(title, &self.wrong());
    }

    /// What is not as it was promised.
    pub(super) fn wrong(&self) -> Vec<String> {
        match self.found() {
            Ok(found) => self.compare(&found),
            Err(error) => vec![format!("P2: not everything opens: {error}")],
        }
    }

    /// Says what is wrong, with what was logged.
    pub(super) fn is_fine(&self, title: &str, wrong: &[String]) {
        if wrong.is_empty() {
            return;
        }
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let log = lines[lines.len().saturating_sub(60)..].join("\n");
        panic!("{title}:\n{}\n\nthe log ends so:\n{log}", wrong.join("\n"));
    }

    fn compare(&self, found: &Found) -> Vec<String> {
        let mut wrong = Vec::new();
        let outside = self.world.lock();
        let lives = u32::try_from(outside.lives).unwrap_or(u32::MAX);
        let desks: BTreeMap<&str, Arrived> =
            outside.desks.iter().map(|(name, desk)| (&**name, Arrived::at(desk))).collect();
        for (name, sender) in outside.senders.iter().filter(|(name, _)| **name != "tape") {
            let mut in_order: Vec<usize> = Vec::new();
            for message in 0..sender.limit {
                let may_lose = outside.may_lose.contains(&(name.clone(), message));
                let given = sender.given.get(&message).copied().unwrap_or(0);
                if !sender.acked.contains_key(&message) {
                    wrong.push(format!("{name}/{message} was never acknowledged"));
                }
                let mut judge = |what: &str,
                                 number: &dyn std::fmt::Debug,
                                 count: u32,
                                 most: u32| {
                    if count == 0 && !may_lose {
                        wrong.push(format!("P1: {name}/{message} {number:?} is not in {what}"));
                    }
                    if count > most {
                        let why = format!("{count} times, at most {most} is allowed");
                        wrong.push(format!("doubled: {name}/{message} {number:?} in {what} {why}"));
                    }
                };
                for number in numbers_of(message) {
                    let key = (name.clone(), number);
                    let count = |of: &BTreeMap<Number, u32>| of.get(&key).copied().unwrap_or(0);
                    let arrived = |desk: &str| desks.get(desk).map_or((0, 0), |desk| desk.of(&key));
                    judge("history", &number, count(&found.history), given);
                    let buried = |node: &str| found.buried.get(node).map_or(0, count);
                    let (out, doubts) = arrived("out");
                    let out = out + buried("p/out");
                    // What was buried may be refused, and buried, once more after each crash.
                    let again = if buried("p/out") > 0 { lives } else { 0 };
                    judge("out or letters", &number, out, given + doubts + again);
                    if name == "b" {
                        judge("log", &number, count(&found.log), given + lives);
                    } else {
                        let (gone, doubts) = arrived("gone");
                        let later = buried("p/gone") + count(&found.more);
                        judge(
                            "gone, letters or more",
                            &number,
                            gone + later,
                            given + doubts + lives,
                        );
                        // Once is what it may be short of, not what it must be.
                        judge("more", &number, count(&found.more).max(1), given);
                    }
                    if given == 1 {
                        in_order.extend(desks.get("out").and_then(|desk| desk.first.get(&key)));
                    }
                }
                if is_rubbish(message) {
                    let origin = format!("{name}/{message}");
                    let count = found.rubbish.get(&origin).copied().unwrap_or(0);
                    judge("the letters", &"rubbish", count, given);
                }
            }
            // What was given again comes later than what it came with.
            if !in_order.is_sorted() && !outside.takes_all {
                wrong.push(format!("what {name} sent went out in another order"));
            }
            let kept: u32 =
                found.history.iter().filter(|((of, _), _)| of == name).map(|(_, n)| n).sum();
            let counted = found.counted.get(name).copied().unwrap_or(0);
            if outside.may_lose.is_empty() && counted != u64::from(kept) {
                wrong.push(format!("windows counted {counted} of {name}, and {kept} are kept"));
            }
        }
        wrong.extend(self.compare_rest(found));
        wrong
    }

    /// What has no sender that was told anything, and what is wrong in itself.
    fn compare_rest(&self, found: &Found) -> Vec<String> {
        let mut wrong = Vec::new();
        for number in 0..ON_TAPE {
            let count = found.tape.get(&("tape".into(), number.into())).copied().unwrap_or(0);
            if count != 1 {
                wrong.push(format!("{number} of the tape is kept {count} times"));
            }
        }
        if !found.rubbish.contains_key("tape") {
            wrong.push("P1: what nobody understood on the tape is not in the letters".into());
        }
        wrong.extend(self.disk.violations());
        if self.log().contains("panicked") {
            wrong.push("something panicked".into());
        }
        wrong
    }
}

/// What arrived at a desk, by number.
#[derive(Debug, Default)]
struct Arrived {
    times: BTreeMap<Number, u32>,
    /// Where it was the first time.
    first: BTreeMap<Number, usize>,
    /// How often it may have come again.
    doubts: BTreeMap<Number, u32>,
}

impl Arrived {
    fn at(desk: &Desk) -> Arrived {
        let mut found = Arrived::default();
        for (place, number) in desk.arrived.iter().enumerate() {
            *found.times.entry(number.clone()).or_default() += 1;
            found.first.entry(number.clone()).or_insert(place);
        }
        for list in &desk.doubtful {
            for number in list.iter().collect::<BTreeSet<_>>() {
                *found.doubts.entry(number.clone()).or_default() += 1;
            }
        }
        found
    }

    /// How often a number arrived, and how often it may have come again.
    fn of(&self, number: &Number) -> (u32, u32) {
        let count = |of: &BTreeMap<Number, u32>| of.get(number).copied().unwrap_or(0);
        (count(&self.times), count(&self.doubts))
    }
}

/// What an item in its JSON form says.
fn number(item: &serde_json::Value) -> Result<Number, String> {
    let source = item["source"].as_str().and_then(|source| source.split(':').next());
    match (source, item["value"].as_i64()) {
        (Some(source), Some(number)) => Ok((source.to_owned(), number)),
        _ => Err(format!("no item: {item}")),
    }
}
