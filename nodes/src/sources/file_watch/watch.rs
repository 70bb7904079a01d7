//! All files of a node: which are new, gone, renamed, copied or emptied, and what each gives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::path::PathBuf;

use smollama_engine::context::Context;
use smollama_engine::node::Position;
use smollama_engine::registry::Problem;
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::Trouble;

use super::config::{Begin, FileWatchConfig};
use super::follow::{Fate, Followed, Gathered, Identity};
use super::found::{self, Found, siblings};
use super::jetson::Jetson;
use super::lines::Reader;
use super::place::{Place, Saved, places, position};
use super::whole::Whole;

/// See the module.
pub(super) struct Watch {
    at: found::Place,
    reader: Reader,
    jetson: Jetson,
    /// Those that lost their names come first: what is left in them is older.
    leaving: Vec<Followed>,
    files: BTreeMap<PathBuf, Followed>,
    wholes: BTreeMap<PathBuf, Whole>,
    /// Where an earlier run stopped, until the files are looked at first.
    saved: Vec<Saved>,
    /// The files that were there first may begin with their end.
    is_first: bool,
    /// What files that are rewritten gave.
    gathered: Gathered,
    /// The file whose turn is next.
    turn: usize,
    trouble: Trouble,
    /// What is wrong with which file.
    problems: BTreeMap<String, String>,
}

impl Watch {
    pub(super) fn new(
        config: &FileWatchConfig,
        context: &Context,
        trouble: Trouble,
    ) -> Result<Watch, Problem> {
        let at = found::Place::new(config, context)?;
        let many = config.is_pattern() || context.input_path(&config.path).is_dir();
        Ok(Watch {
            at,
            reader: Reader::new(config, context)?,
            jetson: Jetson::new(context, many),
            leaving: Vec::new(),
            files: BTreeMap::new(),
            wholes: BTreeMap::new(),
            saved: Vec::new(),
            is_first: true,
            gathered: Gathered::default(),
            turn: 0,
            trouble,
            problems: BTreeMap::new(),
        })
    }

    pub(super) fn resume(&mut self, position: &Position) -> Result<(), String> {
        self.saved = places(position)?;
        self.is_first = false;
        Ok(())
    }

    /// The places in all files.
    pub(super) fn position(&self) -> Position {
        let files = self.leaving.iter().chain(self.files.values()).map(Followed::saved);
        let all: Vec<Saved> = files.chain(self.wholes.values().map(Whole::saved)).collect();
        position(&all)
    }

    /// Looks which files there are and what became of those that were.
    pub(super) fn look(&mut self, now: Timestamp) {
        let (found, problems) = self.at.look();
        self.problems.clear();
        for problem in problems {
            self.problems.insert(problem.clone(), problem);
        }
        let (wholes, found): (Vec<Found>, Vec<Found>) =
            found.into_iter().partition(|one| one.format.is_whole());
        self.look_at_wholes(&wholes, now);
        let by_path: BTreeMap<PathBuf, Found> =
            found.into_iter().map(|one| (one.path.clone(), one)).collect();
        if !self.saved.is_empty() {
            self.go_on(&by_path);
        }
        self.part_from_those_without_a_name(&by_path);
        self.look_at_those_that_stayed(&by_path);
        let begins_at_end = self.is_first && self.reader.config.begin == Begin::End;
        for (path, one) in by_path {
            if !self.files.contains_key(&path) {
                self.begin(one, begins_at_end);
            }
        }
        self.is_first = false;
        self.say();
    }

    fn look_at_wholes(&mut self, found: &[Found], now: Timestamp) {
        let there: BTreeSet<&PathBuf> = found.iter().map(|one| &one.path).collect();
        self.wholes.retain(|path, _| there.contains(path));
        for one in found {
            let saved = &self.saved;
            let whole = self.wholes.entry(one.path.clone()).or_insert_with(|| {
                let mut whole =
                    Whole::new(one.path.clone(), one.shown.clone(), one.name.clone(), one.format);
                if let Some(saved) = saved.iter().find(|saved| saved.shown == one.shown) {
                    whole.go_to(saved);
                }
                whole
            });
            let Watch { reader, jetson, gathered, .. } = self;
            if let Err(error) = whole.look(&one.metadata, now, reader, jetson, gathered) {
                let problem = format!("`{}` cannot be read: {error}", one.shown);
                self.problems.insert(one.shown.clone(), problem);
            } else if let (Some(age), Some(written)) =
                (reader.config.max_age(one.format), whole.written())
                && now.since(written) > age
            {
                let silent = now.since(written).rounded();
                let problem = format!("`{}` was last written {silent} ago", one.shown);
                self.problems.insert(one.shown.clone(), problem);
            }
        }
    }

