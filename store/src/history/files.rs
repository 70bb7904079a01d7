//! The folder of one data set: the names of its files, and which of them count.
//!
//! A file is named `<first>_<last>_<sequence>.parquet`: the seconds of its first and last row, and a number that no other file
//! of the folder has or had. A merged file names the sequence numbers it replaces in its metadata, and appears by one rename: from then
//! on its inputs no longer count, whether or not they are still there.

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smollama_engine::disk::{Disk, create_dir_durably};

use super::calendar::{read_span, write_second};
use super::decode::TableFile;
use super::error::{Error, Result};
use super::observations::OBSERVATIONS;
use super::progress::Progress;
use super::readings::READINGS;
use super::table::Table;
use super::windows::WINDOWS;

/// A finalized file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StoredFile {
    /// The second since 1970 in which its first row lies.
    pub(crate) first: i64,
    /// The second in which its last row lies.
    pub(crate) last: i64,
    /// Its number.
    pub(crate) sequence: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
}

impl StoredFile {
    pub(crate) fn name(&self) -> String {
        format!(
            "{}_{}_{}.parquet",
            write_second(self.first),
            write_second(self.last),
            self.sequence
        )
    }

    pub(crate) fn parse(name: &str, len: u64) -> Option<StoredFile> {
        let mut parts = name.strip_suffix(".parquet")?.split('_');
        let (first, last) = read_span(parts.next()?, parts.next()?)?;
        let sequence = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(StoredFile { first, last, sequence, len })
    }

    fn holds(&self, other: &StoredFile) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

/// The finalized files of a data set.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) table: &'static Table,
    /// The ones that count, by their first row.
    files: Vec<StoredFile>,
    /// The ones that a merged file replaces and that are still there.
    replaced: Vec<StoredFile>,
    next_sequence: u64,
}

/// Whether this release reads the newest file of each table of a history, which tells of all.
pub(crate) fn newest(disk: &Arc<dyn Disk>, folder: &Path) -> Vec<Result<()>> {
    let tables: [&'static Table; 3] = [&READINGS, &WINDOWS, &OBSERVATIONS];
    let of = |table: &'static Table| -> Result<Option<()>> {
        let files = Files::look(disk.clone(), folder.join(table.name), table)?;
        let latest = files.files.iter().max_by_key(|file| file.sequence);
        let Some(path) = latest.map(|file| files.path(file)) else { return Ok(None) };
        TableFile::open(&**disk, &path, table).map(|_| Some(()))
    };
    tables.into_iter().filter_map(|table| of(table).transpose()).collect()
}

