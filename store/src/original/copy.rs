//! A copy of a database that cannot be read where it lies without writing beside it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::{Error, Result};

/// How often it is copied anew because somebody wrote to it meanwhile.
const TRIES: u32 = 5;

/// What a file begins with that is a database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where its header says how it is written and read, and what stands there where that is through a write-ahead log.
const VERSIONS: std::ops::Range<usize> = 18..20;
const LOGGED: u8 = 2;

/// The files beside a database that belong to it.
const BESIDE: [&str; 2] = ["-wal", "-journal"];

/// What the beginning of a database says.
#[derive(Debug)]
pub(super) struct Header {
    /// Whether it has, or had, a write-ahead log.
    pub(super) has_log: bool,
}

pub(super) fn header(path: &Path) -> Result<Header> {
    let mut file = File::open(path).map_err(Error::disk("open", path))?;
    let mut bytes = Vec::new();
    let read = (&mut file).take(VERSIONS.end as u64).read_to_end(&mut bytes);
    read.map_err(Error::disk("read", path))?;
    // Nothing was ever written to an empty one.
    if !bytes.starts_with(MAGIC) && !bytes.is_empty() {
        return Err(Error::NotADatabase { path: path.to_owned() });
    }
    Ok(Header { has_log: bytes.get(VERSIONS).is_some_and(|versions| versions.contains(&LOGGED)) })
}

/// A folder with the copy in it, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Copy {
    folder: PathBuf,
    database: PathBuf,
}

impl Drop for Copy {
    fn drop(&mut self) {
        // It is found and removed by the next one otherwise.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How a file is, or that it is not there.
type Looks = Option<(u64, Option<SystemTime>)>;

impl Copy {
    /// Copies a database and what belongs to it into a folder, which is made anew.
    pub(super) fn make(path: &Path, folder: &Path) -> Result<Copy> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(Error::disk("remove", folder))?,
        }
        fs::create_dir_all(folder).map_err(Error::disk("make", folder))?;
        let copy = Copy { folder: folder.to_owned(), database: folder.join("memory.db") };
        let files: Vec<(PathBuf, PathBuf)> = std::iter::once("")
            .chain(BESIDE)
            .map(|suffix| (with(path, suffix), with(&copy.database, suffix)))
            .collect();
        for _ in 0..TRIES {
            let before: Vec<Looks> = files.iter().map(|(from, _)| looks(from)).collect();
            for (from, to) in &files {
                copy_file(from, to)?;
            }
            let after: Vec<Looks> = files.iter().map(|(from, _)| looks(from)).collect();
            if before == after {
                return Ok(copy);
            }
        }
        Err(Error::Busy { path: path.to_owned() })
    }

    /// The database.
    pub(super) fn path(&self) -> &Path {
        &self.database
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn looks(path: &Path) -> Looks {
    let found = fs::metadata(path).ok()?;
    Some((found.len(), found.modified().ok()))
}

/// Copies a file as one that this process may write to; where it is not there, there is no copy of it.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match fs::remove_file(to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Error::disk("remove", to)(error))
                }
                _ => Ok(()),
            };
        }
        opened => opened.map_err(Error::disk("open", from))?,
    };
    let mut options = File::options();
    let mut target = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)
        .map_err(Error::disk("make", to))?;
    io::copy(&mut source, &mut target).map(drop).map_err(Error::disk("write", to))
}
