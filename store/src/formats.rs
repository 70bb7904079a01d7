//! Which formats the files of a data directory have and who wrote them, read from their beginnings alone. Nothing is made or changed, so it
//! can be asked while an engine is at work there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use smollama_engine::disk::RealDisk;

use crate::history::Error as HistoryError;
use crate::{checkpoints, envelope, history, log, revisions};

/// Enough for the beginning of any of our files.
const HEAD: u64 = 1024;
/// What damaged files are put aside as.
const ASIDE: &str = ".damaged";

/// The files of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formats {
    /// What they are: `journal`.
    pub kind: &'static str,
    /// How many there are. Of the history only the newest of each table, which tells of all.
    pub files: usize,
    /// Their formats.
    pub formats: BTreeSet<u16>,
    /// The newest format that this release reads.
    pub known: u16,
    /// The releases that wrote them.
    pub writers: BTreeSet<String>,
    /// Files of a later release, and what to say of each.
    pub newer: Vec<String>,
    /// Files whose beginning is none of ours.
    pub damaged: Vec<PathBuf>,
    /// Files that were found damaged before, and put aside.
    pub aside: Vec<PathBuf>,
}

/// What a beginning says.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) format: u16,
    pub(crate) writer: String,
}

/// The formats of what lies in a data directory, by kind; kinds without a file are left out.
///
/// # Errors
/// Whatever the file system says.
pub fn look(data_dir: &Path) -> io::Result<Vec<Formats>> {
    let spools: Vec<PathBuf> =
        entries(&data_dir.join("spool"))?.into_iter().filter(|path| path.is_dir()).collect();
    let envelope = |kind: &'static envelope::Kind| move |bytes: &[u8]| envelope::head(kind, bytes);
    let mut found = vec![
        kind("journal", log::FORMAT, &[data_dir.join("journal")], ".log", log::head)?,
        kind("spools", log::FORMAT, &spools, ".log", log::head)?,
        kind(
            "checkpoints",
            checkpoints::KIND.format,
            &[data_dir.join("checkpoints")],
            ".ckpt",
            envelope(&checkpoints::KIND),
        )?,
        kind(
            "revisions",
            revisions::KIND.format,
            &[data_dir.join("revisions")],
            ".rev",
            envelope(&revisions::KIND),
        )?,
        history(&data_dir.join("history")),
    ];
    found.retain(|one| one.files > 0 || !one.aside.is_empty());
    Ok(found)
}

fn kind(
    name: &'static str,
    known: u16,
    folders: &[PathBuf],
    ending: &str,
    head: impl Fn(&[u8]) -> Option<Head>,
) -> io::Result<Formats> {
    let mut found = Formats { kind: name, known, ..Formats::default() };
    for path in
        folders.iter().map(|folder| entries(folder)).collect::<io::Result<Vec<_>>>()?.concat()
    {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(ASIDE) {
            found.aside.push(path);
            continue;
        }
        if name.starts_with('.') || !name.ends_with(ending) {
            continue;
        }
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(HEAD).read_to_end(&mut bytes)) {
            // An engine at work removes what it needs no more, and begins files that are empty for a moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Ok(0) => continue,
            read => read?,
        };
        found.files += 1;
        match head(&bytes) {
            Some(Head { format, writer }) => {
                if format > known {
                    found.newer.push(format!("{} has format {format}", path.display()));
                }
                found.formats.insert(format);
                found.writers.insert(writer);
            }
            None => found.damaged.push(path),
        }
    }
    Ok(found)
}

/// Where a table has files of several releases, the newest file is of the newest: the format only ever grows.
fn history(folder: &Path) -> Formats {
    let mut found = Formats { kind: "history", known: history::FORMAT, ..Formats::default() };
    for newest in history::newest(&RealDisk::shared(), folder) {
        found.files += 1;
        match newest {
            Ok(()) => drop(found.formats.insert(history::FORMAT)),
            Err(HistoryError::NewerFormat { path, found: format, writer }) => {
                found.newer.push(format!("{} has format {format}", path.display()));
                found.writers.insert(writer);
            }
            Err(error) => found.newer.push(error.to_string()),
        }
    }
    found
}

/// What lies in a folder, by name; nothing where there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?,
    };
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_files_say_what_they_are_and_those_of_a_later_release_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        assert_eq!(look(dir.path()).unwrap(), []);
        let segment = include_bytes!("log/tests/journal-1.log");
        let checkpoint = include_bytes!("checkpoints/tests/format-1.ckpt");
        put("journal/00000000000000000001.log", segment);
        put("journal/00000000000000000009.log", b"");
        put("spool/home%2fout/00000000000000000001.log", b"nothing of ours");
        put("checkpoints/3.ckpt", checkpoint);
        put("checkpoints/2.ckpt.damaged", checkpoint);
        put("checkpoints/.4.ckpt.tmp", b"half");
        // The same, but two formats later.
        let later = envelope::seal(&envelope::Kind { format: 3, ..checkpoints::KIND }, b"body");
        put("checkpoints/4.ckpt", &later);

        let found = look(dir.path()).unwrap();
        let [journal, spools, checkpoints] = &found[..] else { panic!("{found:?}") };
        assert_eq!((journal.kind, journal.files), ("journal", 1));
        assert!(journal.formats.iter().eq([&1]) && journal.newer.is_empty(), "{journal:?}");
        assert_eq!(journal.writers.len(), 1);
        assert_eq!((spools.files, spools.damaged.len()), (1, 1));
        assert_eq!((checkpoints.files, checkpoints.aside.len()), (2, 1));
        assert!(checkpoints.formats.iter().eq([&1, &3]), "{checkpoints:?}");
        assert!(checkpoints.newer[0].ends_with("4.ckpt has format 3"), "{checkpoints:?}");
    }
}