impl Files {
    /// Looks at what is there, without touching anything. A missing folder has no files.
    pub(crate) fn look(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        table: &'static Table,
    ) -> Result<Files> {
        let entries = match disk.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries.map_err(Error::disk("list", &folder))?,
        };
        let files = entries.iter().filter(|entry| !entry.is_dir);
        let mut files: Vec<_> =
            files.filter_map(|entry| StoredFile::parse(&entry.name, entry.len)).collect();
        files.sort();
        let next_sequence = files.iter().map(|file| file.sequence + 1).max().unwrap_or(0);
        let mut found = Files { disk, folder, table, files, replaced: Vec::new(), next_sequence };
        found.set_replaced_aside()?;
        Ok(found)
    }

    /// As [`Files::look`]; makes the folder, and refuses one in which a later release wrote.
    pub(crate) fn check(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        table: &'static Table,
    ) -> Result<Files> {
        make_folder(&*disk, &folder)?;
        let files = Files::look(disk, folder, table)?;
        // The format only ever grows, so the latest file tells whether a later release was here.
        let latest = files.files.iter().max_by_key(|file| file.sequence);
        if let Some(path) = latest.map(|file| files.path(file)) {
            match TableFile::open(&*files.disk, &path, table) {
                Err(error @ Error::NewerFormat { .. }) => return Err(error),
                Err(error) => tracing::warn!(%error, "a history file cannot be read"),
                Ok(_) => {}
            }
        }
        Ok(files)
    }

    /// How far a stream has come: as the newest file says, for each says what all up to it hold. One that cannot be read says nothing,
    /// so that what it holds may come a second time.
    pub(crate) fn progress(&self) -> Result<Option<Progress>> {
        let mut newest: Vec<&StoredFile> = self.files.iter().collect();
        newest.sort_by_key(|file| Reverse(file.sequence));
        for file in newest {
            match TableFile::open(&*self.disk, &self.path(file), self.table) {
                Ok(file) => return Ok(file.progress()),
                Err(error @ (Error::NewerFormat { .. } | Error::Disk { .. })) => return Err(error),
                Err(error) => tracing::warn!(%error, "a history file cannot be read"),
            }
        }
        Ok(None)
    }

    /// Removes what a crash left behind, and makes durable what is there: a process that was killed may not have come to that.
    pub(crate) fn clear_away(&mut self) -> Result<()> {
        self.remove_temporary()?;
        self.sync()?;
        self.remove_replaced()
    }

    fn remove_temporary(&self) -> Result<()> {
        let entries = self.disk.list(&self.folder).map_err(Error::disk("list", &self.folder))?;
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            let inner = entry.name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
            if inner.is_some_and(|name| StoredFile::parse(name, 0).is_some()) {
                let path = self.folder.join(&entry.name);
                self.disk.remove_file(&path).map_err(Error::disk("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Finds files that a merged file replaces. Only a file whose span holds another's can be such a merged file.
    fn set_replaced_aside(&mut self) -> Result<()> {
        let mut replaced = Vec::new();
        for merged in &self.files {
            let may_replace =
                |file: &&StoredFile| merged.holds(file) && file.sequence < merged.sequence;
            if !self.files.iter().any(|file| may_replace(&file)) {
                continue;
            }
            let path = self.path(merged);
            let list = match TableFile::open(&*self.disk, &path, self.table) {
                Ok(file) => file.replaces().map(str::to_owned),
                Err(error @ (Error::NewerFormat { .. } | Error::Disk { .. })) => return Err(error),
                // Nobody can read it, so it stands for nothing.
                Err(error) => {
                    tracing::warn!(%error, "a history file cannot be read");
                    None
                }
            };
            let Some(list) = list else { continue };
            let files = self.files.iter().filter(may_replace);
            replaced.extend(files.filter(|file| listed(&list, file.sequence)).cloned());
        }
        self.files.retain(|file| !replaced.contains(file));
        replaced.sort();
        replaced.dedup();
        self.replaced = replaced;
        Ok(())
    }

    pub(crate) fn path(&self, file: &StoredFile) -> PathBuf {
        self.folder.join(file.name())
    }

    /// The files that count, by their first row.
    pub(crate) fn list(&self) -> &[StoredFile] {
        &self.files
    }

    /// The bytes of all files, those included that wait to be removed.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().chain(&self.replaced).map(|file| file.len).sum()
    }

    /// A number for a new file.
    pub(crate) fn take_sequence(&mut self) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        sequence
    }

    /// Takes note of a file that has its final name.
    pub(crate) fn add(&mut self, file: StoredFile) {
        self.files.push(file);
        self.files.sort();
    }

    /// Takes note of a merged file that has its final name: its inputs no longer count.
    pub(crate) fn add_merged(&mut self, merged: StoredFile, inputs: &[StoredFile]) {
        self.files.retain(|file| !inputs.contains(file));
        self.replaced.extend_from_slice(inputs);
        self.add(merged);
    }

    /// Removes the files that were replaced. The names are made durable first, so that a power cut cannot take the merged file and
    /// leave its inputs removed; and after it, so that a later merge cannot outlive what this one replaced.
    pub(crate) fn remove_replaced(&mut self) -> Result<()> {
        if self.replaced.is_empty() {
            return Ok(());
        }
        self.sync()?;
        while let Some(path) = self.replaced.last().map(|file| self.path(file)) {
            remove(&*self.disk, &path)?;
            self.replaced.pop();
        }
        self.sync()
    }

    /// Removes a file for good.
    pub(crate) fn remove(&mut self, file: &StoredFile) -> Result<()> {
        remove(&*self.disk, &self.path(file))?;
        self.files.retain(|other| other != file);
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.disk.sync_dir(&self.folder).map_err(Error::disk("sync the folder", &self.folder))
    }
}

/// Makes the folder of a data set, and the one above it, which may have been made shortly before a crash.
fn make_folder(disk: &dyn Disk, folder: &Path) -> Result<()> {
    for folder in folder.parent().into_iter().chain([folder]) {
        create_dir_durably(disk, folder).map_err(Error::disk("make the folder", folder))?;
    }
    Ok(())
}

/// Removes a file; one that is gone already is fine.
fn remove(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::disk("remove", path)),
    }
}

/// Numbers as a list of ranges: `3,5-9`.
pub(crate) fn write_list(mut numbers: Vec<u64>) -> String {
    numbers.sort_unstable();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if number <= last.saturating_add(1) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = ranges.iter().map(|(first, last)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    });
    text.collect::<Vec<_>>().join(",")
}

/// Whether a number is in what [`write_list`] wrote.
fn listed(list: &str, number: u64) -> bool {
    list.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse::<u64>(), last.parse::<u64>()),
            (Ok(first), Ok(last)) if first <= number && number <= last)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_says_when_and_which() {
        let file = StoredFile { first: 1_795_222_923, last: 1_795_222_924, sequence: 7, len: 10 };
        assert_eq!(file.name(), "20261121T010203Z_20261121T010204Z_7.parquet");
        assert_eq!(StoredFile::parse(&file.name(), 10), Some(file));
        for name in ["", "a.parquet", "20261121T010203Z_20261121T010202Z_7.parquet"] {
            assert_eq!(StoredFile::parse(name, 0), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_list_holds_what_was_written(numbers in prop::collection::btree_set(0u64..40, 0..20)) {
            let list = write_list(numbers.iter().copied().collect());
            for number in 0..40 {
                prop_assert_eq!(listed(&list, number), numbers.contains(&number), "{}", list);
            }
        }
    }
}