    /// Finds the files again that an earlier run knew: under their names, under others, or as copies.
    fn go_on(&mut self, found: &BTreeMap<PathBuf, Found>) {
        let all = std::mem::take(&mut self.saved);
        for saved in &all {
            let free = |one: &&Found| !self.files.contains_key(&one.path);
            let inode = |one: &Found| Identity::of(&one.metadata).inode;
            let by_inode = found.values().filter(free).filter(|one| inode(one) == saved.inode);
            // Another one that is known as well has only taken the name.
            let is_other = |one: &&Found| all.iter().any(|other| other.inode == inode(one));
            let by_name = found.values().filter(free).filter(|one| one.shown == saved.shown);
            let by_name = by_name.filter(|one| !is_other(one));
            let here = by_inode
                .chain(by_name)
                .find_map(|one| Some((follow(one), place_in(&one.path, saved)?)));
            if let Some((mut file, place)) = here {
                file.go_to(place);
                self.files.insert(file.path.clone(), file);
            } else if !self.wholes.values().any(|whole| whole.shown == saved.shown) {
                self.go_on_elsewhere(saved);
            }
        }
    }

    /// Reads a file to its end that lost its name while the host was down.
    fn go_on_elsewhere(&mut self, saved: &Saved) {
        let home = self.reader.context.input_path(saved.shown.as_ref());
        let mut others = siblings(&home);
        // The one that was renamed before all copies of it, and of those the newest.
        others.sort_by_key(|(_, metadata)| {
            let is_it = Identity::of(metadata).inode == saved.inode;
            (!is_it, std::cmp::Reverse(metadata.modified().ok()))
        });
        let elsewhere = others.into_iter().take(found::FILES_MAX);
        let mut elsewhere = elsewhere.filter(|(path, _)| !self.files.contains_key(path));
        let holds =
            |(path, metadata): (PathBuf, Metadata)| Some((place_in(&path, saved)?, path, metadata));
        if let Some((place, path, metadata)) = elsewhere.find_map(holds) {
            let mut file = Followed::new(
                home.clone(),
                saved.shown.clone(),
                self.at.name(&home),
                self.format_of(saved),
            );
            file.go_to(place);
            self.leaving.push(file.in_copy(path, &metadata));
        } else if saved.offset > 0 {
            let (node, file) = (&self.reader.context.address, &saved.shown);
            tracing::warn!(%node, "`{file}` is gone, or no longer begins with what was read of it");
        }
    }

    fn format_of(&self, saved: &Saved) -> super::Format {
        let by_name = super::Format::of_name(saved.shown.as_ref());
        self.reader.config.format.or(by_name).unwrap_or(super::Format::Text)
    }

    /// Files that another one took the name of, or that have none now.
    fn part_from_those_without_a_name(&mut self, found: &BTreeMap<PathBuf, Found>) {
        let is_there = |file: &Followed| {
            let one = found.get(&file.path);
            one.is_some_and(|one| Identity::of(&one.metadata) == file.identity)
        };
        let lost: Vec<PathBuf> = self
            .files
            .iter()
            .filter(|(_, file)| !is_there(file))
            .map(|(path, _)| path.clone())
            .collect();
        for path in lost {
            let Some(mut file) = self.files.remove(&path) else { continue };
            // Under another name that is watched, it is the same file still.
            let renamed = found.values().find(|one| Identity::of(&one.metadata) == file.identity);
            if let Some(one) = renamed.filter(|one| !self.files.contains_key(&one.path))
                && let Ok(Some(open)) = file.open_as(&one.path)
            {
                file.found_again(one.path.clone(), open);
                file.shown.clone_from(&one.shown);
                self.files.insert(one.path.clone(), file);
                continue;
            }
            let mut left = file.part();
            let other = siblings(&path)
                .into_iter()
                .find(|(_, metadata)| Identity::of(metadata) == left.identity);
            if let Some((path, _)) = other {
                left.path = path;
            } else if !left.is_open() {
                continue;
            }
            self.leaving.push(left);
        }
    }

    fn look_at_those_that_stayed(&mut self, found: &BTreeMap<PathBuf, Found>) {
        let mut copies = Vec::new();
        for (path, file) in &mut self.files {
            let Some(one) = found.get(path) else { continue };
            match file.fate(&one.metadata) {
                Ok(Fate::Same) => {}
                Ok(Fate::Emptied) => {
                    if file.place().offset > 0 {
                        copies.extend(copy_of(file));
                    }
                    file.begin_anew(&one.metadata);
                    // So that it counts as looked at.
                    if let Err(error) = file.fate(&one.metadata) {
                        self.problems.insert(one.shown.clone(), unreadable(&one.shown, &error));
                    }
                }
                Err(error) => {
                    self.problems.insert(one.shown.clone(), unreadable(&one.shown, &error));
                }
            }
        }
        for (copy, path) in copies {
            match found.get(&path) {
                // Its copy is one of the files that are watched.
                Some(one) if !self.files.contains_key(&path) => {
                    let mut file = follow(one);
                    file.go_to(copy.place().clone());
                    file.identity = copy.identity;
                    self.files.insert(path, file);
                }
                Some(_) => {}
                None => self.leaving.push(copy),
            }
        }
    }

    /// A file that was not there before.
    fn begin(&mut self, one: Found, at_end: bool) {
        let mut file = follow(&one);
        file.begin_anew(&one.metadata);
        if at_end {
            match end_of(&one) {
                Ok(place) => {
                    file.go_to(place);
                    self.gathered.moved = true;
                }
                Err(error) => {
                    self.problems.insert(one.shown.clone(), unreadable(&one.shown, &error));
                }
            }
        }
        if let Err(error) = file.fate(&one.metadata) {
            self.problems.insert(one.shown.clone(), unreadable(&one.shown, &error));
        }
        self.files.insert(one.path, file);
    }

    /// Takes what the files have, until a batch is full.
    pub(super) fn gather(&mut self) -> Gathered {
        let mut into = std::mem::take(&mut self.gathered);
        let Watch { leaving, files, reader, problems, .. } = self;
        leaving.retain_mut(|file| match file.gather(reader, &mut into) {
            Ok(Ok(true)) => true,
            Ok(Ok(false)) => !file.is_gone(reader, &mut into),
            // Nobody will mend a file that is on its way out.
            Ok(Err(_)) | Err(_) => false,
        });
        let mut wrong = false;
        let many = files.len();
        let first = self.turn.checked_rem(many).unwrap_or(0);
        let turns = (first..many).chain(0..first);
        let mut all: Vec<&mut Followed> = files.values_mut().collect();
        for place in turns {
            if into.is_full() {
                break;
            }
            self.turn = place;
            let Some(file) = all.get_mut(place) else { break };
            // A file that could not be opened is tried again when it is looked at.
            if problems.contains_key(&file.shown) {
                continue;
            }
            let problem = match file.gather(reader, &mut into) {
                Ok(Ok(more)) => {
                    self.turn = if more { place } else { place + 1 };
                    continue;
                }
                Ok(Err(problem)) => format!("`{}`: {problem}", file.shown),
                Err(error) => unreadable(&file.shown, &error),
            };
            problems.insert(file.shown.clone(), problem);
            wrong = true;
        }
        if wrong {
            self.say();
        }
        into
    }

    fn say(&self) {
        let mut all = self.problems.values();
        let first = all.next().cloned();
        self.trouble.set(first.map(|first| match all.count() {
            0 => first,
            more => format!("{first}, and {more} more"),
        }));
    }
}

fn follow(one: &Found) -> Followed {
    let (path, shown, name) = (one.path.clone(), one.shown.clone(), one.name.clone());
    let mut file = Followed::new(path, shown, name, one.format);
    file.identity = Identity::of(&one.metadata);
    file
}

/// The saved place in a file, if that holds what was read.
fn place_in(path: &PathBuf, saved: &Saved) -> Option<Place> {
    let file = File::open(path).ok()?;
    let place = Place::of(&file, saved.offset, saved.line).ok()??;
    (place.print() == saved.print).then_some(place)
}

/// The newest copy of a file as it was before it was emptied.
fn copy_of(file: &Followed) -> Option<(Followed, PathBuf)> {
    let mut others = siblings(&file.path);
    others.sort_by_key(|(_, metadata)| std::cmp::Reverse(metadata.modified().ok()));
    let is_copy = |(path, _): &(PathBuf, Metadata)| matches!(file.open_as(path), Ok(Some(_)));
    let (path, metadata) = others.into_iter().find(is_copy)?;
    Some((file.in_copy(path.clone(), &metadata), path))
}

/// Behind the last line that is whole.
fn end_of(one: &Found) -> std::io::Result<Place> {
    use std::os::unix::fs::FileExt;
    let file = File::open(&one.path)?;
    let mut end = one.metadata.len();
    let mut piece = [0; 4_096];
    while end > 0 {
        let begin = end.saturating_sub(piece.len() as u64);
        let length = usize::try_from(end - begin).unwrap_or(piece.len());
        let Some(room) = piece.get_mut(..length) else { break };
        file.read_exact_at(room, begin)?;
        if let Some(last) = memchr::memrchr(b'\n', room) {
            end = begin + last as u64 + 1;
            break;
        }
        end = begin;
    }
    Ok(Place::of(&file, end, 0)?.unwrap_or_default())
}

fn unreadable(shown: &str, error: &std::io::Error) -> String {
    format!("`{shown}` cannot be read: {error}")
}
